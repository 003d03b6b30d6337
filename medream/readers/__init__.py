"""A file or folder of OCT pictures -> list of `Scan`, chosen by content and not by name.

To add a format: a file here with `read(path, only)` and `header(path)`, and a line in `FORMATS`.

`read(path, only=None) -> list[Scan]` gives the B-scans in order, or those at the positions `only`,
decoding no others where the format allows it. `header(path) -> list[Header]` gives one `Header`
per volume and reads no pixels. Both fill in what the file says, `bscan_index` included; dataset
and path, and subject and volume where they are "unknown", are filled in here.
"""

from __future__ import annotations

import gzip
import hashlib
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from medream.errors import ScanError
from medream.files import sha256_of
from medream.readers import (
    arrays,
    bioptigen,
    cirrus,
    dicom,
    e2e,
    heidelberg,
    heyex_xml,
    listed,
    masks,
    matlab,
    metaimage,
    nifti,
    raster,
    topcon,
)
from medream.readers.axes import Axes, check_names
from medream.readers.header import Header, chosen
from medream.readers.masks import Labels
from medream.readers.names import (
    RASTER_SUFFIXES,
    SCAN_SUFFIXES,
    cannot_read,
    files_in,
    is_raster,
    natural_key,
    read_head,
    subject_in,
)
from medream.readers.parallel import on_all_cores
from medream.readers.pseudonym import pseudonym
from medream.readers.raster import not_an_image, read_gray, read_labels
from medream.readers.valid import valid_mask
from medream.scan import Scan

__all__ = [
    "FORMATS",
    "Format",
    "Header",
    "Unit",
    "read_gray",
    "read_headers",
    "read_labels",
    "read_scans",
    "read_volumes",
    "units_below",
    "valid_mask",
]


@dataclass(frozen=True)
class Format:
    """A file format: how it is recognised, and how it is read.

    `sniff(path, head)` gets the first 1024 bytes, unzipped when the file is gzipped; the path is
    for the few formats whose bytes carry no mark. `read` and `header` are None for a format
    that is recognised and refused. `gzipped` files are read as they are; `lists_pictures` says
    that the pictures in the file's folder belong to it. `axes(path, names)` is there for formats that
    do not tell their axes: `read` and `header` take them as `names` as well.
    """

    name: str
    sniff: Callable[[Path, bytes], bool]
    read: Callable[..., list[Scan]] | None = None
    header: Callable[..., list[Header]] | None = None
    gzipped: bool = False
    lists_pictures: bool = False
    axes: Callable[[Path, Sequence[str] | None], Axes] | None = None


_HEAD = 1024  # bytes that are looked at
_GZIP = b"\x1f\x8b"

PICTURES = Format("picture", lambda path, head: is_raster(head), raster.read, raster.header)

DICOM = Format(dicom.NAME, dicom.sniff, dicom.read, dicom.header)

FORMATS = (
    DICOM,  # first, since its preamble may be that of a TIFF
    PICTURES,
    Format("NumPy file", lambda path, head: arrays.is_numpy(head), arrays.read, arrays.header),
    Format(nifti.NAME, nifti.sniff, nifti.read, nifti.header, gzipped=True, axes=nifti.axes),
    Format(heidelberg.NAME, heidelberg.sniff, heidelberg.read, heidelberg.header),
    Format(e2e.NAME, e2e.sniff, e2e.read, e2e.header),
    Format(heyex_xml.NAME, heyex_xml.sniff, heyex_xml.read, heyex_xml.header, lists_pictures=True),
    Format(topcon.NAME, topcon.sniff, topcon.read, topcon.header),
    Format(bioptigen.NAME, bioptigen.sniff, bioptigen.read, bioptigen.header),
    Format(metaimage.META, metaimage.sniff_meta, metaimage.read, metaimage.header, axes=metaimage.axes),
    Format(metaimage.NRRD, metaimage.sniff_nrrd, metaimage.read, metaimage.header, axes=metaimage.axes),
    Format(matlab.NAME, matlab.sniff, matlab.read, matlab.header),
    Format(listed.NAME, listed.sniff, listed.read, listed.header),
    Format(cirrus.NAME, cirrus.sniff, cirrus.read, cirrus.header),  # told by name: after the rest
)


def read_scans(
    path: str | Path, only: Sequence[int] | None = None, *, axes: Sequence[str] | None = None
) -> list[Scan]:
    """Read every B-scan of a file or folder; a folder's pictures are one volume in natural order.

    The format is told from the content; `FORMATS` lists those that are read. A file called as a
    scan with `_mask` at the end of its name (`eye_mask.nii.gz` beside `eye.nii.gz`, or beside `eye.vol`)
    is its mask and no scan of its own. A file that lies in a folder twice is read once.

    Parameters
    ----------
    path : path of a file or folder
    only : sequence of int, optional
        Positions of the B-scans to read, from 0 over the whole file or folder; others are not
        decoded where the format allows it.
    axes : sequence of {"depth", "width", "bscan", "channel"}, optional
        For NIfTI, MetaImage and NRRD, which do not say: what their axes are, as nibabel and ITK
        count them (x fastest). Found out when None; a warning says so where it is a guess.

    Returns
    -------
    list of Scan
        In order of acquisition (or of `only`), with `valid` and the file filled in. A
        subject is named when the file or path names one (`subject01_...`), otherwise it is the
        volume's name.

    Raises
    ------
    ScanError
        When there is nothing to read; the message names the file and what was found in it.
    ConfigError
        When the names of axes are wrong.

    Examples
    --------
    >>> import tempfile, numpy as np, medream.readers as readers
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/patient3_volume.npy", np.zeros((5, 40, 60), "uint8"))
    ...     scans = readers.read_scans(f"{folder}/patient3_volume.npy")
    >>> len(scans), scans[4].shape, scans[4].source.subject_id, scans[4].source.bscan_index
    (5, (40, 60), 'patient3', 4)
    """
    path = Path(path)
    units = _units(path, axes)
    if only is None:
        return [scan for unit in units for scan in unit.read()]
    if len(units) == 1 and len(units[0].files) == 1:
        return units[0].read_file(units[0].files[0], only)
    places = [place for unit in units for place in unit.places()]
    return [
        scan
        for unit, file, first, k in (places[p] for p in chosen(only, len(places), path))
        for scan in _counted_from(first, unit.read_file(file, [k]))
    ]


OnError = Callable[[ScanError], object]
"""What is done with the error of a file that cannot be read, when the others are to be read."""


def read_volumes(
    path: str | Path, *, axes: Sequence[str] | None = None, on_error: OnError | None = None
) -> Iterator[list[Scan]]:
    """Read the volumes of a file or folder one after the other: the B-scans of one subject and volume.

    Parameters and errors are those of `read_scans`. No more than one file, or one folder of
    pictures, is in memory at a time. Files that cannot be read are left out when `on_error` takes
    their errors.

    Examples
    --------
    >>> import tempfile, numpy as np, medream.readers as readers
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for grey, name in enumerate("ab"):
    ...         np.save(f"{folder}/{name}.npy", np.full((5, 40, 60), grey, "uint8"))
    ...     [len(scans) for scans in readers.read_volumes(folder)]
    [5, 5]
    """
    for unit in _units(Path(path), axes):
        volumes: dict[tuple[str, str], list[Scan]] = {}
        for scan in unit.read(on_error):
            key = scan.source.subject_id, scan.source.volume_id
            volumes.setdefault(key, []).append(scan)
        while volumes:
            yield volumes.pop(next(iter(volumes)))


def read_headers(path: str | Path, *, axes: Sequence[str] | None = None) -> list[Header]:
    """Tell what a file or folder holds, one `Header` per volume, without reading pixels.

    Parameters and errors are those of `read_scans`.

    Examples
    --------
    >>> import tempfile, numpy as np, medream.readers as readers
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/patient3_volume.npy", np.zeros((5, 40, 60), "uint8"))
    ...     (header,) = readers.read_headers(f"{folder}/patient3_volume.npy")
    >>> header.format, header.bscans, header.size, header.spacing_mm
    ('NumPy file', 5, (40, 60), None)
    """
    headers, errors = list_headers(path, axes=axes)
    if errors:
        raise errors[0]
    return headers


def list_headers(
    path: str | Path, *, axes: Sequence[str] | None = None
) -> tuple[list[Header], list[ScanError]]:
    """Tell what a file or folder holds, and list what of it cannot be read.

    Raises
    ------
    ScanError
        When there is nothing to read at all.
    """
    return _headers_of(_units(Path(path), axes))


def list_below(
    path: str | Path, *, axes: Sequence[str] | None = None
) -> tuple[list[Header], list[ScanError]]:
    """As `list_headers`, of everything in a folder and the folders in it, in whatever formats."""
    return _headers_of(_with_axes(units_below(Path(path)), axes))


def _headers_of(units: Sequence[Unit]) -> tuple[list[Header], list[ScanError]]:
    headers: list[Header] = []
    errors: list[ScanError] = []
    for unit in units:
        try:
            headers += unit.headers()
        except ScanError as error:
            errors.append(error)
    return headers, errors


@dataclass(frozen=True)
class Unit:
    """What belongs together: one file, the pictures of a folder, or the files of a series.

    `masks` are the files that hold the labels of files.
    """

    format: Format
    path: Path  # names the volume
    files: tuple[Path, ...]
    bscan_spacing_mm: float | None = None  # between the files
    axes: tuple[str, ...] | None = None
    masks: dict[Path, Path] = field(default_factory=dict)

    @property
    def _options(self) -> dict[str, Any]:
        if self.axes is None or self.format in (_UNKNOWN, _LONE_MASK):
            return {}
        if self.format.axes:
            return {"names": self.axes}
        takers = ", ".join(known.name for known in FORMATS if known.axes)
        raise ScanError(
            f"{self.path} is a {self.format.name}, whose axes are known; expected one of {takers} "
            "where axes are given. Leave them out."
        )

    def read(self, on_error: OnError | None = None) -> list[Scan]:
        def one(file: Path) -> list[Scan] | ScanError:
            try:
                return self.read_file(file)
            except ScanError as error:
                if on_error is None:
                    raise
                return error

        each = on_all_cores if self.format is PICTURES and not self.masks else map
        found = []
        for file_or_error in each(one, self.files):
            if isinstance(file_or_error, ScanError):
                assert on_error is not None
                on_error(file_or_error)
            else:
                found.append(file_or_error)
        scans: list[Scan] = []
        for in_file in found:
            scans += _counted_from(len(scans), in_file)
        return scans

    def read_file(self, file: Path, only: Sequence[int] | None = None) -> list[Scan]:
        """Read a file and fill in where its B-scans come from."""
        assert self.format.read is not None
        scans = self.format.read(file, only, **self._options)
        # Hashing a volume would take as long as reading it; it is done when a run is recorded.
        digest = sha256_of(file) if self.format is PICTURES else None
        named = _named(self.path)
        filled = []
        for scan in scans:
            subject, volume = self._names(file, scan.source.subject_id, scan.source.volume_id)
            source = replace(
                scan.source,
                dataset=named.parent.name or scan.source.dataset,
                subject_id=subject,
                volume_id=volume,
                path=str(file),
                sha256=digest,
            )
            filled.append(scan.with_source(source))
        if file not in self.masks:
            return filled
        return _masked(filled, self._labels[file][0], only, file, self.masks[file], self.classes)

    @cached_property
    def _labels(self) -> dict[Path, Labels]:
        return self.read_labels()

    def read_labels(self) -> dict[Path, Labels]:
        """Read the masks of all files that have one."""
        return {file: self._labels_of(file) for file in self.masks}

    def _labels_of(self, file: Path) -> Labels:
        axes = self.format.axes
        like = None if axes is None else axes(file, self.axes)
        return masks.read_masks(self.masks[file], like)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the masks."""
        return masks.names_of(self._labels.values())

    def headers(self) -> list[Header]:
        """Return one header per volume; pictures of one size count together."""
        volumes: dict[Header, int] = {}
        for file, found in self.found():
            subject, volume = self._names(file, found.subject_id, found.volume_id)
            key = replace(
                found, bscans=0, subject_id=subject, volume_id=volume, path=str(self.path)
            )
            key = replace(key, masks=found.masks or file in self.masks)
            if self.bscan_spacing_mm is not None:
                key = replace(key, bscan_spacing_mm=self.bscan_spacing_mm)
            volumes[key] = volumes.get(key, 0) + found.bscans
        return [replace(key, bscans=bscans) for key, bscans in volumes.items()]

    def places(self) -> Iterator[tuple[Unit, Path, int, int]]:
        """Yield for each B-scan its unit, its file, the number of that file's first B-scan, and
        its position in the file."""
        first = before = 0
        last = None
        for file, found in self.found():
            if file != last:
                first, before, last = first + before, 0, file
            for k in range(before, before + found.bscans):
                yield self, file, first, k
            before += found.bscans

    def found(self) -> Iterator[tuple[Path, Header]]:
        """Yield each file with what it says itself, "unknown" where it does not say."""
        assert self.format.header is not None
        for file in self.files:
            for header in self.format.header(file, **self._options):
                yield file, header

    def _names(self, file: Path, subject: str, volume: str) -> tuple[str, str]:
        named = _named(self.path.parent if self.format.name == listed.NAME else self.path)
        name = named.name if named.is_dir() else _stem(named)
        own = subject_in(Path(name) / file.name) or name
        if self.format is DICOM:  # exports are often called as their patients
            own, name = pseudonym("subject", own), pseudonym("volume", name)
        return own if subject == "unknown" else subject, name if volume == "unknown" else volume


def _masked(
    scans: list[Scan],
    labels: np.ndarray,
    only: Sequence[int] | None,
    file: Path,
    mask: Path,
    classes: tuple[str, ...],
) -> list[Scan]:
    """Give the B-scans of a file, or those at the positions `only`, their masks."""
    positions = range(len(labels)) if only is None else only
    fits = len(positions) == len(scans) and all(k < len(labels) for k in positions)
    if not fits or any(scan.shape != labels.shape[1:] for scan in scans):
        raise ScanError(
            f"{mask} holds {len(labels)} masks of {labels.shape[1]} x {labels.shape[2]} pixels (depth x "
            f"width), which do not fit {file}, whose B-scans it is called to be of. Export both at one "
            "size, or call the mask otherwise."
        )
    return [
        replace(scan, mask=labels[k], classes=classes)
        for scan, k in zip(scans, positions, strict=True)
    ]


def _counted_from(first: int, scans: list[Scan]) -> list[Scan]:
    if first == 0:
        return scans
    return [
        scan.with_source(replace(scan.source, bscan_index=first + scan.source.bscan_index))
        for scan in scans
    ]


def _named(path: Path) -> Path:
    # A link or "." has no telling name of its own.
    return path if path.name not in ("", "..") else path.resolve()


def _stem(path: Path) -> str:
    return path.stem.removesuffix(".nii")


def _units(path: Path, axes: Sequence[str] | None = None) -> list[Unit]:
    """Return what there is to read at a path, with the axes that the user names."""
    return _with_axes(_units_at(path), axes)


def _with_axes(units: list[Unit], axes: Sequence[str] | None) -> list[Unit]:
    if axes is None:
        return units
    names = check_names(axes)
    return [replace(unit, axes=names) for unit in units]


def _units_at(path: Path) -> list[Unit]:
    """Return what there is to read at a path: the file, or what a folder holds."""
    try:
        is_folder = path.is_dir()
    except (OSError, ValueError) as error:
        raise cannot_read(path, error) from error
    if not is_folder:
        return [_unit_of(path)]
    own = files_in(path)
    units, dicoms = _units_among(own, path)
    pictures = [unit for unit in units if unit.format is PICTURES]
    others = [unit for unit in units if unit.format is not PICTURES]
    if pictures and (left := [unit.path for unit in others] + dicoms):
        _warn(
            f"{path}: its {len(pictures[0].files)} pictures are read as one volume, and its other scans "
            f"are not ({left[0].name}, {len(left)} in all). Give their own path."
        )
    if pictures:
        return pictures
    units = others
    scans = [unit for unit in units if unit.format is not _UNKNOWN]
    among = [] if scans or dicoms else [(_readable(file), file) for file in files_in(path, True)]
    # An export on a disc keeps its DICOM files in folders of folders.
    units += _dicom_units(dicoms or [file for known, file in among if known is DICOM], path)
    left = [file for known, file in among if known not in (None, DICOM)]
    if units and left:
        _warn(
            f"{path}: the DICOM files in its folders are read, and {len(left)} other scans there "
            f"are not (such as {left[0].relative_to(path)}). Give the path of their own folder."
        )
    if not units:
        inside = any(known is not None for known, _ in among)
        raise ScanError(
            f"{path} holds no scans of its own; expected the B-scans of a volume as PNG, JPEG, "
            "TIFF or BMP, or volumes in another format."
            + (" Give one of its folders, or open it with open_dataset." if inside else "")
        )
    return units


def units_below(path: Path, pictures: bool = True) -> list[Unit]:
    """Return everything there is to read in a folder and the folders in it.

    Pictures are a unit for each folder, or left out; DICOM files one for each series, wherever they lie.
    """
    folders: dict[Path, list[Path]] = {}
    for file in files_in(path, recursive=True):
        if pictures or file.suffix.lower() not in RASTER_SUFFIXES:
            folders.setdefault(file.parent, []).append(file)
    units: list[Unit] = []
    dicoms: list[Path] = []
    listing: list[Path] = []
    for folder in sorted(folders, key=lambda folder: len(folder.parts)):
        own, own_dicoms = _units_among(folders[folder], folder)
        if not pictures or any(above in (folder, *folder.parents) for above in listing):
            own = [unit for unit in own if unit.format is not PICTURES]
        if any(unit.format.lists_pictures for unit in own):
            listing.append(folder)
        units += own
        dicoms += own_dicoms
    units += _dicom_units(dicoms, path)
    return sorted(units, key=lambda unit: [natural_key(part) for part in unit.files[0].parts])


def _unit_of(path: Path) -> Unit:
    known = _format_of(path)
    if known is PICTURES:
        return Unit(known, path, (path,))
    if masks.is_mask(path):
        raise masks.refusal(path)
    mask = masks.mask_beside(path)
    return Unit(known, path, (path,), masks={} if mask is None else {path: mask})


def _units_among(files: Sequence[Path], folder: Path) -> tuple[list[Unit], list[Path]]:
    """Return the units of the files in one folder, and its DICOM files."""
    formats = {file: known for file in files if (known := _readable(file))}
    masked = masks.masks_among(formats)
    labels = set(masked.values())
    scans = [file for file in formats if file not in labels]
    pictures = [file for file in scans if formats[file] is PICTURES]
    volumes = [file for file in scans if formats[file] is not PICTURES]
    if any(formats[file].lists_pictures for file in volumes):
        pictures = []
    units = []
    if pictures:
        own = {file: masked[file] for file in pictures if file in masked}
        units.append(Unit(PICTURES, folder, tuple(pictures), masks=own))
    for file in _without_copies([file for file in volumes if formats[file] is not DICOM]):
        mask = {file: masked[file]} if file in masked else {}
        known = _LONE_MASK if masks.is_mask(file) else formats[file]
        units.append(Unit(known, file, (file,), masks=mask))
    units += [
        Unit(_UNKNOWN, file, (file,)) for file in files if file not in formats and _is_broken(file)
    ]
    return units, [file for file in volumes if formats[file] is DICOM]


def _dicom_units(files: Sequence[Path], path: Path) -> list[Unit]:
    return [
        Unit(
            DICOM, one.files[0] if len(one.files) == 1 else path, one.files, one.bscan_spacing_mm,
            masks=_masks_beside(one.files),
        )
        for one in dicom.series(_without_copies(files))
    ]  # fmt: skip


def _masks_beside(files: Sequence[Path]) -> dict[Path, Path]:
    """Return the masks of DICOM files, which only a file of its own is looked through for."""
    if len(files) > 1:
        return {}
    mask = masks.mask_beside(files[0])
    return {} if mask is None else {files[0]: mask}


def _without_copies(files: Sequence[Path]) -> list[Path]:
    """Leave out files of the same bytes as an earlier one, with a warning."""
    sizes = Counter(file.stat().st_size for file in files)
    seen: dict[tuple[int, bytes, str], Path] = {}
    heads: Counter[tuple[int, bytes]] = Counter()
    marks = {}
    for file in files:
        size = file.stat().st_size
        marks[file] = (size, _ends(file, size) if size and sizes[size] > 1 else b"")
        heads[marks[file]] += 1
    kept = []
    for file in files:
        mark = marks[file]
        if not mark[0] or not mark[1] or heads[mark] < 2:
            kept.append(file)
            continue
        first = seen.setdefault((*mark, sha256_of(file)), file)
        if first is file:
            kept.append(file)
        else:
            _warn(f"{file} is a copy of {first}, and is read once. Remove one of them.")
    return kept


def _ends(file: Path, size: int) -> bytes:
    """Return the first and last bytes of a file, in which most volumes of one size differ."""
    with open(file, "rb") as content:
        head = content.read(_HEAD)
        content.seek(max(size - 64 * _HEAD, 0))
        return hashlib.sha256(head + content.read()).digest()


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=6)


def _readable(file: Path) -> Format | None:
    """Return the format of a file in a folder; None for what is no scan of its own."""
    if file.suffix.lower() in RASTER_SUFFIXES:
        return PICTURES
    if file.suffix.lower() == ".hdr" and file.with_suffix(".img").exists():
        return None  # read together with the .img
    try:
        known = _recognise(file)
    except ScanError:  # what cannot be opened is no reason to refuse the rest
        return None
    return known if known and known.read else None


def _is_broken(file: Path) -> bool:
    """Tell whether a file is named like a scan but has lost its content, which is worth saying."""
    if file.suffix.lower() not in SCAN_SUFFIXES:
        return False
    try:
        return not any(read_head(file, _HEAD))
    except ScanError:
        return True


def _refuse(path: Path, only: Sequence[int] | None = None) -> NoReturn:
    _format_of(path)
    raise AssertionError(path)


def _refuse_mask(path: Path, only: Sequence[int] | None = None) -> NoReturn:
    raise masks.refusal(path)


_UNKNOWN = Format("unknown", lambda path, head: False, _refuse, _refuse)
_LONE_MASK = Format("mask", lambda path, head: False, _refuse_mask, _refuse_mask)


def _recognise(path: Path) -> Format | None:
    head = read_head(path, _HEAD)
    if head.startswith(_GZIP):
        head = _unzipped_head(path)
    return next((known for known in FORMATS if known.sniff(path, head)), None)


def _format_of(path: Path) -> Format:
    known = _recognise(path)
    if known and not known.gzipped and read_head(path, 2) == _GZIP:
        raise ScanError(f"{path} is a gzipped {known.name}. Unzip it first, with gunzip.")
    if known is None:
        names = ", ".join(known.name for known in FORMATS if known.read)
        raise not_an_image(path, read_head(path), f"one of: {names}")
    if known.read is None:
        raise ScanError(
            f"{path} is a {known.name} file, which is not read yet. Export the B-scans as PNG or "
            "TIFF, or save them as .npz."
        )
    return known


def _unzipped_head(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.read(_HEAD)
    except (OSError, EOFError, zlib.error) as error:
        raise ScanError(f"{path} is a damaged gzip file ({error}). Copy the file again.") from error
