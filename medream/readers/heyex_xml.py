"""Heidelberg XML export (HEYEX): an `.xml` that describes the pictures beside it.

Read here and not by eyepy, which needs the fundus picture and all B-scans at once and follows
the file names in the XML wherever they lead. The tests compare both on a synthetic export; no
real one was at hand.
"""

from __future__ import annotations

import io
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medream.errors import ScanError
from medream.readers.header import Header, chosen
from medream.readers.heidelberg import DEVICE, positive
from medream.readers.names import cannot_read
from medream.readers.pseudonym import pseudonym
from medream.readers.raster import read_gray
from medream.readers.valid import valid_mask
from medream.scan import Scan, Source

NAME = "Heidelberg XML"

_MOST_BYTES = 512 << 20
_EYES = {"R": "OD", "L": "OS"}
_EVENLY = 0.04  # relative; positions are rounded in the file


@dataclass(frozen=True)
class _Volume:
    header: Header
    pictures: tuple[Path, ...]


def sniff(path: Path, head: bytes) -> bool:
    """Tell from its first bytes whether a file is a Heidelberg XML export."""
    return b"<HEDX" in head


def header(path: Path) -> list[Header]:
    """Return one header for each series of B-scans, without opening the pictures."""
    return [volume.header for volume in _volumes(path)]


def read(path: Path, only: Sequence[int] | None = None) -> list[Scan]:
    """Read the B-scans of every series in turn, or those at the positions `only`."""
    scans = []
    volumes = _volumes(path)
    listed = [(volume, k) for volume in volumes for k in range(len(volume.pictures))]
    for position in chosen(only, len(listed), path):
        volume, index = listed[position]
        about = volume.header
        image = read_gray(volume.pictures[index])
        if image.shape != about.size:
            raise ScanError(
                f"{volume.pictures[index]} has {image.shape[0]} x {image.shape[1]} pixels, but "
                f"{path} says {about.size[0]} x {about.size[1]}. Export both again."
            )
        source = Source(
            subject_id=about.subject_id,
            volume_id=about.volume_id,
            bscan_index=index,
            laterality=about.laterality,
            device=about.device,
        )
        scans.append(
            Scan(image, valid=valid_mask(image), spacing_mm=about.spacing_mm, source=source)
        )
    return scans


def _volumes(path: Path) -> list[_Volume]:
    root = _parse(path)
    patient = root.find(".//Patient")
    name = None if patient is None else patient.findtext("PatientID") or patient.findtext("ID")
    found = []
    for number, series in enumerate(root.iter("Series"), start=1):
        images = [i for i in series.findall("Image") if i.findtext("ImageType/Type") == "OCT"]
        if images:
            found.append(_volume(series, images, path, name, number))
    if not found:
        raise ScanError(
            f"{path} is a Heidelberg XML file without B-scans; expected Image entries of the type "
            "OCT. Export the volume again with its images."
        )
    return found


def _volume(
    series: ElementTree.Element,
    images: list[ElementTree.Element],
    path: Path,
    name: str | None,
    number: int,
) -> _Volume:
    contexts = [image.find("OphthalmicAcquisitionContext") for image in images]
    size = {(_number(c, "Height"), _number(c, "Width")) for c in contexts}
    depth, width = size.pop()
    if size or not all(math.isfinite(v) and v >= 1 for v in (depth, width)):
        raise ScanError(
            f"{path}: the B-scans of series {number} have no single size; expected Width and "
            "Height of each to agree. Export the volume again."
        )
    axial, lateral = _number(contexts[0], "ScaleY"), _number(contexts[0], "ScaleX")
    eye = (series.findtext("Laterality") or images[0].findtext("Laterality") or "").strip()
    identifier = series.findtext("SeriesUID") or series.findtext("ID") or str(number)
    about = Header(
        format=NAME,
        bscans=len(images),
        size=(int(depth), int(width)),
        device=DEVICE,
        laterality=_EYES.get(eye),
        spacing_mm=(axial, lateral) if positive(axial) and positive(lateral) else None,
        bscan_spacing_mm=_distance(contexts),
        subject_id=pseudonym("subject", name),
        volume_id=pseudonym("volume", name, identifier, number),
        path=str(path),
    )
    return _Volume(about, tuple(_picture(image, path) for image in images))


def _parse(path: Path) -> ElementTree.Element:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ScanError(f"{path} is far larger than any XML export; not read.")
        content = path.read_bytes()
    except OSError as error:
        raise cannot_read(path, error) from error
    if b"<!DOCTYPE" in content:  # its entities can grow without bound
        raise ScanError(f"{path} defines XML entities or types; expected a plain HEYEX export.")
    try:
        tree = ElementTree.iterparse(io.BytesIO(content), events=("end",))
        for _, element in tree:
            element.tag = element.tag.rpartition("}")[2]  # with or without a namespace
            if element.tag == "Segmentation":
                element.clear()  # layer lines: most of the file, and not needed
        return tree.root  # type: ignore[attr-defined]
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ScanError(
            f"{path} is damaged or cut short ({error}); expected a complete XML export of HEYEX. "
            "Export it again."
        ) from error


def _number(element: ElementTree.Element | None, name: str) -> float:
    try:
        return float((element.findtext(name) if element is not None else None) or "nan")
    except ValueError:
        return math.nan


def _distance(contexts: list[ElementTree.Element | None]) -> float | None:
    """Return the distance between neighbouring B-scans if it is the same throughout."""
    ends = np.array(
        [[_number(c, f"{end}/Coord/{axis}") for end in ("Start", "End") for axis in "XY"]
         for c in contexts]
    )  # fmt: skip
    if len(ends) < 2 or not np.isfinite(ends).all():
        return None
    steps = np.hypot(*np.diff(ends, axis=0).reshape(-1, 2).T)
    mean = float(steps.mean())
    return mean if positive(mean) and np.allclose(steps, mean, rtol=_EVENLY, atol=0) else None


def _picture(image: ElementTree.Element, path: Path) -> Path:
    """Return the picture beside the XML; the path on the exporting machine means nothing here."""
    address = (image.findtext("ImageData/ExamURL") or "").strip()
    name = address.replace("\\", "/").rpartition("/")[2]
    if name in ("", ".", ".."):
        raise ScanError(f"{path}: a B-scan names no picture. Export the volume with its images.")
    return path.parent / name
