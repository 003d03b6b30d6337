"""Topcon `.fda` and `.fds`: a run of named chunks, of which a few are needed.

Read here: oct-converter 0.7 cannot read them beside NumPy 2.3 or later. The layout is that of
oct-converter, with which the tests compare synthetic files; no real file was at hand.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from medream.errors import ScanError
from medream.readers.header import Header, chosen
from medream.readers.heidelberg import positive, text
from medream.readers.names import cannot_read
from medream.readers.pseudonym import pseudonym
from medream.readers.valid import valid_mask
from medream.scan import Scan, Source

NAME = "Topcon .fda/.fds"

_MAGIC = b"FOCT"
_FIRST_CHUNK = 15
_MOST_CHUNKS = 4096
_MOST_BSCANS = 65536
_COMPRESSED = struct.Struct("<BIIIIII")  # mode, ?, ?, width, depth, B-scans, ?
_RAW = struct.Struct("<BIIIIBI")  # mode, width, depth, bits, B-scans, format, bytes
_RASTER = 2  # of the modes; 3 is radial, 4 a cross
_EYES = {0: "OD", 1: "OS"}
_SCAN_MM = {"@PARAM_SCAN_04": 12, "@PARAM_SCAN_02": 21}  # where x and y in mm, z in um are


@dataclass(frozen=True)
class _Layout:
    header: Header
    load: Callable[[int], np.ndarray]


def sniff(path: Path, head: bytes) -> bool:
    """Tell from its first bytes whether a file is a Topcon `.fda` or `.fds`."""
    return head.startswith(_MAGIC)


def header(path: Path) -> list[Header]:
    """Return what the file's chunks say, without reading pixels."""
    return [_layout(path).header]


def read(path: Path, only: Sequence[int] | None = None) -> list[Scan]:
    """Read the B-scans, or those at the positions `only`."""
    layout = _layout(path)
    about = layout.header
    scans = []
    for position in chosen(only, about.bscans, path):
        image = layout.load(position)
        source = Source(
            subject_id=about.subject_id,
            bscan_index=position,
            laterality=about.laterality,
            device=about.device,
        )
        scans.append(
            Scan(image, valid=valid_mask(image), spacing_mm=about.spacing_mm, source=source)
        )
    return scans


def _layout(path: Path) -> _Layout:
    try:
        with open(path, "rb") as file:
            chunks = _chunks(file, path)
            for name, open_pixels in _PIXELS.items():
                if name in chunks:
                    mode, bscans, size, load = open_pixels(file, *chunks[name], path)
                    break
            else:
                raise ScanError(
                    f"{path} holds no B-scans that can be read ({', '.join(sorted(chunks))}); "
                    f"expected a chunk {', '.join(_PIXELS)}. Export the volume as DICOM."
                )

            def start(*names: str, size: int) -> bytes:
                for name in names:
                    if name in chunks and chunks[name][1] >= size:
                        file.seek(chunks[name][0])
                        return file.read(size)
                return b""

            eye = start("@CAPTURE_INFO_02", "@CAPTURE_INFO", size=1)
            patient = text(start("@PATIENT_INFO_02", "@PATIENT_INFO", size=32))
            model = text(start("@HW_INFO_03", "@HW_INFO_02", "@HW_INFO_01", size=16))
            extent = next(
                (e for name, at in _SCAN_MM.items() if (e := start(name, size=at + 24))), b""
            )
    except OSError as error:
        raise cannot_read(path, error) from error
    x, y, z = struct.unpack("<3d", extent[-24:]) if extent else (np.nan, np.nan, np.nan)
    axial, lateral = z / 1000, x / size[1]
    between = y / bscans
    about = Header(
        format=NAME,
        bscans=bscans,
        size=size,
        device=f"Topcon {model}".strip(),
        laterality=_EYES.get(eye[0]) if eye else None,
        spacing_mm=(axial, lateral) if positive(axial) and positive(lateral) else None,
        bscan_spacing_mm=between if mode == _RASTER and bscans > 1 and positive(between) else None,
        subject_id=pseudonym("subject", patient),
        path=str(path),
    )
    return _Layout(about, load)


def _chunks(file: BinaryIO, path: Path) -> dict[str, tuple[int, int]]:
    """Return where each chunk's content begins and how long it is; the first of several."""
    end = file.seek(0, 2)
    at = _FIRST_CHUNK
    found: dict[str, tuple[int, int]] = {}
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        length = file.read(1)
        if length == b"\0":
            return found
        name = file.read(length[0]) if length else b""
        size = file.read(4)
        at = file.tell() + (int.from_bytes(size, "little") if len(size) == 4 else end)
        if at > end or not name.startswith(b"@"):
            break
        found.setdefault(name.decode("ascii", "replace"), (file.tell(), at - file.tell()))
    raise ScanError(
        f"{path} is damaged or cut short after the chunks {', '.join(sorted(found)) or '(none)'}; "
        f"expected a complete {NAME} file. Export or copy it again."
    )


def _compressed(
    file: BinaryIO, start: int, length: int, path: Path
) -> tuple[int, int, tuple[int, int], Callable[[int], np.ndarray]]:
    """B-scans as JPEG 2000 or JPEG, each behind its length."""
    fields = _unpack(_COMPRESSED, file, start, length, path)
    mode, width, depth, bscans = fields[0], *fields[3:6]
    at, places = start + _COMPRESSED.size, []
    _check_counts(bscans, depth, width, path)
    for _ in range(bscans):
        file.seek(at)
        size = int.from_bytes(file.read(4), "little")
        places.append((at + 4, size))
        at += 4 + size
        if at > start + length:
            raise ScanError(
                f"{path} says it holds {bscans} B-scans, but ends within the B-scan "
                f"{len(places) - 1}. Export or copy it again."
            )

    def load(position: int) -> np.ndarray:
        place, size = places[position]
        with open(path, "rb") as again:
            again.seek(place)
            content = again.read(size)
        try:
            with Image.open(io.BytesIO(content), formats=("JPEG2000", "JPEG")) as picture:
                if picture.size != (width, depth):
                    raise ValueError(f"{picture.size[1]} x {picture.size[0]} pixels")
                full = 65535 if picture.mode.startswith("I") else 255
                array = np.asarray(picture if full > 255 else picture.convert("L"))
        except Exception as error:  # Pillow's decoders raise whatever their parsing trips over
            raise ScanError(
                f"{path}: B-scan {position} is damaged ({error}); expected a JPEG 2000 picture of "
                f"{depth} x {width} pixels. Export or copy the file again."
            ) from error
        return (array / full).clip(0, 1).astype(np.float32)

    return mode, bscans, (depth, width), load


def _raw(
    file: BinaryIO, start: int, length: int, path: Path
) -> tuple[int, int, tuple[int, int], Callable[[int], np.ndarray]]:
    """B-scans as 16 bit numbers, one after the other."""
    mode, width, depth, bits, bscans, _, _ = _unpack(_RAW, file, start, length, path)
    _check_counts(bscans, depth, width, path)
    if bscans * depth * width * 2 > length - _RAW.size or not 8 < bits <= 16:
        raise ScanError(
            f"{path} says it holds {bscans} B-scans of {depth} x {width} pixels of {bits} bit, "
            f"but gives them {length - _RAW.size} bytes; expected 16 bit. Export or copy it again."
        )

    def load(position: int) -> np.ndarray:
        offset = start + _RAW.size + position * depth * width * 2
        array = np.fromfile(path, "<u2", depth * width, offset=offset).reshape(depth, width)
        return (array / (2**bits - 1)).clip(0, 1).astype(np.float32)

    return mode, bscans, (depth, width), load


_PIXELS = {"@IMG_JPEG": _compressed, "@IMG_MOT_COMP_03": _raw, "@IMG_SCAN_03": _raw}


def _unpack(layout: struct.Struct, file: BinaryIO, start: int, length: int, path: Path) -> tuple:
    if length < layout.size:
        raise ScanError(f"{path}: the chunk of B-scans is cut short. Export or copy it again.")
    file.seek(start)
    return layout.unpack(file.read(layout.size))


def _check_counts(bscans: int, depth: int, width: int, path: Path) -> None:
    if not (0 < bscans <= _MOST_BSCANS and 0 < depth <= 65535 and 0 < width <= 65535):
        raise ScanError(
            f"{path} says it holds {bscans} B-scans of {depth} x {width} pixels, which no device "
            "makes. It is damaged: export or copy it again."
        )
