"""One pass over the scans of a training: all that its checks, its normalisation and its record need."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from medream.scan import Scan


@dataclass
class Census:
    """What is counted of scans.

    Parameters
    ----------
    scans, lesion_scans : int
        All, and those whose mask holds something valid.
    bare, damaged : list of str
        Pseudonymous names of the scans without a mask, and of those with pixels that are no finite numbers.
    classes : set of tuple of str
        All lists of class names that occur; one, where the scans fit together.
    pixels : dict of int to int
        Valid pixels of each mask value.
    valid : int
        Pixels that count.
    shapes : dict of (depth, width) to int
        Scans of each size.
    mean, std : float
        Of the valid pixels' intensities.
    spacings : set of (axial, lateral) or None
    subjects, datasets : set of str
    """

    scans: int = 0
    lesion_scans: int = 0
    bare: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    classes: set[tuple[str, ...]] = field(default_factory=set)
    pixels: dict[int, int] = field(default_factory=dict)
    valid: int = 0
    shapes: dict[tuple[int, int], int] = field(default_factory=dict)
    mean: float = 0.0
    std: float = 1.0
    spacings: set[tuple[float, float] | None] = field(default_factory=set)
    subjects: set[str] = field(default_factory=set)
    datasets: set[str] = field(default_factory=set)

    @property
    def smallest(self) -> tuple[int, int]:
        """The smallest depth and the smallest width."""
        depths, widths = zip(*self.shapes, strict=True)
        return min(depths), min(widths)

    def patches(self, size: tuple[int, int]) -> int:
        """Return how many patches cover the area of all scans once, at least one for each."""
        each = (n * max(1.0, math.prod(s) / math.prod(size)) for s, n in self.shapes.items())
        return math.ceil(sum(each))

    @property
    def lacking(self) -> list[str]:
        """Names of the classes without a pixel, where all scans name the same classes."""
        if len(self.classes) != 1:
            return []
        (names,) = self.classes
        return [name for label, name in enumerate(names, start=1) if not self.pixels.get(label)]

    def shares(self) -> dict[str, float]:
        """Return the shares of scans with a lesion and of lesion pixels, those of each class named."""
        (names,) = self.classes
        found = {
            f"pixels of {name}": self.pixels.get(label, 0) / max(self.valid, 1)
            for label, name in enumerate(names, start=1)
        }
        return {"scans with a lesion": self.lesion_scans / max(self.scans, 1), **found}


def take_census(scans: Iterable[Scan]) -> Census:
    """Count scans in one pass; they may be read one by one.

    Examples
    --------
    >>> import medream as md
    >>> census = take_census(md.phantom_scans(4, size=(48, 64)))
    >>> census.scans, census.smallest, census.lacking
    (4, (48, 64), [])
    """
    census = Census()
    total = squares = 0.0
    for scan in scans:
        kept = scan.image if scan.valid is None else scan.image[scan.valid]
        added = float(kept.sum(dtype=np.float64))
        total += added
        squares += float(np.square(kept, dtype=np.float64).sum())
        census.valid += kept.size
        if not math.isfinite(added):
            census.damaged.append(scan.source.name)
        if scan.mask is None:
            census.bare.append(scan.source.name)
        else:
            labels = scan.mask if scan.valid is None else scan.mask[scan.valid]
            counts = np.bincount(labels.ravel(), minlength=1)
            census.lesion_scans += bool(counts[1:].any())
            for label in np.flatnonzero(counts).tolist():
                census.pixels[label] = census.pixels.get(label, 0) + int(counts[label])
        census.scans += 1
        census.shapes[scan.shape] = census.shapes.get(scan.shape, 0) + 1
        census.classes.add(scan.classes)
        census.spacings.add(scan.spacing_mm)
        census.subjects.add(scan.source.subject_id)
        census.datasets.add(scan.source.dataset)
    if census.valid and not census.damaged:
        census.mean = total / census.valid
        census.std = math.sqrt(max(squares / census.valid - census.mean**2, 1e-6))
    return census
