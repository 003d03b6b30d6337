"""`Packed`: scans decoded once, to be read again at any moment at no cost.

A packed scan is its labels and the smallest unsigned integers that give its pixels back to the bit;
they lie in memory or in a file (`shards`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np

from medream.errors import MedreamError
from medream.losses import IGNORE
from medream.progress import progress
from medream.readers.parallel import on_all_cores
from medream.scan import Scan, Source

_WINDOW = 16  # B-scans decoded at once
_TABLE = np.dtype(
    [
        ("depth", "i4"), ("width", "i4"), ("masked", "?"), ("lesion", "i8"),
        ("spacing_mm", "f8", 2), ("classes", "i4"),
        ("sha256", "S64"), ("group", "i4"), ("row", "i8"),
    ]
)  # fmt: skip

Names = list[tuple[str, ...]]


class Store(Protocol):
    """Where pixels and labels lie: `add` tells group and row, which `read` finds them by."""

    file: Path | None

    def add(self, pixels: np.ndarray, labels: np.ndarray) -> tuple[int, int]: ...
    def read(self, entry: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...


class Memory:
    """Pixels and labels in memory, each scan in its own size."""

    file: Path | None = None

    def __init__(self) -> None:
        self._arrays: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, pixels: np.ndarray, labels: np.ndarray) -> tuple[int, int]:
        self._arrays.append((pixels, labels))
        return 0, len(self._arrays) - 1

    def read(self, entry: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._arrays[entry["row"]]


class Packed(Sequence[Scan]):
    """Scans whose pixels are read when they are indexed; made by `shards.pack`.

    Indexing gives the `Scan` back, with pixels that do not count (`valid` is False) as background in
    the mask. A slice is `Packed` too.

    Attributes
    ----------
    table : structured array (scans,)
        "depth", "width"; "masked" (has a mask), "lesion" (labelled pixels that count).
    failures : list of MedreamError
        What kept scans from being read, for those who read them inside of TensorFlow.
    """

    def __init__(
        self, table: np.ndarray, store: Store, names: Names, sources: Sequence[Source]
    ) -> None:
        self.table, self._store, self._names, self._sources = table, store, names, sources
        self._positions = np.arange(len(table))
        self.failures: list[MedreamError] = []

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, index: int) -> Scan: ...
    @overload
    def __getitem__(self, index: slice) -> Packed: ...
    def __getitem__(self, index: int | slice) -> Scan | Packed:
        if isinstance(index, slice):
            return self.subset(range(*index.indices(len(self))))
        entry = self.table[index]
        image, labels = self.arrays(index)
        ignored = labels == IGNORE
        axial, lateral = entry["spacing_mm"].tolist()
        return Scan(
            image,
            mask=np.where(ignored, np.uint8(0), labels) if entry["masked"] else None,
            classes=self._names[entry["classes"]],
            valid=~ignored if ignored.any() else None,
            spacing_mm=None if np.isnan(axial) else (axial, lateral),
            source=self.source(index),
        )

    def __iter__(self) -> Iterator[Scan]:
        return (self[k] for k in range(len(self)))

    def arrays(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return image, float32 (depth, width), and labels, uint8, `IGNORE` where not valid."""
        pixels, labels = self._store.read(self.table[index])
        return unpacked(pixels), labels

    def source(self, index: int) -> Source:
        """Return the origin of a scan without reading it."""
        source = self._sources[self._positions[index]]
        digest = self.table["sha256"][index].decode()
        return Source(**{**vars(source), "sha256": digest or None})

    @property
    def sources(self) -> Iterator[Source]:
        """Origins of the scans, without reading them."""
        return (self.source(k) for k in range(len(self)))

    @property
    def shapes(self) -> np.ndarray:
        """Depth and width of each scan, (scans, 2)."""
        return np.stack([self.table["depth"], self.table["width"]], -1)

    @property
    def file(self) -> Path | None:
        """The file that holds the pixels, None when they are in memory."""
        return self._store.file

    def subset(self, positions: Sequence[int]) -> Packed:
        """Return some of the scans, in the order of `positions`; no pixels are copied."""
        chosen = np.asarray(positions, np.int64)
        part = Packed(self.table[chosen], self._store, self._names, self._sources)
        part._positions = self._positions[chosen]
        return part


def fill(store: Store, scans: Sequence[Scan]) -> tuple[np.ndarray, Names, Sequence[Source]]:
    """Add all scans to a store, one after the other; return what `Packed` is made of beside it."""
    table = np.zeros(len(scans), _TABLE)
    names: Names = []
    sources: Any = getattr(scans, "sources", None)
    found: list[Source] = []
    with progress("pack", len(scans)) as update:
        for entry, scan in zip(table, _decoded(scans), strict=True):
            mask = np.zeros(scan.shape, np.uint8) if scan.mask is None else scan.mask
            valid = scan.valid
            lesion = np.count_nonzero(mask if valid is None else mask[valid])
            if scan.classes not in names:
                names.append(scan.classes)
            entry["depth"], entry["width"] = scan.shape
            entry["masked"], entry["lesion"] = scan.mask is not None, lesion
            entry["spacing_mm"] = scan.spacing_mm or np.nan
            entry["classes"] = names.index(scan.classes)
            entry["sha256"] = (scan.source.sha256 or "").encode()
            labels = mask if valid is None else np.where(valid, mask, np.uint8(IGNORE))
            entry["group"], entry["row"] = store.add(packed(scan.image), labels)
            if sources is None:
                found.append(scan.source)
            update(1)
    return table, names, found if sources is None else sources


def _decoded(scans: Sequence[Scan]) -> Iterator[Scan]:
    """Yield the scans in order; those of a `Dataset` are decoded on all cores."""
    if not hasattr(scans, "fingerprint"):
        yield from scans
        return
    for start in range(0, len(scans), _WINDOW):
        yield from on_all_cores(scans.__getitem__, range(start, min(start + _WINDOW, len(scans))))


def packed(image: np.ndarray) -> np.ndarray:
    """Return the smallest unsigned integers that `unpacked` turns into exactly these pixels.

    >>> packed(np.array([[0.2, 1.0]], "float32")).tolist()
    [[51, 255]]
    >>> packed(np.array([[0.1234567]], "float32")).dtype
    dtype('float32')
    """
    for kind in (np.uint8, np.uint16):
        with np.errstate(invalid="ignore"):  # NaN, which training refuses by name
            whole = np.rint(image * np.float32(np.iinfo(kind).max)).astype(kind)
        if np.array_equal(unpacked(whole), image):
            return whole
    return image


def unpacked(pixels: np.ndarray) -> np.ndarray:
    """Return float32 in [0, 1], by the full range of the integers' type."""
    if pixels.dtype == np.float32:
        return pixels
    return np.divide(pixels, np.float32(np.iinfo(pixels.dtype).max), dtype=np.float32)
