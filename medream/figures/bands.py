"""Curves and points with their intervals, from tables that hold mean, low and high."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from medream.errors import ConfigError
from medream.figures.layout import LEGEND, legend_columns
from medream.figures.style import MM_PER_INCH, PaperFigure, Style


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
    ax: Axes, curve: pd.DataFrame, middle: str, colour: str, style: Style, **line: Any
) -> None:
    """Draw the column `middle` over "step" and, where there is one, the band from "low" to "high"."""
    curve = curve.sort_values("step")
    x, y, low, high = (curve[name].to_numpy(float) for name in ("step", middle, "low", "high"))
    ax.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    line["marker"] = "o" if np.isfinite(y).sum() < 3 else ""
    ax.plot(x, y, color=colour, markersize=2 * style.line_pt + 1.5, **line)


def legend_below(figure: PaperFigure, axes: Iterable[Axes]) -> None:
    """Write the legend of all axes below them, each name once."""
    found: dict[str, Any] = {}
    for ax in axes:
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    width_mm = figure.get_size_inches()[0] * MM_PER_INCH
    figure.legend(
        list(found.values()), list(found), loc="outside lower center",
        ncols=legend_columns(list(found), width_mm, figure.style), **LEGEND,
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
