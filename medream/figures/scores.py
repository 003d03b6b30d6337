"""Scores of people under several networks: boxes, points, and lines that join each person."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from medream.errors import ConfigError
from medream.figures.axes import unit_limits
from medream.figures.style import PALETTE, PaperFigure, Style, fit_text, get_style

_SPREAD = 0.3  # of the points of one network, sideways


def score_figure(
    scores: Mapping[str, Mapping[str, float]],
    *,
    label: str = "Dice",
    style: str | Style = "nature",
    title: str | None = None,
) -> PaperFigure:
    """Draw the scores of the same people under several networks.

    The box holds the middle half and the median, the whiskers reach the furthest score within one and a
    half times its height; every person is a point, joined over the networks.

    Parameters
    ----------
    scores : {network: {subject: score}}
        Drawn in this order; scores that are NaN are left out.
    label : str
        Of the vertical axis.
    style : str or Style
    title : str, optional

    Returns
    -------
    Figure

    Examples
    --------
    >>> figure = score_figure({"2 levels": {"a": 0.6, "b": 0.7}, "3 levels": {"a": 0.7, "b": 0.8}})
    >>> [text.get_text() for text in figure.axes[0].get_xticklabels()]
    ['2 levels', '3 levels']
    """
    if not scores:
        raise ConfigError("There are no scores to draw: give those of one network or more.")
    style = get_style(style)
    width = style.two_column_mm if len(scores) > 4 else style.one_column_mm
    subjects = sorted({subject for own in scores.values() for subject in own})
    # Each person is moved sideways by the same step under every network.
    ends = _SPREAD / 2 if len(subjects) > 1 else 0.0
    steps = np.linspace(-ends, ends, len(subjects))
    table = np.array([[own.get(s, np.nan) for s in subjects] for own in scores.values()])
    with style.context():
        figure = PaperFigure(style, width, 0.7 * style.one_column_mm, layout="constrained")
        ax = figure.add_subplot()
        for step, values in zip(steps, table.T, strict=True):
            ax.plot(
                np.arange(len(scores)) + step, values, color="0.8", linewidth=0.5 * style.line_pt, zorder=1
            )  # fmt: skip
        for x, values in enumerate(table):
            _draw(ax, x, values, steps, style)
        letters = int((width - 12.0) / len(scores) / (0.2 * style.small_pt))
        ax.set_xticks(range(len(scores)), [textwrap.fill(name, max(letters, 8)) for name in scores])
        ax.set_xlim(-0.5, len(scores) - 0.5)
        ax.set_ylabel(label)
        unit_limits(ax, table)
        if title:
            ax.set_title(fit_text(title, width - 12.0, style)[0], loc="left")
    return figure


def _draw(ax: Axes, x: int, values: np.ndarray, steps: np.ndarray, style: Style) -> None:
    colour, known = PALETTE[x % len(PALETTE)], np.isfinite(values)
    lines = {"linewidth": style.line_pt, "color": colour}
    ax.boxplot(
        values[known], positions=[x], widths=2 * _SPREAD, showfliers=False, manage_ticks=False, zorder=2,
        boxprops=lines, whiskerprops=lines, capprops=lines, medianprops={**lines, "linewidth": 2 * style.line_pt},
    )  # fmt: skip
    ax.scatter(
        x + steps[known], values[known], s=1.2 * style.small_pt, color=colour,
        edgecolors="white", linewidths=0.4 * style.line_pt, zorder=3, clip_on=False,
    )  # fmt: skip
