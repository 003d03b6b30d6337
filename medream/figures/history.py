"""The objective along the ascent, as curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from medream.errors import ConfigError
from medream.figures.layout import LEGEND, legend_columns
from medream.figures.style import PaperFigure, Style, fit_text, get_style


def history_figure(
    histories: Mapping[str, Any], *, style: str | Style = "nature", title: str | None = None
) -> PaperFigure:
    """Plot the objective along the ascent.

    Parameters
    ----------
    histories : dict of str to sequence of float
        Label of each curve and its objective before each step and after the last.
    style : str or Style
    title : str, optional

    Returns
    -------
    Figure

    Examples
    --------
    >>> len(history_figure({"dec1_conv2": [0.0, 0.5, 0.8]}).axes[0].lines)
    1
    """
    if not histories:
        raise ConfigError("There is no history to draw: give at least one curve.")
    style = get_style(style)
    with style.context():
        figure = PaperFigure(
            style, style.one_column_mm, 0.62 * style.one_column_mm, layout="constrained"
        )
        ax = figure.add_subplot()
        lines = ("-", "--", ":", "-.")
        for i, (label, values) in enumerate(histories.items()):
            way = lines[i // 7 % len(lines)]  # after the palette's seven colours
            marker = "o" if len(values) < 3 else ""
            ax.plot(np.arange(len(values)), values, way, marker=marker, label=label, markersize=3)
        only = f" {next(iter(histories))}" if len(histories) == 1 else ""
        label, size = fit_text("Objective" + only, 0.5 * style.one_column_mm, style)
        ax.set_xlabel("Step")
        ax.set_ylabel(label, fontsize=size)
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
        ax.margins(x=0.02)
        if title:
            ax.set_title(title, loc="left")
        if len(histories) > 1:
            columns = legend_columns(list(histories), style.one_column_mm, style)
            figure.legend(loc="outside lower center", ncols=columns, **LEGEND)
    return figure
