"""Features of a region that a reader of scans has words for, measured on image and mask."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern
from skimage.measure import find_contours, label, regionprops

from medream.errors import ConfigError

FEATURES = {
    "intensity": "mean intensity, 0 to 1",
    "contrast": "mean intensity of the surround less that of the region, 0 to 1: darker is positive",
    "deviation": "standard deviation of the intensity",
    "glcm_contrast": "mean squared step between neighbouring grey levels, of 16 (Haralick 1973)",
    "glcm_correlation": "correlation of neighbouring grey levels",
    "glcm_homogeneity": "1 when all neighbours are alike (inverse difference moment)",
    "lbp_entropy": "bits of the uniform local binary patterns (Ojala 2002)",
    "area": "area in mm², or in pixels without spacing",
    "components": "number of connected regions (8 neighbours)",
    "component_area": "area of the regions, each weighted by its area",
    "roundness": "4 pi area / perimeter²: 1 for a disc",
    "elongation": "1 - minor / major axis: 0 for a disc",
    "orientation": "angle of the major axis to the layers' direction in degrees, 0 to 90",
    "depth": "place between the retina's inner (0) and outer (1) border",
    "sharpness": "steepest mean change of intensity across the border, per pixel of depth",
    "neighbour": "mean of the brightest quarter of what lies within 3 pixels: a bright layer there",
}
"""What `measure` gives, in words."""
OF_PLACE = (
    "area", "components", "component_area", "roundness", "elongation", "orientation", "depth",
)  # fmt: skip
"""Features of the region alone, whatever the image."""
_LEVELS = 16


def measure(
    image: np.ndarray,
    region: np.ndarray,
    spacing_mm: tuple[float, float] | None = None,
    retina: tuple[np.ndarray, np.ndarray] | None = None,
    surround: int = 5,
) -> dict[str, float]:
    """Measure the features of a region.

    Shape is measured in millimetres where the spacing is known, since OCT's pixels are far from
    square; of several components each counts by its area.

    Parameters
    ----------
    image : float array (depth, width) in [0, 1]
    region : bool array (depth, width)
    spacing_mm : (axial, lateral), optional
    retina : (inner, outer), optional
        Borders from `retina_bounds`; without them `depth` is NaN.
    surround : int
        Width in pixels of the ring that `contrast` and `sharpness` compare with. Default 5.

    Returns
    -------
    dict of str to float
        One value for each of `FEATURES`; NaN where there is nothing to measure. An empty region has
        area 0, no component, and NaN for all else.

    Examples
    --------
    >>> image = np.full((32, 32), 0.5); image[10:20, 10:20] = 0.1
    >>> found = measure(image, image < 0.3)
    >>> [round(found[name], 2) for name in ("intensity", "contrast", "components", "area")]
    [0.1, 0.4, 1.0, 100.0]
    """
    image, region = np.asarray(image, np.float64), np.asarray(region, bool)
    if image.shape != region.shape or image.ndim != 2:
        raise ConfigError(
            f"The image has shape {image.shape} and the region {region.shape}; expected one (depth, width)."
        )
    found = dict.fromkeys(FEATURES, float("nan"))
    found["area"] = found["components"] = 0.0
    if not region.any():
        return found
    ring = ndimage.binary_dilation(region, iterations=surround) & ~region
    found["intensity"] = float(image[region].mean())
    found["deviation"] = float(image[region].std())
    if ring.any():
        found["contrast"] = float(image[ring].mean()) - found["intensity"]
    near = np.sort(image[ndimage.binary_dilation(region, iterations=3) & ~region])
    if len(near):
        found["neighbour"] = float(near[-max(len(near) // 4, 1) :].mean())
    found.update(_texture(image, region))
    found.update(_shape(region, spacing_mm))
    found["sharpness"] = _sharpness(image, region, surround)
    if retina is not None:
        rows = np.arange(len(image))[:, None]
        inner, outer = retina
        found["depth"] = float(((rows - inner) / (outer - inner))[region].mean())
    return found


def _texture(image: np.ndarray, region: np.ndarray) -> dict[str, float]:
    """Return grey-level statistics of neighbours that both lie in the region."""
    grey = np.minimum((np.clip(image, 0, 1) * _LEVELS).astype(np.uint8), _LEVELS - 1) + 1
    # Level 0 marks what is outside, and its pairs are dropped.
    counts = graycomatrix(
        np.where(region, grey, 0).astype(np.uint8),
        [1],
        [0, math.pi / 4, math.pi / 2, 3 * math.pi / 4],
        levels=_LEVELS + 1,
        symmetric=True,
    )[1:, 1:].sum(axis=(2, 3), keepdims=True)
    found = {}
    if counts.sum():
        shares = counts / counts.sum()
        found["glcm_contrast"] = float(graycoprops(shares, "contrast").squeeze())
        found["glcm_homogeneity"] = float(graycoprops(shares, "homogeneity").squeeze())
        found["glcm_correlation"] = float(graycoprops(shares, "correlation").squeeze())
    patterns = local_binary_pattern((image * 65535).astype(np.uint16), 8, 1, "uniform")[region]
    shares = np.bincount(patterns.astype(int), minlength=10) / len(patterns)
    found["lbp_entropy"] = float(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum())
    return found


def _shape(region: np.ndarray, spacing_mm: tuple[float, float] | None) -> dict[str, float]:
    """Return size and shape of the region's components, weighted by their area."""
    spacing = spacing_mm or (1.0, 1.0)
    parts = regionprops(label(region, connectivity=2), spacing=spacing)
    areas = np.array([part.area for part in parts])
    found = {
        "area": float(areas.sum()),
        "components": float(len(parts)),
        "component_area": float((areas * areas).sum() / areas.sum()),
    }
    rows = []
    for part in parts:
        major, minor = part.axis_major_length, part.axis_minor_length
        if major <= 0:
            rows.append((np.nan,) * 3)
            continue
        # skimage's angle is that of the major axis to the rows' (axial) direction.
        angle = 90.0 - abs(math.degrees(part.orientation))
        rows.append((_roundness(part, spacing), 1 - minor / major, angle))
    for name, values in zip(
        ("roundness", "elongation", "orientation"), np.array(rows).T, strict=True
    ):
        known = np.isfinite(values)
        if known.any():
            found[name] = float(np.average(values[known], weights=areas[known]))
    return found


def _roundness(part: Any, spacing: tuple[float, float]) -> float:
    """Return 4 pi area / perimeter² of a component, of its smoothed outline in millimetres."""
    mask = np.pad(part.image.astype(np.float64), 4)
    outlines = find_contours(ndimage.gaussian_filter(mask, 1.0), 0.5)
    if not outlines:
        return float("nan")  # of a pixel or two
    y, x = (max(outlines, key=len) * np.array(spacing)).T
    length = np.hypot(np.diff(y), np.diff(x)).sum()
    area = 0.5 * abs((y[:-1] * x[1:] - y[1:] * x[:-1]).sum())
    return min(4 * math.pi * area / length**2, 1.0)


def _sharpness(image: np.ndarray, region: np.ndarray, reach: int) -> float:
    """Return the steepest step of the mean intensity by distance from the border."""
    inside = ndimage.distance_transform_edt(region)
    outside = ndimage.distance_transform_edt(~region)
    place = np.where(region, -np.ceil(inside) + 0.5, np.ceil(outside) - 0.5)
    means = [
        image[place == at].mean() for at in np.arange(-reach + 0.5, reach) if (place == at).any()
    ]
    return float(np.abs(np.diff(means)).max()) if len(means) > 1 else float("nan")
