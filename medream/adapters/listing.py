"""What lies in a data set's folder: the files, found once, that adapters recognise it by."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np

from medream.adapters.dataset import Item
from medream.errors import ScanError
from medream.readers.names import files_in, natural_key
from medream.scan import Source
from medream.split import SPLITS

_LONGEST_MANIFEST = 32 << 20  # bytes; the longest of a real data set has about a hundred thousand


@dataclass(frozen=True)
class Listing:
    """The files below a folder, as `/`-separated paths relative to it, in natural order.

    Only what the walk found is ever opened: a manifest can choose among the files, never lead to
    others.
    """

    root: Path

    @cached_property
    def files(self) -> tuple[str, ...]:
        found = files_in(self.root, recursive=True)
        return tuple(file.relative_to(self.root).as_posix() for file in found)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.files)

    def __contains__(self, relative: str) -> bool:
        return relative in self._known

    def find(self, pattern: str) -> Iterator[re.Match[str]]:
        """Yield a match for each file whose whole relative path fits the pattern."""
        compiled = re.compile(pattern)
        for file in self.files:
            if found := compiled.fullmatch(file):
                yield found

    def first(self, pattern: str) -> re.Match[str] | None:
        """Return the first match of `find`, None when no file fits."""
        return next(self.find(pattern), None)

    def path(self, relative: str) -> Path:
        return self.root / relative

    @cached_property
    def name(self) -> str:
        """Name of the folder, also when it was given as "." or a link."""
        return self.root.resolve().name


def labelled_picture(
    listing: Listing,
    image: str,
    mask: str,
    source: Source,
    labels: Callable[[Path], np.ndarray],
    split: str | None = None,
) -> Item:
    """Return the item of a picture whose reference, where it is there, is read by `labels(path)`."""
    path, reference = listing.path(image), listing.path(mask)
    return Item(
        path,
        reference if mask in listing else None,
        replace(source, path=str(path)),
        split,
        load_mask=partial(labels, reference),
    )


def read_manifest(path: Path) -> str:
    """Return the text of a list, table or JSON file that comes with a data set.

    Raises
    ------
    ScanError
        When it cannot be read, is no text, or is far longer than any such file.
    """
    try:
        if path.stat().st_size > _LONGEST_MANIFEST:
            raise ScanError(
                f"{path} has {path.stat().st_size} bytes; expected a list of files. Copy it again."
            )
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ScanError(f"{path} cannot be read as text: {error}. Copy it again.") from error


def split_by_lists(
    items: Sequence[Item], lists: dict[str, Path], data_set: str
) -> tuple[list[Item], tuple[str, ...]]:
    """Give each item the split whose list names its picture, people never divided.

    Parameters
    ----------
    items : sequence of Item
    lists : {split: text file with a picture's name or path in each line}
    data_set : str
        Named in the remarks.

    Returns
    -------
    items, remarks
        When the lists divide a person, none gets a split, and a remark says so. Pictures that
        no list names belong to the person's other pictures, or to train. Without lists nothing
        changes.
    """
    if not lists:
        return list(items), ()
    named: dict[str, str] = {}
    for split, path in lists.items():
        for line in read_manifest(path).splitlines():
            stem = line.strip().replace("\\", "/").rpartition("/")[2]
            named[stem.rpartition(".")[0] or stem] = split
    found: dict[str, set[str]] = {}
    for item in items:
        if item.image.stem in named:
            found.setdefault(item.source.subject_id, set()).add(named[item.image.stem])
    divided = sorted((s for s, splits in found.items() if len(splits) > 1), key=natural_key)
    files = " and ".join(path.name for path in lists.values())
    if divided:
        remark = (
            f"{data_set}: {files} put B-scans of one person on both sides ({len(divided)} people: "
            f"{', '.join(divided[:5])}{', ...' if divided[5:] else ''}). They are not used; whole "
            "people are held out instead, so scores are not comparable with the official ones."
        )
        return list(items), (remark,)
    split_of = {subject: next(iter(splits)) for subject, splits in found.items()}
    return [replace(i, split=split_of.get(i.source.subject_id, "train")) for i in items], ()


_key = lru_cache(maxsize=1 << 16)(natural_key)  # people and folders recur


def in_order(items: Sequence[Item]) -> tuple[Item, ...]:
    """Order items by split, subject, volume and B-scan."""

    def key(item: Item) -> tuple:
        source = item.source
        split = SPLITS.index(item.split) if item.split else len(SPLITS)
        names = _key(source.subject_id), _key(source.volume_id)
        return split, *names, source.bscan_index

    return tuple(sorted(items, key=key))


def numbered(items: Sequence[Item]) -> tuple[Item, ...]:
    """Number the pictures within each volume in natural order, and put all in order."""
    volumes: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        volumes.setdefault((item.source.subject_id, item.source.volume_id), []).append(item)
    result = []
    for volume in volumes.values():
        volume.sort(key=lambda item: (natural_key(item.image.name), _key(str(item.image.parent))))
        for index, item in enumerate(volume):
            result.append(replace(item, source=replace(item.source, bscan_index=index)))
    return in_order(result)


def unused(listing: Listing, pattern: str, items: Sequence[Item]) -> tuple[Path, ...]:
    """Return the files that fit a pattern of masks and are the mask of no item."""
    used = {item.mask for item in items}
    found = (listing.path(match.string) for match in listing.find(pattern))
    return tuple(file for file in found if file not in used)
