"""The objectives: what in a network a dream may climb. Each is a mean, so that no layer's size decides.

A layer's value is the mean over its positions, so that a large layer does not drown a small one
beside it, and the values of tiles add up to that of the image.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from medream.dream.algebra import (
    OPERATIONS,
    Activations,
    Constant,
    Objective,
    Other,
    Picture,
    Position,
    Region,
    Shapes,
    combine,
    leaf,
    number,
)
from medream.dream.arrays import decode_array, encode_array
from medream.dream.graph import IMAGE
from medream.dream.penalties import distance, high_frequencies, l1, l2, total_variation
from medream.errors import ConfigError

__all__ = [
    "Objective",
    "as_objective",
    "channel",
    "class_score",
    "cosine",
    "direction",
    "distance",
    "energy",
    "high_frequencies",
    "l1",
    "l2",
    "layer",
    "match",
    "neuron",
    "objective_from_spec",
    "on_model",
    "total_variation",
]

Loader = Callable[[str], keras.Model]


def layer(name: str) -> Objective:
    """Mean activation of a layer, over all its positions and channels.

    Parameters
    ----------
    name : str
        A layer of the model, as `describe_layers` names it.

    References
    ----------
    Mordvintsev, Olah and Tyka, "Inceptionism: Going Deeper into Neural Networks", 2015;
    https://www.tensorflow.org/tutorials/generative/deepdream

    Examples
    --------
    >>> layer("mid_conv2").label
    'mid_conv2'
    """
    return leaf(
        {"kind": "layer", "layer": name},
        (name,),
        lambda activations, _: tf.reduce_mean(activations[name]),
        name,
        form=("layer", name),
    )


def energy(name: str) -> Objective:
    """Mean squared activation of a layer: what Google's first DeepDream climbed.

    Large activations count more than in `layer`, and negative ones as much as positive.

    Parameters
    ----------
    name : str
        A layer of the model.

    References
    ----------
    Mordvintsev, Olah and Tyka, 2015, https://github.com/google/deepdream (L2 objective)

    Examples
    --------
    >>> energy("mid_conv2").label
    'energy of mid_conv2'
    """
    return leaf(
        {"kind": "energy", "layer": name},
        (name,),
        lambda activations, _: tf.reduce_mean(tf.square(activations[name])),
        f"energy of {name}",
        form=("energy", name),
    )


def channel(name: str, index: int | Sequence[int]) -> Objective:
    """Mean activation of one channel of a layer, or of several.

    Parameters
    ----------
    name : str
        A layer of the model.
    index : int or sequence of int
        Channel or channels, from 0.

    Raises
    ------
    ConfigError
        When the dream is made and the layer has no such channel.

    References
    ----------
    Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017,
    https://doi.org/10.23915/distill.00007

    Examples
    --------
    >>> channel("dec1_conv2", 3).label, channel("dec1_conv2", [0, 2]).label
    ('dec1_conv2[3]', 'dec1_conv2[0, 2]')
    """
    given = [int(k) for k in index] if isinstance(index, Sequence) else [int(index)]
    if not given:
        raise ConfigError(f"No channel of {name!r} was given; expected one or several numbers.")

    def evaluate(activations: Activations, operands: Sequence[tf.Tensor]) -> tf.Tensor:
        return tf.reduce_mean(_pick(activations[name], operands[0]))

    def check(shapes: Shapes) -> None:
        for each in given:
            _check_index(name, "channel", each, shapes[name][-1])

    return leaf(
        {
            "kind": "channel",
            "layer": name,
            "index": given if isinstance(index, Sequence) else given[0],
        },
        (name,),
        evaluate,
        f"{name}[{', '.join(map(str, given))}]",
        (Constant(np.array(given, np.float32)),),
        ("channel", name, len(given)),
        check=check,
    )


def neuron(name: str, index: int, position: tuple[int, int] | None = None) -> Objective:
    """Activation of one channel of a layer at one position.

    Parameters
    ----------
    name : str
        A layer of the model.
    index : int
        Channel, from 0.
    position : (row, column), optional
        On the layer's own grid, from 0 at the top left, for the image at its own scale; it moves
        along in the octaves. Default: its centre.

    Raises
    ------
    ConfigError
        When the dream is made and the layer has no such channel or position.

    References
    ----------
    Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017,
    https://doi.org/10.23915/distill.00007

    Examples
    --------
    >>> neuron("mid_conv2", 0, (4, 7)).label
    'mid_conv2[0] at (4, 7)'
    """

    def evaluate(activations: Activations, operands: Sequence[tf.Tensor]) -> tf.Tensor:
        (index,), (row, column, weight) = tf.unstack(operands[0]), tf.unstack(operands[1])
        at = tf.cast(tf.stack([0.0, row, column, index]), tf.int32)
        return weight * tf.reshape(tf.slice(activations[name], at, [1, 1, 1, 1]), ())

    def check(shapes: Shapes) -> None:
        shape = shapes[name]
        if len(shape) != 4:
            raise ConfigError(
                f"Layer {name!r} has no positions (shape {shape}); use "
                f"channel({name!r}, {index}) for one of its units."
            )
        _check_index(name, "channel", index, shape[3])
        if position is not None:
            _check_index(name, "row", position[0], shape[1])
            _check_index(name, "column", position[1], shape[2])

    where = f" at ({position[0]}, {position[1]})" if position else " at its centre"
    return leaf(
        {
            "kind": "neuron",
            "layer": name,
            "index": index,
            "position": list(position) if position else None,
        },
        (name,),
        evaluate,
        f"{name}[{index}]{where}",
        (Constant(np.array([index], np.float32)), Position(name, position)),
        ("neuron", name),
        check=check,
    )


def direction(name: str, vector: Sequence[float] | np.ndarray) -> Objective:
    """Mean projection of a layer's activations on a direction in channel space.

    Parameters
    ----------
    name : str
        A layer of the model.
    vector : sequence of float, one for each channel
        Its length does not matter, it is scaled to 1.

    Raises
    ------
    ConfigError
        When the vector is zero or not finite, or, when the dream is made, of another length
        than the layer has channels.

    References
    ----------
    Olah et al., "The Building Blocks of Interpretability", Distill 2018,
    https://doi.org/10.23915/distill.00010

    Examples
    --------
    >>> direction("mid_conv2", [0.5, 0.5]).label
    'direction in mid_conv2'
    """
    return _along("direction", name, vector, lambda along, length: tf.reduce_mean(along))


def cosine(name: str, vector: Sequence[float] | np.ndarray) -> Objective:
    """Mean cosine between a layer's activations and a direction in channel space.

    Unlike `direction` it cannot be raised by large activations alone.

    Parameters
    ----------
    name : str
        A layer of the model.
    vector : sequence of float, one for each channel

    Raises
    ------
    ConfigError
        As `direction`.

    References
    ----------
    Carter et al., "Exploring Neural Networks with Activation Atlases", Distill 2019,
    https://doi.org/10.23915/distill.00015

    Examples
    --------
    >>> cosine("mid_conv2", [0.5, 0.5]).label
    'cosine in mid_conv2'
    """
    return _along(
        "cosine",
        name,
        vector,
        lambda along, squared: tf.reduce_mean(along * tf.math.rsqrt(squared + 1e-12)),
    )


def _along(
    kind: str, name: str, vector: Sequence[float] | np.ndarray, mean: Callable[..., tf.Tensor]
) -> Objective:
    array = np.asarray(vector, np.float64)
    length = float(np.linalg.norm(array))
    if array.ndim != 1 or not np.isfinite(length) or length == 0.0:
        raise ConfigError(
            f"The {kind} in {name!r} is an array of shape {array.shape} and length {length:g}, "
            "expected one finite number for each channel, not all zero."
        )

    def evaluate(activations: Activations, operands: Sequence[tf.Tensor]) -> tf.Tensor:
        activation = activations[name]
        along = tf.tensordot(activation, operands[0], 1)
        return mean(along, tf.reduce_sum(tf.square(activation), -1))

    def check(shapes: Shapes) -> None:
        if shapes[name][-1] != len(array):
            raise ConfigError(
                f"The {kind} in {name!r} has {len(array)} numbers; the layer has "
                f"{shapes[name][-1]} channels, expected one number for each."
            )

    return leaf(
        {"kind": kind, "layer": name, "vector": [float(value) for value in array]},
        (name,),
        evaluate,
        f"{kind} in {name}",
        (Constant((array / length).astype(np.float32)),),
        (kind, name, len(array)),
        check=check,
    )


def class_score(
    index: int = 1,
    region: str | Sequence[int] | np.ndarray | None = None,
    layer: str = "logits",
) -> Objective:
    """Mean logit of a class of a segmentation network over a region of the image.

    Parameters
    ----------
    index : int
        Class, 0 is the background. A network of one output channel has the classes 0 and 1; the
        logit of 0 is then that of 1 with the opposite sign. Default 1.
    region : optional
        "reference" (pixels of the class in the expert's mask of the scan), "prediction" (those
        that the network itself gives the class on the scan as it is), a box (first row, first
        column, row after the last, column after the last), a point (row, column), or a bool
        mask of the image's size; all in pixels of the image. Default None, the whole image.
    layer : str
        Layer with one channel for each class, before sigmoid or softmax. Default "logits".

    Raises
    ------
    ConfigError
        When the region is none of these; when the dream is made, for a class or a region
        that there is not.

    References
    ----------
    Couteaux et al., "Towards interpretability of segmentation networks by analyzing
    DeepDreams", iMIMIC 2019, https://doi.org/10.1007/978-3-030-33850-3_7

    Examples
    --------
    >>> class_score(1, "prediction").label
    'class 1 in prediction'
    >>> class_score(1, (10, 20, 30, 60)).label
    'class 1 in rows 10 to 29, columns 20 to 59'
    """
    kept, label = _region(region)
    label = label if layer == "logits" else f" of {layer}{label}"
    operands = (Constant(np.array([index], np.float32)), Region(kept, index, layer))

    def evaluate(activations: Activations, operands: Sequence[tf.Tensor]) -> tf.Tensor:
        logits, (wanted,) = activations[layer], tf.unstack(operands[0])
        inside = tf.image.resize(operands[1], tf.shape(logits)[1:3], "area")
        means = tf.reduce_mean(logits * inside, [0, 1, 2])
        if logits.shape[3] == 1:
            return tf.where(wanted > 0, 1.0, -1.0) * means[0]
        return tf.reduce_mean(tf.gather(means, tf.cast(operands[0], tf.int32)))

    def check(shapes: Shapes) -> None:
        shape = shapes[layer]
        if len(shape) != 4:
            raise ConfigError(
                f"Layer {layer!r} gives no map of classes (shape {shape}); class_score needs the "
                "output of a segmentation network. Use channel() for a classifier."
            )
        _check_index(layer, "class", index, max(shape[3], 2))

    spec = encode_array(kept) if isinstance(kept, np.ndarray) else kept
    return leaf(
        {"kind": "class_score", "index": index, "region": spec, "layer": layer},
        (layer,),
        evaluate,
        f"class {index}{label}",
        operands,
        ("class_score", layer),
        check=check,
    )


def _region(region: Any) -> tuple[Any, str]:
    """Return a region as it is kept, and its words in a label."""
    if region is None:
        return None, ""
    if isinstance(region, str) and region in ("reference", "prediction"):
        return region, f" in {region}"
    if isinstance(region, np.ndarray) and region.ndim == 2:
        return region.astype(bool), " in a mask"
    if isinstance(region, (list, tuple)) and all(isinstance(k, (int, np.integer)) for k in region):
        numbers = [int(k) for k in region]
        if len(numbers) == 2 and min(numbers) >= 0:
            return numbers, f" at row {numbers[0]}, column {numbers[1]}"
        if len(numbers) == 4 and 0 <= numbers[0] < numbers[2] and 0 <= numbers[1] < numbers[3]:
            top, left, bottom, right = numbers
            return numbers, f" in rows {top} to {bottom - 1}, columns {left} to {right - 1}"
    raise ConfigError(
        f"The region is {region!r}, expected 'reference', 'prediction', a point (row, column), a "
        "box (first row, first column, row after the last, column after the last), a bool mask of "
        "the image's size, or None."
    )


def match(name: str, image: np.ndarray) -> Objective:
    """Likeness of a layer's activations to those of another scan: minus their mean squared difference.

    Parameters
    ----------
    name : str
        A layer of the model.
    image : ndarray, shape (depth, width) or (depth, width, channels)
        The other scan, in [0, 1]; resized where it is of another size than the dream.

    References
    ----------
    Mahendran and Vedaldi, "Understanding Deep Image Representations by Inverting Them",
    CVPR 2015, arXiv:1412.0035

    Examples
    --------
    >>> match("mid_conv2", np.zeros((16, 16), "float32")).label
    'mid_conv2 as on another scan'
    """
    picture = np.asarray(image, np.float32)
    picture = picture[..., None] if picture.ndim == 2 else picture
    if picture.ndim != 3 or not (picture.min() >= 0 and picture.max() <= 1):
        raise ConfigError(
            f"The scan to match is an array of shape {picture.shape}, expected (depth, width) or "
            "(depth, width, channels) with values in [0, 1]."
        )

    def evaluate(activations: Activations, operands: Sequence[tf.Tensor]) -> tf.Tensor:
        return -tf.reduce_mean(tf.square(activations[name] - operands[0]))

    return leaf(
        {"kind": "match", "layer": name, "image": encode_array(picture)},
        (name,),
        evaluate,
        f"{name} as on another scan",
        (Picture(picture, name),),
        ("match", name),
    )


def on_model(model: keras.Model, objective: str | Objective) -> Objective:
    """Let another model be asked: the objective read from its layers, on the same image.

    What one network sees and another does not is a difference:
    `layer("dec1_conv2") - on_model(shallow, "dec1_conv2")`.

    Parameters
    ----------
    model : keras.Model
        It must take images of the same channels and of the sizes that the first one takes.
    objective : str or Objective

    Raises
    ------
    ConfigError
        For an objective that asks another model or another scan itself.

    Examples
    --------
    >>> image = keras.Input((None, None, 1))
    >>> other = keras.Model(image, keras.layers.Conv2D(2, 3, name="first")(image), name="shallow")
    >>> (layer("first") - on_model(other, "first")).label
    'first - shallow: first'
    """
    inner = as_objective(objective)
    if IMAGE in inner.layers or not all(isinstance(o, Constant) for o in inner.operands):
        raise ConfigError(
            f"on_model cannot take {inner.label!r}: it reads the image, a position, a region, "
            "another scan or another model. Combine such objectives with + and - outside of on_model."
        )
    names = inner.layers
    count = len(names)

    def evaluate(activations: Activations, operands: Sequence[tf.Tensor]) -> tf.Tensor:
        activations = dict(zip(names, operands[:count], strict=True))
        if inner.check is not None:
            inner.check({name: tuple(value.shape) for name, value in activations.items()})
        return inner.value(activations, operands[count:])

    reference = getattr(model, "medream_ref", None)
    known = reference is not None and inner.spec is not None
    # The check above is made when the graph is, so that every inner objective has its own.
    what = json.dumps(inner.spec) if inner.spec is not None else inner
    return leaf(
        {"kind": "on_model", "model": reference, "of": inner.spec} if known else None,
        (),
        evaluate,
        f"{model.name}: {inner.label}",
        (*(Other(model, name) for name in names), *inner.operands),
        ("on_model", weakref.ref(model), what),
        inner.additive,
    )


def _pick(activation: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """Return the mean of some channels; taken after the mean, whose gradient is cheap."""
    means = tf.reduce_mean(activation, list(range(len(activation.shape) - 1)))
    return tf.gather(means, tf.cast(indices, tf.int32))


def _check_index(name: str, what: str, index: int, count: int) -> None:
    if not 0 <= index < count:
        raise ConfigError(
            f"Layer {name!r} has no {what} {index}: here it has {count}, so 0 to {count - 1}."
        )


def as_objective(
    wanted: str | list[str] | tuple[str, ...] | Mapping[str, float] | Objective,
) -> Objective:
    """Return the objective that a layer name, several names or {name: weight} stand for.

    Raises
    ------
    ConfigError
        When `wanted` is none of these, is empty, or a weight is no finite number.

    Examples
    --------
    >>> as_objective({"enc1_conv2": 1, "mid_conv2": 0.5}).label
    'enc1_conv2 + 0.5 mid_conv2'
    """
    if isinstance(wanted, Objective):
        return wanted
    if isinstance(wanted, str):
        return layer(wanted)
    if isinstance(wanted, Mapping):
        weights = list(wanted.items())
    elif isinstance(wanted, (list, tuple)):
        weights = [(name, 1.0) for name in wanted]
    else:
        weights = []
    if not weights or not all(
        isinstance(n, str) and isinstance(w, Real) and not isinstance(w, bool) for n, w in weights
    ):
        raise ConfigError(
            f"The objective is {wanted!r}, expected a layer name, a list of names, "
            "{name: weight}, or an Objective such as channel(name, 3)."
        )
    terms = [layer(name) if weight == 1 else weight * layer(name) for name, weight in weights]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _region_of(stored: Any) -> Any:
    return decode_array(stored) if isinstance(stored, Mapping) else stored


_LEAVES: dict[str, Callable[..., Objective]] = {
    "layer": lambda s: layer(s["layer"]),
    "energy": lambda s: energy(s["layer"]),
    "channel": lambda s: channel(s["layer"], s["index"]),
    "neuron": lambda s: neuron(
        s["layer"], s["index"], tuple(s["position"]) if s["position"] else None
    ),
    "direction": lambda s: direction(s["layer"], s["vector"]),
    "cosine": lambda s: cosine(s["layer"], s["vector"]),
    "class_score": lambda s: class_score(s["index"], _region_of(s["region"]), s["layer"]),
    "match": lambda s: match(s["layer"], decode_array(s["image"])),
    "total_variation": lambda s: total_variation(),
    "l1": lambda s: l1(),
    "l2": lambda s: l2(),
    "distance": lambda s: distance(),
    "high_frequencies": lambda s: high_frequencies(),
    "number": lambda s: number(s["value"]),
}


def objective_from_spec(spec: Mapping[str, Any] | None, load: Loader | None = None) -> Objective:
    """Make an objective again from its `spec`.

    Parameters
    ----------
    spec : dict or None
    load : callable, optional
        Opens the models that `on_model` asked, by what is recorded of them (`load_model`).

    Raises
    ------
    ConfigError
        When the spec is None (an objective of one's own) or not one of medream's.

    Examples
    --------
    >>> objective_from_spec({"kind": "channel", "layer": "mid_conv2", "index": 3}).label
    'mid_conv2[3]'
    """
    if spec is None:
        raise ConfigError(
            "This dream climbed an objective of one's own (a Python function), or asked a model in "
            "memory; neither can be made again from the record. Call medream.dream with it again."
        )
    try:
        kind = spec["kind"]
        if kind in OPERATIONS:
            left, right = (objective_from_spec(part, load) for part in spec["of"])
            return combine(kind, left, right)
        if kind == "on_model":
            if load is None:
                raise ConfigError(f"The objective asks the model {spec['model']}; hand in `load`.")
            return on_model(load(spec["model"]), objective_from_spec(spec["of"], load))
        return _LEAVES[kind](spec)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"The record's objective {str(spec)[:300]} is not one that medream knows."
        ) from error
