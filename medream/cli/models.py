"""medream train, evaluate, segment, layers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from medream.cli import app
from medream.cli.options import Json, Out, Quiet, Seed, absolute, begin, done, load_tensorflow
from medream.cli.tables import print_table
from medream.cli.volumes import SkipBad

ModelRef = Annotated[
    str, typer.Argument(help="A model folder, a .keras or .h5 file, or keras:NAME.")
]
Dataset = Annotated[Path, typer.Argument(help="The data set's folder.")]


@app.command()
def train(
    dataset: Dataset,
    out: Out,
    levels: Annotated[
        list[int] | None,
        typer.Option(
            "--levels",
            min=1,
            max=6,
            help="Poolings of the U-Net; repeat for several.",
            show_default="3",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="At most this many.")] = 40,
    base_filters: Annotated[
        int | None, typer.Option(min=1, help="Filters at full resolution.", show_default="16")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Patches a step.")] = 4,
    learning_rate: Annotated[float, typer.Option(help="Of Adam, at the start.")] = 2e-3,
    loss: Annotated[
        Literal["dice_ce", "dice", "ce"], typer.Option(help="What is minimised.")
    ] = "dice_ce",
    image_size: Annotated[
        tuple[int, int],
        typer.Option(
            help="Depth and width of the training patches in pixels, as in: --image-size 128 192."
        ),
    ] = (256, 256),
    patience: Annotated[
        int, typer.Option(min=1, help="Stop after so many epochs without a better Dice.")
    ] = 15,
    augment: Annotated[bool, typer.Option(help="Vary the patches at random.")] = True,
    start_from: Annotated[
        str | None, typer.Option("--from", help="A model folder whose weights are the start.")
    ] = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option("--freeze", help="Layers that keep their weights, such as 'enc*'; repeat."),
    ] = None,
    seed: Seed = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a killed training stopped.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train one U-Net per --levels on the data set's training subjects: OUT/unet2, OUT/unet3, ...

    The epoch is chosen by Dice on validation subjects. Example:

    medream train my_scans --levels 2 --levels 3 --levels 4 --out runs/mine
    """
    begin(quiet)
    load_tensorflow()
    settings = {
        "dataset": absolute(dataset),
        "levels": levels,
        "base_filters": base_filters,
        "train": {
            "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "loss": loss,
            "image_size": list(image_size), "augment": augment, "patience": patience, "seed": seed,
        },
        "from": None if start_from is None else absolute(start_from),
        "freeze": freeze or [],
    }  # fmt: skip
    try:
        done(run_train(settings, out, resume))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"Stopped by Ctrl-C. What was learned up to the last whole epoch is kept in {out}: run the "
            "same command with --resume to go on from there."
        ) from None


def run_train(settings: dict[str, Any], out: Path, resume: bool = False) -> Path:
    """Run `medream train` from its record's settings.

    The records of the model folders hold the whole architecture ("unet") instead of levels.
    """
    from medream.adapters import open_dataset
    from medream.errors import ConfigError
    from medream.files import open_folder
    from medream.record import RunRecord
    from medream.store import info_of, load_model
    from medream.training import TrainConfig, refuse_shared_subjects, train
    from medream.unet import UNetConfig

    if settings["dataset"] is None:
        raise ConfigError("This model was trained from Python on scans without a data set's path.")
    train_config = TrainConfig(**settings["train"])
    scans = open_dataset(settings["dataset"], split="train")
    refuse_shared_subjects(scans)
    open_folder(out, "train")
    record = RunRecord("train", settings, seed=train_config.seed)
    if "unet" in settings:
        configs = [UNetConfig(**settings["unet"])]
    elif settings["from"] is not None:
        start = UNetConfig(**(info_of(load_model(settings["from"])).unet or {}))
        asked = {"levels": settings["levels"], "base_filters": settings["base_filters"]}
        if asked["levels"] not in (None, [start.levels]) or asked["base_filters"] not in (
            None,
            start.base_filters,
        ):
            raise ConfigError(
                f"{settings['from']} has {start.levels} levels and {start.base_filters} base filters; "
                "leave --levels and --base-filters out, or give the same."
            )
        configs = [start]
    else:
        outputs = 1 if len(scans.classes) == 1 else len(scans.classes) + 1
        configs = [
            UNetConfig(levels=n, base_filters=settings["base_filters"] or 16, classes=outputs)
            for n in dict.fromkeys(settings["levels"] or [3])
        ]
    loaded, validation = list(scans), list(scans.part("validation"))
    scores = {}
    for config in configs:
        folder = Path(out) / f"unet{config.levels}"
        single = {k: settings[k] for k in ("dataset", "train", "from", "freeze")}
        train(
            loaded, None if settings["from"] else config, train_config, folder,
            validation=validation, start_from=settings["from"], freeze=settings["freeze"], resume=resume,
            record=RunRecord("train", {**single, "unet": config.to_json()}, seed=train_config.seed),
        )  # fmt: skip
        scores[folder.name] = _validation_dice(folder)
    record.write(out, validation_dice=scores)
    return Path(out)


def _validation_dice(folder: Path) -> float:
    from medream.record import read_record

    return read_record(folder).results["validation_dice"]


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


def save_pictures(folder: Path, name: str, scan: Any, found: Any) -> None:
    """Save a prediction as a mask and as an overlay: predictions/NAME.png, overlays/NAME.png."""
    import numpy as np
    from PIL import Image

    from medream.figures import overlay_image

    for place in ("predictions", "overlays"):
        (folder / place).mkdir(exist_ok=True)
    mask = found.mask * np.uint8(255) if len(found.classes) == 1 else found.mask
    Image.fromarray(mask).save(folder / "predictions" / f"{name}.png")
    Image.fromarray(overlay_image(scan.image, scan.mask, found.mask)).save(
        folder / "overlays" / f"{name}.png"
    )


@app.command()
def segment(
    path: Annotated[Path, typer.Argument(help="A scan, a folder of scans, or a data set.")],
    out: Out,
    model: Annotated[str, typer.Option("--model", help="A model folder.")],
    format: Annotated[
        Literal["png", "npz", "nifti", "dicom-seg"],
        typer.Option(help="Of the masks, beside pictures."),
    ] = "png",
    skip_bad: SkipBad = False,
    quiet: Quiet = False,
) -> None:
    """Segment scans of any size: masks, overlays and a table of lesion areas.

    Pictures are called as the scan's own file. A folder may hold several subjects: each is a volume of
    its own. nifti is one label volume for each volume; dicom-seg is masks and probabilities that refer to
    the frames of a DICOM source and, other than all else, carry its patient's attributes for the PACS.

    Example: medream segment scan.png --model runs/mine/unet3 --out out/segmentation
    """
    begin(quiet)
    load_tensorflow()
    settings = {
        "path": absolute(path), "model": absolute(model), "format": format, "skip_bad": skip_bad,
    }  # fmt: skip
    done(run_segment(settings, out))


def run_segment(settings: dict[str, Any], out: Path) -> Path:
    """Run `medream segment` from its record's settings."""
    import numpy as np
    import pandas as pd

    from medream.cli.volumes import dicom_frames, picture_names, save_masks, scans_at
    from medream.files import result_folder
    from medream.progress import progress
    from medream.record import RunRecord, input_hashes
    from medream.segmentation import segment
    from medream.store import load_model

    model = load_model(settings["model"])
    scans, distances, left_out = scans_at(settings["path"], bool(settings.get("skip_bad")))
    names = picture_names([scan.source for scan in scans])
    record = RunRecord("segment", settings, inputs=input_hashes(scans))
    of_volumes = settings["format"] in ("nifti", "dicom-seg")
    if settings["format"] == "dicom-seg":
        dicom_frames(scans)  # says now what would be missing in the end
    rows, results = [], []
    with result_folder(out, "segment") as folder, progress("segment", len(scans)) as update:
        for picture, scan in zip(names, scans, strict=True):
            found = segment(model, scan)
            save_pictures(folder, picture, scan, found)
            if of_volumes:
                results.append((scan, found))
            if settings["format"] == "npz":
                np.savez_compressed(
                    folder / f"{picture}.npz", mask=found.mask, probability=found.probability,
                    classes=np.array(found.classes),
                )  # fmt: skip
            area = None if scan.spacing_mm is None else scan.spacing_mm[0] * scan.spacing_mm[1]
            for label, name in enumerate(found.classes, start=1):
                pixels = int((found.mask == label).sum())
                rows.append({"scan": scan.source.name, "file": scan.source.picture,
                             "picture": f"{picture}.png", "class": name, "pixels": pixels,
                             "area_mm2": None if area is None else pixels * area})  # fmt: skip
            update(1)
        if of_volumes:
            save_masks(folder, distances, settings["format"], results)
        pd.DataFrame(rows).to_csv(folder / "areas.csv", index=False)
        record.write(folder, left_out=left_out)
    return Path(out)


@app.command()
def layers(
    model: ModelRef,
    diagram: Annotated[
        Path | None,
        typer.Option("--diagram", help="Draw the network to this SVG, PDF or PNG file."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List a network's layers: shape, parameters, stride and theoretical receptive field.

    Example: medream layers runs/mine/unet3 --diagram unet3.svg
    """
    import json
    from dataclasses import asdict

    load_tensorflow()
    from medream.dream import describe_layers
    from medream.store import info_of, load_model

    network = load_model(model)
    rows = describe_layers(network)
    spacing = info_of(network).spacing_mm
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        _print_layers(rows, spacing, network)
    if diagram is not None:
        from medream.figures import network_diagram, save_figure

        save_figure(network_diagram(rows), diagram)
        if not as_json:
            done(diagram)


def _print_layers(rows: list[Any], spacing: tuple[float, float] | None, network: Any) -> None:
    columns = ["layer", "kind", "shape", "parameters", "stride", "field (px)"]
    print_table(
        [*columns, *(["field (µm)"] if spacing else [])],
        [_layer_cells(row, spacing) for row in rows],
        network.name,
    )
    typer.echo(
        f"{network.count_params():,} parameters. Fields are depth x width, theoretical maxima."
    )


def _layer_cells(row: Any, spacing: tuple[float, float] | None) -> list[str]:
    field = row.receptive_field
    cells = [
        row.name,
        row.kind,
        " x ".join("?" if side is None else str(side) for side in row.output_shape),
        f"{row.parameters:,}",
        "" if row.stride is None else f"{row.stride[0]:g}",
        "whole image" if field is None else "{} x {}".format(*field),
    ]
    if spacing and field is None:
        cells.append("")
    elif spacing:
        cells.append(" x ".join(f"{f * s * 1000:.0f}" for f, s in zip(field, spacing, strict=True)))
    return cells
