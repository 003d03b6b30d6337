"""medream compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from medream.cli import app
from medream.cli.options import (
    Dataset,
    Json,
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


@app.command()
def compare(
    dataset: Dataset,
    out: Out,
    levels: Annotated[
        list[int] | None,
        typer.Option(
            "--levels", min=1, max=6, help="A depth to compare; repeat.", show_default="2, 3 and 4"
        ),
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Folds of subjects.")] = 5,
    leave_one_out: Annotated[
        bool, typer.Option("--leave-one-out", help="Leave each subject out once, instead of folds.")
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each depth on each fold.")] = 3,
    seed: Seed = 0,
    without_test: Annotated[
        bool,
        typer.Option(
            "--without-test", help="Keep the data set's own test part out of all folds, untouched."
        ),
    ] = False,
    base_filters: Annotated[int, typer.Option(min=1, help="Filters at full resolution.")] = 16,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="At most this many.", show_default="40")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Patches a step.", show_default="4")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="The largest of the training.", show_default="0.002")
    ] = None,
    loss: Annotated[
        str | None, typer.Option(help="What is minimised.", show_default="dice_ce")
    ] = None,
    image_size: Annotated[
        tuple[int, int] | None,
        typer.Option(
            help="Depth and width of the training patches in pixels.", show_default="256 256"
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            min=1, help="Stop after so many epochs without a better Dice.", show_default="15"
        ),
    ] = None,
    augment: Annotated[bool, typer.Option(help="Vary the patches at random.")] = True,
    more: More = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="Where the trainings run: local or local:N (processes), slurm or slurm:N (jobs), tcp://HOST:PORT "
            "(a Dask scheduler); needs medream\\[cluster].",
            show_default="here, one after the other",
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare U-Nets of several depths on held-out subjects: every depth on every fold with every seed.

    Writes report.html, tables with intervals over subjects, paired tests, figures, a reporting checklist. The same
    command goes on where it was stopped. Example:

    medream compare my_scans --levels 2 --levels 3 --levels 4 --folds 5 --seeds 3 --out out/depth
    """
    begin(quiet)
    load_tensorflow()
    given = {
        "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "loss": loss,
        "image_size": None if image_size is None else list(image_size), "patience": patience,
    }  # fmt: skip
    train = {name: value for name, value in given.items() if value is not None}
    settings = {
        "dataset": absolute(dataset),
        "without_test": without_test,
        "config": {
            "levels": levels or [2, 3, 4],
            "folds": None if leave_one_out else folds,
            "seeds": seeds,
            "unet": {"base_filters": base_filters},
            "train": {**train, "augment": augment, "seed": seed, **dict(map(setting, more or []))},
        },
    }
    try:
        run_compare(settings, out, cluster)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "Stopped by Ctrl-C. Finished trainings and the last whole epoch of the others are kept in "
            f"{out}: the same command goes on from there."
        ) from None
    if as_json:
        from medream.record import read_record

        typer.echo(json.dumps(read_record(out).results, indent=2))
    else:
        done(out)


def run_compare(settings: dict[str, Any], out: Path, cluster: str | None = None) -> Path:
    """Run `medream compare` from its record's settings."""
    from medream.comparison import CompareConfig, compare
    from medream.record import RunRecord

    config = CompareConfig(**settings["config"])
    scans = _taking_part(_opened(settings), settings["without_test"])
    settings = {**settings, "config": config.to_json()}
    record = RunRecord("compare", settings, seed=config.train.seed)
    compare(scans, config, out, cluster=cluster, record=record)
    return Path(out)


def run_compare_fold(settings: dict[str, Any], out: Path) -> Path:
    """Repeat one training of a comparison, and its scores, from the record of its model folder."""
    from medream.comparison.cohort import Cohort
    from medream.comparison.plan import PARTS, Fold, Training, train_config
    from medream.comparison.running import run_training
    from medream.unet import UNetConfig

    fold = Fold.from_json(settings["fold"])
    people = {subject for part in PARTS for subject in getattr(fold, part)}
    training = Training(UNetConfig(**settings["unet"]), train_config(settings["train"]), fold)
    cohort = Cohort(_of_people(_opened(settings), people))
    run_training(cohort, training, Path(out), settings["dataset"])
    return Path(out)


def _opened(settings: dict[str, Any]) -> Any:
    from medream.adapters import open_dataset
    from medream.errors import ConfigError

    if settings["dataset"] is None:
        raise ConfigError(
            "This comparison was made from Python on scans without a data set's path."
        )
    return open_dataset(settings["dataset"])


def _of_people(scans: Any, people: set[str]) -> Any:
    return scans.only(k for k, source in enumerate(scans.sources) if source.subject_id in people)


def _taking_part(scans: Any, without_test: bool) -> Any:
    """Return the scans that are dealt into folds, and say what becomes of a data set's own test part."""
    from medream.errors import ConfigError
    from medream.progress import say

    everybody = {source.subject_id for source in scans.sources}
    test = {
        s.subject_id
        for s, split in zip(scans.sources, scans.splits, strict=True)
        if split == "test"
    }
    if without_test:
        if not test or test == everybody:
            raise ConfigError(
                f"--without-test: {scans.path} has no subjects that are in its test part only."
            )
        return _of_people(scans, everybody - test)
    if test and test != everybody:
        say(
            "compare: all subjects are dealt into folds, those of the data set's own test part, too, which "
            "is no untouched one afterwards (--without-test keeps it out)"
        )
    return scans
