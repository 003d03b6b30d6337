"""Folders of pictures: images and masks side by side, with or without split and device folders.

Where there are no pictures, or only those that medream wrote, the folder's volumes; see `stored`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medream.adapters.dataset import Contents, Item
from medream.adapters.listing import in_order, numbered
from medream.adapters.stored import Where, listed_pictures, volumes
from medream.errors import ConfigError, ScanError, nearest
from medream.readers import Unit, listed, units_below
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
    name = sidecar.name or path.resolve().name or "dataset"
    units = units_below(path, pictures=False)
    known, files, names = listed_pictures(units, name)
    if not sidecar.name and len(names) == 1:
        name = names.pop()
    places = [place for place in _places(path) if place.file not in files]
    masks: dict[tuple, list[Path]] = {}
    for place in places:
        if place.is_mask:
            masks.setdefault(place.key, []).append(place.file)
    with_layout = any(p.in_layout and not p.is_mask for p in places)
    images = [p for p in places if not p.is_mask and p.in_layout >= with_layout]
    given = class_map or sidecar.classes
    if not images and not known.items:
        return _volumes(path, units, name, sidecar, given, subject_pattern)
    if given is None and known.classes:
        given = _class_map(_only(known.classes, path))
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
        items=numbered([*items, *(_with_sidecar(item, sidecar, name) for item in known.items)]),
        class_map=given,
        spacing_mm=sidecar.spacing_mm,
        assumed=frozenset(assumed),
        orphans=tuple(file for key, files in masks.items() if key not in keys for file in files),
        ambiguous=tuple(tuple(f) for key, f in masks.items() if key in keys and len(f) > 1),
        ignored=tuple(p.file for p in places if not p.is_mask and p.in_layout < with_layout),
        broken=tuple(known.broken),
        volumes_beside=tuple(unit.files[0] for unit in units if unit.format.name != listed.NAME),
    )


def _volumes(
    path: Path,
    units: list[Unit],
    name: str,
    sidecar: Sidecar,
    class_map: ClassMap | None,
    subject_pattern: str | None,
) -> Contents:
    """List volumes of other formats, where there are no pictures."""
    own_pattern = subject_pattern or sidecar.subject_pattern
    firsts = [unit.files[0] for unit in units]
    where = {file: _where(_place(file, path)) for file in firsts}
    found = volumes(
        units, where, path, name, compiled(own_pattern), own_pattern is None, class_map
    )  # fmt: skip
    if not found.items and not found.broken:
        raise ScanError(
            f"{path} holds no B-scans; expected PNG, JPEG, TIFF or BMP files, in a folder 'Image' "
            "or 'images' when there are masks in 'GT' or 'masks', or volumes of another format."
        )
    names = None
    if class_map is not None:
        names = check_class_map(class_map, str(path))
    elif found.classes:
        names = _only(found.classes, path)
    return Contents(
        name=name,
        adapter="folder",
        path=path,
        items=in_order([_with_sidecar(item, sidecar, name) for item in found.items]),
        spacing_mm=sidecar.spacing_mm,
        names=names,
        orphans=tuple(found.orphans),
        broken=tuple(found.broken),
    )


def _where(place: _Place) -> Where:
    split, folders, stem = place.key
    return Where(place.split, place.is_mask, (split, folders, stem.removesuffix(".nii")), folders)


def _with_sidecar(item: Item, sidecar: Sidecar, name: str) -> Item:
    """Let what the `dataset.toml` says go before what a volume says."""
    source = replace(
        item.source,
        dataset=name,
        device=sidecar.device or item.source.device,
        laterality=sidecar.laterality or item.source.laterality,
    )
    return replace(item, source=source, spacing_mm=sidecar.spacing_mm or item.spacing_mm)


def _only(classes: set[tuple[str, ...]], path: Path) -> tuple[str, ...]:
    if len(classes) > 1:
        texts = " and ".join(sorted(", ".join(names) for names in classes))
        raise ScanError(
            f"{path}: its volumes name their classes differently ({texts}); expected one data set. Give "
            "class_map, or a [classes] table in dataset.toml, or open them one at a time."
        )
    return next(iter(classes))


def _class_map(classes: tuple[str, ...]) -> ClassMap:
    """Return the values that medream draws classes in."""
    return {classes[0]: 255} if len(classes) == 1 else {n: k + 1 for k, n in enumerate(classes)}


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
