"""Volumes in a folder of one's own: files of any format that is read, and what medream wrote.

Masks are called `X_mask` beside the scan X, or as the scan in a folder of masks. What a file says of
its subject, eye, device, spacing, part and classes is kept; where it says nothing of the subject,
the folders do, and then the file's name.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from medream.adapters.dataset import Item
from medream.errors import ScanError
from medream.readers import PICTURES, Header, Unit, listed
from medream.readers.masks import Labels
from medream.readers.names import subject_in
from medream.readers.raster import ClassMap, check_class_map, read_gray
from medream.scan import Scan, Source

_LAZY = ("DICOM", "NIfTI", "MetaImage", "Heidelberg .vol")  # one B-scan costs one B-scan
_lock = threading.Lock()
_last_scans: list[tuple[Unit, list[Scan]]] = []
_last_labels: list[tuple[Unit, dict[Path, Labels]]] = []


@dataclass(frozen=True)
class Where:
    """What the path of a file below the data set's folder tells."""

    split: str | None
    is_mask: bool
    key: tuple
    folders: tuple[str, ...]


@dataclass
class Found:
    """The B-scans of volumes, what names their classes, and what cannot be read."""

    items: list[Item] = field(default_factory=list)
    classes: set[tuple[str, ...]] = field(default_factory=set)
    orphans: list[Path] = field(default_factory=list)
    broken: list[ScanError] = field(default_factory=list)


def listed_pictures(units: Sequence[Unit], name: str) -> tuple[Found, set[Path], set[str]]:
    """List the pictures that the `scans.json` among the units tell of.

    Returns
    -------
    found, files, names
        All files that belong to the lists, and the names of the data sets in them.
    """
    found = Found()
    files: set[Path] = set()
    names: set[str] = set()
    for unit in units:
        if unit.format.name != listed.NAME:
            continue
        (file,) = unit.files
        try:
            (header,) = unit.headers()
            entries = listed.pictures(file)
        except ScanError as error:
            found.broken.append(error)
            continue
        names.add(listed.dataset(file) or name)
        found.classes.add(header.classes or ("fluid",))
        for k, one in enumerate(entries):
            files |= {path for path in (one.image, one.mask, one.valid) if path}
            source = Source(
                dataset=name,
                subject_id=header.subject_id,
                volume_id=header.volume_id,
                bscan_index=k,
                laterality=header.laterality,
                device=header.device,
                path=str(one.image),
            )
            found.items.append(
                Item(
                    one.image,
                    one.mask,
                    source,
                    header.split,
                    header.spacing_mm,
                    load_valid=partial(_read_valid, one.valid),
                    bscan_spacing_mm=header.bscan_spacing_mm,
                )
            )
    return found, files, names


def volumes(
    units: Sequence[Unit],
    places: dict[Path, Where],
    root: Path,
    name: str,
    pattern: re.Pattern[str],
    told_first: bool,
    class_map: ClassMap | None,
) -> Found:
    """List the B-scans of volumes from their headers.

    Parameters
    ----------
    units : sequence of Unit
    places : {file: Where}
        For the first file of each unit.
    root, name : Path, str
        The data set's folder and name.
    pattern : compiled pattern
        Finds a subject in a path.
    told_first : bool
        Whether what a file says of its subject goes before the pattern.
    class_map : optional
        Names of the values in the masks.
    """
    found = Found()
    masks: dict[tuple, Path] = {}
    scans = []
    for unit in units:
        if unit.format is PICTURES or unit.format.name == listed.NAME:
            continue
        where = places[unit.files[0]]
        if where.is_mask:
            masks[where.key] = unit.files[0]
        else:
            scans.append((unit, where))
    used = set()
    for unit, where in scans:
        if len(unit.files) == 1 and not unit.masks and where.key in masks:
            used.add(where.key)
            unit = replace(unit, masks={unit.files[0]: masks[where.key]})
        try:
            _list_unit(found, unit, where, root, name, pattern, told_first, class_map)
        except ScanError as error:
            found.broken.append(error)
    found.orphans += [file for key, file in masks.items() if key not in used]
    return found


def _list_unit(
    found: Found,
    unit: Unit,
    where: Where,
    root: Path,
    name: str,
    pattern: re.Pattern[str],
    told_first: bool,
    class_map: ClassMap | None,
) -> None:
    position = 0
    for file, own in list(unit.found()):
        source = _source(own, unit, file, where, root, name, pattern, told_first)
        has_mask = own.masks or file in unit.masks
        if own.classes:
            found.classes.add(own.classes)
        for _ in range(own.bscans):
            found.items.append(
                Item(
                    file,
                    (unit.masks.get(file) or file) if has_mask else None,
                    replace(source, bscan_index=position),
                    where.split or own.split,
                    own.spacing_mm,
                    in_volume=True,
                    load=partial(_image, unit, position),
                    load_mask=partial(_mask, unit, file, position, class_map),
                    load_valid=partial(_valid, unit, position),
                    bscan_spacing_mm=own.bscan_spacing_mm or unit.bscan_spacing_mm,
                )
            )
            position += 1


def _source(
    header: Header,
    unit: Unit,
    file: Path,
    where: Where,
    root: Path,
    name: str,
    pattern: re.Pattern[str],
    told_first: bool,
) -> Source:
    relative = unit.path.relative_to(root) if unit.path != root else Path(file.name)
    stem = relative.name if unit.path.is_dir() else relative.stem.removesuffix(".nii")
    told = None if header.subject_id == "unknown" else header.subject_id
    in_path = subject_in(Path(*where.folders, file.name), pattern)
    subject = (told or in_path) if told_first else (in_path or told)
    if subject is None and unit.format.name == "DICOM":
        subject = unit.headers()[0].subject_id  # a pseudonym of its name
    subject = subject or "_".join(where.folders) or stem
    volume = header.volume_id
    if volume == "unknown" and unit.format.name == "DICOM":
        volume = unit.headers()[0].volume_id
    if volume == "unknown":
        volume = "_".join([*where.folders, stem])
    return Source(
        dataset=name,
        subject_id=subject,
        volume_id=volume,
        laterality=header.laterality,
        device=header.device,
        path=str(file),
    )


def _scan(unit: Unit, position: int) -> Scan:
    single = len(unit.files) == 1 and not unit.masks
    zipped = unit.files[0].suffix.lower() == ".gz"
    if single and unit.format.name in _LAZY and not zipped:
        return unit.read_file(unit.files[0], [position])[0]
    with _lock:  # the others unpack the whole volume, which is kept until the next one
        if not _last_scans or _last_scans[0][0] is not unit:
            _last_scans.clear()
            _last_scans.append((unit, replace(unit, masks={}).read()))
        return _last_scans[0][1][position]


def _image(unit: Unit, position: int) -> np.ndarray:
    return _scan(unit, position).image


def _valid(unit: Unit, position: int, image: np.ndarray) -> np.ndarray | None:
    return _scan(unit, position).valid


def _read_valid(path: Path | None, image: np.ndarray) -> np.ndarray | None:
    return None if path is None else read_gray(path) > 0.5


def _mask(unit: Unit, file: Path, position: int, class_map: ClassMap | None) -> np.ndarray:
    if file not in unit.masks:
        labels = _scan(unit, position).mask
        if labels is None:
            raise ScanError(f"{file} was to bring masks, and has none any more. Open it again.")
        return _named(labels, class_map, file)
    with _lock:
        if not _last_labels or _last_labels[0][0] is not unit:
            _last_labels.clear()
            _last_labels.append((unit, unit.read_labels()))
        found = _last_labels[0][1]
    first = sum(len(found[f][0]) for f in unit.files[: unit.files.index(file)] if f in found)
    labels = found[file][0]
    if not 0 <= position - first < len(labels):
        raise ScanError(
            f"{unit.masks[file]} holds {len(labels)} masks, but {file} more B-scans. Export both whole."
        )
    return _named(labels[position - first], class_map, unit.masks[file])


def _named(labels: np.ndarray, class_map: ClassMap | None, where: Path) -> np.ndarray:
    """Return labels by the numbers of a class map; that of a single class names all that is marked."""
    if class_map is None:
        return labels
    names = check_class_map(class_map, str(where))
    if len(names) == 1:
        return (labels > 0).astype(np.uint8)
    table = np.full(256, 255, np.uint8)
    table[0] = 0
    for number, name in enumerate(names, start=1):
        value = class_map[name]
        if isinstance(value, Sequence) or value > 254:
            raise ScanError(
                f"{where} holds numbers; expected a class map such as IRF = 1, got {name} = {value!r}."
            )
        table[value] = number
    mapped: np.ndarray = table[labels]
    if mapped.max() == 255:
        strange = sorted(set(np.unique(labels).tolist()) - {0} - {class_map[n] for n in names})
        raise ScanError(
            f"{where} holds the values {', '.join(map(str, strange))}, which the class map does not name. "
            "Add them to the class map."
        )
    return mapped
