"""The tables of `medream evaluate`: CSV files, and a summary for people and programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from medream.metrics import Evaluation

_SCORES = ["scans", "lesion_scans", "missed", "false_alarms", "dice", "iou", "precision", "recall",
           "specificity", "accuracy", "mean_scan_dice", "mean_surface_dice", "mean_hd95_mm",
           "mean_assd_mm"]  # fmt: skip
_WHOLES = ["lesions", "lesions_predicted", "lesion_sensitivity", "lesion_precision", "lesion_f1",
           "detection_sensitivity", "detection_specificity", "detection_auc", "average_precision",
           "expected_calibration_error", "mean_abs_area_difference_mm2", "volumes",
           "mean_abs_volume_difference_mm3", "mean_volume_hd95_mm", "mean_volume_assd_mm",
           "mean_volume_surface_dice", "volume_lesion_f1"]  # fmt: skip
_FEW = 10
_INTERVALS = ["score", "estimate", "low", "high", "method", "subjects"]


def write_tables(
    folder: Path,
    raters: Mapping[str, Evaluation],
    notes: Sequence[str],
    pictures: Sequence[str] = (),
) -> dict[str, Any]:
    """Write the tables of one or more raters, scored on the same scans, and return the summary.

    Parameters
    ----------
    folder : Path
    raters : {"model", "prediction" or "grader 2": Evaluation}
    notes : sequence of str
        What a reader has to know beside the numbers.
    pictures : sequence of str
        Names of the first rater's pictures, one for each scan.
    """
    from medream.metrics import pooled_intervals

    tables = {
        "metrics": _each(raters, lambda one: one.scans),
        "volumes": _each(raters, lambda one: one.pooled(["subject_id", "volume_id"])),
        "subjects": _each(raters, lambda one: one.pooled(["subject_id"])),
        "pooled": _each(raters, lambda one: one.pooled()),
        "intervals": _each(raters, lambda one: pooled_intervals(one.scans)),
        "lesions": _each(raters, lambda one: one.lesions),
        "lesion_sizes": _each(raters, lambda one: one.lesion_sizes()),
        "calibration": _each(raters, lambda one: one.calibration()),
        "precision_recall": _each(raters, lambda one: one.precision_recall()),
    }
    if pictures:
        _name_pictures(tables["metrics"], pictures)
    for name, table in tables.items():
        if len(table.columns):
            table.to_csv(folder / f"{name}.csv", index=False)
    notes = [*notes, *_missing(next(iter(raters.values())))]
    summary = {
        **{k: _records(tables[k]) for k in ("pooled", "subjects", "volumes", "intervals")},
        "lesion_sizes": _records(tables["lesion_sizes"]),
        "notes": notes,
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    (folder / "summary.md").write_text(_text(tables, notes, len(raters) > 1), encoding="utf-8")
    return summary


def _each(raters: Mapping[str, Evaluation], table: Any) -> pd.DataFrame:
    """Return a table of all raters, one below the other, with a column that tells them apart."""
    import pandas as pd

    parts = []
    for name, evaluation in raters.items():
        part = table(evaluation)
        if len(part.columns):
            part = part.copy()
            part.insert(0, "rater", name)
            parts.append(part)
    filled = [part for part in parts if len(part)] or parts[:1]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()


def _name_pictures(metrics: pd.DataFrame, pictures: Sequence[str]) -> None:
    import numpy as np

    first = (metrics.rater == metrics.rater.iloc[0]).to_numpy()
    named = np.full(len(metrics), None, object)
    named[first] = np.repeat(list(pictures), int(first.sum()) // len(pictures))
    metrics.insert(list(metrics.columns).index("file") + 1, "picture", named)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return json.loads(table.to_json(orient="records"))


def _missing(evaluation: Evaluation) -> list[str]:
    """Say why scores are not there."""
    scans = evaluation.scans
    notes = []
    if scans.reference_mm2.isna().any():
        unknown = scans[scans.reference_mm2.isna()]
        notes.append(
            f"No pixel spacing is known for {unknown.scan.nunique()} of {scans.scan.nunique()} scans: their "
            "distances, surface Dice and areas are n/a, and lesions are sized in pixels. Give --spacing with "
            "masks, or spacing_mm in the dataset.toml of a data set."
        )
    if not evaluation.pooled().volumes.any():
        notes.append(
            "No volume in mm³: B-scans have gaps, or their distance is unknown; nothing is interpolated."
        )
    subjects = scans.subject_id.nunique()
    if subjects < _FEW:
        notes.append(
            f"Intervals rest on {subjects} subject{'s' if subjects > 1 else ''}; from fewer than {_FEW} they "
            "are too narrow, and from one there is none."
        )
    if not (scans.tp + scans.fn).any():
        notes.append("No reference holds a lesion: all that can be scored is false alarms.")
    return notes


def _text(tables: Mapping[str, pd.DataFrame], notes: Sequence[str], several: bool) -> str:
    rater = ["rater"] if several else []
    subjects, pooled, sizes = tables["subjects"], tables["pooled"], tables["lesion_sizes"]
    parts = [
        ("Per subject (its B-scans' pixels pooled)", subjects[[*rater, "subject_id", "class", *_SCORES]]),
        ("All subjects pooled", pooled[[*rater, "class", *_SCORES]]),
        ("95 % intervals from resampling subjects",
         tables["intervals"][[*rater, "class", *_INTERVALS]].dropna(subset="estimate")),
        ("Lesions, detection, calibration and volumes, all subjects pooled",
         pooled[[*rater, "class", *_WHOLES]]),
    ]  # fmt: skip
    if len(sizes):
        parts.append(("Lesions by size", sizes if several else sizes.drop(columns="rater")))
    return "\n\n".join([*(f"{title}\n\n{_shown(table)}" for title, table in parts), *notes]) + "\n"


def _shown(table: pd.DataFrame) -> str:
    from medream.figures import markdown_table

    return markdown_table(table.dropna(axis="columns", how="all"))
