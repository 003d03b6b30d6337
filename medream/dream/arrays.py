"""Arrays as JSON values, for objectives that hold a mask or a scan."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np


def encode_array(array: np.ndarray) -> dict[str, Any]:
    """Return an array of bool or float32 as JSON values; the same array gives the same text.

    >>> decode_array(encode_array(np.eye(2, dtype=bool))).tolist()
    [[True, False], [False, True]]
    """
    packed = np.packbits(array) if array.dtype == bool else array.astype("<f4")
    data = base64.b64encode(zlib.compress(packed.tobytes(), 6)).decode()
    return {
        "shape": list(array.shape),
        "type": "bool" if array.dtype == bool else "float32",
        "data": data,
    }


def decode_array(stored: Mapping[str, Any]) -> np.ndarray:
    """Return the array that `encode_array` wrote.

    Raises
    ------
    ValueError
        When the data do not fill the shape.
    """
    shape = tuple(int(k) for k in stored["shape"])
    count = int(np.prod(shape))
    size = -(-count // 8) if stored["type"] == "bool" else 4 * count
    try:
        raw = zlib.decompressobj().decompress(base64.b64decode(stored["data"]), size + 1)
    except (ValueError, zlib.error) as error:
        raise ValueError("the array's data are damaged") from error
    if len(raw) != size:
        raise ValueError(f"the array's data do not fill its shape {shape}")
    if stored["type"] == "bool":
        return np.unpackbits(np.frombuffer(raw, np.uint8), count=count).astype(bool).reshape(shape)
    return np.frombuffer(raw, "<f4").reshape(shape).astype(np.float32)
