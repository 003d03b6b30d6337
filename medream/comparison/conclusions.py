"""What the differences between depths allow to say, and what they do not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from medream.comparison.chance import NearChance
from medream.comparison.differences import ALPHA
from medream.statistics import smallest_p

FEW = 10
"""Below this number of subjects bootstrap intervals are known to be too narrow."""


def conclusions(
    differences: pd.DataFrame, weak: Mapping[tuple[str, int], NearChance] | None = None
) -> list[str]:
    """Return a paragraph for each network near chance and for each two depths (and class, of several).

    Parameters
    ----------
    differences : DataFrame of `differences.difference_table`
    weak : mapping of `chance.near_chance`, optional
        Default: none is near chance.
    """
    weak = weak or {}
    classes = {*(differences["class"] if len(differences) else ()), *(name for name, _ in weak)}
    several = len(classes) > 1

    def of(name: str) -> str:
        return f"{name}: " if several else ""

    said = [of(name) + str(network) for (name, _), network in weak.items()]
    for row in differences.to_dict("records"):
        near = [
            weak[row["class"], row[part]]
            for part in ("deep", "shallow")
            if (row["class"], row[part]) in weak
        ]
        said.append(of(row["class"]) + _paragraph(row, len(differences), near))
    return said


def _paragraph(row: Mapping[Any, Any], family: int, near: Sequence[NearChance]) -> str:
    deep, shallow = _levels(row["deep"]), _levels(row["shallow"])
    n, d, low, high = (row[k] for k in ("subjects", "mean_difference", "low", "high"))
    interval = f" (95 % interval {_signed(low)} to {_signed(high)})" if math.isfinite(low) else ""
    said = [
        f"{deep} against {shallow}: the mean difference of the subjects' Dice is {_signed(d)}{interval}. "
        f"{deep} scored higher in {row['higher']} of {n} subjects and lower in {row['lower']}."
    ]
    if len(near) == 2:
        areas = " and ".join(f"{network.average_precision:.3f}" for network in near)
        return " ".join(
            [
                *said,
                f"Both have found nothing, or almost nothing (average precision {areas}, where a guess has "
                f"{near[0].share:.3f}): this is no difference between networks that work, whatever its "
                "interval or a test says.",
            ]
        )
    if near:
        said.append(
            f"The network with {near[0].label} has found nothing, or almost nothing: the difference tells that "
            "its training failed, and not what its depth is worth."
        )
    tested = math.isfinite(row["p_value"])
    apart = math.isfinite(low) and (low > 0 or high < 0)
    shown = tested and row["p_holm"] < ALPHA
    if shown:
        better = deep if row["rank_biserial"] > 0 else shallow
        said.append(
            f"{better} scored higher by more than chance explains ({_p(row, family)}; rank-biserial "
            f"correlation {row['rank_biserial']:+.2f})."
        )
        if math.isfinite(low) and not apart:
            said.append(
                "The interval of the mean includes zero all the same: its size is uncertain."
            )
    elif tested:
        said.append(
            f"No difference was shown ({_p(row, family)}), which is no proof that there is none."
        )
    else:
        said.append(
            f"There are too few subjects for a test: with {n} of them the smallest possible p-value is "
            f"{smallest_p(n):.2g}" + (f", times {family} comparisons." if family > 1 else ".")
        )
    if math.isfinite(low) and not shown:
        said.append(_not_excluded(deep, shallow, low, high))
        if apart:
            said.append(
                "The interval excludes zero, but that alone is an indication and no evidence."
            )
    if math.isfinite(low) and n < FEW:
        said.append(f"From {n} subjects bootstrap intervals are known to be too narrow.")
    if row["seeds_sd"] >= abs(d):
        said.append(
            f"Other seeds change this difference as much (standard deviation {row['seeds_sd']:.3f})."
        )
    return " ".join(said)


def _not_excluded(deep: str, shallow: str, low: float, high: float) -> str:
    ways = [
        f"{f'up to {bound:.3f}' if bound >= 0.001 else 'less than 0.001'} in favour of {name}"
        for bound, name in ((high, deep), (-low, shallow))
        if bound > 0
    ]
    if not ways:
        return "Both networks scored the same in all subjects."
    return f"What cannot be excluded is a difference in Dice of {' or of '.join(ways)}."


def _p(row: Mapping[Any, Any], family: int) -> str:
    p = row["p_holm"]
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return f"signed-rank test, {shown}" + (
        f", Holm-corrected for {family} comparisons" if family > 1 else ""
    )


def _signed(value: float) -> str:
    return "0.000" if abs(value) < 0.0005 else f"{value:+.3f}"


def _levels(count: int) -> str:
    return "1 level" if count == 1 else f"{count} levels"


def limits(datasets: list[str], subjects: int) -> list[str]:
    """Return what no comparison of this kind can show."""
    found = [
        f"The comparison is about {subjects} subjects of {', '.join(datasets)}, and about networks of this "
        "width, trained this long in this way. Other devices, diseases, graders or training may turn it "
        "round.",
        "The folds share most of their training subjects, so their scores are not independent; the "
        "intervals and tests treat the held-out subjects as the sample and do not contain the spread that "
        "other training subjects would bring.",
        "The reference is what graders drew. Where graders disagree by more than the networks differ, the "
        "difference has no meaning for patients.",
        "All subjects took part in choosing between the depths. The score of the chosen depth on them is "
        "therefore a little too good; new subjects tell its score.",
    ]
    if any("phantom" in name for name in datasets):
        found.insert(
            0, "The scans are synthetic: none of these scores says anything about patients."
        )
    return found
