"""Volumes with a header (MetaImage, NIfTI, NRRD), read by SimpleITK one B-scan at a time.

Arrays come as (bscan, depth, width), the order in which SimpleITK gives them and in which RETOUCH
and nnU-Net store OCT volumes: x fastest, B-scans along z.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medream.errors import MissingExtraError, ScanError
from medream.readers.names import read_head

SUFFIXES = (".mhd", ".mha", ".nii", ".nii.gz", ".nrrd")
_MOST = 1 << 20  # a header that claims more than this along an axis is damaged


@dataclass(frozen=True)
class VolumeHeader:
    """What a volume's header tells; a file with one B-scan has `bscans` 1."""

    bscans: int
    spacing_mm: tuple[float, float] | None


def header(path: Path) -> VolumeHeader:
    """Read the header of a volume without its voxels.

    Raises
    ------
    ScanError
        When the file is no volume of one channel with three axes, or its header leads to a file
        elsewhere.
    """
    reader = _reader(path)
    size, spacing = reader.GetSize(), reader.GetSpacing()
    if len(size) not in (2, 3) or reader.GetNumberOfComponents() != 1:
        raise ScanError(
            f"{path} has {len(size)} axes and {reader.GetNumberOfComponents()} channels; expected "
            "a grey volume (bscan, depth, width)."
        )
    if not all(0 < n <= _MOST for n in size):
        raise ScanError(
            f"{path} claims {' x '.join(map(str, size))} voxels; its header is damaged."
        )
    known = all(np.isfinite(s) and s > 0 for s in spacing) and set(spacing) != {1.0}
    return VolumeHeader(
        bscans=size[2] if len(size) == 3 else 1,
        # 1, 1, 1 is what a file without spacing says.
        spacing_mm=(spacing[1], spacing[0]) if known else None,
    )


def plane(path: Path, k: int) -> np.ndarray:
    """Read B-scan `k` of a volume as its file's own numbers, shape (depth, width).

    An uncompressed MetaImage gives that B-scan alone; other files are read as a whole.
    """
    reader = _reader(path)
    size = list(reader.GetSize())
    if len(size) == 3:
        if not 0 <= k < size[2]:
            raise ScanError(f"{path} has no B-scan {k}; expected 0 to {size[2] - 1}.")
        reader.SetExtractIndex([0, 0, k])
        reader.SetExtractSize([size[0], size[1], 0])
    try:
        import SimpleITK

        image = reader.Execute()
        return SimpleITK.GetArrayFromImage(image)
    except RuntimeError as error:
        raise _damaged(path, error) from error


def gray_plane(path: Path, k: int) -> np.ndarray:
    """Read B-scan `k` as float32 in [0, 1], divided by the full range of the file's type."""
    array = plane(path, k)
    if array.dtype not in (np.uint8, np.uint16):
        raise ScanError(
            f"{path} has voxels of type {array.dtype}; expected uint8 or uint16, whose full range "
            "is black to white."
        )
    return (array / float(np.iinfo(array.dtype).max)).astype(np.float32)


def _reader(path: Path) -> Any:
    try:
        import SimpleITK
    except ImportError as error:
        raise MissingExtraError(
            f"{path} needs SimpleITK to be read; install it with 'pip install SimpleITK'."
        ) from error
    _stay_inside(path)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _damaged(path, error) from error
    return reader


def _stay_inside(path: Path) -> None:
    """Refuse a MetaImage or NRRD header whose voxels lie outside of its own folder."""
    head = read_head(path, 1 << 14)
    if not head:
        raise ScanError(f"{path} is empty (0 bytes). Copy it again.")
    for line in head.splitlines():
        key, separator, value = line.partition(b"=" if b"=" in line else b":")
        if not separator or key.strip().lower() not in (
            b"elementdatafile",
            b"data file",
            b"datafile",
        ):
            continue
        name = value.strip().decode("utf-8", "replace")
        if name == "LOCAL":
            return
        if "/" in name or "\\" in name or "%" in name or name.startswith(("LIST", "..")):
            raise ScanError(
                f"{path} says that its voxels lie in {name!r}; expected a file of its own folder."
            )
        if not (path.parent / name).is_file():
            raise ScanError(f"{path} needs its voxels in {name}, which is not there. Copy it too.")
        return


def _damaged(path: Path, error: Exception) -> ScanError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ScanError(
        f"{path} is damaged or cut short ({lines[-1] if lines else type(error).__name__}); "
        "expected a complete volume. Copy it again."
    )
