"""NIfTI-1: `eye.nii.gz`, with masks in `eye_mask.nii.gz`."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medream.files import atomic_file
from medream.scan import Scan
from medream.writers import stack

_COMMENT = 6  # code of a header extension that holds plain text


def write(scans: Sequence[Scan], out: Path, described: dict[str, Any], bits: int) -> None:
    """Write the images and, if there are any, the masks."""
    volume, masks = stack.images(scans, bits, out), stack.masks(scans)
    save(volume, out, described)
    if masks is not None:
        save(masks, beside(out), {**described, "holds": "mask"})


def beside(out: Path) -> Path:
    """Return the file of the masks: `eye_mask.nii.gz` for `eye.nii.gz`."""
    suffix = next(s for s in (".nii.gz", ".nii") if out.name.lower().endswith(s))
    end = len(out.name) - len(suffix)
    return out.with_name(f"{out.name[:end]}_mask{out.name[end:]}")


def save(volume: np.ndarray, out: Path, described: dict[str, Any]) -> None:
    """Save an array (bscan, depth, width) with axes (lateral, axial, B-scan).

    The affine is that of ITK's identity: x and y turn their sign between DICOM and NIfTI.
    """
    from nibabel.nifti1 import Nifti1Extension, Nifti1Image

    spacing = described["spacing_mm"]
    axial, lateral = spacing or (1.0, 1.0)
    between = described["bscan_spacing_mm"] or 1.0
    image = Nifti1Image(volume.transpose(2, 1, 0), np.diag([-lateral, -axial, between, 1.0]))
    image.header.set_xyzt_units("mm" if spacing else "unknown")
    image.header["descrip"] = f"medream {described['laterality'] or ''}".strip().encode()
    image.header.extensions.append(Nifti1Extension(_COMMENT, json.dumps(described).encode()))
    with atomic_file(out) as temporary, open(temporary, "wb") as file:
        if out.name.lower().endswith(".gz"):
            # Neither name nor time, so that equal scans give equal files.
            with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
                image.to_stream(packed)
        else:
            image.to_stream(file)
