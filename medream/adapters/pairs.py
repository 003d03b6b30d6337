"""Pictures with the scan in the left half and the reference, in colours, in the right half."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from medream.adapters.dataset import Item
from medream.adapters.labels import Colour, labels_of_colours
from medream.adapters.listing import Listing
from medream.errors import ScanError
from medream.readers.raster import read_values
from medream.scan import Source

_GREY = 16  # how far the channels of a grey picture may differ after JPEG
_ODD = 0.02  # share of other pixels by which a half is still taken for a scan or a reference


def scan_half(path: Path) -> np.ndarray:
    """Return the left half as float32 in [0, 1]."""
    left, _ = _halves(path)
    coloured = float(np.mean(np.ptp(left, axis=-1) > _GREY))
    if coloured > _ODD:
        raise ScanError(
            f"{path}: {coloured:.1%} of the left half is in colour; expected a grey B-scan on the "
            "left and its reference on the right."
        )
    grey = left @ np.array([299, 587, 114]) / 1000
    return (np.round(grey) / 255).astype(np.float32)


def reference_half(
    path: Path, classes: Mapping[str, Colour], known: Collection[Colour]
) -> np.ndarray:
    """Return the labels that the colours of the right half mean, as `labels_of_colours`."""
    return labels_of_colours(_halves(path)[1], classes, known, path)


def recognise(listing: Listing, pattern: str) -> bool:
    """Tell whether the first picture that fits a pattern is a pair."""
    found = listing.first(pattern)
    return found is not None and is_pair(listing.path(found.string))


def pairs(
    listing: Listing,
    pattern: str,
    source_of: Callable[[re.Match[str]], Source],
    classes: Mapping[str, Colour],
    known: Collection[Colour],
) -> list[Item]:
    """List the pictures that fit a pattern; halves are told apart when one is read."""
    items = []
    for found in listing.find(pattern):
        path = listing.path(found.string)
        load_mask = partial(reference_half, path, classes, known)
        source = replace(source_of(found), path=str(path))
        items.append(
            Item(path, path, source, None, load=partial(scan_half, path), load_mask=load_mask)
        )
    return items


def is_pair(path: Path) -> bool:
    """Tell whether a picture has a grey left half and pure colours or black in its right half."""
    try:
        left, right = _halves(path)
    except ScanError:
        return False
    grey = np.ptp(left, axis=-1) <= _GREY
    pure = ((right < 64) | (right >= 192)).all(axis=-1)
    shades = ((left >= 32) & (left < 224)).all(axis=-1)  # a mask has none
    return bool(min(grey.mean(), pure.mean()) >= 1 - _ODD and shades.mean() > _ODD)


def _halves(path: Path) -> tuple[np.ndarray, np.ndarray]:
    both = read_values(path, colour=True)
    width = both.shape[1]
    if width % 2:
        raise ScanError(
            f"{path} is {width} pixels wide; expected an even width, the scan in the left half and "
            "its reference in the right."
        )
    return both[:, : width // 2], both[:, width // 2 :]
