"""OIMHS: `Images/<eye>/<n>.png`, scan and reference side by side in a picture.

Colours: green retina, yellow choroid, red macular hole, blue IRF. Only IRF is a fluid; for others
give a class map, such as `{"hole": (255, 0, 0)}`.
"""

from __future__ import annotations

import re

from medream.adapters import pairs
from medream.adapters.dataset import Contents
from medream.adapters.labels import Colour, chosen_colours
from medream.adapters.listing import Listing, numbered
from medream.readers.raster import ClassMap
from medream.scan import Source

CLASSES: dict[str, Colour] = {"IRF": (0, 0, 255)}
_KNOWN: tuple[Colour, ...] = ((0, 255, 0), (255, 255, 0), (255, 0, 0), (0, 0, 255))
_PICTURES = r"(?:.*/)?(?P<eye>\d+)/\d+\.png"
_REMARK = (
    "OIMHS: the folders name eyes, not people, and a few people have both eyes in it, so train, "
    "validation and test may share a person; scores would flatter the model."
)


def recognise(listing: Listing) -> bool:
    return pairs.recognise(listing, _PICTURES)


def _source(found: re.Match[str]) -> Source:
    return Source("OIMHS", f"eye{found['eye']}", f"eye{found['eye']}")


def read(listing: Listing, class_map: ClassMap | None = None) -> Contents:
    """List the pictures; every eye counts as a person."""
    classes = chosen_colours(class_map, CLASSES, str(listing.root))
    items = pairs.pairs(listing, _PICTURES, _source, classes, _KNOWN)
    return Contents(
        name="OIMHS",
        adapter="oimhs",
        path=listing.root,
        items=numbered(items),
        names=tuple(classes),
        remarks=(_REMARK,),
    )
