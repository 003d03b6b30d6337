"""Scores against the size of what was to be found."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from medream.errors import ConfigError
from medream.figures.axes import logarithmic, unit_limits
from medream.figures.layout import LEGEND, legend_columns
from medream.figures.style import PALETTE, PaperFigure, Style, get_style

_BINS = 6


def lesion_size_figure(
    scans: Mapping[str, pd.DataFrame],
    *,
    unit: str = "mm²",
    label: str = "Dice of the B-scan",
    style: str | Style = "nature",
) -> PaperFigure:
    """Draw the score of each B-scan against the area of its lesion.

    Each B-scan is a point. The lines join the medians of B-scans in groups of equal number, ordered by area, where
    there are enough for groups.

    Parameters
    ----------
    scans : {network: DataFrame}
        With the columns "area" (above 0) and "score".
    unit : str
        Of the area.
    label : str
    style : str or Style

    Returns
    -------
    Figure

    Examples
    --------
    >>> table = pd.DataFrame({"area": [0.01, 0.1, 0.5], "score": [0.1, 0.6, 0.8]})
    >>> lesion_size_figure({"2 levels": table}).axes[0].get_xscale()
    'log'
    """
    if not any(len(table) for table in scans.values()):
        raise ConfigError("There is no lesion to draw a score of.")
    style = get_style(style)
    with style.context():
        figure = PaperFigure(
            style, style.one_column_mm, 0.8 * style.one_column_mm, layout="constrained"
        )
        ax = figure.add_subplot()
        for place, (name, table) in enumerate(scans.items()):
            colour = PALETTE[place % len(PALETTE)]
            ax.scatter(
                table.area, table.score, s=0.7 * style.small_pt, color=colour, alpha=0.4, linewidths=0,
                clip_on=False,
            )  # fmt: skip
            groups = min(_BINS, len(table) // 5)
            if groups > 1:
                ordered = table.sort_values("area", kind="stable")
                number = np.arange(len(table)) * groups // len(table)
                middle = ordered.groupby(number)[["area", "score"]].median()
                ax.plot(
                    middle.area, middle.score, color=colour, marker="o", markersize=2.5, label=name
                )
            else:
                ax.plot([], [], color=colour, marker="o", markersize=2.5, linestyle="", label=name)
        logarithmic(ax)
        ax.set_xlabel(f"Area of the lesion ({unit})")
        ax.set_ylabel(label)
        unit_limits(ax, np.concatenate([table.score for table in scans.values()]))
        figure.legend(
            loc="outside lower center", ncols=legend_columns(list(scans), style.one_column_mm, style), **LEGEND
        )  # fmt: skip
    return figure
