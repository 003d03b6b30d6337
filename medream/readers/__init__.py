"""A file or folder of OCT pictures -> list of `Scan`, chosen by content and not by name.

To add a format: a file here with `read(path) -> list[Scan]`, and a line in `FORMATS`.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from medream.errors import ScanError
from medream.files import sha256_of
from medream.readers import arrays, raster
from medream.readers.names import (
    cannot_read,
    is_raster,
    raster_files,
    read_head,
    subject_in,
)
from medream.readers.raster import not_an_image, read_gray, read_labels
from medream.readers.valid import valid_mask
from medream.scan import Scan

__all__ = ["FORMATS", "Format", "read_gray", "read_labels", "read_scans", "valid_mask"]


@dataclass(frozen=True)
class Format:
    """A file format: how its first 512 bytes look, and how it is read.

    `read` is None for a format that is recognised and refused.
    """

    name: str
    sniff: Callable[[bytes], bool]
    read: Callable[[Path], list[Scan]] | None = None


def _is_nifti(head: bytes) -> bool:
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] == b"n+2\0"


FORMATS = (
    Format("raster image", is_raster, raster.read),
    Format("NumPy file", arrays.is_numpy, arrays.read),
    Format("DICOM", lambda head: head[128:132] == b"DICM"),
    Format("NIfTI", _is_nifti),
    Format("Heidelberg .vol", lambda head: head.startswith(b"HSF-OCT-")),
    Format("Heidelberg .e2e", lambda head: head.startswith(b"CMDb")),
    Format("Topcon .fda", lambda head: head.startswith(b"FOCT")),
    Format("MetaImage", lambda head: head.startswith((b"ObjectType", b"NDims"))),
    Format("MATLAB", lambda head: head.startswith(b"MATLAB 5.0")),
    Format("HDF5 (MATLAB 7.3)", lambda head: head.startswith(b"\x89HDF\r\n\x1a\n")),
)


def read_scans(path: str | Path) -> list[Scan]:
    """Read every B-scan of a file, or of a folder's pictures in natural order as one volume.

    Reads PNG, JPEG, TIFF, BMP, .npy and .npz; the format is told from the content.

    Parameters
    ----------
    path : path of a file or folder

    Returns
    -------
    list of Scan
        In order of acquisition, with `valid`, the file and its hash filled in. A subject is
        named when the path names one (`subject01_...`), otherwise it is the volume's name.

    Raises
    ------
    ScanError
        When there is nothing to read; the message names the file and what was found in it.

    Examples
    --------
    >>> import tempfile, numpy as np, medream.readers as readers
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/patient3_volume.npy", np.zeros((5, 40, 60), "uint8"))
    ...     scans = readers.read_scans(f"{folder}/patient3_volume.npy")
    >>> len(scans), scans[4].shape, scans[4].source.subject_id, scans[4].source.bscan_index
    (5, (40, 60), 'patient3', 4)
    """
    path = Path(path)
    try:
        is_folder = path.is_dir()
    except (OSError, ValueError) as error:
        raise cannot_read(path, error) from error
    files = raster_files(path) if is_folder else [path]
    if not files:
        inside = any(raster_files(path, recursive=True))
        raise ScanError(
            f"{path} holds no PNG, JPEG, TIFF or BMP of its own; expected the B-scans of a volume."
            + (" Give one of its folders, or open it with open_dataset." if inside else "")
        )
    scans: list[Scan] = []
    # A link or "." has no telling name of its own.
    named = path if path.name not in ("", "..") else path.resolve()
    volume = named.name if is_folder else named.stem
    for file in files:
        subject = subject_in(Path(volume) / file.name) or volume
        digest = None
        for scan in _read_file(file):
            digest = digest or sha256_of(file)
            origin = replace(
                scan.source,
                dataset=named.parent.name or scan.source.dataset,
                subject_id=subject,
                volume_id=volume,
                bscan_index=len(scans),
                path=str(file),
                sha256=digest,
            )
            scans.append(replace(scan, source=origin))
    return scans


def _read_file(path: Path) -> list[Scan]:
    head = read_head(path)
    if head.startswith(b"\x1f\x8b"):
        head = _unzipped_head(path)
    for known in FORMATS:
        if known.sniff(head):
            if known.read is None:
                raise ScanError(
                    f"{path} is a {known.name} file, which is not read yet. Export the B-scans as "
                    "PNG or TIFF, or save them as .npz."
                )
            return known.read(path)
    names = ", ".join(known.name for known in FORMATS if known.read)
    raise not_an_image(path, head, f"a {names} (PNG, JPEG, TIFF, BMP, .npy or .npz)")


def _unzipped_head(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.read(512)
    except (OSError, EOFError) as error:
        raise ScanError(f"{path} is a damaged gzip file ({error}). Copy the file again.") from error
