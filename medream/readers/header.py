"""`Header`: what a file says about a volume, told without reading its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medream.errors import ScanError


@dataclass(frozen=True)
class Header:
    """One volume of a file or folder. Identifiers are pseudonymous, as in `Source`.

    Parameters
    ----------
    format : str
        Name of the file format.
    bscans : int
        Number of B-scans.
    size : (depth, width) in pixels
    device : str or None
        Device as the file names it.
    laterality : {"OD", "OS"} or None
    spacing_mm : (axial, lateral) in millimetres, or None when the file does not say
    bscan_spacing_mm : float or None
        Distance between neighbouring B-scans.
    subject_id, volume_id : str
        "unknown" is replaced by the file's name when `read_headers` returns.
    path : str or None
    split : {"train", "validation", "test"} or None
        The part of a data set that the volume was written from.
    classes : tuple of str
        Names of the classes of its masks, where the file tells them.
    masks : bool
        Whether it brings masks along.
    note : str or None
        What somebody who looks at the scans should know.
    """

    format: str
    bscans: int
    size: tuple[int, int]
    device: str | None = None
    laterality: str | None = None
    spacing_mm: tuple[float, float] | None = None
    bscan_spacing_mm: float | None = None
    subject_id: str = "unknown"
    volume_id: str = "unknown"
    path: str | None = None
    split: str | None = None
    classes: tuple[str, ...] = ()
    masks: bool = False
    note: str | None = None


def chosen(only: Sequence[int] | None, bscans: int, path: Path) -> Sequence[int]:
    """Return the positions to be read: all of them, or `only`, checked.

    >>> list(chosen(None, 3, Path("a.dcm")))
    [0, 1, 2]

    Raises
    ------
    ScanError
        When a position lies outside the volume.
    """
    if only is None:
        return range(bscans)
    for position in only:
        if not 0 <= position < bscans:
            raise ScanError(
                f"{path} has no B-scan {position}; expected positions from 0 to {bscans - 1}."
            )
    return only
