"""Axes that read easily: scores from 0 to 1, plain numbers on logarithmic axes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator


def unit_limits(ax: Axes, values: np.ndarray) -> None:
    """Let the vertical axis of scores run from 0 to 1, unless they lie elsewhere."""
    known = np.asarray(values)[np.isfinite(values)]
    if known.size and known.min() >= 0 and known.max() <= 1:
        ax.set_ylim(0, 1)


def logarithmic(ax: Axes, axis: Literal["x", "y"] = "x") -> None:
    """Make an axis logarithmic, with numbers such as 20 k instead of powers of ten."""
    ax.set(**{f"{axis}scale": "log"})
    own = ax.xaxis if axis == "x" else ax.yaxis
    low, high = own.get_view_interval()
    subs = (1.0,) if high > 200 * low else (1.0, 3.0) if high > 20 * low else (1.0, 2.0, 5.0)
    own.set_major_locator(LogLocator(subs=subs))
    own.set_minor_locator(NullLocator())
    thousands = 1e3 if high >= 1e4 else 1e4  # one way of writing them on one axis
    own.set_major_formatter(FuncFormatter(lambda value, _: compact(value, thousands)))


def step_ticks(ax: Axes, steps: Iterable[float], most: int = 5) -> None:
    """Set ticks at steps that were measured: all, or evenly chosen ones with the last if that goes."""
    ax.set_xticks(_chosen(sorted(set(steps)), most))


def _chosen(steps: list[float], most: int) -> list[float]:
    """Return at most so many of the steps, from the first one on.

    >>> _chosen([0, 5, 10], 5), _chosen([0, 10, 20, 30, 40, 50, 60], 5)
    ([0, 5, 10], [0, 20, 40, 60])
    """
    least = -(-len(steps) // most)
    ends = [every for every in range(least, len(steps) // 2 + 1) if (len(steps) - 1) % every == 0]
    return steps[:: ends[0] if ends else least]


def compact(value: float, thousands: float = 1e4) -> str:
    """Return a number with k, M and G for thousands, millions and milliards; k from `thousands` on.

    >>> [compact(value) for value in (0.01, 250, 20000, 1.5e6)]
    ['0.01', '250', '20 k', '1.5 M']
    """
    for least, unit, word in ((1e9, 1e9, " G"), (1e6, 1e6, " M"), (thousands, 1e3, " k")):
        if abs(value) >= least:
            return f"{value / unit:g}{word}"
    return f"{value:g}"
