"""Lesions that differ from decoys by exactly one cue: scans for which it is known what a network can look for.

Every object, lesion or decoy, is dark, and has one of two levels of each of `CUES`, drawn by the toss of a coin.
The planted cue alone says which objects are lesions. So all else is the same for both, and the images
do not hang on the cue at all: for one seed they are the same whichever cue is planted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from medream.errors import ConfigError, nearest
from medream.scan import Scan, Source

CUES = {
    "darkness": "darker",
    "texture": "grainy within",
    "size": "larger",
    "shape": "elongated, of the same area",
    "depth": "in the outer retina",
    "sharpness": "with a blurred border, of the same mean intensity",
    "neighbour": "touching the bright layer in the middle of the retina",
}
"""What the lesions of each cue are, in comparison with the decoys."""

_GRAINY = ("deviation", "glcm_contrast", "glcm_correlation", "glcm_homogeneity", "lbp_entropy")
PARTNERS = {
    "darkness": ("intensity", "contrast", "sharpness", "neighbour", *_GRAINY),
    "texture": _GRAINY,
    "size": ("area", "component_area", "roundness", "contrast", "sharpness", "neighbour", *_GRAINY),
    "shape": (
        "elongation",
        "roundness",
        "orientation",
        "contrast",
        "sharpness",
        "neighbour",
        *_GRAINY,
    ),
    "depth": ("depth", "contrast", "sharpness", "neighbour"),
    "sharpness": ("sharpness", "contrast", "neighbour", *_GRAINY),
    "neighbour": ("neighbour", "contrast", "sharpness"),
}
"""Measured features (`medream.evidence.features`) that cannot but move with each cue."""

# The decoys' level and the lesions', each uniform between its ends.
_LEVELS = {
    "darkness": ((0.30, 0.38), (0.54, 0.62)),  # share of the background's light that is missing
    "texture": ((0.0, 0.01), (0.08, 0.10)),  # standard deviation
    "size": ((4.2, 4.8), (6.4, 7.0)),  # radius of the disc of the same area, pixels
    "shape": ((1.0, 1.15), (2.0, 2.3)),  # major / minor axis
    "depth": ((0.25, 0.33), (0.67, 0.75)),  # share of the retina's thickness
    "sharpness": ((0.3, 0.5), (1.4, 1.7)),  # standard deviation of the border's blur, pixels
    "neighbour": ((5.0, 8.0), (0.6, 1.2)),  # pixels from the border to the layer's middle
}
SIZE = (64, 64)
_VITREOUS, _FIBRES, _RETINA, _MIDDLE, _RPE, _CHOROID = 0.06, 0.62, 0.50, 0.80, 0.80, 0.30
_GRAIN, _SPECKLE, _NOISE = 0.6, 0.10, 0.015


@dataclass(frozen=True, eq=False)
class CueScan:
    """A scan with lesions and decoys.

    Parameters
    ----------
    scan : Scan
        Its mask holds the lesions.
    candidates : uint8 array (depth, width)
        0, or the number of an object from 1, lesion or decoy.
    lesion : tuple of bool
        Whether object 1, 2, ... is a lesion.
    properties : tuple of dict
        What each object was drawn with, by cue: for tests of the phantom; an analysis must not look here.
    """

    scan: Scan
    candidates: np.ndarray
    lesion: tuple[bool, ...]
    properties: tuple[dict[str, float], ...]


def cue_scans(cue: str, n: int, seed: int = 0, confounded_with: str | None = None) -> list[CueScan]:
    """Draw scans of 64 x 64 pixels with two objects each, whose one cue makes them lesions.

    Parameters
    ----------
    cue : str
        One of `CUES`.
    n : int
        Scans, each of a subject of its own.
    seed : int
    confounded_with : str, optional
        Another cue, whose level always goes along with the planted one: in such scans, both tell lesions
        from decoys.

    Returns
    -------
    list of CueScan
        About half of the objects are lesions, each independently. The first scans do not depend on `n`.

    Raises
    ------
    ConfigError
        When there is no such cue.

    Examples
    --------
    >>> dark, large = cue_scans("darkness", 2, seed=3), cue_scans("size", 2, seed=3)
    >>> bool(np.array_equal(dark[1].scan.image, large[1].scan.image)), dark[1].scan.shape
    (True, (64, 64))
    """
    for name in (cue, confounded_with):
        if name is not None and name not in CUES:
            raise ConfigError(f"There is no cue {name!r}. {nearest(name, list(CUES))}")
    return [_draw(cue, seed, k, confounded_with) for k in range(n)]


def _draw(cue: str, seed: int, number: int, confounded_with: str | None) -> CueScan:
    rng = np.random.default_rng([seed, number])
    _depth, width = SIZE
    x = np.arange(width)
    inner = rng.uniform(7, 10) + _wave(rng, width, 1.0)
    outer = rng.uniform(54, 57) + _wave(rng, width, 1.0)
    levels = rng.integers(0, 2, (2, len(CUES))).astype(bool)
    places = rng.random((2, len(CUES)))
    column, tilt = (
        width / 4 + np.array([0, width / 2]) + rng.uniform(-3, 3, 2),
        rng.uniform(-1, 1, 2),
    )
    if confounded_with is not None:
        levels[:, list(CUES).index(confounded_with)] = levels[:, list(CUES).index(cue)]
    drawn = [
        {
            name: float(low + place * (high - low))
            for name, level, place in zip(CUES, each, own, strict=True)
            for low, high in [_LEVELS[name][int(level)]]
        }
        for each, own in zip(levels, places, strict=True)
    ]
    distance, middle = [], []
    for each, centre, lean in zip(drawn, column, tilt, strict=True):
        far, row = _distance(each, centre, lean, inner, outer)
        distance.append(far)
        middle.append(_beside(each, far, row, round(centre)))
    # Flat beside each object, so that it touches or not along its side and not in one point.
    knots = np.concatenate([[c - 6, c + 6] for c in column])
    line = PchipInterpolator([-1, *knots, width], np.repeat(middle, 3))(x)
    # The layer ends where an object begins, so that touching it does not brighten the object.
    light = _background(inner, outer, line, np.minimum(*distance) >= 0)
    candidates = np.zeros(SIZE, np.uint8)
    grain = ndimage.gaussian_filter(rng.standard_normal(SIZE), 0.5)
    grain /= grain.std()
    for k, (each, far) in enumerate(zip(drawn, distance, strict=True), start=1):
        inside = far < 0
        candidates[inside] = k
        share = 0.5 * (1 - np.tanh(far / (1.25 * each["sharpness"])))
        # The mean over the mask is what the darkness says, however blurred the border is.
        light = light * (1 - np.clip(share * each["darkness"] / share[inside].mean(), 0, 0.97))
        own = grain - grain[inside].mean()
        light = light + inside * share * each["texture"] * own
    image = _develop(np.maximum(light, 0.0), rng)
    lesion = tuple(bool(v) for v in levels[:, list(CUES).index(cue)])
    mask = np.isin(candidates, [k for k, is_lesion in enumerate(lesion, start=1) if is_lesion])
    name = f"cue{seed}s{number + 1:04d}"
    source = Source(
        dataset="cues", subject_id=name, volume_id=name, bscan_index=0, device="phantom"
    )
    scan = Scan(image, mask=mask.astype(np.uint8), source=source, classes=("lesion",))
    return CueScan(scan, candidates, lesion, tuple(drawn))


def _wave(rng: np.random.Generator, width: int, height: float) -> np.ndarray:
    phase, period = rng.uniform(0, 2 * np.pi), rng.uniform(0.7, 1.5) * width
    return height * np.sin(2 * np.pi * np.arange(width) / period + phase)


def _distance(
    each: dict[str, float], centre: float, lean: float, inner: np.ndarray, outer: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return the signed distance (about, in pixels) from an object's border, and its centre's row."""
    at = round(centre)
    row = inner[at] + each["depth"] * (outer[at] - inner[at])
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    angle = np.deg2rad(25 * lean)
    along = (x - centre) * np.cos(angle) + (y - row) * np.sin(angle)
    across = -(x - centre) * np.sin(angle) + (y - row) * np.cos(angle)
    major, minor = each["size"] * each["shape"] ** 0.5, each["size"] / each["shape"] ** 0.5
    ratio = np.hypot(along / major, across / minor)
    slope = np.hypot(along / major**2, across / minor**2) / np.maximum(ratio, 1e-6)
    far = (ratio - 1) / np.maximum(slope, 1e-6)
    return np.where(ratio < 0.05, -minor, far), row


def _beside(each: dict[str, float], far: np.ndarray, row: float, column: int) -> float:
    """Return the row of the bright layer beside an object: on its side towards the retina's middle."""
    rows = np.flatnonzero(far[:, column] < 0)
    return rows[-1] + each["neighbour"] if each["depth"] < 0.5 else rows[0] - each["neighbour"]


def _background(
    inner: np.ndarray, outer: np.ndarray, line: np.ndarray, free: np.ndarray
) -> np.ndarray:
    """Return the light of the layers, the middle one where it is free of objects."""
    y = np.arange(SIZE[0])[:, None]
    place = (y - inner) / (outer - inner)
    light = np.select(
        [place < 0, place < 0.08, place < 0.92, place < 1],
        [_VITREOUS, _FIBRES, _RETINA, _RPE],
        _CHOROID * np.exp(-np.maximum(place - 1, 0) * 4),
    )
    bright = np.exp(-0.5 * ((y - line) / 0.9) ** 2) * free
    return light + (_MIDDLE - light) * bright


def _develop(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the picture: speckle, noise, in whole 255ths."""
    speckle = ndimage.gaussian_filter(rng.standard_normal(SIZE), _GRAIN)
    seen = light * np.exp(_SPECKLE * speckle / speckle.std())
    seen = np.clip(seen + _NOISE * rng.standard_normal(SIZE), 0, 1)
    return (np.round(255 * seen) / 255).astype(np.float32)
