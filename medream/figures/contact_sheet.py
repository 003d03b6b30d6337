"""A sheet of small pictures, to see at a glance what a file or folder holds."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageOps

from medream.scan import Scan

_GAP = 4
_LABEL = 12  # rows of pixels for the name under each picture


def contact_sheet(scans: Sequence[Scan], columns: int = 6, width: int = 240) -> Image.Image:
    """Put B-scans side by side in rows, each with its name.

    Parameters
    ----------
    scans : sequence of Scan, not empty
    columns : int
        Pictures in a row.
    width : int
        Of each picture in pixels; its depth follows from the pixels, not from the spacing.

    Returns
    -------
    PIL.Image.Image
        Grey, 8 bit.

    Examples
    --------
    >>> import numpy as np
    >>> contact_sheet([Scan(np.zeros((40, 80), "float32"))] * 3, columns=2, width=40).size
    (92, 76)
    """
    columns = min(columns, len(scans))
    depth = max(max(1, round(width * scan.shape[0] / scan.shape[1])) for scan in scans)
    depth = min(depth, 2 * width)
    rows = -(-len(scans) // columns)
    step_x, step_y = width + _GAP, depth + _LABEL + _GAP
    sheet = Image.new("L", (columns * step_x + _GAP, rows * step_y + _GAP), 255)
    draw = ImageDraw.Draw(sheet)
    for k, scan in enumerate(scans):
        x, y = _GAP + k % columns * step_x, _GAP + k // columns * step_y
        small = Image.fromarray((scan.image * 255).round().astype("uint8"))
        small = ImageOps.contain(small, (width, depth))
        sheet.paste(small, (x, y))
        name = scan.source.name
        draw.text(
            (x, y + depth), name if len(name) < width // 6 else "..." + name[3 - width // 6 :]
        )
    return sheet
