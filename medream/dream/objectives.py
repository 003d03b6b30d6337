"""`Objective`: what a dream climbs. Everything is maximised; penalties are subtracted.

An objective is a score of activations and a description of it in JSON values (`spec`), from
which `objective_from_spec` makes it again. `+ - *` return new objectives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import tensorflow as tf

from medream.dream.graph import IMAGE
from medream.errors import ConfigError

Activations = Mapping[str, tf.Tensor]


@dataclass(frozen=True, eq=False)
class Objective:
    """A scalar to be made as large as possible.

    Parameters
    ----------
    layers : tuple of str
        Names of the layers that the score reads; "image" is the image itself.
    score : callable
        Takes {name: float32 tensor (1, depth, width, channels)}, returns a scalar tensor.
    label : str
        What figures and tables call it.
    spec : dict or None
        The objective in JSON values. None for a score of one's own, which cannot be made
        again from a saved result.

    Examples
    --------
    >>> both = layer("dec1_conv2") - 0.1 * total_variation()
    >>> both.label
    'dec1_conv2 - 0.1 total variation'
    >>> both.layers
    ('dec1_conv2', 'image')
    """

    layers: tuple[str, ...]
    score: Callable[[Activations], tf.Tensor]
    label: str
    spec: dict[str, Any] | None = None

    def __add__(self, other: Objective | float) -> Objective:
        return _combine("sum", self, other)

    def __radd__(self, other: float) -> Objective:
        return _combine("sum", other, self)

    def __sub__(self, other: Objective | float) -> Objective:
        return _combine("difference", self, other)

    def __rsub__(self, other: float) -> Objective:
        return _combine("difference", other, self)

    def __mul__(self, other: Objective | float) -> Objective:
        return _combine("product", self, other)

    def __rmul__(self, other: float) -> Objective:
        return _combine("product", other, self)

    def __neg__(self) -> Objective:
        return _combine("product", -1.0, self)


_OPERATIONS: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "sum": ("{} + {}", lambda a, b: a + b),
    "difference": ("{} - {}", lambda a, b: a - b),
    "product": ("{} {}", lambda a, b: a * b),
}


def _combine(kind: str, left: Any, right: Any) -> Objective:
    parts = [_number(p) if isinstance(p, Real) else p for p in (left, right)]
    if not all(isinstance(part, Objective) for part in parts):
        return NotImplemented
    a, b = parts
    form, operation = _OPERATIONS[kind]
    labels = [a.label, b.label]
    if kind == "product":
        labels = [f"({label})" if _is_sum(label) else label for label in labels]
        if b.spec is not None and b.spec["kind"] == "number":
            labels.reverse()  # a number stands before what it multiplies
    elif kind == "difference" and _is_sum(b.label):
        labels[1] = f"({b.label})"
    known = a.spec is not None and b.spec is not None
    return Objective(
        layers=tuple(dict.fromkeys(a.layers + b.layers)),
        score=lambda activations: operation(a.score(activations), b.score(activations)),
        label=form.format(*labels),
        spec={"kind": kind, "of": [a.spec, b.spec]} if known else None,
    )


def _is_sum(label: str) -> bool:
    return " + " in label or " - " in label


def _number(value: Any) -> Objective:
    number = float(value)
    if not math.isfinite(number):
        raise ConfigError(f"An objective was given the weight {value}; expected a finite number.")
    return Objective(
        layers=(),
        score=lambda activations: tf.constant(number, tf.float32),
        label=f"{number:g}",
        spec={"kind": "number", "value": number},
    )


def layer(name: str) -> Objective:
    """Mean activation of a layer, over all its positions and channels.

    The mean, not the sum, so that a large layer does not drown a small one beside it.

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
    return Objective(
        layers=(name,),
        score=lambda activations: tf.reduce_mean(activations[name]),
        label=name,
        spec={"kind": "layer", "layer": name},
    )


def channel(name: str, index: int) -> Objective:
    """Mean activation of one channel of a layer.

    Parameters
    ----------
    name : str
        A layer of the model.
    index : int
        Channel, from 0.

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
    >>> channel("dec1_conv2", 3).label
    'dec1_conv2[3]'
    """

    def score(activations: Activations) -> tf.Tensor:
        activation = activations[name]
        _check_index(name, "channel", index, activation.shape[-1])
        return tf.reduce_mean(activation[..., index])

    spec = {"kind": "channel", "layer": name, "index": index}
    return Objective((name,), score, f"{name}[{index}]", spec)


def neuron(name: str, index: int, position: tuple[int, int] | None = None) -> Objective:
    """Activation of one channel of a layer at one position.

    Parameters
    ----------
    name : str
        A layer of the model.
    index : int
        Channel, from 0.
    position : (row, column), optional
        On the layer's own grid, from 0 at the top left. Default: its centre.

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

    def score(activations: Activations) -> tf.Tensor:
        activation = activations[name]
        if len(activation.shape) != 4:
            raise ConfigError(
                f"Layer {name!r} has no positions (shape {tuple(activation.shape)}); use "
                f"channel({name!r}, {index}) for one of its units."
            )
        rows, columns, channels = activation.shape[1:]
        row, column = position or (rows // 2, columns // 2)
        _check_index(name, "channel", index, channels)
        _check_index(name, "row", row, rows)
        _check_index(name, "column", column, columns)
        return activation[0, row, column, index]

    where = f" at ({position[0]}, {position[1]})" if position else " at its centre"
    spec = {"kind": "neuron", "layer": name, "index": index}
    spec["position"] = list(position) if position else None
    return Objective((name,), score, f"{name}[{index}]{where}", spec)


def total_variation() -> Objective:
    """Mean absolute difference of neighbouring pixels: a penalty, to be subtracted.

    References
    ----------
    Mahendran and Vedaldi, "Understanding Deep Image Representations by Inverting Them",
    CVPR 2015, arXiv:1412.0035

    Examples
    --------
    >>> (layer("dec1_conv2") - 2 * total_variation()).label
    'dec1_conv2 - 2 total variation'
    """

    def score(activations: Activations) -> tf.Tensor:
        image = activations[IMAGE]
        down = tf.abs(image[:, 1:] - image[:, :-1])
        right = tf.abs(image[:, :, 1:] - image[:, :, :-1])
        pairs = down.shape.num_elements() + right.shape.num_elements()
        return (tf.reduce_sum(down) + tf.reduce_sum(right)) / max(pairs, 1)

    return Objective((IMAGE,), score, "total variation", {"kind": "total_variation"})


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


_LEAVES: dict[str, Callable[..., Objective]] = {
    "layer": lambda s: layer(s["layer"]),
    "channel": lambda s: channel(s["layer"], s["index"]),
    "neuron": lambda s: neuron(
        s["layer"], s["index"], tuple(s["position"]) if s["position"] else None
    ),
    "total_variation": lambda s: total_variation(),
    "number": lambda s: _number(s["value"]),
}


def objective_from_spec(spec: Mapping[str, Any] | None) -> Objective:
    """Make an objective again from its `spec`.

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
            "This dream climbed an objective of one's own (a Python function), which cannot be "
            "made again from the record. Call medream.dream with it again."
        )
    try:
        kind = spec["kind"]
        if kind in _OPERATIONS:
            left, right = (objective_from_spec(part) for part in spec["of"])
            return _combine(kind, left, right)
        return _LEAVES[kind](spec)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"The record's objective {spec!r} is not one that medream knows."
        ) from error
