"""The layout of the MIRAGE benchmark: `{train,val,test}/{bscan,semseg}/<id>.png` + `INFO.json`.

INFO.json says what the masks' values mean: `{"1": {"value": 127, "label": "SRF"}, ...}`. RETOUCH,
AROI, Duke DME and others are re-released in it. Test parts may lack masks.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from medream.adapters.dataset import Contents
from medream.adapters.folder import compiled
from medream.adapters.labels import chosen_values, fluids_among, labels_of_picture, read_info
from medream.adapters.listing import Listing, labelled_picture, numbered, unused
from medream.readers.names import subject_in
from medream.readers.raster import ClassMap
from medream.scan import Source

_SPLITS = {"train": "train", "val": "validation", "test": "test", None: None}
_SCANS = r"(?P<base>(?:(?P<split>train|val|test)/)?)bscan/(?P<stem>[^/]+)\.png"
_MASKS = r"(?:(?:train|val|test)/)?semseg/[^/]+\.png"


def recognise(listing: Listing) -> bool:
    return "INFO.json" in listing and listing.first(_SCANS) is not None


def read(
    listing: Listing, class_map: ClassMap | None = None, subject_pattern: str | None = None
) -> Contents:
    """List the B-scans; the subject is what the name holds before the B-scan's number."""
    info = listing.path("INFO.json")
    values = read_info(info)
    classes = chosen_values(class_map, {}, str(listing.root)) or fluids_among(values, info)
    pattern = compiled(subject_pattern)
    items, assumed = [], set()
    for found in listing.find(_SCANS):
        stem = found["stem"]
        before = re.fullmatch(r"(.+?)[_\-]\d+", stem)
        volume = before[1] if before else None
        subject = subject_in(Path(stem), pattern) or volume
        if subject is None:
            subject = listing.name
            assumed.add(subject)
        items.append(
            labelled_picture(
                listing,
                found.string,
                f"{found['base']}semseg/{stem}.png",
                Source(listing.name, subject, volume or subject),
                partial(labels_of_picture, classes=classes, known=set(values.values())),
                _SPLITS[found["split"]],
            )
        )
    return Contents(
        name=listing.name,
        adapter="mirage",
        path=listing.root,
        items=numbered(items),
        names=tuple(classes),
        assumed=frozenset(assumed),
        orphans=unused(listing, _MASKS, items),
    )
