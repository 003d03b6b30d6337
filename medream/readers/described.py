"""What medream wrote beside the pixels of a volume: found again in the formats it writes."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medream.description import parse, source_of, spacing_of
from medream.errors import ScanError
from medream.readers.axes import Axes
from medream.scan import Scan, Source

_NIFTI_EXTENSIONS = 348  # where they begin in a single file
_COMMENT = 6
_META_KEY = b"MedreamDescription"

HEAD = 1 << 16  # bytes of a file within which a description lies


def in_nifti(head: bytes, path: Path) -> dict[str, Any] | None:
    """Return the description in the first extension of a NIfTI-1 file's header, if it is one."""
    at = _NIFTI_EXTENSIONS + 4
    size, code = (int.from_bytes(head[k : k + 4], "little") for k in (at, at + 4))
    if head[at - 4 : at - 3] != b"\1" or code != _COMMENT or not 8 < size <= len(head) - at:
        return None
    return parse(head[at + 8 : at + size].rstrip(b"\0"), str(path))


def in_metaimage(head: bytes, path: Path) -> dict[str, Any] | None:
    """Return the description among the fields of a MetaImage header, if there is one."""
    for line in head.split(b"ElementDataFile", 1)[0].split(b"\n"):
        name, _, value = line.partition(b"=")
        if name.strip() == _META_KEY:
            return parse(value.strip(), str(path))
    return None


def describes(path: Path) -> bool:
    """Tell whether medream wrote a file of a volume, from the description in it."""
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else open(path, "rb") as content:
        head = content.read(HEAD)
    if head.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(path) as archive:
            return "description.npy" in archive.namelist()
    return in_nifti(head, path) is not None or in_metaimage(head, path) is not None


def refuse_mask(described: Mapping[str, Any] | None, path: Path) -> None:
    """Raise when a file holds masks that medream wrote, and no scan."""
    if described is not None and described.get("holds") == "mask":
        raise ScanError(
            f"{path} holds masks that medream wrote, and no scan; expected the scan, beside which a "
            "mask called X_mask is read along with X. Give the scan."
        )


def axes_of(described: Mapping[str, Any], shape: Sequence[int]) -> Axes:
    """Return the axes that medream writes: (lateral, axial, B-scan)."""
    return Axes(
        depth=1,
        width=0,
        bscan=2,
        channel=None,
        shape=tuple(shape),
        spacing_mm=spacing_of(described),
        bscan_spacing_mm=described.get("bscan_spacing_mm"),
    )


def as_written(scan: Scan, described: Mapping[str, Any] | None) -> Scan:
    """Return a scan with the eye, device, subject and volume of a description."""
    if described is None:
        return scan
    known = source_of(described)
    source = Source(
        subject_id=known.subject_id,
        volume_id=known.volume_id,
        bscan_index=scan.source.bscan_index,
        laterality=known.laterality,
        device=known.device,
    )
    return scan.with_source(source)
