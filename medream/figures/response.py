"""What a network says of its own dream along the ascent, beside the control."""

from __future__ import annotations

from importlib.metadata import version

import pandas as pd

from medream.figures.axes import step_ticks, unit_limits
from medream.figures.bands import checked_table, draw_band, legend_below, letter_axes, settle
from medream.figures.style import BLUE, VERMILLION, PaperFigure, Style, get_style

ASCENTS = {
    "dream": ("Dream", BLUE, "-"),
    "control": ("Control (re-drawn weights)", VERMILLION, (0, (4, 2))),
}
_LABELS = {
    "area_mm2": "Area of {} (mm²)",
    "area_px": "Area of {} (pixels)",
    "dice_first": "Dice with first {}",
    "probability_inside": "Probability of {}",
}


def response_figure(summary: pd.DataFrame, *, style: str | Style = "nature") -> PaperFigure:
    """Draw what the network sees in its dream: area, agreement with its first answer, confidence.

    Lines are means over subjects, bands their intervals of 95 % where there are any. The area is in mm²
    where that is known of every step. The probability is that where the network first saw the class.

    Parameters
    ----------
    summary : DataFrame
        ascent, step, class, measure, estimate, low, high, as
        `medream.evidence.response.summarize_response` gives them; the ascents "dream" and "control" are
        drawn, a row of panels for each class.
    style : str or Style

    Returns
    -------
    Figure

    Raises
    ------
    ConfigError
        When a column is missing, or there is nothing to draw.

    Examples
    --------
    >>> table = pd.DataFrame({"ascent": "dream", "step": [0, 10], "class": "fluid",
    ...     "measure": "area_px", "estimate": [50.0, 90.0], "low": [40.0, 70.0], "high": [60.0, 99.0]})
    >>> [ax.get_ylabel() for ax in response_figure(table).axes]
    ['Area of fluid (pixels)']
    """
    columns = ("ascent", "step", "class", "measure", "estimate", "low", "high")
    table = checked_table(summary, columns, "response along the ascent")
    table = table[table.ascent.isin(ASCENTS)]
    area = table[table.measure == "area_mm2"].estimate
    left_out = "area_px" if len(area) and area.notna().all() else "area_mm2"
    measures = [name for name in _LABELS if name in set(table.measure) and name != left_out]
    table = checked_table(table[table.measure.isin(measures)], columns, "response along the ascent")
    classes = list(dict.fromkeys(table["class"]))
    style = get_style(style)
    width = style.two_column_mm if len(measures) > 1 else style.one_column_mm
    height = (0.27 * len(classes) + 0.05) * style.two_column_mm
    with style.context():
        figure = PaperFigure(style, width, min(height, style.max_height_mm), layout="constrained")
        axes = figure.subplots(len(classes), len(measures), sharex=True, squeeze=False)
        for i, kind in enumerate(classes):
            for ax, name in zip(axes[i], measures, strict=True):
                own = table[(table["class"] == kind) & (table.measure == name)]
                for ascent, (words, colour, dashes) in ASCENTS.items():
                    curve = own[own.ascent == ascent]
                    if len(curve):
                        draw_band(
                            ax, curve, "estimate", colour, style, label=words, linestyle=dashes
                        )
                if name.startswith("area"):
                    ax.set_ylim(bottom=0.0)
                else:
                    unit_limits(ax, own[["estimate", "low", "high"]].to_numpy(float).ravel())
                ax.set_ylabel(_LABELS[name].format(kind))
                step_ticks(ax, table.step)
                ax.margins(x=0.02)
        for ax in axes[-1]:
            ax.set_xlabel("Step")
        letter_axes(axes.flat, style)
        legend_below(figure, axes.flat)
    figure.provenance = f"medream {version('medream')}"
    figure.holds = tuple(name for name in ("control",) if name in set(table.ascent))
    return settle(figure)
