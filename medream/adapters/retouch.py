"""RETOUCH 2017: `RETOUCH-TrainingSet-<device>/TRAINnnn/{oct,reference}.mhd`.

Reference values: 1 IRF, 2 SRF, 3 PED. Volumes are (bscan, depth, width) with x fastest; Spectralis
has 16 bits. Test volumes come without reference. Nothing tells right eyes from left ones.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from medream.adapters import volume
from medream.adapters.dataset import Contents, Item, items_of_volume
from medream.adapters.labels import Values, chosen_values, labels_of
from medream.adapters.listing import Listing, in_order
from medream.readers.raster import ClassMap
from medream.scan import Source

CLASSES: Values = {"IRF": (1,), "SRF": (2,), "PED": (3,)}
_KNOWN = range(4)
_DEVICES = ("Cirrus", "Spectralis", "Topcon")
# Copies name the folder of all training volumes alike, so the number tells the device as well.
_DEVICE_OF_TRAIN = {"Cirrus": range(1, 25), "Spectralis": range(25, 49), "Topcon": range(49, 71)}
_FILES = r"(?P<folder>(?:(?:.*/)?(?P<subject>[^/]+)/)?)oct\.(?P<ending>mhd|mha)"


def recognise(listing: Listing) -> bool:
    return listing.first(_FILES) is not None


def read(listing: Listing, class_map: ClassMap | None = None) -> Contents:
    """List the B-scans of all volumes from their headers."""
    classes = chosen_values(class_map, CLASSES, str(listing.root))
    items: list[Item] = []
    for found in listing.find(_FILES):
        image = listing.path(found.string)
        reference = f"{found['folder']}reference.{found['ending']}"
        subject = found["subject"] or listing.name
        head = volume.header(image)
        mask = listing.path(reference)
        items += items_of_volume(
            range(head.bscans),
            image,
            mask if reference in listing else None,
            Source(
                dataset="RETOUCH",
                subject_id=subject,
                volume_id=subject,
                device=_device(subject, [listing.name, *found.string.split("/")[:-1]]),
            ),
            load=partial(volume.gray_plane, image),
            load_mask=partial(_labels, classes, mask),
            split="test" if subject.upper().startswith("TEST") else "train",
            spacing_mm=head.spacing_mm,
            bscan_spacing_mm=head.bscan_spacing_mm,
        )
    return Contents(
        name="RETOUCH",
        adapter="retouch",
        path=listing.root,
        items=in_order(items),
        names=tuple(classes),
    )


def _labels(classes: Values, path: Path, k: int) -> np.ndarray:
    return labels_of(volume.plane(path, k), classes, _KNOWN, path)


def _device(subject: str, folders: list[str]) -> str | None:
    for folder in reversed(folders):
        for device in _DEVICES:
            if device.casefold() in folder.casefold():
                return device
    number = subject.upper().removeprefix("TRAIN")
    if number != subject and number.isdecimal():
        return next((d for d, own in _DEVICE_OF_TRAIN.items() if int(number) in own), None)
    return None
