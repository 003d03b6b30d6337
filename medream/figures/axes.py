"""Axes that read easily: scores from 0 to 1, plain numbers on logarithmic axes."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator


def unit_limits(ax: Axes, values: np.ndarray) -> None:
    """Let the vertical axis of scores run from 0 to 1, unless they lie elsewhere."""
    known = np.asarray(values)[np.isfinite(values)]
    if known.size and known.min() >= 0 and known.max() <= 1:
        ax.set_ylim(0, 1)


def logarithmic(ax: Axes) -> None:
    """Make the horizontal axis logarithmic, with numbers such as 20 k instead of powers of ten."""
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    subs = (1.0,) if high > 200 * low else (1.0, 3.0) if high > 20 * low else (1.0, 2.0, 5.0)
    ax.xaxis.set_major_locator(LogLocator(subs=subs))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))


def compact(value: float) -> str:
    """Return a number with k, M and G for thousands, millions and milliards.

    >>> [compact(value) for value in (0.01, 250, 20000, 1.5e6)]
    ['0.01', '250', '20 k', '1.5 M']
    """
    for least, unit, word in ((1e9, 1e9, " G"), (1e6, 1e6, " M"), (1e4, 1e3, " k")):
        if abs(value) >= least:
            return f"{value / unit:g}{word}"
    return f"{value:g}"
