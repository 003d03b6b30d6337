"""NumPy: `eye.npz` with image, mask, valid pixels, classes, spacing and description."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medream.files import atomic_file
from medream.scan import Scan
from medream.writers import stack


def write(scans: Sequence[Scan], out: Path, described: dict[str, Any], bits: int) -> None:
    """Write everything into one file."""
    content: dict[str, Any] = {"image": stack.images(scans, bits, out)}
    masks = stack.masks(scans)
    if masks is not None:
        content["mask"] = masks
    if any(scan.valid is not None for scan in scans):
        content["valid"] = np.stack(
            [np.ones(scan.shape, bool) if scan.valid is None else scan.valid for scan in scans]
        )
    content["classes"] = np.array(described["classes"])
    if described["spacing_mm"] is not None:
        content["spacing_mm"] = np.array(described["spacing_mm"])
    content["description"] = np.array(json.dumps(described))
    with atomic_file(out) as temporary:
        np.savez_compressed(temporary, **content)
