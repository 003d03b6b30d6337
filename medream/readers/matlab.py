"""MATLAB: `.mat` of version 5 (by scipy) and 7.3 (by h5py). Objects and functions are never loaded.

The scans are the variable with a telling name, else the only one of three axes. Its axes are
(depth, width, bscan), as MATLAB users and the Duke data sets have them; a first axis shorter than the
last one is that of the B-scans. See `intensity` for the range of the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medream.errors import ScanError
from medream.readers.damage import check_claim, guarded
from medream.readers.header import Header, chosen
from medream.readers.intensity import empty, linear, type_range, value_range
from medream.readers.matlab5 import check_variable
from medream.readers.names import read_head
from medream.readers.valid import valid_mask
from medream.scan import Scan, Source

NAME = "MATLAB"
_EXPECTED = "a complete MATLAB file with a volume of B-scans"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_TELLING = ("images", "image", "volume", "bscans", "bscan", "oct", "scans", "scan", "img", "vol")
_NUMBERS = ("double", "single", "uint8", "uint16", "int8", "int16", "uint32", "int32", "int64",
            "uint64")  # fmt: skip
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
        if only is not None and bscan is not None and _is_hdf5(path):
            lazy = [load_variable(path, name, bscan, position) for position in positions]
            if lazy and (full := type_range(lazy[0].dtype)) is not None:
                return _scans(lazy, full, positions)
        stored = load_variable(path, name)
        full = value_range(stored, path)
        volume = stored[None] if bscan is None else np.moveaxis(stored, bscan, 0)
        return _scans([volume[position] for position in positions], full, positions)


def variables(path: Path) -> Shapes:
    """Return names and shapes, as MATLAB has them, of the variables that hold numbers.

    Raises
    ------
    ScanError
        When the file claims more than it can hold, or is no MATLAB file.
    """
    with guarded(path, _EXPECTED):
        found = _hdf5_shapes(path) if _is_hdf5(path) else _version_5_shapes(path)
        for shape in found.values():
            if 0 not in shape:
                check_claim(path, shape, path.stat().st_size, 0, compressed=True)
        return found


def load_variable(
    path: Path, name: str, axis: int | None = None, position: int | None = None
) -> np.ndarray:
    """Return a variable, or what lies at a position along one axis, with MATLAB's axes."""
    with guarded(path, _EXPECTED):
        if not _is_hdf5(path):
            from scipy.io import loadmat

            check_variable(path, name)
            array = loadmat(path, variable_names=[name], struct_as_record=True)[name]
            return array if axis is None else array.take(position, axis)
        import h5py

        with h5py.File(path, "r") as file:
            dataset = file[name]
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


def _is_hdf5(path: Path) -> bool:
    return read_head(path, 10).startswith((b"MATLAB 7.3", _HDF5))


def _version_5_shapes(path: Path) -> Shapes:
    from scipy.io import whosmat

    return {name: tuple(shape) for name, shape, kind in whosmat(path) if kind in _NUMBERS}


def _hdf5_shapes(path: Path) -> Shapes:
    import h5py

    def kind(dataset: Any) -> str:
        value = dataset.attrs.get("MATLAB_class", b"")
        return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)

    with h5py.File(path, "r") as file:
        # Links and outside storage may lead out of the file: only what is in it counts.
        own = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
        datasets = {
            name: found
            for name in own
            if isinstance(found := file[name], h5py.Dataset)
            and not (found.external or found.is_virtual)
        }
        if not any(kind(dataset) for dataset in datasets.values()):
            raise ScanError(
                f"{path} is an HDF5 file, but not one that MATLAB wrote (no variable has a "
                "MATLAB_class); expected a .mat of version 7.3. Save its B-scans as .npz."
            )
        return {name: d.shape[::-1] for name, d in datasets.items() if kind(d) in _NUMBERS}
