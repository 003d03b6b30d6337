"""Images larger than memory: the networks see overlapping tiles, the image is climbed as a whole.

Each activation is counted once: in the tile in whose core it lies. The values of the cores add up
to that of the image, and so do their gradients, which reach over the overlap into neighbouring
tiles; so there is no seam to be blended away. Where the overlap is as wide as the receptive
field, value and gradient are those of the whole image (but for rounding); where it is narrower,
activations within half a receptive field of a core's border may see the tile's border.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import tensorflow as tf

from medream.dream.algebra import (
    Constant,
    Objective,
    Other,
    Picture,
    Position,
    Region,
    Start,
    combine,
    is_number,
)
from medream.dream.ascent import Recipe, Step, climbed, no_gradient, shown, signature
from medream.dream.graph import IMAGE, find_layers, size_rule
from medream.dream.receptive_field import receptive_fields, strides
from medream.dream.sight import (
    Shape,
    Sight,
    Weights,
    enter_image,
    enter_operands,
    fitted,
    operand_spec,
    specs,
)
from medream.errors import ConfigError

Window = tuple[int, int, int]  # start of the tile, first row of its core, row after its last


def tiled_step(sight: Sight, recipe: Recipe, shape: Shape, weights: Weights) -> Step:
    """Return a step that runs the networks tile by tile, in the place of `whole_step`'s.

    Raises
    ------
    ConfigError
        When the objective does not add up over tiles, or a layer sees the whole image.
    """
    assert recipe.tile is not None
    objective, rule = sight.objective, sight.size
    fields, steps = _reach(sight)
    steps[0, IMAGE] = (Fraction(1), Fraction(1))
    size = fitted(shape[1:3], *rule)
    each = [size_rule(view.part)[1] for view in sight.views]
    units = [math.lcm(*(unit[k] for unit in each)) for k in (0, 1)]
    lengths, cuts = zip(
        *(
            cut_axis(size[k], *recipe.tile, units[k], max(field[k] for field in fields))
            for k in (0, 1)
        ),
        strict=True,
    )
    seen, on_image = split(objective)
    asking = sight if seen is None else replace(sight, objective=seen, asked=_asked(sight, seen))
    shapes: dict[str, tuple[int, ...]] = {}
    extents: dict[tuple[int, str], list[int]] = {}  # of each layer in a tile
    answers = {
        id(operand): view
        for operand, view in zip(asking.objective.operands, asking.asked, strict=True)
        if view is not None
    }

    @tf.function(autograph=False, jit_compile=False)
    def view(
        state: Any, base: tf.Tensor, inside: tf.Tensor, operands: Any, draws: tf.Tensor
    ) -> Any:
        image = shown(recipe, state, base, inside)
        enter = enter_image(image, draws, recipe.transforms, rule)
        return image, enter, enter_operands(objective, operands, draws, recipe.transforms, rule)

    def whole(view: int, name: str, height: int, width: int) -> tuple[int, int]:
        down, right = steps[view, name]
        rows = Fraction(size[0] - lengths[0]) / down + height
        columns = Fraction(size[1] - lengths[1]) / right + width
        return int(rows), int(columns)

    @tf.function(autograph=False, jit_compile=False)
    def tile_gradient(enter: tf.Tensor, weights: Weights, operands: Any, core: tf.Tensor) -> Any:
        """`core`: of each axis the tile's start, and in the tile the core's first row and end."""

        def box(view: int, name: str, extent: Sequence[int]) -> tuple[tf.Tensor, tf.Tensor]:
            first, last = [], []
            for axis, stride in enumerate(steps[view, name]):
                above, below = stride.denominator, stride.numerator
                first.append(core[axis, 1] * above // below)
                at_end = core[axis, 2] >= lengths[axis]
                last.append(tf.where(at_end, extent[axis], core[axis, 2] * above // below))
            return tf.stack(first), tf.stack(last)

        def cut(tensor: tf.Tensor, view: int, name: str) -> tf.Tensor:
            batch, *extent, channels = tensor.shape
            extents[view, name] = extent
            first, last = box(view, name, extent)
            begin = tf.concat([[0], first, [0]], 0)
            cut_out = tf.slice(tensor, begin, tf.concat([[batch], last - first, [channels]], 0))
            return tf.ensure_shape(cut_out, [batch, None, None, channels])

        def share(view: int, name: str) -> tf.Tensor:
            """What part of the layer's positions lies in the core."""
            first, last = box(view, name, extents[view, name])
            rows, columns = whole(view, name, *extents[view, name])
            return tf.cast(tf.reduce_prod(last - first), tf.float32) / (rows * columns)

        def counted(part: Objective) -> tf.Tensor:
            """What part of a leaf's positions lies in the core."""
            others = [operand for operand in part.operands if isinstance(operand, Other)]
            if part.layers:
                return share(0, part.layers[0])
            if others:
                return share(answers[id(others[0])], others[0].layer)
            return share_of_image(core)

        def weighed(part: Objective) -> Objective:
            """The objective with each mean over the core counted by what it is of the whole."""
            if part.tree is None:
                return replace(part, evaluate=lambda a, given: counted(part) * part.value(a, given))
            kind, *sides = part.tree
            factor = [kind == "product" and is_number(side) for side in sides]
            if all(factor):
                factor = [True, False]
            return combine(
                kind, *(s if f else weighed(s) for s, f in zip(sides, factor, strict=True))
            )

        def local(operand: Position, position: tf.Tensor) -> tf.Tensor:
            """The position counted from the core's corner; without weight outside of it."""
            first, last = box(0, operand.layer, extents[0, operand.layer])
            starts = [
                core[axis, 0] * stride.denominator // stride.numerator
                for axis, stride in enumerate(steps[0, operand.layer])
            ]
            extent = tf.cast(last - first, tf.float32)
            at = position[:, :2] - tf.cast(tf.stack(starts) + first, tf.float32)
            here = tf.reduce_all((at >= 0) & (at < extent), 1)
            weight = tf.where(here, position[:, 2] / share(0, operand.layer), 0.0)
            at = tf.clip_by_value(at, 0.0, extent - 1)
            return tf.concat([at, weight[:, None]], 1)

        def handed() -> list[tf.Tensor]:
            return [
                local(operand, tensor) if isinstance(operand, Position) else tensor
                for operand, tensor in zip(asking.objective.operands, operands, strict=True)
            ]

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(enter)
            counting = replace(asking, objective=weighed(asking.objective))
            values = counting.values(enter, None, weights, handed, shapes, cut)
        gradient = tape.gradient(values, enter)
        if gradient is None:
            raise no_gradient(objective)
        return values, gradient

    def share_of_image(core: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.reduce_prod(core[:, 2] - core[:, 1]), tf.float32) / (size[0] * size[1])

    @tf.function(autograph=False, jit_compile=False)
    def pull(
        state: Any, slots: Any, base: tf.Tensor, inside: tf.Tensor, operands: Any,
        rates: tf.Tensor, number: tf.Tensor, draws: tf.Tensor, slope: tf.Tensor,
    ) -> Any:  # fmt: skip
        """Take the gradient of what the networks saw back to the state, and step."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(state)
            image = shown(recipe, state, base, inside)
            total = tf.reduce_sum(
                enter_image(image, draws, recipe.transforms, rule) * slope, [1, 2, 3]
            )
            penalty = tf.zeros_like(rates)
            if on_image is not None:
                kinds = [isinstance(operand, Start) for operand in on_image.operands]
                handed = [
                    [item[None] if is_start else item for item in tf.unstack(tensor)]
                    for is_start, tensor in zip(kinds, operands, strict=True)
                ]
                penalty = tf.stack(
                    [
                        on_image.value({IMAGE: one[None]}, [items[k] for items in handed])
                        for k, one in enumerate(tf.unstack(image))
                    ]
                )
            total += penalty
        gradients = tape.gradient(total, state)
        return *climbed(recipe, state, slots, gradients, base, inside, rates, number), penalty

    def run(
        state: Any, slots: Any, base: tf.Tensor, inside: tf.Tensor, weights: Weights,
        operands: Sequence[tf.Tensor], rates: tf.Tensor, number: tf.Tensor, draws: tf.Tensor,
    ) -> Any:  # fmt: skip
        image, enter, entered = view(state, base, inside, list(operands), draws)
        slope, values = np.zeros(enter.shape, np.float32), 0.0
        by_operand = dict(zip(map(id, objective.operands), entered, strict=True))
        pixels = enter.numpy()
        for down in cuts[0] if seen is not None else ():
            for right in cuts[1]:
                spot = (
                    slice(None),
                    slice(down[0], down[0] + lengths[0]),
                    slice(right[0], right[0] + lengths[1]),
                )
                given = [
                    tensor[spot] if isinstance(operand, (Region, Picture)) else tensor
                    for operand, tensor in _tensors(asking.objective, by_operand, len(pixels))
                ]
                core = tf.constant([[w[0], w[1] - w[0], w[2] - w[0]] for w in (down, right)])
                value, gradient = tile_gradient(tf.constant(pixels[spot]), weights, given, core)
                slope[spot] += gradient.numpy()
                values += value
        given = (
            [] if on_image is None else [t for _, t in _tensors(on_image, by_operand, len(pixels))]
        )
        following, slots, slopes, penalty = pull(
            state, slots, base, inside, given, rates, number, draws, tf.constant(slope)
        )
        return following, slots, image, values + penalty, slopes

    state, slots, base, inside, _, operands, rates, number, draws = signature(
        sight, recipe, shape, weights
    )
    if seen is not None:  # made now, so that the shapes of the layers are known
        tile = (shape[0], *lengths, shape[3])
        given = [
            tf.TensorSpec(operand_spec(o, tile), tf.float32) for o in asking.objective.operands
        ]
        tile_gradient = tile_gradient.get_concrete_function(
            tf.TensorSpec(tile, tf.float32), specs(weights), given, tf.TensorSpec((2, 3), tf.int32)
        )
    view = view.get_concrete_function(state, base, inside, operands, draws)
    on_pixels = (
        []
        if on_image is None
        else [tf.TensorSpec(operand_spec(o, shape), tf.float32) for o in on_image.operands]
    )
    entering = tf.TensorSpec((shape[0], *size, shape[3]), tf.float32)
    pull = pull.get_concrete_function(
        state, slots, base, inside, on_pixels, rates, number, draws, entering
    )
    return Step(run, {n: (1, *whole(0, n, *s[1:3]), s[3]) for n, s in shapes.items()})


def _reach(sight: Sight) -> tuple[list[tuple[int, int]], dict[tuple[int, str], Any]]:
    """Return receptive fields and strides of the layers asked.

    Raises
    ------
    ConfigError
        When a layer sees the whole image, or the objective does not add up over tiles.
    """
    if not sight.objective.additive:
        raise ConfigError(
            f"The objective {sight.objective.label!r} cannot be dreamt in tiles: it is no sum of "
            "means over a layer's positions. Dream it without tile, or split the objective."
        )
    fields, steps = [], {}
    for number, view in enumerate(sight.views):
        field, stride = receptive_fields(view.part), strides(view.part)
        for name, call in find_layers(view.part, view.names).items():
            seen, step = field[call.outputs[0]], stride[call.outputs[0]]
            if seen is None or step is None:
                raise ConfigError(
                    f"Layer {name!r} cannot be dreamt in tiles: it sees the whole image at once "
                    "(global pooling, attention, normalisation over space or an unknown layer "
                    "lies before it). Dream it without tile, or choose an earlier layer."
                )
            fields.append(seen)
            steps[number, name] = step
    return fields or [(1, 1)], steps


def cut_axis(
    length: int, tile: int, overlap: int | None, unit: int, field: int
) -> tuple[int, list[Window]]:
    """Return the length of the tiles along an axis, and where each and its core lie.

    Tiles begin at multiples of `unit`, the network's stride. The overlap is the receptive field
    and two strides by default, at most half a tile.

    Raises
    ------
    ConfigError
        When a tile is too small for the network.

    Examples
    --------
    >>> cut_axis(100, 48, 16, 4, 9)
    (48, [(0, 0, 40), (32, 40, 60), (52, 60, 100)])
    """
    if length <= tile:
        return length, [(0, 0, length)]
    kept = tile // unit * unit + length % unit  # as ragged as the image, for padding to agree
    if kept < 4 * unit:
        raise ConfigError(
            f"A tile of {tile} pixels is too small for a network of stride {unit}; expected at "
            f"least {5 * unit}."
        )
    if overlap is None:
        overlap = min(field + 2 * unit, kept // 2)
    half = -(-overlap // (2 * unit)) * unit
    step = (kept - 2 * half) // unit * unit
    if step < unit:
        raise ConfigError(
            f"Tiles of {tile} pixels cannot overlap by {overlap}; expected less than the tile "
            f"by {2 * unit}."
        )
    starts = [*range(0, length - kept, step), length - kept]
    edges = [0, *(start + half for start in starts[1:]), length]
    # The last tile may overlap more: its core begins where that of the one before must end.
    return kept, [(s, a, b) for s, a, b in zip(starts, edges, edges[1:], strict=False)]


def split(objective: Objective) -> tuple[Objective | None, Objective | None]:
    """Return the parts of an objective that read the networks and the image alone, or None."""
    asks = any(isinstance(operand, Other) for operand in objective.operands)
    if set(objective.layers) == {IMAGE} and not asks:
        return None, objective
    if objective.tree is None or IMAGE not in objective.layers:
        return objective, None
    kind, left, right = objective.tree
    if kind == "product":
        factor, rest = (left, right) if is_number(left) else (right, left)
        parts = [part and combine("product", factor, part) for part in split(rest)]
    else:
        parts = []
        for a, b in zip(split(left), split(right), strict=True):
            if a is not None and b is not None:
                parts.append(combine(kind, a, b))
            elif b is not None and kind == "difference":
                parts.append(-b)
            else:
                parts.append(a if a is not None else b)
    return parts[0], parts[1]


def _asked(sight: Sight, part: Objective) -> tuple[int | None, ...]:
    known = dict(zip(map(id, sight.objective.operands), sight.asked, strict=True))
    return tuple(known.get(id(operand)) for operand in part.operands)


def _tensors(
    part: Objective, known: dict[int, tf.Tensor], batch: int
) -> list[tuple[Any, tf.Tensor]]:
    """Return the operands of a part of an objective, and their tensors for the batch."""
    found = []
    for operand in part.operands:
        tensor = known.get(id(operand))
        if tensor is None:  # the sign that `split` gave
            assert isinstance(operand, Constant)
            tensor = tf.repeat(operand.tensor()[None], batch, 0)
        found.append((operand, tensor))
    return found
