"""Training a U-Net on scans: split by subject, judged by validation Dice, resumable to the bit."""

from __future__ import annotations

import fnmatch
import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from medream.errors import ConfigError, LayerError, TrainingError, nearest
from medream.files import atomic_file, open_folder, write_text
from medream.losses import LOSSES
from medream.metrics import confusion, overlap
from medream.pipeline import Augmentation, samples_per_epoch, training_batches
from medream.progress import progress, say
from medream.record import RunRecord, input_hashes
from medream.scan import Scan
from medream.segmentation import segment
from medream.split import hold_out
from medream.store import MODEL_FILE, ModelInfo, info_of, load_model, save_info, save_keras
from medream.unet import UNetConfig, build_unet

STATE_FILE = "checkpoint.npz"
HISTORY_FILE = "history.csv"


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained.

    Parameters
    ----------
    epochs : int
        At most this many; an epoch sees patches that together cover the area of all scans once.
    batch_size : int
        Patches a step.
    learning_rate : float
        Of Adam at the start; it falls along a cosine to a hundredth of it.
    loss : {"dice_ce", "dice", "ce"}
    image_size : (depth, width)
        Size of the training patches in the scans' own pixels. Scans are never resized, so that
        prediction and dreams see what training saw; smaller scans are mirrored up.
    augment : bool
        Flip, rotation, shift, shear, zoom and intensity changes (`pipeline.Augmentation`).
    patience : int
        Stop after this many epochs without a better validation Dice.
    seed : int
        Of initial weights, patches, augmentation and dropout.

    Raises
    ------
    ConfigError
        Listing everything that is wrong.

    Examples
    --------
    >>> TrainConfig(epochs=5).image_size
    (256, 256)
    """

    epochs: int = 40
    batch_size: int = 4
    learning_rate: float = 2e-3
    loss: str = "dice_ce"
    image_size: tuple[int, int] = (256, 256)
    augment: bool = True
    patience: int = 15
    seed: int = 0

    def __post_init__(self) -> None:
        wrong = [
            f"{name} is {getattr(self, name)!r}, expected a whole number of at least 1"
            for name in ("epochs", "batch_size", "patience")
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1
        ]
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            wrong.append(f"learning_rate is {self.learning_rate!r}, expected a positive number")
        if self.loss not in LOSSES:
            wrong.append(f"loss is {self.loss!r}, expected one of {', '.join(LOSSES)}")
        size = tuple(self.image_size)
        if len(size) != 2 or min(size) < 1:
            wrong.append(f"image_size is {self.image_size!r}, expected (depth, width) in pixels")
        object.__setattr__(self, "image_size", size)
        if not 0 <= self.seed < 2**31:
            wrong.append(f"seed is {self.seed!r}, expected 0 to 2**31 - 1")
        if wrong:
            raise ConfigError("TrainConfig: " + "; ".join(wrong) + ".")


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
        Before training, listing everything that is wrong with scans and settings.
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
    if validation is None:
        own = scans.part("validation") if getattr(scans, "split", None) == "train" else None  # type: ignore[attr-defined]
        scans, validation = (scans, own) if own is not None and len(own) else hold_out(scans)
    scans, validation = list(scans), list(validation)
    base = load_model(start_from) if start_from is not None else None
    config = _architecture(config, base, scans)
    _check(scans, validation, config, train_config)

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
    history = _Climb(model, scans, validation, train_config, out, resume, settings).run()
    _finish(model, config, train_config, scans, validation, out, history, record)
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


def _check(
    scans: Sequence[Scan], validation: Sequence[Scan], config: UNetConfig, train_config: TrainConfig
) -> None:
    wrong = []
    for part, name in ((scans, "training"), (validation, "validation")):
        if not part:
            wrong.append(f"there are no {name} scans")
            continue
        bare = [s.source.name for s in part if s.mask is None]
        if bare:
            wrong.append(f"{len(bare)} {name} scans have no mask ({', '.join(bare[:3])}, ...)")
        elif not any(bool(s.mask.any()) for s in part):  # type: ignore[union-attr]
            wrong.append(f"no {name} scan holds a lesion, so Dice is undefined")
    names = {s.classes for s in [*scans, *validation]}
    if len(names) > 1:
        wrong.append(f"scans name different classes: {', '.join(map(str, sorted(names)))}")
    elif names:
        (classes,) = names
        outputs = 1 if len(classes) == 1 else len(classes) + 1
        if config.classes != outputs:
            wrong.append(
                f"the scans have {len(classes)} classes ({', '.join(classes)}), which takes "
                f"UNetConfig(classes={outputs}) instead of {config.classes}"
            )
    if config.in_channels != 1:
        wrong.append(
            f"scans are grey, so UNetConfig(in_channels=1) instead of {config.in_channels}"
        )
    if any(side % config.stride for side in train_config.image_size):
        wrong.append(
            f"image_size {train_config.image_size} is no multiple of {config.stride}, the stride of a "
            f"network with {config.levels} levels"
        )
    if wrong:
        raise ConfigError("Training cannot start: " + "; ".join(wrong) + ".")


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


def validation_dice(model: keras.Model, scans: Sequence[Scan]) -> float:
    """Return the Dice of all scans' pixels pooled, averaged over the classes that occur."""
    totals: dict[int, dict[str, int]] = {}
    for scan in scans:
        assert scan.mask is not None
        found = segment(model, scan)
        for label in range(1, len(found.classes) + 1):
            counts = confusion(scan.mask == label, found.mask == label, scan.valid)
            total = totals.setdefault(label, dict.fromkeys(counts, 0))
            for name, count in counts.items():
                total[name] += count
    return float(np.nanmean([overlap(**total)["dice"] for total in totals.values()]))


class _Climb(keras.callbacks.Callback):
    """The epochs: validate, keep the best network, keep the state, stop when it no longer helps."""

    def __init__(
        self,
        model: keras.Model,
        scans: Sequence[Scan],
        validation: Sequence[Scan],
        config: TrainConfig,
        out: Path,
        resume: bool,
        settings: dict[str, Any],
    ):
        super().__init__()
        self.network, self.scans, self.validation = model, scans, validation
        self.config, self.out, self.settings = config, out, settings
        self.steps = (
            samples_per_epoch(scans, config.image_size, config.batch_size) // config.batch_size
        )
        self.history: list[dict[str, float]] = []
        self.trainer = keras.Model(model.input, model.get_layer("logits").output)
        rate = keras.optimizers.schedules.CosineDecay(
            config.learning_rate, config.epochs * self.steps, alpha=0.01
        )
        # XLA on the CPU was measured several times slower than the plain graph.
        self.trainer.compile(keras.optimizers.Adam(rate), LOSSES[config.loss], jit_compile=False)
        self.trainer.optimizer.build(self.trainer.trainable_variables)
        if resume and (out / STATE_FILE).exists():
            self._load()
        elif (out / MODEL_FILE).exists() or (out / STATE_FILE).exists():
            raise ConfigError(
                f"{out} already holds a model. Pass --resume to go on with it, or choose another folder."
            )

    @property
    def best(self) -> float:
        return max((row["validation_dice"] for row in self.history), default=-1.0)

    @property
    def stale(self) -> int:
        """Epochs since the best one."""
        scores = [row["validation_dice"] for row in self.history]
        return len(scores) - 1 - int(np.argmax(scores)) if scores else 0

    def run(self) -> pd.DataFrame:
        config, done = self.config, len(self.history)
        open_folder(self.out, "train")
        if done < config.epochs and self.stale < config.patience:
            batches = training_batches(
                self.scans,
                config.image_size,
                config.batch_size,
                Augmentation() if config.augment else Augmentation.none(),
                config.seed,
                first_sample=done * self.steps * config.batch_size,
            )
            self.logs = tf.summary.create_file_writer(str(self.out / "tensorboard"))
            with (
                warnings.catch_warnings(),
                progress(self.network.name, (config.epochs - done) * self.steps) as self.update,
            ):
                # Keras offers to shuffle a data set that is shuffled already.
                warnings.filterwarnings("ignore", message=".*shuffle=True.*")
                self.trainer.fit(
                    batches,
                    steps_per_epoch=self.steps,
                    epochs=config.epochs,
                    initial_epoch=done,
                    callbacks=[self],
                    verbose=0,
                )
            self.logs.close()
        return pd.DataFrame(self.history)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not math.isfinite(logs["loss"]):
            kept = (
                f"The best network so far (validation Dice {self.best:.3f}) is kept in {self.out}."
                if self.history
                else "No epoch was completed, so nothing is kept."
            )
            raise TrainingError(
                f"The loss became {logs['loss']} in epoch {len(self.history) + 1}. {kept} Try a smaller "
                f"--learning-rate than {self.config.learning_rate:g}."
            )
        dice = {"validation_dice": self.best} if self.history else {}
        self.update(1, loss=logs["loss"], **dice)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        dice = validation_dice(self.network, self.validation)
        better = dice > self.best
        row = {"epoch": epoch + 1, "loss": float(logs["loss"]), "validation_dice": dice}
        self.history.append(row)
        with self.logs.as_default(step=epoch + 1):
            tf.summary.scalar("loss", row["loss"])
            tf.summary.scalar("validation_dice", dice)
        if better:
            save_keras(self.network, self.out / MODEL_FILE)
        self._save()
        say(
            f"{self.network.name}: epoch {epoch + 1}, loss {row['loss']:.4f}, validation Dice {dice:.4f}"
        )
        if self.stale >= self.config.patience:
            self.trainer.stop_training = True

    def _variables(self) -> list[Any]:
        return [*self.trainer.variables, *self.trainer.optimizer.variables]

    def _save(self) -> None:
        """Write everything that the next epoch depends on as one file."""
        state = {"history": self.history, "settings": self.settings}
        arrays = {f"v{i:04d}": v.numpy() for i, v in enumerate(self._variables())}
        with atomic_file(self.out / STATE_FILE) as temporary, open(temporary, "wb") as file:
            np.savez(file, state=np.array(json.dumps(state)), **arrays)
        with atomic_file(self.out / HISTORY_FILE) as temporary:
            pd.DataFrame(self.history).to_csv(temporary, index=False)

    def _load(self) -> None:
        path = self.out / STATE_FILE
        try:
            with np.load(path, allow_pickle=False) as file:
                state = json.loads(str(file["state"]))
                arrays = [file[f"v{i:04d}"] for i in range(len(file.files) - 1)]
        except (OSError, ValueError, KeyError) as error:
            raise TrainingError(
                f"{path} is damaged ({error}); delete the folder and train anew."
            ) from error
        wanted = json.loads(json.dumps(self.settings))
        differing = [key for key in wanted if wanted[key] != state["settings"].get(key)]
        if differing:
            raise ConfigError(
                f"{self.out} was begun with other settings ({', '.join(differing)} differ). Resume with "
                "the same ones, or choose another folder."
            )
        for variable, array in zip(self._variables(), arrays, strict=True):
            variable.assign(array)
        self.history = state["history"]
        say(f"{self.network.name}: going on after epoch {len(self.history)}")


def _finish(
    model: keras.Model,
    config: UNetConfig,
    train_config: TrainConfig,
    scans: Sequence[Scan],
    validation: Sequence[Scan],
    out: Path,
    history: pd.DataFrame,
    record: RunRecord,
) -> None:
    """Write what stands beside the network: info, card and run record."""
    spacings = {scan.spacing_mm for scan in scans}
    info = ModelInfo(
        classes=scans[0].classes,
        spacing_mm=spacings.pop() if len(spacings) == 1 else None,
        unet=config.to_json(),
        train=asdict(train_config),
    )
    save_info(info, out)
    best = history.iloc[int(history.validation_dice.argmax())]
    people = {
        name: sorted({s.source.subject_id for s in part})
        for name, part in (("training", scans), ("validation", validation))
    }
    write_text(
        out / "card.md",
        f"""# {model.name}: U-Net with {config.levels} levels, {model.count_params():,} parameters

- Segments: {", ".join(info.classes)}
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
