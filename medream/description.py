"""What a written volume says of itself beyond its pixels, as JSON that readers understand.

Formats of volumes have no place for the eye, the subject or the names of classes, and some none
for a spacing that is unknown. Writers put this description where each format allows free text;
readers take it from there. It holds pseudonymous identifiers only, and no path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from medream.errors import OutputError, ScanError
from medream.scan import Scan, Source

MARK = "medream volume"
_SPLITS = ("train", "validation", "test")
_TEXTS = ("dataset", "subject_id", "volume_id", "device", "laterality")


def describe(
    scans: Sequence[Scan], bscan_spacing_mm: float | None = None, split: str | None = None
) -> dict[str, Any]:
    """Describe the B-scans of one volume.

    Parameters
    ----------
    scans : sequence of Scan
        In order; they must agree in spacing, eye, subject, volume and classes.
    bscan_spacing_mm : float, optional
        Distance between neighbouring B-scans.
    split : {"train", "validation", "test"}, optional
        The part of a data set that they belong to.

    Raises
    ------
    OutputError
        When the scans do not belong together, or there are none.
    """
    if not scans:
        raise OutputError("There are no scans to write.")

    def one(scan: Scan) -> dict[str, Any]:
        return {
            "format": MARK,
            "spacing_mm": None if scan.spacing_mm is None else list(scan.spacing_mm),
            "bscan_spacing_mm": bscan_spacing_mm,
            **{name: getattr(scan.source, name) for name in _TEXTS},
            "classes": list(scan.classes),
            **({} if split is None else {"split": split}),
        }

    described = one(scans[0])
    for scan in scans[1:]:
        other = one(scan)
        differing = [name for name in described if described[name] != other[name]]
        if differing:
            name = differing[0]
            raise OutputError(
                f"The scans {scans[0].source.name} and {scan.source.name} differ in {name} "
                f"({described[name]!r} and {other[name]!r}); expected those of one volume. Write "
                "each volume on its own."
            )
    return described


def parse(text: str | bytes, where: str) -> dict[str, Any] | None:
    """Return the description in a text, or None when the text is something else.

    Raises
    ------
    ScanError
        When the text is a description, but not a sound one.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("format") != MARK:
        return None
    numbers = found.get("spacing_mm") or [], [found.get("bscan_spacing_mm") or 1.0]
    texts = [found.get(name) for name in _TEXTS]
    classes = found.get("classes", ["fluid"])
    sound = (
        all(isinstance(value, list) for value in (*numbers, classes))
        and len(numbers[0]) in (0, 2)
        and all(type(v) in (int, float) and v > 0 for value in numbers for v in value)
        and all(value is None or isinstance(value, str) for value in (*texts, *classes))
        and found.get("split") in (None, *_SPLITS)
        and bool(classes)
    )
    if not sound:
        raise ScanError(
            f"{where}: its description ({MARK}) is damaged; expected spacing_mm as [axial, "
            "lateral], classes as a list of names, and texts. Write the volume again."
        )
    return found


def source_of(described: Mapping[str, Any]) -> Source:
    """Return the origin that a description gives."""
    known = {name: described[name] for name in _TEXTS if described.get(name) is not None}
    return replace(Source(), **known)


def header_of(described: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the fields of a reader's `Header` that a description fills in."""
    if described is None:
        return {}
    known = source_of(described)
    return {
        "device": known.device,
        "laterality": known.laterality,
        "subject_id": known.subject_id,
        "volume_id": known.volume_id,
        "split": described.get("split"),
        "classes": tuple(described.get("classes", ())),
    }


def spacing_of(described: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return (axial, lateral) in millimetres, or None when a description says it is unknown."""
    spacing = described.get("spacing_mm")
    return (float(spacing[0]), float(spacing[1])) if spacing else None
