"""From a synthetic retina to a picture of it: shadows, attenuation, speckle, noise, wedges."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from medream.phantom.anatomy import (
    FIELD_MM,
    LAYERS,
    NAMES,
    SCLERA,
    VITREOUS,
    Subject,
    smooth_noise,
)

RPE, CHOROID = NAMES.index("RPE"), NAMES.index("choroid")


def scatter(
    depth: np.ndarray,
    boundaries: np.ndarray,
    fluid: np.ndarray,
    subject: Subject,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the light that each point scatters back, shape (depth, width), before shadows."""
    shape = len(depth), boundaries.shape[1]
    spacing = FIELD_MM[0] / shape[0], FIELD_MM[1] / shape[1]
    layer = np.zeros(shape, np.intp)
    for boundary in boundaries:
        layer += depth[:, None] >= boundary
    own = [reflectivity for *_, reflectivity in LAYERS] * subject.reflectivity
    light = np.array([VITREOUS, *own, SCLERA])[layer]

    coarse = rng.standard_normal((max(shape[0] // 8, 2), max(shape[1] // 8, 2)))
    texture = ndimage.zoom(coarse, np.array(shape) / coarse.shape, order=1)
    light *= 1 + 0.08 * texture
    below = layer > CHOROID
    # Vessels of the choroid: dark, round, and no fluid in the sense of the mask.
    light[below & (texture > 0.75)] *= 0.45
    under_rpe = np.maximum(depth[:, None] - boundaries[CHOROID], 0)
    light *= np.exp(-under_rpe / rng.uniform(0.12, 0.25))

    if rng.random() < 0.5:
        _detach_vitreous(light, depth, boundaries, layer == 0, rng)
    light[fluid] = subject.fluid_reflectivity
    _exudates(light, depth, boundaries, fluid, spacing, rng)
    return light


def _detach_vitreous(
    light: np.ndarray,
    depth: np.ndarray,
    boundaries: np.ndarray,
    vitreous: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Draw the hyaloid membrane with a pocket darker than the vitreous between it and the ILM."""
    width = boundaries.shape[1]
    height = rng.uniform(0.03, 0.15) * np.abs(1 + 0.7 * smooth_noise(rng, 1, width, bumps=3)[0])
    membrane = boundaries[0] - height
    pocket = vitreous & (depth[:, None] > membrane)
    light[pocket] *= 0.4
    light += 0.16 * np.exp(-(((depth[:, None] - membrane) / 0.008) ** 2)) * vitreous


def _exudates(
    light: np.ndarray,
    depth: np.ndarray,
    boundaries: np.ndarray,
    fluid: np.ndarray,
    spacing: tuple[float, float],
    rng: np.random.Generator,
) -> None:
    """Draw small bright deposits in the retina, never inside fluid."""
    height, width = light.shape
    for _ in range(rng.poisson(3)):
        column = int(rng.integers(width))
        z = rng.uniform(boundaries[2, column], boundaries[5, column])
        row, size = int(z / spacing[0]), rng.uniform(0.008, 0.02)
        rows = np.arange(max(row - 8, 0), min(row + 9, height))
        columns = np.arange(max(column - 8, 0), min(column + 9, width))
        if not len(rows):
            continue
        box = np.ix_(rows, columns)
        spot = (((depth[rows] - z) / size) ** 2)[:, None] + (
            (columns - column) * spacing[1] / (2.5 * size)
        ) ** 2
        light[box] = np.where((spot < 1) & ~fluid[box], 0.95, light[box])


def shadows(depth: np.ndarray, boundaries: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the share of light (depth, width) that vessels in the inner retina let through."""
    width = boundaries.shape[1]
    x = np.linspace(-FIELD_MM[1] / 2, FIELD_MM[1] / 2, width)
    passed = np.ones((len(depth), width))
    for _ in range(rng.poisson(5)):
        centre, half_width = rng.uniform(x[0], x[-1]), rng.uniform(0.02, 0.08)
        taken = rng.uniform(0.3, 0.85) * np.exp(-(((x - centre) / half_width) ** 2))
        start = boundaries[0] + rng.uniform(0.02, 0.06)
        passed *= 1 - taken * (depth[:, None] > start)
    return passed


def develop(light: np.ndarray, subject: Subject, rng: np.random.Generator) -> np.ndarray:
    """Return the picture of scattered light: attenuated, speckled, noisy, in [0, 1]."""
    shape = light.shape
    spacing = FIELD_MM[0] / shape[0], FIELD_MM[1] / shape[1]
    seen = light * np.exp(-2 * subject.attenuation * np.cumsum(light, axis=0) * spacing[0])
    grain = max(0.004 / spacing[0], 0.5), max(0.014 / spacing[1], 0.6)
    seen = ndimage.gaussian_filter(seen, (0.5, 0.5))
    speckle = ndimage.gaussian_filter(rng.standard_normal(shape).astype(np.float32), grain)
    speckle *= subject.speckle / speckle.std()
    noise = ndimage.gaussian_filter(rng.standard_normal(shape).astype(np.float32), 0.5)
    noise *= subject.noise / noise.std()
    return np.clip(subject.contrast * seen * np.exp(speckle) + subject.floor + noise, 0, 0.97)


def wedge(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return where the frame holds no scan after registration, bool, shape (depth, width)."""
    rows = np.arange(shape[0])[:, None]
    start, stop = rng.uniform(-0.05, 0.16, 2) * shape[0]
    edge = np.linspace(start, stop, shape[1])
    return rows < edge if rng.random() < 0.5 else rows[::-1] < edge
