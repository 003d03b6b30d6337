"""Whether a B-scan holds a lesion at all.

The score of a B-scan is the maximum of its predicted probabilities over the valid pixels. With it, the
operating point at a threshold t of the ROC curve is the one that `segment(threshold=t)` has: a
B-scan counts as positive as soon as one pixel reaches t, which is how `missed` and `false_alarms` are
counted. It needs no choice of its own, and does not depend on the size of the picture, as a sum over
pixels would. Saturated networks give many B-scans the same maximum; ties count one half.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from medream.metrics.counts import ratio


def detection_auc(lesion: np.ndarray, score: np.ndarray) -> float:
    """Return the area under the ROC curve: how often a B-scan with lesion scores above one without.

    Parameters
    ----------
    lesion : bool array (scans,)
    score : float array (scans,)
        Higher where a lesion is more likely.

    Returns
    -------
    float
        In [0, 1], 0.5 by chance; NaN without B-scans of both kinds, or when a score is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> detection_auc(np.array([True, True, False]), np.array([0.9, 0.2, 0.2]))
    0.75
    """
    lesion, score = np.asarray(lesion, bool), np.asarray(score, float)
    positive, negative = int(lesion.sum()), int((~lesion).sum())
    if not (positive and negative) or np.isnan(score).any():
        return float("nan")
    ranks = stats.rankdata(score)[lesion].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))


def detection_scores(lesion: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Return sensitivity and specificity of "there is a lesion in this B-scan" at the threshold used.

    NaN without B-scans of that kind.

    Examples
    --------
    >>> import numpy as np
    >>> detection_scores(np.array([True, True, False]), np.array([True, False, False]))
    {'detection_sensitivity': 0.5, 'detection_specificity': 1.0}
    """
    lesion, found = np.asarray(lesion, bool), np.asarray(found, bool)
    return {
        "detection_sensitivity": ratio(int((lesion & found).sum()), int(lesion.sum())),
        "detection_specificity": ratio(int((~lesion & ~found).sum()), int((~lesion).sum())),
    }
