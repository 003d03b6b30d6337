"""The compiled gradient ascent: one graph for a network, an objective and an image size.

Weights, image, valid pixels and step sizes are its arguments, so another scan, seed, number
of steps or the control with its re-drawn weights runs the same graph without a new trace.
"""

from __future__ import annotations

import json
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from medream.dream.graph import IMAGE, Network, in_precision, run, size_rule
from medream.dream.objectives import Objective
from medream.errors import ModelError

_AIM_S = 0.5  # seconds between two signs of progress
_KEPT = 32  # compiled graphs per model; beyond that the oldest goes
_compiled: weakref.WeakKeyDictionary[keras.Model, dict[Any, Any]] = weakref.WeakKeyDictionary()


def compiled_climb(
    model: keras.Model,
    part: Network,
    objective: Objective,
    precision: str,
    shape: tuple[int, int, int],
) -> Callable[..., tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
    """Return the compiled climb for images of `shape`; made once and kept with the model.

    It takes image (1, depth, width, channels), valid (depth, width), the weights of `part`
    in their order and a step size per step; it returns the image, the objective before each
    step and the largest absolute gradient at each step.
    """
    known = _compiled.setdefault(model, {})
    # An objective of one's own is the same only when it is the same object.
    what = json.dumps(objective.spec) if objective.spec is not None else objective
    key = (what, precision, shape)
    if key not in known:
        while len(known) >= _KEPT:
            del known[next(iter(known))]
        known[key] = _compile(part, objective, precision, shape)
    return known[key]


def _compile(
    part: Network, objective: Objective, precision: str, shape: tuple[int, int, int]
) -> Callable[..., Any]:
    network = in_precision(part, "float32" if precision == "auto" else precision)
    variables = network.variables
    names = [name for name in objective.layers if name != IMAGE]
    multiple, least = size_rule(part)

    def score(image: tf.Tensor, weights: list[tf.Tensor]) -> tf.Tensor:
        entering = fit(image, multiple, least, part.channels)
        with keras.StatelessScope(zip(variables, weights, strict=True)):
            activations = run(network, entering, names)
        activations = {name: tf.cast(value, tf.float32) for name, value in activations.items()}
        return tf.reshape(tf.cast(objective.score({**activations, IMAGE: image}), tf.float32), ())

    # XLA is several times slower than TensorFlow's own kernels for convolutions on a CPU.
    @tf.function(autograph=False, jit_compile=False)
    def climb(
        image: tf.Tensor, valid: tf.Tensor, weights: list[tf.Tensor], sizes: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        steps = tf.shape(sizes)[0]
        inside = tf.broadcast_to(valid[None, :, :, None], (1, *shape))
        count = tf.reduce_sum(tf.cast(inside, tf.float32))

        def step(number: tf.Tensor, image: tf.Tensor, values: Any, slopes: Any) -> tuple[Any, ...]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(image)
                value = score(image, weights)
            gradient = tape.gradient(value, image)
            if gradient is None:
                raise ModelError(
                    f"The objective {objective.label!r} does not change with the image: no "
                    "gradient reaches it. Choose a layer that the image flows through."
                )
            gradient = tf.where(inside, gradient, 0.0)
            mean = tf.reduce_sum(gradient) / count
            off_mean = tf.where(inside, gradient - mean, 0.0)
            deviation = tf.sqrt(tf.reduce_sum(tf.square(off_mean)) / count)
            climbed = image + sizes[number] * gradient / (deviation + 1e-8)
            image = tf.where(inside, tf.clip_by_value(climbed, 0.0, 1.0), image)
            slope = tf.reduce_max(tf.abs(gradient))
            return number + 1, image, values.write(number, value), slopes.write(number, slope)

        arrays = [tf.TensorArray(tf.float32, steps, element_shape=()) for _ in range(2)]
        _, image, values, slopes = tf.while_loop(
            lambda number, *_: number < steps,
            step,
            (tf.constant(0), image, *arrays),
            parallel_iterations=1,
        )
        return image, values.stack(), slopes.stack()

    return climb.get_concrete_function(
        tf.TensorSpec((1, *shape), tf.float32),
        tf.TensorSpec(shape[:2], tf.bool),
        [tf.TensorSpec(variable.shape, variable.dtype) for variable in part.variables],
        tf.TensorSpec((None,), tf.float32),
    )


def fit(
    image: tf.Tensor, multiple: tuple[int, int], least: tuple[int, int], channels: int | None
) -> tf.Tensor:
    """Mirror an image at its lower and right border to a size that the network can take.

    One channel is repeated for a network that takes more.
    """
    for axis in (0, 1):
        wanted = max(image.shape[axis + 1], least[axis])
        wanted = -(-wanted // multiple[axis]) * multiple[axis]
        while (length := image.shape[axis + 1]) < wanted:
            # A mirror gives at most its own length, so a small image is mirrored repeatedly.
            padding = [[0, 0]] * 4
            padding[axis + 1] = [0, min(length, wanted - length)]
            image = tf.pad(image, padding, mode="SYMMETRIC")
    if channels is not None and image.shape[-1] == 1 and channels > 1:
        image = tf.repeat(image, channels, axis=-1)
    return image


def climb_in_chunks(
    climb: Callable[..., Any],
    image: np.ndarray,
    valid: np.ndarray,
    weights: list[tf.Tensor],
    steps: int,
    step_size: float,
    label: str,
    one_by_one: bool = False,
) -> Iterator[tuple[int, np.ndarray, np.ndarray, float]]:
    """Climb, and yield now and then: (steps done, image, objective values, largest gradient).

    The values are those before each step; the last yield holds also the one after all steps.

    Raises
    ------
    ModelError
        When the objective or its gradient is not finite.
    """
    current = tf.constant(image[None])
    inside = tf.constant(valid)
    sizes = np.full(steps + 1, step_size, np.float32)
    sizes[-1] = 0.0  # the last pass only reads the objective
    done, chunk = 0, 1
    while done <= steps:
        started = time.monotonic()
        current, values, slopes = climb(
            current, inside, weights, tf.constant(sizes[done : done + chunk])
        )
        bad = ~(np.isfinite(values.numpy()) & np.isfinite(slopes.numpy()))
        if bad.any():
            number = done + int(np.argmax(bad))
            raise ModelError(
                f"{label}: the objective or its gradient is not a finite number at step {number} "
                f"({values.numpy()[bad][0]:g}). The network's weights or this layer overflow; try "
                "precision='float32', another layer, or check the model's weights."
            )
        done += len(values)
        yield min(done, steps), current[0].numpy(), values.numpy(), float(tf.reduce_max(slopes))
        if not one_by_one:
            took = max(time.monotonic() - started, 1e-6)
            chunk = max(1, min(2 * chunk, int(len(values) * _AIM_S / took)))
