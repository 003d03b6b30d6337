"""The epochs: patches in, the best network and the state that a resumed training goes on from out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import pandas as pd
import tensorflow as tf

from medream.errors import TrainingError
from medream.losses import make_loss
from medream.pipeline import Augmentation, read_errors, samples_per_epoch, training_batches
from medream.progress import progress, say
from medream.scan import Scan
from medream.shards import pack
from medream.store import MODEL_FILE, save_keras
from medream.training.config import TrainConfig
from medream.training.distribution import (
    add_up,
    fit,
    global_loss,
    open_strategy,
    refuse_unequal,
    share_out,
    workers_of,
)
from medream.training.journal import Journal
from medream.training.networks import lesion_patches, lesion_pixels, make_trainer
from medream.training.optimizers import make_optimizer
from medream.training.precision import settle_precision
from medream.training.state import STATE_FILE, History, claim, load_state, save_history, save_state
from medream.training.validation import best_epoch, validation_dice

__all__ = ["STATE_FILE", "Climb"]


class Climb(keras.callbacks.Callback):
    """The epochs: validate, keep the best network, keep the state, stop when it no longer helps.

    `network` is what is validated and saved, `trainer` its copy that is trained; after each epoch the
    network gets the trainer's weights, or their averages.
    """

    def __init__(
        self,
        network: keras.Model,
        scans: Sequence[Scan],
        validation: Sequence[Scan],
        config: TrainConfig,
        out: Path,
        resume: bool,
        settings: Mapping[str, Any],
        journal: Journal,
        strategy: tf.distribute.Strategy | None = None,
    ):
        super().__init__()
        self.network, self.scans, self.validation = network, pack(scans), validation
        self.strategy = strategy or open_strategy(None)
        replicas = self.strategy.num_replicas_in_sync
        self.config, self.out, self.settings, self.journal = config, out, settings, journal
        update = config.batch_size * config.accumulate
        self.steps = samples_per_epoch(scans, config.image_size, update) // config.batch_size
        self.history: History = []
        self.precision = settle_precision(config.precision)
        with self.strategy.scope():
            self.loss = make_loss(config.loss, config.loss_settings)
            self.trainer = make_trainer(network, self.precision, replicas)
            self.trainer.compile(
                make_optimizer(
                    config, self.trainer.trainable_variables, self.steps, self.precision
                ),
                self.loss if replicas == 1 else global_loss(self.loss),
                # Made here and not by Keras at the first batch, where it would be too late for replicas.
                metrics=[
                    keras.metrics.MeanMetricWrapper(measure, name=measure.__name__)
                    for measure in (lesion_patches, lesion_pixels)
                ],
                jit_compile=False,  # on the CPU, XLA was measured several times slower
            )
            self.averages = self.trainer.average_weights(config.ema) if config.ema else None
        if claim(out, resume):
            self.history = load_state(out, self._variables(), settings)
            say(f"{network.name}: going on after epoch {len(self.history)}")
        refuse_unequal(self.strategy, len(self.history), out)

    @property
    def best(self) -> float:
        return max((row["validation_dice"] for row in self.history), default=-1.0)

    @property
    def stale(self) -> int:
        """Epochs since the one that is kept."""
        scores = [row["validation_dice"] for row in self.history]
        return len(scores) - 1 - best_epoch(scores) if scores else 0

    def run(self) -> pd.DataFrame:
        config, done = self.config, len(self.history)
        if done < config.epochs and self.stale < config.patience:
            batches = partial(
                training_batches,
                self.scans,
                config.image_size,
                config.batch_size,
                Augmentation() if config.augment else Augmentation.none(),
                config.seed,
                first_sample=done * self.steps * config.batch_size,
                lesion_scans=config.lesion_scans,
                lesion_patches=config.lesion_patches,
            )
            with (
                read_errors(self.scans),
                self.journal,
                progress(self.network.name, (config.epochs - done) * self.steps) as self.update,
            ):
                fit(
                    self.trainer,
                    self.strategy,
                    share_out(self.strategy, batches),
                    self.steps,
                    range(done, config.epochs),
                    self,
                )
        save_history(self.out, self.history)
        return pd.DataFrame(self.history)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if hasattr(self.loss, "start_epoch"):
            self.loss.start_epoch(epoch)

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
        threshold = self.config.threshold
        self._hand_over()
        worker, workers = workers_of(self.strategy)
        dice = validation_dice(
            self.network,
            self.validation[worker::workers],
            0.5 if threshold == "validation" else float(threshold),
            partial(add_up, self.strategy),
        )
        row = {
            "epoch": epoch + 1,
            "loss": float(logs["loss"]),
            "validation_dice": dice,
            "learning_rate": float(self.trainer.optimizer.learning_rate),
            "lesion_patches": float(logs["lesion_patches"]),
            "lesion_pixels": float(logs["lesion_pixels"]),
        }
        self.history.append(row)
        self.journal.write(row)
        # The network before the state: stopped between the two, this epoch is trained again.
        if self.stale == 0:
            save_keras(self.network, self.out / MODEL_FILE)
        save_state(self.out, self._variables(), self.history, self.settings)
        save_history(self.out, self.history)
        say(
            f"{self.network.name}: epoch {epoch + 1}, loss {row['loss']:.4f}, validation Dice {dice:.4f}"
        )
        if self.stale >= self.config.patience:
            self.trainer.stop_training = True

    def _hand_over(self) -> None:
        """Give the network what the trainer has learned."""
        learned = self.averages.values if self.averages else self.trainer.weights
        for weight, value in zip(self.network.weights, learned, strict=True):
            weight.assign(value)

    def _variables(self) -> list[Any]:
        """Return everything that the next epoch depends on beside the settings."""
        averages = self.averages.values if self.averages else []
        return [*self.trainer.variables, *self.trainer.optimizer.variables, *averages]
