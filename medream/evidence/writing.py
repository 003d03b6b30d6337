"""The panel as a folder: summary, report, tables, figures, captions and a paragraph of methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medream.errors import MedreamError
from medream.evidence.control import NOISE
from medream.evidence.dissection import LEAST_IOU, ROUNDS
from medream.evidence.effective_field import DRAWS, POSITIONS
from medream.evidence.findings import ALPHA, CURVE_STEPS, MAPS
from medream.evidence.localization import DISTANCES_UM
from medream.evidence.panel import Panel
from medream.evidence.response import EVERY
from medream.evidence.subjects import RESAMPLES, over_subjects
from medream.evidence.views import HIGHEST, LOWEST, UnitView, Views
from medream.figures import (
    PaperFigure,
    Report,
    activation_figure,
    control_figure,
    control_panel,
    dissection_figure,
    field_figure,
    layer_grid,
    localization_figure,
    response_figure,
    save_figure,
    unit_figure,
)
from medream.figures.captions import caption, write_texts
from medream.figures.control import ControlRow, same_as_redrawn
from medream.figures.dissection import UnitRow
from medream.figures.field import Field
from medream.figures.methods import methods_text
from medream.figures.provenance import provenance_line
from medream.files import write_text
from medream.record import RunRecord
from medream.scan import Scan

FIELDS = 4  # that one figure holds
NOTES = {
    "units": (
        f"From above, of the units that are ever active: up to {HIGHEST} with the largest overlap "
        f"(IoU) with lesions, then up to {LOWEST} with the smallest; thresholds are those of the "
        "largest overlap."
    )
}
"""What captions say beside what a figure shows."""


def write_panel(
    panel: Panel,
    folder: str | Path,
    scans: Sequence[Scan],
    record: RunRecord,
    style: str = "nature",
) -> Path:
    """Write `summary.md`, `report.html`, tables, figures, `caption.txt` and `methods.txt` of a panel.

    Parameters
    ----------
    panel : Panel
    folder : path, which exists
    scans : sequence of Scan
        That the panel was made of.
    record : RunRecord
        Of the run: its settings are in the report, its name and versions in the figures' files.
    style : str
        Of the figures.

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
    for note in panel.notes:
        report.text(f"Note: {note}")
    for each in panel.findings:
        report.heading(f"{each.topic}. {each.verdict}")
        report.text(f"{each.sentence}\n\nNot shown by this: {each.not_shown}")
    for name, why in panel.failed.items():
        report.heading(f"{name}. Not measured").text(why)
    report.heading("Figures")
    settings = panel.config.to_json()
    origin = provenance_line(record, panel.layer, settings)
    captions = {}
    for name, (kind, shown, draw) in _figures(panel, scans, style).items():
        try:
            figure = draw()
        except MedreamError as error:
            report.text(f"Figure {name} could not be drawn: {error}")
            continue
        figure.provenance = origin
        for ending in ("pdf", "png"):
            save_figure(figure, folder / "figures" / f"{name}.{ending}")
        captions[f"{name}.pdf"] = caption(
            kind, objective=panel.layer, scans=len(shown), steps=panel.config.steps,
            subjects=len({scan.source.subject_id for scan in shown}), holds=figure.holds,
            note=NOTES.get(kind, ""),
        )  # fmt: skip
        report.figure(figure, captions[f"{name}.pdf"])
    precisions = {each.precision for each in panel.dreams.values()}
    if len(precisions) == 1:  # what "auto" came to
        settings = {**settings, "precision": precisions.pop()}
    methods = methods_text(
        settings, objective=panel.layer, network=panel.model, scans=panel.scans,
        subjects=panel.subjects, versions=record.versions, resamples=RESAMPLES,
        parts=_parts(panel, record.settings),
    )  # fmt: skip
    write_texts(folder, captions, methods)
    report.heading("Methods").text(methods)
    report.heading("Settings").settings(record.settings)
    report.text(
        "Every person counts alike: scans are averaged within subjects first, and intervals resample "
        "subjects. Tests are corrected for their number (Holm). Research use, not for diagnosis."
    )
    return report.write(folder / "report.html")


Drawing = tuple[str, Sequence[Scan], Callable[[], PaperFigure]]
"""Kind of caption, the scans that it is about, and what draws it."""


def _figures(panel: Panel, scans: Sequence[Scan], style: str) -> dict[str, Drawing]:
    tables = panel.tables
    by_name = {scan.source.name: scan for scan in scans}
    pictured = [by_name[name] for name in panel.pictures]
    found: dict[str, Drawing] = {
        "controls": (
            "control", scans, lambda: control_figure(tables["controls_summary"], style=style)
        ),
        "control_panel": ("control_panel", pictured, lambda: _panel(panel, pictured, style)),
    }  # fmt: skip
    if "enrichment_by_subject" in tables:
        found["localization"] = ("localization", scans, lambda: _localization(tables, style))
    if "response_summary" in tables:
        found["response"] = (
            "response", scans, lambda: response_figure(tables["response_summary"], style=style)
        )  # fmt: skip
    if panel.views is not None:
        found |= _closer(panel.views, tables, scans, style)
    return found


def _closer(
    views: Views, tables: Mapping[str, pd.DataFrame], scans: Sequence[Scan], style: str
) -> dict[str, Drawing]:
    scan = views.scan
    maps, units, energies = views.maps
    found: dict[str, Drawing] = {
        "layers": (
            "layers", [scan],
            lambda: layer_grid(views.layers, scan.image, spacing_mm=scan.spacing_mm, style=style),
        ),
        "activation": (
            "activation", [scan],
            lambda: activation_figure(
                scan.image, maps, units.tolist(), energies.tolist(), spacing_mm=scan.spacing_mm,
                style=style,
            ),
        ),
    }  # fmt: skip
    if views.fields and len(views.lesions):
        rows = tables["receptive_field"]
        found["field"] = ("field", [scan], lambda: _fields(views, rows, style))
    if views.named:
        found["dissection"] = (
            "dissection", scans, lambda: dissection_figure(views.named, style=style)
        )  # fmt: skip
    if views.units:
        shown = {each.source.name: each for one in views.units for each in one.scans}
        found["units"] = (
            "units", [*shown.values()],
            lambda: unit_figure([_row(one) for one in views.units], style=style),
        )  # fmt: skip
    return found


def _row(view: UnitView) -> UnitRow:
    named = view.concept or "no name"
    return UnitRow(
        f"Unit {view.unit}: {named}", view.dream, [scan.image for scan in view.scans], view.areas,
        [scan.mask for scan in view.scans], view.scans[0].spacing_mm,
    )  # fmt: skip


def _fields(views: Views, table: pd.DataFrame, style: str) -> PaperFigure:
    scan = views.scan
    rows: list[Any] = list(table.head(FIELDS).itertuples())
    drawn = [
        Field(
            row.model, views.fields[row.model], (row.depth_px, row.width_px),
            (row.theoretical_depth_px, row.theoretical_width_px),
        )
        for row in rows
    ]  # fmt: skip
    at = None
    if scan.mask is not None and (scan.mask > 0).any():
        row, column = np.argwhere(scan.mask > 0).mean(axis=0)
        at = int(row), int(column)
    return field_figure(
        drawn, scan.image, views.lesions, at=at, spacing_mm=scan.spacing_mm, style=style
    )


def _parts(panel: Panel, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what was measured, with the settings that the paragraph on methods names."""
    tables = panel.tables
    found: dict[str, dict[str, Any]] = {
        "control": {"stages": settings.get("stages"), "noise": NOISE}
    }
    if "localization" in tables:
        found["localization"] = {"count": settings.get("rounds")}
    if "deletion_insertion" in tables:
        found["deletion"] = {"steps": CURVE_STEPS}
    if "response" in tables:
        found["response"] = {"every": panel.config.every or EVERY}
    if "receptive_field" in tables:
        found["field"] = {"positions": POSITIONS, "draws": DRAWS, "seed": 0}
    if "dissection" in tables:
        found["dissection"] = {"least": LEAST_IOU, "rounds": ROUNDS}
    if "ablation" in tables:
        found["ablation"] = {}
    if panel.views is not None:
        found["activation"] = {}
    tested = {
        "controls_summary": "the SSIM of dreams with those on re-drawn weights differs from its ceiling",
        "localization": "the logarithm of their energy at lesions over that of those on re-drawn weights is not 0",
        "deletion_insertion": "their area under deletion differs from that of those on re-drawn weights",
    }
    which = [words for name, words in tested.items() if name in tables]
    found["tests"] = {"which": which, "alpha": ALPHA}
    return found


def _panel(panel: Panel, scans: Sequence[Scan], style: str) -> PaperFigure:
    again = same_as_redrawn(panel.tables["controls_summary"])
    rows = [
        ControlRow(
            scan.source.name, scan.image,
            {key: each for key, each in panel.pictures[scan.source.name].items() if key not in again},
            spacing_mm=scan.spacing_mm,
        )
        for scan in scans
    ]  # fmt: skip
    return control_panel(rows, style=style)


def _localization(tables: Mapping[str, pd.DataFrame], style: str) -> PaperFigure:
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
    return localization_figure(enrichment, distances, summary, style=style)
