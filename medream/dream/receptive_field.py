"""Stride and theoretical receptive field of every tensor of a network.

Both axes are followed apart, through all paths. For the receptive field each tensor holds,
for every position on a long line of pixels, the first and the last pixel it can see; a layer
maps positions to positions, so borders, phases of upsampling and uneven padding come out
exactly (cf. Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural
Networks", Distill 2019, https://doi.org/10.23915/distill.00021).
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

if TYPE_CHECKING:
    from medream.dream.graph import Call, Network

Stride = tuple[Fraction, Fraction]
_LONGEST_LINE = 1 << 14

layers = keras.layers
_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
_POOLINGS = (layers.MaxPooling2D, layers.AveragePooling2D)
_POINTWISE = (
    layers.Activation, layers.ActivityRegularization, layers.Add, layers.AlphaDropout,
    layers.Average, layers.Dense, layers.Dropout, layers.ELU, layers.GaussianDropout,
    layers.GaussianNoise, layers.Identity, layers.InputLayer, layers.LeakyReLU, layers.Maximum,
    layers.Minimum, layers.Multiply, layers.Normalization, layers.PReLU, layers.ReLU,
    layers.Rescaling, layers.SpatialDropout2D, layers.Subtract,
)  # fmt: skip
_ALONG_CHANNELS = (
    layers.BatchNormalization, layers.Concatenate, layers.LayerNormalization, layers.Softmax,
    layers.UnitNormalization,
)  # fmt: skip
# These may mix positions, but leave every one in its place.
_IN_PLACE = (
    layers.BatchNormalization, layers.GroupNormalization, layers.LayerNormalization, layers.Softmax,
    layers.UnitNormalization,
)  # fmt: skip
_POINTWISE_OPERATIONS = {
    "Absolute", "Add", "Clip", "Divide", "Elu", "Exp", "Gelu", "HardSigmoid", "HardSwish",
    "LeakyRelu", "Log", "Maximum", "Minimum", "Multiply", "Negative", "Power", "Relu", "Relu6",
    "Selu", "Sigmoid", "Silu", "Softplus", "Sqrt", "Square", "Subtract", "Tanh", "TrueDivide",
}  # fmt: skip


def is_pointwise(operation: Any) -> bool:
    """Whether the operation leaves every pixel on its own."""
    if isinstance(operation, _ALONG_CHANNELS):
        axis = operation.axis
        return {axis} <= {-1, 3} if isinstance(axis, int) else set(axis) <= {-1, 3}
    if isinstance(operation, layers.Layer):
        return isinstance(operation, _POINTWISE)
    return type(operation).__name__ in _POINTWISE_OPERATIONS


def _factor(operation: Any) -> Stride | None:
    """Return by how much the operation multiplies the stride, None when it is unknown."""
    if isinstance(operation, (*_CONVOLUTIONS, *_POOLINGS)):
        down, right = operation.strides
        return Fraction(down), Fraction(right)
    if isinstance(operation, layers.Conv2DTranspose):
        down, right = operation.strides
        return Fraction(1, down), Fraction(1, right)
    if isinstance(operation, layers.UpSampling2D):
        down, right = operation.size
        return Fraction(1, down), Fraction(1, right)
    kept = (*_IN_PLACE, layers.ZeroPadding2D, layers.Cropping2D)
    if is_pointwise(operation) or isinstance(operation, kept):
        return Fraction(1), Fraction(1)
    return None


def may_sample_up(call: Call) -> bool:
    """Whether the call enlarges the image, or may do so because its kind is unknown."""
    factor = _factor(call.operation)
    if factor is None:
        return len(call.output_shape) == 4
    return min(factor) < 1


def strides(network: Network) -> dict[int, Stride | None]:
    """Return the (depth, width) distance in image pixels between neighbours of each tensor.

    Below 1 after upsampling beyond the image; None behind layers that mix all positions.
    """
    found: dict[int, Stride | None] = {0: (Fraction(1), Fraction(1))}
    for call in network.calls:
        if call.arguments is None:
            continue
        factor = _factor(call.operation)
        before = [found[number] for number in call.inputs]
        after = None
        if factor and before and None not in before and len(call.output_shape) == 4:
            first = before[0]
            assert first is not None
            after = (first[0] * factor[0], first[1] * factor[1])
        found.update(dict.fromkeys(call.outputs, after))
    return found


def receptive_fields(network: Network) -> dict[int, tuple[int, int] | None]:
    """Return the (depth, width) in pixels that each tensor can see at most.

    None means the whole image: somewhere before it all positions are mixed (Flatten, global
    pooling, normalisation over space, attention), or a layer is of an unknown kind.
    """
    both = [_along(network, axis) for axis in (0, 1)]
    found: dict[int, tuple[int, int] | None] = {}
    for number in both[0]:
        depth, width = both[0][number], both[1].get(number)
        found[number] = None if depth is None or width is None else (depth, width)
    return found


def _along(network: Network, axis: int) -> dict[int, int | None]:
    known = [pair[axis] for pair in strides(network).values() if pair is not None]
    total = math.lcm(*(math.ceil(stride) for stride in known))
    line = 64 * total
    while True:
        fields = _fields_on_line(network, axis, line)
        # Far from both ends the line stands for an image without borders.
        widest = max((width for width in fields.values() if width is not None), default=1)
        if 4 * (widest + total) <= line:
            return fields
        if line >= _LONGEST_LINE * total:
            return {n: w if w and 4 * (w + total) <= line else None for n, w in fields.items()}
        line *= 4


def _fields_on_line(network: Network, axis: int, line: int) -> dict[int, int | None]:
    pixel = np.arange(line)
    seen: dict[int, tuple[np.ndarray, np.ndarray] | None] = {0: (pixel, pixel)}
    for call in network.calls:
        if call.arguments is None:
            continue
        after = _after(call, axis, [seen[number] for number in call.inputs])
        seen.update(dict.fromkeys(call.outputs, after))
    return {
        number: None if span is None else int((span[1] - span[0]).max()) + 1
        for number, span in seen.items()
    }


def _after(
    call: Call, axis: int, before: list[tuple[np.ndarray, np.ndarray] | None]
) -> tuple[np.ndarray, np.ndarray] | None:
    spans = [span for span in before if span is not None]
    if not spans or len(spans) < len(before) or len(call.output_shape) != 4:
        return None
    length = len(spans[0][0])
    if any(len(first) != length for first, _ in spans):
        return None
    first = np.min([span[0] for span in spans], axis=0)
    last = np.max([span[1] for span in spans], axis=0)
    if is_pointwise(call.operation):
        return first, last
    taps = _taps(call.operation, axis, length)
    if taps is None or not len(taps[0]):
        return None
    start, stop = (np.clip(tap, 0, length - 1) for tap in taps)
    return first[start], last[stop]


def _taps(operation: Any, axis: int, length: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return for every output position the first and last input position it reads."""
    if isinstance(operation, _CONVOLUTIONS):
        reach = (operation.kernel_size[axis] - 1) * operation.dilation_rate[axis] + 1
        return _window(length, reach, operation.strides[axis], operation.padding)
    if isinstance(operation, _POOLINGS):
        reach, stride = operation.pool_size[axis], operation.strides[axis]
        return _window(length, reach, stride, operation.padding)
    if isinstance(operation, layers.Conv2DTranspose) and operation.output_padding is None:
        stride = operation.strides[axis]
        reach = (operation.kernel_size[axis] - 1) * operation.dilation_rate[axis] + 1
        same = operation.padding == "same"
        before = max(reach - stride, 0) // 2 if same else 0
        out = np.arange(length * stride + (0 if same else max(reach - stride, 0)))
        return -((reach - 1 - before - out) // stride), (out + before) // stride
    if isinstance(operation, layers.UpSampling2D):
        size = operation.size[axis]
        out = np.arange(length * size)
        if operation.interpolation == "nearest":
            return out // size, out // size
        beyond = {"bilinear": 0, "bicubic": 1}.get(operation.interpolation)
        if beyond is None:
            return None
        # Position of the output's centre between the input's centres, in 1 / (2 size).
        centre = 2 * out + 1 - size
        start, between = np.divmod(centre, 2 * size)
        exact = between == 0
        return np.where(exact, start, start - beyond), np.where(exact, start, start + 1 + beyond)
    if isinstance(operation, layers.ZeroPadding2D):
        before, after = operation.padding[axis]
        out = np.arange(length + before + after) - before
        return out, out
    if isinstance(operation, layers.Cropping2D):
        before, after = operation.cropping[axis]
        out = np.arange(before, length - after)
        return out, out
    return None


def _window(length: int, reach: int, stride: int, padding: str) -> tuple[np.ndarray, np.ndarray]:
    if padding == "same":
        count = -(-length // stride)
        before = max((count - 1) * stride + reach - length, 0) // 2
    else:
        count, before = max((length - reach) // stride + 1, 0), 0
    start = np.arange(count) * stride - before
    return start, start + reach - 1
