"""The tables of a comparison: per subject, per fold, pooled; people are the unit of every mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from medream.comparison.results import Network, Results
from medream.metrics import COUNTS
from medream.statistics import Interval, bootstrap_interval

_KEYS = ["subject_id", "class"]
_PLACE = ("network", "levels", "seeds", "fold", *_KEYS)
# Counts, whose means over subjects say nothing.
_COUNTED = (*COUNTS, "scans", "volumes", "lesion_scans", "correct_negatives", "missed", "false_alarms",
            "lesions", "lesions_found", "lesions_predicted", "lesions_confirmed")  # fmt: skip
_TOTALS = ("scans", "lesion_scans", "missed", "false_alarms", "lesions", "lesions_found")
# Of a subject without lesion these are 0 with a false alarm and undefined without one, so that networks
# would be averaged over different people: they are averaged over the subjects with lesions.
_OVERLAPS = ("dice", "iou", "mean_scan_dice", "mean_surface_dice")


def subject_table(results: Results) -> pd.DataFrame:
    """Return one row per network, class and subject: the scores of its pooled B-scans, averaged over the seeds.

    Every subject was held out once. Counts are averaged as well: "missed" 0.33 of three seeds is one B-scan
    that one of them missed. `dice_seeds_sd` is the standard deviation of Dice over the seeds.
    """

    def subjects(network: Network) -> pd.DataFrame:
        table = pd.concat([run.subjects for run in network.runs], ignore_index=True)
        numbers = [name for name in table.columns if name not in _KEYS]
        table[numbers] = table[numbers].astype(float)
        groups = table.groupby(_KEYS, sort=True)
        found = groups[numbers].mean()
        found["dice_seeds_sd"] = groups["dice"].std()
        found = found.reset_index()
        found.insert(0, "fold", found.subject_id.map(results.fold_of))
        return found

    return _stacked(results, subjects)


def fold_table(results: Results) -> pd.DataFrame:
    """Return one row per network, seed, fold and class: the fold's test subjects pooled."""

    def folds(network: Network) -> pd.DataFrame:
        parts = [
            evaluation.pooled().assign(seed=run.seed, fold=fold)
            for run in network.runs
            for fold, evaluation in run.folds.items()
        ]
        table = pd.concat(parts, ignore_index=True)
        return table[["seed", "fold", *table.columns.drop(["seed", "fold"])]]

    return _stacked(results, folds)


def pooled_table(results: Results, subjects: pd.DataFrame) -> pd.DataFrame:
    """Return one row per network, class and score, with its interval over subjects.

    Scores are "mean_subject_..." (of the subjects' own scores), "pooled_dice" (of the pixels of all subjects
    together), "pooled_average_precision" and "pooled_expected_calibration_error" (likewise, without interval)
    and "total_..." (counts, without interval).

    Parameters
    ----------
    results : Results
    subjects : DataFrame of `subject_table`

    Returns
    -------
    DataFrame
        network, levels, seeds, class, score, estimate, low, high (of 95 %), method, subjects (that the score
        is defined for), seeds_sd (standard deviation over the seeds; of Dice only), note.
    """

    def pooled(network: Network) -> pd.DataFrame:
        own = subjects[subjects.network == network.name]
        rows = [
            {"class": name, **row}
            for name, part in own.groupby("class", sort=True)
            for row in [
                *_pooled(network, str(name), part),
                *_of_pixels(network, str(name), len(part)),
            ]
        ]
        return pd.DataFrame(rows)

    return _stacked(results, pooled)


def _pooled(network: Network, name: str, part: pd.DataFrame) -> Iterator[dict[str, Any]]:
    with_lesions = part[part.tp + part.fn > 0]
    people = with_lesions.subject_id.tolist()
    for score in part.columns:
        if score in (*_PLACE, *_COUNTED, "dice_seeds_sd"):
            continue
        values = (with_lesions if score in _OVERLAPS else part)[score].dropna().tolist()
        if values:
            each = [subject_dice(run.subjects, name, people).mean() for run in network.runs]
            yield _row(
                f"mean_subject_{score}", bootstrap_interval(values), each if score == "dice" else []
            )
    counts = network.counts(name, part.subject_id.tolist())
    found = bootstrap_interval(list(counts[:, None]), pooled_dice)
    yield _row(
        "pooled_dice", found, [float(pooled_dice(counts[:, [k]])) for k in range(counts.shape[1])]
    )
    for total in _TOTALS:
        number = Interval(float(part[total].sum()), np.nan, np.nan, "count", len(part))
        yield _row(f"total_{total}", number, [])


def _of_pixels(network: Network, name: str, subjects: int) -> Iterator[dict[str, Any]]:
    for score, value in (
        ("pooled_average_precision", network.average_precision(name)),
        ("pooled_expected_calibration_error", network.calibration_error(name)),
    ):
        yield _row(score, Interval(value, np.nan, np.nan, "none", subjects), [])


def subject_dice(table: pd.DataFrame, name: str, subjects: list[str]) -> np.ndarray:
    """Return the Dice of one class for some subjects, in their order."""
    own = table[table["class"] == name].set_index("subject_id")
    return own.loc[subjects, "dice"].to_numpy(float)


def pooled_dice(counts: np.ndarray, axis: int = 0) -> Any:
    """Return the Dice of pooled pixels, averaged over runs, of counts (subjects, runs, 3) as `Network.counts`.

    Parameters
    ----------
    counts : array
    axis : int
        Of the subjects.

    Examples
    --------
    >>> float(pooled_dice(np.array([[[2, 1, 1]], [[0, 0, 2]]])))
    0.5
    """
    tp, fp, fn = np.moveaxis(counts.sum(axis=axis), -1, 0)
    whole = 2 * tp + fp + fn
    dice = np.divide(2 * tp, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
    return dice.mean(axis=-1)


def _row(score: str, found: Interval, over_seeds: list[float]) -> dict[str, Any]:
    return {
        "score": score, "estimate": found.estimate, "low": found.low, "high": found.high,
        "method": found.method, "subjects": found.subjects,
        "seeds_sd": float(np.std(over_seeds, ddof=1)) if len(over_seeds) > 1 else np.nan,
        "note": found.note,
    }  # fmt: skip


def _stacked(results: Results, table: Callable[[Network], pd.DataFrame]) -> pd.DataFrame:
    parts = []
    for network in results.networks:
        part = table(network)
        part.insert(0, "seeds", max(network.members, len(network.runs)))
        part.insert(0, "levels", network.levels)
        part.insert(0, "network", network.name)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
