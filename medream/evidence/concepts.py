"""What can be named in a scan: its classes, the lesions' border, and the zones of the eye around them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from medream.errors import ScanError
from medream.evidence.localization import Shifts
from medream.evidence.retina import retina_bounds
from medream.scan import Scan

LESION, BORDER = "lesion", "lesion border"
ZONES = ("vitreous", "background retina", "choroid")
BORDER_PX = 2
"""Pixels that the border reaches to either side."""
_LAYERS = {
    "ILM", "NFL", "RNFL", "GCL", "GCC", "IPL", "INL", "OPL", "ONL", "ELM", "EZ", "IS", "OS", "IZ", "RPE",
    "BM", "RETINA", "CHOROID", "VITREOUS", "SCLERA", "LAYER",
}  # fmt: skip


def is_lesion(name: str) -> bool:
    """Tell whether a class is a lesion and no layer or tissue, by the words of its name.

    >>> is_lesion("IRF"), is_lesion("GCL-IPL"), is_lesion("layer2")
    (True, False, False)
    """
    return not _LAYERS & set(re.findall(r"[A-Z]+", name.upper()))


class Concepts:
    """The concepts of one scan, and the same ones elsewhere in it.

    Parameters
    ----------
    scan : Scan
        Without a mask it has but the vitreous and the choroid, without contrast no zones.
    seed : int or sequence of int
        Of the places elsewhere.

    Attributes
    ----------
    masks : dict of str to bool array (depth, width)
        Each class by its name; "lesion", the union, where there are several lesion classes;
        "lesion border", within `BORDER_PX` pixels of the border of the union; "vitreous", "background
        retina" (without lesion) and "choroid" (all that lies below), as `retina_bounds` sees them.
        Layers, where they are classes of the mask, by their names.

    Examples
    --------
    >>> image = np.full((64, 40), 0.05, np.float32); image[20:44] = 0.4; image[38:44] = 0.9
    >>> mask = np.zeros((64, 40), np.uint8); mask[25:30, 10:20] = 1
    >>> found = Concepts(Scan(image, mask))
    >>> list(found.masks)
    ['fluid', 'lesion border', 'vitreous', 'background retina', 'choroid']
    >>> found.elsewhere()["fluid"].sum() > 0
    np.True_
    """

    def __init__(self, scan: Scan, seed: int | Sequence[int] = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self.shape = scan.shape
        self.masks: dict[str, np.ndarray] = {}
        lesion = np.zeros(scan.shape, bool)
        if scan.mask is not None:
            self.masks = {name: scan.mask == k for k, name in enumerate(scan.classes, start=1)}
            lesions = [name for name in scan.classes if is_lesion(name)]
            lesion = np.logical_or.reduce([lesion, *(self.masks[name] for name in lesions)])
            if len(lesions) > 1:
                self.masks[LESION] = lesion
            if lesions:
                self.masks[BORDER] = _border(lesion)
        depth, width = scan.shape
        try:
            inner, outer = retina_bounds(scan.image, scan.valid)
        except ScanError:
            self._shifts = Shifts(np.zeros(width), np.full(width, float(depth)), depth)
            return
        self._shifts = Shifts(inner, outer, depth)
        rows = np.arange(depth)[:, None]
        zones = (rows < inner, self._shifts.retina & ~lesion, rows >= outer)
        for name, zone in zip(ZONES, zones, strict=True):
            if scan.mask is not None or name != "background retina":
                self.masks.setdefault(name, zone)

    def elsewhere(self) -> dict[str, np.ndarray]:
        """Return every concept at one random place: zones rolled over the scan, others within the retina.

        Within the retina a mask keeps its shape (`localization.Shifts`), so that a unit which merely
        finds the retina, or everything dark in the scan, gains nothing.
        """
        depth, width = self.shape
        least = max(1, width // 20)
        lateral = int(self._rng.integers(least, max(width - least, least) + 1))
        axial = float(self._rng.random())
        return {
            name: np.roll(mask, (round(axial * depth), lateral), (0, 1))
            if name in ZONES
            else self._shifts.shift(mask, lateral, axial)
            for name, mask in self.masks.items()
        }


def _border(mask: np.ndarray) -> np.ndarray:
    around = np.ones((3, 3), bool)
    outer = ndimage.binary_dilation(mask, around, BORDER_PX)
    return outer & ~ndimage.binary_erosion(mask, around, BORDER_PX, border_value=1)
