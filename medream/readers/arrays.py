"""NumPy files: .npy with a B-scan or a volume, .npz with mask, spacing and class names as well."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from medream.description import header_of, parse
from medream.errors import ScanError
from medream.readers.damage import check_claim
from medream.readers.described import as_written
from medream.readers.header import Header, chosen
from medream.readers.intensity import check_finite, linear
from medream.readers.names import cannot_read
from medream.readers.valid import valid_mask
from medream.scan import Scan, Source

_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_KEYS = ("image", "original")
_KNOWN = (*_KEYS, "mask", "valid", "classes", "spacing_mm", "description")


def is_numpy(head: bytes) -> bool:
    """Tell from its first bytes whether a file is .npy or may be .npz."""
    return head.startswith((_NPY, _ZIP))


def read(path: Path, only: Sequence[int] | None = None) -> list[Scan]:
    """Read an array (depth, width) as one scan, (bscan, depth, width) as a volume."""
    content = _load(path)
    key = _image_key(content, path)
    stored = _as_volume(content[key], path, key)
    positions = chosen(only, len(stored), path)
    # An .npy is mapped, so that no other B-scans than these are read.
    part = stored if only is None else stored[list(positions)]
    images = dict(zip(positions, _scaled(part, path), strict=True))
    masks = _matching(content, "mask", np.uint8, stored, path)
    valids = _matching(content, "valid", np.bool_, stored, path)
    common: dict[str, Any] = {}
    if "classes" in content:
        common["classes"] = tuple(str(name) for name in np.atleast_1d(content["classes"]))
    elif masks is not None and masks.max() > 1:
        common["classes"] = tuple(f"class{k}" for k in range(1, int(masks.max()) + 1))
    if "spacing_mm" in content:
        common["spacing_mm"] = _spacing(content["spacing_mm"], path)
    described = _description(content, path)
    return [
        as_written(
            Scan(
                images[k],
                mask=None if masks is None else masks[k],
                valid=valid_mask(images[k]) if valids is None else valids[k],
                source=Source(bscan_index=k),
                **common,
            ),
            described,
        )
        for k in positions
    ]


def header(path: Path) -> list[Header]:
    """Tell shape and spacing from the headers of the arrays."""
    try:
        found = _shapes(path)
    except ScanError:
        raise
    except PermissionError as error:
        raise cannot_read(path, error) from error
    except Exception as error:  # see _load
        raise _damaged(path, error) from error
    key = _image_key(found, path)
    bscans, depth, width = _volume_shape(found[key], path, key)
    spacing, described = None, None
    if found.keys() & {"spacing_mm", "description"}:
        with np.load(path, allow_pickle=False) as content:
            described = _description(content, path)
            if "spacing_mm" in content:
                spacing = _spacing(content["spacing_mm"], path)
    return [
        Header(
            "NumPy file",
            bscans,
            (depth, width),
            spacing_mm=spacing,
            bscan_spacing_mm=(described or {}).get("bscan_spacing_mm"),
            masks="mask" in found,
            **header_of(described),
        )
    ]


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays in a file; of an .npz only their first bytes are unpacked."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        if file.read(len(_NPY)) == _NPY:
            file.seek(0)
            shape, item_bytes = _shape(file)
            if 0 not in shape:
                check_claim(path, shape or (1,), size - file.tell(), item_bytes)
            return {"image": shape}
        with zipfile.ZipFile(file) as archive:
            found: dict[str, tuple[int, ...]] = {}
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                if name not in _KNOWN:
                    found[name] = ()
                    continue
                with archive.open(entry) as member:
                    shape, item_bytes = _shape(member)
                if 0 not in shape:
                    check_claim(path, shape or (1,), entry.file_size, item_bytes)
                    check_claim(path, shape or (1,), entry.compress_size, 0, compressed=True)
                found[name] = shape
            return found


def _shape(file: IO[bytes]) -> tuple[tuple[int, ...], int]:
    """Return the shape of an array and the bytes of one of its numbers."""
    version = np.lib.format.read_magic(file)
    old = version == (1, 0)
    head = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
    shape, _, kind = head(file)
    if kind.hasobject:
        raise ValueError("it holds objects, which are never loaded")
    return shape, kind.itemsize


def _image_key(content: Mapping[str, object], path: Path) -> str:
    key = next((k for k in _KEYS if k in content), None)
    if key is None:
        raise ScanError(
            f"{path} holds {', '.join(sorted(content)) or 'nothing'}; expected an array named "
            "'image' or 'original' of shape (depth, width) or (bscan, depth, width)."
        )
    return key


def _description(content: Mapping[str, np.ndarray], path: Path) -> dict[str, Any] | None:
    text = content.get("description")
    return parse(str(text), str(path)) if text is not None and text.dtype.kind == "U" else None


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        names = _shapes(path)
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"image": loaded}
        with loaded:
            return {n: loaded[n] if n in _KNOWN else np.zeros(0) for n in names}
    except ScanError:
        raise
    except PermissionError as error:
        raise cannot_read(path, error) from error
    except Exception as error:  # zip, header and pickle parsers raise whatever they trip over
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ScanError:
    return ScanError(
        f"{path} is no complete NumPy file of numbers ({str(error) or type(error).__name__}); "
        "expected .npy or .npz as np.save and np.savez_compressed write them, without objects."
    )


def _scaled(array: np.ndarray, path: Path) -> np.ndarray:
    """Return float32 in [0, 1]: integers divided by the full range of their type."""
    if array.dtype in (np.uint8, np.uint16):
        return linear(array, 0, float(np.iinfo(array.dtype).max))
    if not np.issubdtype(array.dtype, np.floating):
        raise ScanError(
            f"{path}: the image has type {array.dtype}; expected uint8, uint16, or floating point "
            "in [0, 1]."
        )
    shown = array[0] if len(array) == 1 else array
    check_finite(shown, f"{path}: the image", ("B-scan", "row", "column")[-shown.ndim :])
    if array.size and not (array.min() >= 0 and array.max() <= 1):
        raise ScanError(
            f"{path}: the image runs from {array.min():g} to {array.max():g}; expected values "
            "in [0, 1]. Divide by the full range of the device before saving."
        )
    return array.astype(np.float32)


def _as_volume(array: np.ndarray, path: Path, key: str) -> np.ndarray:
    return array.reshape(_volume_shape(array.shape, path, key))


def _volume_shape(shape: tuple[int, ...], path: Path, key: str) -> tuple[int, int, int]:
    grey = shape[:-1] if len(shape) >= 3 and shape[-1] == 1 else shape
    colour = len(grey) == 3 and grey[-1] in (3, 4)
    if len(grey) not in (2, 3) or 0 in grey or colour:
        raise ScanError(
            f"{path}: {key} has shape {shape}; expected (depth, width) or "
            "(bscan, depth, width), grey and not empty."
        )
    bscans, depth, width = (1, *grey)[-3:]
    return bscans, depth, width


def _matching(
    content: dict[str, np.ndarray], key: str, kind: type, images: np.ndarray, path: Path
) -> np.ndarray | None:
    if key not in content:
        return None
    array = content[key]
    if array.ndim == images.ndim - 1:
        array = array[None]
    if array.shape != images.shape:
        raise ScanError(
            f"{path}: {key} has shape {content[key].shape}, the image "
            f"{images.shape if len(images) > 1 else images.shape[1:]}; they must be of one size."
        )
    converted: np.ndarray = array.astype(kind)
    if array.dtype.kind not in "buif" or not np.array_equal(converted, array):
        raise ScanError(
            f"{path}: {key} of type {array.dtype} does not fit into {np.dtype(kind)}; expected "
            + ("class ids 0, 1, 2, ..." if key == "mask" else "True where the pixel is signal.")
        )
    return converted


def _spacing(value: np.ndarray, path: Path) -> tuple[float, float]:
    if value.shape != (2,) or value.dtype.kind not in "uif":
        raise ScanError(
            f"{path}: spacing_mm is {value!r}; expected (axial, lateral) in millimetres."
        )
    return float(value[0]), float(value[1])
