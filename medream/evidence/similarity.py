"""How alike two dreams of one scan are: is it the trained network that a dream shows?"""

from __future__ import annotations

import numpy as np
from scipy import stats
from skimage.metrics import structural_similarity

from medream.errors import ConfigError

MEASURES = ("ssim", "ssim_magnitude", "spearman", "spearman_magnitude")
_LIMIT = 4.0  # standard deviations at the ends of the colour scale


def similarity(
    original: np.ndarray, dream: np.ndarray, other: np.ndarray, valid: np.ndarray | None = None
) -> dict[str, float]:
    """Compare what two dreams changed in a scan.

    The scan itself is taken off first: two dreams share it, and would be called alike for that.
    A map in diverging colour shows the sign of a change and one in plain colour its magnitude, and a
    similarity can come from either, so that both are measured as they would be seen (Adebayo et al.
    2018, arXiv:1810.03292).

    Parameters
    ----------
    original, dream, other : float arrays (depth, width) or (depth, width, 1)
        The scan and two dreams of it, such as a dream and its control.
    valid : bool array (depth, width), optional
        Pixels that count.

    Returns
    -------
    dict
        `ssim` and `spearman` of the signed changes, `ssim_magnitude` and `spearman_magnitude` of
        their magnitudes. Changes are scaled to a standard deviation of 1 first, since the step size and not
        the network sets how far a dream goes. NaN where a dream changed nothing.

    Raises
    ------
    ConfigError
        When the shapes differ or the image is smaller than SSIM's window of 7 pixels.

    Examples
    --------
    >>> scan, dream = np.zeros((16, 16)), np.random.default_rng(0).normal(size=(16, 16))
    >>> {name: round(value, 6) for name, value in similarity(scan, dream, -dream).items()}["spearman"]
    -1.0
    """
    arrays = [np.squeeze(np.asarray(each, np.float64)) for each in (original, dream, other)]
    if len({each.shape for each in arrays}) > 1 or arrays[0].ndim != 2:
        raise ConfigError(
            f"Dreams of shapes {', '.join(str(each.shape) for each in arrays)} cannot be compared; "
            "expected three grey images of one size."
        )
    if min(arrays[0].shape) < 7:
        raise ConfigError(
            f"An image of {arrays[0].shape} is smaller than SSIM's window of 7 x 7 pixels."
        )
    counted = np.ones(arrays[0].shape, bool) if valid is None else np.asarray(valid, bool)
    deltas = [np.where(counted, each - arrays[0], 0.0) for each in arrays[1:]]
    if any(delta[counted].std() < 1e-12 for delta in deltas):
        return dict.fromkeys(MEASURES, float("nan"))
    signed = [_shade(delta / delta[counted].std()) for delta in deltas]
    plain = [np.abs(2.0 * each - 1.0) for each in signed]
    found = {}
    for suffix, (a, b) in (("", signed), ("_magnitude", plain)):
        _, each = structural_similarity(a, b, data_range=1.0, full=True)
        found[f"ssim{suffix}"] = float(each[counted].mean())
    first, second = (delta[counted] for delta in deltas)
    found["spearman"] = float(stats.spearmanr(first, second).statistic)
    found["spearman_magnitude"] = float(stats.spearmanr(np.abs(first), np.abs(second)).statistic)
    return {name: found[name] for name in MEASURES}


def _shade(delta: np.ndarray) -> np.ndarray:
    """Return a change in units of its standard deviation as a picture shows it: 0.5 is none."""
    return np.clip(0.5 + delta / (2 * _LIMIT), 0.0, 1.0)
