"""A batch of images that are climbed together: their dreams, enhanced dreams and controls."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from medream.dream import operands
from medream.dream.algebra import Objective, form_of
from medream.dream.ascent import Climb, OnStep, Recipe, climb, compiled_step
from medream.dream.config import DreamConfig
from medream.dream.graph import Network, open_network
from medream.dream.octaves import enhance, octave_shapes
from medream.dream.precision import settle_precision
from medream.dream.result import DreamResult
from medream.dream.sight import Weights, open_sight
from medream.dream.updates import SLOTS
from medream.errors import ConfigError, ModelError

_CONTROL_DRAWS = 8
_DREAM = 0  # the stage whose draws the control shares; the octaves' are 1 and on


@dataclass(frozen=True, eq=False)
class Item:
    """One image of a batch: (depth, width, channels), what may change, what it climbs."""

    image: np.ndarray
    given: tuple[int, ...]
    inside: np.ndarray
    kept: bool
    objective: Objective
    seed: int
    reference: np.ndarray | None
    spacing_mm: tuple[float, float] | None


def alike(a: Item, b: Item) -> bool:
    """Whether two items can be climbed together."""
    return a.image.shape == b.image.shape and form_of(a.objective) == form_of(b.objective)


def dream_batch(
    model: keras.Model,
    items: list[Item],
    size: int,
    config: DreamConfig,
    control: bool,
    on_step: OnStep | None = None,
    resume: DreamResult | None = None,
) -> list[DreamResult]:
    """Dream items that are `alike` as one batch of `size`, with `resume` where one goes on."""

    def first_step(precision: str) -> tuple[np.ndarray, np.ndarray]:
        return _Batch(model, items, size, config, precision).first_step()

    precision = settle_precision(config.precision, first_step)
    batch = _Batch(model, items, size, config, precision)
    frames = _Frames(config.every, batch.originals, on_step, resume)
    going = None if resume is None else _resumed(resume, items[0], config, batch.recipe)
    dreamt = batch.dream(batch.weights, "dream", frames.keep, going)
    for k, item in enumerate(items):
        _warn_of_stillness(item, dreamt, k, config)
    enhanced = None if config.octaves is None else batch.enhanced()
    controls = batch.controls() if control else {}
    results = []
    for k, item in enumerate(items):
        redone, control_seed = controls.get(k, (None, None))
        results.append(
            DreamResult(
                original=item.image.reshape(item.given),
                dream=dreamt.images[k].reshape(item.given),
                enhanced=None if enhanced is None else enhanced[k].reshape(item.given),
                control=None if redone is None else redone.images[k].reshape(item.given),
                history=dreamt.history[:, k].copy(),
                objective=item.objective.label,
                objective_spec=item.objective.spec,
                config=config if item.seed == config.seed else replace(config, seed=item.seed),
                spacing_mm=item.spacing_mm,
                valid=item.inside if item.kept else None,
                control_seed=control_seed,
                control_history=None if redone is None else redone.history[:, k].copy(),
                reference=item.reference,
                model=getattr(model, "medream_ref", None),
                precision=precision,
                frames=frames.of(k, item.given),
                frame_steps=frames.steps,
                state=_state_of(dreamt, batch.recipe),
            )
        )
    return results


def _warn_of_stillness(item: Item, dreamt: Climb, k: int, config: DreamConfig) -> None:
    """Warn when a dream shows nothing of its objective."""
    history, label = dreamt.history[:, k], item.objective.label
    unmoved = config.steps > 0 and np.array_equal(dreamt.images[k], item.image)
    if dreamt.steepest[k] == 0.0 or unmoved:
        warnings.warn(
            f"The gradient of {label!r} is exactly zero on this image, or too small to move it, so "
            "the dream is the image itself. The layer is dead here (all its ReLUs are off), saturated, "
            "or constant as the mean of a softmax is: choose another layer or channel, or the "
            "logits in place of the probabilities.",
            stacklevel=5,
        )
    elif len(history) > 1 and not config.transforms and history[-1] <= history[0]:
        warnings.warn(
            f"{label!r} did not rise ({history[0]:.4g} to {history[-1]:.4g}), so the dream shows "
            "nothing of it: its gradient is rounding alone, or the steps are too large. Choose "
            "another layer or channel, or a smaller step_size.",
            stacklevel=5,
        )


class _Batch:
    """Items that are climbed together in one precision, filled up to `size` by the last one."""

    def __init__(
        self, model: keras.Model, items: list[Item], size: int, config: DreamConfig, precision: str
    ) -> None:
        network = open_network(model)
        self.model, self.config, self.count = model, config, len(items)
        self.items = items + [items[-1]] * (size - len(items))
        self.objectives = [item.objective for item in self.items]
        self.originals = np.stack([item.image for item in self.items])
        self.inside = np.stack([item.inside for item in self.items])
        self.sight = open_sight(network, self.objectives[0], precision)
        self.recipe = Recipe.of(config, precision)
        for view in self.sight.views:
            _check_channels(view.network, self.originals.shape[3])
        # Told before the first step, not after the dream.
        self.octaves = octave_shapes(
            self.originals.shape[1:3], config.octaves or (), config.octave_scale,
            *self.sight.size, tiled=config.tile is not None,
        )  # fmt: skip
        self.weights = self.sight.weights()
        self.regions = operands.regions(
            network, [(item.objective, item.image, item.reference) for item in self.items]
        )
        self.grids = self._step(self.originals.shape, self.weights).shapes
        for objective in self.objectives:
            if objective.check is not None:
                objective.check(self.grids)

    def _step(self, shape: Any, weights: Weights) -> Any:
        return compiled_step(self.model, self.sight, self.recipe, shape, weights)

    def _climb(
        self,
        starts: np.ndarray,
        bases: np.ndarray,
        inside: np.ndarray,
        weights: Weights,
        steps: int,
        label: str,
        stage: int,
        on_step: OnStep | None = None,
        resume: Climb | None = None,
    ) -> Climb:
        """Climb from `starts`, the originals `bases` at that size with what was found before."""
        step = self._step(starts.shape, weights)
        given = operands.resolve(self.objectives, self.regions, bases, step.shapes, self.grids)
        if self.count > 1:
            label = f"{label} of {self.count}"
        seeds = [(item.seed, stage) for item in self.items]
        return climb(
            step, self.recipe, starts, inside, weights, given, self.config, steps, label, seeds,
            on_step, resume,
        )  # fmt: skip

    def dream(
        self,
        weights: Weights,
        label: str,
        on_step: OnStep | None = None,
        resume: Climb | None = None,
        steps: int | None = None,
    ) -> Climb:
        """Climb on the images' own scale."""
        return self._climb(
            self.originals, self.originals, self.inside, weights,
            self.config.steps if steps is None else steps, label, _DREAM, on_step, resume,
        )  # fmt: skip

    def first_step(self) -> tuple[np.ndarray, np.ndarray]:
        """Return how each image changes in one step, and the objectives before it."""
        climbed = self.dream(self.weights, "precision", steps=1)
        return climbed.images - self.originals, climbed.history[0]

    def enhanced(self) -> np.ndarray:
        """Climb through the octaves."""

        def climb_octave(
            starts: np.ndarray, bases: np.ndarray, inside: np.ndarray, number: int
        ) -> np.ndarray:
            label = f"enhanced, octave {number + 1}/{len(self.octaves)}"
            return self._climb(
                starts, bases, inside, self.weights, self.config.octave_steps, label, number + 1
            ).images

        return enhance(self.originals, self.inside, self.octaves, climb_octave)

    def controls(self) -> dict[int, tuple[Climb, int]]:
        """Climb on re-drawn weights; return for each item the climb and the seed of the weights."""
        found: dict[int, tuple[Climb, int]] = {}
        for attempt in range(_CONTROL_DRAWS):
            wanted = {k: self.items[k].seed + attempt for k in range(self.count) if k not in found}
            for seed in sorted(set(wanted.values())):
                climbed = self.dream(self.sight.weights(control_seed=seed), "control")
                for k in (k for k, own in wanted.items() if own == seed):
                    # A layer that is dead on these weights is drawn once more.
                    if climbed.steepest[k] > 0.0 or attempt == _CONTROL_DRAWS - 1:
                        found[k] = climbed, seed
        return found


class _Frames:
    """The images of every so many steps, and the caller's own `on_step`."""

    def __init__(
        self,
        every: int | None,
        originals: np.ndarray,
        on_step: OnStep | None,
        resume: DreamResult | None,
    ) -> None:
        self._every, self._on_step = every, on_step
        self._kept = [] if every is None else [(0, originals)]
        if resume is not None and resume.frames is not None and resume.frame_steps is not None:
            earlier = zip(resume.frame_steps, resume.frames, strict=True)
            self._kept = [(int(step), frame.reshape(originals.shape)) for step, frame in earlier]

    @property
    def keep(self) -> OnStep | None:
        return None if self._every is None and self._on_step is None else self._see

    def _see(self, step: int, values: np.ndarray, images: np.ndarray) -> bool:
        if self._every is not None and step % self._every == 0:
            self._kept.append((step, images))
        return self._on_step is not None and self._on_step(step, values, images)

    @property
    def steps(self) -> np.ndarray | None:
        return np.array([step for step, _ in self._kept]) if self._kept else None

    def of(self, k: int, shape: tuple[int, ...]) -> np.ndarray | None:
        return (
            np.stack([images[k].reshape(shape) for _, images in self._kept]) if self._kept else None
        )


def _state_of(climbed: Climb, recipe: Recipe) -> tuple[np.ndarray, ...] | None:
    """Return what a dream needs beside its image to go on; None when nothing, or when in a batch."""
    plain = recipe.parametrization.name == "pixels" and recipe.optimizer == "plain"
    if plain or len(climbed.images) > 1:
        return None
    return (*climbed.state, *(tensor for slot in climbed.slots for tensor in slot))


def _resumed(earlier: DreamResult, item: Item, config: DreamConfig, recipe: Recipe) -> Climb:
    """Return an earlier dream as the ascent that goes on."""
    wanted = replace(config, steps=earlier.config.steps)
    same_image = np.array_equal(earlier.original.reshape(item.image.shape), item.image)
    if not same_image or earlier.objective_spec != item.objective.spec or earlier.config != wanted:
        raise ConfigError(
            "resume is a dream of another image, objective or other settings; only the number of "
            "steps may differ."
        )
    if config.schedule != "constant" and config.steps != earlier.config.steps:
        raise ConfigError(
            f"resume climbed with the schedule {config.schedule!r}, which falls to 0 at its last "
            "step; only a constant step size can go on to more steps. Dream it anew."
        )
    if len(earlier.history) - 1 > config.steps:
        raise ConfigError(
            f"resume has {len(earlier.history) - 1} steps already; steps is {config.steps}, the "
            "number in all, and must be as many or more."
        )
    images = earlier.dream.reshape(1, *item.image.shape)
    begun = recipe.parametrization.begin(images, item.seed)
    given = (images,) if earlier.state is None else earlier.state
    kept = SLOTS[recipe.optimizer]
    if len(given) != len(begun) * (1 + kept):
        raise ConfigError(
            "resume does not hold where its ascent stood (it was made in a batch); dream it anew."
        )
    rest = given[len(begun) :]
    slots = [list(rest[k * kept : (k + 1) * kept]) for k in range(len(begun))]
    moved = np.abs(images - earlier.original.reshape(images.shape)).max()  # not dead if it moved
    steepest = np.array([moved], np.float32)
    return Climb(images, earlier.history[:, None], steepest, list(given[: len(begun)]), slots)


def _check_channels(network: Network, channels: int) -> None:
    if network.channels not in (None, channels) and channels != 1:
        raise ModelError(
            f"The image has {channels} channels, the model {network.name!r} takes "
            f"{network.channels}. Give a grey image (depth, width), or one of "
            f"{network.channels} channels."
        )
