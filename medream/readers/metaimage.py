"""MetaImage (`.mhd` + `.raw`, `.mha`) and NRRD, by SimpleITK. See `axes` and `intensity`.

The text header is checked here first, since SimpleITK believes it: it would follow the name of the
pixel file out of the folder and take memory for any size.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from medream.description import header_of
from medream.errors import ScanError
from medream.readers.axes import Axes, find_axes
from medream.readers.damage import check_claim, guarded
from medream.readers.described import HEAD, as_written, axes_of, in_metaimage, refuse_mask
from medream.readers.header import Header, chosen
from medream.readers.intensity import empty, type_range, value_range
from medream.readers.names import read_head
from medream.readers.parallel import on_all_cores
from medream.readers.valid import valid_mask
from medream.scan import Scan, Source

META, NRRD = "MetaImage", "NRRD"
_EXPECTED = "a complete MetaImage or NRRD volume"
_LONGEST_HEADER = 65536
_BLOCK = 1 << 20
_META_TYPES = {
    "MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4,
    "MET_LONG": 4, "MET_ULONG": 4, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8, "MET_FLOAT": 4,
    "MET_DOUBLE": 8,
}  # fmt: skip
_NRRD_TYPES = {
    1: ("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"),
    2: ("short", "short int", "signed short", "signed short int", "int16", "int16_t", "ushort",
        "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    4: ("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t",
        "float"),
    8: ("longlong", "long long", "long long int", "int64", "int64_t", "ulonglong",
        "unsigned long long", "unsigned long long int", "uint64", "uint64_t", "double"),
}  # fmt: skip


def sniff_meta(path: Path, head: bytes) -> bool:
    """Tell from its text header whether a file is a MetaImage."""
    lines = head.split(b"\n", 1)
    return lines[0].split(b"=")[0].strip() in (b"ObjectType", b"NDims") and b"=" in lines[0]


def sniff_nrrd(path: Path, head: bytes) -> bool:
    """Tell from its magic whether a file is NRRD."""
    return head.startswith(b"NRRD00")


def header(path: Path, names: Sequence[str] | None = None) -> list[Header]:
    """Tell what the header says; no pixels are read. `names` are those of the axes."""
    with guarded(path, _EXPECTED):
        volume = _open(path, names)
        refuse_mask(volume.described, path)
        return [
            Header(
                volume.claim.format,
                bscans=volume.axes.bscans,
                size=volume.axes.size,
                **header_of(volume.described),
                spacing_mm=volume.axes.spacing_mm,
                bscan_spacing_mm=volume.axes.bscan_spacing_mm,
            )
        ]


def read(
    path: Path, only: Sequence[int] | None = None, names: Sequence[str] | None = None
) -> list[Scan]:
    """Read the B-scans, or those at the positions `only`; `names` are those of the axes.

    Of an uncompressed volume of 8 or 16 bit only these are read; the range of other types is told
    from the whole volume.
    """
    with guarded(path, _EXPECTED):
        volume = _open(path, names)
        refuse_mask(volume.described, path)
        axes = volume.axes
        full = volume.full
        image = whole = None
        if only is None or full is None or volume.claim.compressed:
            image = volume.load()
            whole = volume.view(image)
            full = value_range(whole, path) if full is None else full
        positions = chosen(only, axes.bscans, path)

        def one(position: int, picture: np.ndarray) -> Scan:
            if whole is None:
                part = volume.load(position)
                axes.draw(volume.view(part), full, path, out=picture)
            else:
                axes.draw(whole[axes.index(position)], full, path, out=picture)
            scan = Scan(
                picture,
                valid=valid_mask(picture),
                spacing_mm=axes.spacing_mm,
                source=Source(bscan_index=position),
            )
            return as_written(scan, volume.described)

        each = map if whole is None else on_all_cores
        return list(each(one, positions, empty(len(positions), axes.size)))


def stored(path: Path, position: int, names: Sequence[str]) -> np.ndarray:
    """Return a B-scan's numbers as the file has them, with the axes (depth, width)."""
    with guarded(path, _EXPECTED):
        volume = _open(path, names)
        (position,) = chosen([position], volume.axes.bscans, path)
        image = volume.load(position)
        return volume.axes.upright(volume.view(image)).copy()


def axes(path: Path, names: Sequence[str] | None = None) -> Axes:
    """Return what the axes of a volume are."""
    with guarded(path, _EXPECTED):
        return _open(path, names).axes


def numbers(path: Path, like: Axes | None) -> tuple[np.ndarray, dict[str, Any] | None]:
    """Return a volume's numbers, (bscan, depth, width), and what medream wrote about it.

    A file that does not tell its own axes has those of `like`, if it is of the same shape.
    """
    with guarded(path, _EXPECTED):
        volume = _open(path, None)
        own = volume.axes
        if volume.described is None and like is not None and like.shape == own.shape:
            own = like
        image = volume.load()
        found = own.in_order(volume.view(image).reshape(own.shape), path)
        return found.copy(), volume.described


@dataclass(frozen=True)
class _Claim:
    """What a text header says."""

    format: str
    shape: tuple[int, ...]
    item_bytes: int
    compressed: bool
    text: bool  # numbers written out, one byte or more each
    pixels: Path  # the file that holds them: the header's own, or one beside it
    start: int  # where they begin in it


@dataclass(frozen=True)
class _Volume:
    reader: Any
    axes: Axes
    claim: _Claim
    described: dict[str, Any] | None  # where medream wrote the file

    @property
    def full(self) -> float | None:
        """The value that becomes 1, where the type alone says so."""
        import SimpleITK as sitk

        types = {
            sitk.sitkUInt8: np.uint8, sitk.sitkVectorUInt8: np.uint8,
            sitk.sitkUInt16: np.uint16, sitk.sitkVectorUInt16: np.uint16,
        }  # fmt: skip
        kind = types.get(self.reader.GetPixelID())
        return None if kind is None else type_range(np.dtype(kind))

    def load(self, position: int | None = None) -> Any:
        """Read the volume, or one B-scan of it, as SimpleITK's image."""
        _check_packed(self.claim, self.reader.GetFileName())
        if position is not None and self.axes.bscan is not None:
            size = list(self.reader.GetSize())
            index = [0] * len(size)
            size[self.axes.bscan], index[self.axes.bscan] = 0, position
            self.reader.SetExtractIndex(index)
            self.reader.SetExtractSize(size)
        return self.reader.Execute()

    def view(self, image: Any) -> np.ndarray:
        """Return the pixels with the axes as the file stores them, valid while `image` lives."""
        import SimpleITK as sitk

        pixels = sitk.GetArrayViewFromImage(image)
        if image.GetNumberOfComponentsPerPixel() > 1:
            channels = [(name, pixels.dtype) for name in ("red", "green", "blue")]
            pixels = pixels.view(channels)[..., 0]
        stored: np.ndarray = pixels.T
        kept = len(self.axes.shape) - (image.GetDimension() < self.reader.GetDimension())
        return stored.reshape(stored.shape[:kept])


def _open(path: Path, names: Sequence[str] | None) -> _Volume:
    import SimpleITK as sitk

    claim = _nrrd_claim(path) if read_head(path, 4) == b"NRRD" else _meta_claim(path)
    there = claim.pixels.stat().st_size - claim.start
    smallest = 1 if claim.text else claim.item_bytes
    check_claim(path, claim.shape, there, smallest, compressed=claim.compressed)
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("NrrdImageIO" if claim.format == NRRD else "MetaImageIO")
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    if reader.GetNumberOfComponents() not in (1, 3):
        raise ScanError(
            f"{path} has {reader.GetNumberOfComponents()} values in each pixel; expected one grey "
            "value. Save each of them as a volume of its own."
        )
    shape = reader.GetSize()
    described = in_metaimage(read_head(path, HEAD), path) if claim.format == META else None
    if described is not None and len(shape) == 3 and names is None:
        return _Volume(reader, axes_of(described, shape), claim, described)
    return _Volume(reader, find_axes(shape, reader.GetSpacing(), path, names), claim, None)


def _check_packed(claim: _Claim, path: str) -> None:
    """Unpack compressed pixels of a MetaImage once without keeping them.

    SimpleITK gives whatever lies in memory when their number is wrong, and no error.
    """
    if claim.format == NRRD or not claim.compressed:
        return
    wanted = math.prod(claim.shape) * claim.item_bytes
    unpacker, found = zlib.decompressobj(), 0
    with open(claim.pixels, "rb") as file:
        file.seek(claim.start)
        packed = file.read(_BLOCK)
        while packed and found <= wanted and not unpacker.eof:
            found += len(unpacker.decompress(packed, _BLOCK))
            packed = unpacker.unconsumed_tail or file.read(_BLOCK)
    if found != wanted or not unpacker.eof:
        raise ScanError(
            f"{path}: {claim.pixels.name} unpacks to {found} bytes{'' if unpacker.eof else ' or more'}, where the "
            f"header announces {wanted}. Copy or export it again."
        )


def _beside(path: Path, name: str) -> Path:
    """Return the pixel file, which must lie in the header's folder or below it."""
    steps = {*PurePosixPath(name).parts, *PureWindowsPath(name).parts}
    rooted = name.startswith(("/", "\\")) or PureWindowsPath(name).drive
    if ".." in steps or rooted:
        raise ScanError(
            f"{path} names {name!r} as its pixel file, which lies outside of its folder; not "
            "followed. Put both files into one folder and correct the name."
        )
    found = path.parent / name
    if not found.is_file():
        raise ScanError(
            f"{path} names {name!r} as its pixel file, which is missing. Copy it beside the header."
        )
    return found


def _text(path: Path) -> str:
    return read_head(path, _LONGEST_HEADER).decode("latin-1")


def _wrong(path: Path, key: str, value: object, expected: str) -> ScanError:
    return ScanError(
        f"{path}: the header has {key} = {str(value)[:40]!r}; expected {expected}. Copy or export "
        "the file again."
    )


def _lengths(path: Path, key: str, value: str, axes: str) -> tuple[int, ...]:
    words = value.split()
    if not words or not all(word.isdecimal() and len(word) < 12 for word in words):
        raise _wrong(path, key, value, "the number of pixels along each axis")
    if not (axes.isdecimal() and len(words) == int(axes) and 2 <= len(words) <= 5):
        raise _wrong(path, key, value, f"a number for each of {axes[:9]!r} axes, from 2 to 5")
    return tuple(int(word) for word in words)


def _meta_claim(path: Path) -> _Claim:
    fields: dict[str, str] = {}
    end = 0
    for line in _text(path).split("\n"):
        end += len(line) + 1
        key, found, value = line.partition("=")
        if not found:
            break
        fields[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            break
    file = fields.get("ElementDataFile", "")
    if not file or file.split()[0] == "LIST" or "%" in file:
        raise _wrong(path, "ElementDataFile", file, "LOCAL or the name of one pixel file")
    local = file.upper() == "LOCAL"
    kind = fields.get("ElementType", "")
    if kind.removesuffix("_ARRAY") not in _META_TYPES:
        raise _wrong(path, "ElementType", kind, "a type such as MET_UCHAR")
    shape = _lengths(path, "DimSize", fields.get("DimSize", ""), fields.get("NDims", ""))
    channels = fields.get("ElementNumberOfChannels", "1")
    if not (channels.isdecimal() and 1 <= int(channels) <= 16):
        raise _wrong(path, "ElementNumberOfChannels", channels, "1")
    return _Claim(
        META,
        shape,
        _META_TYPES[kind.removesuffix("_ARRAY")] * int(channels),
        compressed=fields.get("CompressedData", "").lower() in ("true", "1"),
        text=fields.get("BinaryData", "true").lower() in ("false", "0"),
        pixels=path if local else _beside(path, file),
        start=end if local else 0,
    )


def _nrrd_claim(path: Path) -> _Claim:
    fields: dict[str, str] = {}
    for line in _text(path).splitlines()[1:]:
        if not line.strip():
            break
        key, found, value = line.partition(":")
        if found and not line.startswith("#"):
            fields[key.strip().lower().replace(" ", "")] = value.strip()
    file = fields.get("datafile")
    if file is not None and (not file or file.split()[0] == "LIST" or "%" in file):
        raise _wrong(path, "data file", file, "the name of one pixel file")
    kind = fields.get("type", "").lower()
    size = next((size for size, names in _NRRD_TYPES.items() if kind in names), None)
    if size is None:
        raise _wrong(path, "type", kind, "a type such as uint8")
    encoding = fields.get("encoding", "").lower()
    return _Claim(
        NRRD,
        _lengths(path, "sizes", fields.get("sizes", ""), fields.get("dimension", "")),
        size,
        compressed=encoding in ("gzip", "gz", "bzip2", "bz2"),
        text=encoding in ("text", "txt", "ascii", "hex"),
        pixels=path if file is None else _beside(path, file),
        start=0,
    )
