"""medream train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from medream.cli import app
from medream.cli.options import Dataset, Out, Quiet, Seed, absolute, begin, done, load_tensorflow


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
