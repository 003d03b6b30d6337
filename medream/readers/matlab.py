"""MATLAB: `.mat` of version 5 (see `matlab5`) and 7.3 (by h5py). Objects and functions are never loaded.

The scans are the variable with a telling name, else the only one of three axes. Its axes are
(depth, width, bscan), as MATLAB users and the Duke data sets have them; a first axis shorter than the
last one is that of the B-scans. See `intensity` for the range of the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medream.errors import ScanError
from medream.readers import matlab5
from medream.readers.damage import check_claim, guarded
from medream.readers.header import Header, chosen
from medream.readers.intensity import empty, linear, type_range, value_range
from medream.readers.names import read_head
from medream.readers.valid import valid_mask
from medream.scan import Scan, Source

NAME = "MATLAB"
_EXPECTED = "a complete MATLAB file with a volume of B-scans"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_TELLING = ("images", "image", "volume", "bscans", "bscan", "oct", "scans", "scan", "img", "vol")
NUMBERS = ("double", "single", "uint8", "uint16", "int8", "int16", "uint32", "int32", "int64",
            "uint64")  # fmt: skip
REFERENCES = (*NUMBERS, "logical", "cell")  # also what masks and lists of subjects may be
_SHORTEST = 8  # rows and columns of the smallest picture

Shapes = Mapping[str, tuple[int, ...]]


def sniff(path: Path, head: bytes) -> bool:
    """Tell from its first bytes whether a file is MATLAB's, or HDF5, which it may be."""
    return head.startswith((b"MATLAB 5.0", b"MATLAB 7.3", _HDF5))


def header(path: Path) -> list[Header]:
    """Tell the shape of the variable that holds the scans; no pixels are read."""
    with guarded(path, _EXPECTED):
        shapes = variables(path)
        shape = shapes[image_variable(shapes, path)]
        bscan = _bscan_axis(shape)
        depth, width = (length for axis, length in enumerate(shape) if axis != bscan)
        return [Header(NAME, 1 if bscan is None else shape[bscan], (depth, width))]


def read(path: Path, only: Sequence[int] | None = None) -> list[Scan]:
    """Read the B-scans, or those at the positions `only`.

    Of version 7.3 with 8 or 16 bit only these are read.
    """
    with guarded(path, _EXPECTED):
        shapes = variables(path)
        name = image_variable(shapes, path)
        shape = shapes[name]
        bscan = _bscan_axis(shape)
        positions = chosen(only, 1 if bscan is None else shape[bscan], path)
        if only is not None and bscan is not None and is_hdf5(path):
            lazy = [load_variable(path, name, bscan, position) for position in positions]
            if lazy and (full := type_range(lazy[0].dtype)) is not None:
                return _scans(lazy, full, positions)
        stored = load_variable(path, name)
        full = value_range(stored, path)
        volume = stored[None] if bscan is None else np.moveaxis(stored, bscan, 0)
        return _scans([volume[position] for position in positions], full, positions)


def variables(path: Path, kinds: Sequence[str] = NUMBERS) -> Shapes:
    """Return names and shapes, as MATLAB has them, of the variables of some kinds.

    Raises
    ------
    ScanError
        When the file claims more than it can hold, or is no MATLAB file.
    """
    with guarded(path, _EXPECTED):
        if is_hdf5(path):
            with _opened(path) as file:
                found = {
                    name: _shape(dataset)
                    for name, dataset in _own_datasets(file, path).items()
                    if _kind(dataset) in kinds
                }
        else:
            found = {m.name: m.shape for m in matlab5.variables(path) if m.kind in kinds}
        _check_claims(path, found.values())
        return found


def cell_shapes(path: Path, name: str) -> list[tuple[int, ...]]:
    """Return the shapes of the arrays in a cell array, in MATLAB's order, without reading them.

    Raises
    ------
    ScanError
        When the variable is no cell array, or the file is damaged.
    """
    with guarded(path, _EXPECTED):
        if is_hdf5(path):
            with _opened(path) as file:
                count = _dataset(file, name, path).size
                found = [_shape(_cell(file, name, k, path)) for k in range(count)]
        else:
            found = [cell.shape for cell in matlab5.cells(path, name)]
        _check_claims(path, found)
        return found


def load_variable(
    path: Path,
    name: str,
    axis: int | None = None,
    position: int | None = None,
    cell: int | None = None,
) -> np.ndarray:
    """Return a variable or one of its cells, or what lies at a position along one of its axes.

    Axes are MATLAB's. Version 7.3 reads no more than it returns.
    """
    with guarded(path, _EXPECTED):
        if not is_hdf5(path):
            array = matlab5.numbers(path, name, cell)
            return array if axis is None or position is None else array.take(position, axis)
        with _opened(path) as file:
            dataset = _dataset(file, name, path) if cell is None else _cell(file, name, cell, path)
            _check_claims(path, [_shape(dataset)])
            if 0 in _shape(dataset):
                return np.zeros(_shape(dataset))
            if axis is None:
                return np.asarray(dataset[()]).T
            # HDF5 has MATLAB's axes in the opposite order.
            reverse = dataset.ndim - 1 - axis
            index = tuple(position if k == reverse else slice(None) for k in range(dataset.ndim))
            return np.asarray(dataset[index]).T


def image_variable(shapes: Shapes, path: Path) -> str:
    """Return the name of the variable that holds the scans.

    Raises
    ------
    ScanError
        When none or several may be it; the message lists the variables.
    """
    fitting = [name for name, shape in shapes.items() if _may_be_scans(shape)]
    named = [name for telling in _TELLING for name in fitting if name.lower() == telling]
    volumes = [name for name in fitting if len(shapes[name]) == 3]
    for found in (named[:1], volumes, fitting):
        if len(found) == 1:
            return found[0]
    listed = ", ".join(
        f"{n} ({' x '.join(str(k) for k in shapes[n])})" for n in sorted(shapes)[:20]
    )
    raise ScanError(
        f"{path} holds {listed or 'no variables of numbers'}; expected the scans as one variable "
        "(depth x width x B-scans), best named 'images'. Save them so, or as .npz."
    )


def _scans(stored: list[np.ndarray], full: float, positions: Sequence[int]) -> list[Scan]:
    scans = []
    pictures = empty(len(stored), stored[0].shape if stored else (0, 0))
    for one, picture, position in zip(stored, pictures, positions, strict=True):
        linear(one, 0, full, out=picture)
        source = Source(bscan_index=position)
        scans.append(Scan(picture, valid=valid_mask(picture), source=source))
    return scans


def _may_be_scans(shape: tuple[int, ...]) -> bool:
    if len(shape) not in (2, 3) or 0 in shape:
        return False
    bscan = _bscan_axis(shape)
    return min(length for axis, length in enumerate(shape) if axis != bscan) >= _SHORTEST


def _bscan_axis(shape: tuple[int, ...]) -> int | None:
    if len(shape) == 2:
        return None
    return 0 if shape[0] < shape[2] else 2


def is_hdf5(path: Path) -> bool:
    """Tell version 7.3 from version 5."""
    return read_head(path, 10).startswith((b"MATLAB 7.3", _HDF5))


def _check_claims(path: Path, shapes: Iterable[tuple[int, ...]]) -> None:
    for shape in shapes:
        if 0 not in shape:
            check_claim(path, shape, path.stat().st_size, 0, compressed=True)


def _opened(path: Path) -> Any:
    import h5py

    return h5py.File(path, "r")


def _kind(dataset: Any) -> str:
    value = dataset.attrs.get("MATLAB_class", b"")
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)


def _shape(dataset: Any) -> tuple[int, ...]:
    if dataset.attrs.get("MATLAB_empty"):  # its numbers are the shape
        return (0, 0)
    return tuple(dataset.shape[::-1])


def _is_inside(dataset: Any) -> bool:
    """Tell whether the numbers are in the file itself: HDF5 can point into other files."""
    import h5py

    inside = isinstance(dataset, h5py.Dataset)
    return inside and not (dataset.external or dataset.is_virtual)


def _own_datasets(file: Any, path: Path) -> dict[str, Any]:
    import h5py

    own = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
    found = {name: file[name] for name in own if _is_inside(file[name])}
    if not any(_kind(dataset) for dataset in found.values()):
        raise ScanError(
            f"{path} is an HDF5 file, but not one that MATLAB wrote (no variable has a "
            "MATLAB_class); expected a .mat of version 7.3. Save its B-scans as .npz."
        )
    return found


def _dataset(file: Any, name: str, path: Path) -> Any:
    dataset = _own_datasets(file, path).get(name)
    if dataset is None:
        raise ScanError(
            f"{path} has no variable {name!r} of its own; links into other files are not followed."
        )
    return dataset


def _cell(file: Any, name: str, number: int, path: Path) -> Any:
    array = _dataset(file, name, path)
    if _kind(array) != "cell":
        raise ScanError(f"{path}: {name} is no cell array; expected one cell for each subject.")
    cell = file[np.asarray(array[()]).ravel()[number]]
    if not _is_inside(cell):
        raise ScanError(f"{path}: cell {number + 1} of {name} is no array of the file itself.")
    return cell
