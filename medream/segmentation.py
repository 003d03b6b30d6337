"""A scan through a network: any size in, a mask of that size out."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from medream.dream.graph import open_network, size_rule
from medream.errors import ModelError
from medream.scan import Scan
from medream.store import info_of

THRESHOLD = 0.5


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
    model: keras.Model, scan: Scan | np.ndarray, threshold: float = THRESHOLD
) -> Segmentation:
    """Segment a B-scan of any size.

    The scan is mirrored up to a multiple of the network's stride and the prediction cropped back.

    Parameters
    ----------
    model : keras.Model
        Image in, probabilities of the same size out (one sigmoid channel, or a softmax over background
        and classes).
    scan : Scan or float array (depth, width) in [0, 1]
        Pixels that a Scan marks as not valid become background in the mask.
    threshold : float
        Probability from which a pixel counts as lesion, for a network with one output.

    Returns
    -------
    Segmentation

    Raises
    ------
    ModelError
        When the network's output is no map of the input's size.

    Examples
    --------
    >>> import numpy as np, medream as md
    >>> model = md.build_unet(md.UNetConfig(levels=2, base_filters=4))
    >>> segment(model, np.zeros((50, 70), "float32")).mask.shape
    (50, 70)
    """
    image = scan.image if isinstance(scan, Scan) else np.asarray(scan, np.float32)
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    if image.ndim != 2:
        raise ModelError(f"segment takes a (depth, width) image, got shape {image.shape}.")
    probability = predict(model, image)
    if probability.shape[-1] == 1:
        probability = probability[..., 0]
        mask = (probability >= threshold).astype(np.uint8)
        labels = 1
    else:
        mask = probability.argmax(-1).astype(np.uint8)
        labels = probability.shape[-1] - 1
    if isinstance(scan, Scan) and scan.valid is not None:
        mask[~scan.valid] = 0
    names = info_of(model).classes
    if len(names) != labels:
        names = ("fluid",) if labels == 1 else tuple(f"class{k}" for k in range(1, labels + 1))
    return Segmentation(mask, probability, names)


def predict(model: keras.Model, image: np.ndarray) -> np.ndarray:
    """Return the network's output for one image, float32 (depth, width, channels)."""
    _check(model)
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
