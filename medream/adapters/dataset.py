"""`Dataset`: the scans of a data set, read when they are asked for, and its parts by subject."""

from __future__ import annotations

import copy
import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, overload

import numpy as np

from medream.errors import ConfigError, ScanError, nearest
from medream.files import RUN_FILE, sha256_of
from medream.readers import read_gray, read_labels, valid_mask
from medream.readers.raster import ClassMap, check_class_map
from medream.scan import Scan, Source
from medream.split import SPLITS, LeakWarning, split_block, split_subjects

HELD_OUT = 0.2  # of the subjects, for each of validation and test


@dataclass(frozen=True)
class Item:
    """One B-scan that has not been read yet: its files, its origin and its split on disk.

    `load` and `load_mask` read the image and the labels where these are no picture files of
    their own; `mask` then only names the file. `in_volume` says that the file holds other
    B-scans too, so that its bytes are not hashed for each of them. `spacing_mm` goes before that
    of the data set. `load_valid` finds the valid pixels, given the image.
    """

    image: Path
    mask: Path | None
    source: Source
    split: str | None
    spacing_mm: tuple[float, float] | None = None
    in_volume: bool = False
    load: Callable[[], np.ndarray] | None = field(default=None, compare=False, repr=False)
    load_mask: Callable[[], np.ndarray] | None = field(default=None, compare=False, repr=False)
    load_valid: Callable[[np.ndarray], np.ndarray | None] = field(
        default=valid_mask, compare=False, repr=False
    )
    bscan_spacing_mm: float | None = None

    def read_image(self) -> np.ndarray:
        """Return the B-scan as float32 in [0, 1]."""
        return read_gray(self.image) if self.load is None else self.load()

    def read_mask(self, class_map: ClassMap | None = None) -> np.ndarray | None:
        """Return the labels as uint8, None when there is no reference."""
        if self.mask is None:
            return None
        return read_labels(self.mask, class_map) if self.load_mask is None else self.load_mask()


def items_of_volume(
    positions: Iterable[int],
    image: Path,
    mask: Path | None,
    source: Source,
    *,
    load: Callable[[int], np.ndarray],
    load_mask: Callable[[int], np.ndarray] | None = None,
    split: str | None = None,
    spacing_mm: tuple[float, float] | None = None,
    bscan_spacing_mm: float | None = None,
) -> list[Item]:
    """Return an item for each of the positions of one file's B-scans; `load(k)` reads one."""
    return [
        Item(
            image,
            mask,
            replace(source, bscan_index=k, path=str(image)),
            split,
            spacing_mm,
            in_volume=True,
            load=partial(load, k),
            load_mask=None if load_mask is None else partial(load_mask, k),
            bscan_spacing_mm=bscan_spacing_mm,
        )
        for k in positions
    ]


@dataclass(frozen=True)
class Contents:
    """What an adapter found in a data set's folder; shared by all parts of the data set.

    `assumed` are the subjects that no name tells apart: B-scans of one person may lie on both
    sides of a split. `orphans` are masks without image, `ambiguous` are images with several
    masks, `ignored` are pictures outside of the layout. `names` are the classes where the data set
    defines them; `remarks` are what the adapter warns of; `broken` tell of files of volumes that
    cannot be read; `volumes_beside` are volumes that are not used, since pictures are.
    """

    name: str
    adapter: str
    path: Path
    items: tuple[Item, ...]
    class_map: ClassMap | None = None
    spacing_mm: tuple[float, float] | None = None
    assumed: frozenset[str] = frozenset()
    orphans: tuple[Path, ...] = ()
    ambiguous: tuple[tuple[Path, ...], ...] = ()
    ignored: tuple[Path, ...] = ()
    names: tuple[str, ...] | None = None
    remarks: tuple[str, ...] = ()
    broken: tuple[ScanError, ...] = ()
    volumes_beside: tuple[Path, ...] = ()

    @cached_property
    def labels(self) -> list[tuple[int, int]]:
        """Highest label and labelled pixels of each item's mask; zeros where there is none."""
        return [_label_summary(item, self.class_map) for item in self.items]

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the labels 1, 2, ...; "fluid" for a binary mask that nobody named."""
        if self.names:
            return self.names
        if self.class_map:
            return check_class_map(self.class_map, str(self.path))
        highest = max((label for label, _ in self.labels), default=0)
        return ("fluid",) if highest <= 1 else tuple(f"class{k + 1}" for k in range(highest))

    @cached_property
    def parts(self) -> dict[str, tuple[Item, ...]]:
        """Train, validation and test: as on disk, what is missing there held out of train."""
        parts = {
            split: [k for k, i in enumerate(self.items) if i.split == split] for split in SPLITS
        }
        pool = parts["train"] + [k for k, item in enumerate(self.items) if item.split is None]
        bscans, subjects = len(pool), len(self._subjects(pool))
        for split in self.missing_parts:
            loads = {k: self.labels[k][1] for k in pool}
            present = self._subjects(pool)
            # The share is of everything there was, also of what test has taken already.
            if len(present) > 1:
                by_subject = {s: sum(loads[k] for k in ks) for s, ks in present.items()}
                _, held = split_subjects(by_subject, HELD_OUT * subjects / len(present))
                parts[split] = [k for subject in held for k in present[subject]]
            elif len(pool) > 1:
                share = min(HELD_OUT * bscans / len(pool), 0.5)
                parts[split] = [pool[k] for k in split_block(list(loads.values()), share)]
            pool = [k for k in pool if k not in set(parts[split])]
        parts["train"] = pool
        return {split: tuple(self.items[k] for k in sorted(ks)) for split, ks in parts.items()}

    @property
    def missing_parts(self) -> list[str]:
        """The parts that the folders do not give and that are held out of train."""
        on_disk = {item.split for item in self.items}
        if not on_disk & {"train", None}:
            return []
        return [split for split in ("test", "validation") if split not in on_disk]

    def _subjects(self, positions: Sequence[int]) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for k in positions:
            found.setdefault(self.items[k].source.subject_id, []).append(k)
        return found

    @cached_property
    def _on_both_sides(self) -> dict[str, list[str]]:
        """Subjects that the folders put into several splits, and these splits."""
        found: dict[str, list[str]] = {}
        for split in SPLITS:
            for subject in {item.source.subject_id for item in self.items if item.split == split}:
                found.setdefault(subject, []).append(split)
        return {subject: splits for subject, splits in sorted(found.items()) if len(splits) > 1}

    @property
    def known_on_both_sides(self) -> dict[str, list[str]]:
        """Subjects named as the same in several splits, and these splits."""
        return {s: splits for s, splits in self._on_both_sides.items() if s not in self.assumed}

    @property
    def assumed_warnings(self) -> list[str]:
        """Where one person may be on both sides because nothing tells people apart."""
        messages = [
            f"{self.name}: {_and(splits)} may share a person, since no name tells people apart and "
            f"all of {subject} counts as one; scores would flatter the model. {_HOW_TO_NAME}"
            for subject, splits in self._on_both_sides.items()
            if subject in self.assumed
        ]
        pool = [k for k, item in enumerate(self.items) if item.split in ("train", None)]
        subjects = len(self._subjects(pool))
        held_out = max(round(HELD_OUT * subjects), 1)
        alone = [s for k, s in enumerate(self.missing_parts) if subjects - k * held_out < 2]
        if alone:
            parts = _and([split for split in SPLITS if split == "train" or split in alone])
            messages.append(
                f"{self.name}: {parts} may share a person, since there are too few subjects to "
                f"hold out ({subjects}) and blocks of B-scans are held out instead; scores would "
                f"flatter the model. {_HOW_TO_NAME}"
            )
        return messages

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What a user has to know before trusting a score on this data set."""
        known = [
            f"{self.name}: {_and(splits)} share the subject {subject}; scores flatter the model. "
            "Move all of a subject's scans to one side."
            for subject, splits in self.known_on_both_sides.items()
        ]
        return (*self.remarks, *known, *self.assumed_warnings)


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[:-1] else words)


_HOW_TO_NAME = (
    r"If the names tell people apart, give subject_pattern, such as r'(?P<subject>eye\d+)_', "
    "here or in dataset.toml."
)


def _label_summary(item: Item, class_map: ClassMap | None) -> tuple[int, int]:
    try:
        labels = item.read_mask(class_map)
    except ScanError:  # raised again when the scan itself is read
        return 0, 0
    if labels is None:
        return 0, 0
    return int(labels.max()), int(np.count_nonzero(labels))


class Dataset(Sequence[Scan]):
    """The scans of a data set or of one of its parts, each read when it is indexed.

    A slice is a `Dataset` too. Made by `open_dataset`.

    Attributes
    ----------
    name, adapter, path : str, str, Path
    split : "train", "validation", "test", or None for all
    classes : tuple of str
        Names of the mask values 1, 2, ...
    sources : list of Source
        Origins of the scans, without reading them (`sha256` is None).
    warnings : tuple of str
        What endangers a fair score, such as one person on both sides of a split.
    """

    def __init__(self, contents: Contents, split: str | None = None) -> None:
        if split is not None and split not in SPLITS:
            raise ConfigError(
                f"Unknown split {split!r}; expected 'train', 'validation', 'test', or None for "
                f"all. {nearest(str(split), SPLITS)}"
            )
        self._contents = contents
        self._items = contents.items if split is None else contents.parts[split]
        self.split = split
        if not self._items:
            present = ", ".join(name for name in SPLITS if contents.parts[name])
            raise ScanError(
                f"{contents.path} has no {split} part, and too few B-scans to hold one out; "
                f"it has: {present}."
            )

    @property
    def name(self) -> str:
        return self._contents.name

    @property
    def adapter(self) -> str:
        return self._contents.adapter

    @property
    def path(self) -> Path:
        return self._contents.path

    @property
    def classes(self) -> tuple[str, ...]:
        return self._contents.classes

    @property
    def warnings(self) -> tuple[str, ...]:
        return self._contents.warnings

    @property
    def shared_subjects(self) -> dict[str, list[str]]:
        """Subjects that the data set's own folders put into more than one part, and those parts."""
        return self._contents.known_on_both_sides

    @property
    def sources(self) -> list[Source]:
        return [item.source for item in self._items]

    @property
    def splits(self) -> list[str | None]:
        """The part that each scan belongs to on disk, None where the folders do not say."""
        return [item.split for item in self._items]

    @property
    def spacings_mm(self) -> list[tuple[float, float] | None]:
        """(axial, lateral) of each scan's pixels, without reading it."""
        return [item.spacing_mm or self._contents.spacing_mm for item in self._items]

    @property
    def bscan_spacings_mm(self) -> list[float | None]:
        """Distance of each scan's volume from B-scan to B-scan, where it is known."""
        return [item.bscan_spacing_mm for item in self._items]

    def fingerprint(self) -> str:
        """Return a hash of all that the scans are read from, without decoding them.

        Of the files that bear images and masks it takes the bytes, of the others below the data set's
        folder (pixels beside a header, lists, valid pixels) size and time of change, leaving out
        hidden files and what medream wrote there.
        """
        contents, digest, hashes = self._contents, hashlib.sha256(), dict[Path | None, str]()
        told: Any = (contents.adapter, self.classes, contents.class_map, contents.spacing_mm)
        digest.update(repr(told).encode())
        for item in self._items:
            for file in (item.image, item.mask):
                if file not in hashes:
                    hashes[file] = sha256_of(file) if file and file.is_file() else ""
            told = (hashes[item.image], hashes[item.mask], item.source.bscan_index, item.spacing_mm)
            digest.update(repr(told).encode())
        for folder, inner, files in os.walk(self.path):
            inner[:] = sorted(
                name
                for name in inner
                if not name.startswith(".") and not Path(folder, name, RUN_FILE).exists()
            )
            for name in sorted(files):
                file = Path(folder, name)
                if file not in hashes and not name.startswith("."):
                    state = file.stat() if file.exists() else file.lstat()
                    told = (file.relative_to(self.path), state.st_size, state.st_mtime_ns)
                    digest.update(repr(told).encode())
        return digest.hexdigest()

    def part(self, split: str | None) -> Dataset:
        """Return another part of the same data set; None for all of it.

        Raises
        ------
        ConfigError, ScanError
            When there is no such split, or the data set has nothing in it.
        """
        return Dataset(self._contents, split)

    def only(self, positions: Iterable[int]) -> Dataset:
        """Return the scans at some positions."""
        part = copy.copy(self)
        part._items = tuple(self._items[k] for k in positions)
        return part

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Scan: ...
    @overload
    def __getitem__(self, index: slice) -> Dataset: ...
    def __getitem__(self, index: int | slice) -> Scan | Dataset:
        if isinstance(index, slice):
            part = copy.copy(self)
            part._items = self._items[index]
            return part
        return self._read(self._items[index])

    def __repr__(self) -> str:
        subjects = len({source.subject_id for source in self.sources})
        return (
            f"Dataset({self.name!r}, split={self.split!r}, {len(self)} scans, {subjects} subjects)"
        )

    def _read(self, item: Item) -> Scan:
        image = item.read_image()
        mask = item.read_mask(self._contents.class_map)
        if mask is not None and mask.shape != image.shape:
            raise size_mismatch(item, image.shape, mask.shape)
        return Scan(
            image,
            mask=mask,
            classes=self.classes,
            valid=item.load_valid(image),
            spacing_mm=item.spacing_mm or self._contents.spacing_mm,
            source=replace(item.source, sha256=None if item.in_volume else sha256_of(item.image)),
        )


def size_mismatch(item: Item, image: tuple[int, ...], mask: tuple[int, ...]) -> ScanError:
    """Return the error for a mask of another size than its image."""
    return ScanError(
        f"{item.mask} is a mask of {mask[0]} x {mask[1]} pixels (depth x width), but its image "
        f"{item.image} has {image[0]} x {image[1]}. Export both at one size, unrotated."
    )


def warn_of(contents: Contents) -> None:
    """Give the warnings of a data set aloud."""
    for message in contents.warnings:
        warnings.warn(message, LeakWarning, stacklevel=3)
