"""OIMHS: `Images/<eye>/<n>.png`, scan and reference side by side in a picture.

Colours: green retina, yellow choroid, red macular hole, blue IRF. Only IRF is a fluid; for others
give a class map, such as `{"hole": (255, 0, 0)}`.
"""

from __future__ import annotations

from functools import partial

from medream.adapters.dataset import Contents, Item
from medream.adapters.labels import Colour, chosen_colours
from medream.adapters.listing import Listing, numbered
from medream.adapters.pairs import is_pair, reference_half, scan_half
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
    found = listing.first(_PICTURES)
    return found is not None and is_pair(listing.path(found.string))


def read(listing: Listing, class_map: ClassMap | None = None) -> Contents:
    """List the pictures; halves are told apart when one is read."""
    classes = chosen_colours(class_map, CLASSES, str(listing.root))
    items = []
    for found in listing.find(_PICTURES):
        path = listing.path(found.string)
        eye = f"eye{found['eye']}"
        items.append(
            Item(
                path,
                path,
                Source("OIMHS", eye, eye, path=str(path)),
                split=None,
                load=partial(scan_half, path),
                load_mask=partial(reference_half, path, classes, _KNOWN),
            )
        )
    return Contents(
        name="OIMHS",
        adapter="oimhs",
        path=listing.root,
        items=numbered(items),
        names=tuple(classes),
        remarks=(_REMARK,),
    )
