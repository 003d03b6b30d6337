"""A folder of pictures as medream writes it: `scans.json` tells which they are, and the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from medream.description import MARK, header_of, parse, source_of, spacing_of
from medream.errors import ScanError
from medream.readers.damage import guarded
from medream.readers.header import Header, chosen
from medream.readers.names import cannot_read
from medream.readers.raster import read_gray, read_labels
from medream.scan import Scan, Source

NAME = "picture folder"

_MOST_BYTES = 64 << 20


def sniff(path: Path, head: bytes) -> bool:
    """Tell from its first bytes whether a file lists the pictures of a volume."""
    return head.lstrip().startswith(b"{") and json.dumps(MARK).encode() in head


def header(path: Path) -> list[Header]:
    """Return what the list says; of the pictures, only the first one's size is looked up."""
    found = _load(path)
    first = _image(path, found, 0)
    with guarded(first, "a PNG picture"), Image.open(first, formats=("PNG",)) as picture:
        width, depth = picture.size
    return [
        Header(
            format=NAME,
            bscans=len(found["bscans"]),
            size=(depth, width),
            spacing_mm=spacing_of(found),
            bscan_spacing_mm=found.get("bscan_spacing_mm"),
            path=str(path),
            masks=any(entry.get("mask") for entry in found["bscans"]),
            **header_of(found),
        )
    ]


@dataclass(frozen=True)
class Listed:
    """The files of one B-scan."""

    image: Path
    mask: Path | None
    valid: Path | None


def pictures(path: Path) -> list[Listed]:
    """Return the files that the list names, in its order."""
    found = _load(path)
    return [
        Listed(_image(path, found, k), _file(path, entry, "mask"), _file(path, entry, "valid"))
        for k, entry in enumerate(found["bscans"])
    ]


def dataset(path: Path) -> str | None:
    """Return the name of the data set that the volume was written from."""
    name = _load(path).get("dataset")
    return None if name == "unknown" else name


def read(path: Path, only: Sequence[int] | None = None) -> list[Scan]:
    """Read the pictures in the order of the list, or those at the positions `only`."""
    found = _load(path)
    classes = tuple(found.get("classes", ["fluid"]))
    origin = source_of(found)
    scans = []
    for position in chosen(only, len(found["bscans"]), path):
        entry = found["bscans"][position]
        mask, valid = _file(path, entry, "mask"), _file(path, entry, "valid")
        labels = None
        if mask is not None:
            values = {name: k + 1 for k, name in enumerate(classes)}
            labels = read_labels(mask, {classes[0]: 255} if len(classes) == 1 else values)
        scans.append(
            Scan(
                read_gray(_image(path, found, position)),
                mask=labels,
                classes=classes,
                valid=None if valid is None else read_gray(valid) > 0.5,
                spacing_mm=spacing_of(found),
                source=Source(
                    subject_id=origin.subject_id,
                    volume_id=origin.volume_id,
                    bscan_index=position,
                    laterality=origin.laterality,
                    device=origin.device,
                ),
            )
        )
    return scans


def _load(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ScanError(f"{path} is far larger than any list of B-scans; not read.")
        found = parse(path.read_bytes(), str(path))
    except OSError as error:
        raise cannot_read(path, error) from error
    entries = None if found is None else found.get("bscans")
    sound = isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)
    if found is None or not entries or not sound:
        raise ScanError(
            f"{path} is damaged or lists no B-scans; expected a scans.json as medream writes it."
        )
    return found


def _image(path: Path, found: dict[str, Any], position: int) -> Path:
    image = _file(path, found["bscans"][position], "image")
    if image is None:
        raise ScanError(f"{path} names no image for B-scan {position}. Write it again.")
    return image


def _file(path: Path, entry: dict[str, Any], kind: str) -> Path | None:
    name = entry.get(kind)
    if name is None:
        return None
    inside = PurePosixPath(name) if isinstance(name, str) else None
    if inside is None or inside.is_absolute() or ".." in inside.parts or "\\" in name:
        raise ScanError(f"{path} names the {kind} {name!r}; expected a file below its own folder.")
    return path.parent / inside
