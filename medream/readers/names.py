"""What file names tell: natural order, raster files of a folder, the subject in a name."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from medream.errors import ScanError, nearest

RASTER_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})
SCAN_SUFFIXES = frozenset({
    ".dcm", ".nii", ".hdr", ".img", ".mhd", ".mha", ".nrrd", ".nhdr", ".mat", ".vol", ".e2e",
    ".fda", ".fds", ".oct", ".npy", ".npz",
})  # fmt: skip
_RASTER_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# TRAIN012 and TEST012 are subjects in RETOUCH; "train_1" or "test3" is a file of a split.
SUBJECT_PATTERN = re.compile(
    r"(?:^|(?<=[^A-Za-z0-9]))"
    r"(?P<subject>(?i:subject|subj|sub|patient|pat|phantom|p)[_\- ]?\d+|(?:TRAIN|TEST)\d{3})"
    r"(?![A-Za-z0-9])"
)


def natural_key(name: str | Path) -> tuple[list[tuple[int, int, str]], str]:
    """Return a sort key under which `bscan_2` comes before `bscan_10`.

    >>> sorted(["bscan_10", "bscan_2", "bscan_1"], key=natural_key)
    ['bscan_1', 'bscan_2', 'bscan_10']
    """
    pieces = re.split(r"([0-9]+)", str(name).casefold())
    key = [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in pieces if p]
    return key, str(name)  # names that differ only by case or leading zeros still have one order


def subject_in(relative: Path, pattern: re.Pattern[str] = SUBJECT_PATTERN) -> str | None:
    """Return the subject that a path names, looking at the stem first and then its folders.

    Parameters
    ----------
    relative : Path
        Path of the file below the data set's folder.
    pattern : compiled pattern
        The group named `subject` is the subject; without one, the whole match.

    >>> subject_in(Path("train/Image/subject01_bscan05.png"))
    'subject01'
    >>> subject_in(Path("patient3/raw/0007.png"))
    'patient3'
    """
    for text in (relative.stem, *reversed(relative.parts[:-1])):
        if found := pattern.search(text):
            return found["subject"] if "subject" in pattern.groupindex else found[0]
    return None


def is_raster(head: bytes) -> bool:
    """Tell from its first bytes whether a file is a PNG, JPEG, TIFF or BMP."""
    # "BM" alone begins many texts; a bitmap has its four reserved bytes zero.
    return head.startswith(_RASTER_MAGIC) or (head[:2] == b"BM" and head[6:10] == b"\0\0\0\0")


def read_head(path: Path, size: int = 512) -> bytes:
    """Return the first bytes of a file.

    Raises
    ------
    ScanError
        When the file cannot be opened, or is a pipe or device, which might never end.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ScanError(
                f"{path} is no file of data (a pipe, device or folder); expected a scan."
            )
        with open(path, "rb") as file:
            return file.read(size)
    except (OSError, ValueError) as error:
        raise cannot_read(path, error) from error


def cannot_read(path: Path, error: Exception) -> ScanError:
    """Return the error for a path that the system does not let us read."""
    if isinstance(error, FileNotFoundError):
        try:
            known = [entry.name for entry in path.parent.iterdir()]
        except OSError:
            known = []
        hint = " " + nearest(path.name, known) if known else ""
        return ScanError(f"{path} does not exist; expected a file or folder of scans.{hint}")
    reason = getattr(error, "strerror", None) or error
    return ScanError(f"Cannot read {path}: {reason}. Check the path and its permissions.")


def raster_files(folder: Path, recursive: bool = False) -> list[Path]:
    """Return the raster files of a folder in natural order.

    A file counts by its suffix or by its first bytes, so that a damaged PNG is reported later
    rather than overlooked. Hidden files are left out; links are followed, cycles only once.

    Raises
    ------
    ScanError
        When the folder cannot be listed.
    """
    return [file for file in files_in(folder, recursive) if _counts_as_raster(file)]


def files_in(folder: Path, recursive: bool = False) -> list[Path]:
    """Return all files of a folder in natural order, as `raster_files` does.

    Raises
    ------
    ScanError
        When the folder cannot be listed.
    """
    found = _walk(Path(folder), recursive, set())
    return sorted(found, key=lambda file: [natural_key(part) for part in file.parts])


def _counts_as_raster(file: Path) -> bool:
    if file.suffix.lower() in RASTER_SUFFIXES:
        return True
    try:
        return is_raster(read_head(file))
    except ScanError:
        return False


def _walk(folder: Path, recursive: bool, seen: set[tuple[int, int]]) -> Iterator[Path]:
    try:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: natural_key(entry.name))
    except (OSError, ValueError) as error:
        raise cannot_read(folder, error) from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = folder / entry.name
        if path.is_dir():
            if recursive:
                yield from _walk(path, recursive, seen)
        elif path.is_file() or path.is_symlink():
            yield path
