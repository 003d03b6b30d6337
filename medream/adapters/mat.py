"""B-scans of MATLAB data sets, one at a time, and the shapes that are there; see `readers.matlab`."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from medream.readers.matlab import REFERENCES, Shapes, is_hdf5, load_variable
from medream.readers.matlab import variables as of_kinds

_BSCANS = 2  # the axis


def variables(path: Path) -> Shapes:
    """Return names and shapes of the variables of numbers and of cells; see `readers.matlab`."""
    return of_kinds(path, REFERENCES)


def bscan(path: Path, name: str, k: int, cell: int | None = None) -> np.ndarray:
    """Return B-scan `k` of a variable, or of one of its cells, of shape (depth, width, B-scans).

    Version 7.3 reads that B-scan alone. Version 5 packs a variable as a whole, so the array is
    read once and kept until a few others have been.
    """
    if is_hdf5(path):
        return load_variable(path, name, _BSCANS, k, cell)
    return _kept(path, name, cell, path.stat().st_mtime_ns)[:, :, k]


@lru_cache(maxsize=4)
def _kept(path: Path, name: str, cell: int | None, changed: int) -> np.ndarray:
    return load_variable(path, name, cell=cell)
