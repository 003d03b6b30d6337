"""Stored values of a DICOM frame -> intensities in [0, 1].

The rule: the full range of the stored type (`BitsStored`, signed or not) becomes [0, 1]. A window
or VOI table in the file says which part of that range the device shows; it is applied, since 12
bits in a type of 16 would otherwise be nearly black. All frames of a file share one window, from
the lowest to the highest value that any frame's window shows, so that they stay comparable. A
rescale changes the units of the window and, when its slope is negative, turns the picture round;
MONOCHROME1 does so too. The picture's own minimum and maximum are never used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from medream.errors import ScanError
from medream.readers.intensity import grey, linear

if TYPE_CHECKING:
    from pydicom import Dataset


def groups(ds: Dataset, frame: int) -> Iterator[Dataset]:
    """Yield where attributes of a frame may be: its functional groups, the shared ones, the top."""
    for sequence, index in (
        ("PerFrameFunctionalGroupsSequence", frame),
        ("SharedFunctionalGroupsSequence", 0),
    ):
        items = ds.get(sequence) or []
        if index < len(items):
            yield items[index]


def find(ds: Dataset, frame: int, macro: str, keyword: str) -> Any:
    """Return an attribute of a frame from the functional group `macro`, or from the top level."""
    for group in groups(ds, frame):
        items = group.get(macro)
        if items and items[0].get(keyword) is not None:
            return items[0].get(keyword)
    return ds.get(keyword)


def stored_range(ds: Dataset) -> tuple[int, int]:
    """Return the lowest and highest value of the stored type."""
    bits = int(ds.get("BitsStored") or ds.get("BitsAllocated") or 0)
    if not 1 <= bits <= 16:
        raise ScanError(
            f"{ds.filename} stores {bits} bits in each pixel; expected 1 to 16. Export it as 8 or "
            "16 bit."
        )
    if ds.get("PixelRepresentation"):
        return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1


def scaling(ds: Dataset, frames: int) -> Callable[[np.ndarray, int, np.ndarray], object]:
    """Return the function that writes a decoded frame, given its number, as float32 in [0, 1]."""
    photometric = str(ds.get("PhotometricInterpretation", ""))
    lowest, highest = stored_range(ds)
    if int(ds.get("SamplesPerPixel") or 1) > 1:

        def colours(stored: np.ndarray, frame: int, out: np.ndarray) -> None:
            out[:] = grey(stored / np.float32(highest), ds.filename)

        return colours
    if photometric == "PALETTE COLOR":

        def palette(stored: np.ndarray, frame: int, out: np.ndarray) -> None:
            out[:] = grey(_looked_up(stored, ds), ds.filename)

        return palette
    turned = photometric == "MONOCHROME1"
    if ds.get("ModalityLUTSequence") or ds.get("VOILUTSequence"):
        table = _table(ds, lowest, highest)
        table = 1 - table if turned else table

        def look_up(stored: np.ndarray, frame: int, out: np.ndarray) -> None:
            out[:] = table[np.clip(stored, lowest, highest).astype(int) - lowest]

        return look_up
    rescales = [_rescale(ds, frame) for frame in range(frames)]
    windows = {w for frame in range(frames) if (w := _window(ds, frame)) is not None}
    window = None
    if windows:
        window = min(low for low, _ in windows), max(high for _, high in windows)

    def scale(stored: np.ndarray, frame: int, out: np.ndarray) -> None:
        slope, intercept = rescales[frame]
        if window is not None:
            low, high = ((value - intercept) / slope for value in window)
        else:
            low, high = map(float, (lowest, highest) if slope > 0 else (highest, lowest))
        linear(stored, *((high, low) if turned else (low, high)), out=out)

    return scale


def _rescale(ds: Dataset, frame: int) -> tuple[float, float]:
    macro = "PixelValueTransformationSequence"
    slope = find(ds, frame, macro, "RescaleSlope")
    intercept = find(ds, frame, macro, "RescaleIntercept")
    slope = 1.0 if slope is None else float(slope)
    intercept = 0.0 if intercept is None else float(intercept)
    if not (np.isfinite([slope, intercept]).all() and slope):
        raise ScanError(
            f"{ds.filename} has the rescale slope {slope:g} and intercept {intercept:g}; expected "
            "finite numbers and a slope other than 0. Export it again."
        )
    return slope, intercept


def _window(ds: Dataset, frame: int) -> tuple[float, float] | None:
    """Return the lowest and highest value that a frame's first window shows (PS3.3 C.11.2.1.2)."""
    macro = "FrameVOILUTSequence"
    centre, width = (find(ds, frame, macro, name) for name in ("WindowCenter", "WindowWidth"))
    centre, width = (_first(value) for value in (centre, width))
    if centre is None or width is None:
        return None
    exact = find(ds, frame, macro, "VOILUTFunction") == "LINEAR_EXACT"
    if not exact:
        centre, width = centre - 0.5, width - 1
    if not (np.isfinite([centre, width]).all() and width > 0):
        return None
    return centre - width / 2, centre + width / 2


def _first(value: Any) -> float | None:
    from pydicom.multival import MultiValue

    if isinstance(value, MultiValue):
        value = value[0] if value else None
    return None if value in (None, "") else float(value)


def _table(ds: Dataset, lowest: int, highest: int) -> np.ndarray:
    """Return the intensity of every stored value, for the files that carry look-up tables."""
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    values = np.arange(lowest, highest + 1)
    kind = np.int16 if lowest < 0 else np.uint16
    shown = apply_voi_lut(apply_modality_lut(values.astype(kind), ds), ds)
    for name in ("VOILUTSequence", "ModalityLUTSequence"):
        if ds.get(name):
            bits = int(ds[name].value[0].LUTDescriptor[2])
            return (shown / float(2**bits - 1)).clip(0, 1).astype(np.float32)
    raise AssertionError


def _looked_up(stored: np.ndarray, ds: Dataset) -> np.ndarray:
    from pydicom.pixels import apply_color_lut

    colours = apply_color_lut(stored, ds)
    return colours / np.float32(np.iinfo(colours.dtype).max)
