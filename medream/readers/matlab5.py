"""What SciPy does not check in a MATLAB file of version 5 before it follows it into foreign memory.

Its compiled reader takes the type of a variable's numbers as an index into a table, so that one wrong
byte ends the whole process. This walks to the variable and compares type and length of its
numbers with its shape; the layout is that of MathWorks' "MAT-File Format", version 5.
"""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path

from medream.errors import ScanError

_START = 128
_HEAD = 1 << 16  # bytes of a variable within which its numbers begin
_MATRIX, _PACKED = 14, 15
_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}  # types of numbers
_COMPLEX = 0x0800


def check_variable(path: Path, name: str) -> None:
    """Raise ScanError unless the numbers of a variable are of a known type and fill its shape."""
    with open(path, "rb") as file:
        order = "<" if file.read(_START)[126:128] == b"IM" else ">"
        while len(tag := file.read(8)) == 8:
            kind, length = struct.unpack(order + "II", tag)
            end = file.tell() + length
            head = b""
            if kind == _MATRIX:
                head = file.read(min(length, _HEAD))
            elif kind == _PACKED:
                head = zlib.decompressobj().decompress(file.read(length), _HEAD)[8:]
            if head and _check(head, order, name, path):
                return
            file.seek(end)
    raise _wrong(path, name, "which is not where the file says")


def _check(head: bytes, order: str, name: str, path: Path) -> bool:
    """Tell whether this is the variable, and raise ScanError when its numbers are not sound."""
    (flags,) = struct.unpack_from(order + "I", head, 8)
    at = 16
    kind, length, start, at = _element(head, at, order)
    if kind != 5 or length > len(head) - start:
        raise _wrong(path, name, "whose shape cannot be read")
    shape = struct.unpack_from(f"{order}{length // 4}i", head, start)
    _, length, start, at = _element(head, at, order)
    if head[start : start + length].rstrip(b"\0").decode("latin-1") != name:
        return False
    kind, length, _, _ = _element(head, at, order)
    if flags & _COMPLEX:
        raise _wrong(path, name, "which is of complex numbers; expected real ones")
    if kind not in _SIZES or length != math.prod(shape) * _SIZES[kind]:
        raise _wrong(path, name, f"with {length} bytes of type {kind} for the shape {shape}")
    return True


def _element(head: bytes, at: int, order: str) -> tuple[int, int, int, int]:
    """Return type, length and start of the element at `at`, and where the next one begins."""
    kind, length = struct.unpack_from(order + "II", head, at)
    if kind >> 16:  # short: type and length share four bytes, and the content follows at once
        return kind & 0xFFFF, kind >> 16, at + 4, at + 8
    return kind, length, at + 8, at + 8 + -(-length // 8) * 8


def _wrong(path: Path, name: str, what: str) -> ScanError:
    return ScanError(
        f"{path} is damaged: it holds the variable {name!r} {what}. Copy or save the file again."
    )
