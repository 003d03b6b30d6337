"""Features of what grows along an ascent, on the trained network and on re-drawn weights."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping
from importlib.metadata import version

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from medream.errors import ConfigError
from medream.figures.axes import step_ticks
from medream.figures.bands import checked_table, draw_band, legend_below, settle
from medream.figures.layout import line_mm
from medream.figures.style import (
    BLUE,
    MM_PER_INCH,
    MM_PER_POINT,
    VERMILLION,
    PaperFigure,
    Style,
    fit_text,
    get_style,
    text_width_mm,
)

_NETWORKS = {
    "trained": ("Trained", BLUE, "-"),
    "control": ("Control (re-drawn weights)", VERMILLION, (0, (4, 2))),
}
_COLUMNS = (4, 3)
_AREA = "{area}"
# Words over the panel, and the unit or the ends of the scale at its vertical axis.
_FEATURES = {
    "intensity": ("Intensity", "Scale 0 to 1"),
    "contrast": ("Contrast", "Intensity, \N{MINUS SIGN}1 to 1"),
    "deviation": ("Deviation", "Intensity, 0 to 1"),
    "glcm_contrast": ("GLCM contrast", "Grey levels squared"),
    "glcm_correlation": ("GLCM correlation", "\N{MINUS SIGN}1 to 1"),
    "glcm_homogeneity": ("GLCM homogeneity", "1: all alike"),
    "lbp_entropy": ("LBP entropy", "Bits"),
    "area": ("Area", _AREA),
    "components": ("Components", "Number"),
    "component_area": ("Component area", _AREA),
    "roundness": ("Roundness", "1: disc"),
    "elongation": ("Elongation", "0: disc"),
    "orientation": ("Orientation", "Degrees"),
    "depth": ("Depth", "0 inner, 1 outer"),
    "sharpness": ("Sharpness", "Intensity per pixel"),
    "neighbour": ("Neighbour", "Intensity, 0 to 1"),
}
_OF_THE_PLACE = (
    "area", "components", "component_area", "roundness", "elongation", "orientation", "depth",
)  # fmt: skip
_FLAT = 0.02  # of its magnitude: what spans less is drawn on an axis from 0


def feature_name(feature: str) -> str:
    """Return what a feature is called in figures.

    >>> feature_name("glcm_contrast"), feature_name("of_my_own")
    ('GLCM contrast', 'Of my own')
    """
    return _FEATURES.get(feature, (feature.replace("_", " ").capitalize(), ""))[0]


def feature_curves_figure(
    curves: pd.DataFrame,
    region: str = "fixed",
    *,
    verdicts: Mapping[str, str] | None = None,
    area_unit: str = "mm² or pixels",
    style: str | Style = "nature",
) -> PaperFigure:
    """Draw features along the ascent, a small panel each, trained network against control.

    Lines are means over subjects (or over what the table was averaged over), bands their intervals.
    Every panel has its own scale; one of a flat curve begins at 0. Features without a value are left
    out, and in the region that was ascended those of shape and place, which cannot change there.

    Parameters
    ----------
    curves : DataFrame
        network ("trained", "control"), region, feature, step, mean, low, high, as
        `medream.evidence.curves.curves` gives them.
    region : {"fixed", "predicted"}
        Which of the table's regions. Default "fixed", the one that was ascended.
    verdicts : {feature: words}, optional
        Written below the feature's name, such as "moved".
    area_unit : str
        Of the areas, "mm²" or "pixels". Default "mm² or pixels": by scan, as the spacing is known.
    style : str or Style

    Returns
    -------
    Figure

    Raises
    ------
    ConfigError
        When a column is missing, or the region has no values.

    Examples
    --------
    >>> table = pd.DataFrame({"network": "trained", "region": "fixed", "feature": "contrast",
    ...     "step": [0, 10], "mean": [0.0, 0.3], "low": [-0.1, 0.2], "high": [0.1, 0.4]})
    >>> ax = feature_curves_figure(table, verdicts={"contrast": "moved"}).axes[0]
    >>> [text.get_text() for text in ax.texts], ax.get_ylabel()
    (['Contrast', 'moved'], 'Intensity, −1 to 1')
    """
    columns = ("network", "region", "feature", "step", "mean", "low", "high")
    table = checked_table(curves, columns, "feature curves")
    known = table[(table.region == region) & table["mean"].notna()]
    if not len(known):
        raise ConfigError(
            f"There is no curve of the region {region!r} with a value; the table has the regions "
            f"{', '.join(map(repr, dict.fromkeys(table.region)))}."
        )
    style = get_style(style)
    features = [
        name for name in dict.fromkeys(known.feature)
        if region != "fixed" or name not in _OF_THE_PLACE
    ]  # fmt: skip
    if not features:
        raise ConfigError(
            "There are only features of shape and place of the ascended region, which cannot change; "
            "give others, or draw the region 'predicted'."
        )
    across = min(_COLUMNS, key=lambda count: -len(features) % count)
    across = min(across, len(features))
    down = math.ceil(len(features) / across)
    width = style.two_column_mm if across > 1 else style.one_column_mm
    wanted = (0.19 * down + 0.02) * style.two_column_mm + 2 * line_mm(style.font_pt)
    with style.context():
        figure = PaperFigure(style, width, min(wanted, style.max_height_mm), layout="constrained")
        axes = figure.subplots(down, across, sharex=True, squeeze=False)
        shown = axes.flat[: len(features)]
        heads = []
        for ax, feature, letter in zip(shown, features, string.ascii_lowercase, strict=False):
            own = known[known.feature == feature]
            for name in dict.fromkeys(own.network):
                words, colour, dashes = _NETWORKS.get(name, (name, "0.4", ":"))
                curve = own[own.network == name]
                draw_band(ax, curve, "mean", colour, style, label=words, linestyle=dashes)
            title, unit = feature_name(feature), _FEATURES.get(feature, ("", ""))[1]
            verdict = (verdicts or {}).get(feature, "")
            heads += _head(ax, letter if len(features) > 1 else "", title, verdict, style)
            words, size = fit_text(unit.format(area=area_unit), 0.1 * style.two_column_mm, style)
            ax.set_ylabel(words, fontsize=min(size, style.small_pt))
            step_ticks(ax, known.step, 4)
            ax.margins(x=0.02)
            _range(ax, own)
            ax.yaxis.set_major_locator(MaxNLocator(3, integer=feature == "components"))
        for ax in axes.flat[len(features) :]:
            ax.remove()
        for k, ax in enumerate(shown):
            if k + across >= len(features):
                ax.set_xlabel("Step")
                ax.tick_params(labelbottom=True)
        legend_below(figure, shown)
    figure.provenance = f"medream {version('medream')}"
    figure.holds = (region,)
    settle(figure)
    for text, indent_mm in heads:  # no sooner is it known how wide a panel is
        ax = text.axes
        assert ax is not None
        room = ax.get_position().width * figure.get_size_inches()[0] * MM_PER_INCH - indent_mm
        words, size = fit_text(text.get_text(), room, style)
        text.set(text=words, fontsize=min(size, text.get_fontsize()))
    return figure


def _head(
    ax: Axes, letter: str, title: str, verdict: str, style: Style
) -> list[tuple[Text, float]]:
    """Write letter and feature over a panel, the verdict below them; return texts with their indents."""
    line_pt = line_mm(style.small_pt) / MM_PER_POINT
    words = style.letters.format(letter) if letter else " "
    lower = 3.0 + (line_pt if verdict else 0.0)
    ax.set_title(words, loc="left", weight="bold", size=style.letter_pt, pad=lower)
    indent = (
        text_width_mm(words, style.letter_pt, style, "bold") + 0.1 * style.font_pt
        if letter
        else 0.0
    )
    found: list[tuple[Text, float]] = []
    for said, indent_mm, up, size in (
        (title, indent, lower, style.font_pt), (verdict, 0.0, 3.0, style.small_pt)
    ):  # fmt: skip
        if said:
            text = ax.annotate(
                said, (0, 1), (indent_mm / MM_PER_POINT, up), xycoords="axes fraction",
                textcoords="offset points", fontsize=size, annotation_clip=False,
            )  # fmt: skip
            text.set_in_layout(False)
            found.append((text, indent_mm))
    return found


def _range(ax: Axes, own: pd.DataFrame) -> None:
    """Let the axis of a curve that is flat, with its interval, begin at 0: differences are no news there."""
    values = own[["mean", "low", "high"]].to_numpy(float)
    values = values[np.isfinite(values)]
    largest = float(np.abs(values).max())
    if np.ptp(values) > _FLAT * largest:
        return
    if largest == 0:
        ax.set_ylim(-1, 1)
    elif values.min() > 0:
        ax.set_ylim(0, 1.3 * largest)
    else:
        ax.set_ylim(-1.3 * largest, 0)
