"""Pixels counted, and the overlaps that follow from the counts."""

from __future__ import annotations

import numpy as np

COUNTS = ("tp", "fp", "fn", "tn")
OVERLAPS = ("dice", "iou", "precision", "recall", "specificity", "accuracy")


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
    """Return Dice, IoU, precision, recall, specificity and accuracy of pixel counts.

    Empty reference and prediction give NaN for all but specificity and accuracy. A missed lesion has an
    undefined precision (nothing was predicted), a false alarm an undefined recall: NaN, with a Dice of 0.
    Most pixels are background, so that specificity and accuracy are near 1 whatever is predicted: never
    report them alone.

    Examples
    --------
    >>> overlap(tp=2, fp=1, fn=1, tn=6)["iou"]
    0.5
    """
    return {
        "dice": ratio(2 * tp, 2 * tp + fp + fn),
        "iou": ratio(tp, tp + fp + fn),
        "precision": ratio(tp, tp + fp),
        "recall": ratio(tp, tp + fn),
        "specificity": ratio(tn, tn + fp),
        "accuracy": ratio(tp + tn, tp + fp + fn + tn),
    }


def ratio(part: float, whole: float) -> float:
    """Return part / whole, NaN where whole is 0."""
    return part / whole if whole else float("nan")
