"""A synthetic retina: where its layers lie, in millimetres, and how much light they scatter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

# A frame of 384 x 522 pixels at the nominal 0.0039 x 0.0115 mm of a Spectralis.
FIELD_MM = (1.5, 6.0)

# Layer below each boundary: thickness beside and at the fovea (mm), reflectivity.
LAYERS = (
    ("RNFL", 0.030, 0.004, 0.62),
    ("GCL+IPL", 0.085, 0.012, 0.40),
    ("INL", 0.042, 0.008, 0.22),
    ("OPL", 0.030, 0.012, 0.41),
    ("ONL", 0.080, 0.125, 0.20),
    ("ELM", 0.006, 0.006, 0.36),
    ("IS", 0.018, 0.022, 0.26),
    ("EZ", 0.018, 0.020, 0.72),
    ("OS", 0.016, 0.024, 0.42),
    ("RPE", 0.026, 0.026, 0.80),
    ("choroid", 0.260, 0.280, 0.36),
)
NAMES = tuple(layer[0] for layer in LAYERS)
VITREOUS, SCLERA = 0.035, 0.20


@dataclass(frozen=True)
class Subject:
    """What all B-scans of one person share."""

    laterality: str
    fovea_mm: float
    pit_mm: float
    thickness: np.ndarray  # factor for each layer
    reflectivity: np.ndarray  # factor for each layer
    rpe_depth_mm: float
    tilt: float
    curvature: float
    contrast: float
    floor: float
    noise: float
    speckle: float
    attenuation: float
    severity: float
    fluid_reflectivity: float


def draw_subject(rng: np.random.Generator) -> Subject:
    """Draw a person: anatomy, device settings, severity of the disease."""
    return Subject(
        laterality="OD" if rng.random() < 0.5 else "OS",
        fovea_mm=float(rng.normal(0, 0.35)),
        pit_mm=float(rng.uniform(0.45, 0.75)),
        thickness=rng.uniform(0.85, 1.2, len(LAYERS)),
        reflectivity=rng.uniform(0.88, 1.12, len(LAYERS)),
        rpe_depth_mm=float(rng.uniform(0.72, 0.9)),
        tilt=float(rng.normal(0, 0.03)),
        curvature=float(rng.normal(0.006, 0.005)),
        contrast=float(rng.uniform(0.75, 1.1)),
        floor=float(rng.uniform(0.02, 0.08)),
        noise=float(rng.uniform(0.02, 0.04)),
        speckle=float(rng.uniform(0.12, 0.22)),
        attenuation=float(rng.uniform(0.7, 1.3)),
        severity=float(rng.uniform(0.5, 1.5)),
        fluid_reflectivity=float(rng.uniform(0.05, 0.12)),
    )


def draw_boundaries(
    subject: Subject, offset_mm: float, width: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the depth (mm) of each layer's upper boundary and of the choroid's lower one.

    Parameters
    ----------
    subject : Subject
    offset_mm : float
        Distance of the B-scan from the fovea.
    width : int
        A-scans.

    Returns
    -------
    float array, shape (len(LAYERS) + 1, width)
        Increasing along the first axis.
    """
    x = np.linspace(-FIELD_MM[1] / 2, FIELD_MM[1] / 2, width)
    from_fovea = x - subject.fovea_mm
    pit = np.exp(-(from_fovea**2 + offset_mm**2) / (2 * subject.pit_mm**2))
    nasal = from_fovea * (1 if subject.laterality == "OD" else -1)

    beside = np.array([layer[1] for layer in LAYERS])[:, None]
    centre = np.array([layer[2] for layer in LAYERS])[:, None]
    thickness = beside + (centre - beside) * pit
    thickness[0] += 0.035 * np.clip(nasal / 3, 0, 1) ** 1.5  # nerve fibres gather at the disc
    thickness *= subject.thickness[:, None]
    thickness *= 1 + 0.10 * smooth_noise(rng, len(LAYERS), width, bumps=6)

    rpe = subject.rpe_depth_mm + subject.tilt * x - subject.curvature * x**2
    rpe = rpe + 0.012 * smooth_noise(rng, 1, width, bumps=8)[0] + rng.normal(0, 0.03)
    boundaries = np.concatenate([np.zeros((1, width)), np.cumsum(thickness, axis=0)])
    return boundaries + (rpe - boundaries[NAMES.index("RPE")])


def smooth_noise(rng: np.random.Generator, curves: int, width: int, bumps: int) -> np.ndarray:
    """Return `curves` smooth random curves (curves, width) of about unit variance."""
    knots = rng.standard_normal((curves, bumps + 1))
    return CubicSpline(np.arange(bumps + 1), knots, axis=-1)(np.linspace(0, bumps, width))
