"""What `medream evaluate` does, from its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medream.cli.options import load_networks
from medream.cli.score_tables import write_tables


def run_evaluate(settings: dict[str, Any], out: Path) -> Path:
    """Run `medream evaluate` from its record's settings."""
    return (_run_masks if "predictions" in settings else _run_model)(settings, Path(out))


def _run_model(settings: dict[str, Any], out: Path) -> Path:
    from dataclasses import replace

    from medream.adapters import open_dataset
    from medream.adapters.graders import key_of, second_grader
    from medream.agreement import add_grader
    from medream.cli.pictures import save_pictures
    from medream.cli.seen import warn_of_seen
    from medream.cli.volumes import picture_names
    from medream.evaluation import full_evaluation
    from medream.files import result_folder
    from medream.metrics import Tally
    from medream.record import RunRecord, input_hashes
    from medream.segmentation import threshold_of

    tolerance = _checked_tolerance(settings)
    models = load_networks([settings["model"], *settings.get("with", [])])
    split = None if settings["split"] == "all" else settings["split"]
    scans = open_dataset(settings["dataset"], split=split)
    graded = second_grader(scans) if settings.get("second_grader", True) else None
    scans, graded, left_out = _of_both(scans, graded)
    record, hashes, second = RunRecord("evaluate", settings), {}, Tally(tolerance)
    names = picture_names(scans.sources)
    coming = iter(names)
    threshold = settings.get("threshold")
    with result_folder(out, "evaluate") as folder:

        def keep(scan: Any, found: Any) -> None:
            hashes.update(input_hashes([scan]))
            save_pictures(folder, next(coming), scan, found)
            if graded is not None:
                add_grader(second, scan, graded[key_of(scan.source)]())

        raters = {
            "model": full_evaluation(
                models, scans, keep, threshold=threshold, tta=settings.get("tta", False),
                union=settings.get("union", False), tolerance_mm=tolerance,
            )
        }  # fmt: skip
        if graded is not None:
            raters["grader 2"] = second.evaluation()
        used = threshold_of(models) if threshold is None else threshold
        used = None if models[0].output_shape[-1] > 1 else used  # the largest of several decides
        notes = [
            *warn_of_seen([settings["model"], *settings.get("with", [])], scans, hashes),
            _how(len(models), settings.get("tta", False), used, tolerance),
            *left_out,
        ]
        summary = write_tables(folder, raters, notes, [f"{name}.png" for name in names])
        replace(record, inputs=hashes).write(
            folder, pooled=summary["pooled"], threshold=used, networks=len(models), notes=notes
        )
    return out


def _of_both(scans: Any, graded: Any) -> tuple[Any, Any, list[str]]:
    """Return the scans that both graders annotated, the second one's masks, and what is left out."""
    import warnings

    from medream.adapters.graders import key_of

    if graded is None:
        return scans, None, []
    both = [k for k, source in enumerate(scans.sources) if key_of(source) in graded]
    left = len(scans) - len(both)
    if not left:
        return scans, graded, []
    note = "The second grader annotated none of these scans."
    if both:
        note = (
            f"{left} of {len(scans)} scans are left out, which the second grader did not annotate; "
            "--no-second-grader scores all of them with the model alone."
        )
    warnings.warn(note, stacklevel=2)
    return (scans.only(both), graded, [note]) if both else (scans, None, [note])


def _how(networks: int, tta: bool, threshold: float | None, tolerance: float) -> str:
    parts = [f"Probabilities averaged over {networks} networks." if networks > 1 else "",
             "Each scan was segmented with its mirror image." if tta else "",
             "" if threshold is None else f"Lesion from a probability of {threshold:g} on.",
             f"Surface Dice within {tolerance:g} mm."]  # fmt: skip
    return " ".join(part for part in parts if part)


def _checked_tolerance(settings: dict[str, Any]) -> float:
    import math

    from medream.errors import ConfigError
    from medream.metrics import TOLERANCE_MM

    tolerance = settings.get("tolerance_mm", TOLERANCE_MM)
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise ConfigError(f"--tolerance-mm is {tolerance:g}; expected a distance in mm, from 0.")
    return tolerance


def _run_masks(settings: dict[str, Any], out: Path) -> Path:
    from dataclasses import replace

    from medream.agreement import evaluate_masks, mask_hashes
    from medream.files import result_folder
    from medream.record import RunRecord

    record = RunRecord("evaluate", settings)
    sides = {"prediction": settings["predictions"], "grader 2": settings["second_references"]}
    spacing, tolerance = settings["spacing"], _checked_tolerance(settings)
    raters = {
        rater: evaluate_masks(
            place, settings["references"], spacing_mm=spacing and tuple(spacing),
            classes=settings["classes"], union=settings["union"], tolerance_mm=tolerance,
        )
        for rater, place in sides.items() if place is not None
    }  # fmt: skip
    with result_folder(out, "evaluate") as folder:
        notes = [f"Surface Dice within {tolerance:g} mm."]
        summary = write_tables(folder, raters, notes)
        hashes = mask_hashes(settings["predictions"], settings["references"])
        replace(record, inputs=hashes).write(folder, pooled=summary["pooled"], notes=notes)
    return out
