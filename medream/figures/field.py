"""How far units look, drawn over a scan and beside the sizes of lesions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from medream.errors import ConfigError
from medream.figures.axes import logarithmic
from medream.figures.bands import checked_table
from medream.figures.layout import Panel, aspect_of, legend_columns, line_mm, panel_figure
from medream.figures.overlay import show_image
from medream.figures.style import (
    BLACK,
    GREEN,
    MM_PER_INCH,
    ORANGE,
    PURPLE,
    SKY_BLUE,
    VERMILLION,
    PaperFigure,
    Style,
    get_style,
)

_DASHES: tuple = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
_LINES = (VERMILLION, GREEN, PURPLE, BLACK)  # neither the field's orange nor its frame's blue
_AXES = {"depth": 0, "width": 1}


@dataclass(frozen=True, eq=False)
class Field:
    """The field of a layer in one network, in pixels of the network's input.

    Parameters
    ----------
    label : str
        For example "2 levels".
    field : ndarray, shape (rows, columns)
        Not negative, the unit in the middle, as `medream.evidence.effective_field.effective_field` gives it.
    effective_px, theoretical_px : (depth, width)
        As `field_table` gives them; the theoretical one may be infinite.
    scale : (axial, lateral)
        Pixels of the scan that one pixel of the input is. Default 1, for a network of any size.
    """

    label: str
    field: np.ndarray
    effective_px: tuple[float, float]
    theoretical_px: tuple[float, float]
    scale: tuple[float, float] = (1.0, 1.0)


def field_figure(
    fields: Sequence[Field],
    image: np.ndarray,
    lesions: pd.DataFrame,
    *,
    at: tuple[int, int] | None = None,
    spacing_mm: tuple[float, float] | None = None,
    style: str | Style = "nature",
    title: str | None = None,
) -> PaperFigure:
    """Draw effective fields over a scan, and their extents beside how large lesions are.

    Above, for each network, the effective field as an orange cloud (its square root, so that the
    skirts show), its extent as a blue frame and the theoretical field as a broken white one; frames
    end at the scan's rim. Below,
    the share of lesions up to a size, with the effective extents of the networks as vertical lines:
    where a line meets the curve, so many lesions are no larger than the field along that axis.

    Parameters
    ----------
    fields : sequence of Field
        Up to four, such as networks of 2, 3 and 4 levels.
    image : ndarray, shape (depth, width)
        A scan in [0, 1].
    lesions : DataFrame
        depth_px, width_px and, with spacing_mm, depth_um, width_um, one row per lesion, as
        `medream.evidence.lesion_sizes.lesion_extents` gives them.
    at : (row, column), optional
        Where the unit lies. Default the middle of the scan.
    spacing_mm : (axial, lateral), optional
        Of the scan; with it sizes are in micrometres and there is a scale bar.
    style : str or Style
    title : str, optional

    Returns
    -------
    Figure

    Raises
    ------
    ConfigError
        When there are no fields or more than four, no lesions, or the place is not in the scan.

    Examples
    --------
    >>> lesions = pd.DataFrame({"depth_px": [3.0, 9.0], "width_px": [5.0, 12.0]})
    >>> field = Field("2 levels", np.ones((8, 8)), (8.0, 8.0), (14.0, 14.0))
    >>> len(field_figure([field], np.full((32, 48), 0.5), lesions).axes)
    3
    """
    unit = "px" if spacing_mm is None else "um"
    sizes = checked_table(lesions, tuple(f"{axis}_{unit}" for axis in _AXES), "lesions")
    if not 1 <= len(fields) <= len(_DASHES):
        raise ConfigError(f"There are {len(fields)} fields to draw; expected 1 to {len(_DASHES)}.")
    shape = np.shape(image)[:2]
    row, column = (shape[0] // 2, shape[1] // 2) if at is None else at
    if not (0 <= row < shape[0] and 0 <= column < shape[1]):
        raise ConfigError(f"The place {at} is not in the scan of {shape[0]} x {shape[1]} pixels.")
    style = get_style(style)
    below = 0.42 * style.one_column_mm
    panels = [
        Panel(
            partial(_over_scan, image=image, field=field, at=(row, column), style=style),
            aspect_of(image), field.label, letter,
        )
        for letter, field in zip("abcd", fields, strict=False)
    ]  # fmt: skip
    legend: list[Any] = [
        Patch(facecolor=ORANGE, linewidth=0, label="Effective field"),
        Patch(facecolor="none", edgecolor=SKY_BLUE, linewidth=1.5 * style.line_pt, label="Its extent"),
        _Layered((
            Patch(facecolor="0.25", linewidth=0),  # white is nothing on paper
            Line2D(
                [], [], color="white", linestyle=(0, (2, 1.2)), linewidth=1.5 * style.line_pt,
                label="Theoretical field",
            ),
        )),
    ]  # fmt: skip
    legend += [
        Line2D(
            [],
            [],
            color=_LINES[n],
            linestyle=_DASHES[n],
            linewidth=style.line_pt,
            label=field.label,
        )
        for n, field in enumerate(fields)
    ]
    # The charts stand in the room below, above the legend.
    entries = legend_columns([str(each.get_label()) for each in legend], style.one_column_mm, style)
    under = math.ceil(len(legend) / entries) * line_mm(style.small_pt)
    charts = below + 2.2 * line_mm(style.font_pt) + line_mm(style.small_pt)
    figure = panel_figure(
        [panels], style, title=title, legend=legend, below_mm=charts, spacing_mm=spacing_mm
    )
    with style.context():
        _charts(figure, fields, sizes, spacing_mm, below, under)
    figure.provenance = f"medream {version('medream')}"
    return figure


class _Layered(tuple):
    """Artists that a legend draws over each other, with the label of the last."""

    def get_label(self) -> str:
        return str(self[-1].get_label())


def _over_scan(
    ax: Axes, image: np.ndarray, field: Field, at: tuple[int, int], style: Style
) -> None:
    show_image(ax, image)
    depth, width = np.shape(image)[:2]
    strength = np.sqrt(np.asarray(field.field, float) / (np.max(field.field) or 1.0))
    cloud = np.empty((*strength.shape, 4))
    cloud[..., :3] = to_rgb(ORANGE)
    cloud[..., 3] = 0.8 * strength
    rows, columns = (n * k for n, k in zip(strength.shape, field.scale, strict=True))
    y, x = at
    ax.imshow(
        cloud, extent=(x - columns / 2, x + columns / 2, y + rows / 2, y - rows / 2), gid="field"
    )
    frames = (
        (field.theoretical_px, "white", (0, (3, 2)), "theoretical"),
        (field.effective_px, SKY_BLUE, "-", "effective"),
    )
    for extent, colour, dashes, name in frames:
        reach = [n * k / 2 for n, k in zip(extent, field.scale, strict=True)]
        if np.isnan(reach).any():
            continue
        top, bottom = max(y - reach[0], -0.5), min(y + reach[0], depth - 0.5)
        left, right = max(x - reach[1], -0.5), min(x + reach[1], width - 0.5)
        ax.add_patch(
            Rectangle(
                (left, top), right - left, bottom - top, fill=False, edgecolor=colour,
                linestyle=dashes, linewidth=1.3 * style.line_pt, gid=name,
            )
        )  # fmt: skip
    ax.set_xlim(-0.5, width - 0.5)
    ax.set_ylim(depth - 0.5, -0.5)


def _charts(
    figure: PaperFigure, fields: Sequence[Field], sizes: pd.DataFrame,
    spacing_mm: tuple[float, float] | None, high_mm: float, under_mm: float,
) -> None:  # fmt: skip
    style = figure.style
    width, height = figure.get_size_inches() * MM_PER_INCH
    line, small = line_mm(style.font_pt), line_mm(style.small_pt)
    left, gap = 1.0 + line + 2.4 * small, 0.08 * width
    each = (width - left - gap - 3.0) / 2
    bottom = 1.0 + under_mm + 0.15 * style.font_pt + small + line + 0.5
    for k, (axis, place) in enumerate(_AXES.items()):
        box = (
            (left + k * (each + gap)) / width,
            bottom / height,
            each / width,
            (high_mm - line) / height,
        )
        ax = figure.add_axes(box)
        values = np.sort(sizes[f"{axis}_{'px' if spacing_mm is None else 'um'}"].to_numpy(float))
        values = values[np.isfinite(values)]
        ax.ecdf(values, color="0.4", linewidth=1.5 * style.line_pt)
        for n, field in enumerate(fields):
            step = field.scale[place] * (1.0 if spacing_mm is None else 1000 * spacing_mm[place])
            reach = field.effective_px[place] * step
            if np.isfinite(reach):
                ax.axvline(reach, color=_LINES[n], linestyle=_DASHES[n])
        ax.margins(x=0.08)
        ax.autoscale()
        logarithmic(ax)
        ax.set_ylim(0, 1)
        ax.set_xlabel(f"{axis.capitalize()} ({'pixels' if spacing_mm is None else 'µm'})")
        if k == 0:
            ax.set_ylabel("Share of lesions")
        else:
            ax.set_yticklabels([])
        ax.set_title(
            style.letters.format("abcdef"[len(fields) + k]), loc="left", weight="bold",
            size=style.letter_pt,
        )  # fmt: skip
