"""Where maps put their energy: at lesions against chance, and by distance from their borders."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.lines import Line2D

from medream.errors import ConfigError
from medream.figures.axes import compact, logarithmic
from medream.figures.bands import checked_table, letter_axes, settle
from medream.figures.layout import LEGEND, legend_columns
from medream.figures.style import PALETTE, PaperFigure, Style, fit_text, get_style, text_width_mm

_MEASURES = {
    "relevance_mass": "Relevance mass",
    "relevance_rank": "Relevance rank",
    "pointing": "Pointing game",
}
_MARKERS = "osD^vPX"  # beside the colours, for those who do not tell these apart
_SPREAD = 0.25
_LEAST = 0.01  # the smallest ratio that is told from 0


def localization_figure(
    enrichment: pd.DataFrame,
    distances: Mapping[str, pd.DataFrame] | None = None,
    summary: pd.DataFrame | None = None,
    *,
    style: str | Style = "nature",
) -> PaperFigure:
    """Draw how many times chance a map's energy lies at lesions, and its density around them.

    Above, a panel for each measure: subjects are points over the name of the map, with the mean and its
    interval beside them. Below, the density by distance from the lesion's border, 1 being that of an
    even map; the inside of the lesion is grey. Ratios have logarithmic axes; what is 0, or less than a
    hundredth, lies on the lower edge, and the axis says so.

    Parameters
    ----------
    enrichment : DataFrame
        One row per map and subject: `map`, `subject`, and a column per measure with the ratio to
        chance, as `medream.evidence.localization.enrichment_by_subject` gives it. NaN is left out.
    distances : {map: DataFrame}, optional
        from_um, to_um, density, as `energy_by_distance` gives them, all with the same edges; a band
        is drawn where there are also `low` and `high`.
    summary : DataFrame, optional
        `map`, `measure`, `estimate`, `low`, `high`: means with their intervals, as
        `over_subjects(enrichment, ["map"], measures)` of `medream.evidence.subjects` gives them.
    style : str or Style

    Returns
    -------
    Figure

    Raises
    ------
    ConfigError
        When a column is missing, there is no row, or the edges of the bins differ.

    Examples
    --------
    >>> rows = {"map": ["dream", "control"], "subject": ["a", "a"], "relevance_mass": [2.4, 1.1]}
    >>> bins = pd.DataFrame({"from_um": [-np.inf, 0], "to_um": [0, np.inf], "density": [2.0, 0.9]})
    >>> len(localization_figure(pd.DataFrame(rows), {"dream": bins}).axes)
    2
    """
    table = checked_table(enrichment, ("map", "subject"), "energy at lesions")
    measures = [name for name in table.columns if name not in ("map", "subject")]
    if not measures:
        raise ConfigError(
            f"The table of energy at lesions has no measure; expected one or more of {', '.join(_MEASURES)}."
        )
    if summary is not None:
        checked_table(
            summary, ("map", "measure", "estimate", "low", "high"), "intervals of energy at lesions"
        )
    style = get_style(style)
    maps = list(dict.fromkeys([*table["map"], *(distances or {})]))
    width = style.two_column_mm if distances or len(measures) > 1 else style.one_column_mm
    height = (0.62 if distances else 0.3) * style.two_column_mm
    with style.context():
        figure = PaperFigure(style, width, min(height, style.max_height_mm), layout="constrained")
        grid = figure.add_gridspec(2 if distances else 1, len(measures))
        above: list[Axes] = []
        for k, name in enumerate(measures):
            ax = figure.add_subplot(grid[0, k], sharey=above[0] if above else None)
            above.append(ax)
            _enrichment(ax, table, summary, name, maps, style, width / len(measures))
        drawn = [table[name].to_numpy(float) for name in measures]
        if summary is not None:
            known = summary[summary.measure.isin(measures) & summary["map"].isin(maps)]
            drawn += [known[name].to_numpy(float) for name in ("estimate", "low", "high")]
        below = _ratios(above, drawn, "Times chance")
        panels = list(above)
        if distances:
            panels.append(figure.add_subplot(grid[1, :]))
            below = _distances(panels[-1], distances, maps, style) or below
        letter_axes(panels, style)
        handles: list[Artist] = [
            Line2D([], [], color=colour, marker=marker, markersize=2 * style.line_pt + 1.5, label=name)
            for name in maps for colour, marker in [_look(maps, name)]
        ]  # fmt: skip
        if distances:
            figure.legend(
                handles=handles, loc="outside lower center", ncols=legend_columns(maps, width, style),
                **LEGEND,
            )  # fmt: skip
    figure.provenance = f"medream {version('medream')}"
    held = {"means": summary is not None, "distances": bool(distances), "below": below}
    figure.holds = tuple(name for name, there in held.items() if there)
    return settle(figure)


def _look(maps: list[str], name: str) -> tuple[str, str]:
    place = maps.index(name)
    return PALETTE[place % len(PALETTE)], _MARKERS[place % len(_MARKERS)]


def _enrichment(
    ax: Axes, table: pd.DataFrame, summary: pd.DataFrame | None, measure: str, maps: list[str],
    style: Style, room_mm: float,
) -> None:  # fmt: skip
    maps_here = [name for name in maps if name in set(table["map"])]
    ax.axhline(1.0, color="0.4", linestyle=(0, (4, 2)), zorder=0)
    for x, name in enumerate(maps_here):
        colour, marker = _look(maps, name)
        values = table[table["map"] == name].sort_values("subject")[measure].to_numpy(float)
        values = values[np.isfinite(values)]
        ends = _SPREAD if len(values) > 1 else 0.0
        ax.scatter(
            x - 0.1 + np.linspace(-ends, ends, len(values)), values, s=0.9 * style.small_pt,
            color=colour, marker=marker, alpha=0.5, linewidths=0, clip_on=False,
        )  # fmt: skip
        if summary is None:
            continue
        own = summary[(summary["map"] == name) & (summary.measure == measure)]
        for row in own.to_dict("records"):
            reach = np.array([[row["estimate"] - row["low"]], [row["high"] - row["estimate"]]])
            known = np.isfinite(reach).all()
            ax.errorbar(
                x + 0.34, row["estimate"], yerr=reach if known else None, color="black", marker=marker,
                markersize=2 * style.line_pt + 1.5, linestyle="", capsize=1.5 * style.line_pt,
            )  # fmt: skip
    shown = max(len(maps_here), 2)
    ax.set_xticks(
        range(len(maps_here)), [_name(name, 0.8 * room_mm / shown, style) for name in maps_here]
    )
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-0.5, shown - 0.4)
    words, size = fit_text(_MEASURES.get(measure, measure), 0.75 * room_mm, style)
    ax.set_xlabel(words, fontsize=size)


def _distances(
    ax: Axes, distances: Mapping[str, pd.DataFrame], maps: list[str], style: Style
) -> bool:
    """Draw densities over bins of one width each, whose edges are far from even; tell of `_ratios`."""
    edges: np.ndarray | None = None
    drawn: list[np.ndarray] = []
    for name, table in distances.items():
        checked_table(table, ("from_um", "to_um", "density"), f"energy by distance of {name}")
        own = np.append(table.from_um.to_numpy(float), float(table.to_um.iloc[-1]))
        if edges is not None and not np.array_equal(edges, own):
            raise ConfigError(
                f"The bins of {name!r} differ from those of {next(iter(distances))!r}; measure all maps "
                "with the same edges."
            )
        edges = own
        colour, marker = _look(maps, name)
        x = np.arange(len(table)) + 0.5
        density = table.density.to_numpy(float)
        if {"low", "high"} <= set(table.columns):
            ax.fill_between(x, table.low, table.high, color=colour, alpha=0.2, linewidth=0)
            drawn += [table.low.to_numpy(float), table.high.to_numpy(float)]
        drawn.append(density)
        ax.plot(
            x,
            density,
            color=colour,
            marker=marker,
            markersize=2 * style.line_pt + 1.5,
            clip_on=False,
        )
    assert edges is not None
    ax.axhline(1.0, color="0.4", linestyle=(0, (4, 2)), zorder=0)
    inside = int(np.sum(edges[1:] <= 0))
    if inside:
        ax.axvspan(0, inside, color="0.93", linewidth=0, zorder=-1)
    ticks = [(k, edge) for k, edge in enumerate(edges) if math.isfinite(edge)]
    words = [compact(edge).replace("-", "\N{MINUS SIGN}") for _, edge in ticks]
    ax.set_xticks([k for k, _ in ticks], words)
    ax.set_xlim(0, len(edges) - 1)
    ax.set_xlabel("Distance from the lesion's border (µm), inside below 0")
    return _ratios([ax], drawn, "Density (even = 1)")


def _name(name: str, room_mm: float, style: Style) -> str:
    """Return a map's name in as many lines as it needs."""
    if text_width_mm(name, style.small_pt, style) > room_mm:
        name = "\n".join(name.rsplit(" ", 1))
    return "\n".join(fit_text(line, room_mm, style)[0] for line in name.split("\n"))


def _ratios(axes: Sequence[Axes], values: Sequence[np.ndarray], words: str) -> bool:
    """Make vertical axes of ratios logarithmic around 1; tell whether anything lies on their lower edge."""
    known = np.concatenate([np.ravel(each) for each in values] + [np.ones(1)])
    known = known[np.isfinite(known)]
    seen = known[known >= _LEAST]
    # At least from a half to twice, so that ratios close to 1 have more than one tick.
    low, high = min(0.8 * seen.min(), 0.45), max(1.25 * seen.max(), 2.2)
    below = bool((known < _LEAST).any())
    for ax in axes:
        ax.set_ylim(low, high)
        logarithmic(ax, "y")
        for points in ax.collections:
            if isinstance(points, PathCollection):
                places = np.asarray(points.get_offsets())
                places[:, 1] = np.maximum(places[:, 1], low)
                points.set_offsets(places)
        for line in ax.lines:
            line.set_ydata(np.maximum(np.asarray(line.get_ydata(), float), low))
    axes[0].set_ylabel(f"{words}\nless at the edge" if below else words)
    return below
