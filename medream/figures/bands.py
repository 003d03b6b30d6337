"""Curves and points with their intervals, from tables that hold mean, low and high."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from medream.errors import ConfigError
from medream.figures.style import PaperFigure, Style


def checked_table(table: pd.DataFrame, columns: Sequence[str], what: str) -> pd.DataFrame:
    """Return a table that has rows and the columns, or say what is missing."""
    lost = [name for name in columns if name not in table.columns]
    if lost:
        raise ConfigError(
            f"The table of {what} has no column {', '.join(lost)}; expected {', '.join(columns)}."
        )
    if not len(table):
        raise ConfigError(f"There is no {what} to draw: the table has no rows.")
    return table


def draw_band(
    ax: Axes,
    x: np.ndarray,
    middle: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    colour: str,
    style: Style,
    **line: object,
) -> None:
    """Draw a curve and, where there is one, the band of its interval."""
    ax.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    marker = "o" if np.isfinite(middle).sum() < 3 else ""
    ax.plot(
        x, middle, **{"color": colour, "marker": marker, "markersize": 2 * style.line_pt + 1.5, **line}
    )  # fmt: skip


def letter_axes(axes: Iterable[Axes], style: Style) -> None:
    """Write panel letters over axes, where there are several."""
    axes = list(axes)
    for letter, ax in zip(string.ascii_lowercase, axes, strict=False):
        if len(axes) > 1:
            words = style.letters.format(letter)
            ax.set_title(words, loc="left", weight="bold", size=style.letter_pt)


def settle(figure: PaperFigure) -> PaperFigure:
    """Lay a figure out once and for all.

    matplotlib lays it out anew whenever it draws, and not always in the same way: a file would
    depend on what was written before it.
    """
    with figure.style.context():
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure
