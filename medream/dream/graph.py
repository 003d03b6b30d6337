"""A Keras model as a flat list of calls, of which a dream runs only those it needs.

The calls are replayed on tensors with the weights handed in from outside
(`keras.StatelessScope`). So the user's model is never touched, a model that was built for
one image size runs on any other, and the control shares the compiled dream: it is the same
calls with other weights.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import tensorflow as tf

from medream.dream.channels import channels_last, is_channels_first
from medream.dream.receptive_field import may_sample_up, strides
from medream.errors import LayerError, ModelError, nearest

IMAGE = "image"  # the pseudo-layer of objectives on the pixels themselves


@dataclass(frozen=True)
class Call:
    """One call of a layer (or of a keras.ops operation) in the model's graph.

    `inputs` and `outputs` number the tensors of the flat graph; 0 is the image. The shape has
    the batch axis and is what Keras inferred for the model's own input.
    """

    name: str
    operation: Any
    arguments: Any
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    output_shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Network:
    """The calls of a model in the order in which they can be run.

    `size` is the (depth, width) that the model was built for, None where any will do.
    """

    name: str
    calls: tuple[Call, ...]
    size: tuple[int | None, int | None]
    channels: int | None
    outputs: tuple[int, ...]

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """Every layer once, shared layers too."""
        found = {id(c.operation): c.operation for c in self.calls}
        return [op for op in found.values() if isinstance(op, keras.layers.Layer)]

    @property
    def variables(self) -> list[keras.Variable]:
        """The weights, in the order of the calls."""
        return [variable for layer in self.layers for variable in layer.weights]


def open_network(model: keras.Model) -> Network:
    """Return the flat graph of a Keras model, channels-last; nested models are unfolded.

    A layer inside a nested model keeps its name; if that is taken it is called
    "outer.inner". The second call of a shared layer is called "name@2".

    Raises
    ------
    ModelError
        When the model has no graph (subclassed, not built), several inputs, or no image input;
        when it is channels-first and has a layer that cannot be turned.
    """
    if not isinstance(model, keras.Model):
        raise ModelError(
            f"A dream needs a Keras model, got {type(model).__name__}. Open the file with "
            "medream.load_model first."
        )
    if keras.config.backend() != "tensorflow":
        raise ModelError(
            f"Keras runs on {keras.config.backend()!r} here; dreams need TensorFlow. Unset "
            "KERAS_BACKEND and start again."
        )
    inputs = _ends(model)[0]
    if not inputs:
        raise ModelError(
            f"The model {model.name!r} ({type(model).__name__}) has no graph of layers: it is "
            "not built yet, or written as a subclass with its own call(). Give it an input "
            "shape, or rebuild it with the functional API: "
            "keras.Model(inputs, outputs)."
        )
    if len(inputs) > 1:
        names = ", ".join(repr(tensor.name) for tensor in inputs)
        raise ModelError(
            f"The model {model.name!r} has {len(inputs)} inputs ({names}); a dream changes one "
            "image. Make a model of one input, with the others held constant."
        )
    shape = tuple(inputs[0].shape)
    if len(shape) != 4:
        raise ModelError(
            f"The model {model.name!r} takes input of shape {shape}; a dream needs an image "
            "input (batch, depth, width, channels)."
        )
    calls: list[Call] = []
    taken: set[str] = set()
    counter = iter(range(1, 1 << 30))

    def unfold(model: keras.Model, numbers: dict[int, int], outer: str) -> list[int]:
        """Append the model's calls; `numbers` maps its symbolic tensors to flat numbers."""
        for node in _nodes(*_ends(model)):
            known = [numbers[id(t)] for t in node.arguments.keras_tensors]
            operation = node.operation
            if isinstance(operation, keras.layers.InputLayer) and not calls:
                name = _free(operation.name, "", taken)
                calls.append(Call(name, operation, None, (), (0,), shape))
            if node.is_input:
                continue
            inner = _ends(operation)[0] if isinstance(operation, keras.Model) else None
            if inner:
                bound = {id(t): n for t, n in zip(inner, known, strict=True)}
                numbered = unfold(operation, bound, operation.name)
            else:
                numbered = [next(counter) for _ in node.outputs]
                name = _free(operation.name, outer, taken)
                shape_out = tuple(node.outputs[0].shape)
                call = Call(
                    name, operation, node.arguments, tuple(known), tuple(numbered), shape_out
                )
                calls.append(call)
            numbers.update({id(t): n for t, n in zip(node.outputs, numbered, strict=True)})
        return [numbers[id(t)] for t in _ends(model)[1]]

    ends = unfold(model, {id(inputs[0]): 0}, "")
    network = Network(model.name, tuple(calls), shape[1:3], shape[3], tuple(ends))
    return channels_last(network) if is_channels_first(network) else network


def _ends(model: keras.Model) -> tuple[list[Any], list[Any]]:
    """Return the symbolic inputs and outputs, empty when the model has no graph."""
    try:
        return list(model.inputs), list(model.outputs)
    except (AttributeError, ValueError, TypeError):
        return [], []


def _nodes(inputs: list[Any], outputs: list[Any]) -> list[Any]:
    # Keras has no public way to walk its graph; this is the one place that looks inside.
    by_depth = keras.Function(inputs, outputs)._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def _free(name: str, outer: str, taken: set[str]) -> str:
    if name in taken and outer:
        name = f"{outer}.{name}"
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}@{count}"
    taken.add(candidate)
    return candidate


def find_layers(network: Network, names: Iterable[str]) -> dict[str, Call]:
    """Return the calls of the named layers.

    Raises
    ------
    LayerError
        When the network has no such layer; the nearest names are told.
    """
    calls = {call.name: call for call in network.calls}
    found = {}
    for name in names:
        if name not in calls:
            raise LayerError(
                f"The model {network.name!r} has no layer {name!r}. {nearest(name, calls)} "
                "'medream layers' lists them all."
            )
        if len(calls[name].outputs) != 1:
            raise LayerError(
                f"Layer {name!r} of the model {network.name!r} gives {len(calls[name].outputs)} "
                "tensors; a dream needs a layer of one. Choose the layer before or after it."
            )
        found[name] = calls[name]
    return found


def needed_part(network: Network, names: Iterable[str]) -> Network:
    """Return the part of the network that the named layers depend on.

    Raises
    ------
    LayerError
        When the network has no such layer.
    """
    targets = find_layers(network, names)
    wanted = {number for call in targets.values() for number in call.outputs}
    kept = []
    for call in reversed(network.calls):
        if wanted.intersection(call.outputs):
            kept.append(call)
            wanted.update(call.inputs)
    return replace(network, calls=tuple(reversed(kept)))


def size_rule(network: Network) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return ((multiple, multiple), (least, least)) that a (depth, width) must keep to.

    An image must be a multiple of the total stride when the network samples up again: the
    two branches of a skip connection meet only then. It must be no smaller than the total
    stride, or nothing is left of it at the bottom.
    """
    known = [pair for pair in strides(network).values() if pair is not None]
    total = tuple(
        math.lcm(*(math.ceil(pair[axis]) for pair in known)) if known else 1 for axis in (0, 1)
    )
    climbs = any(may_sample_up(call) for call in network.calls if call.arguments is not None)
    return (total if climbs else (1, 1)), total  # type: ignore[return-value]


def run(
    network: Network,
    image: tf.Tensor,
    names: Iterable[str],
    replaced: Mapping[int, tuple[Callable[..., tf.Tensor], Sequence[tf.Tensor]]] | None = None,
    known: Mapping[int, tf.Tensor] | None = None,
) -> dict[str, tf.Tensor]:
    """Run the calls on images (batch, depth, width, channels); return the named activations.

    `replaced` has, by the identity of a layer, what is run in its place and its tensors; `known`
    are tensors, by their numbers, that calls left out of the network would have given.

    Raises
    ------
    ModelError
        When a layer cannot take this size; the message names it and the size that it needs.
    """
    values: dict[int, Any] = {0: image, **(known or {})}
    for call in network.calls:
        if call.arguments is None:
            continue
        try:
            if replaced is not None and id(call.operation) in replaced:
                operation, tensors = replaced[id(call.operation)]
                outputs = [operation(values[call.inputs[0]], tensors)]
            else:
                outputs = tf.nest.flatten(_called(call, values))
        except Exception as error:
            raise _does_not_fit(network, call, image, f"{error}".strip().split("\n")[0]) from error
        if any(0 in output.shape for output in outputs):
            raise _does_not_fit(network, call, image, "nothing of the image is left there")
        values.update(zip(call.outputs, outputs, strict=True))
    targets = find_layers(network, names)
    return {name: values[call.outputs[0]] for name, call in targets.items()}


def _called(call: Call, values: Mapping[int, tf.Tensor]) -> Any:
    symbols = {
        id(t): values[n] for t, n in zip(call.arguments.keras_tensors, call.inputs, strict=True)
    }
    args, kwargs = call.arguments.fill_in(symbols)
    if "training" in inspect.signature(call.operation.call).parameters:
        kwargs = {**kwargs, "training": False}
    return call.operation(*args, **kwargs)


def _does_not_fit(network: Network, call: Call, image: tf.Tensor, reason: str) -> ModelError:
    depth, width = image.shape[1:3]
    built = " x ".join(str(n or "any") for n in network.size)
    return ModelError(
        f"Layer {call.name!r} ({type(call.operation).__name__}) of the model {network.name!r} "
        f"cannot run on an image of {depth} x {width} pixels: {reason}. The model was built for "
        f"{built} pixels: give an image of that size with octaves=None (--octaves none), or "
        "choose a layer before this one."
    )


def in_precision(network: Network, precision: str, keep: Container[int] = frozenset()) -> Network:
    """Return the network with its arithmetic in "float32" or "bfloat16".

    Layers that already compute in it, and those whose identity is in `keep`, stay as they are;
    the others are made again from their settings. Their weights are still those of `network`,
    handed in by the caller.

    Raises
    ------
    ModelError
        When a layer cannot be made again.
    """
    policy = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]
    again: dict[int, Any] = {}
    for layer in network.layers:
        if id(layer) in keep or isinstance(layer, keras.layers.InputLayer):
            continue
        if layer.compute_dtype == precision:
            continue
        try:
            copy = type(layer).from_config({**layer.get_config(), "dtype": policy})
            if not copy.built and layer.built:
                copy.build_from_config(layer.get_build_config() or {})
        except Exception as error:
            raise _no_precision(layer, precision, str(error)) from error
        if [v.shape for v in copy.weights] != [v.shape for v in layer.weights]:
            raise _no_precision(layer, precision, "its weights come out in other shapes")
        again[id(layer)] = copy
    calls = tuple(
        replace(c, operation=again.get(id(c.operation), c.operation)) for c in network.calls
    )
    return replace(network, calls=calls)


def _no_precision(layer: Any, precision: str, reason: str) -> ModelError:
    return ModelError(
        f"Layer {layer.name!r} ({type(layer).__name__}) cannot be made again to compute in "
        f"{precision}: {reason}. Give the precision that the model was made in."
    )
