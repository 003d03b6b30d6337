"""Faster equals of the layers that U-Nets are made of, for dreaming on a processor.

In a dream the weights are constants: only the image's gradient is wanted. So the gradient of a
convolution is itself a convolution, with the kernel flipped, for which TensorFlow has better
code than for its own gradient; behind a nearest upsampling it is a strided convolution; batch
normalisation is one multiplication and one addition. Each pattern below turns a layer's weights
once into what its `apply` takes at every step. A layer that fits no pattern runs as Keras runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

if TYPE_CHECKING:
    from medream.dream.graph import Call, Network

Tensors = Sequence[tf.Tensor]


@dataclass(frozen=True)
class Lowered:
    """`prepare` turns a layer's weights into tensors, `apply` runs the layer with them."""

    prepare: Callable[[Tensors], list[tf.Tensor]]
    apply: Callable[[tf.Tensor, Tensors], tf.Tensor]


def lower(network: Network, names: Sequence[str], precision: str) -> dict[int, Lowered]:
    """Return the faster equals, by the identity of the layer, computing in `precision`.

    Parameters
    ----------
    network : Network
        The part that is run.
    names : sequence of str
        Layers whose activations are wanted.
    """
    dtype = tf.as_dtype(precision)
    found = {}
    for layer in network.layers:
        for pattern in (_convolution, _normalisation, _upsampling):
            if (equal := pattern(layer, dtype)) is not None:
                found[id(layer)] = equal
    for upsampling, convolution in _enlarging(network, names):
        both = _convolution(convolution, dtype, enlarged=upsampling.size)
        if both is not None:
            found[id(upsampling)] = Lowered(lambda weights: [], lambda x, tensors: x)
            found[id(convolution)] = both
    return found


def _enlarging(network: Network, names: Sequence[str]) -> list[tuple[Any, Any]]:
    """Return the nearest upsamplings that nothing reads but one convolution, and it."""
    readers: dict[int, list[Call]] = {}
    for call in network.calls:
        for number in call.inputs:
            readers.setdefault(number, []).append(call)
    runs = [id(call.operation) for call in network.calls]
    pairs = []
    for call in network.calls:
        after = readers.get(call.outputs[0], [])
        if (
            _is_nearest(call.operation)
            and call.name not in names
            and len(after) == 1
            and type(after[0].operation) is keras.layers.Conv2D
            and after[0].operation.dilation_rate == (1, 1)
            and runs.count(id(call.operation)) == runs.count(id(after[0].operation)) == 1
        ):
            pairs.append((call.operation, after[0].operation))
    return pairs


def _convolution(
    layer: Any, dtype: tf.DType, enlarged: tuple[int, int] | None = None
) -> Lowered | None:
    """Convolution of stride 1, behind a nearest upsampling where `enlarged`.

    The gradient is the convolution with the flipped kernel. That of the upsampling sums it
    over blocks: a kernel as much larger, in strides of a block.
    """
    if (
        type(layer) is not keras.layers.Conv2D
        or layer.strides != (1, 1)
        or layer.groups != 1
        or layer.padding not in ("same", "valid")
        or len(layer.weights) != 1 + layer.use_bias
    ):
        return None
    reach = [(k - 1) * d for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
    before = [total // 2 if layer.padding == "same" else 0 for total in reach]
    after = [
        total - first if layer.padding == "same" else 0
        for total, first in zip(reach, before, strict=True)
    ]
    forth = _padding(before, after)
    back = _padding(
        [total - first for total, first in zip(reach, before, strict=True)],
        [total - last for total, last in zip(reach, after, strict=True)],
    )
    relu = layer.activation is keras.activations.relu
    dilation = list(layer.dilation_rate)

    def prepare(weights: Tensors) -> list[tf.Tensor]:
        kernel = tf.cast(weights[0], dtype)
        flipped = tf.transpose(weights[0][::-1, ::-1], (0, 1, 3, 2))
        if enlarged is not None:
            down, right = enlarged
            flipped = tf.add_n(
                [
                    tf.pad(flipped, [[y, down - 1 - y], [x, right - 1 - x], [0, 0], [0, 0]])
                    for y in range(down)
                    for x in range(right)
                ]
            )
        flipped = tf.cast(flipped, dtype)
        return [kernel, flipped, *(tf.cast(bias, dtype) for bias in weights[1:])]

    def apply(x: tf.Tensor, tensors: Tensors) -> tf.Tensor:
        kernel, flipped, *bias = tensors

        @tf.custom_gradient
        def convolve(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            x = x if enlarged is None else _enlarge(x, *enlarged)
            y = tf.nn.conv2d(x, kernel, 1, forth, dilations=dilation)
            y = tf.nn.bias_add(y, bias[0]) if bias else y
            y = tf.nn.relu(y) if relu else y

            def gradient(dy: tf.Tensor) -> tf.Tensor:
                dy = tf.raw_ops.ReluGrad(gradients=dy, features=y) if relu else dy
                return tf.nn.conv2d(dy, flipped, enlarged or 1, back, dilations=dilation)

            return y, gradient

        y = convolve(tf.cast(x, dtype))
        return y if relu else layer.activation(y)

    return Lowered(prepare, apply)


def _padding(before: list[int], after: list[int]) -> Any:
    if before == after == [0, 0]:
        return "VALID"
    pairs = [[first, last] for first, last in zip(before, after, strict=True)]
    return [[0, 0], *pairs, [0, 0]]


def _normalisation(layer: Any, dtype: tf.DType) -> Lowered | None:
    """Batch normalisation in inference: one factor and one summand for each channel."""
    if type(layer) is not keras.layers.BatchNormalization or layer.axis not in (-1, 3):
        return None

    def prepare(weights: Tensors) -> list[tf.Tensor]:
        rest = [tf.cast(weight, tf.float32) for weight in weights]
        gamma = rest.pop(0) if layer.scale else 1.0
        beta = rest.pop(0) if layer.center else 0.0
        mean, variance = rest
        factor = gamma * tf.math.rsqrt(variance + layer.epsilon)
        return [tf.cast(factor, dtype), tf.cast(beta - mean * factor, dtype)]

    return Lowered(prepare, lambda x, tensors: tf.cast(x, dtype) * tensors[0] + tensors[1])


def _upsampling(layer: Any, dtype: tf.DType) -> Lowered | None:
    """Nearest upsampling: its gradient is the sum over each block."""
    if not _is_nearest(layer):
        return None
    down, right = layer.size

    @tf.custom_gradient
    def enlarge(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        n, depth, width, channels = x.shape

        def gradient(dy: tf.Tensor) -> tf.Tensor:
            return tf.reduce_sum(tf.reshape(dy, [n, depth, down, width, right, channels]), [2, 4])

        return _enlarge(x, down, right), gradient

    return Lowered(lambda weights: [], lambda x, tensors: enlarge(tf.cast(x, dtype)))


def _is_nearest(operation: Any) -> bool:
    return type(operation) is keras.layers.UpSampling2D and operation.interpolation == "nearest"


def _enlarge(x: tf.Tensor, down: int, right: int) -> tf.Tensor:
    n, depth, width, channels = x.shape
    blocks = tf.tile(x[:, :, None, :, None], [1, 1, down, 1, right, 1])
    return tf.reshape(blocks, [n, depth * down, width * right, channels])
