"""AROI: `24 patient/patientX/{raw/labeled,mask/number}/patientX_rawNNNN.png`.

Values of the masks: 0 above the ILM, 1 to 3 layers, 4 below BM, 5 PED, 6 SRF, 7 IRF. A re-release
has other values and says them in its INFO.json, which is read where it lies beside.
"""

from __future__ import annotations

from functools import partial

from medream.adapters.dataset import Contents
from medream.adapters.labels import (
    Values,
    chosen_values,
    fluids_among,
    labels_of_picture,
    read_info,
)
from medream.adapters.listing import Listing, labelled_picture, numbered, unused
from medream.readers.raster import ClassMap
from medream.scan import Source

CLASSES: Values = {"IRF": (7,), "SRF": (6,), "PED": (5,)}
_KNOWN = range(8)
_SCANS = r"(?P<base>(?:.*/)?)raw/labeled/(?P<name>(?P<subject>patient\d+)_raw\d+\.png)"
_MASKS = r"(?:.*/)?mask/number/patient\d+_raw\d+\.png"


def recognise(listing: Listing) -> bool:
    return listing.first(_SCANS) is not None


def read(listing: Listing, class_map: ClassMap | None = None) -> Contents:
    """List the annotated B-scans; those in `raw/unlabeled` are left out."""
    classes, known = CLASSES, set(_KNOWN)
    info = listing.first(r"(?:.*/)?INFO\.json")
    if info is not None:
        path = listing.path(info.string)
        values = read_info(path)
        classes, known = fluids_among(values, path), set(values.values())
    classes = chosen_values(class_map, classes, str(listing.root))
    items = [
        labelled_picture(
            listing,
            found.string,
            f"{found['base']}mask/number/{found['name']}",
            Source("AROI", found["subject"], found["subject"]),
            partial(labels_of_picture, classes=classes, known=known),
        )
        for found in listing.find(_SCANS)
    ]
    return Contents(
        name="AROI",
        adapter="aroi",
        path=listing.root,
        items=numbered(items),
        names=tuple(classes),
        orphans=unused(listing, _MASKS, items),
    )
