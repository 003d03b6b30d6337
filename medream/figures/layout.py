"""Rows and columns of pictures placed in millimetres, so that text and pictures never meet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from medream.errors import ConfigError
from medream.figures.overlay import scale_bar
from medream.figures.style import MM_PER_POINT, PaperFigure, Style, fit_text, text_width_mm

_MARGIN_MM = 1.0
_LINE = 1.45  # height of a line of text in units of its size
# A figure of narrow scans is drawn one column wide unless that would shrink it more than this.
_SHRINK = 1.3
_SMALLEST_MM = 5.0  # a panel
LEGEND: dict[str, Any] = {
    "frameon": False, "borderpad": 0.2, "borderaxespad": 0.2, "handlelength": 1.4,
    "columnspacing": 1.2, "handletextpad": 0.5, "labelspacing": 0.25,
}  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """One picture: what draws it, its height over its width, and the words above it, in lines."""

    draw: Callable[[Axes], None]
    aspect: float
    title: str = ""
    letter: str = ""


def aspect_of(image: np.ndarray) -> float:
    """Return height over width of an image drawn with square pixels."""
    height, width = np.shape(image)[:2]
    return height / width


def line_mm(size_pt: float) -> float:
    """Return the height of a line of text."""
    return _LINE * size_pt * MM_PER_POINT


def legend_columns(labels: Sequence[str], width_mm: float, style: Style) -> int:
    """Return how many entries of a legend fit beside each other."""
    handle = (LEGEND["handlelength"] + LEGEND["handletextpad"]) * style.small_pt * MM_PER_POINT
    gap = LEGEND["columnspacing"] * style.small_pt * MM_PER_POINT
    widest = max(text_width_mm(label, style.small_pt, style) for label in labels)
    return max(1, min(len(labels), int((width_mm - 2 + gap) / (widest + handle + gap))))


def _letter_mm(panel: Panel, style: Style) -> float:
    if not panel.letter:
        return 0.0
    letter = style.letters.format(panel.letter)
    return text_width_mm(letter, style.letter_pt, style, "bold") + 0.1 * style.font_pt


def _title_mm(panel: Panel, style: Style, size_pt: float) -> float:
    """Return the width of what stands over a panel."""
    widest = max(text_width_mm(line, size_pt, style) for line in panel.title.split("\n"))
    return _letter_mm(panel, style) + widest


def panel_figure(
    rows: Sequence[Sequence[Panel | None]],
    style: Style,
    *,
    row_labels: Sequence[str] | None = None,
    title: str | None = None,
    legend: Sequence[Artist] = (),
    below_mm: float = 0.0,
    spacing_mm: tuple[float, float] | None = None,
) -> PaperFigure:
    """Place panels on a page of the journal's width, as large as its width and height allow.

    Parameters
    ----------
    rows : rows of panels, all of one length
        None leaves a place empty. Every row is as high as its highest panel.
    style : Style
    row_labels : sequence of str, optional
        Written upwards at the left of each row.
    title : str, optional
    legend : sequence of artists
        Set into one line at the bottom.
    below_mm : float
        Room kept free below the last row.
    spacing_mm : (axial, lateral), optional
        For the scale bar in the first panel.
    """
    with style.context():
        return _placed(rows, style, row_labels, title, legend, below_mm, spacing_mm)


def _placed(
    rows: Sequence[Sequence[Panel | None]],
    style: Style,
    row_labels: Sequence[str] | None,
    title: str | None,
    legend: Sequence[Artist],
    below_mm: float,
    spacing_mm: tuple[float, float] | None,
) -> PaperFigure:
    columns = len(rows[0])
    line, gap = line_mm(style.font_pt), 0.3 * style.font_pt
    aspects = [max(panel.aspect for panel in row if panel is not None) for row in rows]
    heads = [
        line * max(1 + p.title.count("\n") if p and (p.title or p.letter) else 0 for p in row)
        for row in rows
    ]
    label = line if row_labels is not None else 0.0
    above = _MARGIN_MM + (line if title else 0.0)
    labels = [str(artist.get_label()) for artist in legend]
    entries = legend_columns(labels, style.one_column_mm, style) if legend else 1
    lines = math.ceil(len(legend) / entries)
    below = _MARGIN_MM + below_mm + (lines * line_mm(style.small_pt) + 0.5 * gap if legend else 0.0)
    fixed_height = above + sum(heads) + gap * (len(rows) - 1) + below
    fixed_width = 2 * _MARGIN_MM + label + gap * (columns - 1)
    # Too many rows make a figure for a screen rather than pictures of no size.
    highest = max((style.max_height_mm - fixed_height) / sum(aspects), _SMALLEST_MM)
    narrow_mm = min(highest, (style.one_column_mm - fixed_width) / columns)
    one_column = columns == 1 or (
        columns * highest + fixed_width <= _SHRINK * style.one_column_mm
        and all(
            _title_mm(panel, style, style.min_pt) <= narrow_mm
            for row in rows
            for panel in row
            if panel
        )
    )
    width = style.one_column_mm if one_column else style.two_column_mm
    panel_mm = min(highest, (width - fixed_width) / columns)
    if panel_mm < _SMALLEST_MM:
        raise ConfigError(
            f"{columns} pictures beside each other would be less than {_SMALLEST_MM:g} mm wide on "
            f"{width:g} mm of paper. Choose fewer columns."
        )
    height = fixed_height + panel_mm * sum(aspects)
    # Columns stand as close as their titles let them, in the middle of the page.
    empty = width - fixed_width - columns * panel_mm
    titles = [_title_mm(panel, style, style.font_pt) for row in rows for panel in row if panel]
    spread = min(empty / (columns + 1), max(0.0, *titles) - panel_mm + gap)
    spread = max(spread, 0.0)
    margin = (empty - (columns - 1) * spread) / 2

    figure = PaperFigure(style, width, height)

    def write(x: float, y: float, text: str, **settings: Any) -> None:
        figure.text(x / width, 1 - y / height, text, **{"va": "baseline", **settings})

    first = _MARGIN_MM + label + margin
    if title:
        shown, size = fit_text(title, width - 2 * _MARGIN_MM, style)
        write(first, _MARGIN_MM + 0.7 * line, shown, fontsize=size)
    y = above
    for i, row in enumerate(rows):
        y += heads[i]
        row_mm = panel_mm * aspects[i]
        if row_labels is not None:
            shown, size = fit_text(row_labels[i], row_mm + 0.5 * gap, style)
            write(
                first - 0.35 * line, y + row_mm / 2, shown, fontsize=size,
                rotation=90, va="center", ha="right",
            )  # fmt: skip
        for j, panel in enumerate(row):
            x = first + j * (panel_mm + gap + spread)
            if panel is None:
                continue
            letter_mm = _letter_mm(panel, style)
            if panel.letter:
                letter = style.letters.format(panel.letter)
                write(x, y - 0.3 * line, letter, fontsize=style.letter_pt, weight="bold")
            for above_it, words in enumerate(reversed(panel.title.split("\n"))):
                shown, size = fit_text(words, panel_mm + spread - letter_mm, style)
                write(x + letter_mm, y - (0.3 + above_it) * line, shown, fontsize=size)
            ax = figure.add_axes(
                (x / width, 1 - (y + row_mm) / height, panel_mm / width, row_mm / height)
            )
            panel.draw(ax)
            if i == 0 and j == 0:
                scale_bar(ax, spacing_mm, style)
        y += row_mm + gap
    if legend:
        figure.legend(
            handles=list(legend),
            loc="lower center",
            ncols=entries,
            bbox_to_anchor=(0.5, 0.0),
            **LEGEND,
        )
    return figure
