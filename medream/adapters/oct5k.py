"""OCT5k: `Images/<kind>/AMD Part1/AMD (1).E2E/<visit>/Image 9.png`, without pixels of fluid.

Its masks are layers and its fluid is given as boxes only, so the B-scans come without a mask, to be
segmented and dreamt of. Folders of visits are named by date, which is not passed on.
"""

from __future__ import annotations

import re

from medream.adapters.dataset import Contents, Item
from medream.adapters.listing import Listing, numbered
from medream.scan import Source

_SCANS = (
    r"(?:.*/)?Images/(?:[^/]+/)?(?:AMD|DME|Normal|NORMAL)[^/]*/"
    r"(?P<subject>(?:AMD|DME|Normal|NORMAL) ?\(\d+\))(?:\.E2E)?/"
    r"(?:(?P<visit>[^/]+)/)?(?P<stem>[^/]+)\.(?:png|tiff?|TIFF?|jpe?g)"
)


def recognise(listing: Listing) -> bool:
    return listing.first(_SCANS) is not None


def read(listing: Listing) -> Contents:
    """List each B-scan once, though it may lie in several folders of images."""
    items: dict[tuple[str, str, str], Item] = {}
    visits: dict[str, list[str]] = {}
    ignored = []
    for found in listing.find(_SCANS):
        image = listing.path(found.string)
        subject = re.sub(r"[ ()]", "", found["subject"])
        visit = found["visit"] or ""
        key = subject, visit, found["stem"]
        if key in items:
            ignored.append(image)
            continue
        known = visits.setdefault(subject, [])
        if visit not in known:
            known.append(visit)
        volume = f"{subject}_visit{known.index(visit) + 1}"
        items[key] = Item(image, None, Source("OCT5k", subject, volume, path=str(image)), None)
    return Contents(
        name="OCT5k",
        adapter="oct5k",
        path=listing.root,
        items=numbered(list(items.values())),
        names=("fluid",),
        ignored=tuple(ignored),
    )
