"""Zeiss Cirrus `.img`: bytes without a header; only the file's name says what they are.

The name, which the Cirrus research export gives, holds the patient's number and the date of the
examination, so neither it nor any part of it becomes an identifier here. Verified on synthetic
files against the layout that public loaders of this export use; no real file was at hand.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medream.errors import ScanError
from medream.readers.header import Header, chosen
from medream.readers.names import cannot_read
from medream.readers.pseudonym import pseudonym
from medream.readers.valid import valid_mask
from medream.scan import Scan, Source

NAME = "Zeiss Cirrus .img"
DEVICE = "Zeiss Cirrus"

_NAMED = re.compile(
    r"^P(?P<patient>[^_]+)_(?P<scan>[^_]* )?(?P<width>\d{2,4})x(?P<bscans>\d{1,4})_"
    r".*_(?P<eye>OD|OS)_.*_cube_z\.img$",
    re.IGNORECASE,
)
_DEPTH = 1024  # pixels of every A-scan of this export
# The two cubes of the posterior eye span 6 x 6 mm and 2 mm in depth; others are not documented.
_KNOWN_FIELD = ("macular cube", "optic disc cube")
_FIELD_MM, _DEPTH_MM = 6.0, 2.0


def sniff(path: Path, head: bytes) -> bool:
    """Tell from its name whether a file may be a Cirrus `.img`, for which it has no magic."""
    return path.suffix.lower() == ".img" and path.name[:1] in "Pp" and "_cube" in path.name.lower()


def header(path: Path) -> list[Header]:
    """Return what the file's name says, checked against its size."""
    named = _NAMED.match(path.name)
    if named is None:
        raise ScanError(
            f"{path} is no Cirrus cube by its name; expected one like "
            "'P<number>_Macular Cube 512x128_<date>_<time>_OD_sn<number>_cube_z.img', as the "
            "research export gives it: the file has no header, so its size is only in its name."
        )
    width, bscans = int(named["width"]), int(named["bscans"])
    try:
        size = path.stat().st_size
    except OSError as error:
        raise cannot_read(path, error) from error
    if width < 2 or bscans < 1 or size != width * bscans * _DEPTH:
        raise ScanError(
            f"{path} has {size} bytes; expected {width * bscans * _DEPTH} for {bscans} B-scans of "
            f"{_DEPTH} x {width} pixels, as its name says. Export or copy it again."
        )
    known = (named["scan"] or "").strip().lower() in _KNOWN_FIELD
    spacing = (_DEPTH_MM / (_DEPTH - 1), _FIELD_MM / (width - 1))
    return [
        Header(
            format=NAME,
            bscans=bscans,
            size=(_DEPTH, width),
            device=DEVICE,
            laterality=named["eye"].upper(),
            spacing_mm=spacing if known else None,
            bscan_spacing_mm=_FIELD_MM / (bscans - 1) if known and bscans > 1 else None,
            subject_id=pseudonym("subject", named["patient"]),
            volume_id=pseudonym("volume", path.name),
            path=str(path),
        )
    ]


def read(path: Path, only: Sequence[int] | None = None) -> list[Scan]:
    """Read the B-scans, or those at the positions `only`."""
    about = header(path)[0]
    depth, width = about.size
    scans = []
    for position in chosen(only, about.bscans, path):
        raw = np.fromfile(path, np.uint8, depth * width, offset=position * depth * width)
        if raw.size != depth * width:
            raise ScanError(f"{path} ends within B-scan {position}. Export or copy it again.")
        if not raw.any():
            raise ScanError(
                f"{path}: B-scan {position} holds only zero bytes, as an interrupted copy does. "
                "Export or copy it again."
            )
        # Each picture is stored upside down and from right to left.
        image = (raw.reshape(depth, width)[::-1, ::-1] / np.float32(255)).astype(np.float32)
        source = Source(
            subject_id=about.subject_id,
            volume_id=about.volume_id,
            bscan_index=position,
            laterality=about.laterality,
            device=about.device,
        )
        scans.append(
            Scan(image, valid=valid_mask(image), spacing_mm=about.spacing_mm, source=source)
        )
    return scans
