"""Numbers of a file -> intensities in [0, 1], by the range of their type and never by their own.

| type | becomes [0, 1] |
|---|---|
| uint8, uint16 | the full range of the type |
| floating point from 0 to 1 | as it is |
| other types, and floating point, with whole numbers from 0 to 255 | 0 to 255: 8 bits in a wider type |
| int16 with numbers from 0 beyond 255 | 0 to 32767, the positive range of the type |
| anything else | refused: nobody but its owner knows the range |
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from medream.errors import ScanError

_COLOUR_SPREAD = 10.5 / 255  # as for pictures; lossy compression gives channels small differences
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_TWELVE_BITS = 4095
_SLACK = 1e-6  # that rounding in a scaled file may go beyond [0, 1]


def empty(bscans: int, size: tuple[int, int]) -> np.ndarray:
    """Return room for the B-scans of a volume.

    One large array is several times quicker to fill than one for each B-scan, since the system
    gives it memory in large pages.
    """
    return np.empty((bscans, *size), np.float32)


def linear(
    stored: np.ndarray, low: float, high: float, out: np.ndarray | None = None
) -> np.ndarray:
    """Map the values from `low` to `high` onto [0, 1] as float32 and cut off what lies beyond.

    >>> linear(np.array([0, 51, 255], "uint8"), 0, 255).tolist()
    [0.0, 0.20000000298023224, 1.0]
    >>> linear(np.array([10, 20, 90], "uint8"), 60, 20).tolist()
    [1.0, 1.0, 0.0]
    """
    if low == 0:
        image = np.divide(stored, np.float32(high), out, dtype=np.float32, casting="same_kind")
    else:
        image = np.subtract(stored, np.float32(low), out, dtype=np.float32, casting="same_kind")
        image /= np.float32(high - low)
    if not full_of_type(stored.dtype, low, high):
        np.clip(image, 0, 1, out=image)
    return image


def full_of_type(kind: np.dtype, low: float, high: float) -> bool:
    """Tell whether no value of an integer type lies beyond `low` and `high`."""
    return kind.kind == "u" and low == 0 and high >= np.iinfo(kind).max


def type_range(kind: np.dtype) -> float | None:
    """Return the value that becomes 1 where the type alone says so, else None."""
    if kind.names is not None:  # red, green, blue
        kind = kind[0]
    return float(np.iinfo(kind).max) if kind.kind == "u" and kind.itemsize <= 2 else None


def value_range(values: np.ndarray, path: Path) -> float:
    """Return the value that becomes 1, by the table above; all of a volume has to be given.

    Raises
    ------
    ScanError
        When the values have no known range.
    """
    if (full := type_range(values.dtype)) is not None:
        return full
    if values.dtype.kind not in "iufb":
        raise ScanError(f"{path} holds values of type {values.dtype}; expected grey values.")
    check_finite(values, path)
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind == "f":
        if low >= -_SLACK and high <= 1 + _SLACK:
            return 1.0
        known = low >= 0 and high <= 255 and bool((values == np.floor(values)).all())
    else:
        known = low >= 0 and high <= 255
    if known:
        return 255.0
    if values.dtype.kind == "i" and values.dtype.itemsize == 2 and low >= 0:
        if high <= _TWELVE_BITS:
            warnings.warn(
                f"{path} holds int16 up to {high:g} only, and 32767 is white, so that it is nearly black. If "
                "it has 12 bits, multiply it by 16 and save it as uint16.",
                stacklevel=2,
            )
        return float(np.iinfo(np.int16).max)
    raise ScanError(
        f"{path} holds {values.dtype} from {low:g} to {high:g}, whose range nobody can tell; "
        "expected 8 or 16 bit unsigned, floating point from 0 to 1, or whole numbers from 0 to 255. "
        "Divide by the range of the device and save it again."
    )


def check_finite(values: np.ndarray, what: object, axes: tuple[str, ...] = ()) -> None:
    """Refuse values that are no numbers, and say how many and where.

    Raises
    ------
    ScanError
        When a value is NaN or infinite.
    """
    if values.dtype.kind != "f" or not values.size:
        return
    if np.isfinite(values.min()) and np.isfinite(values.max()):
        return
    wrong = ~np.isfinite(values)
    count = int(wrong.sum())
    first = [int(k) for k in np.unravel_index(int(wrong.argmax()), values.shape)]
    place = f"index {tuple(first)}"
    if len(axes) == len(first):
        place = ", ".join(f"{axis} {k}" for axis, k in zip(axes, first, strict=True))
    raise ScanError(
        f"{what} holds {count} of {values.size} pixels that {'is' if count == 1 else 'are'} not finite "
        f"(NaN or infinite), the first at {place}. Give every pixel a number, 0 outside the scan."
    )


def grey(colours: np.ndarray, where: object) -> np.ndarray:
    """Return the one channel of a grey picture in three, (depth, width, 3) in [0, 1].

    Raises
    ------
    ScanError
        When the channels differ: real colour is no B-scan.
    """
    spread = np.ptp(colours, axis=-1)
    if not spread.any():
        return np.ascontiguousarray(colours[..., 0])
    if spread.max() > _COLOUR_SPREAD:
        raise ScanError(
            f"{where} is in colour ({np.mean(spread > _COLOUR_SPREAD):.1%} of its pixels); a B-scan "
            "is grey. Export it without colour map, lines or text."
        )
    image: np.ndarray = np.clip(colours @ _LUMA, 0, 1).astype(np.float32)
    return image
