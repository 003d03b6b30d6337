"""DICOM: Ophthalmic Tomography and every other image, of one frame or many.

B-scans come in the order of `InStackPositionNumber` where each frame has its own, else as stored;
single frames of a series are put in order by their position along the stack's normal, else by
`InstanceNumber`. Spacing is what the file says; an impossible one is left out with a warning.
"""

from __future__ import annotations

import contextlib
import io
import math
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

from medream.errors import ScanError
from medream.readers.damage import check_claim, guarded
from medream.readers.dicom_values import find, scaling, stored_range
from medream.readers.header import Header, chosen
from medream.readers.intensity import empty
from medream.readers.names import natural_key
from medream.readers.pseudonym import pseudonym
from medream.readers.valid import valid_mask
from medream.scan import Scan, Source

if TYPE_CHECKING:
    from pydicom import Dataset

NAME = "DICOM"
_EXPECTED = "a complete DICOM image"
_OPT = "1.2.840.10008.5.1.4.1.1.77.1.5"  # Ophthalmic Tomography and its relatives
_DEFLATED = "1.2.840.10008.1.2.1.99"
_META_START = 144  # where the attributes about the file begin, after the length of their group
_HEAD = 1 << 25  # unpacked bytes of a deflated file within which its pixels begin
_JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_J2K_MARKS = (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")
_RLE = "1.2.840.10008.1.2.5"
_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66."
_PHOTOGRAPHY = ("1.2.840.10008.5.1.4.1.1.77.1.5.1", "1.2.840.10008.5.1.4.1.1.77.1.5.2")
_NOT_AN_EYE = {"CT", "MR", "CR", "DX", "MG", "NM", "PT", "RF", "XA"}  # their side is not an eye's
_EYES = {"R": "OD", "L": "OS"}
_END_OF_PIECES = b"\xfe\xff\xdd\xe0"
_EVEN = (
    0.05  # B-scans count as evenly spaced when their distances differ by no more than this share
)


def sniff(path: Path, head: bytes) -> bool:
    """Tell whether a file begins like DICOM: by its mark, or without preamble by its elements."""
    if head[128:132] == b"DICM":
        return True
    # Without a preamble, elements of group 2 or 8 come first: group, element, then VR and length.
    if head[:2] not in (b"\2\0", b"\x08\0") or len(head) < 16:
        return False
    element = int.from_bytes(head[2:4], "little")
    explicit = head[4:6] in (b"UL", b"UI", b"CS", b"OB", b"DA", b"SH", b"LO", b"TM")
    implicit = int.from_bytes(head[4:8], "little") <= 64 and head[6:8] == b"\0\0"
    return element <= 0x0070 and (explicit or implicit)


def header(path: Path) -> list[Header]:
    """Tell what the attributes say; no pixels are read, but two frames where they may be in colour."""
    with guarded(path, _EXPECTED), _quiet():
        image = _open(path)
        _check_colour(image)
        steps = _steps([_along_normal(image.ds, frame) for frame in image.order])
        return [
            Header(
                NAME,
                bscans=len(image.order),
                size=image.size,
                device=_device(image.ds),
                laterality=_laterality(image.ds, image.order[0]),
                spacing_mm=_spacing(image.ds, image.order[0]),
                bscan_spacing_mm=steps or _stated_step(image.ds),
                subject_id=_subject(image.ds),
                volume_id=_volume(image.ds, len(image.order)),
                note=_note(image.ds),
            )
        ]


def read(path: Path, only: Sequence[int] | None = None) -> list[Scan]:
    """Read the frames in order, or those at the positions `only`; no others are decoded."""
    with guarded(path, _EXPECTED), _quiet():
        image = _open(path)
        positions = chosen(only, len(image.order), path)
        frames = [image.order[position] for position in positions]
        scale = scaling(image.ds, len(image.order))
        pictures = empty(len(frames), image.size)
        scans = []
        for position, frame, picture, stored in zip(
            positions, frames, pictures, image.decode(frames), strict=True
        ):
            scale(stored, frame, picture)
            source = Source(
                subject_id=_subject(image.ds),
                volume_id=_volume(image.ds, len(image.order)),
                bscan_index=position,
                laterality=_laterality(image.ds, frame),
                device=_device(image.ds),
            )
            scans.append(
                Scan(
                    picture,
                    valid=valid_mask(picture),
                    spacing_mm=_spacing(image.ds, frame),
                    source=source,
                )
            )
        return scans


def frame_numbers(path: Path) -> list[int]:
    """Return which frame of the file, from 0, each B-scan is."""
    with guarded(path, _EXPECTED), _quiet():
        return _open(path).order


@dataclass(frozen=True)
class Series:
    """Files that are one volume, in order, and the distance of their B-scans."""

    files: tuple[Path, ...]
    bscan_spacing_mm: float | None = None


def series(files: Sequence[Path]) -> list[Series]:
    """Put the single frames of each series together and in order; other files stay alone.

    Files without a picture (reports, DICOMDIR) are left out; so are masks (Segmentations) and second
    copies of an image, with a warning.
    """
    found: list[Series] = []
    seen: dict[str, Path] = {}
    singles: dict[str, list[tuple[Path, Dataset]]] = {}
    for file in files:
        try:
            with guarded(file, _EXPECTED), _quiet():
                ds, _ = _attributes(file, _unpacked(file))
                uid = str(ds.get("SeriesInstanceUID", "")).strip()
                alone = int(ds.get("NumberOfFrames") or 1) > 1 or not uid
        except ScanError:  # raised again when the file itself is read
            found.append(Series((file,)))
            continue
        if "Rows" not in ds:
            continue
        if _is_segmentation(ds):
            _warn(f"{file} is a DICOM Segmentation, that is masks and no scan; it is left out.")
            continue
        own = str(ds.get("SOPInstanceUID") or file).strip()
        if own in seen and _opens(file) and _opens(seen[own]):  # a damaged copy is told of
            _warn(
                f"{file} is the same image as {seen[own]} (by its SOPInstanceUID), and is left out. "
                "Remove one of them."
            )
            continue
        seen[own] = file
        if alone:
            found.append(Series((file,)))
        else:
            singles.setdefault(uid, []).append((file, ds))
    for members in singles.values():
        with guarded(members[0][0], _EXPECTED), _quiet():
            found.append(_in_order(members))
    return found


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=7)


def _opens(path: Path) -> bool:
    try:
        header(path)
    except ScanError:
        return False
    return True


def _is_segmentation(ds: Dataset) -> bool:
    return str(ds.get("SOPClassUID", "")).startswith(_SEGMENTATION) or ds.get("Modality") == "SEG"


def _note(ds: Dataset) -> str | None:
    """Say what an image is that is no optical coherence tomography by its own account."""
    modality = str(ds.get("Modality") or "").strip()
    kind = str(ds.get("SOPClassUID") or "")
    if modality in ("", "OPT", "OCT") and not kind.startswith(_PHOTOGRAPHY):
        return None
    name = getattr(ds.get("SOPClassUID"), "name", "").removesuffix(" Storage")
    return f"of the modality {modality or 'unknown'} ({name or 'unknown kind'}), no OCT by its own account"


def _check_colour(image: _Image) -> None:
    """Refuse what is in colour by its first and last frame, so that it is listed as not readable."""
    palette = image.ds.get("PhotometricInterpretation") == "PALETTE COLOR"
    if palette or int(image.ds.get("SamplesPerPixel") or 1) > 1:
        frames = sorted({image.order[0], image.order[-1]})
        scale = scaling(image.ds, len(image.order))
        for frame, stored in zip(frames, image.decode(frames), strict=True):
            scale(stored, frame, np.empty(image.size, np.float32))


def _in_order(members: list[tuple[Path, Dataset]]) -> Series:
    placed = [(place, m) for m in members if (place := _along_normal(m[1], 0)) is not None]
    normals = {tuple(np.round(place.normal, 3)) for place, _ in placed}
    if len(placed) == len(members) and len(normals) == 1:
        placed.sort(key=lambda pair: pair[0].position)
        members = [member for _, member in placed]
        steps = _steps([place for place, _ in placed])
        if steps is None and len(members) > 2:
            warnings.warn(
                f"{members[0][0].parent}: the B-scans of a DICOM series are not evenly spaced; some "
                "may be missing.",
                stacklevel=2,
            )
        return Series(tuple(file for file, _ in members), steps)
    numbers = [ds.get("InstanceNumber") for _, ds in members]
    members.sort(key=lambda member: natural_key(member[0]))
    if None not in numbers:
        members.sort(key=lambda member: int(member[1].InstanceNumber))
    return Series(tuple(file for file, _ in members))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep pydicom's own warnings back: they quote values, which may be names."""
    from pydicom.config import disable_value_validation

    told = warnings.showwarning
    with disable_value_validation(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pydicom\b")
        warnings.showwarning = told
        yield


def _attributes(path: Path, unpacked: bytes | None) -> tuple[Dataset, int]:
    """Return the attributes before the pixels, and where these begin."""
    from pydicom import dcmread
    from pydicom.filereader import read_file_meta_info

    syntax = None
    with contextlib.suppress(Exception):  # a file without preamble may have none
        syntax = read_file_meta_info(path).get("TransferSyntaxUID")
    with _stream(path, unpacked) as file:
        ds = dcmread(file, stop_before_pixels=True, force=True)
        end = file.tell()
    if unpacked is not None:
        ds.filename = str(path)
    if syntax is None or unpacked is not None:
        implicit, little = ds.original_encoding
        ds.file_meta.TransferSyntaxUID = _syntax(implicit, little)
    return ds, end


def _stream(path: Path, unpacked: bytes | None) -> IO[bytes]:
    return open(path, "rb") if unpacked is None else io.BytesIO(unpacked)


def _unpacked(path: Path) -> bytes | None:
    """Return the attributes and pixels of a deflated file, None for any other.

    pydicom would unpack it as a whole, however large, before anything can be checked; here no more
    is unpacked than the attributes claim.
    """
    from pydicom.filereader import read_file_meta_info

    try:
        about = read_file_meta_info(path)
    except Exception:  # a file without preamble may have none
        return None
    if about.get("TransferSyntaxUID") != _DEFLATED:
        return None
    with open(path, "rb") as file:
        file.seek(_META_START + int(about.FileMetaInformationGroupLength))
        packed = file.read()
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    head = inflate.decompress(packed, _HEAD)
    if not inflate.unconsumed_tail:
        return head
    ds, end = _attributes(path, head)
    shape = [int(ds.get(key) or 1) for key in ("NumberOfFrames", "Rows", "Columns")]
    samples, bits = (int(ds.get(key) or 1) for key in ("SamplesPerPixel", "BitsAllocated"))
    check_claim(path, (*shape, samples), len(packed), 0, compressed=True)
    most = end + 16 + math.prod(shape) * samples * -(-bits // 8)
    return head + inflate.decompress(inflate.unconsumed_tail, max(most - len(head), 1))


def _syntax(implicit: bool | None, little: bool | None) -> Any:
    from pydicom import uid

    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian


@dataclass(frozen=True)
class _Image:
    ds: Dataset
    content: Path | BinaryIO
    order: list[int]  # frame number of each B-scan
    size: tuple[int, int]

    def decode(self, frames: list[int]) -> Iterator[np.ndarray]:
        """Yield the stored values of frames."""
        from pydicom.pixels import iter_pixels

        syntax = self.ds.file_meta.TransferSyntaxUID
        if frames:  # pydicom takes an empty list for all of them
            yield from iter_pixels(self.content, indices=frames, transfer_syntax_uid=syntax)


def _open(path: Path) -> _Image:
    """Read the attributes of an image and check what they claim against the file."""
    unpacked = _unpacked(path)
    ds, end = _attributes(path, unpacked)
    if not ds.get("Rows") or not ds.get("Columns"):
        kind = getattr(ds.get("SOPClassUID"), "name", "unknown kind")
        raise ScanError(
            f"{path} is a DICOM file without a picture ({kind}); expected images, best of "
            "Ophthalmic Tomography. Choose another file of the export."
        )
    if _is_segmentation(ds):
        raise ScanError(
            f"{path} is a DICOM Segmentation, that is masks and no scan; expected images, best of "
            "Ophthalmic Tomography. Give the images that it is of."
        )
    frames = int(ds.get("NumberOfFrames") or 1)
    size = int(ds.Rows), int(ds.Columns)
    stored_range(ds)
    with _stream(path, unpacked) as file:
        _check_pixels(file, path, ds, end, (frames, *size))
    content = path if unpacked is None else io.BytesIO(unpacked)
    return _Image(ds, content, _frame_order(ds, frames), size)


def _frame_order(ds: Dataset, frames: int) -> list[int]:
    keyword = "InStackPositionNumber"
    numbers = [find(ds, frame, "FrameContentSequence", keyword) for frame in range(frames)]
    if None in numbers or len(set(numbers)) < frames:
        return list(range(frames))
    return sorted(range(frames), key=lambda frame: int(numbers[frame]))


def _check_pixels(
    file: IO[bytes], path: Path, ds: Dataset, end: int, shape: tuple[int, int, int]
) -> None:
    from pydicom.uid import UID

    syntax = UID(ds.file_meta.TransferSyntaxUID)
    size = file.seek(0, 2)
    file.seek(end)
    start, length = _pixel_data(file, path, ds)
    if not syntax.is_compressed:
        there = min(length, size - start)
        samples = int(ds.get("SamplesPerPixel") or 1)
        bits = int(ds.BitsAllocated) * samples
        if str(ds.get("PhotometricInterpretation")) == "YBR_FULL_422":
            bits = int(ds.BitsAllocated) * 2
        check_claim(path, shape, there, bits / 8)
        frame_bytes = shape[1] * shape[2] * bits / 8
        if there - shape[0] * frame_bytes >= max(frame_bytes, 2):
            raise _frames_do_not_fit(path, shape[0], f"{there // frame_bytes:.0f}")
        return
    check_claim(path, shape, size - start, 0, compressed=True)
    check_claim(path, shape[1:], size - start, 0, compressed=True)
    _check_decoder(path, syntax)
    _check_fragments(file, path, ds, syntax, shape[0])


def _pixel_data(file: Any, path: Path, ds: Dataset) -> tuple[int, int]:
    """Return where the pixels begin and how many bytes the file says there are."""
    syntax = ds.file_meta.TransferSyntaxUID
    order: Literal["little", "big"] = "little" if syntax.is_little_endian else "big"
    head = file.read(12)
    group, element = (int.from_bytes(head[k : k + 2], order) for k in (0, 2))
    if (group, element) != (0x7FE0, 0x0010):
        floats = group == 0x7FE0 and element in (8, 9)
        found = "floating point pixels" if floats else "no pixels"
        raise ScanError(
            f"{path} is a DICOM file with {found}; expected pixels of 8 to 16 bit. Export it again."
        )
    if syntax.is_implicit_VR:
        file.seek(-4, 1)
        return file.tell(), int.from_bytes(head[4:8], order)
    return file.tell(), int.from_bytes(head[8:12], order)


def _check_decoder(path: Path, syntax: Any) -> None:
    from pydicom.pixels import get_decoder

    try:
        missing = (
            () if (decoder := get_decoder(syntax)).is_available else decoder.missing_dependencies
        )
    except NotImplementedError:
        missing = ()
        decoder = None
    if missing:
        raise ScanError(
            f"{path} is compressed as {syntax.name}, which medream itself does not decode. Install "
            "the packages that do with: pip install medream[dicom]"
        )
    if decoder is None:
        raise ScanError(
            f"{path} has the transfer syntax {syntax.name}, which nothing here decodes. Convert it "
            "first, with 'gdcmconv --raw' or the viewer it comes from."
        )


def _check_fragments(file: Any, path: Path, ds: Dataset, syntax: Any, frames: int) -> None:
    """Compare the number of frames with the pieces that the file holds."""
    from pydicom.encaps import parse_basic_offsets, parse_fragments

    offsets = parse_basic_offsets(file)
    pieces, places = parse_fragments(file)
    size = path.stat().st_size
    if pieces:
        file.seek(places[-1] + 4)
        file.seek(int.from_bytes(file.read(4), "little"), 1)
        if file.read(4) != _END_OF_PIECES:
            raise ScanError(
                f"{path} is cut short: expected the mark that ends its {pieces} compressed frames, "
                f"found the end of the file after {size} bytes. Copy or export it again."
            )
    if pieces < frames or (syntax == _RLE and pieces != frames):
        raise _frames_do_not_fit(path, frames, str(pieces))
    if offsets and len(offsets) != frames:
        raise _frames_do_not_fit(path, frames, str(len(offsets)))
    if syntax in _JPEG_2000:
        file.seek(places[0] + 8)
        if (
            not file.read(8).startswith(_J2K_MARKS)
            and "zeiss" in str(ds.get("Manufacturer")).lower()
        ):
            raise ScanError(
                f"{path} is a DICOM file of Carl Zeiss Meditec with scrambled pixels, which only "
                "their software shows. Export it unscrambled, or as .img from the research browser."
            )


def _frames_do_not_fit(path: Path, claimed: int, there: str) -> ScanError:
    return ScanError(
        f"{path} says that it has {claimed} frames, but holds {there}. Copy or export it again."
    )


def _device(ds: Dataset) -> str:
    maker, model = (
        str(ds.get(key) or "").strip() for key in ("Manufacturer", "ManufacturerModelName")
    )
    if model.lower().startswith(maker.lower()):
        maker = ""
    return " ".join(part for part in (maker, model) if part) or str(ds.get("Modality") or "DICOM")


def _subject(ds: Dataset) -> str:
    number = str(ds.get("PatientID") or "").strip()
    return pseudonym("subject", number or ds.get("PatientName"))


def _volume(ds: Dataset, frames: int) -> str:
    own = ds.get("SOPInstanceUID") if frames > 1 else None
    return pseudonym("volume", ds.get("SeriesInstanceUID"), own)


def _laterality(ds: Dataset, frame: int) -> str | None:
    if ds.get("Modality") in _NOT_AN_EYE:
        return None
    for value in (
        find(ds, frame, "FrameAnatomySequence", "FrameLaterality"),
        ds.get("ImageLaterality"),
        ds.get("Laterality"),
    ):
        if value:
            return _EYES.get(str(value).strip().upper())
    return None


def _spacing(ds: Dataset, frame: int) -> tuple[float, float] | None:
    value = find(ds, frame, "PixelMeasuresSequence", "PixelSpacing")
    if value is None:
        return None
    spacing = tuple(float(length) for length in np.atleast_1d(value))
    if len(spacing) != 2 or not all(_is_length(length) for length in spacing):
        warnings.warn(
            f"{ds.filename}: the pixel spacing {spacing} is impossible and left out.", stacklevel=2
        )
        return None
    axial, lateral = spacing
    return axial, lateral


def _is_length(value: float) -> bool:
    return bool(np.isfinite(value)) and 0 < value < 1000


@dataclass(frozen=True)
class _Place:
    position: float  # along the normal, in millimetres
    normal: np.ndarray


def _along_normal(ds: Dataset, frame: int) -> _Place | None:
    corner = find(ds, frame, "PlanePositionSequence", "ImagePositionPatient")
    axes = find(ds, frame, "PlaneOrientationSequence", "ImageOrientationPatient")
    if corner is None or axes is None or len(corner) != 3 or len(axes) != 6:
        return None
    across = np.array(axes, float)
    normal = np.cross(across[:3], across[3:])
    place = _Place(float(np.array(corner, float) @ normal), normal)
    return place if np.isfinite(place.position) and normal.any() else None


def _steps(places: Sequence[_Place | None]) -> float | None:
    """Return the distance between neighbours, when all places are known and evenly spaced."""
    if len(places) < 2 or None in places:
        return None
    steps = np.abs(np.diff([place.position for place in places if place is not None]))
    if steps.min() <= 0 or np.ptp(steps) > _EVEN * steps.mean():
        return None
    return float(np.median(steps))


def _stated_step(ds: Dataset) -> float | None:
    keywords = ["SpacingBetweenSlices"]
    if str(ds.get("SOPClassUID", "")).startswith(_OPT):
        keywords.append("SliceThickness")  # OCT devices write the distance of the B-scans there
    for keyword in keywords:
        value = find(ds, 0, "PixelMeasuresSequence", keyword)
        if value is not None and _is_length(float(value)):
            return float(value)
    return None
