"""Masks in files of their own, beside the scans: `eye_mask.nii.gz` holds the labels of `eye.nii.gz`.

A file is the mask of the scan in its folder that is called alike but for `_mask`, in the same format
or, where there is no such file, in any other (`eye_mask.nii.gz` beside `eye.vol`). Values mean what
medream wrote beside them; without that 0/1, 0/255 or class ids, as in pictures of masks.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from medream.errors import ScanError
from medream.readers import metaimage, nifti
from medream.readers.axes import Axes
from medream.readers.damage import guarded
from medream.readers.names import RASTER_SUFFIXES, files_in, is_raster, read_head
from medream.readers.raster import labels_by_convention, read_pages

ENDING = "_mask"
_VOLUMES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".nhdr", ".npy")
SUFFIXES = (*_VOLUMES, *sorted(RASTER_SUFFIXES))

Labels = tuple[np.ndarray, tuple[str, ...] | None]
"""Labels as uint8 (bscan, depth, width), and the names of the classes where the file tells them."""


def masks_among(files: Iterable[Path]) -> dict[Path, Path]:
    """Return the mask of each file that has one, all in one folder.

    Raises
    ------
    ScanError
        When several masks are one scan's.

    >>> found = masks_among(map(Path, ("a.vol", "a_mask.nii.gz", "b.nii", "c_mask.nii")))
    >>> {str(scan): str(mask) for scan, mask in found.items()}
    {'a.vol': 'a_mask.nii.gz'}
    """
    files = list(files)
    scans: dict[tuple[Path, str], list[Path]] = {}
    for file in files:
        scans.setdefault((file.parent, split_name(file)[0].casefold()), []).append(file)
    found: dict[Path, Path] = {}
    for mask in files:
        if not is_mask(mask):
            continue
        stem, suffix = split_name(mask)
        own = scans.get((mask.parent, stem[: -len(ENDING)].casefold()), [])
        alike = [scan for scan in own if split_name(scan)[1] == suffix]
        for scan in alike or own:
            if scan in found:
                raise ScanError(
                    f"{found[scan]} and {mask.name} are both called as the mask of {scan.name}. "
                    "Keep one of them."
                )
            found[scan] = mask
    return found


def mask_beside(file: Path) -> Path | None:
    """Return the mask of a file, found in its folder."""
    stem = split_name(file)[0].casefold()
    near = [f for f in files_in(file.parent) if split_name(f)[0].casefold() in (stem, stem + ENDING)]
    return masks_among(near).get(file)


def is_mask(file: Path) -> bool:
    """Tell whether a file is called like the mask of another one."""
    stem, suffix = split_name(file)
    return suffix in SUFFIXES and len(stem) > len(ENDING) and stem.lower().endswith(ENDING)


def refusal(mask: Path) -> ScanError:
    """Return the error for a mask where a scan was expected."""
    stem = split_name(mask)[0]
    return ScanError(
        f"{mask} is called as a mask, and holds no scan; expected the scan {stem[: -len(ENDING)]} "
        "beside it, to which it is read along. Give the scan, or call the file otherwise if it is one."
    )


def read_masks(mask: Path, like: Axes | None) -> Labels:
    """Read a mask; `like` are the axes of its scan, where the scan's format has axes to be named.

    Raises
    ------
    ScanError
        When it cannot be read, or its values cannot be told apart.
    """
    head = read_head(mask, 16)
    if is_raster(head):
        values, described = read_pages(mask), None
    elif head.startswith(b"\x93NUMPY"):
        with guarded(mask, "a NumPy array of labels"):
            values, described = np.load(mask, allow_pickle=False), None
            values = values[None] if values.ndim == 2 else values
    else:
        read = nifti.numbers if split_name(mask)[1] in (".nii", ".nii.gz") else metaimage.numbers
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of guessed axes: the scan has told it
            values, described = read(mask, like)
    if values.dtype.kind not in "buif" or not np.array_equal(values, np.floor(values)):
        raise ScanError(f"{mask} holds fractions; expected a mask of whole numbers.")
    if described is not None:
        names = tuple(described.get("classes", ["fluid"]))
        if values.min() < 0 or values.max() > len(names):
            raise ScanError(
                f"{mask} holds values from {values.min():g} to {values.max():g}; expected 0 to "
                f"{len(names)} ({', '.join(names)})."
            )
        return values.astype(np.uint8), names
    flat = values.reshape(-1, values.shape[-1]).astype(np.int64)
    return labels_by_convention(flat, mask).reshape(values.shape), None


def names_of(labels: Iterable[Labels]) -> tuple[str, ...]:
    """Return the names of the classes of masks that belong together."""
    labels = list(labels)
    known = next((names for _, names in labels if names), None)
    highest = max((int(values.max()) for values, _ in labels), default=0)
    if known is not None and len(known) >= highest:
        return known
    return ("fluid",) if highest <= 1 else tuple(f"class{k + 1}" for k in range(highest))


def split_name(file: Path) -> tuple[str, str]:
    """Return name and suffix, `.nii.gz` being one suffix.

    >>> split_name(Path("a.b.nii.gz"))
    ('a.b', '.nii.gz')
    """
    name = file.name
    if name.lower().endswith(".nii.gz"):
        return name[:-7], ".nii.gz"
    return file.stem, file.suffix.lower()
