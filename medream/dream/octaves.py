"""The enhanced dream: the image is climbed at several sizes, and the detail is carried on.

Google's original scheme (Mordvintsev, Olah and Tyka, 2015,
https://github.com/google/deepdream): at each octave the image is resized from the original
and the detail found so far is added to it; what is climbed there is kept as detail again. In
the end the detail alone comes back to the original's size, and the original stays untouched
beneath it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from medream.errors import ConfigError

LARGEST = 2**24  # pixels of an octave; activations take hundreds of bytes for each
SMALLEST = 16  # pixels; below, a resized scan shows no structure to dream on

# (start (n, h, w, c), resized originals, inside (n, h, w), octave number) -> climbed images
Climb = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]


def octave_shapes(
    shape: tuple[int, int],
    exponents: tuple[int, ...],
    scale: float,
    multiple: tuple[int, int] = (1, 1),
    least: tuple[int, int] = (1, 1),
    tiled: bool = False,
) -> list[tuple[int, int]]:
    """Return the (depth, width) of each octave.

    Each is the image's size times `scale ** exponent`, rounded to the network's multiple and
    not below `least` or 16 pixels (or the image itself where that is smaller).

    Raises
    ------
    ConfigError
        When an octave would have more than `LARGEST` pixels (16 times as many with tiles) and
        more than the image itself.

    Examples
    --------
    >>> octave_shapes((525, 200), (-2, -1, 0, 1), 1.5, multiple=(8, 8))
    [(232, 88), (352, 136), (528, 200), (784, 304)]
    """

    def length(axis: int, exponent: int) -> int:
        unit = multiple[axis]
        floor = max(least[axis], min(SMALLEST, shape[axis]))
        wanted = max(shape[axis] * scale**exponent, floor)
        return max(round(wanted / unit), -(-floor // unit)) * unit

    largest = 16 * LARGEST if tiled else LARGEST

    def fits(exponent: int) -> bool:
        return exponent <= 0 or shape[0] * shape[1] * scale ** (2 * exponent) <= largest

    if not all(fits(exponent) for exponent in exponents):
        most = max(exponent for exponent in range(64) if fits(exponent))
        raise ConfigError(
            f"octaves {exponents} would enlarge {shape[0]} x {shape[1]} pixels beyond {largest:,}, "
            f"more than memory holds. The largest octave for this image is {most}"
            + ("." if tiled else "; with tile=512 larger ones fit.")
        )
    return [(length(0, exponent), length(1, exponent)) for exponent in exponents]


def enhance(
    originals: np.ndarray, inside: np.ndarray, shapes: list[tuple[int, int]], climb: Climb
) -> np.ndarray:
    """Climb through the octaves and return the originals with the detail found.

    Parameters
    ----------
    originals : ndarray, float32, shape (batch, depth, width, channels)
        In [0, 1].
    inside : ndarray, bool, shape (batch, depth, width)
        Pixels that may change.
    shapes : list of (depth, width)
    climb : callable
        Climbs one octave; pixels that are not inside must come back as they were.

    Returns
    -------
    ndarray, float32, shape (batch, depth, width, channels)
        In [0, 1]; pixels that are not inside, and all pixels where no detail was found, are the
        originals' bit for bit.
    """
    detail = np.zeros_like(originals)
    for number, shape in enumerate(shapes):
        # Clipped before the difference is taken, so that rounding in the resize is no detail.
        base = np.clip(resize(originals, shape), 0.0, 1.0)
        start = np.clip(base + resize(detail, shape), 0.0, 1.0)
        within = resize(inside[..., None].astype(np.float32), shape)[..., 0] > 1 - 1e-3
        detail = climb(start, base, within, number) - base
    dreamt = np.clip(originals + resize(detail, originals.shape[1:3]), 0.0, 1.0)
    return np.where(inside[..., None], dreamt, originals)


def resize(images: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize (batch, depth, width, channels) bilinearly, with antialiasing where it shrinks."""
    if images.shape[1:3] == tuple(shape):
        return images
    return tf.image.resize(images, shape, method="bilinear", antialias=True).numpy()
