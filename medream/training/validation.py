"""What validation scans decide: the epoch that is kept, and the threshold of probability."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np

from medream.metrics import COUNTS, best_threshold, confusion, count_probabilities, overlap
from medream.metrics.probabilities import BINS, precision_recall_curve
from medream.scan import Scan
from medream.segmentation import segment

Total = Callable[[np.ndarray], np.ndarray]
"""From what this worker counted to what all of them did."""


def validation_dice(
    model: keras.Model, scans: Sequence[Scan], threshold: float = 0.5, total: Total = np.asarray
) -> float:
    """Return the Dice of all scans' pixels pooled, averaged over the classes that the masks hold.

    Of several workers, each gives its share of the scans.
    """
    counts = np.zeros((max(model.output_shape[-1] - 1, 1), len(COUNTS)), np.int64)
    for scan in scans:
        assert scan.mask is not None
        found = segment(model, scan, threshold)
        for label, of_class in enumerate(counts, start=1):
            of_class += list(
                confusion(scan.mask == label, found.mask == label, scan.valid).values()
            )
    classes = [dict(zip(COUNTS, row, strict=True)) for row in total(counts).tolist()]
    present = [counted for counted in classes if counted["tp"] + counted["fn"]]
    return float(np.mean([overlap(**counted)["dice"] for counted in present]))


def best_epoch(dice: Sequence[float]) -> int:
    """Return the position of the epoch that is kept: the first with the best validation Dice.

    As long as all are 0, it is the last: nothing tells them apart but that it was trained longest, and no
    epoch is one without improvement yet.

    Examples
    --------
    >>> best_epoch([0.0, 0.4, 0.4]), best_epoch([0.0, 0.0])
    (1, 1)
    """
    best = int(np.argmax(dice))
    return best if dice[best] else len(dice) - 1


def choose_threshold(
    model: keras.Model, scans: Sequence[Scan], total: Total = np.asarray
) -> tuple[float, float, float]:
    """Choose the threshold of a network with one output on validation scans.

    It is the one with the best Dice of all their pixels pooled, in steps of 0.001. Of several workers,
    each gives its share of the scans.

    Returns
    -------
    threshold, Dice at it, Dice at 0.5
    """
    counts = np.zeros((2, BINS), np.int64)
    for scan in scans:
        assert scan.mask is not None
        found = segment(model, scan)
        counts += count_probabilities(scan.mask > 0, found.probability, scan.valid)
    counts = total(counts)
    threshold = best_threshold(counts)
    dice = precision_recall_curve(counts).set_index("threshold").dice
    return threshold, float(dice[threshold]), float(dice[0.5])
