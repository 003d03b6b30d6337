"""Scans -> a file of a volume, or a folder of pictures, with spacing, order, eye and subject.

To add a format: a file here with `write(scans, out, described, bits)`, and a line in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medream.description import describe
from medream.errors import ConfigError, OutputError, nearest
from medream.scan import Scan
from medream.writers import metaimage, nifti, numpy_file, pictures, stack

__all__ = ["FORMATS", "Format", "format_of", "write_masks", "write_scans"]

_DEPTHS = (8, 16)


@dataclass(frozen=True)
class Format:
    """A format that scans can be written in; no suffixes mean a folder."""

    suffixes: tuple[str, ...]
    write: Callable[[Sequence[Scan], Path, dict[str, Any], int], None]


FORMATS = {
    "nifti": Format((".nii.gz", ".nii"), nifti.write),
    "metaimage": Format((".mha",), metaimage.write),
    "npz": Format((".npz",), numpy_file.write),
    "png": Format((), pictures.write),
}


def format_of(out: str | Path) -> str | None:
    """Return the format that a name's suffix asks for, or None.

    >>> format_of("eye.nii.gz"), format_of("some/folder")
    ('nifti', None)
    """
    name = Path(out).name.lower()
    return next(
        (key for key, f in FORMATS.items() if f.suffixes and name.endswith(f.suffixes)), None
    )


def write_scans(
    scans: Sequence[Scan],
    out: str | Path,
    format: str | None = None,
    *,
    bits: int = 16,
    bscan_spacing_mm: float | None = None,
    split: str | None = None,
) -> Path:
    """Write the B-scans of one volume, whole or not at all.

    `nifti` and `metaimage` hold the axes (lateral, axial, B-scan), as ITK reads a stack of
    pictures, and put masks into a second file `..._mask`; `npz` holds everything in one file;
    `png` is a folder of pictures and masks that `read_scans` and `open_dataset` both read. What a
    format has no field for is in a description (see `medream.description`). Which pixels are
    valid is kept by `npz` and `png`, and found anew by the readers of the others.

    Parameters
    ----------
    scans : sequence of Scan
        In order of acquisition, of one volume. The numbers in `bscan_index` are not kept.
    out : path
        File, or folder for "png".
    format : {"nifti", "metaimage", "npz", "png"}, optional
        By default as the suffix of `out` says.
    bits : {8, 16}
        The interval [0, 1] is stored as 0 to 255 or 0 to 65535.
    bscan_spacing_mm : float, optional
        Distance between neighbouring B-scans. NIfTI and MetaImage say 1 where it is unknown.
    split : {"train", "validation", "test"}, optional
        The part of a data set that the volume belongs to.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    ConfigError
        When format or bits are unknown.
    OutputError
        When the scans are not of one volume, or cannot be written there.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from medream.readers import read_scans
    >>> scans = [Scan(np.full((4, 6), k / 4, "float32")) for k in range(3)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = read_scans(write_scans(scans, f"{folder}/volume.npz"))
    >>> [round(float(scan.image[0, 0]), 2) for scan in again]
    [0.0, 0.25, 0.5]
    """
    out = Path(out)
    chosen = format or format_of(out)
    if chosen is None:
        raise ConfigError(
            f"{out} has no suffix that names a format; expected "
            f"{', '.join(s for f in FORMATS.values() for s in f.suffixes)}, or a format of "
            f"{', '.join(FORMATS)}."
        )
    if chosen not in FORMATS:
        raise ConfigError(f"Unknown format {chosen!r}. {nearest(chosen, FORMATS)}")
    suffixes = FORMATS[chosen].suffixes
    if suffixes and not out.name.lower().endswith(suffixes):
        raise ConfigError(f"{out}: a file of the format {chosen} ends in {' or '.join(suffixes)}.")
    if bits not in _DEPTHS:
        raise ConfigError(f"bits is {bits}; expected 8 or 16.")
    FORMATS[chosen].write(list(scans), out, describe(scans, bscan_spacing_mm, split), bits)
    return out


def write_masks(
    scans: Sequence[Scan], out: str | Path, *, bscan_spacing_mm: float | None = None
) -> Path:
    """Write the masks alone of one volume as a NIfTI label volume (`.nii.gz`, `.nii`).

    Arguments, axes and errors are those of `write_scans`.
    """
    out = Path(out)
    masks = stack.masks(scans)
    if masks is None:
        raise OutputError(f"{out}: the scans have no masks to write.")
    nifti.save(masks, out, {**describe(scans, bscan_spacing_mm), "holds": "mask"})
    return out
