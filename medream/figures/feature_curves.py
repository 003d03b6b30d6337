"""Features of what grows along an ascent, on the trained network and on re-drawn weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.metadata import version

import pandas as pd
from matplotlib.ticker import MaxNLocator

from medream.errors import ConfigError
from medream.figures.bands import checked_table, draw_band, legend_below, settle
from medream.figures.layout import line_mm
from medream.figures.style import BLUE, VERMILLION, PaperFigure, Style, fit_text, get_style

_NETWORKS = {
    "trained": ("Trained", BLUE, "-"),
    "control": ("Control (re-drawn weights)", VERMILLION, (0, (4, 2))),
}
_COLUMNS = 4
_WORDS = {
    "glcm_contrast": "GLCM contrast",
    "glcm_correlation": "GLCM correlation",
    "glcm_homogeneity": "GLCM homogeneity",
    "lbp_entropy": "LBP entropy",
}


def feature_curves_figure(
    curves: pd.DataFrame,
    region: str = "fixed",
    *,
    verdicts: Mapping[str, str] | None = None,
    style: str | Style = "nature",
) -> PaperFigure:
    """Draw features along the ascent, a small panel each, trained network against control.

    Lines are means over subjects (or over what the table was averaged over), bands their intervals.
    Every panel has its own scale. Features without a value are left out.

    Parameters
    ----------
    curves : DataFrame
        network ("trained", "control"), region, feature, step, mean, low, high, as
        `medream.evidence.curves.curves` gives them.
    region : {"fixed", "predicted"}
        Which of the table's regions. Default "fixed", the one that was ascended.
    verdicts : {feature: words}, optional
        Written behind the feature's name, such as "moved".
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
    >>> feature_curves_figure(table).axes[0].get_title(loc="left")
    'Contrast'
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
    features = list(dict.fromkeys(known.feature))
    across = min(_COLUMNS, len(features))
    down = math.ceil(len(features) / across)
    width = style.two_column_mm if across > 1 else style.one_column_mm
    wanted = (0.16 * down + 0.02) * style.two_column_mm + 2 * line_mm(style.font_pt)
    with style.context():
        figure = PaperFigure(style, width, min(wanted, style.max_height_mm), layout="constrained")
        axes = figure.subplots(down, across, sharex=True, squeeze=False)
        for ax, feature in zip(axes.flat, features, strict=False):
            own = known[known.feature == feature]
            for name in dict.fromkeys(own.network):
                words, colour, dashes = _NETWORKS.get(name, (name, "0.4", ":"))
                curve = own[own.network == name]
                draw_band(ax, curve, "mean", colour, style, label=words, linestyle=dashes)
            title = _WORDS.get(feature, feature.replace("_", " ").capitalize())
            if verdicts and feature in verdicts:
                title = f"{title}: {verdicts[feature]}"
            shown, size = fit_text(title, 0.9 * width / across, style)
            ax.set_title(shown, loc="left", fontsize=size)
            ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
            ax.yaxis.set_major_locator(MaxNLocator(3))
            ax.margins(x=0.02)
        for ax in axes.flat[len(features) :]:
            ax.remove()
        for k, ax in enumerate(axes.flat[: len(features)]):
            if k + across >= len(features):
                ax.set_xlabel("Step")
                ax.tick_params(labelbottom=True)
        legend_below(figure, axes.flat[: len(features)])
    figure.provenance = f"medream {version('medream')}"
    return settle(figure)
