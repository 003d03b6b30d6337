"""medream evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from medream.cli import app
from medream.cli.options import (
    Dataset,
    Json,
    ModelRef,
    Out,
    Quiet,
    absolute,
    begin,
    done,
    load_tensorflow,
)


@app.command()
def evaluate(
    model: ModelRef,
    dataset: Dataset,
    out: Out,
    split: Annotated[
        Literal["train", "validation", "test", "all"], typer.Option(help="Which subjects.")
    ] = "test",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score a model on a data set: Dice, IoU, precision, recall, HD95 per scan, subject and pooled.

    Predictions and overlays are saved as pictures. Example:

    medream evaluate runs/mine/unet3 my_scans --split test --out out/evaluation
    """
    begin(quiet)
    load_tensorflow()
    settings = {"model": absolute(model), "dataset": absolute(dataset), "split": split}
    run_evaluate(settings, out)
    if as_json:
        typer.echo((out / "summary.json").read_text())
    else:
        typer.echo((out / "summary.md").read_text())
        done(out)


def run_evaluate(settings: dict[str, Any], out: Path) -> Path:
    """Run `medream evaluate` from its record's settings."""
    import json
    from dataclasses import replace

    import numpy as np

    from medream.adapters import open_dataset
    from medream.cli.pictures import save_pictures
    from medream.cli.volumes import picture_names
    from medream.evaluation import evaluate
    from medream.figures import markdown_table
    from medream.files import result_folder
    from medream.metrics import summarize
    from medream.record import RunRecord, input_hashes
    from medream.store import load_model

    model = load_model(settings["model"])
    split = None if settings["split"] == "all" else settings["split"]
    scans = open_dataset(settings["dataset"], split=split)
    record, hashes = RunRecord("evaluate", settings), {}
    names = picture_names(scans.sources)
    coming = iter(names)
    with result_folder(out, "evaluate") as folder:

        def keep(scan: Any, found: Any) -> None:
            hashes.update(input_hashes([scan]))
            save_pictures(folder, next(coming), scan, found)

        scores = evaluate(model, scans, on_scan=keep)
        pictures = np.repeat([f"{name}.png" for name in names], len(scores) // len(names))
        scores.insert(list(scores.columns).index("file") + 1, "picture", pictures)
        subjects, pooled = summarize(scores, ["subject_id"]), summarize(scores)
        scores.to_csv(folder / "metrics.csv", index=False)
        subjects.to_csv(folder / "subjects.csv", index=False)
        pooled.to_csv(folder / "pooled.csv", index=False)
        shown = ["scans", "lesion_scans", "missed", "false_alarms", "dice", "iou", "precision", "recall",
                 "accuracy", "mean_scan_dice", "mean_hd95_mm"]  # fmt: skip
        summary = {
            "pooled": json.loads(pooled.to_json(orient="records")),
            "subjects": json.loads(subjects.to_json(orient="records")),
        }
        (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
        (folder / "summary.md").write_text(
            "Per subject (its B-scans' pixels pooled)\n\n"
            + markdown_table(subjects[["subject_id", "class", *shown]])
            + "\n\nAll subjects pooled\n\n"
            + markdown_table(pooled[["class", *shown]])
            + "\n"
        )
        replace(record, inputs=hashes).write(folder, pooled=summary["pooled"])
    return Path(out)
