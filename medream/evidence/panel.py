"""The panel of evidence for one layer: everything that is measured, and what it comes to in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
import pandas as pd

from medream.dream.config import DreamConfig, settle
from medream.dream.result import DreamResult
from medream.errors import ConfigError, MedreamError
from medream.evidence.ablation import ablation_test
from medream.evidence.activations import activate
from medream.evidence.attribution import Score, gradient_times_input
from medream.evidence.control import control_study, summarize_controls
from medream.evidence.dissection import dissect
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
from medream.evidence.units import survey
from medream.progress import say
from medream.scan import Scan
from medream.statistics import Interval, bootstrap_interval, holm, paired_test

MAPS = ("dream", "control", "activation", "gradient x input")
ALPHA = 0.05
PICTURES = 3
"""Of so many scans all dreams are kept for a figure."""


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
    """

    topic: str
    sentence: str
    not_shown: str
    present: bool | None = None


@dataclass(frozen=True, eq=False)
class Panel:
    """What `evidence` found for a layer.

    Parameters
    ----------
    model, layer : str
    scans, subjects : int
    findings : tuple of Finding
    tables : dict of str to DataFrame
    dreams : dict of str to DreamResult
        Dream and control of each scan under its pseudonymous name.
    pictures : dict of str to dict of (kind, stage) to array
        Of some scans the dream and all that it was compared with.
    failed : dict of str to str
        Parts that could not be measured, and why.
    """

    model: str
    layer: str
    scans: int
    subjects: int
    findings: tuple[Finding, ...]
    tables: dict[str, pd.DataFrame]
    dreams: dict[str, DreamResult] = field(repr=False)
    pictures: dict[str, dict[tuple[str, str], np.ndarray]] = field(repr=False)
    failed: dict[str, str]

    def summary(self) -> str:
        """Return the findings as Markdown: what is shown and what is not, side by side."""
        who = f"{self.scans} scans of {self.subjects} subject{'s' * (self.subjects != 1)}"
        lines = [f"# Evidence for dreams of {self.layer} of {self.model} ({who})", ""]
        for each in self.findings:
            said = {True: "Shown", False: "Not shown", None: "Measured"}[each.present]
            lines += [f"**{each.topic}. {said}:** {each.sentence}", "",
                      f"**Not shown by this:** {each.not_shown}", ""]  # fmt: skip
        for name, why in self.failed.items():
            lines += [f"**{name}. Not measured:** {why}", ""]
        lines.append(
            "Tests are corrected for their number (Holm). Research use, not for diagnosis."
        )
        return "\n".join(lines) + "\n"


def evidence(
    model: keras.Model,
    scans: Sequence[Scan],
    layer: str,
    *,
    shuffled: keras.Model | None = None,
    retrained: Sequence[keras.Model] = (),
    stages: int = 3,
    rounds: int = 999,
    config: DreamConfig | None = None,
    **settings: Any,
) -> Panel:
    """Gather the evidence for the dreams of a layer.

    Parameters
    ----------
    model : keras.Model
        A segmentation network.
    scans : sequence of Scan
        Best of subjects whom the network was not trained on, with masks: what is asked of lesions is
        asked of those scans that have them.
    layer : str
    shuffled, retrained, stages
        As for `control_study`. Default three stages of the cascade.
    rounds : int
        Random shifts of each lesion for what chance would give. Default 999.
    config, **settings
        As for `medream.dream`; octaves are left out.

    Returns
    -------
    Panel

    Raises
    ------
    LayerError
        When there is no such layer.
    ConfigError
        When there are no scans.
    """
    if not len(scans):
        raise ConfigError("There are no scans to gather evidence on.")
    config = replace(settle(config, settings), octaves=None)
    own: list[tuple[Scan, DreamResult]] = []
    pictures: dict[str, dict[tuple[str, str], np.ndarray]] = {}

    def keep(scan: Scan, kind: str, stage: str, result: DreamResult) -> None:
        name = scan.source.name
        if kind == "dream":
            own.append((scan, result))
        if len(pictures) < PICTURES or name in pictures:
            shown = pictures.setdefault(name, {})
            shown[kind, stage] = np.squeeze(result.dream)
            if kind == "dream" and result.control is not None:
                shown["redrawn", ""] = np.squeeze(result.control)

    say(f"evidence for {layer}: dreams and their controls")
    controls = control_study(
        model, scans, layer, shuffled=shuffled, retrained=retrained, stages=stages, config=config,
        on_dream=keep,
    )  # fmt: skip
    tables = {"controls": controls, "controls_summary": summarize_controls(controls)}
    failed: dict[str, str] = {}
    drafts: list[_Draft] = [_controls(tables["controls_summary"], layer)]
    say(f"evidence for {layer}: where they put their energy")
    for name, part in (
        ("Localisation", lambda: _localization(model, layer, own, rounds, config.seed, tables)),
        ("Response", lambda: _response(model, scans, layer, config, tables)),
        ("Receptive field", lambda: _field(model, layer, scans, tables)),
        ("Units", lambda: _units(model, layer, scans, tables)),
    ):
        try:
            drafts += part()
        except MedreamError as error:
            failed[name] = str(error)
    return Panel(
        model.name,
        layer,
        len(scans),
        len({scan.source.subject_id for scan in scans}),
        _settled(drafts),
        tables,
        {scan.source.name: result for scan, result in own},
        pictures,
        failed,
    )


@dataclass(frozen=True)
class _Draft:
    """A finding before its test is corrected; `present` is what holds beside p."""

    topic: str
    sentence: str  # "{p}" stands for the corrected test
    not_shown: str
    p: float | None = None
    present: bool | None = None


def _settled(drafts: Sequence[_Draft]) -> tuple[Finding, ...]:
    tested = [k for k, each in enumerate(drafts) if each.p is not None and math.isfinite(each.p)]
    corrected = dict(zip(tested, holm([drafts[k].p for k in tested]), strict=True))  # type: ignore[misc]
    found = []
    for number, each in enumerate(drafts):
        present, words = each.present, "no test: too few subjects"
        if number in corrected:
            p = corrected[number]
            words = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
            present = bool(each.present) and p < ALPHA
        elif each.present is not None:
            present = False
        found.append(Finding(each.topic, each.sentence.format(p=words), each.not_shown, present))
    return tuple(found)


def _words(value: float, low: float, high: float, digits: int = 2) -> str:
    if not math.isfinite(value):
        return "undefined"
    if not math.isfinite(low):
        return f"{value:.{digits}f} (no interval)"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _people(count: int) -> str:
    return f"{count} subject{'s' * (count != 1)}"


def _controls(summary: pd.DataFrame, layer: str) -> _Draft:
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
    return _Draft(
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


def _localization(
    model: keras.Model, layer: str, own: Sequence[tuple[Scan, DreamResult]], rounds: int, seed: int,
    tables: dict[str, pd.DataFrame],
) -> list[_Draft]:  # fmt: skip
    measured: dict[str, list[Mapping[str, np.ndarray]]] = {name: [] for name in MAPS}
    people: list[str] = []
    distances = []
    for number, (scan, result) in enumerate(own):
        if scan.mask is None or not scan.mask.any():
            continue
        shifts = Shifts(*retina_bounds(scan.image, scan.valid), len(scan.image))
        lesion = (scan.mask > 0) & (True if scan.valid is None else scan.valid)
        if not (lesion & shifts.retina).any():
            continue
        people.append(scan.source.subject_id)
        for name, energy in _maps(model, layer, scan, result, lesion).items():
            measured[name].append(chance(energy, lesion, shifts, rounds, seed + number))
            if scan.spacing_mm is not None:
                table = energy_by_distance(energy, lesion, scan.spacing_mm, within=shifts.retina)
                place = {"subject": people[-1], "scan": scan.source.name, "map": name}
                distances.append(table.assign(**place))
    if not people:
        raise ConfigError(
            "No scan has a lesion within the retina, so that there is nothing to find."
        )
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
        return bootstrap_interval([v for v in by_subject[name].values() if math.isfinite(v)])

    mass: Any = found["dream"].set_index("measure").loc["relevance_mass"]
    dream, control = interval("dream"), interval("control")
    others = ", ".join(
        f"{name} {_words(each.estimate, each.low, each.high)}"
        for name in MAPS[2:]
        if math.isfinite((each := interval(name)).estimate)
    )
    apart = pd.DataFrame(by_subject)[["dream", "control"]].dropna()
    test = paired_test(np.log(apart.to_numpy()) @ [1, -1])
    return [
        _Draft(
            "Localisation",
            f"Dreams of {layer} put {_words(dream.estimate, dream.low, dream.high)} times as much energy in "
            f"lesions as in the same shapes elsewhere in the retina ({{p}}, {_people(int(mass.subjects))}, "
            f"{int(mass.scans)} scans). For comparison: {others}.",
            "Energy in a lesion may come from its contrast and its edges, which any network answers to: "
            "see the control. It does not say that the network segments by what the dream shows.",
            float(mass.p),
            bool(dream.low > 1 if math.isfinite(dream.low) else dream.estimate > 1),
        ),
        _Draft(
            "Localisation beyond the control",
            f"The same dreams on re-drawn weights: {_words(control.estimate, control.low, control.high)} times. "
            f"Dream over control: {_ratio(apart)} ({{p}}, {_people(len(apart))}).",
            "A dream that is no more in lesions than its control shows where the scan has edges, and "
            "nothing that was learned about lesions.",
            None if test.p_value is None or not math.isfinite(test.p_value) else test.p_value,
            bool(np.log(apart.dream / apart.control).mean() > 0),
        ),
    ]


def _ratio(apart: pd.DataFrame) -> str:
    found = bootstrap_interval(np.log(apart.to_numpy()) @ [1, -1])
    return _words(math.exp(found.estimate), math.exp(found.low), math.exp(found.high))


def _maps(
    model: keras.Model, layer: str, scan: Scan, result: DreamResult, lesion: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the maps whose energy is compared; none is negative."""
    assert result.control is not None
    score = Score(model, lesion)
    valid = 1.0 if scan.valid is None else scan.valid.astype(np.float32)
    maps = {
        "dream": np.abs(result.dream - result.original),
        "control": np.abs(result.control - result.original),
        "activation": np.abs(activate(model, layer, scan).full).mean(axis=-1),
        "gradient x input": np.abs(gradient_times_input(score, scan.image)),
    }
    return {name: np.squeeze(values) * valid for name, values in maps.items()}


def _response(
    model: keras.Model, scans: Sequence[Scan], layer: str, config: DreamConfig,
    tables: dict[str, pd.DataFrame],
) -> list[_Draft]:  # fmt: skip
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
            _Draft(
                "Response",
                f"The network sees {start} {unit} of {name} in the scans, {end} in their dreams and {control} in "
                f"the controls (means over {_people(int(rows[0].subjects))}); Dice of what it sees in dream "
                f"and scan: {_words(dice.estimate, dice.low, dice.high)}.",
                "A dream is an adversary of the network that it was made for; that the network calls it a "
                "lesion does not make it look like one.",
            )
        )
    return drafts


def _field(
    model: keras.Model, layer: str, scans: Sequence[Scan], tables: dict[str, pd.DataFrame]
) -> list[_Draft]:
    table = field_table({model.name: model}, [layer], scans)
    tables["receptive_field"], row = table, table.iloc[0]
    micrometres = math.isfinite(row.depth_um)
    unit, ending = ("µm", "um") if micrometres else ("pixels", "px")
    size = f"{row[f'depth_{ending}']:.0f} x {row[f'width_{ending}']:.0f} {unit}"
    whole = math.isinf(row.theoretical_depth_px)
    theoretical = (
        "the whole image"
        if whole
        else f"{row[f'theoretical_depth_{ending}']:.0f} x {row[f'theoretical_width_{ending}']:.0f}"
    )
    fit = (
        f" {100 * row.fit:.0f} % of the {int(row.lesions)} lesions fit into it."
        if row.lesions
        else ""
    )
    return [
        _Draft(
            "Receptive field",
            f"A unit of {layer} looks at {size} (depth x width, theoretical at most {theoretical}).{fit}",
            "A lesion that does not fit may still be found by its border, and one that fits be missed.",
        )
    ]


def _units(
    model: keras.Model, layer: str, scans: Sequence[Scan], tables: dict[str, pd.DataFrame]
) -> list[_Draft]:
    found = survey(model, layer, scans)
    tables["units"], tables["duplicates"] = found.table(), found.duplicates()
    dead = len(found.dead())
    drafts = [
        _Draft(
            "Units",
            f"Of the {len(found.mean)} units of {layer} {dead} are never active on these scans; "
            f"{len(tables['duplicates'])} pairs are copies of each other (correlation above 0.99 in magnitude).",
            "A unit that is silent on these scans may answer to others.",
        )
    ]
    dissection = dissect(model, layer, scans)
    named = dissection.named("iou_fitted" if len(dissection.subjects) > 1 else "iou")
    tables["dissection"], tables["named_units"] = dissection.table(), named
    counts = named[named.concept != ""].concept.value_counts()
    listed = ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
    drafts.append(
        _Draft(
            "Dissection",
            f"Units that overlap a concept more than chance: {listed} (of {len(named)}).",
            "A name says what a unit's map overlaps, not what it computes; units without a name "
            "may detect something that has no mask.",
        )
    )
    masked = [scan for scan in scans if scan.mask is not None]
    lesions = {
        name: named[named.concept == name].unit.tolist()
        for name in dict.fromkeys(n for scan in masked for n in scan.classes)
        if (named.concept == name).any()
    }
    if masked and lesions:
        try:
            tables["ablation"] = ablation_test(model, layer, masked, lesions)
        except MedreamError:
            return drafts  # classes of the masks that the network does not have
        rows: list[Any] = list(tables["ablation"].rename(columns={"class": "name"}).itertuples())
        drafts += [
            _Draft(
                "Ablation",
                f"Without its {row.units} named units {row.name} loses {row.fall:.3f} of Dice "
                f"({row.dice:.3f}), without as many random ones {row.fall_random:.3f}; more by "
                f"{_words(row.difference, row.low, row.high, 3)} ({{p}}).",
                "Units that are strong for any reason cost more; they were named on the same scans.",
                None if pd.isna(row.p) else float(row.p),
                bool(row.difference > 0),
            )
            for row in rows
        ]
    return drafts
