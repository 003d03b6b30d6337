"""Variables of MATLAB files, version 5 (scipy) and 7.3 (h5py), one at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from medream.errors import ScanError
from medream.readers.names import read_head

T = TypeVar("T")
_HDF5 = b"\x89HDF\r\n\x1a\n"


def variables(path: Path) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the variables, in MATLAB's order of axes, without reading them.

    Raises
    ------
    ScanError
        When the file is no MATLAB file, or is damaged.
    """
    if is_v73(path):
        return _with_h5(
            path, lambda file: {n: v.shape[::-1] for n, v in file.items() if _is_array(v)}
        )

    def look() -> dict[str, tuple[int, ...]]:
        from scipy.io import whosmat

        return {name: tuple(shape) for name, shape, _ in whosmat(path)}

    return _guarded(path, look)


def bscan(path: Path, name: str, k: int) -> np.ndarray:
    """Return B-scan `k` of a variable of shape (depth, width, B-scans).

    Version 7.3 reads that B-scan alone. Version 5 compresses a variable as a whole, so it is read
    once and kept until two others have been.
    """
    if is_v73(path):
        return _with_h5(path, lambda file: np.asarray(_own(file, name, path)[k]).T)
    return variable(path, name)[:, :, k]


def variable(path: Path, name: str) -> np.ndarray:
    """Return a whole variable of a version 5 file."""
    return _variable(path, name, path.stat().st_mtime_ns)


def load(path: Path, name: str) -> np.ndarray:
    """Return a whole variable in MATLAB's order of axes, and keep nothing."""
    if is_v73(path):
        return _with_h5(path, lambda file: np.asarray(_own(file, name, path)).T)

    def read() -> np.ndarray:
        from scipy.io import loadmat

        return np.asarray(loadmat(path, variable_names=[name])[name])

    return _guarded(path, read)


def cells(path: Path, name: str) -> list[np.ndarray]:
    """Return the arrays in a cell array (1, n), in MATLAB's order of axes."""
    if is_v73(path):

        def read(file: Any) -> list[np.ndarray]:
            references = np.asarray(_own(file, name, path)).ravel()
            return [np.asarray(file[reference]).T for reference in references]

        return _with_h5(path, read)
    found = load(path, name)
    if found.dtype != object:
        raise ScanError(f"{path}: {name} is no cell array; expected one cell for each subject.")
    return [np.asarray(cell) for cell in found.ravel()]


@lru_cache(maxsize=2)
def _variable(path: Path, name: str, changed: int) -> np.ndarray:
    return load(path, name)


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape")


def _own(file: Any, name: str, path: Path) -> Any:
    """Return a variable that lies in the file itself; HDF5 can point into other files."""
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink) or file[name].external:
        raise ScanError(f"{path}: {name} lies in another file, which is not followed.")
    return file[name]


def is_v73(path: Path) -> bool:
    """Tell whether a file is HDF5, as MATLAB writes with -v7.3 (512 bytes of text may lead)."""
    head = read_head(path, 520)
    return head.startswith(_HDF5) or head[512:520] == _HDF5


def _with_h5(path: Path, use: Callable[[Any], T]) -> T:
    def opened() -> T:
        import h5py

        with h5py.File(path, "r") as file:
            return use(file)

    return _guarded(path, opened)


def _guarded(path: Path, read: Callable[[], T]) -> T:
    """Turn whatever scipy and h5py may raise on a damaged file into a ScanError."""
    try:
        return read()
    except ScanError:
        raise
    except Exception as error:
        raise ScanError(
            f"{path} cannot be read as a MATLAB file ({str(error) or type(error).__name__}); "
            "expected a complete one of version 5 or 7.3. Copy it again."
        ) from error
