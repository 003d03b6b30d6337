"""The panel of evidence for one layer: everything that is measured, and what it comes to in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
import pandas as pd

from medream.dream.config import DreamConfig, settle
from medream.dream.result import DreamResult
from medream.errors import ConfigError, MedreamError
from medream.evidence.control import control_study, summarize_controls
from medream.evidence.findings import (
    Draft,
    Finding,
    Seen,
    Units,
    controls_finding,
    faithfulness_findings,
    field_findings,
    localization_findings,
    look_at_lesions,
    response_findings,
    settled,
    unit_findings,
)
from medream.evidence.views import Views, look_closer
from medream.progress import say
from medream.scan import Scan

PICTURES = 3
"""Of so many scans all dreams are kept for a figure."""


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
    config : DreamConfig
        Of all dreams.
    views : Views, optional
        What other figures show.
    notes : tuple of str
        What else a reader must know, such as that the scans were trained on.
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
    config: DreamConfig = field(default_factory=DreamConfig)
    views: Views | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """Return the findings as Markdown: what is shown and what is not, side by side."""
        who = f"{self.scans} scans of {self.subjects} subject{'s' * (self.subjects != 1)}"
        lines = [f"# Evidence for dreams of {self.layer} of {self.model} ({who})", ""]
        lines += [line for note in self.notes for line in (f"**Note:** {note}", "")]
        for each in self.findings:
            lines += [f"**{each.topic}. {each.verdict}:** {each.sentence}", "",
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
    beside: Mapping[str, keras.Model] | None = None,
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
    beside : {name: keras.Model}, optional
        Other networks, such as deeper ones, whose receptive fields, units and dreams of the same layer
        are shown beside. Those without such a layer are left out.
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
    models = {model.name: model, **(beside or {})}

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
    drafts: list[Draft] = [controls_finding(tables["controls_summary"], layer)]
    say(f"evidence for {layer}: where they put their energy, and what the network says of them")
    seen: list[Seen] = []
    fields: dict[str, np.ndarray] = {}
    units: list[Units] = []

    def localization() -> list[Draft]:
        seen.extend(look_at_lesions(model, layer, own))
        return localization_findings(seen, layer, rounds, config.seed, tables)

    for name, part in (
        ("Localisation", localization),
        ("Deletion and insertion", lambda: faithfulness_findings(seen, layer, tables)),
        ("Response", lambda: response_findings(model, scans, layer, config, tables)),
        ("Receptive field", lambda: field_findings(models, layer, scans, tables, fields)),
        ("Units", lambda: unit_findings(model, layer, scans, tables, units.append)),
    ):
        try:
            drafts += part()
        except MedreamError as error:
            failed[name] = str(error)
    say(f"evidence for {layer}: dreams of single units and of other layers")
    return Panel(
        model.name,
        layer,
        len(scans),
        len({scan.source.subject_id for scan in scans}),
        settled(drafts),
        tables,
        {scan.source.name: result for scan, result in own},
        pictures,
        failed,
        config,
        look_closer(models, layer, scans, config, fields, units[0] if units else None),
    )
