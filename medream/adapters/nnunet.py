"""nnU-Net raw folders: `imagesTr/<case>_0000.<ending>`, `labelsTr/<case>.<ending>`, dataset.json.

OCTAVE 2025 comes in this layout, with volumes as TIFF; NIfTI, MetaImage and NRRD volumes are read
as (z, y, x) with B-scans along z, as nnU-Net itself reads them. A case counts as a subject unless
its name holds one. Fluids are found by the names in dataset.json; for other labels give a class map.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from medream.adapters import volume
from medream.adapters.dataset import Contents, Item, items_of_volume
from medream.adapters.folder import compiled
from medream.adapters.labels import Values, chosen_values, fluids_among, labels_of, read_json
from medream.adapters.listing import Listing, in_order, unused
from medream.errors import ScanError
from medream.readers import read_headers, read_scans
from medream.readers.names import RASTER_SUFFIXES, subject_in
from medream.readers.raster import ClassMap, read_values
from medream.scan import Source

_ENDING = r"(?P<ending>\.(?:png|bmp|tiff?|nii|nii\.gz|mha|mhd|nrrd))"
_IMAGES = rf"(?P<base>(?:.*/)?)images(?P<part>Tr|Ts)/(?P<case>[^/]+?)_(?P<channel>\d{{4}}){_ENDING}"
_LABELS = rf"(?:.*/)?labels(?:Tr|Ts)/[^/]+{_ENDING}"
_SPLITS = {"Tr": "train", "Ts": "test"}


def recognise(listing: Listing) -> bool:
    found = listing.first(_IMAGES)
    return found is not None and f"{found['base']}dataset.json" in listing


def read(
    listing: Listing, class_map: ClassMap | None = None, subject_pattern: str | None = None
) -> Contents:
    """List the B-scans of all cases."""
    found = list(listing.find(_IMAGES))
    bases = sorted({one["base"] for one in found if f"{one['base']}dataset.json" in listing})
    if len(bases) != 1:
        names = ", ".join(base.rstrip("/") or "." for base in bases) or "none"
        raise ScanError(
            f"{listing.root} holds several nnU-Net data sets or none ({names}); open one of them."
        )
    (base,) = bases
    info = listing.path(f"{base}dataset.json")
    values = _label_values(info)
    classes = chosen_values(class_map, {}, str(listing.root)) or fluids_among(values, info)
    pattern = compiled(subject_pattern)
    name = base.rstrip("/").rpartition("/")[2] or listing.name
    items: list[Item] = []
    for one in found:
        if one["base"] != base:
            continue
        if one["channel"] != "0000":
            raise ScanError(
                f"{listing.path(one.string)}: the case has several channels; an OCT scan has one."
            )
        image = listing.path(one.string)
        label = f"{base}labels{one['part']}/{one['case']}{one['ending']}"
        mask = listing.path(label)
        bscans, spacing, between, load, plane = _reading(image, mask, one["ending"])
        items += items_of_volume(
            range(bscans),
            image,
            mask if label in listing else None,
            Source(name, subject_in(Path(one["case"]), pattern) or one["case"], one["case"]),
            load=load,
            load_mask=partial(_labels, plane, classes, set(values.values()), mask),
            split=_SPLITS[one["part"]],
            spacing_mm=spacing,
            bscan_spacing_mm=between,
        )
    return Contents(
        name=name,
        adapter="nnunet",
        path=listing.root,
        items=in_order(items),
        names=tuple(classes),
        orphans=unused(listing, _LABELS, items),
    )


def _reading(
    image: Path, mask: Path, ending: str
) -> tuple[int, tuple[float, float] | None, float | None, Callable, Callable]:
    """Return the number of B-scans, their spacing and distance, and how image and reference are read."""
    if ending in RASTER_SUFFIXES:
        bscans = sum(head.bscans for head in read_headers(image))
        return bscans, None, None, partial(picture, image), partial(read_values, mask)
    head = volume.header(image)
    return (
        head.bscans,
        head.spacing_mm,
        head.bscan_spacing_mm,
        partial(volume.gray_plane, image),
        partial(volume.plane, mask),
    )


def picture(path: Path, k: int) -> np.ndarray:
    """Read page `k` of a picture as float32 in [0, 1]."""
    return read_scans(path, only=[k])[0].image


def _labels(
    plane: Callable[[int], np.ndarray], classes: Values, known: set[int], path: Path, k: int
) -> np.ndarray:
    return labels_of(plane(k), classes, known, path)


def _label_values(path: Path) -> dict[str, int]:
    """Return {label: value} of a dataset.json of nnU-Net 2 ({label: value}) or 1 ({value: label})."""
    content = read_json(path)
    labels: Any = content.get("labels") if isinstance(content, dict) else None
    if isinstance(labels, dict):
        try:
            if all(isinstance(value, str) for value in labels.values()):
                labels = {label: int(value) for value, label in labels.items()}
            if labels and all(type(v) is int and 0 <= v <= 65535 for v in labels.values()):
                return labels
        except ValueError:
            pass
    raise ScanError(
        f'{path}: labels is {str(labels)[:200]}; expected {{"background": 0, "IRF": 1, ...}}, one '
        "number for each (regions of several numbers are not read)."
    )
