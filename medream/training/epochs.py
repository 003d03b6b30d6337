"""The epochs: patches in, the best network and the state that a resumed training goes on from out."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from medream.errors import ConfigError, OutputError, TrainingError
from medream.files import atomic_file
from medream.losses import make_loss
from medream.metrics import confusion, overlap
from medream.pipeline import Augmentation, samples_per_epoch, training_batches
from medream.progress import progress, say
from medream.record import read_record
from medream.scan import Scan
from medream.segmentation import segment
from medream.store import MODEL_FILE, save_keras
from medream.training.config import TrainConfig

STATE_FILE = "checkpoint.npz"
HISTORY_FILE = "history.csv"


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


class Climb(keras.callbacks.Callback):
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
        self.trainer.compile(keras.optimizers.Adam(rate), make_loss(config.loss), jit_compile=False)
        self.trainer.optimizer.build(self.trainer.trainable_variables)
        if resume and (out / STATE_FILE).exists():
            self._load()
        elif (out / STATE_FILE).exists() or (
            (out / MODEL_FILE).exists() and not (resume and _unfinished(out))
        ):
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
        # The network before the state: stopped between the two, this epoch is trained again.
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


def _unfinished(folder: Path) -> bool:
    """Tell whether a training was stopped before its first state was written."""
    try:
        return not read_record(folder).results
    except OutputError:
        return False
