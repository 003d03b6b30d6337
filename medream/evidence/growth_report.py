"""Feature curves as a folder: summary, report, tables, figures, captions and a paragraph of methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from medream.dream import DreamConfig
from medream.errors import MedreamError
from medream.evidence.curves import curves
from medream.evidence.features import FEATURES
from medream.evidence.growth import REGIONS, Growth
from medream.evidence.movements import MARGIN, movements
from medream.figures import Report, feature_curves_figure, save_figure
from medream.figures.captions import caption, write_texts
from medream.figures.feature_curves import feature_name
from medream.figures.methods import methods_text
from medream.figures.provenance import provenance_line
from medream.files import write_text
from medream.record import RunRecord
from medream.scan import Scan


def write_growth(
    growth: Growth,
    folder: str | Path,
    scans: Sequence[Scan],
    record: RunRecord,
    style: str = "nature",
) -> Path:
    """Write feature curves to a folder and return its report.

    Parameters
    ----------
    growth : Growth
    folder : path, which exists
    scans : sequence of Scan
    record : RunRecord
        Of the run, with the settings of `medream evidence curves`.
    style : str
        Of the figures.
    """
    folder = Path(folder)
    for place in ("tables", "figures"):
        (folder / place).mkdir(exist_ok=True)
    write_text(folder / "summary.md", growth.summary())
    for name, table in (
        ("values", growth.table), ("curves", growth.means), ("movements", growth.moved)
    ):  # fmt: skip
        table.to_csv(folder / "tables" / f"{name}.csv", index=False)
    asked = record.settings
    report = Report(f"What grows when class {growth.index} of {growth.model} is ascended")
    for paragraph in growth.summary().split("\n\n")[1:]:
        if paragraph.startswith("## "):
            report.heading(paragraph.removeprefix("## "))
        else:
            report.text(paragraph.replace("**", ""))
    captions = {}
    objective = f"class {growth.index}"
    spaced = {scan.spacing_mm is not None for scan in scans}
    unit = "mm² or pixels" if len(spaced) > 1 else "mm²" if spaced == {True} else "pixels"
    for region, words in REGIONS.items():
        report.heading(f"{words}: curves")
        try:
            figure = feature_curves_figure(
                growth.means, region, verdicts=growth.verdicts(region), area_unit=unit, style=style
            )
        except MedreamError as error:
            report.text(f"Nothing to draw: {error}")
            continue
        figure.provenance = provenance_line(record, objective)
        for ending in ("pdf", "png"):
            save_figure(figure, folder / "figures" / f"{region}.{ending}")
        captions[f"{region}.pdf"] = caption(
            "curves", objective=objective, scans=growth.scans, subjects=growth.subjects,
            steps=asked["steps"], holds=figure.holds,
        )  # fmt: skip
        report.figure(figure, captions[f"{region}.pdf"])
    report.heading("Movements").table(growth.moved, f"In {growth.unit}.")
    config = DreamConfig(
        steps=asked["steps"], every=asked["every"], octaves=None, seed=asked["seed"]
    )
    methods = methods_text(
        config.to_json(), objective=objective, network=growth.model, scans=growth.scans,
        subjects=growth.subjects, versions=record.versions, resamples=_default(curves, "resamples"),
        parts={
            "curves": {
                "size": asked["size"], "starts": asked["starts"], "every": asked["every"],
                "steps": asked["steps"],
                "seeds": [asked["seed"] + k for k in range(asked["seeds"])],
                "features": {feature_name(name): words for name, words in FEATURES.items()},
                "unit": growth.unit, "margin": MARGIN, "alpha": _default(movements, "alpha"),
                "draws": _default(movements, "resamples"),
            }
        },
    )  # fmt: skip
    write_texts(folder, captions, methods)
    report.heading("Methods").text(methods)
    report.heading("Settings").settings(asked)
    return report.write(folder / "report.html")


def _default(function: Callable[..., Any], name: str) -> Any:
    return signature(function).parameters[name].default
