"""Predictions as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def save_pictures(folder: Path, name: str, scan: Any, found: Any) -> None:
    """Save a prediction as a mask and as an overlay: predictions/NAME.png, overlays/NAME.png."""
    import numpy as np
    from PIL import Image

    from medream.figures import overlay_image

    for place in ("predictions", "overlays"):
        (folder / place).mkdir(exist_ok=True)
    mask = found.mask * np.uint8(255) if len(found.classes) == 1 else found.mask
    Image.fromarray(mask).save(folder / "predictions" / f"{name}.png")
    Image.fromarray(overlay_image(scan.image, scan.mask, found.mask)).save(
        folder / "overlays" / f"{name}.png"
    )
