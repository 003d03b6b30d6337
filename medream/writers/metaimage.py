"""MetaImage: `eye.mha`, header and pixels in one file, with masks in `eye_mask.mha`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medream.files import atomic_file
from medream.scan import Scan
from medream.writers import stack

_TYPES = {np.dtype(np.uint8): "MET_UCHAR", np.dtype(np.uint16): "MET_USHORT"}


def write(scans: Sequence[Scan], out: Path, described: dict[str, Any], bits: int) -> None:
    """Write the images and, if there are any, the masks."""
    volume, masks = stack.images(scans, bits, out), stack.masks(scans)
    save(volume, out, described)
    if masks is not None:
        place = out.with_name(f"{out.stem}_mask{out.suffix}")
        save(masks, place, {**described, "holds": "mask"})


def save(volume: np.ndarray, out: Path, described: dict[str, Any]) -> None:
    """Save an array (bscan, depth, width) with x lateral, y axial, z from B-scan to B-scan."""
    fields = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "0 0 0",
        "CenterOfRotation": "0 0 0",
    }
    if described["spacing_mm"] is not None:
        axial, lateral = described["spacing_mm"]
        fields["ElementSpacing"] = f"{lateral!r} {axial!r} {described['bscan_spacing_mm'] or 1.0!r}"
    bscans, depth, width = volume.shape
    fields |= {
        "DimSize": f"{width} {depth} {bscans}",
        "MedreamDescription": json.dumps(described),
        "ElementType": _TYPES[volume.dtype],
        "ElementDataFile": "LOCAL",
    }
    head = "".join(f"{name} = {value}\n" for name, value in fields.items())
    with atomic_file(out) as temporary, open(temporary, "wb") as file:
        file.write(head.encode("ascii"))
        volume.astype(volume.dtype.newbyteorder("<"), copy=False).tofile(file)
