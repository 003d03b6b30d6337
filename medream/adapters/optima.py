"""OPTIMA cyst challenge 2015: volumes of four devices with XML files of several graders beside.

No public code shows what these XML files look like, so this adapter is unverified and reads none of
them by itself: without a function that does, scans come without masks, and a remark says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from medream.adapters.dataset import Contents, Item, items_of_volume
from medream.adapters.labels import labels_of
from medream.adapters.listing import Listing, in_order
from medream.adapters.nnunet import picture
from medream.errors import MedreamError, ScanError
from medream.readers import read_headers
from medream.scan import Source

ReadReference = Callable[[Sequence[Path], tuple[int, int, int]], np.ndarray]
"""Given the XML files of one volume and its shape (bscan, depth, width), return IRF as 0 and 1 in
an array of that shape."""

_DEVICES = ("Cirrus", "Nidek", "Spectralis", "Topcon")
_VOLUMES = (
    r"(?P<folder>(?:.*/)?)(?P<stem>[^/]+?)\.(?:mhd|mha|nii|nii\.gz|nrrd|tiff?|dcm|img|vol|npy)"
)
_UNREAD = (
    "OPTIMA: the XML references are not read, because their form is published nowhere; give "
    "reference=, a function that turns the XML files of a volume into an array (see "
    "medream.adapters.optima)."
)


def recognise(listing: Listing) -> bool:
    files = _xml(listing)
    return bool(files) and any(
        _device(listing, found.string) and _references(listing, found, files)
        for found in listing.find(_VOLUMES)
    )


def read(listing: Listing, reference: ReadReference | None = None) -> Contents:
    """List the B-scans of all volumes; `reference` reads the XML files of one."""
    items: list[Item] = []
    files = _xml(listing)
    for found in listing.find(_VOLUMES):
        image = listing.path(found.string)
        device = _device(listing, found.string)
        if device is None:
            continue
        heads = read_headers(image)
        if len(heads) != 1:
            raise ScanError(f"{image} holds {len(heads)} volumes; expected one in a file.")
        head = heads[0]
        xml = _references(listing, found, files)
        folders = {part.casefold() for part in found["folder"].split("/")}
        subject = f"{device}_{found['stem']}"
        load_mask = None
        if reference is not None:
            load_mask = partial(_labels, reference, xml, (head.bscans, *head.size))
        items += items_of_volume(
            range(head.bscans),
            image,
            xml[0] if xml and reference is not None else None,
            Source("OPTIMA", subject, subject, laterality=head.laterality, device=device),
            load=partial(picture, image),
            load_mask=load_mask,
            split="test" if any("test" in part for part in folders) else "train",
            spacing_mm=head.spacing_mm,
            bscan_spacing_mm=head.bscan_spacing_mm,
        )
    return Contents(
        name="OPTIMA",
        adapter="optima",
        path=listing.root,
        items=in_order(items),
        names=("IRF",),
        remarks=() if reference is not None else (_UNREAD,),
    )


def _device(listing: Listing, file: str) -> str | None:
    for part in reversed([listing.name, *file.split("/")]):
        for device in _DEVICES:
            if device.casefold() in part.casefold():
                return device
    return None


def _xml(listing: Listing) -> list[str]:
    return [found.string for found in listing.find(r".*\.(?:xml|XML)")]


def _references(listing: Listing, volume: re.Match[str], files: list[str]) -> tuple[Path, ...]:
    """Return the XML files of a volume: those whose name begins with the volume's."""
    start = volume["folder"] + volume["stem"]
    return tuple(listing.path(file) for file in files if file.startswith(start))


@lru_cache(maxsize=4)
def _volume_labels(
    reference: ReadReference, files: tuple[Path, ...], shape: tuple[int, int, int]
) -> np.ndarray:
    try:
        labels = np.asarray(reference(files, shape))
    except MedreamError:
        raise
    except Exception as error:
        raise ScanError(
            f"{files[0]}: the function given as reference failed ({error}). Mend it for this file."
        ) from error
    if labels.shape != shape:
        raise ScanError(
            f"{files[0]}: the function given as reference returned the shape {labels.shape}; "
            f"expected that of the volume, {shape}."
        )
    return labels_of(labels, {"IRF": (1,)}, (0, 1), files[0])


def _labels(
    reference: ReadReference, files: tuple[Path, ...], shape: tuple[int, int, int], k: int
) -> np.ndarray:
    return _volume_labels(reference, files, shape)[k]
