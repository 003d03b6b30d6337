"""Channels-first networks run channels-last: the same weights in layers made again.

TensorFlow has no channels-first convolution for processors, and images are (depth, width,
channels) here. Kernels are laid out alike in both, so only `data_format` and axes differ.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from medream.dream.receptive_field import is_pointwise
from medream.errors import ModelError

if TYPE_CHECKING:
    from medream.dream.graph import Call, Network

_LAST = {0: 0, 1: 3, 2: 1, 3: 2}  # where (batch, channels, depth, width) stand channels-last
_WITH_AXIS = (
    keras.layers.BatchNormalization, keras.layers.Concatenate, keras.layers.GroupNormalization,
    keras.layers.LayerNormalization, keras.layers.Normalization, keras.layers.Softmax,
    keras.layers.UnitNormalization,
)  # fmt: skip
# Pointwise in one order of the axes only.
_ALONG_LAST = (keras.layers.Dense, keras.layers.PReLU)


def is_channels_first(network: Network) -> bool:
    """Whether a layer of the network takes its channels first."""
    formats = [getattr(call.operation, "data_format", None) for call in network.calls]
    return "channels_first" in formats


def channels_last(network: Network) -> Network:
    """Return a channels-first network as a channels-last one of the same weights and names.

    Raises
    ------
    ModelError
        When a layer hangs on the order of the axes in a way that is not known.
    """
    shapes = {n: c.output_shape for c in network.calls for n in c.outputs}
    again: dict[int, Any] = {}
    calls = []
    for call in network.calls:
        before = [shapes[number] for number in call.inputs]
        key = id(call.operation)
        if key not in again:
            again[key] = _turned(network.name, call, before)
        calls.append(replace(call, operation=again[key], output_shape=_last(call.output_shape)))
    first = network.calls[0].output_shape
    return replace(network, calls=tuple(calls), size=(first[2], first[3]), channels=first[1])


def _last(shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape


def _turned(model: str, call: Call, before: list[tuple[int | None, ...]]) -> Any:
    """Return the layer of a call as it is channels-last; the layer itself where nothing differs."""
    layer = call.operation
    if all(len(shape) != 4 for shape in before):  # after global pooling, say
        return layer
    if not isinstance(layer, keras.layers.Layer):
        given = [a for a in tf.nest.flatten([call.arguments.args, call.arguments.kwargs])
                 if not isinstance(a, keras.KerasTensor)]  # fmt: skip
        if is_pointwise(layer) and all(np.ndim(each) == 0 for each in given):
            return layer
        raise _refusal(model, call)
    settings = layer.get_config()
    if settings.get("data_format") == "channels_first":
        settings["data_format"] = "channels_last"
    elif isinstance(layer, _WITH_AXIS):
        axis = settings["axis"]
        several = isinstance(axis, (list, tuple))
        turned = [_LAST[k % 4] for k in (axis if several else [axis])]
        settings["axis"] = turned if several else turned[0]
    elif (
        not is_pointwise(layer)
        or isinstance(layer, _ALONG_LAST)
        or np.ndim(settings.get("scale", 0)) > 0
        or settings.get("noise_shape") is not None
    ):
        raise _refusal(model, call)
    else:
        return layer
    try:
        copy = type(layer).from_config(settings)
        shapes = [_last(shape) for shape in before]
        copy.build(shapes[0] if len(shapes) == 1 else shapes)
        copy.set_weights(layer.get_weights())
    except Exception as error:
        raise _refusal(model, call) from error
    return copy


def _refusal(model: str, call: Call) -> ModelError:
    return ModelError(
        f"The model {model!r} is channels-first, and its layer {call.name!r} "
        f"({type(call.operation).__name__}) cannot be turned to run channels-last, as dreams do. "
        "Choose a layer before it in a model that ends there, or rebuild the model with "
        "data_format='channels_last'."
    )
