"""Bioptigen `.OCT`: named values, then one group of them for each B-scan.

Read here: oct-converter 0.7 walks the whole file to tell its size, hands out uninitialised
memory for a file cut short, and brings all of OpenCV. The tests compare both on synthetic files;
no real file was at hand. The units of the scan's extent are not documented, so there is no
spacing; the eye is not in the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from medream.errors import ScanError
from medream.readers.header import Header, chosen
from medream.readers.names import cannot_read
from medream.readers.valid import valid_mask
from medream.scan import Scan, Source

NAME = "Bioptigen .OCT"
DEVICE = "Bioptigen"

_FIRST_GROUP = 6  # after the magic number and the version
_HEADER, _FRAME, _PIXELS = "FRAMEHEADER", "FRAMEDATA", "FRAMESAMPLES"
_MOST_BSCANS = 65536
_MOST_FIELDS = 64  # in a group
_MOST_PIXELS = 1 << 28


@dataclass(frozen=True)
class _Layout:
    header: Header
    frames: tuple[int, ...]  # where the pixels of each B-scan begin


def sniff(path: Path, head: bytes) -> bool:
    """Tell from its first bytes whether a file is a Bioptigen `.OCT`."""
    return head[6:10] == len(_HEADER).to_bytes(4, "little") and head[10:21] == _HEADER.encode()


def header(path: Path) -> list[Header]:
    """Return what the file's header says, and where its B-scans are, without reading pixels."""
    return [_layout(path).header]


def read(path: Path, only: Sequence[int] | None = None) -> list[Scan]:
    """Read the B-scans in order of acquisition, or those at the positions `only`."""
    layout = _layout(path)
    about = layout.header
    depth, width = about.size
    scans = []
    for position in chosen(only, about.bscans, path):
        raw = np.fromfile(path, "<u2", depth * width, offset=layout.frames[position])
        # One A-scan after the other.
        image = (raw.reshape(width, depth).T / np.float32(65535)).astype(np.float32)
        source = Source(bscan_index=position, device=about.device)
        scans.append(Scan(image, valid=valid_mask(image), source=source))
    return scans


def _layout(path: Path) -> _Layout:
    try:
        with open(path, "rb") as file:
            end = file.seek(0, 2)
            file.seek(_FIRST_GROUP)
            fields = _group(file, _HEADER, end, path)
            bscans, depth = (_integer(file, fields, n, path) for n in ("FRAMECOUNT", "LINELENGTH"))
            if not (0 < bscans <= _MOST_BSCANS and 0 < depth <= _MOST_PIXELS):
                raise ScanError(
                    f"{path} says it holds {bscans} B-scans of depth {depth}, which no device "
                    "makes. It is damaged: export or copy it again."
                )
            frames, width = [], None
            for position in range(bscans):
                group = _group(file, _FRAME, end, path)
                lines = _integer(file, group, "FRAMELINES", path)
                place, size = group.get(_PIXELS, (0, 0))
                width = lines if width is None else width
                if lines != width or not width or size != depth * width * 2:
                    raise ScanError(
                        f"{path}: B-scan {position} has {lines} A-scans of depth {depth} in {size} "
                        f"bytes; expected {width} A-scans of 16 bit, as the first B-scan has. "
                        "Export or copy it again."
                    )
                frames.append(place)
    except OSError as error:
        raise cannot_read(path, error) from error
    about = Header(
        format=NAME, bscans=bscans, size=(depth, width or 0), device=DEVICE, path=str(path)
    )
    return _Layout(about, tuple(frames))


def _group(file: BinaryIO, name: str, end: int, path: Path) -> dict[str, tuple[int, int]]:
    """Return where the fields of the group that begins here are; stops behind the group."""

    def number() -> int:
        raw = file.read(4)
        if len(raw) < 4:
            raise _cut_short(path, name)
        return int.from_bytes(raw, "little")

    def key() -> str | None:
        length = number()
        if length > 64:
            raise _cut_short(path, name)
        return file.read(length).decode("latin-1").rstrip("\0") if length else None

    if key() != name:
        raise _cut_short(path, name)
    number()  # length of the whole group, which is not always right
    found: dict[str, tuple[int, int]] = {}
    for _ in range(_MOST_FIELDS):
        field = key()
        if field is None:
            return found
        size = number()
        found[field] = file.tell(), size
        if file.tell() + size > end:
            raise _cut_short(path, name)
        file.seek(size, 1)
    raise _cut_short(path, name)


def _integer(file: BinaryIO, fields: dict[str, tuple[int, int]], name: str, path: Path) -> int:
    place, size = fields.get(name, (0, 0))
    if not 0 < size <= 8:
        raise ScanError(f"{path} does not say {name}; expected a complete {NAME} file.")
    behind = file.tell()
    file.seek(place)
    value = int.from_bytes(file.read(size), "little")
    file.seek(behind)
    return value


def _cut_short(path: Path, name: str) -> ScanError:
    return ScanError(
        f"{path} is damaged or cut short at {name}; expected a complete {NAME} file. Export or "
        "copy it again."
    )
