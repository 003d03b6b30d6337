"""A score beside what it costs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from medream.errors import ConfigError
from medream.figures.axes import logarithmic, unit_limits
from medream.figures.layout import LEGEND, legend_columns
from medream.figures.style import PALETTE, PaperFigure, Style, get_style


def cost_figure(
    table: pd.DataFrame,
    costs: Mapping[str, str],
    *,
    label: str = "Mean Dice of the subjects",
    style: str | Style = "nature",
) -> PaperFigure:
    """Draw the score of networks against each of their costs, a panel for each.

    Parameters
    ----------
    table : DataFrame, one row a network
        network, score, low, high (interval of the score; NaN for none), and the columns of `costs`.
    costs : {column: label}
        Costs that are missing for all networks are left out.
    label : str
        Of the score.
    style : str or Style

    Returns
    -------
    Figure

    Examples
    --------
    >>> rows = {"network": ["2 levels", "3 levels"], "score": [0.6, 0.7], "low": [0.5, 0.6],
    ...         "high": [0.7, 0.8], "parameters": [1e5, 4e5]}
    >>> figure = cost_figure(pd.DataFrame(rows), {"parameters": "Parameters"})
    >>> figure.axes[0].get_xlabel()
    'Parameters'
    """
    shown = {name: text for name, text in costs.items() if table[name].notna().any()}
    if not len(table) or not shown:
        raise ConfigError("There are no costs to draw.")
    style = get_style(style)
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    width = style.two_column_mm if columns > 1 else style.one_column_mm
    with style.context():
        figure = PaperFigure(
            style, width, (0.27 * rows + 0.05) * style.two_column_mm, layout="constrained"
        )
        axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for letter, ax, (name, text) in zip("abcdefgh", axes.flat, shown.items(), strict=False):
            for place, row in enumerate(table.to_dict("records")):
                colour = PALETTE[place % len(PALETTE)]
                reach = [[row["score"] - row["low"]], [row["high"] - row["score"]]]
                known = np.isfinite(reach).all()
                ax.errorbar(
                    row[name], row["score"], yerr=reach if known else None, color=colour, marker="o",
                    markersize=3, linestyle="", capsize=2, label=row["network"],
                    clip_on=False, zorder=3,
                )  # fmt: skip
            ax.set_xlabel(text)
            values = table[name].dropna()
            ax.margins(x=0.2)
            if values.min() > 0 and values.max() > 3 * values.min():
                logarithmic(ax)
            else:
                # Costs that hardly differ shall look so.
                least = 0.02 * values.abs().max()
                middle, half = (values.max() + values.min()) / 2, 0.7 * np.ptp(values)
                ax.set_xlim(middle - max(half, least), middle + max(half, least))
                ax.xaxis.set_major_locator(MaxNLocator(3))
                ax.ticklabel_format(axis="x", useOffset=False)
            if len(shown) > 1:
                ax.set_title(
                    style.letters.format(letter), loc="left", weight="bold", size=style.letter_pt
                )
        unit_limits(axes[0, 0], table[["score", "low", "high"]].to_numpy(float).ravel())
        for ax in list(axes.flat)[len(shown) :]:
            ax.remove()
        for ax in axes[:, 0]:
            ax.set_ylabel(label)
        figure.legend(
            *axes[0, 0].get_legend_handles_labels(), loc="outside lower center",
            ncols=legend_columns(table.network.tolist(), width, style), **LEGEND,
        )  # fmt: skip
    return figure
