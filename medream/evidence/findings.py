"""What is measured for the panel, and what each part comes to in a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import pandas as pd

from medream.dream.config import DreamConfig
from medream.dream.result import DreamResult
from medream.errors import ConfigError, MedreamError
from medream.evidence.ablation import ablation_test
from medream.evidence.activations import activate
from medream.evidence.attribution import Score, deletion_insertion, gradient_times_input
from medream.evidence.dissection import Dissection, dissect
from medream.evidence.effective_field import field_table
from medream.evidence.localization import (
    Shifts,
    against_chance,
    chance,
    energy_by_distance,
    enrichment_by_subject,
)
from medream.evidence.response import response_study, summarize_response
from medream.evidence.retina import retina_bounds
from medream.evidence.subjects import RESAMPLES, over_subjects, who
from medream.evidence.units import Survey, survey
from medream.scan import Scan
from medream.statistics import Interval, bootstrap_interval, holm, paired_test

MAPS = ("dream", "control", "activation", "gradient x input")
ALPHA = 0.05
CURVE_STEPS = 10
"""Shares of the pixels at which deletion and insertion are measured."""


@dataclass(frozen=True)
class Finding:
    """One thing that the panel says.

    Parameters
    ----------
    topic : str
    sentence : str
        What was measured, with its interval and test.
    not_shown : str
        What it does not show.
    present : bool or None
        Whether there is evidence; None where the sentence only describes.
    tested : bool
        Whether there was a test; without one nothing is shown, for or against.
    """

    topic: str
    sentence: str
    not_shown: str
    present: bool | None = None
    tested: bool = True

    @property
    def verdict(self) -> str:
        """Return "Shown", "Not shown", "Not tested" or "Measured"."""
        if self.present is None:
            return "Measured"
        return ("Shown" if self.present else "Not shown") if self.tested else "Not tested"


@dataclass(frozen=True)
class Draft:
    """A finding before its test is corrected; `present` is what holds beside p."""

    topic: str
    sentence: str  # "{p}" stands for the corrected test
    not_shown: str
    p: float | None = None
    present: bool | None = None
    untested: str = "no test: too few subjects"


def settled(drafts: Sequence[Draft]) -> tuple[Finding, ...]:
    tested = [k for k, each in enumerate(drafts) if each.p is not None and math.isfinite(each.p)]
    corrected = dict(zip(tested, holm([drafts[k].p for k in tested]), strict=True))  # type: ignore[misc]
    found = []
    for number, each in enumerate(drafts):
        present, words = each.present, each.untested
        if number in corrected:
            p = corrected[number]
            words = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
            present = bool(each.present) and p < ALPHA
        elif each.present is not None:
            present = False
        found.append(
            Finding(
                each.topic, each.sentence.format(p=words), each.not_shown, present,
                tested=each.present is None or number in corrected,
            )
        )  # fmt: skip
    return tuple(found)


def _words(value: float, low: float, high: float, digits: int = 2) -> str:
    if not math.isfinite(value):
        return "undefined"
    if not math.isfinite(low):
        return f"{value:.{digits}f} (no interval)"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _people(count: int) -> str:
    return f"{count} subject{'s' * (count != 1)}"


def controls_finding(summary: pd.DataFrame, layer: str) -> Draft:
    """Say how far dreams differ from their controls."""
    rows = summary[summary.measure == "ssim"].set_index("kind")
    own = rows.loc[["redrawn"]].iloc[0]
    parts = [
        f"SSIM with the same dream on re-drawn weights {_words(own.estimate, own.low, own.high)}"
    ]
    if "noise" not in rows.index:
        raise ConfigError("The panel needs the ceiling of its controls: noise above 0.")
    top = rows.loc[["noise"]].iloc[0]
    parts.append(
        f"with itself, started from the scan and noise of 1e-4, {_words(top.estimate, top.low, top.high)}"
    )
    for kind, words in (("shuffled", "on a network trained on masks that do not belong"),
                        ("retrained", "on networks trained from other seeds")):  # fmt: skip
        if kind in rows.index:
            row = rows.loc[[kind]].iloc[0]
            parts.append(f"{words} {_words(row.estimate, row.low, row.high)}")
    low = top.estimate < 0.3
    sentence = (
        f"Dreams of {layer}: {'; '.join(parts)}. Below its ceiling by "
        f"{_words(own.below, own.below_low, own.below_high)} ({{p}}, {_people(int(own.subjects))})."
    )
    if low:
        sentence += " The ceiling is low: dreams of so many steps hardly repeat, take fewer."
    return Draft(
        "Control",
        sentence,
        "That a dream depends on the learned weights does not make it right, nor about lesions."
        + (
            ""
            if "shuffled" in rows.index
            else " A network trained on wrong masks was not compared."
        ),
        None if pd.isna(own.p) else float(own.p),
        bool(own.below > 0),
    )


@dataclass(frozen=True, eq=False)
class Seen:
    """A scan with a lesion in its retina, and the maps whose energy is compared; none is negative."""

    scan: Scan
    lesion: np.ndarray
    score: Score
    maps: dict[str, np.ndarray]


def look_at_lesions(
    model: keras.Model, layer: str, own: Sequence[tuple[Scan, DreamResult]]
) -> list[Seen]:
    """Return the maps of all scans that have something to find.

    Raises
    ------
    ConfigError
        When none has.
    """
    seen = []
    for scan, result in own:
        if scan.mask is None:
            continue
        lesion = (scan.mask > 0) & (True if scan.valid is None else scan.valid)
        if not (lesion & _shifts(scan).retina).any():
            continue
        assert result.control is not None
        score = Score(model, lesion)
        valid = 1.0 if scan.valid is None else scan.valid.astype(np.float32)
        maps = {
            "dream": np.abs(result.dream - result.original),
            "control": np.abs(result.control - result.original),
            "activation": strength(model, layer, scan),
            "gradient x input": np.abs(gradient_times_input(score, scan.image)),
        }
        maps = {name: np.squeeze(values) * valid for name, values in maps.items()}
        seen.append(Seen(scan, lesion, score, maps))
    if not seen:
        raise ConfigError(_nothing([scan for scan, _ in own]))
    return seen


def _nothing(scans: Sequence[Scan]) -> str:
    if all(scan.mask is None for scan in scans):
        return "None of the scans has a mask, so that nobody knows where the lesions are."
    return "No scan has a lesion within the retina, so that there is nothing to find."


def strength(model: keras.Model, layer: str, scan: Scan) -> np.ndarray:
    """Return the mean magnitude of a layer's units at the scan's size, (depth, width)."""
    found = activate(model, layer, scan)
    return replace(found, full=np.abs(found.full).mean(axis=-1, keepdims=True)).upsampled()[..., 0]


def _shifts(scan: Scan) -> Shifts:
    return Shifts(*retina_bounds(scan.image, scan.valid), len(scan.image))


def localization_findings(
    seen: Sequence[Seen], layer: str, rounds: int, seed: int, tables: dict[str, pd.DataFrame]
) -> list[Draft]:
    """Say where the maps put their energy."""
    measured: dict[str, list[Mapping[str, np.ndarray]]] = {name: [] for name in MAPS}
    people = [each.scan.source.subject_id for each in seen]
    distances = []
    for number, each in enumerate(seen):
        shifts = _shifts(each.scan)
        for name, energy in each.maps.items():
            measured[name].append(chance(energy, each.lesion, shifts, rounds, seed + number))
            if each.scan.spacing_mm is not None:
                table = energy_by_distance(
                    energy, each.lesion, each.scan.spacing_mm, within=shifts.retina
                )
                distances.append(table.assign(**who(each.scan), map=name))
    found = {name: against_chance(each, people).assign(map=name) for name, each in measured.items()}
    by_subject = {
        name: enrichment_by_subject(each, people, "relevance_mass")
        for name, each in measured.items()
    }
    tables["localization"] = pd.concat(found.values(), ignore_index=True)
    tables["enrichment_by_subject"] = pd.DataFrame(by_subject).rename_axis("subject").reset_index()
    if distances:
        tables["energy_by_distance"] = pd.concat(distances, ignore_index=True)

    def interval(name: str) -> Interval:
        return bootstrap_interval(
            [v for v in by_subject[name].values() if math.isfinite(v)], resamples=RESAMPLES
        )

    mass: Any = found["dream"].set_index("measure").loc["relevance_mass"]
    dream, control = interval("dream"), interval("control")
    others = ", ".join(
        f"{name} {_words(of_map.estimate, of_map.low, of_map.high)}"
        for name in MAPS[2:]
        if math.isfinite((of_map := interval(name)).estimate)
    )
    apart = pd.DataFrame(by_subject)[["dream", "control"]].dropna()
    apart = apart[(apart > 0).all(axis=1)]
    test = paired_test(np.log(apart.to_numpy()) @ [1, -1])
    beyond = len(apart) > 0 and np.log(apart.dream / apart.control).mean() > 0
    return [
        Draft(
            "Localisation beyond the control",
            f"Dreams of {layer} put {_words(dream.estimate, dream.low, dream.high)} times as much energy in "
            f"lesions as in the same shapes elsewhere in the retina (p = {mass.p:.3f} over {rounds} such places "
            f"in these {int(mass.scans)} scans, which says nothing of other people), the same dreams on re-drawn "
            f"weights {_words(control.estimate, control.low, control.high)} times; dream over control "
            f"{_ratio(apart)} ({{p}}, {_people(len(apart))}). For comparison: {others}.",
            "A dream that is no more in lesions than its control shows where the scan has edges and contrast, "
            "which any network answers to, and nothing that was learned about lesions. One that is does not "
            "say that the network segments by what it shows.",
            None if test.p_value is None or not math.isfinite(test.p_value) else test.p_value,
            bool(beyond and dream.estimate > 1),
        )
    ]


def _ratio(apart: pd.DataFrame) -> str:
    if not len(apart):
        return "undefined"
    found = bootstrap_interval(np.log(apart.to_numpy()) @ [1, -1], resamples=RESAMPLES)
    return _words(math.exp(found.estimate), math.exp(found.low), math.exp(found.high))


def faithfulness_findings(
    seen: Sequence[Seen], layer: str, tables: dict[str, pd.DataFrame]
) -> list[Draft]:
    """Say whether the pixels that a map calls large are those that the lesions' score hangs on."""
    if not seen:
        raise ConfigError("There are no lesions whose score could be measured.")
    rows = []
    for each in seen:
        for name, energy in each.maps.items():
            try:
                shares, *areas = deletion_insertion(
                    each.score, each.scan.image, energy, CURVE_STEPS
                )
            except ConfigError:
                continue  # a network that a blurred scan means as much to
            deletion, insertion = (float(np.trapezoid(curve, shares)) for curve in areas)
            rows.append(
                {**who(each.scan), "map": name, "deletion": deletion, "insertion": insertion}
            )
    if not rows:
        raise ConfigError(
            "Blurring the scans does not change what the network says of their lesions, so that there is "
            "nothing to take away."
        )
    tables["deletion_insertion"] = table = pd.DataFrame(rows)
    summary = over_subjects(table, ["map"], ["deletion", "insertion"])
    tables["deletion_insertion_summary"] = summary
    found: Any = summary.set_index(["measure", "map"])

    def listed(measure: str) -> str:
        return ", ".join(
            f"{name} {_words(row.estimate, row.low, row.high)}"
            for name in MAPS
            for row in [found.loc[(measure, name)]]
        )

    apart = table.groupby(["subject", "map"]).deletion.mean().unstack("map")
    lower = (apart.control - apart.dream).to_numpy()
    test = paired_test(lower)
    return [
        Draft(
            "Deletion and insertion",
            f"Blurring the pixels that the dream of {layer} changed most, a tenth of the scan at a time, takes "
            f"the network's score of the lesions away {'faster' if lower.mean() > 0 else 'more slowly'} than "
            f"those of its control; difference of areas {_words(*_mean(lower))} ({{p}}, {_people(len(apart))}). "
            f"Areas under deletion, small "
            f"where the pixels mattered: {listed('deletion')}; under insertion, large: "
            f"{listed('insertion')}.",
            "Blurred pixels are strange to the network as well; and what matters for the score is not yet what "
            "the network looks for.",
            None if test.p_value is None or not math.isfinite(test.p_value) else test.p_value,
            bool(lower.mean() > 0),
        )
    ]


def _mean(values: np.ndarray) -> tuple[float, float, float]:
    found = bootstrap_interval(values.tolist(), resamples=RESAMPLES)
    return found.estimate, found.low, found.high


def response_findings(
    model: keras.Model, scans: Sequence[Scan], layer: str, config: DreamConfig,
    tables: dict[str, pd.DataFrame],
) -> list[Draft]:  # fmt: skip
    table = response_study(model, scans, layer, config=config)
    tables["response"], summary = table, summarize_response(table)
    tables["response_summary"] = summary
    last = summary.step.max()
    drafts = []
    for name in dict.fromkeys(summary["class"]):
        own = (
            summary[summary["class"] == name].set_index(["measure", "ascent", "step"]).sort_index()
        )
        measure = "area_mm2" if own.loc[("area_mm2", "dream", 0)].subjects else "area_px"
        unit, digits = ("mm²", 3) if measure == "area_mm2" else ("pixels", 0)
        rows = [
            own.loc[(measure, *place)]
            for place in (("dream", 0), ("dream", last), ("control", last))
        ]
        start, end, control = (_words(r.estimate, r.low, r.high, digits) for r in rows)
        dice = own.loc[("dice_first", "dream", last)]
        drafts.append(
            Draft(
                "Response",
                f"The network sees {start} {unit} of {name} in the scans, {end} in their dreams and {control} in "
                f"the controls (means over {_people(int(rows[0].subjects))}); Dice of what it sees in dream "
                f"and scan: {_words(dice.estimate, dice.low, dice.high)}.",
                "A dream is an adversary of the network that it was made for; that the network calls it a "
                "lesion does not make it look like one.",
            )
        )
    return drafts


def field_findings(
    models: Mapping[str, keras.Model], layer: str, scans: Sequence[Scan],
    tables: dict[str, pd.DataFrame], fields: dict[str, np.ndarray],
) -> list[Draft]:  # fmt: skip
    """Say how far units look beside how large lesions are; `fields` gets the effective ones."""

    def keep(name: str, layer: str, field: np.ndarray) -> None:
        fields[name] = field

    table = field_table(models, [layer], scans, on_field=keep)
    tables["receptive_field"] = table
    said = []
    rows: list[Any] = list(table.itertuples())
    for row in rows:
        in_mm = math.isfinite(row.depth_um)
        unit, ending = ("µm", "um") if in_mm else ("pixels", "px")
        own, most = (
            [getattr(row, f"{kind}{axis}_{ending}") for axis in ("depth", "width")]
            for kind in ("", "theoretical_")
        )
        words = "the whole image" if math.isinf(most[0]) else f"{most[0]:.0f} x {most[1]:.0f}"
        fit = (
            f"; {100 * row.fit:.0f} % of the {row.lesions} lesions fit into it"
            if row.lesions
            else ""
        )
        where = f" of {row.model}" if len(table) > 1 else ""
        said.append(
            f"A unit of {layer}{where} looks at {own[0]:.0f} x {own[1]:.0f} {unit} (depth x width, "
            f"theoretical at most {words}){fit}."
        )
    return [
        Draft(
            "Receptive field",
            " ".join(said),
            "A lesion that does not fit may still be found by its border, and one that fits be missed.",
        )
    ]


@dataclass(frozen=True, eq=False)
class Units:
    """What is known of a layer's units, for figures."""

    survey: Survey
    dissection: Dissection
    named: pd.DataFrame


def unit_findings(
    model: keras.Model, layer: str, scans: Sequence[Scan], tables: dict[str, pd.DataFrame],
    keep: Callable[[Units], None],
) -> list[Draft]:  # fmt: skip
    """Say which units are dead or copies, which overlap a concept, and what their absence costs."""
    found = survey(model, layer, scans)
    tables["units"], tables["duplicates"] = found.table(), found.duplicates()
    dead = len(found.dead())
    drafts = [
        Draft(
            "Units",
            f"Of the {len(found.mean)} units of {layer} {dead} are never active on these scans; "
            f"{len(tables['duplicates'])} pairs are copies of each other (correlation above 0.99 in magnitude).",
            "A unit that is silent on these scans may answer to others.",
        )
    ]
    names = {}
    for falling, ending in ((False, ""), (True, "_falling")):
        dissection = dissect(model, layer, scans, falling=falling)
        measure = "iou_fitted" if len(dissection.subjects) > 1 else "iou"
        names[falling] = dissection.named(measure)
        tables[f"dissection{ending}"] = dissection.table()
        tables[f"named_units{ending}"] = names[falling]
        if not falling:
            keep(Units(found, dissection, names[falling]))
    drafts.append(
        Draft(
            "Dissection",
            f"Units that overlap a concept more than chance where they are largest: {_counted(names[False])}; "
            f"where they are smallest: {_counted(names[True])} (of {len(names[False])}).",
            "A name says what a unit's map overlaps, not what it computes; units without a name "
            "may detect something that has no mask.",
        )
    )
    masked = [scan for scan in scans if scan.mask is not None]
    both = pd.concat(names.values())
    lesions = {
        name: sorted(set(both[both.concept == name].unit))
        for name in dict.fromkeys(n for scan in masked for n in scan.classes)
        if (both.concept == name).any()
    }
    if masked and lesions:
        try:
            tables["ablation"] = ablation_test(model, layer, masked, lesions)
        except MedreamError:
            return drafts  # classes of the masks that the network does not have
        rows: list[Any] = list(tables["ablation"].rename(columns={"class": "name"}).itertuples())
        drafts += [
            Draft(
                "Ablation",
                f"The Dice of {row.name} is {row.dice:.3f}. Without the {row.units} units that are named after it "
                f"it falls by {row.fall:.3f}, without as many others by {row.fall_random:.3f} on average; "
                f"difference {_words(row.difference, row.low, row.high, 3)} ({{p}}, the named ones against "
                f"{row.choices} other choices of units).",
                "Units that are strong for any reason cost more; they were named on the same scans.",
                # Of few choices even the most costly one is no rarity.
                None if pd.isna(row.p) or (row.choices + 1) * ALPHA < 1 else float(row.p),
                bool(row.difference > 0),
                "no test: too few other choices",
            )
            for row in rows
        ]
    return drafts


def _counted(named: pd.DataFrame) -> str:
    counts = named[named.concept != ""].concept.value_counts()
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
