"""PNG, JPEG, TIFF and BMP: grey B-scans, and the masks drawn on them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from medream.errors import ScanError
from medream.readers.header import Header, chosen
from medream.readers.names import cannot_read, is_raster, read_head
from medream.readers.valid import valid_mask
from medream.scan import Scan, Source

ClassMap = Mapping[str, int | Sequence[int]]
"""Name of a class and its grey value or its (red, green, blue) in the mask files."""

_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "MPO")
_COLOUR_SPREAD = 10  # JPEG gives the channels of a grey picture differences of a few values
_MAX_LABEL = 31
_FEW = 3  # values of a mask in which each of them means something
_ORIENTATION = 274  # tag of EXIF
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # TIFF tags

T = TypeVar("T")


def read(path: Path, only: Sequence[int] | None = None) -> list[Scan]:
    """Read the pages of a raster file, each as one scan."""

    def pages(image: Image.Image) -> list[Scan]:
        scans = []
        for k in chosen(only, _page_count(image), path):
            image.seek(k)
            gray = _gray(image, path)
            scans.append(Scan(gray, valid=valid_mask(gray), source=Source(bscan_index=k)))
        return scans

    return _with_image(path, pages)


def header(path: Path) -> list[Header]:
    """Tell the sizes of the pages. Dots per inch are no measurement, so spacing stays unknown."""

    def sizes(image: Image.Image) -> list[Header]:
        found: dict[tuple[int, int], int] = {}
        for k in range(_page_count(image)):
            image.seek(k)
            found[image.size] = found.get(image.size, 0) + 1
        return [Header("picture", n, (depth, width)) for (width, depth), n in found.items()]

    return _with_image(path, sizes)


def read_gray(path: str | Path) -> np.ndarray:
    """Read a grey picture of one page.

    8 and 16 bit are divided by the full range of the type, never by the picture's own maximum.

    Returns
    -------
    float32 array, shape (depth, width), in [0, 1]

    Raises
    ------
    ScanError
        When the file is empty, damaged, no picture, in colour, transparent, or has several pages.
    """
    path = Path(path)

    def one_page(image: Image.Image) -> np.ndarray:
        _require_one_page(image, path)
        return _gray(image, path)

    return _with_image(path, one_page)


def read_labels(path: str | Path, class_map: ClassMap | None = None) -> np.ndarray:
    """Read a mask: 0 is background, 1, 2, ... are the classes.

    Without a class map the file may hold 0/1, 0/255 (or 0 and any one value), a JPEG or
    smoothed mask (cut at 128), or class ids up to 31.

    Parameters
    ----------
    path : path
    class_map : {name: grey value or (red, green, blue)}, optional
        The first name becomes 1, the second 2 and so on. The name "background" gives the value
        or colour of the background (default 0 or black). A map of a single class also names
        the foreground of a 0/1 or 0/255 mask, whatever value it gives.

    Returns
    -------
    uint8 array, shape (depth, width)

    Raises
    ------
    ScanError
        When the file cannot be read, or its values cannot be told apart; the message lists them.
    """
    path = Path(path)

    def decode(image: Image.Image) -> np.ndarray:
        _require_one_page(image, path)
        lossy = image.format in ("JPEG", "MPO")
        by_colour = any(isinstance(value, Sequence) for value in (class_map or {}).values())
        values = _mask_values(image, path, keep_colour=by_colour)
        if class_map:
            return _by_class_map(values, class_map, lossy, path)
        return labels_by_convention(values, path, lossy)

    return _with_image(path, decode)


def read_values(path: str | Path, page: int = 0, colour: bool = False) -> np.ndarray:
    """Read the numbers of a picture as they are, for data sets that define their meaning.

    Parameters
    ----------
    path : path
    page : int
        Page of a TIFF.
    colour : bool
        Return the colours instead of grey values; transparent pixels are black.

    Returns
    -------
    int64 array, shape (depth, width), or (depth, width, 3) with `colour`

    Raises
    ------
    ScanError
        When the file cannot be read, has no such page, or is in colour and `colour` is not asked.
    """
    path = Path(path)

    def decode(image: Image.Image) -> np.ndarray:
        chosen([page], _page_count(image), path)
        image.seek(page)
        return _mask_values(image, path, keep_colour=colour)

    return _with_image(path, decode)


def read_pages(path: Path) -> np.ndarray:
    """Read the numbers of all pages of a picture, (page, depth, width), as `read_values`."""

    def decode(image: Image.Image) -> np.ndarray:
        pages = []
        for k in range(_page_count(image)):
            image.seek(k)
            values = _mask_values(image, path, keep_colour=False)
            if image.format in ("JPEG", "MPO"):
                values = labels_by_convention(values, path, lossy=True)
            pages.append(values)
        if len({page.shape for page in pages}) > 1:
            raise ScanError(f"{path} has pages of different sizes; expected those of its scan.")
        return np.stack(pages)

    return _with_image(path, decode)


def check_class_map(class_map: ClassMap, where: str) -> tuple[str, ...]:
    """Return the class names of a class map in label order, or raise ScanError."""
    if not isinstance(class_map, Mapping):
        raise ScanError(
            f"{where} is {class_map!r}; expected names and the values of their pixels, such as "
            "{'fluid': 255}."
        )
    for name, value in class_map.items():
        parts: list = list(value) if isinstance(value, list | tuple) else [value]
        whole = all(isinstance(part, int) and not isinstance(part, bool) for part in parts)
        fits = whole and all(0 <= part <= (255 if len(parts) == 3 else 65535) for part in parts)
        if not fits or len(parts) != (3 if isinstance(value, list | tuple) else 1):
            raise ScanError(
                f"{where}: class {name!r} has the value {value!r}; expected the grey value of its "
                "pixels, such as 2, or their colour, such as [255, 0, 0]."
            )
    keys = [tuple(v) if isinstance(v, Sequence) else v for v in class_map.values()]
    names = tuple(name for name in class_map if name != "background")
    if not names or len(set(keys)) != len(keys) or len({type(k) for k in keys}) != 1:
        raise ScanError(
            f"{where}: expected one or more classes, each with a value of its own, and either "
            f"grey values or colours for all; got {dict(class_map)}."
        )
    return names


def _with_image(path: Path, use: Callable[[Image.Image], T]) -> T:
    """Open `path`, call `use` on it, and turn whatever Pillow may raise into a ScanError."""
    head = read_head(path)
    if not is_raster(head):
        raise not_an_image(path, head)
    try:
        with Image.open(path, formats=_FORMATS) as image:
            return use(image)
    except ScanError:
        raise
    except Image.DecompressionBombError as error:
        raise ScanError(f"{path} is far larger than any B-scan; not read ({error}).") from error
    except PermissionError as error:
        raise cannot_read(path, error) from error
    except Exception as error:  # Pillow's decoders raise whatever their parsing trips over
        raise ScanError(
            f"{path} is damaged or cut short ({str(error) or type(error).__name__}); expected a "
            "complete PNG, JPEG, TIFF or BMP. Copy or export the file again."
        ) from error


def not_an_image(path: Path, head: bytes, expected: str = "a PNG, JPEG, TIFF or BMP") -> ScanError:
    """Return the error for a file whose first bytes are of no known format."""
    if not head:
        found = "is empty (0 bytes)"
    elif not any(head):
        found = "holds only zero bytes, as an interrupted copy does"
    else:
        found = f"begins with {head[:8]!r}"
    return ScanError(f"{path} {found}; expected {expected}. Copy or export the file again.")


def _page_count(image: Image.Image) -> int:
    # The second picture of an MPO is the other eye of a stereo camera, or a thumbnail.
    return getattr(image, "n_frames", 1) if image.format == "TIFF" else 1


def _require_one_page(image: Image.Image, path: Path) -> None:
    pages = _page_count(image)
    if pages > 1:
        raise ScanError(
            f"{path} has {pages} pages; expected one B-scan in a file here. Read it as a volume "
            "with read_scans, or save each page as a file of its own."
        )


def _gray(image: Image.Image, path: Path) -> np.ndarray:
    if image.format in ("JPEG", "MPO") and image.getexif().get(_ORIENTATION, 1) != 1:
        warnings.warn(
            f"{path} says that it is to be shown rotated or mirrored (EXIF orientation "
            f"{image.getexif()[_ORIENTATION]}); its pixels are read as they are stored. If it lies on its "
            "side, turn it and save it without the mark.",
            stacklevel=2,
        )
    array, full = _raw(image, path)
    if full == 1.0:
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):
            raise ScanError(
                f"{path} holds floating point values from {low:g} to {high:g}; expected values "
                "in [0, 1]. Divide by the range of the device before saving."
            )
        return array.astype(np.float32)
    if array.dtype.kind == "u":
        return np.divide(array, np.float32(full), dtype=np.float32)
    return (array / full).astype(np.float32)


def _raw(image: Image.Image, path: Path) -> tuple[np.ndarray, float]:
    """Return the grey values of a page and the full range of their type (1.0 for floats)."""
    if image.mode == "F":
        return np.asarray(image), 1.0
    if image.mode.startswith("I"):
        return _integers(image, path)
    if image.mode == "1":
        return np.asarray(image.convert("L")), 255.0
    if image.mode == "L" and "transparency" not in image.info:
        return np.asarray(image), 255.0
    colours = np.asarray(image.convert("RGBA"))
    if colours[..., 3].min() < 255:
        raise ScanError(
            f"{path} has transparent pixels; expected an opaque grey picture. Flatten it onto "
            "one background and save it again."
        )
    red_green_blue = colours[..., :3]
    spread = int(np.ptp(red_green_blue, axis=-1).max())
    if spread > _COLOUR_SPREAD:
        share = float(np.mean(np.ptp(red_green_blue, axis=-1) > _COLOUR_SPREAD))
        raise ScanError(
            f"{path} is in colour ({share:.1%} of its pixels); a B-scan is grey. Export it without "
            "colour map, lines or text; for a mask with colours, give a class map."
        )
    return np.asarray(image.convert("RGB").convert("L")), 255.0


def _integers(image: Image.Image, path: Path) -> tuple[np.ndarray, float]:
    """16 and 32 bit, for which Pillow has fewer modes than there are types of file."""
    array = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (16,))[0] if image.format == "TIFF" or tags else 16
    signed = tags.get(_SAMPLE_FORMAT, (1,))[0] == 2
    if bits == 32 and not signed:
        array = array.astype(np.int32).view(np.uint32)
    full = float(2 ** (bits - signed) - 1)
    array = array.astype(np.float64)
    if array.min() < 0:
        raise ScanError(
            f"{path} holds negative values (down to {array.min():g}); expected grey values from 0. "
            "Save it as unsigned 8 or 16 bit."
        )
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero; Pillow turns only 8 bit round
        array = full - array
    return array, full


def _mask_values(image: Image.Image, path: Path, keep_colour: bool) -> np.ndarray:
    """Return the grey values of a mask as integers, or its colours with `keep_colour`."""
    if image.mode == "F" or image.mode.startswith("I"):
        array = np.asarray(image)
        if not np.array_equal(array, np.round(array)):
            raise ScanError(f"{path} holds fractions; expected a mask of whole numbers.")
        return array.astype(np.int64)
    if image.mode == "1":
        return np.asarray(image).astype(np.int64)
    if image.mode == "L" and not keep_colour:
        return np.asarray(image).astype(np.int64)
    colours = np.asarray(image.convert("RGBA")).astype(np.int64)
    # Drawing tools leave the background transparent: black, whatever colour lies under it.
    colours = np.where(colours[..., 3:] < 128, 0, colours[..., :3])
    if keep_colour:
        return colours
    if np.ptp(colours, axis=-1).max() <= _COLOUR_SPREAD:
        return colours[..., 1]
    if image.mode == "P" and (image.getpalette() or [1])[:3] == [0, 0, 0]:
        return np.asarray(image).astype(np.int64)  # class ids that a palette shows in colours
    found, _, counts = _distinct(colours)
    raise ScanError(
        f"{path} is a mask in colours ({_list_values(found, counts)}) and no class map says what "
        f"they mean. {_HOW_TO_MAP}"
    )


_HOW_TO_MAP = (
    "Give class_map={'fluid': (255, 0, 0), ...}, or a [classes] table in dataset.toml with lines "
    "like fluid = [255, 0, 0] or fluid = 128."
)


def _distinct(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distinct values (n,) or colours (n, 3), where each pixel's is, and the counts."""
    if values.ndim == 2 and values.min() >= 0 and values.max() <= 65535:
        counts = np.bincount(values.ravel())  # far faster than sorting
        codes = np.flatnonzero(counts)
        return codes, (np.cumsum(counts > 0) - 1)[values], counts[codes]
    codes = values @ np.array([1 << 16, 1 << 8, 1]) if values.ndim == 3 else values
    codes, where, counts = np.unique(codes, return_inverse=True, return_counts=True)
    if values.ndim == 3:
        codes = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1)
    return codes, where.reshape(values.shape[:2]), counts


def _list_values(found: np.ndarray, counts: np.ndarray) -> str:
    shown = ", ".join(str(v) for v in found[np.argsort(-counts, kind="stable")[:12]].tolist())
    return f"{len(found)} values: {shown}" + (", ..." if len(found) > 12 else "")


def labels_by_convention(values: np.ndarray, path: Path, lossy: bool = False) -> np.ndarray:
    """Turn the values of a mask that nobody explains, (depth, width), into labels; see `read_labels`."""
    found, _, counts = _distinct(values)
    if not lossy and found[0] >= 0 and found[-1] <= _MAX_LABEL:
        return values.astype(np.uint8)
    if len(found) <= 2 and found[-1] > _MAX_LABEL and (len(found) == 1 or found[0] == 0):
        return (values > 0).astype(np.uint8)
    if found[0] >= 0 and found[-1] <= 255:
        near_an_end = np.mean((values <= 64) | (values >= 191))
        # Smoothed borders have many values; a few pixels of one other value are another class.
        smoothed = lossy or len(found) > _FEW
        if near_an_end >= 0.97 and smoothed:
            return (values >= 128).astype(np.uint8)
    raise ScanError(
        f"{path}: cannot tell the classes of this mask from its values "
        f"({_list_values(found, counts)}); expected 0/1, 0/255 or class ids up to {_MAX_LABEL}. "
        f"{_HOW_TO_MAP}"
    )


def _by_class_map(values: np.ndarray, class_map: ClassMap, lossy: bool, path: Path) -> np.ndarray:
    names = check_class_map(class_map, str(path))
    colours = values.ndim == 3
    background = class_map.get("background", (0, 0, 0) if colours else 0)
    wanted = np.array([background, *(class_map[name] for name in names)], np.int64)
    found, where, counts = _distinct(values)
    distance = np.abs(found[:, None] - wanted)
    if colours:
        distance = distance.max(axis=-1)
    labels = distance.argmin(axis=-1).astype(np.uint8)[where]
    # JPEG smears values, so there the nearest counts; elsewhere an unknown value is a mistake.
    unknown = distance.min(axis=-1) > 0
    if not colours and len(names) == 1 and unknown.any():
        binary = labels_by_convention(values, path, lossy)
        if binary.max() <= 1:
            return binary
    if lossy or not unknown.any():
        return labels
    raise ScanError(
        f"{path} holds values that the class map does not name "
        f"({_list_values(found[unknown], counts[unknown])}, beside "
        f"{', '.join(f'{n} = {class_map[n]}' for n in names)}). Add them to the class map."
    )
