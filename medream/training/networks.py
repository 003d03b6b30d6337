"""The network as it is trained: logits out, in another precision maybe, beside averages of its weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from medream.losses import IGNORE


def make_trainer(network: keras.Model, precision: str = "float32", replicas: int = 1) -> Trainer:
    """Return a copy of a U-Net that ends at its logits and computes in `precision`.

    Weights are float32 whatever the precision; so are the input's normalisation and the logits. Several
    `replicas` (devices that share out a batch) take the batch's statistics together.
    """
    policy = keras.DTypePolicy(precision)

    def copy(layer: keras.Layer) -> keras.Layer:
        own = isinstance(layer, keras.layers.Rescaling) or layer.name == "logits"
        settings = {**layer.get_config(), "dtype": "float32" if own else policy}
        if isinstance(layer, keras.layers.BatchNormalization):
            settings["synchronized"] = replicas > 1
        return type(layer).from_config(settings)

    twin = keras.models.clone_model(network, clone_function=copy)
    twin.set_weights(network.get_weights())
    return Trainer(twin.input, twin.get_layer("logits").output, name=network.name)


class Trainer(keras.Model):
    """A network whose weights may be averaged while it is trained."""

    def average_weights(self, decay: float) -> Averages:
        """Average the weights from here on, after each update."""
        self.averages = Averages(self.weights, decay)
        return self.averages

    def train_step(self, data: Any) -> Any:
        if not hasattr(self, "averages"):
            return super().train_step(data)
        before = ops.copy(self.optimizer.iterations)
        logs = super().train_step(data)
        self.averages.follow(before, ops.copy(self.optimizer.iterations))
        return logs


class Averages:
    """Exponential moving averages of weights, those of the batch statistics among them.

    The decay of the n-th update is the smaller of `decay` and n / (9 + n), so that the first weights,
    which are random, are soon forgotten. (Keras' own averages leave out batch statistics, which would
    then belong to other weights.)
    """

    def __init__(self, weights: Sequence[keras.Variable], decay: float) -> None:
        self.weights, self.decay = list(weights), decay
        self.values = [
            keras.Variable(
                weight.numpy(),
                trainable=False,
                dtype=weight.dtype,
                aggregation="only_first_replica",
            )
            for weight in weights
        ]

    def follow(self, before: Any, after: Any) -> None:
        """Move towards the weights when the count of updates has grown."""
        count = ops.cast(after, "float32")
        decay = ops.minimum(self.decay, count / (9.0 + count))
        share = ops.where(after > before, 1.0 - decay, 0.0)
        for value, weight in zip(self.values, self.weights, strict=True):
            # In this form a weight that does not move is its own average to the last bit.
            value.assign(value + share * (weight - value))


def lesion_patches(labels: Any, logits: Any) -> Any:
    """Tell which patches hold a lesion pixel; the mean over an epoch goes into its record."""
    return ops.cast(ops.any(_lesion(labels), axis=(1, 2, 3)), "float32")


def lesion_pixels(labels: Any, logits: Any) -> Any:
    """Return the share of each patch's valid pixels that are lesion."""
    valid = ops.sum(ops.cast(ops.not_equal(labels, IGNORE), "float32"), axis=(1, 2, 3))
    lesion = ops.sum(ops.cast(_lesion(labels), "float32"), axis=(1, 2, 3))
    return lesion / ops.maximum(valid, 1.0)


def _lesion(labels: Any) -> Any:
    return ops.logical_and(ops.greater(labels, 0), ops.not_equal(labels, IGNORE))
