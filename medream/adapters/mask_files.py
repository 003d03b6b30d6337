"""Files of masks, of one B-scan or of a volume, read without their scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medream.errors import ScanError
from medream.readers import masks, metaimage, nifti
from medream.readers.axes import Axes
from medream.readers.damage import guarded
from medream.readers.names import is_raster, read_head
from medream.readers.raster import read_pages

NPZ = ".npz"


@dataclass(frozen=True, eq=False)
class Masks:
    """What a file of masks holds.

    Parameters
    ----------
    labels : uint8 array (bscan, depth, width)
    classes : tuple of str or None
        Names of the labels 1, 2, ..., where the file tells them.
    axes : Axes or None
        Of the formats that have spacing.
    spacing_mm, bscan_spacing_mm
        None where unknown.
    probability : float array (bscan, depth, width), or with a last axis for background and classes; or None
    """

    labels: np.ndarray
    classes: tuple[str, ...] | None = None
    axes: Axes | None = None
    spacing_mm: tuple[float, float] | None = None
    bscan_spacing_mm: float | None = None
    probability: np.ndarray | None = None


def read_mask_file(path: Path, like: Axes | None = None) -> Masks:
    """Read a file of masks; `like` are the axes of its counterpart, for files that do not tell their own.

    Raises
    ------
    ScanError
        When it cannot be read, or its values cannot be told apart.
    """
    suffix = masks.split_name(path)[1]
    if suffix == NPZ:
        return _read_npz(path)
    axes = None
    if like is None and suffix != ".npy" and not is_raster(read_head(path, 16)):
        axes = (nifti if suffix in (".nii", ".nii.gz") else metaimage).axes(path)
    labels, classes = masks.read_masks(path, like)
    return Masks(
        labels,
        classes,
        axes,
        None if axes is None else axes.spacing_mm,
        None if axes is None else axes.bscan_spacing_mm,
    )


def _read_npz(path: Path) -> Masks:
    expected = (
        "an .npz with a whole-numbered array 'mask', as medream segment --format npz writes it"
    )
    with guarded(path, expected), np.load(path, allow_pickle=False) as file:
        if "mask" not in file:
            raise ScanError(f"{path} holds {', '.join(file) or 'nothing'}; expected {expected}.")
        labels = file["mask"]
        probability = file.get("probability")
        classes = tuple(map(str, np.atleast_1d(file["classes"]))) if "classes" in file else None
    whole = labels.dtype.kind in "bui" and labels.ndim in (2, 3) and labels.size > 0
    if not whole or labels.min() < 0 or labels.max() > (len(classes) if classes else 31):
        raise ScanError(
            f"{path}: mask has type {labels.dtype}, shape {labels.shape}"
            + (f" and values up to {labels.max()}" if labels.size else "")
            + f"; expected {expected}, with "
            + (f"the classes {', '.join(classes)}." if classes else "class ids up to 31.")
        )
    if probability is not None:
        _check_probability(probability, labels, classes, path)
    if labels.ndim == 2:
        labels = labels[None]
        probability = None if probability is None else probability[None]
    return Masks(labels.astype(np.uint8), classes, probability=probability)


def _check_probability(
    probability: np.ndarray, labels: np.ndarray, classes: Sequence[str] | None, path: Path
) -> None:
    last = probability.shape[labels.ndim :]
    outputs = max(int(labels.max()), len(classes or ())) + 1
    fits = probability.shape[: labels.ndim] == labels.shape and (
        (last == () and outputs <= 2) or (len(last) == 1 and last[0] >= outputs)
    )
    if not fits or not (probability.min() >= 0 and probability.max() <= 1):
        raise ScanError(
            f"{path}: probability has shape {probability.shape} and runs from {probability.min():g} to "
            f"{probability.max():g}; expected numbers in [0, 1] of the mask's shape {labels.shape}, of several "
            "classes with a last axis for background and each class. Leave it out if it is something else."
        )


def drawn_in(path: Path) -> int | None:
    """Return the one grey value above class ids that a picture is drawn in, None for any other file."""
    if not is_raster(read_head(path, 16)):
        return None
    values = np.unique(read_pages(path))
    return (
        int(values[-1])
        if values[-1] > 31 and set(values.tolist()) <= {0, int(values[-1])}
        else None
    )


def check_values(files: Sequence[Path]) -> None:
    """Raise when pictures of one class each are drawn in different greys, which may be classes.

    Raises
    ------
    ScanError
        Naming two of them.
    """
    first: dict[int, Path] = {}
    for file in files:
        value = drawn_in(file)
        if value is not None:
            first.setdefault(value, file)
    if len(first) > 1:
        (a, one), (b, other) = list(first.items())[:2]
        raise ScanError(
            f"{one} is drawn in the grey value {a} and {other} in {b}: are these two classes? Save masks as "
            "class ids (1, 2, 3), or all of one class in one value."
        )
