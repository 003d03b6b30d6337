"""What the networks see of an image, and what the objective makes of it: one graph for a batch.

The images of a batch meet nowhere but in `diversity`: each has its own operands, its own draws of the
transforms and its own value. The graph hangs on the networks, the objective's form and the size
alone; weights, operands and draws are handed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from medream.dream import transforms as moves
from medream.dream.algebra import (
    Activations,
    Constant,
    Objective,
    Other,
    Picture,
    Position,
    Region,
    Start,
)
from medream.dream.control import redraw_weights
from medream.dream.graph import (
    IMAGE,
    Network,
    in_precision,
    needed_part,
    open_network,
    run,
    size_rule,
)
from medream.dream.lowering import Lowered, lower
from medream.errors import ConfigError, MedreamError

Shape = tuple[int, int, int, int]  # batch, depth, width, channels
Weights = list[Any]  # for each network (plain tensors, prepared tensors of the lowered layers)


@dataclass(frozen=True)
class View:
    """A network as a dream runs it: the part needed, its precision, faster equals of its layers.

    `sources` are the weights of the layers without a faster equal, `plain` the same weights in
    `part`, where those layers may have been made again in another precision.
    """

    network: Network
    part: Network
    names: tuple[str, ...]
    lowered: dict[int, Lowered]
    sources: tuple[keras.Variable, ...]

    @property
    def plain(self) -> list[keras.Variable]:
        """The weights of the layers that run as Keras runs them."""
        return [
            v for each in self.part.layers if id(each) not in self.lowered for v in each.weights
        ]

    @property
    def fast(self) -> list[keras.layers.Layer]:
        """The layers with a faster equal."""
        return [each for each in self.part.layers if id(each) in self.lowered]

    def look(self, enter: tf.Tensor, weights: Any) -> dict[str, tf.Tensor]:
        """Run the network on images (batch, depth, width, channels) of a size that fits it."""
        plain, prepared = weights
        channels = self.part.channels
        if channels is not None and enter.shape[-1] == 1 and channels > 1:
            enter = tf.repeat(enter, channels, axis=-1)
        replaced = {
            id(each): (self.lowered[id(each)].apply, tensors)
            for each, tensors in zip(self.fast, prepared, strict=True)
        }
        with keras.StatelessScope(zip(self.plain, plain, strict=True)):
            seen = run(self.part, enter, self.names, replaced)
        return {name: tf.cast(value, tf.float32) for name, value in seen.items()}


def open_view(network: Network, names: Sequence[str], precision: str, faster: bool) -> View:
    """Return a network as a dream runs it; with `faster` where a layer has a faster equal."""
    part = needed_part(network, names)
    lowered = lower(part, names, precision) if faster else {}
    sources = [v for each in part.layers if id(each) not in lowered for v in each.weights]
    recast = in_precision(part, precision, keep=lowered)
    return View(network, recast, tuple(names), lowered, tuple(sources))


def view_weights(view: View, control_seed: int | None = None) -> Any:
    """Return a network's weights as its view takes them, or those re-drawn for a control."""
    if control_seed is None:
        values = {id(v): tf.convert_to_tensor(v.value) for v in view.network.variables}
    else:
        drawn = redraw_weights(view.network.layers, control_seed)
        values = {
            id(variable): tf.convert_to_tensor(value, variable.dtype)
            for variable, value in zip(view.network.variables, drawn, strict=True)
        }
    plain = [values[id(variable)] for variable in view.sources]
    prepared = [
        view.lowered[id(each)].prepare([values[id(v)] for v in each.weights]) for each in view.fast
    ]
    return plain, prepared


@dataclass(frozen=True)
class Sight:
    """An objective with the networks that it asks."""

    objective: Objective
    views: tuple[View, ...]  # the dreamt model's first, then those of `on_model`
    asked: tuple[int | None, ...]  # for each operand the view that answers it

    @property
    def size(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """((multiple, multiple), (least, least)) that the networks need together."""
        rules = [size_rule(view.part) for view in self.views]
        multiple = tuple(math.lcm(*(rule[0][axis] for rule in rules)) for axis in (0, 1))
        least = tuple(max(rule[1][axis] for rule in rules) for axis in (0, 1))
        return multiple, least  # type: ignore[return-value]

    def weights(self, control_seed: int | None = None) -> Weights:
        """Return the weights of all networks, or those re-drawn for a control."""
        return [view_weights(view, control_seed) for view in self.views]

    def values(
        self,
        enter: tf.Tensor,
        image: tf.Tensor | None,
        weights: Weights,
        operands: Sequence[tf.Tensor] | Callable[[], Sequence[tf.Tensor]],
        shapes: dict[str, tuple[int, ...]],
        core: Callable[[tf.Tensor, int, str], tf.Tensor] | None = None,
        diversity: float = 0.0,
    ) -> tf.Tensor:
        """Return the objective of each image (batch,).

        Parameters
        ----------
        enter : tensor (batch, depth, width, channels)
            What the networks see; `image` is what penalties read.
        operands : tensors, each with the batch as its first axis
            Regions and pictures as the networks see them. Or what returns them once the shapes
            are known.
        shapes : dict
            Takes the shape of each layer, when the graph is made.
        core : callable, optional
            Cuts the activations of a layer, given view and name, to those that count in a tile.
        """
        batch = enter.shape[0]
        cut = core if core is not None else lambda tensor, view, name: tensor
        seen = [view.look(enter, given) for view, given in zip(self.views, weights, strict=True)]
        shapes.update({name: (1, *value.shape[1:]) for name, value in seen[0].items()})
        layers = {name: tf.unstack(cut(value, 0, name)) for name, value in seen[0].items()}
        if image is not None:
            layers[IMAGE] = tf.unstack(image)
        handed = []
        given = operands() if callable(operands) else operands
        for operand, tensor, view in zip(self.objective.operands, given, self.asked, strict=True):
            if isinstance(operand, Other):
                assert view is not None
                tensor = cut(seen[view][operand.layer], view, operand.layer)
            elif isinstance(operand, Picture):
                activation = self.views[0].look(tensor, weights[0])[operand.layer]
                tensor = tf.stop_gradient(cut(activation, 0, operand.layer))
            elif isinstance(operand, Region):
                tensor = cut(tensor, 0, IMAGE)
            each = tf.unstack(tensor)
            is_map = isinstance(operand, (Other, Picture, Region, Start))
            handed.append([value[None] for value in each] if is_map else each)
        scores = []
        for item in range(batch):
            activations: Activations = {name: values[item][None] for name, values in layers.items()}
            scores.append(self._score(activations, [values[item] for values in handed], shapes))
        found = tf.stack(scores)
        if diversity and batch > 1:
            found -= diversity * _likeness([seen[0][name] for name in seen[0]])
        return found

    def _score(
        self,
        activations: Activations,
        operands: list[tf.Tensor],
        shapes: dict[str, tuple[int, ...]],
    ) -> tf.Tensor:
        """Return the objective of one image; what a check can explain is not left to TensorFlow."""
        label = self.objective.label
        try:
            score = tf.convert_to_tensor(self.objective.value(activations, operands))
        except MedreamError:
            raise
        except Exception as error:
            if self.objective.check is not None:
                self.objective.check(shapes)
            reason = f"{error}".strip().split("\n")[0]
            raise ConfigError(f"The objective {label!r} cannot be computed: {reason}") from error
        if score.shape.num_elements() != 1:
            raise ConfigError(
                f"The objective {label!r} gave an array of shape {tuple(score.shape)}, expected "
                "one number; take its mean, say."
            )
        return tf.reshape(tf.cast(score, tf.float32), ())


def open_sight(network: Network, objective: Objective, precision: str) -> Sight:
    """Return an objective with the network of the dream and those of `on_model`.

    Raises
    ------
    LayerError
        When a network has no such layer.
    """
    # On a graphics processor TensorFlow's own gradients are the faster ones.
    faster = not tf.config.list_physical_devices("GPU")
    names = [name for name in objective.layers if name != IMAGE]
    names += [o.layer for o in objective.operands if isinstance(o, (Picture, Position))]
    others: dict[int, tuple[keras.Model, list[str]]] = {}
    for operand in objective.operands:
        if isinstance(operand, Other):
            others.setdefault(id(operand.model), (operand.model, []))[1].append(operand.layer)
    views = [open_view(network, tuple(dict.fromkeys(names)), precision, faster)]
    places = {}
    for model, wanted in others.values():
        places[id(model)] = len(views)
        views.append(
            open_view(open_network(model), tuple(dict.fromkeys(wanted)), precision, faster)
        )
    asked = tuple(
        places[id(operand.model)] if isinstance(operand, Other) else None
        for operand in objective.operands
    )
    return Sight(objective, tuple(views), asked)


def _likeness(layers: list[tf.Tensor]) -> tf.Tensor:
    """Return for each image the mean cosine of its layers' Gram matrices with the others'."""
    total = 0.0
    for layer in layers:
        batch, channels = layer.shape[0], layer.shape[-1]
        flat = tf.reshape(layer, [batch, -1, channels])
        gram = tf.reshape(tf.matmul(flat, flat, transpose_a=True), [batch, -1])
        gram /= tf.norm(gram, axis=1, keepdims=True) + 1e-12
        alike = tf.matmul(gram, gram, transpose_b=True)
        total += (tf.reduce_sum(alike, 1) - tf.linalg.diag_part(alike)) / (batch - 1)
    return total / len(layers)


def fit(image: tf.Tensor, multiple: tuple[int, int], least: tuple[int, int]) -> tf.Tensor:
    """Mirror images at their lower and right border to a size that the networks can take."""
    for axis, wanted in enumerate(fitted(image.shape[1:3], multiple, least)):
        while (length := image.shape[axis + 1]) < wanted:
            # A mirror gives at most its own length, so a small image is mirrored repeatedly.
            padding = [[0, 0]] * 4
            padding[axis + 1] = [0, min(length, wanted - length)]
            image = tf.pad(image, padding, mode="SYMMETRIC")
    return image


def fitted(
    shape: Sequence[int], multiple: tuple[int, int], least: tuple[int, int]
) -> tuple[int, int]:
    """Return the (depth, width) to which `fit` brings an image."""
    depth, width = (
        -(-max(length, low) // unit) * unit
        for length, low, unit in zip(shape, least, multiple, strict=True)
    )
    return depth, width


def enter_image(
    image: tf.Tensor,
    draws: tf.Tensor,
    transforms: tuple[moves.Transform, ...],
    rule: tuple[tuple[int, int], tuple[int, int]],
    maps: bool = False,
) -> tf.Tensor:
    """Return images as the networks see them: transformed, and mirrored to a size that fits.

    With `maps` the images are maps of regions: only moved, zero in the mirrored margin, and of
    mean 1.
    """
    if transforms:
        moved = [
            moves.apply(transforms, one[None], drawn, maps)
            for one, drawn in zip(tf.unstack(image), tf.unstack(draws), strict=True)
        ]
        image = tf.concat(moved, 0)
    if not maps:
        return fit(image, *rule)
    depth, width = fitted(image.shape[1:3], *rule)
    below, beside = depth - image.shape[1], width - image.shape[2]
    image = tf.pad(image, [[0, 0], [0, below], [0, beside], [0, 0]])
    return image / (tf.reduce_mean(image, [1, 2, 3], keepdims=True) + 1e-12)


def enter_operands(
    objective: Objective,
    operands: Sequence[tf.Tensor],
    draws: tf.Tensor,
    transforms: tuple[moves.Transform, ...],
    rule: tuple[tuple[int, int], tuple[int, int]],
) -> list[tf.Tensor]:
    """Return the operands as the networks see them: regions and pictures move with the image."""
    entered = []
    for operand, tensor in zip(objective.operands, operands, strict=True):
        if isinstance(operand, (Region, Picture)):
            tensor = enter_image(tensor, draws, transforms, rule, isinstance(operand, Region))
        entered.append(tensor)
    return entered


def operand_spec(operand: Any, shape: Shape) -> tuple[int, ...]:
    """Return the shape of an operand's tensor for images of a shape."""
    batch, depth, width, _ = shape
    if isinstance(operand, Constant):
        return (batch, *operand.value.shape)
    if isinstance(operand, Position):
        return (batch, 3)
    if isinstance(operand, Region):
        return (batch, depth, width, 1)
    if isinstance(operand, Picture):
        return (batch, depth, width, operand.image.shape[2])
    return (batch, 0) if isinstance(operand, Other) else shape


def specs(tensors: Any) -> Any:
    """Return the types of a nest of tensors."""
    return tf.nest.map_structure(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), tensors)
