"""Intervals of pooled scores, from resampling subjects."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from medream.metrics.counts import COUNTS, overlap
from medream.metrics.lesions import LESIONS, lesion_scores
from medream.statistics import bootstrap_interval

MEANS = {
    "mean_scan_dice": "dice",
    "mean_hd95_mm": "hd95_mm",
    "mean_assd_mm": "assd_mm",
    "mean_surface_dice": "surface_dice",
}
RESAMPLES = 2000  # as Efron and Tibshirani advise for BCa intervals; more take seconds
_OVERLAPS = ("dice", "iou", "precision", "recall")
_LESION_SCORES = ("lesion_sensitivity", "lesion_precision", "lesion_f1")


def pooled_intervals(scans: pd.DataFrame, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Return pooled scores with 95 % intervals.

    Subjects are resampled with all of their B-scans, since B-scans of one person are not independent.

    Parameters
    ----------
    scans : DataFrame
        One row per scan and class, as `evaluate` returns it.
    resamples : int

    Returns
    -------
    DataFrame
        One row per class and score: `estimate` (as in `summarize`), `low`, `high`, `method`, `subjects`,
        `note`; see `bootstrap_interval`. From fewer than about ten subjects intervals are too narrow.

    Examples
    --------
    >>> import numpy as np
    >>> from medream.metrics import score
    >>> masks = np.eye(4, dtype=bool), np.ones((4, 4), bool)
    >>> rows = [{"subject_id": s, "class": "fluid", **score(masks[0], masks[s > 1])} for s in range(4)]
    >>> found = pooled_intervals(pd.DataFrame(rows), resamples=99).set_index("score")
    >>> found.method["dice"], found.low["dice"] < found.estimate["dice"] < found.high["dice"]
    ('BCa', np.True_)
    """
    rows = []
    for name, group in scans.groupby("class", sort=True):
        # Sums of a subject's B-scans, so that a resample is a sum of few rows.
        columns = {column: group[column].to_numpy(float) for column in (*COUNTS, *LESIONS)}
        for score, column in MEANS.items():
            values = group[column].to_numpy(float)
            columns[score] = np.where(np.isfinite(values), values, 0.0)
            columns[f"{score} n"] = np.isfinite(values).astype(float)
        sums = pd.DataFrame(columns).groupby(group.subject_id.to_numpy()).sum()
        for score, value in _statistics(list(sums.columns)).items():
            found = bootstrap_interval(list(sums.to_numpy()[:, None]), value, resamples=resamples)
            rows.append(
                {
                    "class": name, "score": score, "estimate": found.estimate, "low": found.low,
                    "high": found.high, "method": found.method, "subjects": found.subjects,
                    "note": found.note,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _statistics(columns: list[str]) -> dict[str, Callable[[np.ndarray], float]]:
    """Return each score as a function of subjects' sums, (subjects, columns)."""
    counts, lesions = ([columns.index(name) for name in names] for names in (COUNTS, LESIONS))

    def of_pixels(name: str) -> Callable[[np.ndarray], float]:
        return lambda rows: overlap(*rows.sum(0)[counts])[name]

    def of_lesions(name: str) -> Callable[[np.ndarray], float]:
        return lambda rows: lesion_scores(*rows.sum(0)[lesions])[name]

    def mean(name: str) -> Callable[[np.ndarray], float]:
        part, n = columns.index(name), columns.index(f"{name} n")

        def value(rows: np.ndarray) -> float:
            total = rows[:, [part, n]].sum(0)
            return float(total[0] / total[1]) if total[1] else float("nan")

        return value

    return {
        **{name: of_pixels(name) for name in _OVERLAPS},
        **{name: mean(name) for name in MEANS},
        **{name: of_lesions(name) for name in _LESION_SCORES},
    }
