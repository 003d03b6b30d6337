"""Heidelberg `.e2e`: chunks found through linked directories, several series in a file.

Read here: eyepy 0.21 follows jumps in the file back and forth without end, believes every count,
and needs a fundus picture. Mantissas are read in their plain order, as an independent MATLAB
reader does; eyepy and oct-converter reverse their bits, which makes intensities jump. The tests
compare structure and order with eyepy on a synthetic file; no real
file was at hand. Lateral extent is in degrees there, so there is no spacing in mm.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from medream.errors import ScanError
from medream.readers.header import Header, chosen
from medream.readers.heidelberg import DEVICE, displayed, text
from medream.readers.names import cannot_read
from medream.readers.pseudonym import pseudonym
from medream.scan import Scan, Source

NAME = "Heidelberg .e2e"

_MAGIC = b"CMDb"
_MULTIPLE, _SKIPPED = b"E2EMultipleVolumeFile", 64  # some files carry a prefix of 64 bytes
_DIRECTORY = struct.Struct("<12sI20sIIII")  # magic, version, ?, entries, current, previous, ?
_ENTRY = struct.Struct("<IIIIiiiiHHII")  # from, start, bytes, ?, patient, study, series, slice, ...
_FIRST_DIRECTORY = 36
_CONTENT = 60  # bytes of a chunk's own header
_IMAGE = struct.Struct("<IIIII")  # bytes, kind, values, depth, width
_BSCAN_KIND = 35652097
_PATIENT, _EYE, _BSCAN_INFO, _PICTURE = 9, 11, 10004, 0x40000000
_PATIENT_ID_AT, _EYE_AT, _NUMBER_AT = 102, 14, 68
_EYES = {b"R": "OD", b"L": "OS"}
_MOST_DIRECTORIES = 65536
_NO_SIGNAL = 1.99
# Unsigned 16 bit floating point: 6 bits of exponent, 10 of mantissa.
_CODES = np.arange(1 << 16)
_FLOATS = np.ldexp(1 + (_CODES & 1023) / 1024, (_CODES >> 10) - 63).astype(np.float32)


class _Chunk(NamedTuple):
    start: int
    size: int
    owner: tuple[int, int, int]  # patient, study, series
    slice: int
    kind: int


@dataclass
class _Series:
    pictures: dict[int, int] = field(default_factory=dict)  # where the B-scan of a slice is
    numbers: dict[int, int] = field(default_factory=dict)  # its position in the volume
    sizes: set[tuple[int, int]] = field(default_factory=set)
    eye: str | None = None


@dataclass(frozen=True)
class _Volume:
    header: Header
    places: tuple[int, ...]


def sniff(path: Path, head: bytes) -> bool:
    """Tell from its first bytes whether a file is a Heidelberg `.e2e`."""
    return head.startswith((_MAGIC, _MULTIPLE))


def header(path: Path) -> list[Header]:
    """Return one header for each series of B-scans, without reading pixels."""
    return [volume.header for volume in _volumes(path)]


def read(path: Path, only: Sequence[int] | None = None) -> list[Scan]:
    """Read the B-scans of every series in turn, or those at the positions `only`."""
    volumes = _volumes(path)
    listed = [(volume, k) for volume in volumes for k in range(len(volume.places))]
    scans = []
    for position in chosen(only, len(listed), path):
        volume, index = listed[position]
        about = volume.header
        depth, width = about.size
        codes = np.fromfile(path, "<u2", depth * width, offset=volume.places[index])
        image, valid = displayed(_FLOATS[codes.reshape(depth, width)], path, _NO_SIGNAL)
        source = Source(
            subject_id=about.subject_id,
            volume_id=about.volume_id,
            bscan_index=index,
            laterality=about.laterality,
            device=about.device,
        )
        scans.append(Scan(image, valid=valid, source=source))
    return scans


def _volumes(path: Path) -> list[_Volume]:
    try:
        with open(path, "rb") as file:
            end = file.seek(0, 2)
            file.seek(0)
            skip = _SKIPPED if file.read(len(_MULTIPLE)) == _MULTIPLE else 0
            series, patients = _contents(file, _chunks(file, skip, end, path), skip, end, path)
    except OSError as error:
        raise cannot_read(path, error) from error
    found = []
    for owner, one in sorted(series.items()):
        if len(one.sizes) > 1:
            raise ScanError(
                f"{path}: the B-scans of a series differ in size ({sorted(one.sizes)}); expected "
                "one size. Export the volume alone."
            )
        if not one.pictures:
            continue
        order = sorted(one.pictures, key=lambda k: (one.numbers.get(k, k), k))
        patient = patients.get(owner[0], "")
        about = Header(
            format=NAME,
            bscans=len(order),
            size=next(iter(one.sizes)),
            device=DEVICE,
            laterality=one.eye,
            # The database's own number tells people of one file apart where there is no other.
            subject_id=pseudonym("subject", patient or f"e2e {owner[0]}"),
            volume_id=pseudonym("volume", patient, *owner),
            path=str(path),
        )
        found.append(_Volume(about, tuple(one.pictures[k] for k in order)))
    if not found:
        raise ScanError(f"{path} is a {NAME} file without B-scans. Export the volume again.")
    return found


def _chunks(file: BinaryIO, skip: int, end: int, path: Path) -> list[_Chunk]:
    """Return the chunks that the directories list, in the order of the file."""
    _, _, _, _, at, _, _ = _directory(file, skip + _FIRST_DIRECTORY, path)
    seen: set[int] = set()
    found: dict[int, _Chunk] = {}
    total = 0
    while at:
        if at in seen or len(seen) >= _MOST_DIRECTORIES:
            raise _damaged(path, "its directories lead in a circle")
        seen.add(at)
        _, _, _, entries, _, previous, _ = _directory(file, skip + at, path)
        total += entries
        if total * _ENTRY.size > end:
            raise _damaged(path, f"its directories say they have {total} entries")
        listed = file.read(entries * _ENTRY.size)
        if len(listed) < entries * _ENTRY.size:
            raise _damaged(path, f"a directory says it has {entries} entries")
        for origin, start, size, _, *owner, piece, _, _, kind, _ in _ENTRY.iter_unpack(listed):
            if start > origin:  # others are empty
                if skip + start + _CONTENT + size > end:
                    raise _damaged(path, f"a chunk of {size} bytes begins at {start}")
                found[start] = _Chunk(start, size, (owner[0], owner[1], owner[2]), piece, kind)
        at = previous
    return [found[start] for start in sorted(found)]


def _directory(file: BinaryIO, at: int, path: Path) -> tuple:
    file.seek(at)
    raw = file.read(_DIRECTORY.size)
    if len(raw) < _DIRECTORY.size or (raw[:5] != b"MDbMD" and raw[:5] != b"MDbDi"):
        raise _damaged(path, f"there is no directory at {at}")
    return _DIRECTORY.unpack(raw)


def _contents(
    file: BinaryIO, chunks: list[_Chunk], skip: int, end: int, path: Path
) -> tuple[dict[tuple[int, int, int], _Series], dict[int, str]]:
    series: dict[tuple[int, int, int], _Series] = {}
    patients: dict[int, str] = {}

    def content(chunk: _Chunk, at: int, size: int) -> bytes:
        file.seek(skip + chunk.start + _CONTENT + at)
        return file.read(min(size, max(chunk.size - at, 0)))

    for chunk in chunks:
        one = series.setdefault(chunk.owner, _Series())
        if chunk.kind == _PATIENT:
            patients[chunk.owner[0]] = text(content(chunk, _PATIENT_ID_AT, 25))
        elif chunk.kind == _EYE:
            one.eye = _EYES.get(content(chunk, _EYE_AT, 1), one.eye)
        elif chunk.kind == _BSCAN_INFO:
            one.numbers[chunk.slice] = int.from_bytes(content(chunk, _NUMBER_AT, 4), "little")
        elif chunk.kind == _PICTURE and chunk.size >= _IMAGE.size:
            _, kind, _, depth, width = _IMAGE.unpack(content(chunk, 0, _IMAGE.size))
            if kind != _BSCAN_KIND:
                continue  # a fundus picture
            if not depth or not width or depth * width * 2 > chunk.size - _IMAGE.size:
                raise _damaged(path, f"a B-scan says it has {depth} x {width} pixels")
            one.pictures[chunk.slice] = skip + chunk.start + _CONTENT + _IMAGE.size
            one.sizes.add((depth, width))
    return series, patients


def _damaged(path: Path, what: str) -> ScanError:
    return ScanError(
        f"{path} is damaged or cut short ({what}); expected a complete {NAME} file. Export it "
        "again."
    )
