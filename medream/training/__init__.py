"""Training a U-Net on scans: split by subject, judged by validation Dice, resumable to the bit."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from medream.errors import ConfigError, LayerError, nearest
from medream.files import open_folder, write_text
from medream.record import RunRecord, input_hashes
from medream.scan import Scan
from medream.split import hold_out
from medream.store import ModelInfo, info_of, load_model, save_info
from medream.training.checks import (
    check_settings,
    refuse_shared_subjects,
    refuse_shared_validation,
)
from medream.training.config import TrainConfig
from medream.training.epochs import Climb
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

    Raises
    ------
    ConfigError
        Before training: a named subject on both sides of training, validation and test, or
        everything else that is wrong with scans and settings.
    TrainingError
        When the loss is no longer a number; the best network so far is kept.

    Examples
    --------
    >>> import medream as md  # doctest: +SKIP
    >>> scans = md.open_dataset("duke_dme", split="train")  # doctest: +SKIP
    >>> md.train(scans, md.UNetConfig(levels=3), out="runs/unet3")  # doctest: +SKIP
    """
    train_config = train_config or TrainConfig()
    dataset = scans
    refuse_shared_subjects(dataset)
    if validation is None:
        own = scans.part("validation") if getattr(scans, "split", None) == "train" else None  # type: ignore[attr-defined]
        scans, validation = (scans, own) if own is not None and len(own) else hold_out(scans)
    else:
        refuse_shared_validation(scans, validation)
    scans, validation = list(scans), list(validation)
    base = load_model(start_from) if start_from is not None else None
    config = _architecture(config, base, scans)
    check_settings(scans, validation, config, train_config)

    out = Path(out)
    settings = {
        "dataset": str(Path(path).resolve()) if (path := getattr(dataset, "path", None)) else None,
        "unet": config.to_json(),
        "train": asdict(train_config),
        "from": None if start_from is None else str(Path(start_from).resolve()),
        "freeze": list(freeze),
    }
    record = record or RunRecord("train", settings, seed=train_config.seed)
    record = replace(record, inputs=input_hashes([*scans, *validation]))

    model = build_unet(config, seed=train_config.seed)
    if base is not None:
        model.set_weights(base.get_weights())
    _freeze(model, freeze)
    climb = Climb(model, scans, validation, train_config, out, resume, settings)
    spacings = {scan.spacing_mm for scan in scans}
    info = ModelInfo(
        classes=scans[0].classes,
        spacing_mm=spacings.pop() if len(spacings) == 1 else None,
        unet=config.to_json(),
        train=asdict(train_config),
    )
    # Before the first network is written: a folder that holds one always says what it is.
    open_folder(out, record.command)
    save_info(info, out)
    record.write(out)
    _finish(model, config, info.classes, scans, validation, out, climb.run(), record)
    return out


def _architecture(
    config: UNetConfig | None, base: keras.Model | None, scans: Sequence[Scan]
) -> UNetConfig:
    """Return the settings of the network, with its input normalisation taken from the scans."""
    if base is not None:
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
    config = config or UNetConfig()
    if not scans:
        return config
    kept = [s.image if s.valid is None else s.image[s.valid] for s in scans]
    count = sum(k.size for k in kept)
    mean = sum(float(k.sum(dtype=np.float64)) for k in kept) / count
    square = sum(float(np.square(k, dtype=np.float64).sum()) for k in kept) / count
    std = math.sqrt(max(square - mean**2, 1e-6))
    return replace(config, input_mean=round(mean, 4), input_std=round(std, 4))


def _freeze(model: keras.Model, patterns: Sequence[str]) -> None:
    names = [layer.name for layer in model.layers]
    for pattern in patterns:
        matched = fnmatch.filter(names, pattern)
        if not matched:
            raise LayerError(f"No layer is called {pattern!r}. {nearest(pattern, names)}")
        for name in matched:
            model.get_layer(name).trainable = False
    if not model.trainable_weights:
        raise ConfigError(f"Freezing {', '.join(patterns)} leaves no weight to train.")


def _finish(
    model: keras.Model,
    config: UNetConfig,
    classes: Sequence[str],
    scans: Sequence[Scan],
    validation: Sequence[Scan],
    out: Path,
    history: pd.DataFrame,
    record: RunRecord,
) -> None:
    """Write the card, and the run record with its results: the mark of a finished training."""
    best = history.iloc[int(history.validation_dice.argmax())]
    people = {
        name: sorted({s.source.subject_id for s in part})
        for name, part in (("training", scans), ("validation", validation))
    }
    write_text(
        out / "card.md",
        f"""# {model.name}: U-Net with {config.levels} levels, {model.count_params():,} parameters

- Segments: {", ".join(classes)}
- Trained on: {len(scans)} B-scans of {len(people["training"])} subjects of
  {", ".join(sorted({s.source.dataset for s in scans}))}
- Epoch chosen on: {len(validation)} B-scans of {len(people["validation"])} other subjects
- Validation Dice (pooled pixels): {best.validation_dice:.3f} at epoch {int(best.epoch)}
- Settings: `run.json`; course of training: `history.csv`

Research use, not for diagnosis. The validation Dice chose the epoch and flatters the network;
`medream evaluate` on subjects that training never saw gives the number to report. Scans of other
devices, diseases or pixel sizes were not tried.
""",
    )
    record.write(
        out,
        validation_dice=round(float(best.validation_dice), 6),
        best_epoch=int(best.epoch),
        epochs=len(history),
        parameters=model.count_params(),
        subjects=people,
    )
