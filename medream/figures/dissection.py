"""What the units of layers detect: how many for each concept, and the units themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import numpy as np
import pandas as pd

from medream.errors import ConfigError
from medream.figures.bands import checked_table, letter_axes, settle
from medream.figures.layout import Panel, aspect_of, line_mm, panel_figure
from medream.figures.overlay import CONTOUR, draw_overlay, legend_handles, show_image
from medream.figures.style import BLUE, PaperFigure, Style, fit_text, get_style, text_width_mm

_COLUMNS = (4, 3, 2)
_SHARE, _LETTER = 0.8, 0.4  # of a panel's width for its title; mm per point of its letter
_NONE = "No name"


def dissection_figure(
    named: Mapping[str, pd.DataFrame], *, style: str | Style = "nature"
) -> PaperFigure:
    """Draw how many units of each layer bear the name of each concept.

    A panel for each layer or network; all have the concepts in one order, those with most units above, and
    last, in grey, the units without a name.

    Parameters
    ----------
    named : {layer or network: DataFrame}
        One row per unit with its `concept`, "" for none, as `Dissection.named` of
        `medream.evidence.dissection` gives them.
    style : str or Style

    Returns
    -------
    Figure

    Raises
    ------
    ConfigError
        When there is no table, or one has no unit.

    Examples
    --------
    >>> table = pd.DataFrame({"unit": [0, 1, 2], "concept": ["fluid", "", "fluid"]})
    >>> ax = dissection_figure({"dec1_conv2": table}).axes[0]
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['fluid', 'No name']
    """
    if not named:
        raise ConfigError(
            "There is no dissection to draw: give the named units of a layer or more."
        )
    counts = {
        label: checked_table(table, ("concept",), f"units of {label}").concept.value_counts()
        for label, table in named.items()
    }
    total = pd.concat(counts.values()).groupby(level=0).sum()
    concepts = sorted((name for name in total.index if name), key=lambda name: (-total[name], name))
    style = get_style(style)
    across = min(_columns(list(counts), style), len(counts))
    down = math.ceil(len(counts) / across)
    width = style.two_column_mm if across > 1 else style.one_column_mm
    each = (len(concepts) + 2) * 1.35 * line_mm(style.small_pt) + 1.2 * line_mm(style.font_pt)
    wanted = down * max(each, 20.0) + 1.5 * line_mm(style.font_pt)
    with style.context():
        figure = PaperFigure(style, width, min(wanted, style.max_height_mm), layout="constrained")
        axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        names = [*concepts, ""]
        most = max(int(count.max()) for count in counts.values())
        for ax, (label, count) in zip(axes.flat, counts.items(), strict=False):
            numbers = [int(count.get(name, 0)) for name in names]
            ax.barh(range(len(names)), numbers, 0.7, color=[BLUE] * len(concepts) + ["0.7"])
            for y, number in enumerate(numbers):
                ax.annotate(
                    str(number), (number, y), (2, 0), textcoords="offset points", va="center",
                    fontsize=style.min_pt,
                )  # fmt: skip
            room = (_SHARE if across > 1 else 0.6) * width / across - _LETTER * style.letter_pt
            shown, size = fit_text(label, room, style)
            ax.set_title(shown, loc="right", fontsize=size)
            ax.set_xlabel(f"Units (of {sum(numbers)})")
            ax.tick_params(axis="y", length=0)
        for ax in axes.flat[len(counts) :]:
            ax.remove()
        first = axes[0, 0]
        words = [fit_text(name or _NONE, 0.3 * width, style)[0] for name in names]
        first.set_yticks(range(len(names)), words)
        first.set_ylim(len(names) - 0.5, -0.5)
        first.set_xlim(0, 1.2 * most)
        first.set_xticks(range(0, most + 1, _tick_step(most)))
        for k, ax in enumerate(axes.flat[: len(counts)]):
            if k + across >= len(counts):
                ax.tick_params(labelbottom=True)
        letter_axes(axes.flat[: len(counts)], style)
    figure.provenance = f"medream {version('medream')}"
    return settle(figure)


def _tick_step(most: int) -> int:
    """Return how far apart ticks lie, five at most from 0 to the highest count.

    >>> [_tick_step(most) for most in (0, 3, 4, 5, 13, 64)]
    [1, 1, 1, 2, 5, 20]
    """
    return next(k * 10**n for n in range(9) for k in (1, 2, 5) if most <= 4 * k * 10**n)


def _columns(labels: Sequence[str], style: Style) -> int:
    """Return how many panels stand beside each other: as many as leave room for their names."""
    widest = max(text_width_mm(label, style.min_pt, style) for label in labels)
    wanted = widest + _LETTER * style.letter_pt
    fitting = (n for n in _COLUMNS if _SHARE * style.two_column_mm / n >= wanted)
    return next(fitting, _COLUMNS[-1])


@dataclass(frozen=True, eq=False)
class UnitRow:
    """A unit in `unit_figure`.

    Parameters
    ----------
    label : str
        For example "Unit 12: fluid, IoU 0.31".
    dream : ndarray, shape (h, w), or None
        In [0, 1].
    scans : sequence of ndarray, shape (h, w)
        Those on which the unit is largest, in [0, 1], as `Survey.top_scans` of
        `medream.evidence.units` names them.
    areas : sequence of ndarray, bool, of the scans' shapes
        Where the unit is above its threshold.
    references : sequence of ndarray, bool or integer, or None
        Masks of the scans, whatever the unit's concept; default none.
    spacing_mm : (axial, lateral) or None
    """

    label: str
    dream: np.ndarray | None
    scans: Sequence[np.ndarray]
    areas: Sequence[np.ndarray]
    references: Sequence[np.ndarray | None] | None = None
    spacing_mm: tuple[float, float] | None = None


def unit_figure(
    rows: Sequence[UnitRow], *, style: str | Style = "nature", title: str | None = None
) -> PaperFigure:
    """Draw units, a row each: their dream beside the scans that excite them most.

    The unit's area is a fill on the scans, their reference masks a contour.

    Parameters
    ----------
    rows : sequence of UnitRow
    style : str or Style
    title : str, optional

    Returns
    -------
    Figure

    Raises
    ------
    ConfigError
        When there is no unit, a unit has nothing to show, or an area is of another size than its scan.

    Examples
    --------
    >>> grey = np.full((8, 12), 0.5)
    >>> len(unit_figure([UnitRow("Unit 3: fluid", grey, [grey, grey], [grey > 0.4] * 2)]).axes)
    3
    """
    if not rows or any(row.dream is None and not len(row.scans) for row in rows):
        raise ConfigError("There are no units to draw, or one has neither a dream nor a scan.")
    style = get_style(style)
    dreams = any(row.dream is not None for row in rows)
    most = max(len(row.scans) for row in rows)
    placed: list[list[Panel | None]] = []
    marked = False
    for n, row in enumerate(rows):
        references = row.references if row.references is not None else [None] * len(row.scans)
        if not len(row.scans) == len(row.areas) == len(references):
            raise ConfigError(
                f"{row.label!r} has {len(row.scans)} scans, {len(row.areas)} areas and {len(references)} "
                "references; expected as many of each."
            )
        cells: list[Panel | None] = []
        if dreams:
            cells.append(
                None if row.dream is None
                else Panel(partial(show_image, image=row.dream), aspect_of(row.dream), "" if n else "Dream")
            )  # fmt: skip
        for k, (scan, area, mask) in enumerate(zip(row.scans, row.areas, references, strict=True)):
            marked = marked or (mask is not None and bool(np.any(mask)))
            draw = partial(
                draw_overlay, image=scan, prediction=np.asarray(area, bool),
                reference=None if mask is None else np.asarray(mask) > 0,
                classes=("",), line_pt=CONTOUR * style.line_pt,
            )  # fmt: skip
            cells.append(Panel(draw, aspect_of(scan), "" if n else f"Top scan {k + 1}"))
        placed.append(cells + [None] * (dreams + most - len(cells)))
    legend = legend_handles(("",), marked, most > 0, style.line_pt)
    for handle in legend:
        words = str(handle.get_label())
        handle.set_label(
            {"Prediction": "Unit's area", "Reference": "Reference mask"}.get(words, words)
        )
    figure = panel_figure(
        placed, style, row_labels=[row.label for row in rows], title=title, legend=legend,
        spacing_mm=rows[0].spacing_mm if placed[0][0] is not None else None,
    )  # fmt: skip
    figure.provenance = f"medream {version('medream')}"
    held = {"dreams": dreams, "areas": most > 0, "references": marked}
    figure.holds = tuple(name for name, there in held.items() if there)
    return figure
