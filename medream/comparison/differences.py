"""Depth against depth on the same subjects: differences, their intervals and tests."""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from medream.comparison.results import Network, Results
from medream.comparison.tables import pooled_dice, subject_dice
from medream.statistics import bootstrap_interval, holm, paired_test

ALPHA = 0.05


def difference_table(results: Results, subjects: pd.DataFrame) -> pd.DataFrame:
    """Compare every two depths by the Dice of subjects with lesions, the deeper minus the shallower one.

    Seeds are averaged within each subject first: they are repetitions, not people. All tests of the table are
    one family for Holm's correction.

    Parameters
    ----------
    results : Results
    subjects : DataFrame of `tables.subject_table`

    Returns
    -------
    DataFrame
        One row per class and two depths (none for a single depth): shallow, deep (levels); subjects;
        mean_difference, low, high, method (bootstrap over subjects); pooled_difference with pooled_low,
        pooled_high; shift, shift_low, shift_high (Hodges-Lehmann); p_value, p_holm (NaN where no test is
        made); rank_biserial; higher, lower, equal (subjects in which the deeper one scores so); seeds_sd
        (of the mean difference); note.
    """
    pairs = list(itertools.combinations(results.single, 2))
    family = len(pairs) * len(results.classes)
    rows = []
    for name in results.classes:
        for shallow, deep in pairs:
            people = _with_lesions(subjects, name)
            dice = {
                network.name: subject_dice(subjects[subjects.network == network.name], name, people)
                for network in (shallow, deep)
            }
            d = dice[deep.name] - dice[shallow.name]
            mean, test = (
                bootstrap_interval(d.tolist()),
                paired_test(d, comparisons=family, alpha=ALPHA),
            )
            everybody = sorted(subjects.subject_id.unique())
            counts = [network.counts(name, everybody) for network in (shallow, deep)]
            runs = counts[0].shape[1]
            together = np.concatenate(counts, axis=1)[:, None]
            whole = bootstrap_interval(list(together), partial(_pooled_difference, runs=runs))
            rows.append(
                {
                    "class": name, "shallow": shallow.levels, "deep": deep.levels, "subjects": len(d),
                    "mean_difference": mean.estimate, "low": mean.low, "high": mean.high,
                    "method": mean.method,
                    "pooled_difference": whole.estimate, "pooled_low": whole.low, "pooled_high": whole.high,
                    "shift": test.shift.estimate, "shift_low": test.shift.low, "shift_high": test.shift.high,
                    "p_value": test.p_value, "rank_biserial": test.rank_biserial,
                    "higher": int((d > 1e-12).sum()), "lower": int((d < -1e-12).sum()), "equal": test.zeros,
                    "seeds_sd": _over_seeds(shallow, deep, name, people),
                    "note": "; ".join(filter(None, (test.note, mean.note, test.shift.note))),
                }
            )  # fmt: skip
    if not rows:
        return pd.DataFrame(columns=["class"])
    table = pd.DataFrame(rows)
    place = list(table.columns).index("p_value") + 1
    table.insert(place, "p_holm", holm(table.p_value.tolist()))
    return table


def _pooled_difference(counts: np.ndarray, axis: int = 0, *, runs: int) -> Any:
    """Return the difference in pooled Dice of counts (subjects, runs of both networks, 3)."""
    shallow, deep = counts[..., :runs, :], counts[..., runs:, :]
    return pooled_dice(deep, axis) - pooled_dice(shallow, axis)


def _with_lesions(subjects: pd.DataFrame, name: str) -> list[str]:
    own = subjects[(subjects["class"] == name) & (subjects.tp + subjects.fn > 0)]
    return sorted(own.subject_id.unique())


def _over_seeds(shallow: Network, deep: Network, name: str, people: list[str]) -> float:
    """Return the standard deviation over the seeds of the mean difference."""
    means = [
        float(
            np.mean(subject_dice(b.subjects, name, people) - subject_dice(a.subjects, name, people))
        )
        for a, b in zip(shallow.runs, deep.runs, strict=True)
    ]
    return float(np.std(means, ddof=1)) if len(means) > 1 else math.nan
