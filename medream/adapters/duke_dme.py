"""Duke DME (Chiu et al. 2015): `Subject_01.mat` to `Subject_10.mat`.

`images` and the fluid of each grader are (depth, width, B-scan). B-scans that a grader left out
hold NaN; the values of fluid number the lesions, so anything above 0 is fluid.
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from medream.adapters import mat
from medream.adapters.dataset import Contents, Item, items_of_volume
from medream.adapters.listing import Listing, in_order
from medream.errors import ConfigError, ScanError
from medream.readers.matlab import load_variable
from medream.scan import Source

GRADERS = {1: "manualFluid1", 2: "manualFluid2", "automatic": "automaticFluidDME"}
SPACING_MM = (0.00387, 0.01133)  # nominal; laterally subjects differ by about two percent
_FILES = r"(?:.*/)?Subject_(?P<number>\d+)\.mat"


def recognise(listing: Listing) -> bool:
    found = listing.first(_FILES)
    if found is None:
        return False
    try:
        return {"images", GRADERS[1]} <= set(mat.variables(listing.path(found.string)))
    except ScanError:
        return False


def read(listing: Listing, grader: int | str = 1, all_bscans: bool = False) -> Contents:
    """List the B-scans that the grader annotated, or with `all_bscans` all of them."""
    if grader not in GRADERS:
        raise ConfigError(f"Unknown grader {grader!r}; expected 1, 2 or 'automatic'.")
    fluid = GRADERS[grader]
    items: list[Item] = []
    for found in listing.find(_FILES):
        path = listing.path(found.string)
        shape = _shape(path, fluid)
        annotated = _annotated(path, fluid)
        subject = f"subject{int(found['number']):02d}"
        for k in range(shape[2]):
            if annotated[k] or all_bscans:
                items += items_of_volume(
                    [k],
                    path,
                    path if annotated[k] else None,
                    Source("Duke DME", subject, subject, device="Spectralis"),
                    load=partial(_image, path),
                    load_mask=partial(_labels, path, fluid),
                    spacing_mm=SPACING_MM,
                )
    return Contents(
        name="Duke DME",
        adapter="duke_dme",
        path=listing.root,
        items=in_order(items),
        names=("fluid",),
    )


def _shape(path: Path, fluid: str) -> tuple[int, ...]:
    shapes = mat.variables(path)
    wanted = {name: shapes.get(name) for name in ("images", fluid)}
    shape = wanted["images"]
    if shape is None or len(shape) != 3 or wanted[fluid] != shape:
        raise ScanError(
            f"{path} holds {', '.join(f'{n} {s or 0}' for n, s in wanted.items())}; expected both "
            "of one shape (depth, width, B-scan)."
        )
    return shape


def _image(path: Path, k: int) -> np.ndarray:
    return gray(mat.bscan(path, "images", k), path)


def gray(array: np.ndarray, path: Path) -> np.ndarray:
    """Return MATLAB's grey values as float32 in [0, 1]; 8 bit may be stored as floating point."""
    if array.dtype == np.uint16:
        return (array / 65535).astype(np.float32)
    if array.dtype.kind not in "uif" or not (array.min() >= 0 and array.max() <= 255):
        raise ScanError(
            f"{path}: the image has type {array.dtype} and runs from {array.min()} to "
            f"{array.max()}; expected grey values from 0 to 255."
        )
    return (array / 255).astype(np.float32)


def _labels(path: Path, fluid: str, k: int) -> np.ndarray:
    return _fluid(path, fluid, path.stat().st_mtime_ns)[0][:, :, k]


def _annotated(path: Path, fluid: str) -> tuple[bool, ...]:
    return _fluid(path, fluid, path.stat().st_mtime_ns)[1]


@lru_cache(maxsize=16)
def _fluid(path: Path, name: str, changed: int) -> tuple[np.ndarray, tuple[bool, ...]]:
    """Read a grader's fluid once: the labels, and which B-scans are annotated."""
    values = load_variable(path, name)
    if values.ndim != 3 or values.dtype.kind not in "uif":
        raise ScanError(f"{path}: {name} has shape {values.shape}; expected numbers, 3 axes.")
    annotated = ~np.isnan(values).all(axis=(0, 1))
    return (values > 0).astype(np.uint8), tuple(annotated.tolist())
