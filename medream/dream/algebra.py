"""`Objective`: what a dream climbs, and its algebra. Everything is maximised; penalties are subtracted.

An objective is a score of activations and a description of it in JSON values (`spec`). What may
differ from one dream to the next without another compiled graph (a channel's number, a weight,
a region) is not in the score but in its operands, which the engine hands in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from medream.errors import ConfigError

Activations = Mapping[str, tf.Tensor]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Constant:
    """Numbers; reach the score as a float32 tensor of their shape."""

    value: np.ndarray

    def tensor(self) -> tf.Tensor:
        """Return the numbers as a tensor."""
        return tf.constant(self.value, tf.float32)


@dataclass(frozen=True, eq=False)
class Position:
    """A (row, column) on a layer's grid at the image's own scale, or None for its centre.

    Reaches the score as row and column on the grid at hand and a weight: 1, or in a tile 0 when
    the position lies in another one, else by how much the tile is smaller than the image.
    """

    layer: str
    at: tuple[int, int] | None


@dataclass(frozen=True, eq=False)
class Region:
    """Pixels of the image: None (all), "reference", "prediction", a box, a point or a mask.

    Reaches the score as a map (1, depth, width, 1) of mean 1 that moves with the image.
    """

    where: Any
    class_index: int
    layer: str


@dataclass(frozen=True, eq=False)
class Picture:
    """Another scan (depth, width, channels); reaches the score as its activations of a layer."""

    image: np.ndarray
    layer: str


@dataclass(frozen=True, eq=False)
class Other:
    """Another model; reaches the score as the activations of its layer on the dream."""

    model: keras.Model
    layer: str


@dataclass(frozen=True, eq=False)
class Start:
    """The original at the size at hand; reaches the score as (1, depth, width, channels)."""


Operand = Constant | Position | Region | Picture | Other | Start
Evaluate = Callable[[Activations, Sequence[tf.Tensor]], tf.Tensor]


@dataclass(frozen=True, eq=False)
class Objective:
    """A scalar to be made as large as possible.

    An objective of one's own needs the first three; medream's own fill in the others.

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
    operands : tuple
        What is handed to `evaluate` beside the activations.
    evaluate : callable or None
        The score as a function of activations and operands, both as tensors.
    form : hashable
        The same for objectives that differ in nothing but operands: they share a compiled graph.
    additive : bool
        Whether the score is a mean over positions, so that those of tiles add up.
    check : callable or None
        Raises ConfigError when the layers, of the shapes given, have no such channel.
    tree : tuple or None
        (operation, left, right) of a combination.

    Examples
    --------
    >>> from medream.dream import layer, total_variation
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
    operands: tuple[Operand, ...] = ()
    evaluate: Evaluate | None = None
    form: Hashable = None
    additive: bool = False
    check: Callable[[Shapes], None] | None = None
    tree: tuple[str, Objective, Objective] | None = None

    def value(self, activations: Activations, operands: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return the score with the operands handed in."""
        if self.evaluate is None:
            return self.score(activations)
        return self.evaluate(activations, operands)

    def __add__(self, other: Objective | float) -> Objective:
        return combine("sum", self, other)

    def __radd__(self, other: float) -> Objective:
        return combine("sum", other, self)

    def __sub__(self, other: Objective | float) -> Objective:
        return combine("difference", self, other)

    def __rsub__(self, other: float) -> Objective:
        return combine("difference", other, self)

    def __mul__(self, other: Objective | float) -> Objective:
        return combine("product", self, other)

    def __rmul__(self, other: float) -> Objective:
        return combine("product", other, self)

    def __neg__(self) -> Objective:
        return combine("product", -1.0, self)


def leaf(
    spec: dict[str, Any] | None,
    layers: tuple[str, ...],
    evaluate: Evaluate,
    label: str,
    operands: tuple[Operand, ...] = (),
    form: Hashable = (),
    additive: bool = True,
    check: Callable[[Shapes], None] | None = None,
) -> Objective:
    """Return an objective of medream's own; `form` holds what of `spec` is in the graph."""

    def score(activations: Activations) -> tf.Tensor:
        if check is not None:
            check({name: tuple(value.shape) for name, value in activations.items()})
        return evaluate(activations, [alone(operand, activations) for operand in operands])

    def alone(operand: Operand, activations: Activations) -> tf.Tensor:
        if isinstance(operand, Constant):
            return operand.tensor()
        if isinstance(operand, Position):
            rows, columns = activations[operand.layer].shape[1:3]
            return tf.constant([*(operand.at or (rows // 2, columns // 2)), 1], tf.float32)
        raise ConfigError(
            f"The objective {label!r} needs more than activations; medream.dream hands it in."
        )

    return Objective(layers, score, label, spec, operands, evaluate, form, additive, check)


OPERATIONS: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "sum": ("{} + {}", lambda a, b: a + b),
    "difference": ("{} - {}", lambda a, b: a - b),
    "product": ("{} {}", lambda a, b: a * b),
}


def combine(kind: str, left: Any, right: Any) -> Objective:
    """Return the sum, difference or product of two objectives, or of one and a number."""
    parts = [number(p) if isinstance(p, Real) else p for p in (left, right)]
    if not all(isinstance(part, Objective) for part in parts):
        return NotImplemented
    a, b = parts
    form, operation = OPERATIONS[kind]
    labels = [a.label, b.label]
    if kind == "product":
        labels = [f"({label})" if _is_sum(label) else label for label in labels]
        if is_number(b):
            labels.reverse()  # a number stands before what it multiplies
    elif kind == "difference" and _is_sum(b.label):
        labels[1] = f"({b.label})"
    known = a.spec is not None and b.spec is not None
    count = len(a.operands)

    def check(shapes: Shapes) -> None:
        for part in (a, b):
            if part.check is not None:
                part.check(shapes)

    return Objective(
        layers=tuple(dict.fromkeys(a.layers + b.layers)),
        score=lambda activations: operation(a.score(activations), b.score(activations)),
        label=form.format(*labels),
        spec={"kind": kind, "of": [a.spec, b.spec]} if known else None,
        operands=a.operands + b.operands,
        evaluate=lambda activations, operands: operation(
            a.value(activations, operands[:count]), b.value(activations, operands[count:])
        ),
        form=(kind, form_of(a), form_of(b)),
        additive=a.additive and b.additive and (kind != "product" or is_number(a) or is_number(b)),
        check=check,
        tree=(kind, a, b),
    )


def form_of(objective: Objective) -> Hashable:
    """Return the key of an objective's graph; a score of one's own is its own key."""
    return objective.form if objective.evaluate is not None else objective


def is_number(objective: Objective) -> bool:
    """Whether the objective is a plain number."""
    return objective.form == "number"


def _is_sum(label: str) -> bool:
    return " + " in label or " - " in label


def number(value: Any) -> Objective:
    """Return a number as an objective.

    Raises
    ------
    ConfigError
        When it is not finite.
    """
    value = float(value)
    if not math.isfinite(value):
        raise ConfigError(f"An objective was given the weight {value}; expected a finite number.")
    return leaf(
        {"kind": "number", "value": value},
        (),
        lambda activations, operands: operands[0],
        f"{value:g}",
        (Constant(np.array(value, np.float32)),),
        "number",
    )
