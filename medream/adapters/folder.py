"""Folders of pictures: images and masks side by side, with or without split and device folders."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medream.adapters.dataset import Contents, Item
from medream.adapters.listing import numbered
from medream.errors import ConfigError, ScanError, nearest
from medream.readers.names import SUBJECT_PATTERN, raster_files, subject_in
from medream.readers.raster import ClassMap, check_class_map
from medream.scan import LATERALITIES, Source

SIDECAR = "dataset.toml"

_SPLIT_FOLDERS = {
    "train": "train", "training": "train", "validation": "validation", "val": "validation",
    "valid": "validation", "test": "test", "testing": "test",
}  # fmt: skip
_IMAGE_FOLDERS = frozenset({"image", "images", "img", "imgs"})
_MASK_FOLDERS = frozenset({"gt", "mask", "masks", "label", "labels"})
_MASK_SUFFIX = re.compile(r"[_\-. ](mask|label|labels|gt|seg)$", re.IGNORECASE)
_IMAGE_SUFFIX = re.compile(r"[_\-. ](image|img)$", re.IGNORECASE)


@dataclass(frozen=True)
class Sidecar:
    """What `dataset.toml` says; anything may be missing."""

    name: str | None = None
    spacing_mm: tuple[float, float] | None = None
    classes: ClassMap | None = None
    subject_pattern: str | None = None
    device: str | None = None
    laterality: str | None = None


@dataclass(frozen=True)
class _Place:
    """What a file's folders say: its split, its role, and the folders that are neither."""

    file: Path
    relative: Path
    split: str | None
    is_mask: bool
    in_layout: bool
    folders: tuple[str, ...]
    above_split: tuple[str, ...]
    key: tuple[str | None, tuple[str, ...], str] = field(init=False)

    def __post_init__(self) -> None:
        suffix = _MASK_SUFFIX if self.is_mask else _IMAGE_SUFFIX
        stem = suffix.sub("", self.file.stem).casefold()
        object.__setattr__(self, "key", (self.split, self.folders, stem))


def read_folder(
    path: Path, class_map: ClassMap | None = None, subject_pattern: str | None = None
) -> Contents:
    """List the scans of a folder without reading their pixels.

    Parameters
    ----------
    path : Path
        Folder in one of the layouts `{train,test}/{Image,GT}`, `images` + `masks`, the same
        below folders of devices or subjects, or pictures alone.
    class_map, subject_pattern : optional
        Go before those of `dataset.toml`.

    Raises
    ------
    ScanError
        When the folder holds no pictures, or its `dataset.toml` is wrong.
    """
    sidecar = read_sidecar(path)
    pattern = compiled(subject_pattern or sidecar.subject_pattern)
    places = _places(path)
    masks: dict[tuple, list[Path]] = {}
    for place in places:
        if place.is_mask:
            masks.setdefault(place.key, []).append(place.file)
    with_layout = any(p.in_layout and not p.is_mask for p in places)
    images = [p for p in places if not p.is_mask and p.in_layout >= with_layout]
    if not images:
        raise ScanError(
            f"{path} holds no B-scans; expected PNG, JPEG, TIFF or BMP files, in a folder 'Image' "
            "or 'images' when there are masks in 'GT' or 'masks'."
        )
    name = sidecar.name or path.resolve().name or "dataset"
    items, assumed = [], set()
    for place in images:
        source, is_assumed = _source(place, pattern, name, sidecar)
        if is_assumed:
            assumed.add(source.subject_id)
        found = masks.get(place.key, [])
        items.append(Item(place.file, found[0] if found else None, source, place.split))
    keys = {place.key for place in images}
    return Contents(
        name=name,
        adapter="folder",
        path=path,
        items=numbered(items),
        class_map=class_map or sidecar.classes,
        spacing_mm=sidecar.spacing_mm,
        assumed=frozenset(assumed),
        orphans=tuple(file for key, files in masks.items() if key not in keys for file in files),
        ambiguous=tuple(tuple(f) for key, f in masks.items() if key in keys and len(f) > 1),
        ignored=tuple(p.file for p in places if not p.is_mask and p.in_layout < with_layout),
    )


def read_sidecar(path: Path) -> Sidecar:
    """Read the `dataset.toml` of a folder; an empty `Sidecar` when there is none.

    Raises
    ------
    ScanError
        When it is no TOML, or a value is not of the kind expected.
    """
    file = path / SIDECAR
    if not file.is_file():
        return Sidecar()
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ScanError(f"{file} cannot be read as TOML: {error}.") from error
    known = Sidecar.__dataclass_fields__
    for key, value in content.items():
        if key not in known:
            raise ScanError(f"{file} has an unknown entry {key!r}. {nearest(key, known)}")
        if key in ("name", "subject_pattern", "device") and not isinstance(value, str):
            raise ScanError(f"{file}: {key} is {value!r}; expected text in quotes.")
    if "spacing_mm" in content:
        content["spacing_mm"] = _spacing(content["spacing_mm"], file)
    if content.get("laterality", "OD") not in LATERALITIES:
        raise ScanError(f"{file}: laterality is {content['laterality']!r}; expected 'OD' or 'OS'.")
    if "classes" in content:
        classes = content["classes"]
        if not isinstance(classes, Mapping):
            raise ScanError(f"{file}: classes is {classes!r}; expected a table [classes].")
        check_class_map(classes, str(file))
    return Sidecar(**content)


def _spacing(value: Any, file: Path) -> tuple[float, float]:
    numbers = isinstance(value, list) and all(type(v) in (int, float) and v > 0 for v in value)
    if not numbers or len(value) != 2:
        raise ScanError(
            f"{file}: spacing_mm is {value!r}; expected [axial, lateral] in millimetres, such as "
            "[0.0039, 0.0115]."
        )
    return float(value[0]), float(value[1])


def compiled(pattern: str | None) -> re.Pattern[str]:
    if pattern is None:
        return SUBJECT_PATTERN
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"subject_pattern {pattern!r} is no regular expression ({error}); expected one such "
            r"as '(?P<subject>eye\d+)_'."
        ) from error


def _places(root: Path) -> list[_Place]:
    places = [_place(file, root) for file in raster_files(root, recursive=True)]
    # "x_mask.png" beside "x.png" is its mask even without a folder of masks.
    stems = {(p.relative.parent, p.file.stem) for p in places}
    return [
        replace(p, is_mask=True)
        if not p.in_layout
        and _MASK_SUFFIX.search(p.file.stem)
        and (p.relative.parent, _MASK_SUFFIX.sub("", p.file.stem)) in stems
        else p
        for p in places
    ]


def _place(file: Path, root: Path) -> _Place:
    relative = file.relative_to(root)
    split, role = None, None
    folders: list[str] = []
    above_split: tuple[str, ...] = ()
    for part in relative.parts[:-1]:
        low = part.casefold()
        if split is None and low in _SPLIT_FOLDERS:
            split, above_split = _SPLIT_FOLDERS[low], tuple(folders)
        elif role is None and low in _IMAGE_FOLDERS | _MASK_FOLDERS:
            role = low
        else:
            folders.append(part)
    return _Place(
        file, relative, split, role in _MASK_FOLDERS, role is not None, tuple(folders), above_split
    )


def _source(
    place: _Place, pattern: re.Pattern[str], dataset: str, sidecar: Sidecar
) -> tuple[Source, bool]:
    """Return a scan's origin, and whether its subject is only assumed.

    A folder above the split folders (`cirrus_3/train/Image`) is a device; everything in it may
    be one person. Any other folder is a subject.
    """
    above = "_".join(place.above_split)
    named = subject_in(Path(*place.folders, place.file.name), pattern)
    assumed = named is None and place.folders == place.above_split
    subject = named or "_".join(place.folders) or dataset
    own = () if subject in place.folders or not named else (subject,)
    return (
        Source(
            dataset=dataset,
            subject_id=subject,
            volume_id="_".join([*place.folders, *own]) or subject,
            laterality=sidecar.laterality,
            device=sidecar.device or above or None,
            path=str(place.file),
        ),
        assumed,
    )
