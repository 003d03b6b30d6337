"""`dream`: gradient ascent on an image, for any layer of any Keras model; `dream_many`: on many."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import keras
import numpy as np

from medream.dream import operands as handed
from medream.dream.algebra import Objective, form_of
from medream.dream.ascent import Climb, OnStep, Recipe, climb, compiled_step
from medream.dream.config import DEFAULT_OCTAVES, DreamConfig
from medream.dream.graph import Network, open_network
from medream.dream.objectives import as_objective
from medream.dream.octaves import enhance, octave_shapes
from medream.dream.precision import gains_from_batches, settle_precision
from medream.dream.result import DreamResult
from medream.dream.sight import Sight, Weights, open_sight
from medream.dream.updates import SLOTS
from medream.errors import ConfigError, ModelError, ScanError, nearest
from medream.scan import Scan

_CONTROL_DRAWS = 8
_Wanted = str | list[str] | Mapping[str, float] | Objective


def dream(
    model: keras.Model,
    image: np.ndarray | Scan,
    objective: _Wanted,
    steps: int = 100,
    step_size: float = 0.01,
    octaves: tuple[int, ...] | None = DEFAULT_OCTAVES,
    control: bool = True,
    precision: str = "auto",
    seed: int = 0,
    config: DreamConfig | None = None,
    valid: np.ndarray | None = None,
    region: np.ndarray | None = None,
    spacing_mm: tuple[float, float] | None = None,
    on_step: Callable[[int, float, np.ndarray], Any] | None = None,
    resume: DreamResult | None = None,
    **settings: Any,
) -> DreamResult:
    """Change an image, step by step, towards what excites a layer (DeepDream).

    By default each step adds `step_size` times the objective's gradient, divided by its
    standard deviation over the valid pixels + 1e-8, and clips to [0, 1]. The `dream` does so on
    the image's own scale; the `enhanced` dream climbs several octaves and adds the detail found
    to the untouched original; the `control` is the dream on re-drawn weights.

    Parameters
    ----------
    model : keras.Model
        Functional or Sequential, one image input of any size. It is never changed.
    image : ndarray, shape (depth, width) or (depth, width, channels), or Scan
        Floating point in [0, 1]. One channel serves a network of three; valid pixels and
        spacing are taken from a Scan.
    objective : str, list of str, dict of str to float, or Objective
        A layer name, several names, {name: weight}, or an objective such as
        `channel("dec1_conv2", 3) - 0.1 * total_variation()`.
    steps : int
        Steps of the single-scale dream and of the control. Default 100.
    step_size : float
        On the [0, 1] scale. Default 0.01.
    octaves : tuple of int, or None
        Exponents of `octave_scale` (default 1.5), `octave_steps` (default 50) steps each;
        None makes no enhanced dream. Default (-2, -1, 0, 1).
    control : bool
        Whether to make the control too. Default True.
    precision : {"auto", "float32", "bfloat16"}
        Arithmetic of the network. Default "auto": bfloat16 where the processor has units for it
        and the network's gradient on this image is as good, else float32.
    seed : int
        Seed of the control's weights and of the transforms' draws. Default 0.
    config : DreamConfig, optional
        All settings at once, in place of those above and of **settings.
    valid : ndarray, bool, shape (depth, width), optional
        Pixels where False never change and are left out of the gradient's statistics.
    region : ndarray, bool, shape (depth, width), optional
        Region of interest: as `valid`, and both must hold.
    spacing_mm : (axial, lateral), optional
        Kept in the result for scale bars.
    on_step : callable, optional
        Called with (step, objective, image) after every step of the single-scale dream; it ends
        the dream there by returning True.
    resume : DreamResult, optional
        An earlier dream of the same image and objective, which goes on to `steps` steps in all.
    **settings
        Further fields of DreamConfig: `octave_scale`, `octave_steps`, `gradient`, `optimizer`,
        `transforms`, `parametrization`, `tile`, `every`, ...

    Returns
    -------
    DreamResult

    Raises
    ------
    LayerError
        When the model has no such layer; the nearest names are told.
    ModelError
        When the network cannot run on this image, or gives no finite gradient.
    ScanError
        When the image is no floating-point image in [0, 1].
    ConfigError
        When a setting is unknown or out of range.

    Warns
    -----
    UserWarning
        When the gradient is exactly zero, so that the dream is the image itself.

    References
    ----------
    Mordvintsev, Olah and Tyka, "Inceptionism: Going Deeper into Neural Networks", 2015;
    https://www.tensorflow.org/tutorials/generative/deepdream

    Examples
    --------
    >>> import keras, numpy as np
    >>> image = keras.Input((None, None, 1))
    >>> x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(image)
    >>> scan = np.random.default_rng(0).random((24, 32), dtype="float32")
    >>> result = dream(keras.Model(image, x), scan, "first", steps=5, octaves=None)
    >>> result.dream.shape, len(result.history), bool(result.history[-1] > result.history[0])
    ((24, 32), 6, True)
    """
    given = {
        "steps": steps, "step_size": step_size, "octaves": octaves, "precision": precision,
        "seed": seed, **settings,
    }  # fmt: skip
    config = _settle(config, given)
    item = _item(image, objective, config.seed, valid, region, spacing_mm)

    def tell(step: int, values: np.ndarray, images: np.ndarray) -> bool:
        return on_step is not None and bool(
            on_step(step, float(values[0]), images[0].reshape(item.given))
        )

    return _dream_batch(model, [item], 1, config, control, tell, resume)[0]


def dream_many(
    model: keras.Model,
    images: Iterable[np.ndarray | Scan] | np.ndarray | Scan,
    objectives: Sequence[_Wanted] | _Wanted,
    seeds: Sequence[int] | None = None,
    batch: int | None = None,
    control: bool = True,
    config: DreamConfig | None = None,
    **settings: Any,
) -> Iterator[DreamResult]:
    """Dream many scans, many objectives or many seeds, several at once.

    Images, objectives and seeds go together one by one; where there is one of a kind it serves
    all. Images of one size and objectives of one form (channels of a layer, say) climb together,
    each as if it were alone. Results come one after the other, so that memory holds one batch.

    Parameters
    ----------
    model : keras.Model
    images : Scan or ndarray, or an iterable of these
    objectives : objective, or a sequence of these
        As `dream` takes them; a list holds several objectives here, not several layers of one.
    seeds : sequence of int, optional
        Seeds of control and draws; default that of the settings.
    batch : int, optional
        Images climbed at once. Default 4 where the processor has units for it (a graphics
        processor, or bfloat16), else 1: on other processors several at once are no faster.
    control : bool
        Default True.
    config, **settings
        As for `dream`.

    Yields
    ------
    DreamResult
        In the order given.

    Raises
    ------
    As `dream`, and ConfigError when there are not equally many of a kind.

    Examples
    --------
    >>> import keras, numpy as np
    >>> from medream.dream import channel
    >>> image = keras.Input((None, None, 1))
    >>> model = keras.Model(image, keras.layers.Conv2D(4, 3, name="first")(image))
    >>> scan = np.random.default_rng(0).random((24, 32), dtype="float32")
    >>> wanted = [channel("first", k) for k in range(4)]
    >>> quick = {"steps": 2, "octaves": None, "control": False}
    >>> [result.objective for result in dream_many(model, scan, wanted, **quick)]
    ['first[0]', 'first[1]', 'first[2]', 'first[3]']
    """
    config = _settle(config, settings)
    if batch is None:
        batch = 4 if gains_from_batches(config.precision) else 1
    if isinstance(batch, bool) or not hasattr(batch, "__index__") or batch < 1:
        raise ConfigError(f"batch is {batch!r}, expected a whole number of at least 1.")
    many_images = [images] if isinstance(images, (np.ndarray, Scan)) else list(images)
    if isinstance(objectives, (str, Mapping, Objective)):
        objectives = [objectives]
    wanted = [as_objective(each) for each in objectives]
    numbers = [config.seed] if seeds is None else [int(seed) for seed in seeds]
    counts = {"images": len(many_images), "objectives": len(wanted), "seeds": len(numbers)}
    total = 0 if 0 in counts.values() else max(counts.values())
    if any(count not in (1, total) for count in counts.values()):
        told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        raise ConfigError(f"{told}: expected equally many of each, or one for all.")

    def take(several: list[Any], number: int) -> Any:
        return several[number if len(several) > 1 else 0]

    items: list[_Item] = []
    for number in range(total):
        image, objective = take(many_images, number), take(wanted, number)
        item = _item(image, objective, take(numbers, number))
        if items and (len(items) == batch or not _alike(items[0], item)):
            yield from _dream_batch(model, items, batch, config, control)
            items = []
        items.append(item)
    if items:
        yield from _dream_batch(model, items, batch, config, control)


@dataclass(frozen=True, eq=False)
class _Item:
    """One image of a batch: (depth, width, channels), what may change, what it climbs."""

    image: np.ndarray
    given: tuple[int, ...]
    inside: np.ndarray
    kept: bool
    objective: Objective
    seed: int
    reference: np.ndarray | None
    spacing_mm: tuple[float, float] | None


def _item(
    image: Any,
    objective: _Wanted,
    seed: int,
    valid: np.ndarray | None = None,
    region: np.ndarray | None = None,
    spacing_mm: tuple[float, float] | None = None,
) -> _Item:
    reference = None
    if isinstance(image, Scan):
        valid = image.valid if valid is None else valid
        spacing_mm = image.spacing_mm if spacing_mm is None else spacing_mm
        reference = image.mask
        image = image.image
    original = _check_image(image)
    inside = _check_inside("valid", valid, original.shape[:2])
    inside &= _check_inside("region", region, original.shape[:2])
    if not inside.any():
        raise ScanError("valid and region leave no pixel to dream on.")
    kept = valid is not None or region is not None
    wanted = as_objective(objective)
    return _Item(original, image.shape, inside, kept, wanted, seed, reference, spacing_mm)


def _alike(a: _Item, b: _Item) -> bool:
    return a.image.shape == b.image.shape and form_of(a.objective) == form_of(b.objective)


def _dream_batch(
    model: keras.Model,
    items: list[_Item],
    batch: int,
    config: DreamConfig,
    control: bool,
    on_step: OnStep | None = None,
    resume: DreamResult | None = None,
) -> list[DreamResult]:
    """Dream images of one size, of objectives of one form, as one batch filled up to `batch`."""
    count = len(items)
    items = items + [items[-1]] * (batch - count)  # one compiled graph for the last batch too
    network = open_network(model)
    _check_channels(network, items[0].image.shape[2])
    originals = np.stack([item.image for item in items])
    inside = np.stack([item.inside for item in items])
    seeds = [item.seed for item in items]

    def look(precision: str) -> Sight:
        return open_sight(network, items[0].objective, precision)

    regions = handed.regions(network, [(i.objective, i.image, i.reference) for i in items])

    grids: dict[str, tuple[int, ...]] = {}  # the layers' shapes at the originals' size

    def climb_from(
        starts: np.ndarray, bases: np.ndarray, inside: np.ndarray, weights: Weights, steps: int,
        label: str, stage: int, on_step: OnStep | None = None, resume: Climb | None = None,
        sight: Sight | None = None, recipe: Recipe | None = None,
    ) -> Climb:  # fmt: skip
        sight, recipe = sight or settled, recipe or settled_recipe
        step = compiled_step(model, sight, recipe, starts.shape, weights)
        if not grids:
            grids.update(step.shapes)
        for item in items:
            if item.objective.check is not None:
                item.objective.check(grids)
        given = handed.resolve(
            [item.objective for item in items], regions, bases, step.shapes, grids
        )
        draws = [(seed, stage) for seed in seeds]
        return climb(
            step, recipe, starts, inside, weights, given, config, steps, label, draws,
            on_step, resume,
        )  # fmt: skip

    def one_step(precision: str) -> tuple[np.ndarray, np.ndarray]:
        sight = look(precision)
        recipe = Recipe.of(config, precision)
        weights = sight.weights()
        before = climb_from(
            originals, originals, inside, weights, 0, "precision", 0, sight=sight, recipe=recipe
        )
        after = climb_from(
            originals, originals, inside, weights, 1, "precision", 0, sight=sight, recipe=recipe
        )
        return after.images - before.images, before.history[0]

    precision = settle_precision(config.precision, one_step)
    settled, settled_recipe = look(precision), Recipe.of(config, precision)
    weights = settled.weights()

    frames: list[tuple[int, np.ndarray]] = [] if config.every is None else [(0, originals)]

    def tell(step: int, values: np.ndarray, images: np.ndarray) -> bool:
        if config.every is not None and step % config.every == 0:
            frames.append((step, images))
        return on_step is not None and on_step(step, values, images)

    watched = tell if on_step is not None or config.every is not None else None
    going = None if resume is None else _resumed(resume, items[0], config, settled_recipe)
    if resume is not None and resume.frames is not None and resume.frame_steps is not None:
        frames = [(int(n), f[None]) for n, f in zip(resume.frame_steps, resume.frames, strict=True)]
    told = _told(items[:count], "dream")
    dreamt = climb_from(
        originals, originals, inside, weights, config.steps, told, 0, watched, going
    )
    for item, steepest in zip(items[:count], dreamt.steepest, strict=False):
        if steepest == 0.0:
            warnings.warn(
                f"The gradient of {item.objective.label!r} is exactly zero on this image, so the "
                "dream is the image itself. The layer is dead here (all its ReLUs are off) or "
                "saturated: choose another layer, or the logits in place of the probabilities.",
                stacklevel=3,
            )

    enhanced = None
    if config.octaves is not None:
        rule = settled.size
        shapes = octave_shapes(
            originals.shape[1:3], config.octaves, config.octave_scale, *rule,
            tiled=config.tile is not None,
        )  # fmt: skip

        def climb_octave(
            starts: np.ndarray, bases: np.ndarray, inside: np.ndarray, number: int
        ) -> np.ndarray:
            label = _told(items[:count], f"enhanced, octave {number + 1}/{len(shapes)}")
            steps = config.octave_steps
            return climb_from(starts, bases, inside, weights, steps, label, number + 1).images

        enhanced = enhance(originals, inside, shapes, climb_octave)

    controls: dict[int, tuple[Climb, int]] = {}
    for attempt in range(_CONTROL_DRAWS if control else 0):
        for seed in sorted({seeds[k] + attempt for k in range(count) if k not in controls}):
            drawn = settled.weights(control_seed=seed)
            label = _told(items[:count], "control")
            climbed = climb_from(originals, originals, inside, drawn, config.steps, label, 0)
            for k in range(count):
                # A layer that is dead on these weights is drawn once more.
                alive = climbed.steepest[k] > 0.0 or attempt == _CONTROL_DRAWS - 1
                if k not in controls and seeds[k] + attempt == seed and alive:
                    controls[k] = climbed, seed

    results = []
    for k, item in enumerate(items[:count]):
        redone, redone_seed = controls.get(k, (None, None))
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
                control_seed=redone_seed,
                control_history=None if redone is None else redone.history[:, k].copy(),
                reference=item.reference,
                model=getattr(model, "medream_ref", None),
                precision=precision,
                frames=np.stack([f[k].reshape(item.given) for _, f in frames]) if frames else None,
                frame_steps=np.array([n for n, _ in frames]) if frames else None,
                state=_state_of(dreamt, settled_recipe),
            )
        )
    return results


def _told(items: list[_Item], what: str) -> str:
    return what if len(items) == 1 else f"{what} of {len(items)}"


def _state_of(climbed: Climb, recipe: Recipe) -> tuple[np.ndarray, ...] | None:
    """Return what a dream needs beside its image to go on; None when nothing, or when in a batch."""
    plain = recipe.parametrization.name == "pixels" and recipe.optimizer == "plain"
    if plain or len(climbed.images) > 1:
        return None
    return (*climbed.state, *(tensor for slot in climbed.slots for tensor in slot))


def _resumed(earlier: DreamResult, item: _Item, config: DreamConfig, recipe: Recipe) -> Climb:
    """Return an earlier dream as the ascent that goes on."""
    wanted = replace(config, steps=earlier.config.steps)
    same_image = np.array_equal(earlier.original.reshape(item.image.shape), item.image)
    if not same_image or earlier.objective_spec != item.objective.spec or earlier.config != wanted:
        raise ConfigError(
            "resume is a dream of another image, objective or other settings; only the number of "
            "steps may differ."
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
    steepest = np.zeros(1, np.float32)
    return Climb(images, earlier.history[:, None], steepest, list(given[: len(begun)]), slots)


def _settle(config: DreamConfig | None, given: dict[str, Any]) -> DreamConfig:
    if config is None:
        return DreamConfig.from_json(given)
    usual = {field.name: field.default for field in fields(DreamConfig)}
    changed = [name for name, value in given.items() if value != usual.get(name)]
    unknown = [name for name in given if name not in usual]
    if unknown:
        raise ConfigError(f"A dream has no setting {unknown[0]!r}. {nearest(unknown[0], usual)}")
    if changed:
        raise ConfigError(
            f"{', '.join(changed)} given beside config; give every setting in one place: "
            "dataclasses.replace(config, ...) changes a config."
        )
    return config


def _check_image(image: Any) -> np.ndarray:
    """Return the image as a new float32 array (depth, width, channels)."""
    if not isinstance(image, np.ndarray) or image.ndim not in (2, 3) or 0 in image.shape:
        shape = getattr(image, "shape", type(image).__name__)
        raise ScanError(
            f"The image is {shape}, expected an array (depth, width) or (depth, width, channels), "
            "or a Scan."
        )
    if not np.issubdtype(image.dtype, np.floating):
        raise ScanError(
            f"The image has type {image.dtype}, expected floating point in [0, 1]; divide by the "
            "full range of its type (255 for uint8, 65535 for uint16)."
        )
    low, high = float(image.min()), float(image.max())
    if not (low >= 0.0 and high <= 1.0):  # also catches NaN
        raise ScanError(
            f"The image's intensities run from {low:g} to {high:g}, expected finite values in "
            "[0, 1]; divide by the full range of the file's type."
        )
    copy = np.array(image, np.float32, order="C")
    return copy if copy.ndim == 3 else copy[..., None]


def _check_inside(name: str, mask: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray:
    if mask is None:
        return np.ones(shape, bool)
    if not isinstance(mask, np.ndarray) or mask.shape != shape or mask.dtype != np.bool_:
        raise ScanError(
            f"{name} is {getattr(mask, 'dtype', type(mask).__name__)} of shape "
            f"{getattr(mask, 'shape', '?')}, expected bool of the image's shape {shape}."
        )
    if not mask.any():
        raise ScanError(f"{name} is False everywhere: there is no pixel left to dream on.")
    return mask.copy()


def _check_channels(network: Network, channels: int) -> None:
    if network.channels not in (None, channels) and channels != 1:
        raise ModelError(
            f"The image has {channels} channels, the model {network.name!r} takes "
            f"{network.channels}. Give a grey image (depth, width), or one of "
            f"{network.channels} channels."
        )
