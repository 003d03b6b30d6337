"""Distances in mm between the borders of two masks, of B-scans or of volumes.

A border pixel belongs to the mask and has a neighbour outside of it (across an edge; the picture's own
edge is outside). Every border pixel counts once, whatever length of border lies in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

TOLERANCE_MM = 0.02
"""About the lateral resolution of OCT of the retina (14 to 20 um): no border is known finer than that."""

SURFACES = ("hd95_mm", "assd_mm", "surface_dice")


def surface_distances(
    reference: np.ndarray, prediction: np.ndarray, spacing_mm: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances in mm from each border pixel to the other mask's nearest border pixel.

    Parameters
    ----------
    reference, prediction : bool arrays of one shape, (depth, width) or (bscan, depth, width), neither empty
    spacing_mm : one number for each axis: (axial, lateral), or (between B-scans, axial, lateral)

    Returns
    -------
    (reference to prediction, prediction to reference) : two 1-D float arrays

    Examples
    --------
    >>> import numpy as np
    >>> a, b = np.zeros((5, 5), bool), np.zeros((5, 5), bool)
    >>> a[1, 1] = b[3, 1] = True
    >>> surface_distances(a, b, (0.5, 1.0))
    (array([1.]), array([1.]))
    """
    a, b = (_border(mask) * np.asarray(spacing_mm, float) for mask in (reference, prediction))
    return cKDTree(b).query(a)[0], cKDTree(a).query(b)[0]


def _border(mask: np.ndarray) -> np.ndarray:
    """Return the places of the border pixels, (pixels, axes)."""
    mask = np.asarray(mask, bool)
    # Only the box around the mask is looked at; its edge is outside, as the picture's own is.
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    inside = mask[box]
    border = inside & ~ndimage.binary_erosion(inside)
    return np.argwhere(border) + [part.start for part in box]


def surface_scores(
    reference: np.ndarray,
    prediction: np.ndarray,
    spacing_mm: Sequence[float] | None,
    tolerance_mm: float = TOLERANCE_MM,
) -> dict[str, float]:
    """Return the distances between two masks that are reported.

    Parameters
    ----------
    reference, prediction : bool arrays of one shape, of two or three axes
    spacing_mm : one number for each axis, or None when unknown
    tolerance_mm : float

    Returns
    -------
    dict
        `hd95_mm`, the 95th-percentile Hausdorff distance: the larger of the two directions;
        `assd_mm`, the average symmetric surface distance: the mean over the border pixels of both masks;
        `surface_dice`: the share of the border pixels of both masks that lie within the tolerance of the
        other border [1]_. Without spacing, and when both masks are empty, all are NaN; when one is empty,
        the distances are infinite and the surface Dice is 0.

    References
    ----------
    .. [1] Nikolov et al., "Clinically applicable segmentation of head and neck anatomy for
       radiotherapy", J Med Internet Res 2021;23(7):e26151. doi:10.2196/26151

    Examples
    --------
    >>> import numpy as np
    >>> a, b = np.zeros((5, 5), bool), np.zeros((5, 5), bool)
    >>> a[1, 1] = b[3, 1] = True
    >>> surface_scores(a, b, (0.25, 1.0), tolerance_mm=0.5)
    {'hd95_mm': 0.5, 'assd_mm': 0.5, 'surface_dice': 1.0}
    """
    some_reference, some_prediction = bool(np.any(reference)), bool(np.any(prediction))
    if spacing_mm is None or not (some_reference or some_prediction):
        return dict.fromkeys(SURFACES, float("nan"))
    if not (some_reference and some_prediction):
        return {"hd95_mm": float("inf"), "assd_mm": float("inf"), "surface_dice": 0.0}
    forth, back = surface_distances(reference, prediction, spacing_mm)
    both = np.concatenate([forth, back])
    # A border exactly at the tolerance is within it, whatever the last bit of the distance says.
    near = both <= tolerance_mm * (1 + 1e-9)
    return {
        "hd95_mm": float(max(np.percentile(forth, 95), np.percentile(back, 95))),
        "assd_mm": float(both.mean()),
        "surface_dice": float(near.mean()),
    }


def hd95(
    reference: np.ndarray, prediction: np.ndarray, spacing_mm: Sequence[float] | None
) -> float:
    """Return the 95th-percentile Hausdorff distance in mm, as `surface_scores`.

    Examples
    --------
    >>> import numpy as np
    >>> a, b = np.zeros((5, 5), bool), np.zeros((5, 5), bool)
    >>> a[1, 1] = b[3, 1] = True
    >>> hd95(a, b, (0.5, 1.0))
    1.0
    """
    return surface_scores(reference, prediction, spacing_mm)["hd95_mm"]
