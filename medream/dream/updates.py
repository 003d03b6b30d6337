"""From a gradient to the next image: normalisation, optimiser, schedule, range of intensities."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

_TINY = 1e-8
_ADAM = (0.9, 0.999)

# (gradient (n, ...), weight of each entry or None) -> normalised gradient; each item on its own
Normalise = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def _mean(values: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
    axes = list(range(1, len(values.shape)))
    count = tf.maximum(tf.reduce_sum(counted, axes, keepdims=True), 1.0)
    return tf.reduce_sum(values * counted, axes, keepdims=True) / count


def _deviation(gradient: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(_mean(tf.square(gradient - _mean(gradient, counted)), counted))


def _sum_of_squares(gradient: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
    axes = list(range(1, len(gradient.shape)))
    return tf.reduce_sum(tf.square(gradient) * counted, axes, keepdims=True)


# How a gradient is brought to a size: entries that do not count (outside of the valid pixels) are
# left out of the statistics.
NORMALISATIONS: dict[str, Normalise] = {
    "std": lambda g, counted: g / (_deviation(g, counted) + _TINY),
    "standardize": lambda g, counted: (g - _mean(g, counted)) / (_deviation(g, counted) + _TINY),
    "l2": lambda g, counted: g / (tf.sqrt(_sum_of_squares(g, counted)) + _TINY),
    "rms": lambda g, counted: g / (tf.sqrt(_mean(tf.square(g), counted)) + _TINY),
    "sign": lambda g, counted: tf.sign(g),
    "none": lambda g, counted: g,
}

# The number of tensors that an optimiser keeps for each of the state's.
SLOTS = {"plain": 0, "momentum": 1, "adam": 2}

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),
}


def _reflect(image: tf.Tensor) -> tf.Tensor:
    # A triangle wave: what climbs beyond white comes back darker. What is in range keeps its bits.
    folded = 1.0 - tf.abs(1.0 - tf.math.floormod(image, 2.0))
    return tf.where((image >= 0.0) & (image <= 1.0), image, folded)


BOUNDS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "clip": lambda image: tf.clip_by_value(image, 0.0, 1.0),
    "reflect": _reflect,
}


def advance(
    optimizer: str, direction: tf.Tensor, slots: list[tf.Tensor], number: tf.Tensor, momentum: float
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Return how the state moves at a step size of 1, and the optimiser's tensors after it.

    `number` is the step's, from 0. "momentum" is Polyak's, scaled so that a steady gradient
    moves as in "plain"; "adam" is Kingma and Ba's (arXiv:1412.6980) with 0.9 and 0.999.
    """
    if optimizer == "plain":
        return direction, []
    if optimizer == "momentum":
        velocity = momentum * slots[0] + (1.0 - momentum) * direction
        return velocity, [velocity]
    first, second = _ADAM
    mean = first * slots[0] + (1.0 - first) * direction
    square = second * slots[1] + (1.0 - second) * tf.square(direction)
    level = tf.sqrt(square / (1.0 - second ** (number + 1.0)))
    return mean / (1.0 - first ** (number + 1.0)) / (level + _TINY), [mean, square]
