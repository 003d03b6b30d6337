"""Dreams beside their controls: how alike they are in numbers, and as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from medream.errors import ConfigError
from medream.figures.bands import checked_table, letter_axes, settle
from medream.figures.changes import bar_room_mm, change_bar, show_change
from medream.figures.difference import difference, rounded_up
from medream.figures.layout import Panel, aspect_of, line_mm, panel_figure
from medream.figures.overlay import show_image
from medream.figures.style import (
    BLUE,
    MM_PER_POINT,
    PaperFigure,
    Style,
    fit_text,
    get_style,
    text_width_mm,
)

_MEASURES = {
    "ssim": "SSIM, signed",
    "ssim_magnitude": "SSIM, magnitude",
    "spearman": "Spearman, signed",
    "spearman_magnitude": "Spearman, magnitude",
}
_WORDS = {  # of a kind in the chart, and over a picture
    "dream": ("The dream itself", "Dream"),
    "redrawn": ("All weights re-drawn", "All weights\nre-drawn"),
    "cascade": ("Re-drawn down to {}", "Re-drawn\ndown to {}"),
    "shuffled": ("Shuffled masks", "Shuffled"),
    "noise": ("Ceiling: noise", "Noise"),
    "seed": ("Ceiling: other draws", "Other draws"),
    "retrained": ("Ceiling: retrained {}", "Retrained {}"),
}
_CEILINGS = ("noise", "seed", "retrained")
_LABEL_SHARE = 0.3  # of the chart's width, for the names of the controls


def control_label(kind: str, stage: str = "", short: bool = False) -> str:
    """Return the name of a control in a figure; the one over a picture, `short`, may have two lines.

    >>> control_label("cascade", "enc1_conv1"), control_label("noise", short=True)
    ('Re-drawn down to enc1_conv1', 'Noise')
    """
    long, brief = _WORDS.get(kind, (f"{kind} {{}}",) * 2)
    return (brief if short else long).format(stage).strip()


def same_as_redrawn(table: pd.DataFrame) -> set[tuple[str, str]]:
    """Return the stages of the cascade that reach the first layer: the control of all weights again.

    Parameters
    ----------
    table : DataFrame
        kind, stage and layers, the number of re-drawn ones, as `control_study` of
        `medream.evidence.control` gives them. Without `layers` nothing is known to be the same.

    Examples
    --------
    >>> rows = [("redrawn", "", 3), ("cascade", "dec1_conv2", 1), ("cascade", "enc1_conv1", 3)]
    >>> same_as_redrawn(pd.DataFrame(rows, columns=["kind", "stage", "layers"]))
    {('cascade', 'enc1_conv1')}
    """
    if "layers" not in table.columns:
        return set()
    everything = set(table.layers[table.kind == "redrawn"])
    again = table[(table.kind == "cascade") & table.layers.isin(everything)]
    return set(zip(again.kind, again.stage, strict=True))


def control_figure(summary: pd.DataFrame, *, style: str | Style = "nature") -> PaperFigure:
    """Draw how alike a layer's dreams and their controls are, signed and by magnitude.

    A point is the mean over subjects, its line the interval of 95 % where there is one. The ceiling
    of noise, what two dreams of one network agree in, is a broken line through all rows, with its
    interval as a grey band. Repetitions have open points, controls filled ones; "n/a" stands where
    dreams changed nothing.

    Parameters
    ----------
    summary : DataFrame
        kind, stage, measure, estimate, low, high; one row per control and measure, as
        `medream.evidence.control.summarize_controls` gives them, drawn in this order from above. With
        `layers` a last stage of the cascade that is all weights again is left out.
    style : str or Style

    Returns
    -------
    Figure

    Raises
    ------
    ConfigError
        When a column is missing, or there is no row.

    Examples
    --------
    >>> rows = [("redrawn", "", "ssim", 0.2, 0.1, 0.3), ("noise", "", "ssim", 0.8, 0.7, 0.9)]
    >>> columns = ["kind", "stage", "measure", "estimate", "low", "high"]
    >>> figure = control_figure(pd.DataFrame(rows, columns=columns))
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['All weights re-drawn', 'Ceiling: noise']
    """
    columns = ("kind", "stage", "measure", "estimate", "low", "high")
    table = checked_table(summary, columns, "similarity to controls")
    style = get_style(style)
    shown = [name for name in _MEASURES if name in set(table.measure)]
    shown += [name for name in dict.fromkeys(table.measure) if name not in _MEASURES]
    again = same_as_redrawn(table)
    places = [
        place for place in dict.fromkeys(zip(table.kind, table.stage, strict=True)) if place not in again
    ]  # fmt: skip
    table = table[[place in places for place in zip(table.kind, table.stage, strict=True)]]
    places.sort(key=lambda place: place[0] in _CEILINGS)  # stable: repetitions lie below
    width = style.two_column_mm if len(shown) > 1 else style.one_column_mm
    fixed = 4.0 * line_mm(style.font_pt)
    room_pt = (style.max_height_mm - fixed) / len(places) / (1.45 * MM_PER_POINT)
    size = max(style.min_pt, min(style.small_pt, room_pt))
    height = fixed + 1.6 * size * MM_PER_POINT * max(len(places), 4)
    with style.context():
        figure = PaperFigure(style, width, height, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.6 * style.small_pt / 72)  # type: ignore[call-arg, union-attr]
        axes = figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0]
        for ax, name in zip(axes, shown, strict=True):
            _draw(ax, table[table.measure == name], places, style)
            each = (1 - _LABEL_SHARE) * width / len(shown)
            words, points = fit_text(_MEASURES.get(name, name), each, style)
            ax.set_xlabel(words, fontsize=points)
        _limits(axes[0], table)
        room = _LABEL_SHARE * width
        names = [fit_text(control_label(*place), room, style)[0] for place in places]
        axes[0].set_yticks(range(len(places)), names, fontsize=size)
        axes[0].set_ylim(len(places) - 0.5, -0.5)
        letter_axes(axes, style)
    figure.provenance = f"medream {version('medream')}"
    held = [kind for kind, _ in places] + ["n/a"] * bool(table.estimate.isna().any())
    figure.holds = tuple(dict.fromkeys(held))
    return settle(figure)


def _draw(ax: Axes, table: pd.DataFrame, places: Sequence[tuple[str, str]], style: Style) -> None:
    size = 2.0 * style.line_pt + 1.5
    for row in table.to_dict("records"):
        y = places.index((row["kind"], row["stage"]))
        middle, low, high = (float(row[name]) for name in ("estimate", "low", "high"))
        if not np.isfinite(middle):
            ax.text(
                0.02,
                y,
                "n/a",
                transform=ax.get_yaxis_transform(),
                va="center",
                fontsize=style.min_pt,
            )
            continue
        if row["kind"] == "noise":
            if np.isfinite([low, high]).all():
                ax.axvspan(low, high, color="0.9", linewidth=0, zorder=0)
            ax.axvline(middle, color="0.4", linestyle=(0, (4, 2)), zorder=1)
        ax.plot([low, high], [y, y], color=BLUE, solid_capstyle="butt", clip_on=False, zorder=2)
        ax.plot(
            middle, y, marker="o", markersize=size, color=BLUE, clip_on=False, zorder=3,
            markerfacecolor="white" if row["kind"] in _CEILINGS else BLUE,
            markeredgewidth=style.line_pt,
        )  # fmt: skip
    ax.tick_params(axis="y", length=0)


def _limits(ax: Axes, table: pd.DataFrame) -> None:
    """Let the axis run to 1 from 0, or from below where a similarity or its interval lies there."""
    known = table[["estimate", "low", "high"]].to_numpy(float)
    least = min(float(np.min(known[np.isfinite(known)], initial=0.0)), 0.0)
    start = -1.0 if least < -0.5 else -0.5 if least < 0 else 0.0
    ax.set_xlim(start, 1.0)
    ax.set_xticks(
        [-1, 0, 1] if start == -1 else [tick for tick in (-0.5, 0, 0.5, 1) if tick >= start]
    )
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "\N{MINUS SIGN}"))


@dataclass(frozen=True, eq=False)
class ControlRow:
    """The dreams of one scan in `control_panel`.

    Parameters
    ----------
    label : str
        A pseudonymous name, or what sets the scan apart.
    original : ndarray, shape (h, w)
        In [0, 1].
    dreams : {(kind, stage): ndarray of that shape}
        As `on_dream` of `control_study` tells them: ("dream", "") is the model's own.
    spacing_mm : (axial, lateral) or None
    """

    label: str
    original: np.ndarray
    dreams: Mapping[tuple[str, str], np.ndarray]
    spacing_mm: tuple[float, float] | None = None


def control_panel(
    rows: Sequence[ControlRow],
    *,
    stages: int | None = None,
    limit: float | None = None,
    style: str | Style = "nature",
    title: str | None = None,
) -> PaperFigure:
    """Draw scans, their dreams and the dreams of the controls, and below each what it changed.

    Pictures share one grey scale, changes one scale of colours.

    Parameters
    ----------
    rows : sequence of ControlRow
    stages : int, optional
        Of more stages of the cascade so many are shown, evenly spaced, with the first and the last.
        Default: as many as have room for their names, at most 4.
    limit : float, optional
        Changes are drawn from -limit to limit. Default: the model's own largest change, rounded up to
        one digit; the bar is pointed where a control goes beyond.
    style : str or Style
    title : str, optional

    Returns
    -------
    Figure

    Raises
    ------
    ConfigError
        When there is nothing to draw, or a dream is of another size than its scan.

    Examples
    --------
    >>> grey = np.full((8, 12), 0.5)
    >>> row = ControlRow("scan 1", grey, {("dream", ""): grey + 0.1, ("redrawn", ""): grey - 0.1})
    >>> len(control_panel([row]).axes)
    6
    """
    if not rows or not any(row.dreams for row in rows):
        raise ConfigError("There are no dreams and controls to draw: give at least one ControlRow.")
    for row in rows:
        for (kind, stage), picture in row.dreams.items():
            if np.shape(picture) != np.shape(row.original):
                raise ConfigError(
                    f"The dream {control_label(kind, stage)!r} of {row.label!r} has shape "
                    f"{np.shape(picture)}, its scan {np.shape(row.original)}; they must be of one size."
                )
    style = get_style(style)
    every = dict.fromkeys(key for row in rows for key in row.dreams)
    counts = (4, 3, 2) if stages is None else (stages,)
    keys = next(
        (kept for kept in (_thinned(every, count) for count in counts) if _names_fit(kept, style)),
        _thinned(every, counts[-1]),
    )
    changes = [
        (key, float(np.abs(difference(row.original, row.dreams[key])).max()))
        for row in rows for key in keys if key in row.dreams
    ]  # fmt: skip
    own = [value for key, value in changes if key[0] == "dream"] or [v for _, v in changes]
    if limit is None:
        limit = rounded_up(max(own))
    elif not 0 < limit <= 1:
        raise ConfigError(f"limit is {limit!r}, expected an intensity above 0 and at most 1.")
    placed: list[list[Panel | None]] = []
    for n, row in enumerate(rows):
        aspect = aspect_of(row.original)
        pictures: list[Panel | None] = [
            Panel(partial(show_image, image=row.original), aspect, "" if n else "Original")
        ]
        below: list[Panel | None] = [None]
        for key in keys:
            words = "" if n else control_label(*key, short=True)
            if key not in row.dreams:
                pictures.append(Panel(Axes.set_axis_off, aspect, words) if words else None)
                below.append(None)
                continue
            dream = row.dreams[key]
            pictures.append(Panel(partial(show_image, image=dream), aspect, words))
            draw = partial(show_change, before=row.original, after=dream, limit=limit)
            below.append(Panel(draw, aspect))
        placed += [pictures, below]
    figure = panel_figure(
        placed, style, row_labels=[name for row in rows for name in (row.label, "Change")],
        title=title, below_mm=bar_room_mm(style), spacing_mm=rows[0].spacing_mm,
    )  # fmt: skip
    beyond = max(value for _, value in changes) > limit * (1 + 1e-6)
    change_bar(figure, limit, beyond, "Change of intensity")
    figure.provenance = f"medream {version('medream')}"
    figure.holds = tuple(dict.fromkeys([kind for kind, _ in keys] + ["beyond"] * beyond))
    return figure


def _names_fit(keys: Sequence[tuple[str, str]], style: Style) -> bool:
    room = style.two_column_mm / (len(keys) + 1) - 0.3 * style.font_pt
    return all(
        text_width_mm(line, style.min_pt, style) <= room
        for key in keys
        for line in control_label(*key, short=True).split("\n")
    )


def _thinned(keys: Mapping[tuple[str, str], None], stages: int) -> list[tuple[str, str]]:
    """Return the keys with at most so many of the cascade."""
    if stages < 0:
        raise ConfigError(f"stages is {stages}, expected a whole number of at least 0.")
    cascade = [key for key in keys if key[0] == "cascade"]
    places = np.linspace(len(cascade) - 1, 0, min(stages, len(cascade))).round().astype(int)
    kept = {cascade[k] for k in places}
    return [key for key in keys if key[0] != "cascade" or key in kept]
