"""A scan through a network: any size in, a mask of that size out."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf

from medream.dream.graph import open_network, size_rule
from medream.errors import ConfigError, ModelError
from medream.scan import Scan
from medream.store import info_of

Models: TypeAlias = keras.Model | Sequence[keras.Model]
"""One network, or several whose probabilities are averaged."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a network says of a scan.

    Parameters
    ----------
    mask : uint8 (depth, width)
        0 background, `k` is `classes[k - 1]`.
    probability : float32
        (depth, width) of a network with one output, (depth, width, classes) otherwise.
    classes : tuple of str
    """

    mask: np.ndarray
    probability: np.ndarray
    classes: tuple[str, ...]


def segment(
    model: Models,
    scan: Scan | np.ndarray,
    threshold: float | None = None,
    tta: bool = False,
) -> Segmentation:
    """Segment a B-scan of any size.

    The scan is mirrored up to a multiple of the network's stride and the prediction cropped back.

    Parameters
    ----------
    model : keras.Model or sequence of keras.Model
        Image in, probabilities of the same size out (one sigmoid channel, or a softmax over background
        and classes). The probabilities of several networks are averaged, as those of the folds of a
        comparison; they must predict the same classes.
    scan : Scan or float array (depth, width) in [0, 1]
        Pixels that a Scan marks as not valid become background in the mask.
    threshold : float in [0, 1], optional
        Probability from which a pixel counts as lesion (`probability >= threshold`), for a network with
        one output; several outputs are decided by the largest. Default: the one that training chose
        on validation scans (`ModelInfo.threshold`, 0.5 where none was chosen), of several networks
        their mean.
    tta : bool
        Test-time augmentation: average the prediction with that of the left-right mirror image, at twice
        the time. A mirrored B-scan looks like one of the fellow eye, and training mirrors, too. There is no
        flip upside down: vitreous lies above and choroid below, in every scan that a network has seen.

    Returns
    -------
    Segmentation

    Raises
    ------
    ModelError
        When the network's output is no map of the input's size, or networks do not predict the same.
    ConfigError
        When the threshold is no probability.

    Examples
    --------
    >>> import numpy as np, medream as md
    >>> model = md.build_unet(md.UNetConfig(levels=2, base_filters=4))
    >>> segment(model, np.zeros((50, 70), "float32")).mask.shape
    (50, 70)
    >>> other = md.build_unet(md.UNetConfig(levels=1, base_filters=4))
    >>> segment([model, other], np.zeros((50, 70), "float32"), tta=True).probability.shape
    (50, 70)
    """
    models = as_models(model)
    threshold = threshold_of(models) if threshold is None else check_threshold(threshold)
    image = scan.image if isinstance(scan, Scan) else np.asarray(scan, np.float32)
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    if image.ndim != 2:
        raise ModelError(f"segment takes a (depth, width) image, got shape {image.shape}.")
    probability = _probability(models, image, tta)
    if probability.shape[-1] == 1:
        probability = probability[..., 0]
        mask = (probability >= threshold).astype(np.uint8)
    else:
        mask = probability.argmax(-1).astype(np.uint8)
    if isinstance(scan, Scan) and scan.valid is not None:
        mask[~scan.valid] = 0
    return Segmentation(mask, probability, classes_of(models))


def _probability(models: Sequence[keras.Model], image: np.ndarray, tta: bool) -> np.ndarray:
    """Return the mean prediction of networks, and of the mirror image, (depth, width, channels)."""
    maps = [predict(model, image) for model in models]
    if tta:
        maps += [predict(model, image[:, ::-1])[:, ::-1] for model in models]
    return maps[0] if len(maps) == 1 else np.stack(maps).mean(axis=0)


def as_models(model: Models) -> list[keras.Model]:
    """Return one network or several as a list, checked to predict the same classes.

    Raises
    ------
    ModelError
        When there is none, or they differ in their classes or in the number of outputs.
    """
    models = [model] if isinstance(model, keras.Model) else list(model)
    if not models:
        raise ModelError("There is no network to segment with; expected one, or several.")
    for one in models:
        _check(one)
    first = models[0]
    for other in models[1:]:
        told = {info_of(one).classes for one in (first, other)} - {()}
        if first.output_shape[-1] != other.output_shape[-1] or len(told) > 1:
            raise ModelError(
                f"{_named(first)} and {_named(other)} predict different classes "
                f"({_outputs(first)}; {_outputs(other)}); their predictions cannot be averaged. Give "
                "networks that were trained on the same classes."
            )
    return models


def _named(model: keras.Model) -> str:
    known = info_of(model).ref
    return model.name if known == "memory" else known


def _outputs(model: keras.Model) -> str:
    channels = model.output_shape[-1]
    return ", ".join(info_of(model).classes) or f"{channels} output{'s' if channels > 1 else ''}"


def classes_of(models: Sequence[keras.Model]) -> tuple[str, ...]:
    """Return the names of the mask values 1, 2, ... that networks predict."""
    channels = models[0].output_shape[-1]
    labels = max(channels - 1, 1)
    named = (info_of(model).classes for model in models)
    unnamed = ("fluid",) if labels == 1 else tuple(f"class{k}" for k in range(1, labels + 1))
    return next((names for names in named if len(names) == labels), unnamed)


def threshold_of(models: Sequence[keras.Model]) -> float:
    """Return the threshold that training chose, of several networks the mean."""
    return float(np.mean([info_of(model).threshold for model in models]))


def check_threshold(threshold: float) -> float:
    """Return a threshold that is a probability, or raise ConfigError."""
    if not 0 <= threshold <= 1:
        raise ConfigError(f"The threshold is {threshold:g}; expected a probability from 0 to 1.")
    return float(threshold)


def predict(model: keras.Model, image: np.ndarray) -> np.ndarray:
    """Return the output of one checked network for one image, float32 (depth, width, channels)."""
    depth, width = image.shape[:2]
    _, fixed_depth, fixed_width, channels = model.input_shape
    x = tf.convert_to_tensor(image, tf.float32)[None, ..., None]
    if channels == 3:
        x = tf.repeat(x, 3, axis=-1)
    if fixed_depth is not None:
        forward, _ = _compiled_forward(model)
        y = forward(tf.image.resize(x, (fixed_depth, fixed_width), antialias=True))
        return tf.image.resize(y, (depth, width))[0].numpy()
    forward, (tall, wide) = _compiled_forward(model)
    below, right = -depth % tall, -width % wide
    pad = np.pad(x, ((0, 0), (0, below), (0, right), (0, 0)), mode="symmetric")
    return forward(tf.convert_to_tensor(pad))[0, :depth, :width].numpy()


def is_segmentation(model: keras.Model) -> bool:
    """Tell whether a network maps one image with 1 or 3 channels to a map of the same size."""
    shapes = (model.input_shape, model.output_shape)
    return (
        all(isinstance(s, tuple) and len(s) == 4 for s in shapes)
        and shapes[0][1:3] == shapes[1][1:3]
        and shapes[0][3] in (1, 3)
    )


def _check(model: keras.Model) -> None:
    if not is_segmentation(model):
        raise ModelError(
            f"{model.name} maps {model.input_shape} to {model.output_shape}; segmentation needs "
            "one image in, with 1 or 3 channels, and a map of the same size out."
        )


_Forward = Callable[[tf.Tensor], tf.Tensor]
_compiled: weakref.WeakKeyDictionary[keras.Model, tuple[_Forward, tuple[int, int]]] = (
    weakref.WeakKeyDictionary()
)


def _compiled_forward(model: keras.Model) -> tuple[_Forward, tuple[int, int]]:
    """Return the compiled forward pass and what (depth, width) must be multiples of."""
    if model not in _compiled:
        reference = weakref.ref(model)  # the cache must not keep the model alive

        # Traced anew for each size: Keras cannot interpolate sizes that are only known later.
        @tf.function
        def forward(x: tf.Tensor) -> tf.Tensor:
            return tf.cast(reference()(x, training=False), tf.float32)  # type: ignore[misc]

        _compiled[model] = forward, size_rule(open_network(model))[0]
    return _compiled[model]
