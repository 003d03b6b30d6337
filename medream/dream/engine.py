"""`dream`: gradient ascent on an image, for any layer of any Keras model; `dream_many`: on many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from medream.dream.algebra import Objective
from medream.dream.batch import Item, alike, dream_batch
from medream.dream.config import DEFAULT_OCTAVES, DreamConfig, settle
from medream.dream.objectives import as_objective
from medream.dream.precision import gains_from_batches
from medream.dream.result import DreamResult
from medream.errors import ConfigError, ScanError
from medream.scan import Scan

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
    config = settle(config, given)
    item = _item(image, objective, config.seed, valid, region, spacing_mm)

    def tell(step: int, values: np.ndarray, images: np.ndarray) -> bool:
        return on_step is not None and bool(
            on_step(step, float(values[0]), images[0].reshape(item.given))
        )

    return dream_batch(model, [item], 1, config, control, tell, resume)[0]


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
    config = settle(config, settings)
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

    items: list[Item] = []
    for number in range(total):
        image, objective = take(many_images, number), take(wanted, number)
        item = _item(image, objective, take(numbers, number))
        if items and (len(items) == batch or not alike(items[0], item)):
            yield from dream_batch(model, items, batch, config, control)
            items = []
        items.append(item)
    if items:
        yield from dream_batch(model, items, batch, config, control)


def _item(
    image: Any,
    objective: _Wanted,
    seed: int,
    valid: np.ndarray | None = None,
    region: np.ndarray | None = None,
    spacing_mm: tuple[float, float] | None = None,
) -> Item:
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
    return Item(original, image.shape, inside, kept, wanted, seed, reference, spacing_mm)


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
