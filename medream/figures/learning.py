"""Learning curves of many trainings: the mean of each network and how far they lie apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from medream.errors import ConfigError
from medream.figures.axes import unit_limits
from medream.figures.layout import LEGEND, legend_columns
from medream.figures.style import PALETTE, PaperFigure, Style, get_style

_BAND = (0.1, 0.9)


def learning_figure(
    histories: Mapping[str, Sequence[pd.DataFrame]],
    *,
    style: str | Style = "nature",
    columns: Mapping[str, str] | None = None,
) -> PaperFigure:
    """Draw training loss and validation Dice of several networks, each trained many times.

    The line is the mean over the trainings that have reached the epoch, the band holds their middle 80 %.
    Curves end where less than half of a network's trainings go on.

    Parameters
    ----------
    histories : {network: tables of its trainings}
        With the columns "epoch" and those of `columns`.
    style : str or Style
    columns : {column: label}
        One panel each; default: loss and validation Dice.

    Returns
    -------
    Figure

    Examples
    --------
    >>> table = pd.DataFrame({"epoch": [1, 2], "loss": [0.9, 0.5], "validation_dice": [0.1, 0.4]})
    >>> len(learning_figure({"2 levels": [table, table]}).axes)
    2
    """
    if not any(histories.values()):
        raise ConfigError(
            "There are no learning curves to draw: give the history of one training or more."
        )
    style = get_style(style)
    columns = columns or {"loss": "Training loss", "validation_dice": "Validation Dice"}
    with style.context():
        figure = PaperFigure(
            style, style.two_column_mm, 0.36 * style.two_column_mm, layout="constrained"
        )
        axes = figure.subplots(1, len(columns), squeeze=False)[0]
        for letter, ax, (column, label) in zip("abcdefgh", axes, columns.items(), strict=False):
            for place, (network, tables) in enumerate(histories.items()):
                wide = pd.concat([t.set_index("epoch")[column] for t in tables], axis=1)
                wide = wide[wide.notna().sum(axis=1) >= len(tables) / 2]
                colour = PALETTE[place % len(PALETTE)]
                low, high = (wide.quantile(q, axis=1) for q in _BAND)
                ax.fill_between(wide.index, low, high, color=colour, alpha=0.2, linewidth=0)
                marker = "o" if len(wide) < 3 else ""
                ax.plot(
                    wide.index, wide.mean(axis=1), color=colour, label=network, marker=marker, markersize=3
                )  # fmt: skip
            if column == "validation_dice":
                _show_zeros(ax, np.concatenate([line.get_ydata() for line in ax.lines]), label)
            ax.set_xlabel("Epoch")
            ax.set_ylabel(label)
            ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
            ax.margins(x=0.02)
            if len(columns) > 1:
                ax.set_title(
                    style.letters.format(letter), loc="left", weight="bold", size=style.letter_pt
                )
        names = list(histories)
        figure.legend(
            *axes[0].get_legend_handles_labels(), loc="outside lower center",
            ncols=legend_columns(names, style.two_column_mm, style), **LEGEND,
        )  # fmt: skip
    return figure


def _show_zeros(ax: Axes, values: np.ndarray, label: str) -> None:
    """Let scores run from 0 to 1, with room for lines that would hide behind the axis at 0."""
    unit_limits(ax, values)
    if ax.get_ylim() == (0, 1) and np.nanmin(values) < 0.03:
        ax.set_ylim(-0.03, 1)
    if not np.nanmax(np.abs(values)):
        ax.text(
            0.5, 0.5, f"{label} 0 in all epochs", transform=ax.transAxes, ha="center", va="center",
            color="0.4",
        )  # fmt: skip
