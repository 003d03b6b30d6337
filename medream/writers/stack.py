"""B-scans -> one array of whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medream.errors import OutputError
from medream.scan import Scan


def quantised(image: np.ndarray, bits: int) -> np.ndarray:
    """Return intensities in [0, 1] as uint8 or uint16 over the full range of the type."""
    return np.rint(image * np.float32(2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def images(scans: Sequence[Scan], bits: int, out: Path) -> np.ndarray:
    """Stack the images to (bscan, depth, width).

    Raises
    ------
    OutputError
        When they differ in size.
    """
    first = scans[0].shape
    for scan in scans:
        if scan.shape != first:
            raise OutputError(
                f"{out}: the B-scan {scan.source.name} has {scan.shape[0]} x {scan.shape[1]} "
                f"pixels, the first {first[0]} x {first[1]}; a volume has one size. Write them as "
                "png instead."
            )
    volume = np.empty((len(scans), *first), np.uint8 if bits == 8 else np.uint16)
    for target, scan in zip(volume, scans, strict=True):
        target[:] = quantised(scan.image, bits)
    return volume


def masks(scans: Sequence[Scan]) -> np.ndarray | None:
    """Stack the masks; None when no B-scan has one.

    Raises
    ------
    OutputError
        When only some have one: an empty mask would claim that there is no lesion.
    """
    there = [scan.mask for scan in scans if scan.mask is not None]
    if there and len(there) < len(scans):
        raise OutputError(
            f"Only {len(there)} of {len(scans)} B-scans have a mask; a volume needs all or none, "
            "as an empty mask says that there is no lesion. Write them as png instead."
        )
    return np.stack(there) if there else None
