"""Volumes of data sets (MetaImage, NIfTI, NRRD), one B-scan at a time.

Their axes are (width, depth, B-scan) as the file stores them, the order of RETOUCH and nnU-Net, so
that nothing has to be guessed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medream.errors import ScanError
from medream.readers import Header, metaimage, nifti, read_headers

SUFFIXES = (".mhd", ".mha", ".nii", ".nii.gz", ".nrrd")
_AXES = ("width", "depth", "bscan")


def header(path: Path) -> Header:
    """Read the header of a volume, or of a single B-scan, without its voxels.

    Raises
    ------
    ScanError
        When the file is no grey volume, or its header leads to a file elsewhere.
    """
    (found,) = read_headers(path, axes=_AXES)
    return found


def plane(path: Path, k: int) -> np.ndarray:
    """Read B-scan `k` of a volume as its file's own numbers, shape (depth, width).

    Only uncompressed files give that B-scan alone; others are unpacked up to it or as a whole.
    """
    read = nifti.stored if ".nii" in path.name.lower() else metaimage.stored
    return read(path, k, _AXES)


def gray_plane(path: Path, k: int) -> np.ndarray:
    """Read B-scan `k` as float32 in [0, 1], divided by the full range of the file's type."""
    array = plane(path, k)
    if array.dtype not in (np.uint8, np.uint16):
        raise ScanError(
            f"{path} has voxels of type {array.dtype}; expected uint8 or uint16, whose full range "
            "is black to white."
        )
    return (array / float(np.iinfo(array.dtype).max)).astype(np.float32)
