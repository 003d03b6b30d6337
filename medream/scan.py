"""`Scan`: one B-scan with its mask, spacing and origin, checked once when it is made."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from medream.errors import ScanError

LATERALITIES = ("OD", "OS")
_BITS_OF_ONE = np.float32(1).view(np.uint32)


@dataclass(frozen=True)
class Source:
    """Where a scan comes from. Identifiers are pseudonymous: no names, no dates of birth.

    Parameters
    ----------
    dataset, subject_id, volume_id : str
        `subject_id` is the unit of every split; `volume_id` groups the B-scans of one volume.
    bscan_index : int
        Position of the B-scan in its volume, from 0.
    laterality : {"OD", "OS"} or None
        Right or left eye; None when the file does not say.
    device : str or None
        Device as named by the file or the data set.
    path, sha256 : str or None
        The file that was read and the hash of its bytes; the hash is None for B-scans of a
        volume's file, which is hashed when a run is recorded.
    """

    dataset: str = "unknown"
    subject_id: str = "unknown"
    volume_id: str = "unknown"
    bscan_index: int = 0
    laterality: str | None = None
    device: str | None = None
    path: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        if self.laterality is not None and self.laterality not in LATERALITIES:
            raise ScanError(
                f"Laterality {self.laterality!r} of subject {self.subject_id!r} is unknown: "
                "expected 'OD' (right eye), 'OS' (left eye) or None."
            )

    @property
    def name(self) -> str:
        """Short name for tables and file names: subject, volume when it differs, B-scan.

        A picture keeps its file's name, which may count from 0 or 1; a B-scan of a volume, or of a TIFF
        file, which may be one, is counted from 0.
        """
        parts = [self.subject_id]
        if self.volume_id not in (self.subject_id, "unknown"):
            parts.append(self.volume_id)
        whose = "_".join(parts)
        if self.picture is None or self.picture.lower().endswith((".tif", ".tiff")):  # or a stack
            return f"{whose}_bscan{self.bscan_index:03d}"
        stem = self.picture.rpartition(".")[0].removeprefix(self.subject_id).lstrip("_- ")
        return f"{whose}_{stem}" if stem else whose

    @property
    def picture(self) -> str | None:
        """File name of a scan that is one picture; None for volumes, whose names may tell people."""
        suffix = (self.path or "").lower().rpartition(".")[2]
        if self.path is None or suffix not in ("png", "jpg", "jpeg", "tif", "tiff", "bmp"):
            return None
        return self.path.replace("\\", "/").rpartition("/")[2]


@dataclass(frozen=True, eq=False)
class Scan:
    """A B-scan in medream's one intensity space.

    Parameters
    ----------
    image : ndarray, float32, shape (depth, width)
        Intensities in [0, 1].
    mask : ndarray, uint8, shape (depth, width), or None
        0 is background, `k` is `classes[k - 1]`. None when there is no reference.
    classes : tuple of str
        Names of the mask values 1, 2, ...
    valid : ndarray, bool, shape (depth, width), or None
        False where the pixel is no tissue signal (registration wedge, plot margin);
        None when every pixel counts.
    spacing_mm : (axial, lateral) in millimetres, or None when unknown
    source : Source

    Raises
    ------
    ScanError
        When shapes, types, ranges or labels do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> scan = Scan(np.zeros((4, 6), "float32"), spacing_mm=(0.004, 0.011))
    >>> scan.shape
    (4, 6)
    """

    image: np.ndarray
    mask: np.ndarray | None = None
    classes: tuple[str, ...] = ("fluid",)
    valid: np.ndarray | None = None
    spacing_mm: tuple[float, float] | None = None
    source: Source = field(default_factory=Source)

    def __post_init__(self) -> None:
        where = self.source.path or self.source.name
        image = self.image
        if not isinstance(image, np.ndarray) or image.ndim != 2 or 0 in image.shape:
            shape = getattr(image, "shape", type(image).__name__)
            raise ScanError(f"{where}: a B-scan is a (depth, width) array, got {shape}.")
        if image.dtype != np.float32:
            raise ScanError(
                f"{where}: image has type {image.dtype}, expected float32 in [0, 1]; divide by the "
                "full range of the file's type."
            )
        # The bits of numbers from 0 to 1 count up; negative ones, infinity and NaN lie above them.
        if image.view(np.uint32).max() > _BITS_OF_ONE:
            low, high = float(image.min()), float(image.max())
            if not (low >= 0.0 and high <= 1.0):  # also catches NaN; -0.0 is 0
                raise ScanError(
                    f"{where}: intensities run from {low:g} to {high:g}, expected finite values in "
                    "[0, 1]."
                )
        for label, array, kind in (("mask", self.mask, np.uint8), ("valid", self.valid, np.bool_)):
            if array is None:
                continue
            if array.shape != image.shape:
                raise ScanError(
                    f"{where}: {label} has shape {array.shape}, the image {image.shape}; "
                    "they must be of the same size."
                )
            if array.dtype != kind:
                raise ScanError(
                    f"{where}: {label} has type {array.dtype}, expected {np.dtype(kind)}."
                )
        if self.mask is not None and int(self.mask.max()) > len(self.classes):
            raise ScanError(
                f"{where}: mask holds the value {int(self.mask.max())} but only "
                f"{len(self.classes)} classes are named ({', '.join(self.classes)})."
            )
        if self.spacing_mm is not None:
            spacing = tuple(float(s) for s in self.spacing_mm)
            if len(spacing) != 2 or not all(np.isfinite(s) and s > 0 for s in spacing):
                raise ScanError(
                    f"{where}: spacing_mm is {self.spacing_mm}, expected (axial, lateral) in "
                    "millimetres, both positive, or None."
                )
            object.__setattr__(self, "spacing_mm", spacing)
        object.__setattr__(self, "classes", tuple(self.classes))

    def with_source(self, source: Source) -> Scan:
        """Return the same scan with another origin, without checking its pixels again."""
        scan = copy.copy(self)
        object.__setattr__(scan, "source", source)
        return scan

    @property
    def shape(self) -> tuple[int, int]:
        """(depth, width) in pixels."""
        depth, width = self.image.shape
        return depth, width


def sources_of(scans: Iterable[Scan]) -> Iterable[Source]:
    """Return the origins of scans, without reading pixels where the sequence knows them."""
    known: Iterable[Source] | None = getattr(scans, "sources", None)
    return (scan.source for scan in scans) if known is None else known
