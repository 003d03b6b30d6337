"""NIfTI-1 and -2: `.nii`, `.nii.gz` and pairs of `.hdr` and `.img`. See `axes` and `intensity`."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from medream.description import header_of
from medream.errors import ScanError
from medream.readers.axes import Axes, find_axes
from medream.readers.damage import check_claim, guarded
from medream.readers.described import HEAD, as_written, axes_of, in_nifti, refuse_mask
from medream.readers.header import Header, chosen
from medream.readers.intensity import empty, type_range, value_range
from medream.readers.names import read_head
from medream.readers.parallel import on_all_cores
from medream.readers.valid import valid_mask
from medream.scan import Scan, Source

NAME = "NIfTI"
_EXPECTED = "a complete NIfTI volume"
_SINGLE = (b"n+1\0", b"n+2\0")
_PAIR = (b"ni1\0", b"ni2\0")
_HEADER_BYTES = 540  # of NIfTI-2; the older header is shorter
_TO_MM = {"meter": 1000.0, "micron": 0.001}


def sniff(path: Path, head: bytes) -> bool:
    """Tell from its magic whether a file is NIfTI; an `.img` by that of the `.hdr` beside it."""
    if _magic(head) is not None:
        return True
    return path.suffix.lower() == ".img" and _header_of(path) is not None


def header(path: Path, names: Sequence[str] | None = None) -> list[Header]:
    """Tell what the header says; no pixels are read. `names` are those of the axes."""
    with guarded(path, _EXPECTED):
        axes, described = _axes(_header(path), path, names)
        refuse_mask(described, path)
        return [
            Header(
                NAME,
                bscans=axes.bscans,
                size=axes.size,
                **header_of(described),
                spacing_mm=axes.spacing_mm,
                bscan_spacing_mm=axes.bscan_spacing_mm,
            )
        ]


def read(
    path: Path, only: Sequence[int] | None = None, names: Sequence[str] | None = None
) -> list[Scan]:
    """Read the B-scans, or those at the positions `only`; `names` are those of the axes.

    Of an uncompressed volume of 8 or 16 bit only these are read; the range of other types is told
    from the whole volume.
    """
    from nibabel.arrayproxy import ArrayProxy

    with guarded(path, _EXPECTED), _pixels(path) as file:
        about = _header(path)
        axes, described = _axes(about, path, names)
        refuse_mask(described, path)
        stored: Any = ArrayProxy(file, about)
        kind = about.get_data_dtype()
        scaled = about.get_slope_inter() not in ((None, None), (1.0, 0.0))
        full = None if scaled else type_range(kind)
        # A gzipped file is unpacked B-scan by B-scan where they follow each other in it.
        streamed = _is_gzipped(path) and axes.bscan == 2
        if full is None or (not streamed and (only is None or _is_gzipped(path))):
            stored = np.asanyarray(stored)
        stored = stored.reshape(axes.shape)
        full = value_range(stored, path) if full is None else full
        positions = chosen(only, axes.bscans, path)

        def one(position: int, picture: np.ndarray) -> Scan:
            axes.draw(stored[axes.index(position)], full, path, out=picture)
            scan = Scan(
                picture,
                valid=valid_mask(picture),
                spacing_mm=axes.spacing_mm,
                source=Source(bscan_index=position),
            )
            return as_written(scan, described)

        each = on_all_cores if isinstance(stored, np.ndarray) else map
        return list(each(one, positions, empty(len(positions), axes.size)))


def stored(path: Path, position: int, names: Sequence[str]) -> np.ndarray:
    """Return a B-scan's numbers as the file has them, with the axes (depth, width)."""
    from nibabel.arrayproxy import ArrayProxy

    with guarded(path, _EXPECTED), _pixels(path) as file:
        about = _header(path)
        axes, _ = _axes(about, path, names)
        (position,) = chosen([position], axes.bscans, path)
        proxy: Any = ArrayProxy(file, about)
        return axes.upright(np.asarray(proxy.reshape(axes.shape)[axes.index(position)]))


def axes(path: Path, names: Sequence[str] | None = None) -> Axes:
    """Return what the axes of a volume are."""
    with guarded(path, _EXPECTED):
        return _axes(_header(path), path, names)[0]


def numbers(path: Path, like: Axes | None) -> tuple[np.ndarray, dict[str, Any] | None]:
    """Return a volume's numbers, (bscan, depth, width), and what medream wrote about it.

    A file that does not tell its own axes has those of `like`, if it is of the same shape.
    """
    from nibabel.arrayproxy import ArrayProxy

    with guarded(path, _EXPECTED), _pixels(path) as file:
        about = _header(path)
        own, described = _axes(about, path, None)
        if described is None and like is not None and like.shape == own.shape:
            own = like
        proxy: Any = ArrayProxy(file, about)
        return own.in_order(np.asarray(proxy).reshape(own.shape), path), described


def _magic(head: bytes) -> bytes | None:
    for found in (head[344:348], head[4:8]):
        if found in (*_SINGLE, *_PAIR):
            return found
    return None


def _header_of(path: Path) -> Path | None:
    """Return the file that holds the header: the file itself, or the `.hdr` beside an `.img`."""
    if _magic(_start(path)) is not None:
        return path
    beside = next((p for s in (".hdr", ".HDR") if (p := path.with_suffix(s)).is_file()), None)
    return beside if beside is not None and _magic(_start(beside)) in _PAIR else None


def _is_gzipped(path: Path) -> bool:
    return read_head(path, 2) == b"\x1f\x8b"


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if _is_gzipped(path) else open(path, "rb")


def _start(path: Path, size: int = _HEADER_BYTES) -> bytes:
    with _open(path) as file:
        return file.read(size)


def _header(path: Path) -> Any:
    """Return nibabel's header, without the extensions, which may hold names or be endless."""
    from nibabel.nifti1 import Nifti1Header, Nifti1PairHeader
    from nibabel.nifti2 import Nifti2Header, Nifti2PairHeader

    start = _start(_header_of(path) or path)
    kinds = {
        b"n+1\0": Nifti1Header,
        b"ni1\0": Nifti1PairHeader,
        b"n+2\0": Nifti2Header,
        b"ni2\0": Nifti2PairHeader,
    }
    kind = kinds[_magic(start) or b""]
    return kind(start[: kind.template_dtype.itemsize], check=False)


def _pixels(path: Path) -> IO[bytes]:
    magic = _magic(_start(path))
    if magic not in _PAIR:
        return _open(path)
    files = [path.with_suffix(suffix) for suffix in (".img", ".IMG", ".img.gz")]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        raise ScanError(
            f"{path} is the header of a NIfTI pair, whose pixels are in {files[0].name}; that file "
            "is missing. Copy it beside the header."
        )
    return _open(found)


def _axes(
    about: Any, path: Path, names: Sequence[str] | None
) -> tuple[Axes, dict[str, Any] | None]:
    """Return the axes, and what medream wrote about the volume if the file is its own."""
    shape = tuple(int(length) for length in about.get_data_shape())
    kind = about.get_data_dtype()
    with _pixels(path) as file:
        name = Path(str(file.name))
    there = name.stat().st_size - int(about.get_data_offset())
    check_claim(path, shape, there, kind.itemsize, compressed=_is_gzipped(name))
    described = in_nifti(_start(path, HEAD), path)
    if described is not None and len(shape) == 3 and names is None:
        return axes_of(described, shape), described
    factor = _TO_MM.get(about.get_xyzt_units()[0], 1.0)
    # Stored with single precision: 0.0117 must not come back as 0.011699999682605267.
    steps = [float(f"{zoom * factor:.7g}") for zoom in about.get_zooms()]
    return find_axes(shape, steps, path, names), None
