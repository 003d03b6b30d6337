"""Training a U-Net on scans: split by subject, judged by validation Dice, resumable to the bit."""

from __future__ import annotations

import fnmatch
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from medream.errors import ConfigError
from medream.files import open_folder
from medream.record import RunRecord, input_hashes
from medream.scan import Scan
from medream.shards import pack
from medream.split import hold_out
from medream.store import ModelInfo, info_of, load_model, save_info
from medream.training.card import nothing_learned, results_of, write_card
from medream.training.census import Census, take_census
from medream.training.checks import (
    check_censuses,
    refuse_shared_subjects,
    refuse_shared_validation,
)
from medream.training.config import TrainConfig
from medream.training.distribution import (
    add_up,
    check_shares,
    is_chief,
    lost_workers,
    open_strategy,
    workers_of,
    writing_folder,
)
from medream.training.epochs import Climb
from medream.training.journal import Journal
from medream.training.precision import be_deterministic
from medream.training.validation import choose_threshold
from medream.unet import UNetConfig, build_unet

__all__ = ["TrainConfig", "refuse_shared_subjects", "train"]


def train(
    scans: Sequence[Scan],
    config: UNetConfig | None = None,
    train_config: TrainConfig | None = None,
    out: str | Path = "model",
    *,
    validation: Sequence[Scan] | None = None,
    start_from: str | Path | None = None,
    freeze: Sequence[str] = (),
    resume: bool = False,
    record: RunRecord | None = None,
    mlflow: str | None = None,
    cache: str | Path | None = None,
    strategy: str | tf.distribute.Strategy | None = None,
) -> Path:
    """Train a U-Net and return its model folder.

    The folder's `model.keras` is the network of the epoch with the best validation Dice; plain Keras
    opens it. Training is a function of scans and settings: resumed after a kill it gives the same
    weights as without one.

    Parameters
    ----------
    scans : sequence of Scan
        With masks. A `Dataset` opened with split="train" brings its own validation part.
    config : UNetConfig
        Default: three levels, or the architecture of `start_from`.
    train_config : TrainConfig
    out : path
        The model folder; also holds the state that `resume` goes on from.
    validation : sequence of Scan
        Scans that choose the epoch. Default: the data set's validation split, otherwise about a fifth
        of the subjects of `scans`.
    start_from : path
        A model folder whose weights are the start (transfer from one device to another).
    freeze : sequence of str
        Layer names or patterns such as "enc*" that keep their weights.
    resume : bool
        Go on from the state in `out`, when there is one.
    record : RunRecord
        Made here when None.
    mlflow : str, optional
        An MLflow tracking URI or a folder, which gets the course of the training (extra
        `medream[mlflow]`).
    cache : path, optional
        Folder to keep the decoded scans in instead of in memory, for the next training on them, too.
        Default: the user's cache when they would take more than a quarter of the memory
        (`shards.pack`).
    strategy : {"mirrored", "multiworker"} or tf.distribute.Strategy, optional
        Share each batch out over the GPUs of this machine, or over the processes that `TF_CONFIG` or
        SLURM names, which all call this with the same arguments and an `out` that they share
        (`distribution`). Default: one device.

    Raises
    ------
    ConfigError
        Before training: a named subject on both sides of training, validation and test, or
        everything else that is wrong with scans and settings.
    TrainingError
        When the loss is no longer a number, or a worker is lost; the best network so far is kept.

    Examples
    --------
    >>> import medream as md  # doctest: +SKIP
    >>> scans = md.open_dataset("duke_dme", split="train")  # doctest: +SKIP
    >>> md.train(scans, md.UNetConfig(levels=3), out="runs/unet3")  # doctest: +SKIP
    """
    train_config = train_config or TrainConfig()
    strategy = open_strategy(strategy)  # first, as TensorFlow wants it
    check_shares(strategy, train_config)
    dataset = scans
    refuse_shared_subjects(dataset)
    if validation is None and getattr(scans, "split", None) == "train":
        validation = scans.part("validation") or None  # type: ignore[attr-defined]
    if validation is None:
        scans, validation = hold_out(pack(scans, cache))
    else:
        refuse_shared_validation(scans, validation)
    scans, validation = pack(scans, cache), pack(validation, cache)
    counted, held_out = take_census(scans), take_census(validation)
    base = load_model(start_from) if start_from is not None else None
    config = _architecture(config, base, counted)
    check_censuses(counted, held_out, config, train_config, freeze)
    if held_out.lacking:
        warnings.warn(
            f"No validation scan holds {' or '.join(held_out.lacking)}: the epoch is chosen without.",
            stacklevel=2,
        )

    out = Path(out)
    settings = {
        "dataset": str(Path(path).resolve()) if (path := getattr(dataset, "path", None)) else None,
        "unet": config.to_json(),
        "train": asdict(train_config),
        "from": None if start_from is None else str(Path(start_from).resolve()),
        "freeze": list(freeze),
    }
    record = record or RunRecord("train", settings, seed=train_config.seed)
    record = replace(record, inputs={**input_hashes(scans), **input_hashes(validation)})

    if train_config.deterministic:
        be_deterministic()
    model = build_unet(config, seed=train_config.seed)
    if base is not None:
        model.set_weights(base.get_weights())
    _freeze(model, freeze)
    with writing_folder(strategy, out) as folder, lost_workers(strategy, out):
        journal = Journal(folder, mlflow if is_chief(strategy) else None)
        climb = Climb(
            model, scans, validation, train_config, folder, resume, settings, journal, strategy
        )
        info = ModelInfo(
            classes=scans[0].classes,
            spacing_mm=next(iter(counted.spacings)) if len(counted.spacings) == 1 else None,
            unet=config.to_json(),
            train=asdict(train_config),
            threshold=0.5
            if train_config.threshold == "validation"
            else float(train_config.threshold),
        )
        # Before the first network is written: a folder that holds one always says what it is.
        open_folder(folder, record.command)
        record.write(folder)
        save_info(info, folder)
        journal.begin(settings)

        history = climb.run()
        results = {
            **results_of(history, counted, held_out, train_config),
            "parameters": model.count_params(),
            "precision": climb.precision,
        }
        if config.classes == 1:
            model.set_weights(load_model(folder).get_weights())  # of the epoch that was kept
            info, results["threshold"] = _settle_threshold(
                model, info, train_config, validation, strategy
            )
            save_info(info, folder)
        write_card(folder, model, config, train_config, counted, held_out, results)
        journal.end(results)
        record.write(folder, **results)  # last: the mark of a finished training
        if is_chief(strategy) and (nothing := nothing_learned(results)):
            warnings.warn(f"{out}: {nothing}", stacklevel=2)
        add_up(strategy, np.zeros(1, np.int64))  # the others wait for the chief's last word
    return out


def _architecture(
    config: UNetConfig | None, base: keras.Model | None, counted: Census
) -> UNetConfig:
    """Return the settings of the network, with its input normalisation taken from the scans."""
    if base is None:
        return replace(
            config or UNetConfig(),
            input_mean=round(counted.mean, 4),
            input_std=round(counted.std, 4),
        )
    known = info_of(base).unet
    if known is None:
        raise ConfigError(
            "The model to start from was not trained by medream: it has no model.json."
        )
    start = UNetConfig(**known)
    if (
        config is not None
        and replace(config, input_mean=start.input_mean, input_std=start.input_std) != start
    ):
        raise ConfigError(
            f"The model to start from has {start.levels} levels and {start.base_filters} base "
            f"filters; the settings ask for {config.levels} and {config.base_filters}. "
            "Leave them out, or ask for the same."
        )
    return start


def _freeze(model: keras.Model, patterns: Sequence[str]) -> None:
    for layer in model.layers:
        if any(fnmatch.fnmatchcase(layer.name, pattern) for pattern in patterns):
            layer.trainable = False


def _settle_threshold(
    model: keras.Model,
    info: ModelInfo,
    train_config: TrainConfig,
    validation: Sequence[Scan],
    strategy: tf.distribute.Strategy,
) -> tuple[ModelInfo, dict[str, Any]]:
    """Choose the threshold of a network, or keep the one that was asked for."""
    if train_config.threshold != "validation":
        return info, {"value": info.threshold, "chosen_on": None}
    worker, workers = workers_of(strategy)
    threshold, dice, dice_at_half = choose_threshold(
        model, validation[worker::workers], partial(add_up, strategy)
    )
    return replace(info, threshold=threshold), {
        "value": threshold,
        "chosen_on": "validation",
        "dice": round(dice, 6),
        "dice_at_half": round(dice_at_half, 6),
    }
