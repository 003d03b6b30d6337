"""Scores of a prediction against a reference mask, with every empty-mask case decided.

Both masks empty: overlap is undefined (NaN, left out of means) and the scan is a correct negative.
One of them empty: Dice and IoU are 0, distances infinite; such scans are counted as failures and
never make a mean better.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage

COUNTS = ("tp", "fp", "fn", "tn")
OVERLAPS = ("dice", "iou", "precision", "recall", "accuracy")


def confusion(
    reference: np.ndarray, prediction: np.ndarray, valid: np.ndarray | None = None
) -> dict[str, int]:
    """Count the pixels of two boolean masks of one shape, over the valid pixels.

    Returns
    -------
    dict with int values "tp", "fp", "fn", "tn"

    Examples
    --------
    >>> import numpy as np
    >>> confusion(np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool))
    {'tp': 1, 'fp': 1, 'fn': 1, 'tn': 1}
    """
    reference, prediction = np.asarray(reference, bool), np.asarray(prediction, bool)
    if reference.shape != prediction.shape:
        raise ValueError(f"reference {reference.shape} and prediction {prediction.shape} differ")
    if valid is not None:
        reference, prediction = reference[valid], prediction[valid]
    tp = int(np.count_nonzero(reference & prediction))
    fp = int(np.count_nonzero(prediction)) - tp
    fn = int(np.count_nonzero(reference)) - tp
    return {"tp": tp, "fp": fp, "fn": fn, "tn": reference.size - tp - fp - fn}


def overlap(tp: int, fp: int, fn: int, tn: int) -> dict[str, float]:
    """Return Dice, IoU, precision, recall and accuracy of pixel counts.

    Empty reference and prediction give NaN for all but accuracy. A missed lesion has an undefined
    precision (nothing was predicted), a false alarm an undefined recall: NaN, with a Dice of 0.

    Examples
    --------
    >>> overlap(tp=2, fp=1, fn=1, tn=6)["iou"]
    0.5
    """

    def ratio(part: int, whole: int) -> float:
        return part / whole if whole else float("nan")

    return {
        "dice": ratio(2 * tp, 2 * tp + fp + fn),
        "iou": ratio(tp, tp + fp + fn),
        "precision": ratio(tp, tp + fp),
        "recall": ratio(tp, tp + fn),
        "accuracy": ratio(tp + tn, tp + fp + fn + tn),
    }


def _border(mask: np.ndarray) -> np.ndarray:
    """Return the pixels of a mask with a 4-neighbour outside it; the image's edge is outside."""
    return mask & ~ndimage.binary_erosion(mask)


def surface_distances(
    reference: np.ndarray, prediction: np.ndarray, spacing_mm: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances in mm from each border pixel to the other mask's nearest border pixel.

    Parameters
    ----------
    reference, prediction : bool arrays (depth, width), neither empty
    spacing_mm : (axial, lateral)

    Returns
    -------
    (reference to prediction, prediction to reference) : two 1-D float arrays
    """
    a, b = _border(np.asarray(reference, bool)), _border(np.asarray(prediction, bool))
    to_b = ndimage.distance_transform_edt(~b, sampling=spacing_mm)
    to_a = ndimage.distance_transform_edt(~a, sampling=spacing_mm)
    return to_b[a], to_a[b]


def hd95(
    reference: np.ndarray, prediction: np.ndarray, spacing_mm: tuple[float, float] | None
) -> float:
    """Return the 95th-percentile Hausdorff distance in mm: the larger of the two directions.

    NaN without spacing or when both masks are empty; infinite when one is.

    Examples
    --------
    >>> import numpy as np
    >>> a, b = np.zeros((5, 5), bool), np.zeros((5, 5), bool)
    >>> a[1, 1] = b[3, 1] = True
    >>> hd95(a, b, (0.5, 1.0))
    1.0
    """
    some_reference, some_prediction = bool(np.any(reference)), bool(np.any(prediction))
    if spacing_mm is None or not (some_reference or some_prediction):
        return float("nan")
    if not (some_reference and some_prediction):
        return float("inf")
    forth, back = surface_distances(reference, prediction, spacing_mm)
    return float(max(np.percentile(forth, 95), np.percentile(back, 95)))


def score(
    reference: np.ndarray,
    prediction: np.ndarray,
    valid: np.ndarray | None = None,
    spacing_mm: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Score one class of one scan.

    Parameters
    ----------
    reference, prediction : bool arrays (depth, width)
    valid : bool array (depth, width) or None
        Pixels that count; the others are treated as background in both masks.
    spacing_mm : (axial, lateral) or None

    Returns
    -------
    dict
        Pixel counts, `overlap`, and `hd95_mm`.
    """
    counts = confusion(reference, prediction, valid)
    if valid is not None:
        reference, prediction = reference & valid, prediction & valid
    return {**counts, **overlap(**counts), "hd95_mm": hd95(reference, prediction, spacing_mm)}


def summarize(scores: pd.DataFrame, by: list[str] | None = None) -> pd.DataFrame:
    """Pool the scores of scans.

    Parameters
    ----------
    scores : DataFrame
        One row per scan and class with the columns of `score` and "class".
    by : list of str, optional
        Further columns to group by, for example ["subject_id"].

    Returns
    -------
    DataFrame
        Per group and class: `scans`; `lesion_scans` (reference not empty); `missed` (lesion, nothing
        predicted), `false_alarms` (no lesion, something predicted), `correct_negatives`; the pixel
        counts, their pooled overlaps; `mean_scan_dice` over the scans where it is defined;
        `mean_hd95_mm` over the scans where both masks hold something.
    """

    def pool(group: pd.DataFrame) -> pd.Series:
        counts = {name: int(group[name].sum()) for name in COUNTS}
        lesion = group.tp + group.fn > 0
        found = group.tp + group.fp > 0
        finite = group.hd95_mm[np.isfinite(group.hd95_mm)]
        return pd.Series(
            {
                "scans": len(group),
                "lesion_scans": int(lesion.sum()),
                "missed": int((lesion & ~found).sum()),
                "false_alarms": int((~lesion & found).sum()),
                "correct_negatives": int((~lesion & ~found).sum()),
                **counts,
                **overlap(**counts),
                "mean_scan_dice": group.dice.mean(),
                "mean_hd95_mm": finite.mean() if len(finite) else float("nan"),
            },
            dtype=object,
        )

    keys = [*(by or []), "class"]
    rows = [
        {**dict(zip(keys, key, strict=True)), **pool(group)}
        for key, group in scores.groupby(keys, sort=True)
    ]
    return pd.DataFrame(rows)
