"""A file or folder of OCT pictures -> list of `Scan`, chosen by content and not by name.

To add a format: a file here with `read(path, only)` and `header(path)`, and a line in `FORMATS`.

`read(path, only=None) -> list[Scan]` gives the B-scans in order, or those at the positions `only`,
decoding no others where the format allows it. `header(path) -> list[Header]` gives one `Header`
per volume and reads no pixels. Both fill in what the file says, `bscan_index` included; dataset
and path, and subject and volume where they are "unknown", are filled in here.
"""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

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
    matlab,
    metaimage,
    nifti,
    raster,
    topcon,
)
from medream.readers.axes import check_names
from medream.readers.header import Header, chosen
from medream.readers.names import (
    RASTER_SUFFIXES,
    SCAN_SUFFIXES,
    cannot_read,
    files_in,
    is_raster,
    raster_files,
    read_head,
    subject_in,
)
from medream.readers.parallel import on_all_cores
from medream.readers.raster import not_an_image, read_gray, read_labels
from medream.readers.valid import valid_mask
from medream.scan import Scan

__all__ = [
    "FORMATS",
    "Format",
    "Header",
    "read_gray",
    "read_headers",
    "read_labels",
    "read_scans",
    "read_volumes",
    "valid_mask",
]


@dataclass(frozen=True)
class Format:
    """A file format: how it is recognised, and how it is read.

    `sniff(path, head)` gets the first 1024 bytes, unzipped when the file is gzipped; the path is
    for the few formats whose bytes carry no mark. `read` and `header` are None for a format
    that is recognised and refused. `gzipped` files are read as they are; `lists_pictures` says
    that the pictures in the file's folder belong to it; `names_axes` says that `read` and `header`
    take the names of the axes as `names`, since the format does not tell them.
    """

    name: str
    sniff: Callable[[Path, bytes], bool]
    read: Callable[..., list[Scan]] | None = None
    header: Callable[..., list[Header]] | None = None
    gzipped: bool = False
    lists_pictures: bool = False
    names_axes: bool = False


_HEAD = 1024  # bytes that are looked at
_GZIP = b"\x1f\x8b"

PICTURES = Format("picture", lambda path, head: is_raster(head), raster.read, raster.header)

DICOM = Format(dicom.NAME, dicom.sniff, dicom.read, dicom.header)

FORMATS = (
    DICOM,  # first, since its preamble may be that of a TIFF
    PICTURES,
    Format("NumPy file", lambda path, head: arrays.is_numpy(head), arrays.read, arrays.header),
    Format(nifti.NAME, nifti.sniff, nifti.read, nifti.header, gzipped=True, names_axes=True),
    Format(heidelberg.NAME, heidelberg.sniff, heidelberg.read, heidelberg.header),
    Format(e2e.NAME, e2e.sniff, e2e.read, e2e.header),
    Format(heyex_xml.NAME, heyex_xml.sniff, heyex_xml.read, heyex_xml.header, lists_pictures=True),
    Format(topcon.NAME, topcon.sniff, topcon.read, topcon.header),
    Format(bioptigen.NAME, bioptigen.sniff, bioptigen.read, bioptigen.header),
    Format(metaimage.META, metaimage.sniff_meta, metaimage.read, metaimage.header, names_axes=True),
    Format(metaimage.NRRD, metaimage.sniff_nrrd, metaimage.read, metaimage.header, names_axes=True),
    Format(matlab.NAME, matlab.sniff, matlab.read, matlab.header),
    Format(listed.NAME, listed.sniff, listed.read, listed.header),
    Format(cirrus.NAME, cirrus.sniff, cirrus.read, cirrus.header),  # told by name: after the rest
)


def read_scans(
    path: str | Path, only: Sequence[int] | None = None, *, axes: Sequence[str] | None = None
) -> list[Scan]:
    """Read every B-scan of a file or folder; a folder's pictures are one volume in natural order.

    The format is told from the content; `FORMATS` lists those that are read.

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


def read_volumes(path: str | Path, *, axes: Sequence[str] | None = None) -> Iterator[list[Scan]]:
    """Read the volumes of a file or folder one after the other: the B-scans of one subject and volume.

    Parameters and errors are those of `read_scans`. No more than one file, or one folder of
    pictures, is in memory at a time.

    Examples
    --------
    >>> import tempfile, numpy as np, medream.readers as readers
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("a", "b"):
    ...         np.save(f"{folder}/{name}.npy", np.zeros((5, 40, 60), "uint8"))
    ...     [len(scans) for scans in readers.read_volumes(folder)]
    [5, 5]
    """
    for unit in _units(Path(path), axes):
        volumes: dict[tuple[str, str], list[Scan]] = {}
        for scan in unit.read():
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
    headers: list[Header] = []
    errors: list[ScanError] = []
    for unit in _units(Path(path), axes):
        try:
            headers += unit.headers()
        except ScanError as error:
            errors.append(error)
    return headers, errors


@dataclass(frozen=True)
class _Unit:
    """What belongs together: one file, the pictures of a folder, or the files of a series."""

    format: Format
    path: Path  # names the volume
    files: tuple[Path, ...]
    bscan_spacing_mm: float | None = None  # between the files
    axes: tuple[str, ...] | None = None

    @property
    def _options(self) -> dict[str, Any]:
        if self.axes is None or self.format is _UNKNOWN:
            return {}
        if self.format.names_axes:
            return {"names": self.axes}
        takers = ", ".join(known.name for known in FORMATS if known.names_axes)
        raise ScanError(
            f"{self.path} is a {self.format.name}, whose axes are known; expected one of {takers} "
            "where axes are given. Leave them out."
        )

    def read(self) -> list[Scan]:
        if self.format is PICTURES:
            found = on_all_cores(self.read_file, self.files)
        else:
            found = [self.read_file(file) for file in self.files]
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
        return filled

    def headers(self) -> list[Header]:
        """Return one header per volume; pictures of one size count together."""
        volumes: dict[Header, int] = {}
        for file, found in self._found():
            subject, volume = self._names(file, found.subject_id, found.volume_id)
            key = replace(
                found, bscans=0, subject_id=subject, volume_id=volume, path=str(self.path)
            )
            if self.bscan_spacing_mm is not None:
                key = replace(key, bscan_spacing_mm=self.bscan_spacing_mm)
            volumes[key] = volumes.get(key, 0) + found.bscans
        return [replace(key, bscans=bscans) for key, bscans in volumes.items()]

    def places(self) -> Iterator[tuple[_Unit, Path, int, int]]:
        """Yield for each B-scan its unit, its file, the number of that file's first B-scan, and
        its position in the file."""
        first = before = 0
        last = None
        for file, found in self._found():
            if file != last:
                first, before, last = first + before, 0, file
            for k in range(before, before + found.bscans):
                yield self, file, first, k
            before += found.bscans

    def _found(self) -> Iterator[tuple[Path, Header]]:
        assert self.format.header is not None
        for file in self.files:
            for header in self.format.header(file, **self._options):
                yield file, header

    def _names(self, file: Path, subject: str, volume: str) -> tuple[str, str]:
        named = _named(self.path)
        name = named.name if named.is_dir() else _stem(named)
        if subject == "unknown":
            subject = subject_in(Path(name) / file.name) or name
        return subject, name if volume == "unknown" else volume


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


def _units(path: Path, axes: Sequence[str] | None = None) -> list[_Unit]:
    """Return what there is to read at a path, with the axes that the user names."""
    units = _units_at(path)
    if axes is None:
        return units
    names = check_names(axes)
    return [replace(unit, axes=names) for unit in units]


def _units_at(path: Path) -> list[_Unit]:
    """Return what there is to read at a path: the file, or what a folder holds."""
    try:
        is_folder = path.is_dir()
    except (OSError, ValueError) as error:
        raise cannot_read(path, error) from error
    if not is_folder:
        return [_Unit(_format_of(path), path, (path,))]
    pictures = raster_files(path)
    own = files_in(path)
    others = [(known, file) for file in own if (known := _readable(file))]
    others = [(known, file) for known, file in others if known is not PICTURES]
    if pictures and not any(known.lists_pictures for known, _ in others):
        if others:
            warnings.warn(
                f"{path}: its {len(pictures)} pictures are read as one volume, and its other scans "
                f"are not ({others[0][1].name}, {len(others)} in all). Give their own path.",
                stacklevel=4,
            )
        return [_Unit(PICTURES, path, tuple(pictures))]
    units = [_Unit(known, file, (file,)) for known, file in others if known is not DICOM]
    # An export on a disc keeps its DICOM files in folders of folders.
    among = [(_readable(file), file) for file in files_in(path, recursive=not others)]
    units += [
        _Unit(DICOM, one.files[0] if len(one.files) == 1 else path, one.files, one.bscan_spacing_mm)
        for one in dicom.series([file for known, file in among if known is DICOM])
    ]
    left = [file for known, file in among if known not in (None, DICOM)] if not others else []
    if units and left:
        warnings.warn(
            f"{path}: the DICOM files in its folders are read, and {len(left)} other scans there "
            f"are not (such as {left[0].relative_to(path)}). Give the path of their own folder.",
            stacklevel=4,
        )
    known_files = {file for _, file in others}  # some are told by name, whatever they hold
    units += [
        _Unit(_UNKNOWN, file, (file,))
        for file in own
        if file not in known_files and _is_broken(file)
    ]
    if not units:
        inside = any(raster_files(path, recursive=True))
        raise ScanError(
            f"{path} holds no scans of its own; expected the B-scans of a volume as PNG, JPEG, "
            "TIFF or BMP, or volumes in another format."
            + (" Give one of its folders, or open it with open_dataset." if inside else "")
        )
    return units


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


_UNKNOWN = Format("unknown", lambda path, head: False, _refuse, _refuse)


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
