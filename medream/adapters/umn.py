"""UMN (Rashno): `UMNDataset.mat` or `<class>/UMN_Dataset.mat` with cells of (depth, width, B-scan).

`AllSubjects` are the scans, `ManualFluid1` and `ManualFluid2` the fluid of two graders; the last
subjects may have none. B-scans of a subject are in no order. Opening the data set reads shapes
only; a subject is read when one of its B-scans is.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from medream.adapters import mat
from medream.adapters.dataset import Contents, Item, items_of_volume
from medream.adapters.duke_dme import gray
from medream.adapters.labels import labels_of
from medream.adapters.listing import Listing, in_order
from medream.errors import ConfigError, ScanError
from medream.readers.matlab import cell_shapes
from medream.scan import Source

GRADERS = {1: "ManualFluid1", 2: "ManualFluid2"}
_SCANS = "AllSubjects"
_FILES = r"(?:(?:.*/)?(?P<group>[^/]+)/)?[^/]+\.mat"


def recognise(listing: Listing) -> bool:
    return any(_is_umn(listing.path(found.string)) for found in listing.find(_FILES))


def _is_umn(path: Path) -> bool:
    try:
        return {_SCANS, *GRADERS.values()} <= set(mat.variables(path))
    except ScanError:
        return False


def read(listing: Listing, grader: int = 1, all_bscans: bool = False) -> Contents:
    """List the B-scans of subjects with a reference, or with `all_bscans` of all."""
    if grader not in GRADERS:
        raise ConfigError(f"Unknown grader {grader!r}; expected 1 or 2.")
    items: list[Item] = []
    for found in listing.find(_FILES):
        path = listing.path(found.string)
        if not _is_umn(path):
            continue
        scans, fluid = cell_shapes(path, _SCANS), cell_shapes(path, GRADERS[grader])
        group = found["group"].casefold() if found["group"] else "umn"
        for number, scan in enumerate(scans):
            has_reference = number < len(fluid) and 0 not in fluid[number]
            if len(scan) != 3 or (has_reference and fluid[number] != scan):
                raise ScanError(
                    f"{path}: subject {number} has scans {scan} and a reference "
                    f"{fluid[number] if has_reference else 'none'}; expected both of one "
                    "shape (depth, width, B-scan)."
                )
            if not (has_reference or all_bscans):
                continue
            subject = f"{group}_{number:03d}"
            items += items_of_volume(
                range(scan[2]),
                path,
                path if has_reference else None,
                Source("UMN", subject, subject),
                load=partial(_image, path, number),
                load_mask=partial(_labels, path, GRADERS[grader], number),
            )
    return Contents(
        name="UMN",
        adapter="umn",
        path=listing.root,
        items=in_order(items),
        names=("fluid",),
    )


def _image(path: Path, number: int, k: int) -> np.ndarray:
    return gray(mat.bscan(path, _SCANS, k, number), path)


def _labels(path: Path, name: str, number: int, k: int) -> np.ndarray:
    plane = mat.bscan(path, name, k, number)
    return labels_of(plane, {"fluid": (1, 255)}, (0, 1, 255), path)
