"""Where the retina lies in a B-scan, found by its two strongest edges.

Needed to say what "by chance within the retina" means when a scan has no layer masks. It is an
estimate: two lines, smooth over the scan's width, good to some pixels on a scan with contrast.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.graph import MCP

from medream.errors import ScanError

_SMOOTH = (2.0, 6.0)
_APART = 0.08
"""Share of the depth that lies at least between the vitreous' edge and the bright outer band."""


def retina_bounds(
    image: np.ndarray, valid: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the inner and outer border of the retina in a B-scan.

    The two strongest edges from dark to bright that cross the whole scan are the inner limiting
    membrane and the band of photoreceptors; below the latter the strongest edge from bright to dark is
    the outer border. Each is a shortest path (Chiu et al. 2010, doi:10.1364/OE.18.019413).

    Parameters
    ----------
    image : float array (depth, width) in [0, 1]
    valid : bool array (depth, width), optional

    Returns
    -------
    inner, outer : float arrays (width,)
        Rows, `inner < outer` in every column.

    Raises
    ------
    ScanError
        When the image is too small or has no contrast.

    Examples
    --------
    >>> image = np.zeros((64, 40)); image[20:44] = 0.4; image[38:44] = 0.9
    >>> inner, outer = retina_bounds(image)
    >>> bool(abs(inner - 20).max() <= 2), bool(abs(outer - 44).max() <= 2)
    (True, True)
    """
    image = np.asarray(image, np.float64)
    if image.ndim != 2 or min(image.shape) < 16:
        raise ScanError(
            f"The retina's borders were asked for in an image of {image.shape}; expected at least 16 x 16."
        )
    if valid is not None:
        image = np.where(valid, image, np.median(image[valid]) if valid.any() else 0.0)
    rising = ndimage.gaussian_filter(image, _SMOOTH, order=(1, 0))
    if valid is not None:  # the edge of what is missing is no edge of the retina
        rising[~ndimage.binary_erosion(valid, iterations=4, border_value=1)] = 0.0
    if not rising.any():
        raise ScanError("The image has no contrast, so that no retina can be found in it.")
    depth = len(image)
    apart = max(3, round(_APART * depth))
    first = _path(rising)
    taken = rising.copy()
    rows = np.arange(depth)[:, None]
    taken[np.abs(rows - first) < apart] = 0.0
    second = _path(taken)
    inner, band = (first, second) if first.mean() < second.mean() else (second, first)
    band = np.maximum(band, inner + apart)
    falling = np.where((rows > band) & (rows < band + 2 * apart), -rising, 0.0)
    outer = _path(falling)
    smooth = [ndimage.gaussian_filter1d(line, 4.0, mode="nearest") for line in (inner, outer)]
    inner = np.clip(smooth[0], 0, depth - 2)
    return inner, np.clip(np.maximum(smooth[1], inner + apart), 1, depth)


def _path(strength: np.ndarray) -> np.ndarray:
    """Return the row, in each column, of the path from left to right over the strongest pixels."""
    strength = np.maximum(strength, 0.0)
    scale = np.percentile(strength, 99.5) or strength.max() or 1.0
    cost = 1.02 - np.minimum(strength / scale, 1.0)
    # A free column on either side lets the path begin and end at any row.
    cost = np.pad(cost, ((0, 0), (1, 1)), constant_values=1e-6)
    search = MCP(cost, fully_connected=True)
    search.find_costs([(0, 0)], [(0, cost.shape[1] - 1)])
    path = np.array(search.traceback((0, cost.shape[1] - 1)))
    path = path[(path[:, 1] > 0) & (path[:, 1] < cost.shape[1] - 1)]
    total = np.bincount(path[:, 1] - 1, weights=path[:, 0], minlength=strength.shape[1])
    return total / np.bincount(path[:, 1] - 1, minlength=strength.shape[1])


def retina_mask(image: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Return the pixels between the borders of `retina_bounds`, bool (depth, width)."""
    inner, outer = retina_bounds(image, valid)
    rows = np.arange(len(image))[:, None]
    return (rows >= inner) & (rows < outer)
