"""What validation scans decide: the epoch that is kept, and the threshold of probability."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from medream.metrics import best_threshold, confusion, count_probabilities, overlap
from medream.metrics.probabilities import BINS, precision_recall_curve
from medream.scan import Scan
from medream.segmentation import segment


def validation_dice(model: keras.Model, scans: Sequence[Scan], threshold: float = 0.5) -> float:
    """Return the Dice of all scans' pixels pooled, averaged over the classes that the masks hold."""
    totals: dict[int, dict[str, int]] = {}
    for scan in scans:
        assert scan.mask is not None
        found = segment(model, scan, threshold)
        for label in range(1, len(found.classes) + 1):
            counts = confusion(scan.mask == label, found.mask == label, scan.valid)
            total = totals.setdefault(label, dict.fromkeys(counts, 0))
            for name, count in counts.items():
                total[name] += count
    present = [total for total in totals.values() if total["tp"] + total["fn"]]
    return float(np.mean([overlap(**total)["dice"] for total in present]))


def choose_threshold(model: keras.Model, scans: Sequence[Scan]) -> tuple[float, float, float]:
    """Choose the threshold of a network with one output on validation scans.

    It is the one with the best Dice of all their pixels pooled, in steps of 0.001.

    Returns
    -------
    threshold, Dice at it, Dice at 0.5
    """
    counts = np.zeros((2, BINS), np.int64)
    for scan in scans:
        assert scan.mask is not None
        found = segment(model, scan)
        counts += count_probabilities(scan.mask > 0, found.probability, scan.valid)
    threshold = best_threshold(counts)
    dice = precision_recall_curve(counts).set_index("threshold").dice
    return threshold, float(dice[threshold]), float(dice[0.5])
