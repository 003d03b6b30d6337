"""Dice on another device against the number of its scans that a network has learned from."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from medream.errors import ConfigError
from medream.figures.axes import unit_limits
from medream.figures.layout import LEGEND
from medream.figures.style import PALETTE, PaperFigure, Style, get_style


def adaptation_figure(curve: pd.DataFrame, *, style: str | Style = "nature") -> PaperFigure:
    """Draw the learning curve over the number of target scans.

    Parameters
    ----------
    curve : DataFrame
        Columns way, scans, dice, low, high, as `adaptation.learning_curve` gives them. A way with 0
        scans is drawn as a horizontal line.
    style : str or Style

    Returns
    -------
    Figure

    Raises
    ------
    ConfigError
        When the curve is empty.

    Examples
    --------
    >>> table = pd.DataFrame({"way": "adapted", "scans": [1, 2], "dice": [0.3, 0.4],
    ...                       "low": [0.2, 0.3], "high": [0.4, 0.5]})
    >>> len(adaptation_figure(table).axes)
    1
    """
    if not len(curve):
        raise ConfigError("There is no learning curve to draw.")
    style = get_style(style)
    with style.context():
        width = style.one_column_mm
        figure = PaperFigure(style, width, 0.85 * width, layout="constrained")
        ax = figure.subplots()
        for place, (way, rows) in enumerate(curve.groupby("way", sort=False)):
            colour = PALETTE[place % len(PALETTE)]
            if (rows.scans == 0).all():
                row = rows.iloc[0]
                ax.axhline(row.dice, color=colour, linestyle="--", label=way)
                if np.isfinite(row.low):
                    ax.axhspan(row.low, row.high, color=colour, alpha=0.12, linewidth=0)
                continue
            rows = rows.sort_values("scans")
            ax.plot(rows.scans, rows.dice, color=colour, label=way, marker="o", markersize=3)
            ax.fill_between(rows.scans, rows.low, rows.high, color=colour, alpha=0.2, linewidth=0)
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        ax.set_xlabel("Training scans of the target")
        ax.set_ylabel("Dice on its test subjects")
        unit_limits(ax, curve[["dice", "low", "high"]].to_numpy(float).ravel())
        figure.legend(
            *ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, **LEGEND
        )
    return figure
