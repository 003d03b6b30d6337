"""Robustness transforms: small random changes of the image before the network sees it.

What excites a layer only at one exact position, angle or noise pattern does not survive them,
so that a dream under transforms shows fewer patterns that no scan could hold. The random draw
(`draw`) is kept apart from the deed (`apply`), which is a fixed, differentiable function of the
image and of the numbers drawn: the numbers can be recorded and a dream replayed. Only what the
network sees is transformed; the dream itself is never moved, so it does not drift.

References
----------
Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017,
https://doi.org/10.23915/distill.00007
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medream.errors import ConfigError, nearest

if TYPE_CHECKING:
    import tensorflow as tf

_MOST_PIXELS = 2**20
_SEEDS = 2**24  # whole numbers below this are exact in float32


@dataclass(frozen=True)
class Transform:
    """One kind of random change, with its amplitude; made by `jitter`, `rotate`, and so on.

    Parameters
    ----------
    kind : {"jitter", "rotate", "scale", "blur", "noise"}
    settings : tuple of numbers
        What the function of that name takes, in its order.

    Raises
    ------
    ConfigError
        When the kind is unknown or a setting is of the wrong type or out of range.

    Examples
    --------
    >>> jitter(8).spec
    {'kind': 'jitter', 'pixels': 8}
    >>> str(scale(0.9, 1.1))
    'scale=0.9:1.1'
    """

    kind: str
    settings: tuple[float, ...]

    def __post_init__(self) -> None:
        kind = _kind(self.kind)
        if not isinstance(self.settings, (tuple, list)) or len(self.settings) != len(kind.names):
            raise ConfigError(
                f"{self.kind} was given {self.settings!r}, expected {' and '.join(kind.names)}: "
                f"{kind.wanted}."
            )
        numbers = tuple(map(_number, self.settings))
        if not all(map(math.isfinite, numbers)) or not kind.check(*numbers):
            given = ", ".join(f"{value!r}" for value in self.settings)
            raise ConfigError(f"{self.kind} was given {given}, expected {kind.wanted}.")
        if self.kind == "jitter":
            numbers = tuple(map(int, numbers))  # 8.0 is 8
        object.__setattr__(self, "settings", numbers)

    @property
    def spec(self) -> dict[str, Any]:
        """The transform in JSON values; `transform_from_spec` makes it again."""
        return {"kind": self.kind, **dict(zip(_KINDS[self.kind].names, self.settings, strict=True))}

    @property
    def is_identity(self) -> bool:
        """Whether the amplitude is zero, so that images come back bit for bit."""
        return all(value == (1 if self.kind == "scale" else 0) for value in self.settings)

    def __str__(self) -> str:
        return f"{self.kind}={':'.join(f'{value!r}' for value in self.settings)}"


@dataclass(frozen=True)
class _Kind:
    names: tuple[str, ...]
    usual: tuple[float, ...]
    wanted: str
    check: Callable[..., bool]
    draw: Callable[..., Sequence[float]]  # (settings..., generator) -> numbers
    drawn: int
    geometric: bool


def _draw_factor(low: float, high: float, generator: np.random.Generator) -> list[float]:
    drawn = math.exp(generator.uniform(math.log(low), math.log(high)))
    return [min(max(drawn, low), high)]


_KINDS: dict[str, _Kind] = {
    "jitter": _Kind(
        ("pixels",), (8,), f"a whole number of pixels from 0 to {_MOST_PIXELS:,}",
        lambda pixels: pixels == int(pixels) and 0 <= pixels <= _MOST_PIXELS,
        lambda pixels, generator: generator.integers(-pixels, pixels + 1, 2), 2, True,
    ),
    "rotate": _Kind(
        ("degrees",), (5.0,), "degrees from 0 to 180",
        lambda degrees: 0 <= degrees <= 180,
        lambda degrees, generator: [generator.uniform(-degrees, degrees)], 1, True,
    ),
    "scale": _Kind(
        ("low", "high"), (0.9, 1.1), "two factors low <= high from 0.1 to 10, as in 0.9:1.1",
        lambda low, high: 0.1 <= low <= high <= 10,
        _draw_factor, 1, True,
    ),
    "blur": _Kind(
        ("sigma",), (1.0,), "a standard deviation from 0 to 64 pixels",
        lambda sigma: 0 <= sigma <= 64,
        lambda sigma, generator: [generator.uniform(0.0, sigma)], 1, False,
    ),
    "noise": _Kind(
        ("deviation",), (0.02,), "a standard deviation from 0 to 1, on the [0, 1] scale",
        lambda deviation: 0 <= deviation <= 1,
        lambda deviation, generator: generator.integers(0, _SEEDS, 2), 2, False,
    ),
}  # fmt: skip


def jitter(pixels: int = 8) -> Transform:
    """Move the image by whole pixels, down and right, from -pixels to pixels each.

    What moves in at a border is the image's mirror (as in `np.pad(mode="reflect")`, again and
    again where the image is smaller), never its far side.

    Parameters
    ----------
    pixels : int
        At most 2**20. Default 8.

    Raises
    ------
    ConfigError
        When pixels is no whole number or out of range.

    Examples
    --------
    >>> jitter(2).spec
    {'kind': 'jitter', 'pixels': 2}
    """
    return Transform("jitter", (pixels,))


def rotate(degrees: float = 5.0) -> Transform:
    """Rotate the image about its centre by an angle uniform in -degrees to degrees.

    Counter-clockwise where positive, on the grid of pixels; bilinear, mirrored at borders.
    Neighbouring `rotate` and `scale` are done together, in one interpolation.

    Parameters
    ----------
    degrees : float
        0 to 180. Default 5.

    Raises
    ------
    ConfigError
        When degrees is no number or out of range.

    Examples
    --------
    >>> rotate(5).spec
    {'kind': 'rotate', 'degrees': 5}
    """
    return Transform("rotate", (degrees,))


def scale(low: float = 0.9, high: float = 1.1) -> Transform:
    """Enlarge the image about its centre by a factor log-uniform in low to high.

    The image keeps its number of pixels; bilinear, mirrored at borders.

    Parameters
    ----------
    low, high : float
        0.1 <= low <= high <= 10; below 1 shrinks. Default 0.9 and 1.1.

    Raises
    ------
    ConfigError
        When a factor is no number or out of range.

    Examples
    --------
    >>> scale(0.8, 1.25).spec
    {'kind': 'scale', 'low': 0.8, 'high': 1.25}
    """
    return Transform("scale", (low, high))


def blur(sigma: float = 1.0) -> Transform:
    """Blur the image by a Gaussian whose standard deviation is uniform in 0 to sigma.

    The kernel reaches to 4 sigma; the image is mirrored at borders.

    Parameters
    ----------
    sigma : float
        Pixels, 0 to 64. Default 1.

    Raises
    ------
    ConfigError
        When sigma is no number or out of range.

    Examples
    --------
    >>> blur(0.5).spec
    {'kind': 'blur', 'sigma': 0.5}
    """
    return Transform("blur", (sigma,))


def noise(deviation: float = 0.02) -> Transform:
    """Add Gaussian noise, new at every draw and independent between pixels and channels.

    Parameters
    ----------
    deviation : float
        Standard deviation on the [0, 1] scale, 0 to 1. Default 0.02.

    Raises
    ------
    ConfigError
        When deviation is no number or out of range.

    Examples
    --------
    >>> noise(0.05).spec
    {'kind': 'noise', 'deviation': 0.05}
    """
    return Transform("noise", (deviation,))


def transform_from_spec(spec: Mapping[str, Any]) -> Transform:
    """Make a transform again from its `spec`.

    Raises
    ------
    ConfigError
        When the spec is not one of medream's transforms.

    Examples
    --------
    >>> transform_from_spec({"kind": "blur", "sigma": 1.5}) == blur(1.5)
    True
    """
    if not isinstance(spec, Mapping) or "kind" not in spec:
        raise ConfigError(
            f"The transform is {spec!r}, expected a mapping such as {jitter().spec!r}."
        )
    names = _kind(spec["kind"]).names
    if set(spec) != {"kind", *names}:
        raise ConfigError(
            f"The transform {dict(spec)!r} has the settings {sorted(set(spec) - {'kind'})}, "
            f"expected {list(names)}."
        )
    return Transform(spec["kind"], tuple(spec[name] for name in names))


def parse_transform(text: str) -> Transform:
    """Make a transform of its short form, such as "jitter=8", "scale=0.9:1.1" or "blur".

    A name alone stands for the usual settings. `str(transform)` gives the short form back.

    Raises
    ------
    ConfigError
        When the text does not name a transform and its settings.

    Examples
    --------
    >>> parse_transform("rotate=5").spec
    {'kind': 'rotate', 'degrees': 5}
    >>> parse_transform("noise") == noise()
    True
    """
    kind, equals, values = text.strip().partition("=")
    usual = _kind(kind).usual
    if not equals:
        return Transform(kind, usual)
    return Transform(kind, tuple(_parsed(value) for value in values.split(":")))


def draws_length(transforms: Sequence[Transform]) -> int:
    """Return how many numbers `draw` gives for some transforms.

    Examples
    --------
    >>> draws_length((jitter(8), rotate(5)))
    3
    """
    return sum(_KINDS[transform.kind].drawn for transform in transforms)


def draw(transforms: Sequence[Transform], generator: np.random.Generator) -> np.ndarray:
    """Draw what `apply` needs; all randomness of the transforms is here.

    Parameters
    ----------
    transforms : sequence of Transform
    generator : numpy.random.Generator
        Moves on; nothing else, the image's size included, decides what is drawn.

    Returns
    -------
    ndarray, float32, shape (draws_length(transforms),)
        In the order of the transforms. jitter: pixels down and right; rotate: degrees; scale:
        factor; blur: sigma in pixels; noise: two whole numbers below 2**24, its seed.

    Examples
    --------
    >>> draw((jitter(8), rotate(5)), np.random.default_rng(0)).shape
    (3,)
    >>> draw((), np.random.default_rng(0))
    array([], dtype=float32)
    """
    drawn: list[float] = []
    for transform in transforms:
        drawn.extend(_KINDS[transform.kind].draw(*transform.settings, generator))
    return np.array(drawn, np.float32)


def apply(
    transforms: Sequence[Transform], image: tf.Tensor, draws: tf.Tensor, maps: bool = False
) -> tf.Tensor:
    """Transform an image as drawn, one transform after the other.

    Nothing is random here, the gradient to the image is exact, and `draws` is a tensor: a
    compiled function that takes it as argument serves every draw.

    Parameters
    ----------
    transforms : sequence of Transform
    image : float tensor, shape (batch, depth, width, channels)
        The whole batch is transformed alike, by the same noise too.
    draws : float32 tensor, shape (draws_length(transforms),)
        As `draw` gives them.
    maps : bool
        Only move, rotate and scale: for a map of a region, which has to stay on what it marks.
        Default False.

    Returns
    -------
    float tensor, the image's shape and type
        The image itself where there is no transform or no amplitude. Noise may leave [0, 1].

    Raises
    ------
    ConfigError
        When the number of draws is not that of the transforms.

    Notes
    -----
    Rotation and scale sample the image by gathered neighbours: the gradient that TensorFlow
    registers for `ImageProjectiveTransformV3` is the transform by the inverse matrix, which is
    not the derivative of bilinear interpolation.

    Examples
    --------
    >>> import tensorflow as tf
    >>> row = tf.reshape([1.0, 2.0, 3.0, 4.0], (1, 1, 4, 1))
    >>> apply((jitter(2),), row, tf.constant([0.0, 1.0]))[0, 0, :, 0].numpy()
    array([2., 1., 2., 3.], dtype=float32)
    """
    length = draws_length(transforms)
    if draws.shape.rank != 1 or draws.shape[0] not in (None, length):
        raise ConfigError(
            f"The draws have the shape {tuple(draws.shape)}, expected ({length},) for "
            f"{', '.join(map(str, transforms)) or 'no transform'}."
        )
    start = 0
    angle, factor = 0.0, 1.0  # of rotations and scales not yet done
    turned = False
    for transform in transforms:
        kind = _KINDS[transform.kind]
        values = draws[start : start + kind.drawn]
        start += kind.drawn
        if transform.is_identity:
            continue
        if transform.kind == "rotate":
            angle, turned = angle + values[0], True
            continue
        if transform.kind == "scale":
            factor, turned = factor * values[0], True
            continue
        if turned:  # before anything else, for maps too, so that they go the image's way
            image = _turn(image, angle, factor)
            angle, factor, turned = 0.0, 1.0, False
        if maps and not kind.geometric:
            continue
        if transform.kind == "jitter":
            image = _move(image, values)
        elif transform.kind == "blur":
            image = _blur(image, values[0], radius=max(1, round(4 * transform.settings[0])))
        else:
            image = _add_noise(image, values, transform.settings[0])
    return _turn(image, angle, factor) if turned else image


def _mirror(index: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Return the index that a mirrored axis has there: ... 2 1 | 0 1 2 ... n-1 | n-2 ..."""
    import tensorflow as tf

    period = tf.maximum(2 * (length - 1), 1)
    index = tf.math.floormod(index, period)
    return tf.minimum(index, period - index)


def _move(image: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    offset = tf.cast(offset, tf.int32)
    for axis in (0, 1):
        length = tf.shape(image)[axis + 1]
        image = tf.gather(image, _mirror(tf.range(length) - offset[axis], length), axis=axis + 1)
    return image


def _turn(image: tf.Tensor, degrees: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Rotate and scale about the centre: each pixel is read, bilinearly, from where it was."""
    import tensorflow as tf

    shape = tf.shape(image)
    depth, width = shape[1], shape[2]
    angle = tf.cast(degrees, tf.float32) * (math.pi / 180)
    cosine, sine = tf.cos(angle) / factor, tf.sin(angle) / factor
    middle_row, middle_column = (tf.cast(n - 1, tf.float32) / 2 for n in (depth, width))
    y = (tf.cast(tf.range(depth), tf.float32) - middle_row)[:, None]
    x = (tf.cast(tf.range(width), tf.float32) - middle_column)[None, :]
    row = middle_row + cosine * y + sine * x
    column = middle_column + cosine * x - sine * y
    first_row, first_column = tf.floor(row), tf.floor(column)
    below = tf.cast(row - first_row, image.dtype)[None, :, :, None]
    right = tf.cast(column - first_column, image.dtype)[None, :, :, None]
    rows = [_mirror(tf.cast(first_row, tf.int32) + step, depth) for step in (0, 1)]
    columns = [_mirror(tf.cast(first_column, tf.int32) + step, width) for step in (0, 1)]
    flat = tf.reshape(image, (shape[0], depth * width, shape[3]))

    def read(i: int, j: int) -> tf.Tensor:
        return tf.gather(flat, rows[i] * width + columns[j], axis=1)

    upper = read(0, 0) * (1 - right) + read(0, 1) * right
    lower = read(1, 0) * (1 - right) + read(1, 1) * right
    return upper * (1 - below) + lower * below


def _blur(image: tf.Tensor, sigma: tf.Tensor, radius: int) -> tf.Tensor:
    """Blur by one matrix per axis, the mirrored border folded in.

    At the sizes of scans this is several times faster than a convolution of one channel.
    """
    import tensorflow as tf

    away = tf.range(-radius, radius + 1)
    # Far below a pixel the kernel is exactly 1 in its middle and 0 beside it.
    kernel = tf.exp(-0.5 * tf.square(tf.cast(away, tf.float32) / tf.maximum(sigma, 0.05)))
    kernel = tf.cast(kernel, image.dtype)
    kernel /= tf.reduce_sum(kernel)
    for axis, along in ((1, "ij,bjwc->biwc"), (2, "ij,bdjc->bdic")):
        length = tf.shape(image)[axis]
        rows, columns = tf.meshgrid(tf.range(length), away, indexing="ij")
        places = tf.stack([rows, _mirror(rows + columns, length)], axis=-1)
        weights = tf.broadcast_to(kernel, tf.shape(rows))
        image = tf.einsum(along, tf.scatter_nd(places, weights, [length, length]), image)
    return image


def _add_noise(image: tf.Tensor, seed: tf.Tensor, deviation: float) -> tf.Tensor:
    import tensorflow as tf

    shape = tf.concat([[1], tf.shape(image)[1:]], axis=0)
    # From bits, and in float32 always: a seed means the same noise in every precision and under
    # XLA, whose `stateless_normal` is another than TensorFlow's.
    bits = tf.random.stateless_uniform(
        shape, tf.cast(seed, tf.int32), None, None, tf.uint32, alg="philox"
    )
    uniform = (tf.cast(tf.bitwise.right_shift(bits, 9), tf.float32) + 0.5) * 2.0**-23
    return image + tf.cast(tf.math.ndtri(uniform) * deviation, image.dtype)


def _kind(name: Any) -> _Kind:
    if not isinstance(name, str) or name not in _KINDS:
        raise ConfigError(f"There is no transform {name!r}. {nearest(str(name), _KINDS)}")
    return _KINDS[name]


def _number(value: Any) -> float:
    """Return a plain int or float; NaN for what is no number."""
    if isinstance(value, (bool, np.bool_, str)):
        return math.nan
    try:
        return value.__index__() if hasattr(value, "__index__") else float(value)
    except (TypeError, ValueError):
        return math.nan


def _parsed(text: str) -> Any:
    """Return the number that a text stands for; the text itself where it is none."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
