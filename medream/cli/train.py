"""medream train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from medream.cli import app
from medream.cli.options import (
    Dataset,
    More,
    Out,
    Quiet,
    Seed,
    absolute,
    begin,
    done,
    load_tensorflow,
    setting,
)

_LOSS = "Loss and patches"
_STEPS = "Steps"
_START = "Starting from another model"
_MACHINE = "Large data, several devices"


def _loss(help: str, **settings: Any) -> Any:
    return typer.Option(help=help, rich_help_panel=_LOSS, **settings)


def _steps(help: str, **settings: Any) -> Any:
    return typer.Option(help=help, rich_help_panel=_STEPS, **settings)


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
    image_size: Annotated[
        tuple[int, int],
        typer.Option(
            help="Depth and width of the training patches in pixels, as in: --image-size 128 192."
        ),
    ] = (256, 256),
    patience: Annotated[
        int, typer.Option(min=1, help="Stop after so many epochs without a better Dice.")
    ] = 15,
    threshold: Annotated[
        str,
        typer.Option(
            help="Probability from which on a pixel is lesion; validation: that with the best Dice there."
        ),
    ] = "validation",
    seed: Seed = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a killed training stopped.")
    ] = False,
    mlflow: Annotated[
        str | None,
        typer.Option(help="Tracking URI or folder of MLflow; needs medream\\[mlflow]."),
    ] = None,
    more: More = None,
    quiet: Quiet = False,
    loss: Annotated[
        Literal["dice_ce", "dice", "ce", "focal", "tversky", "generalized_dice", "boundary"],
        _loss("What is minimised."),
    ] = "dice_ce",
    lesion_scans: Annotated[
        float | None,
        _loss(
            "Share of patches from scans with a lesion.", min=0, max=1, show_default="as they come"
        ),
    ] = None,
    lesion_patches: Annotated[
        float, _loss("Share of their patches that is centred on a lesion.", min=0, max=1)
    ] = 0.5,
    augment: Annotated[bool, _loss("Vary the patches at random.")] = True,
    learning_rate: Annotated[float, _steps("The largest of the training.")] = 2e-3,
    optimizer: Annotated[
        Literal["adam", "adamw", "nadam", "sgd", "rmsprop", "lion"], _steps("Of Keras.")
    ] = "adam",
    schedule: Annotated[
        Literal["cosine", "constant"], _steps("Course of the learning rate.")
    ] = "cosine",
    warmup: Annotated[int, _steps("Epochs in which the learning rate rises.", min=0)] = 0,
    weight_decay: Annotated[
        float | None, _steps("Decoupled.", min=0, show_default="0.004 for adamw, else none")
    ] = None,
    ema: Annotated[
        float | None,
        _steps("Keep a moving average of the weights with this decay.", show_default="none"),
    ] = None,
    precision: Annotated[
        Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"],
        _steps("What the network computes in; auto: bfloat16 where the hardware has units for it."),
    ] = "auto",
    start_from: Annotated[
        str | None,
        typer.Option(
            "--from", help="A model folder whose weights are the start.", rich_help_panel=_START
        ),
    ] = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option(
            "--freeze",
            help="Layers that keep their weights, such as 'enc*'; repeat.",
            rich_help_panel=_START,
        ),
    ] = None,
    layer_rate: Annotated[
        list[str] | None,
        typer.Option(
            "--layer-rate",
            metavar="PATTERN=FACTOR",
            help="Factor of some layers' learning rate, such as 'enc*=0.1'; repeat.",
            rich_help_panel=_START,
        ),
    ] = None,
    cache_dir: Annotated[
        Path | None,
        typer.Option(
            help="Keep the decoded scans in this folder, for the next training too.",
            show_default="memory; ~/.cache/medream when they take over a quarter of it",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    strategy: Annotated[
        Literal["mirrored", "multiworker"] | None,
        typer.Option(
            help="Share each batch: mirrored, over this machine's GPUs; multiworker, over the processes of "
            "TF_CONFIG or SLURM.",
            show_default="one device",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
) -> None:
    """Train one U-Net per --levels on the data set's training subjects: OUT/unet2, OUT/unet3, ...

    The epoch and the threshold are chosen by Dice on validation subjects. Example:

    medream train my_scans --levels 2 --levels 3 --levels 4 --out runs/mine
    """
    begin(quiet)
    given = {
        "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "loss": loss,
        "image_size": list(image_size), "augment": augment, "patience": patience, "seed": seed,
        "lesion_scans": lesion_scans, "lesion_patches": lesion_patches, "optimizer": optimizer,
        "schedule": schedule, "warmup": warmup, "weight_decay": weight_decay, "ema": ema,
        "precision": precision, "threshold": _threshold(threshold),
        "layer_rates": dict(map(_layer_rate, layer_rate or [])),
    }  # fmt: skip
    settings = {
        "dataset": absolute(dataset),
        "levels": levels,
        "base_filters": base_filters,
        "train": {**given, **dict(map(setting, more or []))},
        "from": None if start_from is None else absolute(start_from),
        "freeze": freeze or [],
        "strategy": strategy,
    }
    load_tensorflow()
    if resume:
        _tell_of_nothing_begun(out)
    done(run_train(settings, out, resume, mlflow, cache_dir))


def _tell_of_nothing_begun(out: Path) -> None:
    from medream.progress import say
    from medream.training.state import STATE_FILE

    if not any(out.glob(f"unet*/{STATE_FILE}")):
        say(f"train: --resume finds no training in {out} to go on with: it begins anew")


def _threshold(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _layer_rate(text: str) -> tuple[str, float]:
    pattern, _, factor = text.rpartition("=")
    try:
        return pattern, float(factor if pattern else "")
    except ValueError:
        raise typer.BadParameter(
            f"{text!r}: expected PATTERN=FACTOR, such as 'enc*=0.1'.", param_hint="--layer-rate"
        ) from None


def run_train(
    settings: dict[str, Any],
    out: Path,
    resume: bool = True,
    mlflow: str | None = None,
    cache: Path | None = None,
) -> Path:
    """Run `medream train` from its record's settings.

    The records of the model folders hold the whole architecture ("unet") instead of levels.
    """
    try:
        return _train(settings, Path(out), resume, mlflow, cache)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"Stopped by Ctrl-C. What was learned up to the last whole epoch is kept in {out}: the same "
            "command, medream train with --resume, goes on from there."
        ) from None


def _train(
    settings: dict[str, Any], out: Path, resume: bool, mlflow: str | None, cache: Path | None
) -> Path:
    from medream.adapters import open_dataset
    from medream.errors import ConfigError
    from medream.files import open_folder
    from medream.progress import set_mode
    from medream.record import RunRecord, read_record
    from medream.shards import pack
    from medream.training import refuse_shared_subjects, train
    from medream.training.checks import check_settings
    from medream.training.config import train_config
    from medream.training.distribution import is_chief, open_strategy

    if settings["dataset"] is None:
        raise ConfigError("This model was trained from Python on scans without a data set's path.")
    chosen = train_config(settings["train"])
    strategy = open_strategy(settings.get("strategy"))  # before anything else of TensorFlow
    if not (chief := is_chief(strategy)):
        set_mode("quiet")
    scans = open_dataset(settings["dataset"], split="train")
    refuse_shared_subjects(scans)
    configs = _architectures(settings, scans.classes)
    loaded, validation = pack(scans, cache), pack(scans.part("validation"), cache)
    check_settings(loaded, validation, configs, chosen, settings["freeze"])
    if chief:
        open_folder(out, "train")
    record = RunRecord("train", settings, seed=chosen.seed)
    scores = {}
    for config in configs:
        folder = out / f"unet{config.levels}"
        single = {k: settings.get(k) for k in ("dataset", "train", "from", "freeze", "strategy")}
        train(
            loaded, None if settings["from"] else config, chosen, folder,
            validation=validation, start_from=settings["from"], freeze=settings["freeze"], resume=resume,
            record=RunRecord("train", {**single, "unet": config.to_json()}, seed=chosen.seed),
            mlflow=mlflow, strategy=strategy,
        )  # fmt: skip
        if chief:
            scores[folder.name] = read_record(folder).results["validation_dice"]
    if chief:
        record.write(out, validation_dice=scores)
    return out


def _architectures(settings: dict[str, Any], classes: tuple[str, ...]) -> list[Any]:
    """Return the `UNetConfig` of each network that is asked for."""
    from medream.errors import ConfigError
    from medream.store import info_of, load_model
    from medream.unet import UNetConfig

    if "unet" in settings:
        return [UNetConfig(**settings["unet"])]
    if settings["from"] is None:
        outputs = 1 if len(classes) == 1 else len(classes) + 1
        return [
            UNetConfig(levels=n, base_filters=settings["base_filters"] or 16, classes=outputs)
            for n in dict.fromkeys(settings["levels"] or [3])
        ]
    start = UNetConfig(**(info_of(load_model(settings["from"])).unet or {}))
    asked = (settings["levels"] or [start.levels], settings["base_filters"] or start.base_filters)
    if asked != ([start.levels], start.base_filters):
        raise ConfigError(
            f"{settings['from']} has {start.levels} levels and {start.base_filters} base filters; "
            "leave --levels and --base-filters out, or give the same."
        )
    return [start]
