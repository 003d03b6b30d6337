"""Fluid in the synthetic retina: cysts within it, a lens beneath it, and the swelling around."""

from __future__ import annotations

import numpy as np

from medream.phantom.anatomy import FIELD_MM, NAMES, Subject

INL, OPL, ONL, ELM, RPE = (NAMES.index(name) for name in ("INL", "OPL", "ONL", "ELM", "RPE"))


def swell(
    boundaries: np.ndarray, centres: np.ndarray, subject: Subject, rng: np.random.Generator
) -> np.ndarray:
    """Return the boundaries with INL and ONL thickened around the centres (mm) of the disease."""
    x = _lateral(boundaries.shape[1])
    boundaries = boundaries.copy()
    for centre in centres:
        bump = np.exp(-((x - centre) ** 2) / (2 * rng.uniform(0.45, 0.9) ** 2))
        for layer, most in ((INL, 0.04), (ONL, 0.12)):
            boundaries[: layer + 1] -= most * subject.severity * rng.uniform(0.3, 1.0) * bump
    return boundaries


def draw_cysts(
    depth: np.ndarray,
    boundaries: np.ndarray,
    centres: np.ndarray,
    subject: Subject,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return where intraretinal cysts are: clusters of ellipses in INL and ONL.

    Parameters
    ----------
    depth : float array, shape (depth,)
        Depth (mm) of each row's centre.
    boundaries : float array, shape (layers + 1, width)
    centres : float array
        Lateral positions (mm) of the clusters.

    Returns
    -------
    bool array, shape (depth, width)
    """
    width = boundaries.shape[1]
    x = _lateral(width)
    fluid = np.zeros((len(depth), width), bool)
    for centre in centres:
        for _ in range(1 + rng.poisson(5 * subject.severity)):
            in_onl = rng.random() < 0.65
            layer = ONL if in_onl else INL
            middle = centre + rng.normal(0, 0.35)
            column = int(np.clip(np.searchsorted(x, middle), 0, width - 1))
            top, bottom = boundaries[layer, column], boundaries[layer + 1, column]
            half_height = (bottom - top) * rng.uniform(0.22, 0.55)
            half_width = rng.uniform(0.05, 0.13) + half_height * rng.uniform(0.1, 0.9)
            z = top + (bottom - top) * rng.uniform(0.35, 0.65)
            near = np.abs(x - middle) < half_width
            across = 1 - ((x[near] - middle) / half_width) ** 2
            inside = ((depth[:, None] - z) / half_height) ** 2 < across
            between = (depth[:, None] > boundaries[INL, near]) & (
                depth[:, None] < boundaries[ELM, near]
            )
            fluid[:, near] |= inside & between
    return fluid


def lift(
    boundaries: np.ndarray, centre: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Detach the retina from the RPE by a lens of fluid.

    Returns
    -------
    boundaries, height : float arrays, shapes (layers + 1, width) and (width,)
        All layers above the RPE moved up by the lens' height (mm), which the fluid fills.
    """
    x = _lateral(boundaries.shape[1])
    half_width = rng.uniform(0.35, 0.9)
    height = rng.uniform(0.05, 0.16) * np.clip(1 - ((x - centre) / half_width) ** 2, 0, 1) ** 1.3
    boundaries = boundaries.copy()
    boundaries[:RPE] -= height
    return boundaries, height


def draw_centres(subject: Subject, rng: np.random.Generator) -> np.ndarray:
    """Draw the lateral positions (mm) of one to three clusters of cysts near the fovea."""
    half = FIELD_MM[1] / 2
    positions = subject.fovea_mm + rng.normal(0, 0.9, rng.integers(1, 4))
    return np.clip(positions, -0.9 * half, 0.9 * half)


def _lateral(width: int) -> np.ndarray:
    return np.linspace(-FIELD_MM[1] / 2, FIELD_MM[1] / 2, width)
