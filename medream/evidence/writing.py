"""The panel as a folder: summary, report, tables, figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medream.errors import MedreamError
from medream.evidence.localization import DISTANCES_UM
from medream.evidence.panel import MAPS, Panel
from medream.evidence.subjects import over_subjects
from medream.figures import (
    PaperFigure,
    Report,
    control_figure,
    control_panel,
    dissection_figure,
    localization_figure,
    response_figure,
    save_figure,
)
from medream.figures.control import ControlRow
from medream.files import write_text
from medream.scan import Scan

CAPTIONS = {
    "controls": "Similarity of the layer's dreams with the same dreams on other networks, means over "
    "subjects with 95 % intervals, beside the similarity with themselves from a scan with a noise of 1e-4.",
    "control_panel": "Scans, their dreams, the dreams of the controls, and what each changed.",
    "localization": "How many times chance the energy of each map lies at lesions, by subject; below, its "
    "density by distance from the lesion's border, where 1 is even.",
    "response": "What the network sees in dreams and controls along the ascent.",
    "dissection": "Units of the layer by the concept that their maps overlap more than chance.",
}


def write_panel(
    panel: Panel, folder: str | Path, scans: Sequence[Scan], settings: Mapping[str, Any]
) -> Path:
    """Write `summary.md`, `report.html`, tables and figures of a panel.

    Parameters
    ----------
    panel : Panel
    folder : path, which exists
    scans : sequence of Scan
        That the panel was made of.
    settings : dict
        For the report; JSON values.

    Returns
    -------
    Path
        Of the report.
    """
    folder = Path(folder)
    for place in ("tables", "figures"):
        (folder / place).mkdir(exist_ok=True)
    write_text(folder / "summary.md", panel.summary())
    for name, table in panel.tables.items():
        table.to_csv(folder / "tables" / f"{name}.csv", index=False)
    report = Report(f"Evidence for dreams of {panel.layer} of {panel.model}")
    for each in panel.findings:
        said = {True: "Shown", False: "Not shown", None: "Measured"}[each.present]
        report.heading(f"{each.topic}. {said}")
        report.text(f"{each.sentence}\n\nNot shown by this: {each.not_shown}")
    for name, why in panel.failed.items():
        report.heading(f"{name}. Not measured").text(why)
    for name, drawn in _figures(panel, scans).items():
        try:
            figure = drawn()
        except MedreamError as error:
            report.text(f"Figure {name} could not be drawn: {error}")
            continue
        if figure is None:
            continue
        for ending in ("pdf", "png"):
            save_figure(figure, folder / "figures" / f"{name}.{ending}")
        report.figure(figure, CAPTIONS[name])
    report.heading("Settings").settings(settings)
    report.text(
        "Every person counts alike: scans are averaged within subjects first, and intervals resample "
        "subjects. Tests are corrected for their number (Holm). Research use, not for diagnosis."
    )
    return report.write(folder / "report.html")


def _figures(panel: Panel, scans: Sequence[Scan]) -> dict[str, Callable[[], PaperFigure | None]]:
    tables = panel.tables
    return {
        "controls": lambda: control_figure(tables["controls_summary"]),
        "control_panel": lambda: _panel(panel, scans),
        "localization": lambda: _localization(tables),
        "response": lambda: (
            response_figure(tables["response_summary"]) if "response_summary" in tables else None
        ),
        "dissection": lambda: (
            dissection_figure({panel.layer: tables["named_units"]})
            if "named_units" in tables
            else None
        ),
    }


def _panel(panel: Panel, scans: Sequence[Scan]) -> PaperFigure:
    by_name = {scan.source.name: scan for scan in scans}
    rows = [
        ControlRow(name, by_name[name].image, dreams, spacing_mm=by_name[name].spacing_mm)
        for name, dreams in panel.pictures.items()
    ]
    return control_panel(rows)


def _localization(tables: Mapping[str, pd.DataFrame]) -> PaperFigure | None:
    if "enrichment_by_subject" not in tables:
        return None
    enrichment = tables["enrichment_by_subject"].melt(
        "subject", list(MAPS), "map", "relevance_mass"
    )
    summary = over_subjects(enrichment, ["map"], ["relevance_mass"])
    distances = None
    if "energy_by_distance" in tables:
        means = over_subjects(tables["energy_by_distance"], ["map", "from_um"], ["density"])
        means = means.rename(columns={"estimate": "density"}).dropna(subset=["density"])
        ends = dict(pairwise(DISTANCES_UM))
        means["to_um"] = means.from_um.map(ends)
        shared = set.intersection(*(set(rows.from_um) for _, rows in means.groupby("map")))
        means = means[np.isin(means.from_um, list(shared))].sort_values("from_um")
        distances = {name: means.query("map == @name") for name in MAPS} if shared else None
    return localization_figure(enrichment, distances, summary)
