"""The gradient ascent: one compiled step for a network, an objective's form and an image size.

State, weights, operands, draws, valid pixels and step size are its arguments, so another scan,
seed, channel, number of steps or the control with its re-drawn weights runs the same graph
without a new trace. (A compiled loop over the steps is no faster: TensorFlow optimises the body
of a loop less.)
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from medream.dream import transforms as moves
from medream.dream.algebra import Objective, form_of
from medream.dream.config import DreamConfig
from medream.dream.parametrization import Parametrization, parametrization_from_spec
from medream.dream.sight import (
    Shape,
    Sight,
    Weights,
    enter_image,
    enter_operands,
    operand_spec,
    specs,
)
from medream.dream.updates import BOUNDS, NORMALISATIONS, SCHEDULES, SLOTS, advance
from medream.errors import ModelError
from medream.progress import progress

# Called with (step, objectives (batch,), images (batch, depth, width, channels)); True stops.
OnStep = Callable[[int, np.ndarray, np.ndarray], bool]

_BY_DEVIATION = ("std", "standardize", "rms")  # normalisations that set the size of a step
_AHEAD = 0.01  # of a direction, for how it moves the image
_KEPT = 32  # compiled steps per model; beyond that the oldest goes
_compiled: weakref.WeakKeyDictionary[keras.Model, dict[Any, Any]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Step:
    """A compiled step.

    `run` takes (state, slots, base, inside, weights, operands, rates, number, draws) and returns
    (state, slots, images, values, slopes): the next state, and of the state that it was given the
    images, the objectives and the largest absolute gradients. `shapes` are those of the layers.
    """

    run: Callable[..., Any]
    shapes: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Recipe:
    """What of a dream's settings is in the graph."""

    precision: str
    parametrization: Parametrization
    gradient: str
    optimizer: str
    momentum: float
    bounds: str
    transforms: tuple[moves.Transform, ...]
    diversity: float
    tile: tuple[int, int | None] | None

    @classmethod
    def of(cls, config: DreamConfig, precision: str) -> Recipe:
        """Return the recipe of a config, in a precision that is decided."""
        return cls(
            precision,
            parametrization_from_spec(config.parametrization),
            config.gradient,
            config.optimizer,
            config.momentum,
            config.bounds,
            config.transforms,
            config.diversity,
            None if config.tile is None else (config.tile, config.overlap),
        )


def compiled_step(
    model: keras.Model, sight: Sight, recipe: Recipe, shape: Shape, weights: Weights
) -> Step:
    """Return the compiled step for images of `shape`; made once and kept with the model."""
    from medream.dream.tiles import tiled_step

    known = _compiled.setdefault(model, {})
    key = (form_of(sight.objective), recipe, shape, bool(sight.views[0].lowered))
    if key not in known:
        while len(known) >= _KEPT:
            del known[next(iter(known))]
        make = whole_step if recipe.tile is None else tiled_step
        known[key] = make(sight, recipe, shape, weights)
    return known[key]


def whole_step(sight: Sight, recipe: Recipe, shape: Shape, weights: Weights) -> Step:
    """Compile the step that takes the image as a whole."""
    rule = sight.size
    shapes: dict[str, tuple[int, ...]] = {}

    # XLA is several times slower than TensorFlow's own kernels for convolutions on a CPU.
    @tf.function(autograph=False, jit_compile=False)
    def run(
        state: list[tf.Tensor], slots: list[list[tf.Tensor]], base: tf.Tensor, inside: tf.Tensor,
        weights: Weights, operands: list[tf.Tensor], rates: tf.Tensor, number: tf.Tensor,
        draws: tf.Tensor,
    ) -> Any:  # fmt: skip
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(state)
            image = shown(recipe, state, base, inside)
            enter = enter_image(image, draws, recipe.transforms, rule)
            entered = enter_operands(sight.objective, operands, draws, recipe.transforms, rule)
            values = sight.values(enter, image, weights, entered, shapes, None, recipe.diversity)
        gradients = tape.gradient(values, state)
        if all(gradient is None for gradient in gradients):
            raise no_gradient(sight.objective)
        following, slots, slopes = climbed(
            recipe, state, slots, gradients, base, inside, rates, number
        )
        return following, slots, image, values, slopes

    return Step(run.get_concrete_function(*signature(sight, recipe, shape, weights)), shapes)


def shown(
    recipe: Recipe, state: Sequence[tf.Tensor], base: tf.Tensor, inside: tf.Tensor
) -> tf.Tensor:
    """Return the images of a state: in [0, 1], and the base where they are not inside."""
    image = recipe.parametrization.decode(list(state), base)
    if not _is_pixels(recipe):
        # What leaves the range comes back in the picture, but its gradient goes on.
        image += tf.stop_gradient(BOUNDS[recipe.bounds](image) - image)
    return tf.where(inside, image, base)


def climbed(
    recipe: Recipe, state: list[tf.Tensor], slots: list[list[tf.Tensor]],
    gradients: list[tf.Tensor | None], base: tf.Tensor, inside: tf.Tensor, rates: tf.Tensor,
    number: tf.Tensor,
) -> tuple[list[tf.Tensor], list[list[tf.Tensor]], tf.Tensor]:  # fmt: skip
    """Return the state and the optimiser's tensors after a step, and the slopes (batch,)."""
    slopes, directions = tf.zeros_like(rates), []
    for tensor, gradient in zip(state, gradients, strict=True):
        gradient = tf.zeros_like(tensor) if gradient is None else gradient
        if _is_pixels(recipe):
            counted = tf.cast(tf.broadcast_to(inside, tf.shape(tensor)), tf.float32)
        else:
            counted = tf.ones_like(tensor)
        directions.append(NORMALISATIONS[recipe.gradient](gradient, counted))
        slopes = tf.maximum(slopes, _steepest(gradient))
    if not _is_pixels(recipe) and recipe.gradient in _BY_DEVIATION:
        directions = _sized(recipe, state, directions, base, inside)
    following, kept = [], []
    for tensor, direction, slot in zip(state, directions, slots, strict=True):
        # A tensor that the batch shares moves by what the fastest image asks.
        rate = _per_item(rates, tensor, tf.reduce_max)
        move, slot = advance(recipe.optimizer, direction, slot, number, recipe.momentum)
        moved = tensor + move * rate
        if _is_pixels(recipe):
            moved = tf.where(inside, BOUNDS[recipe.bounds](moved), base)
        following.append(moved)
        kept.append(slot)
    return following, kept, slopes


def _sized(
    recipe: Recipe,
    state: list[tf.Tensor],
    directions: list[tf.Tensor],
    base: tf.Tensor,
    inside: tf.Tensor,
) -> list[tf.Tensor]:
    """Scale directions so that the image, not its coefficients, moves by a root mean square of 1.

    A few coefficients of low frequencies would else move the whole image at once.
    """
    ahead = [
        tensor + _AHEAD * direction for tensor, direction in zip(state, directions, strict=True)
    ]
    decode = recipe.parametrization.decode
    moved = (decode(ahead, base) - decode(list(state), base)) / _AHEAD
    within = tf.cast(tf.broadcast_to(inside, tf.shape(moved)), tf.float32)
    square = tf.reduce_sum(tf.square(moved) * within, [1, 2, 3])
    size = tf.sqrt(square / tf.maximum(tf.reduce_sum(within, [1, 2, 3]), 1.0))
    return [
        direction / (_per_item(size, direction, tf.reduce_mean) + 1e-8) for direction in directions
    ]


def _per_item(values: tf.Tensor, tensor: tf.Tensor, shared: Callable[..., tf.Tensor]) -> tf.Tensor:
    """Return the batch's values in the axes of a tensor, as one where the batch shares it."""
    found = values if tensor.shape[0] == values.shape[0] else shared(values)[None]
    return tf.reshape(found, [-1, *[1] * (len(tensor.shape) - 1)])


def _steepest(gradient: tf.Tensor) -> tf.Tensor:
    return tf.reduce_max(tf.abs(gradient), list(range(1, len(gradient.shape))))


def _is_pixels(recipe: Recipe) -> bool:
    return recipe.parametrization.name == "pixels"


def no_gradient(objective: Objective) -> ModelError:
    """Return the error for an objective that does not hang on the image."""
    return ModelError(
        f"The objective {objective.label!r} does not change with the image: no gradient "
        "reaches it. Choose a layer that the image flows through."
    )


def signature(sight: Sight, recipe: Recipe, shape: Shape, weights: Weights) -> list[Any]:
    """Return the types of a step's arguments."""
    state = recipe.parametrization.begin(np.zeros(shape, np.float32), 0)
    kinds = [tf.TensorSpec(tensor.shape, tf.float32) for tensor in state]
    return [
        kinds,
        [[kind] * SLOTS[recipe.optimizer] for kind in kinds],
        tf.TensorSpec(shape, tf.float32),
        tf.TensorSpec((*shape[:3], 1), tf.bool),
        specs(weights),
        [
            tf.TensorSpec(operand_spec(operand, shape), tf.float32)
            for operand in sight.objective.operands
        ],
        tf.TensorSpec(shape[:1], tf.float32),
        tf.TensorSpec((), tf.float32),
        tf.TensorSpec((shape[0], moves.draws_length(recipe.transforms)), tf.float32),
    ]


@dataclass(frozen=True)
class Climb:
    """Where an ascent of a batch came to.

    `images` (batch, depth, width, channels); `history` (steps + 1, batch), shorter when it was
    stopped; `steepest` (batch,), the largest absolute gradients met; `state` and `slots` as
    arrays, from which it goes on.
    """

    images: np.ndarray
    history: np.ndarray
    steepest: np.ndarray
    state: list[np.ndarray]
    slots: list[list[np.ndarray]]


def climb(
    step: Step,
    recipe: Recipe,
    images: np.ndarray,
    inside: np.ndarray,
    weights: Weights,
    operands: Sequence[np.ndarray],
    config: DreamConfig,
    steps: int,
    label: str,
    seeds: Sequence[Sequence[int]],
    on_step: OnStep | None = None,
    resume: Climb | None = None,
) -> Climb:
    """Climb from images (batch, depth, width, channels) in [0, 1].

    Parameters
    ----------
    inside : ndarray, bool, shape (batch, depth, width)
        Pixels that may change.
    seeds : for each image the seed of its draws
    on_step : callable, optional
        Returns True to stop.
    resume : Climb, optional
        An earlier ascent of the same images, which goes on to `steps` steps in all.

    Raises
    ------
    ModelError
        When the objective or its gradient is not finite.
    """
    if resume is None:
        state = recipe.parametrization.begin(images, int(seeds[0][0]))
        slots = [[np.zeros_like(tensor)] * SLOTS[recipe.optimizer] for tensor in state]
        history, steepest, first = [], np.zeros(len(images), np.float32), 0
    else:
        state, slots, steepest = resume.state, resume.slots, resume.steepest
        first = len(resume.history) - 1
        history = list(resume.history[:first])
    current, kept = tf.nest.map_structure(tf.constant, (state, slots))
    base, mask = tf.constant(images), tf.constant(inside[..., None])
    given = [tf.constant(operand, tf.float32) for operand in operands]
    moving = np.ones(len(images), bool)
    shown_images = None
    with progress(label, steps - first) as update:
        for number in range(first, steps + 1):
            pace = config.step_size * SCHEDULES[config.schedule](number / max(steps, 1))
            drawn = np.stack([_draws(recipe, seed, number) for seed in seeds])
            # After the last step one more pass reads the objective; what it climbs is dropped.
            following, next_kept, shown_images, values, slopes = step.run(
                current, kept, base, mask, weights, given,
                tf.constant((pace * moving).astype(np.float32)),
                tf.constant(number, tf.float32), tf.constant(drawn),
            )  # fmt: skip
            value, slope = values.numpy(), slopes.numpy()
            if not (np.isfinite(value).all() and np.isfinite(slope).all()):
                raise ModelError(
                    f"{label}: the objective or its gradient is not a finite number at step "
                    f"{number} (objective {value.max():g}). The weights or this layer "
                    "overflow: try precision='float32', another layer, or check the weights."
                )
            history.append(value)
            steepest = np.maximum(steepest, slope)
            if number > first:
                update(objective=float(value.mean()))
            if (
                number > first
                and on_step is not None
                and on_step(number, value, shown_images.numpy())
            ):
                break
            if config.patience is not None:
                moving &= _rises(np.array(history), config.patience)
                if not moving.any():
                    break
            if number < steps:
                current, kept = following, next_kept
    assert shown_images is not None
    at, slots = tf.nest.map_structure(lambda tensor: tensor.numpy(), (current, kept))
    return Climb(shown_images.numpy(), np.stack(history), steepest, at, slots)


def _draws(recipe: Recipe, seed: Sequence[int], number: int) -> np.ndarray:
    if not recipe.transforms:
        return np.zeros(0, np.float32)
    return moves.draw(recipe.transforms, np.random.default_rng([*seed, number]))


def _rises(history: np.ndarray, patience: int) -> np.ndarray:
    """Tell which images' objectives rose above all before within the last `patience` steps."""
    if len(history) <= patience:
        return np.ones(history.shape[1], bool)
    return history[-patience:].max(0) > history[:-patience].max(0)
