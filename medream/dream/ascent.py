"""The gradient ascent: one compiled step for a network, an objective and an image size.

Weights, image, valid pixels and step size are its arguments, so another scan, seed, number
of steps or the control with its re-drawn weights runs the same graph without a new trace.
(A compiled loop over the steps is no faster: TensorFlow optimises the body of a loop less.)
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from medream.dream.graph import IMAGE, Network, in_precision, run, size_rule
from medream.dream.objectives import Objective
from medream.errors import ModelError
from medream.progress import progress

OnStep = Callable[[int, float, np.ndarray], None]
Step = Callable[..., tuple[tf.Tensor, tf.Tensor, tf.Tensor]]

_KEPT = 32  # compiled steps per model; beyond that the oldest goes
_compiled: weakref.WeakKeyDictionary[keras.Model, dict[Any, Step]] = weakref.WeakKeyDictionary()


def compiled_step(
    model: keras.Model,
    part: Network,
    objective: Objective,
    precision: str,
    shape: tuple[int, int, int],
) -> Step:
    """Return the compiled step for images of `shape`; made once and kept with the model.

    It takes image (1, depth, width, channels), valid (depth, width), the weights of `part` in
    their order and the step size; it returns the next image, and of the image that it was
    given the objective and the largest absolute gradient.
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
) -> Step:
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
    def step(
        image: tf.Tensor, valid: tf.Tensor, weights: list[tf.Tensor], step_size: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        inside = tf.broadcast_to(valid[None, :, :, None], (1, *shape))
        count = tf.reduce_sum(tf.cast(inside, tf.float32))
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(image)
            value = score(image, weights)
        gradient = tape.gradient(value, image)
        if gradient is None:
            raise ModelError(
                f"The objective {objective.label!r} does not change with the image: no gradient "
                "reaches it. Choose a layer that the image flows through."
            )
        gradient = tf.where(inside, gradient, 0.0)
        off_mean = tf.where(inside, gradient - tf.reduce_sum(gradient) / count, 0.0)
        deviation = tf.sqrt(tf.reduce_sum(tf.square(off_mean)) / count)
        climbed = image + gradient / (deviation + 1e-8) * step_size
        climbed = tf.where(inside, tf.clip_by_value(climbed, 0.0, 1.0), image)
        return climbed, value, tf.reduce_max(tf.abs(gradient))

    return step.get_concrete_function(
        tf.TensorSpec((1, *shape), tf.float32),
        tf.TensorSpec(shape[:2], tf.bool),
        [tf.TensorSpec(variable.shape, variable.dtype) for variable in part.variables],
        tf.TensorSpec((), tf.float32),
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


def climb(
    step: Step,
    image: np.ndarray,
    valid: np.ndarray,
    weights: list[tf.Tensor],
    steps: int,
    step_size: float,
    label: str,
    on_step: OnStep | None = None,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Climb from an image (depth, width, channels) in [0, 1].

    Returns
    -------
    image : ndarray, float32, shape (depth, width, channels)
    history : ndarray, float32, shape (steps + 1,)
        Objective before each step and after the last.
    steepest : float
        Largest absolute gradient met.

    Raises
    ------
    ModelError
        When the objective or its gradient is not finite.
    """
    current, inside = tf.constant(image[None]), tf.constant(valid)
    size = tf.constant(step_size, tf.float32)
    history = np.empty(steps + 1, np.float32)
    steepest = 0.0
    with progress(label, steps) as update:
        for number in range(steps + 1):
            # After the last step one more pass reads the objective; what it climbs is dropped.
            following, value, slope = step(current, inside, weights, size)
            history[number], slope = value, float(slope)
            if not (np.isfinite(history[number]) and np.isfinite(slope)):
                raise ModelError(
                    f"{label}: the objective or its gradient is not a finite number at step "
                    f"{number} (objective {history[number]:g}). The weights or this layer "
                    "overflow: try precision='float32', another layer, or check the weights."
                )
            steepest = max(steepest, slope)
            if on_step is not None and number:
                on_step(number, float(history[number]), current[0].numpy())
            if number < steps:
                current = following
                update(objective=float(history[number]))
    return current[0].numpy(), history, steepest
