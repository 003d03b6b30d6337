"""`dream`: gradient ascent on an image, for any layer of any Keras model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from medream.dream.ascent import OnStep, climb, compiled_step
from medream.dream.config import DEFAULT_OCTAVES, DreamConfig
from medream.dream.control import redraw_weights
from medream.dream.graph import IMAGE, Network, needed_part, open_network, size_rule
from medream.dream.objectives import Objective, as_objective
from medream.dream.octaves import enhance, octave_shapes
from medream.dream.result import DreamResult
from medream.errors import ConfigError, ModelError, ScanError, nearest
from medream.scan import Scan

_CONTROL_DRAWS = 8


def dream(
    model: keras.Model,
    image: np.ndarray | Scan,
    objective: str | list[str] | Mapping[str, float] | Objective,
    steps: int = 100,
    step_size: float = 0.01,
    octaves: tuple[int, ...] | None = DEFAULT_OCTAVES,
    control: bool = True,
    precision: str = "auto",
    seed: int = 0,
    config: DreamConfig | None = None,
    valid: np.ndarray | None = None,
    spacing_mm: tuple[float, float] | None = None,
    on_step: OnStep | None = None,
    **settings: Any,
) -> DreamResult:
    """Change an image, step by step, towards what excites a layer (DeepDream).

    Each step adds `step_size` times the objective's gradient, divided by its standard
    deviation over the valid pixels + 1e-8, and clips to [0, 1]. The `dream` does so on the
    image's own scale; the `enhanced` dream climbs several octaves and adds the detail found to
    the untouched original; the `control` is the dream on re-drawn weights.

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
        Arithmetic of the network. "auto" is float32. Default "auto".
    seed : int
        Seed of the control's weights. Default 0.
    config : DreamConfig, optional
        All settings at once, in place of `steps`, `step_size`, `octaves`, `precision`, `seed`.
    valid : ndarray, bool, shape (depth, width), optional
        Pixels where False never change and are left out of the gradient's statistics.
    spacing_mm : (axial, lateral), optional
        Kept in the result for scale bars.
    on_step : callable, optional
        Called with (step, objective, image) after every step of the single-scale dream.
    **settings
        Further fields of DreamConfig: `octave_scale`, `octave_steps`.

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
    reference = None
    if isinstance(image, Scan):
        valid = image.valid if valid is None else valid
        spacing_mm = image.spacing_mm if spacing_mm is None else spacing_mm
        reference = image.mask
        image = image.image
    original = _check_image(image)
    inside = _check_valid(valid, original.shape[:2])
    objective = as_objective(objective)

    network = open_network(model)
    names = [name for name in objective.layers if name != IMAGE]
    part = needed_part(network, names)
    _check_channels(network, original.shape[2])
    weights = [tf.convert_to_tensor(variable.value) for variable in part.variables]

    def climb_from(
        start: np.ndarray, inside: np.ndarray, weights: list[tf.Tensor], steps: int, label: str,
        on_step: OnStep | None = None,
    ) -> tuple[np.ndarray, np.ndarray, float]:  # fmt: skip
        step = compiled_step(model, part, objective, config.precision, start.shape)
        return climb(step, start, inside, weights, steps, config.step_size, label, on_step)

    def as_given(array: np.ndarray) -> np.ndarray:
        return array.reshape(image.shape)

    def tell(step: int, value: float, current: np.ndarray) -> None:
        if on_step is not None:
            on_step(step, value, as_given(current))

    dreamt, history, steepest = climb_from(original, inside, weights, config.steps, "dream", tell)
    if steepest == 0.0:
        warnings.warn(
            f"The gradient of {objective.label!r} is exactly zero on this image, so the dream is "
            "the image itself. The layer is dead here (all its ReLUs are off) or saturated: "
            "choose another layer, or the logits in place of the probabilities.",
            stacklevel=2,
        )

    enhanced = None
    if config.octaves is not None:
        shapes = octave_shapes(
            original.shape[:2], config.octaves, config.octave_scale, *size_rule(part)
        )

        def climb_octave(start: np.ndarray, inside: np.ndarray, number: int) -> np.ndarray:
            label = f"enhanced, octave {number + 1}/{len(shapes)}"
            return climb_from(start, inside, weights, config.octave_steps, label)[0]

        enhanced = enhance(original, inside, shapes, climb_octave)

    control_image, control_seed = None, None
    if control:
        for control_seed in range(config.seed, config.seed + _CONTROL_DRAWS):
            values = redraw_weights(network.layers, control_seed)
            by_variable = dict(zip(map(id, network.variables), values, strict=True))
            drawn = [tf.convert_to_tensor(by_variable[id(v)], v.dtype) for v in part.variables]
            if climb_from(original, inside, drawn, 0, "control")[2] > 0.0:
                break  # else the layer is dead on these weights: draw once more
        control_image = climb_from(original, inside, drawn, config.steps, "control")[0]

    return DreamResult(
        original=as_given(original),
        dream=as_given(dreamt),
        enhanced=None if enhanced is None else as_given(enhanced),
        control=None if control_image is None else as_given(control_image),
        history=history,
        objective=objective.label,
        objective_spec=objective.spec,
        config=config,
        spacing_mm=spacing_mm,
        valid=None if valid is None else inside,
        control_seed=control_seed,
        reference=reference,
        model=getattr(model, "medream_ref", None),
    )


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


def _check_valid(valid: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray:
    if valid is None:
        return np.ones(shape, bool)
    if not isinstance(valid, np.ndarray) or valid.shape != shape or valid.dtype != np.bool_:
        raise ScanError(
            f"valid is {getattr(valid, 'dtype', type(valid).__name__)} of shape "
            f"{getattr(valid, 'shape', '?')}, expected bool of the image's shape {shape}."
        )
    if not valid.any():
        raise ScanError("valid is False everywhere: there is no pixel left to dream on.")
    return valid.copy()


def _check_channels(network: Network, channels: int) -> None:
    if network.channels not in (None, channels) and channels != 1:
        raise ModelError(
            f"The image has {channels} channels, the model {network.name!r} takes "
            f"{network.channels}. Give a grey image (depth, width), or one of "
            f"{network.channels} channels."
        )
