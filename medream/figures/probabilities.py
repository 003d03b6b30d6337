"""What predicted probabilities are worth: precision against recall, and calibration."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from medream.errors import ConfigError
from medream.figures.layout import LEGEND, legend_columns, line_mm
from medream.figures.style import MM_PER_INCH, PALETTE, PaperFigure, Style, get_style


def precision_recall_figure(
    curves: Mapping[str, pd.DataFrame],
    *,
    areas: Mapping[str, float] | None = None,
    area_name: str = "AP",
    prevalence: float | None = None,
    style: str | Style = "nature",
) -> PaperFigure:
    """Draw precision against recall of several networks.

    Parameters
    ----------
    curves : {network: DataFrame of `metrics.precision_recall_curve`}
    areas : {network: average precision}, optional
        For the legend.
    area_name : str
        What the legend calls it, such as "pooled AP".
    prevalence : float in [0, 1], optional
        Share of lesion pixels, the precision of a guess, as a dotted line.
    style : str or Style

    Returns
    -------
    Figure

    Examples
    --------
    >>> curve = pd.DataFrame({"recall": [1.0, 0.5], "precision": [0.2, 0.9]})
    >>> figure = precision_recall_figure({"2 levels": curve}, areas={"2 levels": 0.61})
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['2 levels, AP 0.610']
    """

    def draw(ax: Axes) -> None:
        if prevalence is not None:
            ax.axhline(prevalence, color="0.5", linestyle=":", label=f"guess, {prevalence:.3f}")
        for place, (name, curve) in enumerate(curves.items()):
            shown = f"{name}, {area_name} {areas[name]:.3f}" if areas else name
            colour = PALETTE[place % len(PALETTE)]
            ax.plot(curve.recall, curve.precision, color=colour, label=shown, clip_on=False)
        ax.set_xlabel("Recall")
        ax.set_ylabel("Precision")

    return _square(curves, style, draw)


def calibration_figure(
    curves: Mapping[str, pd.DataFrame],
    *,
    errors: Mapping[str, float] | None = None,
    error_name: str = "ECE",
    style: str | Style = "nature",
) -> PaperFigure:
    """Draw how often pixels are lesion against how often networks said so.

    Points on the diagonal are said as often as they are so; below it the network is too sure. The larger a
    point, the more pixels it stands for (area by the logarithm of their number).

    Parameters
    ----------
    curves : {network: DataFrame of `metrics.calibration_curve`}
        Bins without pixels are left out.
    errors : {network: expected calibration error}, optional
        For the legend.
    error_name : str
        What the legend calls it, such as "pooled ECE".
    style : str or Style

    Returns
    -------
    Figure

    Examples
    --------
    >>> bins = {"probability": [0.1, 0.8], "frequency": [0.05, 0.9], "pixels": [900, 100]}
    >>> figure = calibration_figure({"2 levels": pd.DataFrame(bins)})
    >>> figure.axes[0].get_xlabel()
    'Predicted probability'
    """

    def draw(ax: Axes) -> None:
        ax.plot([0, 1], [0, 1], color="0.5", linestyle=":", label="perfect calibration")
        for place, (name, curve) in enumerate(curves.items()):
            colour = PALETTE[place % len(PALETTE)]
            known = curve[curve.pixels > 0]
            shown = f"{name}, {error_name} {errors[name]:.3g}" if errors else name
            ax.plot(known.probability, known.frequency, color=colour, label=shown, clip_on=False)
            ax.scatter(
                known.probability, known.frequency, s=2 * np.log10(1 + known.pixels), color=colour,
                clip_on=False, zorder=3,
            )  # fmt: skip
        ax.set_xlabel("Predicted probability")
        ax.set_ylabel("Frequency of lesion")

    return _square(curves, style, draw)


def _square(
    curves: Mapping[str, pd.DataFrame], style: str | Style, draw: Callable[[Axes], None]
) -> PaperFigure:
    """Let `draw` fill a square from 0 to 1 on both axes."""
    if not curves:
        raise ConfigError("There are no curves to draw: give that of one network or more.")
    style = get_style(style)
    width = style.one_column_mm
    with style.context():
        figure = PaperFigure(style, width, width, layout="constrained")
        ax = figure.add_subplot()
        draw(ax)
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1)
        ax.set_aspect("equal")
        names = [str(name) for name in ax.get_legend_handles_labels()[1]]
        columns = legend_columns(names, width, style)
        below = -(-len(names) // columns) * line_mm(style.small_pt)
        figure.set_figheight((0.92 * width + below) / MM_PER_INCH)  # the square fills the width
        figure.legend(
            *ax.get_legend_handles_labels(), loc="outside lower center", ncols=columns, **LEGEND
        )  # fmt: skip
    return figure
