"""AMD-DME-3D 2025: `{AMD,DME}_labeled/{input/X.tif,label/X_mask.tif}`, volumes as TIFF pages.

The reference of AMD volumes (255) is PED, that of DME volumes IRF; the other lesion is not
annotated. The first five characters of the name are the case.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from medream.adapters.dataset import Contents, Item, items_of_volume
from medream.adapters.labels import Values, labels_of
from medream.adapters.listing import Listing, in_order, unused
from medream.adapters.nnunet import picture
from medream.readers import read_headers
from medream.readers.raster import read_values
from medream.scan import Source

CLASSES: dict[str, Values] = {
    "AMD": {"IRF": (), "PED": (255,)},
    "DME": {"IRF": (255,), "PED": ()},
}
_CASE = 5
_SCANS = r"(?P<base>(?:.*/)?(?P<disease>AMD|DME)_labeled/)input/(?P<stem>[^/]+)(?P<ending>\.tiff?)"
_MASKS = r"(?:.*/)?(?:AMD|DME)_labeled/label/[^/]+_mask\.tiff?"


def recognise(listing: Listing) -> bool:
    return listing.first(_SCANS) is not None


def read(listing: Listing) -> Contents:
    """List the B-scans of the annotated volumes."""
    items: list[Item] = []
    for found in listing.find(_SCANS):
        image = listing.path(found.string)
        label = f"{found['base']}label/{found['stem']}_mask{found['ending']}"
        mask = listing.path(label)
        items += items_of_volume(
            range(sum(head.bscans for head in read_headers(image))),
            image,
            mask if label in listing else None,
            Source("AMD-DME-3D", found["stem"][:_CASE], found["stem"]),
            load=partial(picture, image),
            load_mask=partial(_labels, CLASSES[found["disease"]], mask),
        )
    return Contents(
        name="AMD-DME-3D",
        adapter="amd_dme_3d",
        path=listing.root,
        items=in_order(items),
        names=("IRF", "PED"),
        orphans=unused(listing, _MASKS, items),
    )


def _labels(classes: Values, path: Path, k: int) -> np.ndarray:
    return labels_of(read_values(path, page=k), classes, (0, 255), path)
