"""Heidelberg `.vol` (HEYEX raw export): a header, the fundus picture, then the B-scans.

Read here and not by eyepy, which loads the whole file to tell its size and believes every count
in it. The tests compare both on real files. Files of OCT angiography share this layout and
carry no mark that tells them apart; their values are shown on the scale of structural OCT.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medream.errors import ScanError
from medream.readers.header import Header, chosen
from medream.readers.names import cannot_read
from medream.readers.pseudonym import pseudonym
from medream.scan import LATERALITIES, Scan, Source

NAME = "Heidelberg .vol"
DEVICE = "Heidelberg Spectralis"

_MAGIC = b"HSF-OCT-"
_START = 2048  # bytes before the fundus picture
_BSCAN_START = 256  # bytes of a B-scan's header before its layer lines
# version, width, B-scans, depth, mm per column, between B-scans, per row; the fundus picture's
# width, depth, mm per column and row, field in degrees, focus; eye, time; pattern, bytes before
# each B-scan, identifiers of the scan and its reference; the patient's number and text.
_FIELDS = struct.Struct("<12sIIIdddIIddId4sqiI16s16sI24s")
_CIRCLE, _RADIAL = 2, 5
INVALID = np.float32(np.finfo(np.float32).max)


@dataclass(frozen=True)
class _Layout:
    header: Header
    first: int  # offset of the first B-scan's pixels
    step: int  # from one B-scan's pixels to the next one's


def sniff(path: Path, head: bytes) -> bool:
    """Tell from its first bytes whether a file is a Heidelberg `.vol`."""
    return head.startswith(_MAGIC)


def header(path: Path) -> list[Header]:
    """Return what the file's header says, without reading pixels."""
    return [_layout(path).header]


def read(path: Path, only: Sequence[int] | None = None) -> list[Scan]:
    """Read the B-scans, or those at the positions `only`, as HEYEX displays them.

    Pixels that the device's registration left without signal are not valid, and black.
    """
    layout = _layout(path)
    about = layout.header
    depth, width = about.size
    scans = []
    for position in chosen(only, about.bscans, path):
        start = layout.first + position * layout.step
        raw = np.fromfile(path, "<f4", depth * width, offset=start)
        if raw.size != depth * width:
            raise ScanError(f"{path} ends within B-scan {position}. Export or copy it again.")
        image, valid = displayed(raw.reshape(depth, width), path)
        source = Source(
            subject_id=about.subject_id,
            volume_id=about.volume_id,
            bscan_index=position,
            laterality=about.laterality,
            device=about.device,
        )
        scans.append(Scan(image, valid=valid, spacing_mm=about.spacing_mm, source=source))
    return scans


def displayed(
    raw: np.ndarray, path: Path, invalid_from: float = float(INVALID)
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return linear intensities on HEYEX's logarithmic scale, in [0, 1], and the valid pixels.

    Parameters
    ----------
    raw : float32 array
        Reflectivity as exported, 0 to 1.
    path : Path
        Named in the error.
    invalid_from : float
        Values from here on mark a pixel without signal.

    Raises
    ------
    ScanError
        When there are negative, infinite or undefined values.
    """
    valid = raw < invalid_from
    if not (np.isfinite(raw).all() and raw.min() >= 0):
        raise ScanError(
            f"{path} holds negative or undefined intensities; expected reflectivity from 0 to 1. "
            "It is damaged: export or copy it again."
        )
    image = np.where(valid, raw, 0).astype(np.float32)  # zero becomes black
    np.log(image + np.float32(2.44e-4), out=image)
    image = np.clip((image + np.float32(8.3)) / np.float32(8.285), 0, 1)
    return image, None if valid.all() else valid


def _layout(path: Path) -> _Layout:
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            head = file.read(_FIELDS.size)
    except OSError as error:
        raise cannot_read(path, error) from error
    if not sniff(path, head) or len(head) < _FIELDS.size:
        raise ScanError(
            f"{path} has no complete header of a {NAME} file ({size} bytes). Export it again as "
            "RAW from HEYEX."
        )
    fields = _FIELDS.unpack(head)
    width, bscans, depth, lateral, between, axial, slo_width, slo_depth = fields[1:9]
    eye, pattern, before, scan = fields[13], fields[15], fields[16], fields[17]
    number, patient = fields[19:]
    first = _START + slo_width * slo_depth
    step = before + width * depth * 4
    if not (width and bscans and depth) or before < _BSCAN_START or first + bscans * step > size:
        raise ScanError(
            f"{path} says it holds {bscans} B-scans of {depth} x {width} pixels, which take "
            f"{first + bscans * step} bytes, but has {size}. It is damaged or cut short: export or "
            "copy it again."
        )
    patient_id = text(patient) or (str(number) if number else "")
    laterality = text(eye)
    evenly_spaced = bscans > 1 and pattern not in (_CIRCLE, _RADIAL)
    about = Header(
        format=NAME,
        bscans=bscans,
        size=(depth, width),
        device=DEVICE,
        laterality=laterality if laterality in LATERALITIES else None,
        spacing_mm=(axial, lateral) if positive(axial) and positive(lateral) else None,
        bscan_spacing_mm=between if evenly_spaced and positive(between) else None,
        subject_id=pseudonym("subject", patient_id),
        # HEYEX names its files after the patient, so the file's name will not do.
        volume_id=pseudonym("volume", patient_id, text(scan)),
        path=str(path),
    )
    return _Layout(about, first + before, step)


def text(raw: bytes) -> str:
    """Return zero-terminated text."""
    return raw.split(b"\0")[0].decode("latin-1").strip()


def positive(value: float) -> bool:
    """Tell whether a number can be a distance in millimetres between pixels or B-scans."""
    return bool(1e-6 < value < 100)  # also false for NaN
