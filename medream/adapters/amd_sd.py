"""AMD-SD 2024: `images/<patient>/<patient>_<n>.png`, scan and reference side by side in a picture.

Colours: red SRF, green IRF, blue PED, magenta IS/OS, yellow SHRM; some borders are white. The
official training.txt and validation.txt are used where they keep people together.
"""

from __future__ import annotations

import re

from medream.adapters import pairs
from medream.adapters.dataset import Contents
from medream.adapters.labels import Colour, chosen_colours
from medream.adapters.listing import Listing, numbered, split_by_lists
from medream.readers.raster import ClassMap
from medream.scan import Source

CLASSES: dict[str, Colour] = {"IRF": (0, 255, 0), "SRF": (255, 0, 0), "PED": (0, 0, 255)}
_KNOWN: tuple[Colour, ...] = (
    *CLASSES.values(),
    (255, 0, 255),
    (255, 255, 0),
    (255, 255, 255),
)
_PICTURES = r"(?P<base>(?:.*/)?)(?P<patient>\d+)/(?P=patient)_\d+\.png"
_LISTS = {"train": "training.txt", "validation": "validation.txt"}


def recognise(listing: Listing) -> bool:
    return pairs.recognise(listing, _PICTURES)


def _source(found: re.Match[str]) -> Source:
    return Source("AMD-SD", found["patient"], found["patient"])


def read(listing: Listing, class_map: ClassMap | None = None) -> Contents:
    """List the pictures with the split of the official lists."""
    classes = chosen_colours(class_map, CLASSES, str(listing.root))
    items = pairs.pairs(listing, _PICTURES, _source, classes, _KNOWN)
    beside = {split: listing.first(rf"(?:.*/)?{name}") for split, name in _LISTS.items()}
    lists = {split: listing.path(found.string) for split, found in beside.items() if found}
    if len(lists) < len(_LISTS):
        lists = {}
    items, remarks = split_by_lists(items, lists, "AMD-SD")
    return Contents(
        name="AMD-SD",
        adapter="amd_sd",
        path=listing.root,
        items=numbered(items),
        names=tuple(classes),
        remarks=remarks,
    )
