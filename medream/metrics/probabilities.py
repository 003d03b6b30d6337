"""What predicted probabilities are worth: calibration, precision and recall at every threshold.

All of it is worked out from counts of pixels per bin of probability, which add up over scans, folds and
machines, so that no probability map need be kept.

**Bins and thresholds.** With `bins` = 1000, bin k holds the probabilities from k / 1000 on and below
(k + 1) / 1000; the last one holds 1 as well. A threshold t = k / 1000 therefore separates whole bins: the
pixels of the bins k, k + 1, ... are exactly those for which `probability >= t`, the rule of
`segmentation.segment`, in the probability's own type (NumPy compares a float32 array with
float32(t), and so do the bins). What the curves say of a threshold is what `segment` does with it, to
the last pixel.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

BINS = 1000


def count_probabilities(
    reference: np.ndarray,
    probability: np.ndarray,
    valid: np.ndarray | None = None,
    bins: int = BINS,
) -> np.ndarray:
    """Count background and lesion pixels per bin of predicted probability.

    Parameters
    ----------
    reference : bool array
    probability : float array of the same shape, in [0, 1]
    valid : bool array of the same shape, or None
        Pixels that count.
    bins : int

    Returns
    -------
    int64 array (2, bins)
        Row 0: background pixels, row 1: lesion pixels. Counts of several scans may be added.

    Raises
    ------
    ValueError
        When shapes differ, or a probability is no number or not in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> count_probabilities(np.array([0, 1, 1], bool), np.array([0.1, 0.5, 1.0]), bins=2)
    array([[1, 0],
           [0, 2]])
    """
    reference, probability = np.asarray(reference, bool), np.asarray(probability)
    if reference.shape != probability.shape:
        raise ValueError(f"reference {reference.shape} and probability {probability.shape} differ")
    if valid is not None:
        reference, probability = reference[valid], probability[valid]
    if probability.size and not (probability.min() >= 0 and probability.max() <= 1):
        raise ValueError(
            f"probabilities run from {probability.min():g} to {probability.max():g}, expected [0, 1]"
        )
    edges = _thresholds(bins).astype(probability.dtype)
    # A product may be rounded over an edge; the edges themselves decide.
    place = np.minimum((probability * bins).astype(np.intp), bins - 1)
    place -= probability < edges[place]
    place += probability >= np.append(edges[1:], np.inf)[place]
    return np.bincount((place + bins * reference).ravel(), minlength=2 * bins).reshape(2, bins)


def _thresholds(bins: int) -> np.ndarray:
    """Return the lower edges of the bins: 0, 1 / bins, ... , (bins - 1) / bins."""
    return np.arange(bins) / bins


def calibration_curve(counts: np.ndarray, bins: int = 10) -> pd.DataFrame:
    """Return how often pixels are lesion beside how often they were said to be.

    Parameters
    ----------
    counts : int array (2, n) of `count_probabilities`
    bins : int
        Of equal width over [0, 1]; a divisor of n.

    Returns
    -------
    DataFrame
        One row per bin: `probability` (mean of the predicted ones, from the middles of the fine bins: off
        by at most half of a fine bin, 0.0005), `frequency` (of lesion pixels), `pixels`. The first two
        are NaN where there are no pixels.

    Raises
    ------
    ValueError
        When the fine bins cannot be joined into so many.

    Examples
    --------
    >>> import numpy as np
    >>> counts = count_probabilities(np.array([0, 0, 0, 1], bool), np.full(4, 0.25))
    >>> calibration_curve(counts).dropna().round(4).values.tolist()
    [[0.2505, 0.25, 4.0]]
    """
    fine = counts.shape[1]
    if fine % bins:
        raise ValueError(f"{fine} bins of probability cannot be joined into {bins}")
    pixels = counts.sum(0)
    said = (pixels * (_thresholds(fine) + 0.5 / fine)).reshape(bins, -1).sum(1)
    together = pixels.reshape(bins, -1).sum(1)
    lesion = counts[1].reshape(bins, -1).sum(1)
    return pd.DataFrame(
        {
            "probability": _ratio(said, together),
            "frequency": _ratio(lesion, together),
            "pixels": together,
        }
    )


def expected_calibration_error(counts: np.ndarray, bins: int = 10) -> float:
    """Return the mean distance of predicted probability and observed frequency over all pixels.

    Bins of equal width, each weighted by its pixels [1]_. Most pixels of a B-scan are easy background,
    so that small values come cheaply: compare models on the same scans, and look at the curve. NaN
    without pixels.

    References
    ----------
    .. [1] Guo et al., "On calibration of modern neural networks", ICML 2017. arXiv:1706.04599

    Examples
    --------
    >>> import numpy as np
    >>> counts = count_probabilities(np.array([0, 0, 0, 1], bool), np.full(4, 0.75))
    >>> round(expected_calibration_error(counts), 4)
    0.5005
    """
    curve = calibration_curve(counts, bins)
    apart = (curve.probability - curve.frequency).abs() * curve.pixels
    return float(apart.sum() / curve.pixels.sum()) if curve.pixels.sum() else float("nan")


def precision_recall_curve(counts: np.ndarray) -> pd.DataFrame:
    """Return precision, recall and Dice of the pooled pixels at every threshold.

    Parameters
    ----------
    counts : int array (2, n) of `count_probabilities`

    Returns
    -------
    DataFrame
        `threshold` (0, 1 / n, ... , (n - 1) / n), `precision` (NaN where nothing reaches the threshold),
        `recall` (NaN without lesion pixels), `dice` (NaN where both are empty).

    Examples
    --------
    >>> import numpy as np
    >>> counts = count_probabilities(np.array([0, 1, 1], bool), np.array([0.1, 0.4, 0.8]), bins=2)
    >>> precision_recall_curve(counts)["recall"].tolist()
    [1.0, 0.5]
    """
    fp, tp = (np.cumsum(row[::-1])[::-1] for row in counts)
    lesion = counts[1].sum()
    return pd.DataFrame(
        {
            "threshold": _thresholds(counts.shape[1]),
            "precision": _ratio(tp, tp + fp),
            "recall": _ratio(tp, np.full_like(tp, lesion)),
            "dice": _ratio(2 * tp, tp + fp + lesion),
        }
    )


def average_precision(counts: np.ndarray) -> float:
    """Return the area under the precision-recall curve of pixels, as a sum of steps.

    Precision times the gain in recall from one threshold to the next lower one, without interpolation,
    as in scikit-learn. NaN without lesion pixels.

    Examples
    --------
    >>> import numpy as np
    >>> reference, probability = np.array([0, 0, 1, 1], bool), np.array([0.1, 0.4, 0.35, 0.8])
    >>> round(average_precision(count_probabilities(reference, probability)), 4)
    0.8333
    """
    if not counts[1].any():
        return float("nan")
    curve = precision_recall_curve(counts)
    gain = -np.diff(curve.recall, append=0.0)
    return float((gain * curve.precision.fillna(0.0)).sum())


def best_threshold(counts: np.ndarray) -> float:
    """Return the threshold with the largest pooled Dice; of several, the one nearest 0.5.

    0 is left out, at which everything would be lesion. Without lesion pixels nothing tells thresholds
    apart, and it is 0.5.

    Examples
    --------
    >>> import numpy as np
    >>> best_threshold(count_probabilities(np.array([0, 1], bool), np.array([0.1, 0.3])))
    0.3
    """
    if not counts[1].any():
        return 0.5
    curve = precision_recall_curve(counts).iloc[1:]
    # Two quotients of whole numbers that are equal are equal as floats too.
    best = curve.threshold[curve.dice == curve.dice.max()].to_numpy()
    return float(best[np.argmin(np.abs(best - 0.5))])


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, NaN where whole is 0."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole != 0)
