"""MATLAB files of version 5: arrays of numbers, alone or in cells, and nothing else of what they may hold.

SciPy's compiled reader follows a wrong byte into foreign memory and takes the whole process along,
so the few kinds of data that hold scans are read here; the layout is that of MathWorks' "MAT-File
Format", version 5. A packed variable is unpacked only as far as it is needed.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from medream.errors import ScanError

_START = 128  # bytes before the first variable
_INT32, _MATRIX, _PACKED = 5, 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8",
           13: "u8"}  # fmt: skip
_NUMBERS = {6: "double", 7: "single", 8: "int8", 9: "uint8", 10: "int16", 11: "uint16",
            12: "int32", 13: "uint32", 14: "int64", 15: "uint64"}  # fmt: skip
_KINDS = {1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", **_NUMBERS}
_COMPLEX, _LOGICAL = 0x0800, 0x0200
_LONGEST_HEAD = 1 << 12  # bytes of a shape or a name
_MOST_CELLS = 1 << 16
_MOST_UNPACKED = 1100  # bytes that zlib can make of one
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Matrix:
    """What the head of a variable or cell says."""

    name: str
    kind: str
    shape: tuple[int, ...]
    is_complex: bool = False


def variables(path: Path) -> list[Matrix]:
    """Return the heads of all variables."""
    return [matrix for matrix, _ in _walk(path)]


def cells(path: Path, name: str) -> list[Matrix]:
    """Return the heads of a cell array's cells, in MATLAB's order."""
    with _variable(path, name) as (matrix, content):
        return [cell for cell, _ in _cells(matrix, content, path)]


def numbers(path: Path, name: str, cell: int | None = None) -> np.ndarray:
    """Return the numbers of a variable, or of one of its cells, with MATLAB's axes."""
    with _variable(path, name) as (matrix, content):
        if cell is None:
            return _numbers(matrix, content, path, name)
        for number, (found, length) in enumerate(_cells(matrix, content, path)):
            if number == cell:
                if length == 0:
                    return np.zeros((0, 0))
                return _numbers(found, content, path, f"{name}{{{cell + 1}}}")
    raise _wrong(path, name, f"without a cell {cell + 1}")


class _Content:
    """The bytes of one variable in a row, unpacked where they are packed."""

    def __init__(self, file: IO[bytes], length: int, packed: bool, order: str) -> None:
        self.order = order
        self.position = 0
        self._file, self._left = file, length
        self._most = length * _MOST_UNPACKED if packed else length
        self._inflate = zlib.decompressobj() if packed else None

    def read(self, count: int) -> bytearray:
        """Return exactly so many bytes, or raise EOFError before memory is taken for them."""
        if count > self._most - self.position:
            raise EOFError(f"{count} bytes are asked for, which are not there")
        found = bytearray(count)
        target = memoryview(found)
        while len(target):
            piece = self._piece(min(len(target), _CHUNK))
            target[: len(piece)] = piece
            target = target[len(piece) :]
        self.position += count
        return found

    def skip(self, count: int) -> None:
        if self._inflate is None:
            self._file.seek(count, 1)
            self._left -= count
            self.position += count
            return
        while count > 0:
            count -= len(self.read(min(count, _CHUNK)))

    def tag(self) -> tuple[int, int, bytes | None]:
        """Return type and length of the next element, and its content if it is a short one."""
        raw = bytes(self.read(8))
        kind, length = struct.unpack(self.order + "II", raw)
        if kind >> 16:  # type and length share four bytes, and the content follows at once
            kind, length = kind & 0xFFFF, kind >> 16
            if length > 4:
                raise EOFError(f"a short element has {length} bytes")
            return kind, length, raw[4 : 4 + length]
        return kind, length, None

    def element(self) -> tuple[int, bytes]:
        """Return type and content of the next element of a head."""
        kind, length, content = self.tag()
        if content is None:
            if length > _LONGEST_HEAD:
                raise EOFError(f"a head has an element of {length} bytes")
            content = bytes(self.read(length))
            self.skip(-length % 8)
        return kind, content

    def _piece(self, most: int) -> bytes:
        if self._inflate is None:
            piece = self._file.read(most)
            self._left -= len(piece)
        else:
            packed = self._inflate.unconsumed_tail
            if not packed:
                packed = self._file.read(min(self._left, _CHUNK))
                self._left -= len(packed)
            piece = self._inflate.decompress(packed, most)
            if packed and not piece and not self._inflate.eof:
                return b""  # more is needed for the next byte
        if not piece:
            raise EOFError("the file ends within a variable")
        return piece


def _walk(path: Path) -> Iterator[tuple[Matrix, _Content]]:
    """Yield the head of each variable, and its content where the head ends."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        order = "<" if file.read(_START)[126:128] == b"IM" else ">"
        while len(tag := file.read(8)) == 8:
            kind, length = struct.unpack(order + "II", tag)
            end = file.tell() + length
            if end > size:
                raise EOFError(f"a variable claims {length} bytes, which are not there")
            if kind in (_MATRIX, _PACKED):
                content = _Content(file, length, kind == _PACKED, order)
                if kind == _MATRIX or content.tag()[0] == _MATRIX:
                    matrix = _head(content)
                    if matrix is not None:
                        yield matrix, content
            file.seek(end)


def _head(content: _Content) -> Matrix | None:
    """Read the head of a matrix; None for kinds of which no layout is published."""
    _, flags = content.element()
    (first,) = struct.unpack_from(content.order + "I", flags)
    kind = _KINDS.get(first & 0xFF)
    if kind is None:
        return None
    stored, raw = content.element()
    shape = struct.unpack(f"{content.order}{len(raw) // 4}i", raw)
    if stored != _INT32 or len(shape) < 2 or min(shape) < 0:
        raise ValueError(f"a variable has the shape {shape}")
    _, name = content.element()
    kind = "logical" if first & _LOGICAL and kind == "uint8" else kind
    return Matrix(name.rstrip(b"\0").decode("latin-1"), kind, shape, bool(first & _COMPLEX))


@contextmanager
def _variable(path: Path, name: str) -> Iterator[tuple[Matrix, _Content]]:
    walk = _walk(path)
    try:
        for matrix, content in walk:
            if matrix.name == name:
                yield matrix, content
                return
    finally:
        walk.close()  # type: ignore[attr-defined]
    raise _wrong(path, name, "which is not where the file says")


def _cells(array: Matrix, content: _Content, path: Path) -> Iterator[tuple[Matrix, int]]:
    """Yield the head and the length in bytes of each cell; the content stands after the head."""
    count = math.prod(array.shape)
    if array.kind != "cell" or count > _MOST_CELLS:
        raise _wrong(path, array.name, f"of {count} elements of the kind {array.kind!r}; expected "
                     "a cell for each subject")  # fmt: skip
    for number in range(count):
        kind, length, _ = content.tag()
        end = content.position + length
        cell = Matrix("", "double", (0, 0)) if length == 0 else _head(content)
        if kind != _MATRIX or cell is None or content.position > end:
            raise _wrong(path, array.name, f"whose cell {number + 1} is no array")
        yield cell, length
        content.skip(end - content.position)


def _numbers(matrix: Matrix, content: _Content, path: Path, name: str) -> np.ndarray:
    if matrix.kind not in (*_NUMBERS.values(), "logical"):
        raise _wrong(path, name, f"which is of the kind {matrix.kind!r}; expected numbers")
    if matrix.is_complex:
        raise _wrong(path, name, "which is of complex numbers; expected real ones")
    kind, length, short = content.tag()
    stored = np.dtype(content.order + _STORED[kind]) if kind in _STORED else None
    if stored is None or length != math.prod(matrix.shape) * stored.itemsize:
        raise _wrong(path, name, f"with {length} bytes of type {kind} for the shape {matrix.shape}")
    raw = content.read(length) if short is None else short
    # MATLAB stores whole numbers of any kind in the smallest type that holds them.
    meant = {"double": "f8", "single": "f4", "logical": "u1"}.get(matrix.kind, matrix.kind)
    array = np.frombuffer(raw, stored).astype(meant, copy=False)
    return array.reshape(matrix.shape, order="F")


def _wrong(path: Path, name: str, what: str) -> ScanError:
    return ScanError(
        f"{path} is damaged: it holds the variable {name!r} {what}. Copy or save the file again."
    )
