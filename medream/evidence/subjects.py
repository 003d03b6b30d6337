"""Tables of scans brought to people: a mean over subjects, with an interval that resamples them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from medream.scan import Scan
from medream.statistics import Interval, bootstrap_interval

RESAMPLES = 2000  # as `metrics.intervals`


def who(scan: Scan) -> dict[str, str]:
    """Return the columns that name a scan in a table."""
    return {"subject": scan.source.subject_id, "scan": scan.source.name}


def over_subjects(
    table: pd.DataFrame, by: Sequence[str], values: Sequence[str], resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Average the scans of each subject, then the subjects, with 95 % intervals.

    Every person counts alike, however many scans there are of them.

    Parameters
    ----------
    table : DataFrame
        With a column "subject"; one row per scan and group.
    by : sequence of str
        Columns that make the groups.
    values : sequence of str
        Columns to average; rows where a value is NaN do not count for it.
    resamples : int

    Returns
    -------
    DataFrame
        One row per group and value: the columns of `by`, `measure`, `estimate`, `low`, `high`, `method`,
        `subjects` and `scans` that have a value, `undefined` (scans that have none), `note`; see
        `medream.statistics.bootstrap_interval`. From fewer than about ten subjects intervals are too
        narrow, and from one there is none.

    Examples
    --------
    >>> table = pd.DataFrame({"subject": list("aab"), "layer": ["mid"] * 3, "ssim": [0.2, 0.4, 0.7]})
    >>> over_subjects(table, ["layer"], ["ssim"])[["layer", "measure", "estimate"]].values.tolist()
    [['mid', 'ssim', 0.5]]
    """
    rows = []
    for key, group in table.groupby(list(by), sort=False, dropna=False):
        for value in values:
            means = group.groupby("subject", sort=False)[value].mean().dropna()
            known = int(group[value].notna().sum())
            rows.append(
                {
                    **dict(zip(by, key, strict=True)),
                    "measure": value,
                    **bounds(bootstrap_interval(means.tolist(), resamples=resamples)),
                    "scans": known,
                    "undefined": len(group) - known,
                }
            )
    return pd.DataFrame(rows)


def bounds(found: Interval, name: str = "estimate") -> dict[str, Any]:
    """Return an interval as columns of a table."""
    return {
        name: found.estimate,
        "low": found.low,
        "high": found.high,
        "method": found.method,
        "subjects": found.subjects,
        "note": found.note if found.subjects or not math.isnan(found.estimate) else "no value",
    }
