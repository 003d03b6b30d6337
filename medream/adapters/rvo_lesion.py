"""RVO-Lesion: `Image_Seg/{images/V_B.jpg,masks/V_B.png,train.txt,test.txt}`.

Values of the masks: 1 SRF, 2 IRF, 3 ELM, 4 EZ. V is the volume, the unit that is split.
"""

from __future__ import annotations

from functools import partial

from medream.adapters.dataset import Contents
from medream.adapters.labels import Values, chosen_values, labels_of_picture
from medream.adapters.listing import Listing, labelled_picture, numbered, split_by_lists, unused
from medream.readers.raster import ClassMap
from medream.scan import Source

CLASSES: Values = {"IRF": (2,), "SRF": (1,)}
_KNOWN = range(5)
_SCANS = r"(?P<base>(?:.*/)?)images/(?P<stem>(?P<volume>\d+)_\d+)\.jpe?g"
_MASKS = r"(?:.*/)?masks/\d+_\d+\.png"
_LISTS = {"train": "train.txt", "test": "test.txt"}


def recognise(listing: Listing) -> bool:
    found = listing.first(_SCANS)
    return found is not None and all(found["base"] + name in listing for name in _LISTS.values())


def read(listing: Listing, class_map: ClassMap | None = None) -> Contents:
    """List the B-scans with the split of the official lists."""
    classes = chosen_values(class_map, CLASSES, str(listing.root))
    items, lists = [], {}
    for found in listing.find(_SCANS):
        base, volume = found["base"], found["volume"]
        lists = {s: listing.path(base + n) for s, n in _LISTS.items() if base + n in listing}
        items.append(
            labelled_picture(
                listing,
                found.string,
                f"{base}masks/{found['stem']}.png",
                Source("RVO-Lesion", volume, volume),
                partial(labels_of_picture, classes=classes, known=_KNOWN),
            )
        )
    items, remarks = split_by_lists(items, lists, "RVO-Lesion")
    return Contents(
        name="RVO-Lesion",
        adapter="rvo_lesion",
        path=listing.root,
        items=numbered(items),
        names=tuple(classes),
        remarks=remarks,
        orphans=unused(listing, _MASKS, items),
    )
