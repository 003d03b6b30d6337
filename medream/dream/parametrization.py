"""Parametrizations: the numbers that the ascent moves, in place of the pixels themselves.

The same gradient moves an image elsewhere when it climbs another set of numbers: Fourier
coefficients divided by their frequency favour large smooth forms, phases alone keep the
image's spectrum, a pyramid gives every scale its say. Each parametrization describes the
change from a base image and begins where that change is zero, under one law::

    decode(begin(image, seed), base=image) == image, bit for bit

so that zero steps of any dream give the image back.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from medream.errors import ConfigError, nearest

if TYPE_CHECKING:
    import tensorflow as tf

Begin = Callable[[np.ndarray, int], list[np.ndarray]]
Decode = Callable[[list["tf.Tensor"], "tf.Tensor"], "tf.Tensor"]


@dataclass(frozen=True)
class Parametrization:
    """What the ascent moves, and the image that stands for it.

    Parameters
    ----------
    name : str
        A key of `PARAMETRIZATIONS`.
    begin : callable
        Takes images (batch, depth, width, channels), float32 or float64, and a seed; returns
        the state to climb, a list of arrays of the images' type. The first axis of each is
        the batch, or 1 where the images share it.
    decode : callable
        Takes the state as tensors and the base images (batch, depth, width, channels), whose
        depth, width and channels must be static; returns images of that shape and type, not
        yet bounded to [0, 1]. Differentiable, deterministic, for graph mode.
    settings : tuple of (name, value)

    Examples
    --------
    >>> fourier().spec
    {'kind': 'fourier', 'decay': 1.0}
    >>> fourier() == fourier(1.0)
    True
    """

    name: str
    begin: Begin = field(compare=False, repr=False)
    decode: Decode = field(compare=False, repr=False)
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def spec(self) -> dict[str, Any]:
        """The parametrization in JSON values; `parametrization_from_spec` makes it again."""
        return {"kind": self.name, **dict(self.settings)}


def pixels() -> Parametrization:
    """The image itself: state [(batch, depth, width, channels)].

    Examples
    --------
    >>> image = np.full((1, 2, 3, 1), 0.5, "float32")
    >>> pixels().begin(image, 0)[0].shape
    (1, 2, 3, 1)
    """

    def begin(image: np.ndarray, seed: int) -> list[np.ndarray]:
        return [_images(image).copy()]

    def decode(state: list[tf.Tensor], base: tf.Tensor) -> tf.Tensor:
        return state[0]

    return Parametrization("pixels", begin, decode)


def fourier(decay: float = 1.0) -> Parametrization:
    """Fourier coefficients of the change, divided by their frequency to the power `decay`.

    State: [(batch, channels, depth, width // 2 + 1, 2)], real and imaginary part of the
    orthonormal `numpy.fft.rfft2` of the change, over the weights 1 / max(f, 1 / max(depth,
    width)) ** decay, f in cycles per pixel. The weights are normalised so that independent
    coefficients of unit deviation make a change of unit deviation. A change of unit deviation
    in pixels so costs each frequency in proportion to its weight: steps go into large forms.
    The weight of the mean is 0: as the heaviest of all it would run away to white or black.

    Parameters
    ----------
    decay : float
        0 to 4; 0 weighs all frequencies alike, 1 is the spectrum of natural images. Default 1.

    Raises
    ------
    ConfigError
        When decay is no number or out of range.

    Notes
    -----
    With weights of 1 (decay 0) the map from coefficients to pixels has singular values 1, and
    0 for the mean and for what a real image cannot have: of the columns that hold both a frequency and its
    conjugate (0, and width / 2 where width is even) only the conjugate-symmetric part counts.

    References
    ----------
    Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017 ("Preconditioning and
    Parameterization"), https://doi.org/10.23915/distill.00007

    Examples
    --------
    >>> image = np.full((1, 8, 7, 3), 0.5, "float32")
    >>> fourier().begin(image, 0)[0].shape
    (1, 3, 8, 4, 2)
    """
    decay = _real("decay", decay, 0, 4)

    def begin(image: np.ndarray, seed: int) -> list[np.ndarray]:
        batch, depth, width, channels = _images(image).shape
        return [np.zeros((batch, channels, depth, width // 2 + 1, 2), image.dtype)]

    def decode(state: list[tf.Tensor], base: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        depth, width = base.shape[1:3]
        weighted = state[0] * tf.constant(_weights(depth, width, decay)[..., None], base.dtype)
        return base + _inverse(tf.complex(weighted[..., 0], weighted[..., 1]), width)

    return Parametrization("fourier", begin, decode, (("decay", decay),))


def maco() -> Parametrization:
    """The phases of the image's spectrum, while its magnitudes stay (MaCo).

    State: [(batch, channels, depth, width // 2 + 1)], the change of each phase in radians from
    the image's own. The decoded image has, before it is bounded to [0, 1], the magnitude
    spectrum of the base image exactly; its mean and the other frequencies that are their own
    conjugate do not move. In the columns that hold both a frequency and its conjugate the
    difference of the two entries over sqrt(2) counts, so that the image stays real.

    Notes
    -----
    Fel et al. take the magnitudes from the average over a data set and start from random
    phases: give such an image as the start for that. Here a flat image cannot move, as it has
    no magnitude but its mean.

    References
    ----------
    Fel et al., "Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained
    Optimization", NeurIPS 2023, arXiv:2306.06805

    Examples
    --------
    >>> image = np.full((1, 8, 7, 3), 0.5, "float32")
    >>> maco().begin(image, 0)[0].shape
    (1, 3, 8, 4)
    """

    def begin(image: np.ndarray, seed: int) -> list[np.ndarray]:
        batch, depth, width, channels = _images(image).shape
        return [np.zeros((batch, channels, depth, width // 2 + 1), image.dtype)]

    def decode(state: list[tf.Tensor], base: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        width = base.shape[2]
        phase = state[0]
        conjugate = tf.roll(tf.reverse(phase, axis=[2]), 1, axis=2)
        odd = (phase - conjugate) * tf.constant(math.sqrt(0.5), base.dtype)
        phase = tf.where(_shared_columns(width), odd, phase)
        # exp(i phase) - 1, exactly zero at phase zero and precise beside it.
        turn = tf.complex(-2 * tf.square(tf.sin(phase / 2)), tf.sin(phase))
        spectrum = tf.signal.rfft2d(tf.transpose(base, (0, 3, 1, 2)))
        return base + _inverse(spectrum * turn, width, ortho=False)

    return Parametrization("maco", begin, decode)


def laplacian(levels: int = 4) -> Parametrization:
    """A pyramid: the change is the sum of its levels, each enlarged to the image's size.

    State: level k of shape (batch, ceil(depth / 2**k), ceil(width / 2**k), channels), the
    finest first. A level is doubled with the weights 3/4 and 1/4 (bilinear, edges repeated)
    as often as needed and cut to size.

    Parameters
    ----------
    levels : int
        1 to 16; fewer where the image ends, once a level is a single pixel. Default 4.

    Raises
    ------
    ConfigError
        When levels is no whole number or out of range.

    Notes
    -----
    The gradient of level k is the image's gradient brought down by the transpose of that
    enlargement: a smoothing, so level k of its Gaussian pyramid times 4**k. Divided by their
    own deviations, as Google's Laplacian gradient normalisation does with the bands of the
    gradient's Laplacian pyramid, all scales move alike; under one deviation for all levels the
    coarsest take nearly the whole step. Unlike Google's bands, a level here holds all
    frequencies below its own, so low ones move somewhat more than there.

    References
    ----------
    Burt and Adelson, "The Laplacian Pyramid as a Compact Image Code", IEEE Transactions on
    Communications 1983, https://doi.org/10.1109/TCOM.1983.1095851;
    Mordvintsev, "DeepDreaming with TensorFlow", 2016,
    https://github.com/tensorflow/examples/blob/master/community/en/r1/deepdream.ipynb

    Examples
    --------
    >>> image = np.full((1, 9, 6, 1), 0.5, "float32")
    >>> [level.shape[1:3] for level in laplacian(3).begin(image, 0)]
    [(9, 6), (5, 3), (3, 2)]
    """
    levels = _whole("levels", levels, 1, 16)

    def begin(image: np.ndarray, seed: int) -> list[np.ndarray]:
        batch, depth, width, channels = _images(image).shape
        shapes = [(depth, width)]
        while len(shapes) < levels and max(shapes[-1]) > 1:
            shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
        return [np.zeros((batch, *shape, channels), image.dtype) for shape in shapes]

    def decode(state: list[tf.Tensor], base: tf.Tensor) -> tf.Tensor:
        change = state[-1]
        for level in state[-2::-1]:
            change = level + _doubled(_doubled(change, 1, level.shape[1]), 2, level.shape[2])
        return base + change

    return Parametrization("laplacian", begin, decode, (("levels", levels),))


def lowrank(rank: int | None = None) -> Parametrization:
    """Changes of a whole batch out of a few shared images: for different dreams of one objective.

    State: [U (batch, rank), V (1, rank, depth, width, channels)]; the change of image b is the
    sum of U[b, r] V[r], so that all changes together have at most that rank. V begins at zero;
    the rows of U are drawn, of length 1, orthonormal where rank >= batch and else of `rank`
    dimensions, with signs such that each has a positive product with the sum of all.

    Parameters
    ----------
    rank : int or None
        1 to 4,096. None is max(2, batch // 2 + 1). Default None.

    Raises
    ------
    ConfigError
        When rank is no whole number or out of range.

    Notes
    -----
    What it gives: images with gradients g[b] first move along sum over c of (U[b] . U[c]) g[c].
    With one objective and one start image, whose g are the same, all first move uphill along
    that g, each by its own amount, and go apart from there as far as the network is not
    linear. This is no reward for being different: for that, subtract the similarity of the
    images' activations from the objective (Olah et al. 2017, "Diversity"); the shared V then
    lets the batch disagree in few, large directions and not in noise. Where rank >= batch,
    which the default is for 1 and 2 images, every image moves on its own gradient first and
    nothing ties them. Images of a batch are not independent of each other here.

    References
    ----------
    Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017 ("Diversity"),
    https://doi.org/10.23915/distill.00007

    Examples
    --------
    >>> image = np.full((6, 9, 8, 1), 0.5, "float32")
    >>> [tensor.shape for tensor in lowrank().begin(image, seed=0)]
    [(6, 4), (1, 4, 9, 8, 1)]
    """
    if rank is not None:
        rank = _whole("rank", rank, 1, 4096)

    def begin(image: np.ndarray, seed: int) -> list[np.ndarray]:
        batch = _images(image).shape[0]
        count = max(2, batch // 2 + 1) if rank is None else rank
        mixing = _mixing(batch, count, np.random.default_rng(seed))
        return [mixing.astype(image.dtype), np.zeros((1, count, *image.shape[1:]), image.dtype)]

    def decode(state: list[tf.Tensor], base: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        mixing, shared = state
        return base + tf.tensordot(mixing, shared[0], axes=1)

    return Parametrization("lowrank", begin, decode, (("rank", rank),))


PARAMETRIZATIONS: dict[str, Callable[..., Parametrization]] = {
    "pixels": pixels,
    "fourier": fourier,
    "maco": maco,
    "laplacian": laplacian,
    "lowrank": lowrank,
}


def parametrization_from_spec(spec: str | Mapping[str, Any]) -> Parametrization:
    """Make a parametrization of its name, or again from its `spec`.

    Raises
    ------
    ConfigError
        When there is none of that name, or it has no such setting.

    Examples
    --------
    >>> parametrization_from_spec("laplacian").spec
    {'kind': 'laplacian', 'levels': 4}
    >>> parametrization_from_spec({"kind": "fourier", "decay": 0.5}) == fourier(0.5)
    True
    """
    settings: dict[str, Any] = {"kind": spec} if isinstance(spec, str) else dict(spec)
    name = settings.pop("kind", None)
    if not isinstance(name, str) or name not in PARAMETRIZATIONS:
        raise ConfigError(
            f"There is no parametrization {name!r}. {nearest(str(name), PARAMETRIZATIONS)}"
        )
    make = PARAMETRIZATIONS[name]
    known = list(inspect.signature(make).parameters)
    for setting in settings:
        if setting not in known:
            raise ConfigError(
                f"The parametrization {name!r} has no setting {setting!r}, "
                f"expected {' or '.join(known) or 'none'}."
            )
    return make(**settings)


def _shared_columns(width: int) -> np.ndarray:
    """Return which columns of rfft2 hold both a frequency and its conjugate; (width // 2 + 1,)."""
    column = np.arange(width // 2 + 1)
    return (column == 0) | (2 * column == width)


def _weights(depth: int, width: int, decay: float) -> np.ndarray:
    """Return what the coefficients of `fourier` are multiplied by; (depth, width // 2 + 1)."""
    frequency = np.hypot(np.fft.fftfreq(depth)[:, None], np.fft.rfftfreq(width)[None, :])
    weights = 1 / np.maximum(frequency, 1 / max(depth, width)) ** decay
    weights[0, 0] = 0.0  # else the mean, the heaviest of all, runs away to white or black
    shared = _shared_columns(width)
    # The variance about the mean is that of the squares over the full spectrum without the mean,
    # in which all but the shared columns stand twice.
    power = np.sum(weights**2 * np.where(shared, 1, 2)) / max(depth * width - 1, 1)
    power = power or 1.0  # a single pixel has nothing but its mean
    # Real and imaginary part together have variance 2; in a shared column, the symmetric part
    # of two such entries, or the real part of one, has 1.
    return weights / math.sqrt(power) * np.where(shared, 1.0, math.sqrt(0.5))


def _inverse(spectrum: tf.Tensor, width: int, ortho: bool = True) -> tf.Tensor:
    """Return irfft2 of (batch, channels, depth, width // 2 + 1) as (batch, d, w, channels)."""
    import tensorflow as tf

    depth = spectrum.shape[2]
    images = tf.signal.irfft2d(spectrum, (depth, width))
    if ortho:
        images *= tf.constant(math.sqrt(depth * width), images.dtype)
    return tf.transpose(images, (0, 2, 3, 1))


def _doubled(image: tf.Tensor, axis: int, length: int) -> tf.Tensor:
    """Enlarge one axis (1 or 2) of (batch, d, w, channels) twofold, then cut it to length."""
    import tensorflow as tf

    # Slices, as the gradient of a gather is slow to compile.
    last = image.shape[axis] - 1
    cut = [slice(None)] * axis
    first, final = image[(*cut, slice(0, 1))], image[(*cut, slice(last, None))]
    before = tf.concat([first, image[(*cut, slice(0, last))]], axis)
    after = tf.concat([image[(*cut, slice(1, None))], final], axis)
    pair = tf.stack([0.75 * image + 0.25 * before, 0.75 * image + 0.25 * after], axis + 1)
    shape = [-1, *image.shape[1:]]
    shape[axis] *= 2
    return tf.reshape(pair, shape)[(*cut, slice(0, length))]


def _mixing(batch: int, rank: int, generator: np.random.Generator) -> np.ndarray:
    """Return (batch, rank): unit rows, as orthogonal as rank allows, none against their sum."""
    drawn = np.linalg.qr(generator.standard_normal((max(batch, rank), min(batch, rank))))[0]
    rows = drawn.T if rank > batch else drawn
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    while True:
        along = rows @ rows.sum(axis=0)
        if along.min() > 0:
            return rows
        # Turning a row that points against the sum makes the sum longer, so this ends.
        rows[along.argmin()] *= -1


def _images(image: np.ndarray) -> np.ndarray:
    shape = getattr(image, "shape", type(image).__name__)
    if not isinstance(image, np.ndarray) or image.ndim != 4 or 0 in image.shape:
        raise ConfigError(
            f"The images are {shape}, expected an array (batch, depth, width, channels)."
        )
    if image.dtype not in (np.float32, np.float64):
        raise ConfigError(f"The images are {image.dtype}, expected float32 or float64.")
    return image


def _real(name: str, value: Any, least: float, most: float) -> float:
    try:
        number = math.nan if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not least <= number <= most:
        raise ConfigError(f"{name} is {value!r}, expected a number from {least:g} to {most:g}.")
    return number


def _whole(name: str, value: Any, least: int, most: int) -> int:
    whole = not isinstance(value, bool) and hasattr(value, "__index__")
    if not whole or not least <= int(value) <= most:
        raise ConfigError(f"{name} is {value!r}, expected a whole number {least} to {most:,}.")
    return int(value)
