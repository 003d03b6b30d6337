"""medream evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from medream.cli import app
from medream.cli.evaluating import run_evaluate
from medream.cli.options import (
    Json,
    Out,
    Quiet,
    Threshold,
    Tta,
    absolute,
    begin,
    done,
    load_tensorflow,
)

_OF_A_MODEL = {"MODEL": "model", "DATASET": "dataset", "--split": "split", "--with": "more",
               "--tta": "tta", "--threshold": "threshold",
               "--second-grader": "second_grader"}  # fmt: skip
_OF_MASKS = {"--references": "references", "--second-references": "second_references",
             "--spacing": "spacing", "--class": "classes"}  # fmt: skip


@app.command()
def evaluate(
    context: typer.Context,
    out: Out,
    model: Annotated[
        str | None,
        typer.Argument(
            help="A model folder, a .keras or .h5 file, keras:NAME, or a network's folder of 'medream compare'.",
            show_default=False,
        ),
    ] = None,
    dataset: Annotated[
        Path | None, typer.Argument(help="The data set's folder.", show_default=False)
    ] = None,
    split: Annotated[
        Literal["train", "validation", "test", "all"], typer.Option(help="Which subjects.")
    ] = "test",
    more: Annotated[
        list[str] | None,
        typer.Option(
            "--with", help="Another model, its probabilities averaged with the first's; repeat."
        ),
    ] = None,
    tta: Tta = False,
    threshold: Threshold = None,
    second_grader: Annotated[
        bool,
        typer.Option(help="Score the second grader on the same scans, where a data set has two."),
    ] = True,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Folder of anybody's masks, to be scored instead of a model."),
    ] = None,
    references: Annotated[
        Path | None, typer.Option(help="Folder of reference masks of the same names.")
    ] = None,
    second_references: Annotated[
        Path | None,
        typer.Option(help="Folder of a second grader's masks, scored like the predictions."),
    ] = None,
    spacing: Annotated[
        tuple[float, float] | None,
        typer.Option(
            help="Axial and lateral pixel size of the masks in mm, where they do not tell it.",
            show_default=False,
        ),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", help="Name of the masks' class 1, 2, ... in order; repeat."),
    ] = None,
    union: Annotated[
        bool, typer.Option("--union", help="Compare lesion of any class, as one class.")
    ] = False,
    tolerance_mm: Annotated[
        float,
        typer.Option(
            "--tolerance-mm",
            help="Of the surface Dice; 0.02 is about the lateral resolution of OCT.",
        ),
    ] = 0.02,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score a model on a data set, or anybody's masks against references.

    Tables per scan, volume, subject and pooled, with intervals over subjects: overlap, distances in mm, surface
    Dice, lesions by size, areas and volumes, detection of scans with lesion, calibration. A model's
    predictions and overlays are saved as pictures.

    Example: medream evaluate runs/mine/unet3 my_scans --split test --out out/evaluation

    medream evaluate --predictions theirs --references GT --spacing 0.0039 0.0115 --out out/theirs
    """
    common = {"union": union, "tolerance_mm": tolerance_mm}
    if predictions is None:
        given = [name for name, own in _OF_MASKS.items() if _is_given(context, own)]
        _refuse(given, "only with --predictions DIR")
        if model is None or dataset is None:
            raise typer.BadParameter(
                "give a model and a data set, or --predictions DIR and --references DIR."
            )
        settings: dict[str, Any] = {
            "model": absolute(model), "with": [absolute(ref) for ref in more or []],
            "dataset": absolute(dataset), "split": split, "tta": tta, "threshold": threshold,
            "second_grader": second_grader, **common,
        }  # fmt: skip
    else:
        given = [name for name, own in _OF_A_MODEL.items() if _is_given(context, own)]
        _refuse(given, "not with --predictions")
        if references is None:
            raise typer.BadParameter("--predictions needs --references DIR.")
        settings = {
            "predictions": absolute(predictions), "references": absolute(references),
            "second_references": None if second_references is None else absolute(second_references),
            "spacing": None if spacing is None else list(spacing), "classes": classes, **common,
        }  # fmt: skip
    begin(quiet)
    if predictions is None:
        load_tensorflow()
    run_evaluate(settings, out)
    if as_json:
        typer.echo((out / "summary.json").read_text(encoding="utf-8"))
    else:
        typer.echo((out / "summary.md").read_text(encoding="utf-8"))
        done(out)


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _refuse(names: list[str], why: str) -> None:
    if names:
        raise typer.BadParameter(
            f"{', '.join(names)}: {why}. Give a model and a data set, or --predictions and --references."
        )
