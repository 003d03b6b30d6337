"""A network drawn as its U: a box for each layer, the order from left to right, the stride down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.patches import FancyBboxPatch, Patch

from medream.errors import ConfigError
from medream.figures.layout import LEGEND, legend_columns, line_mm
from medream.figures.style import (
    GREEN,
    ORANGE,
    PURPLE,
    SKY_BLUE,
    VERMILLION,
    YELLOW,
    PaperFigure,
    Style,
    fit_text,
    get_style,
    text_width_mm,
)

_FOLDED = ("normalisation", "dropout", "activation", "padding")
_COLOURS = {
    "convolution": SKY_BLUE,
    "pooling": VERMILLION,
    "upsampling": ORANGE,
    "concatenation": GREEN,
    "merge": GREEN,
    "dense": YELLOW,
    "output": PURPLE,
}
_OTHER = "#D0D0D0"
_LONGEST = 30  # characters of a layer's name
_WIDEST_PITCH_MM = 9.0
_LANE_MM = 1.6  # above each row, where skip connections run


@dataclass(frozen=True)
class _Box:
    label: str
    kind: str
    row: int
    inputs: tuple[int, ...]


def network_diagram(
    layers: Sequence[Any], *, style: str | Style = "nature", title: str | None = None
) -> PaperFigure:
    """Draw an encoder-decoder, or any other network, from facts about its layers.

    Normalisation, dropout, activation and padding are folded into the box of the layer that they
    follow. Every box names the layer and its channels. A network of more layers than the
    two-column width can hold makes a wider figure rather than unreadable letters.

    Parameters
    ----------
    layers : sequence of LayerInfo
        In order, as `describe_layers` gives them; `inputs` names the layers that feed each one.
    style : str or Style
    title : str, optional

    Returns
    -------
    Figure

    Raises
    ------
    ConfigError
        When there are no layers.

    Examples
    --------
    >>> from types import SimpleNamespace as Info
    >>> rows = [
    ...     Info(name="input", kind="input", output_shape=(8, 8, 1), stride=(1, 1), inputs=()),
    ...     Info(name="conv", kind="convolution", output_shape=(8, 8, 4), stride=(1, 1),
    ...          inputs=("input",)),
    ... ]
    >>> [text.get_text() for text in network_diagram(rows).texts]
    ['stride 1', 'input · 1', 'conv · 4']
    """
    if not layers:
        raise ConfigError("There is nothing to draw: the network has no layers.")
    style = get_style(style)
    with style.context():
        return _drawn(*_boxes(layers), style, title)


def _boxes(layers: Sequence[Any]) -> tuple[list[_Box], list[str]]:
    """Return the boxes and what stands at the left of each row of the drawing."""
    strides = sorted({tuple(i.stride) for i in layers if i.stride}, key=lambda s: s[0] * s[1])
    boxes: list[_Box] = []
    box_of: dict[str, int] = {}
    row = 0
    for info in layers:
        inputs = tuple(dict.fromkeys(box_of[name] for name in info.inputs))
        if info.kind in _FOLDED and len(inputs) == 1:
            box_of[info.name] = inputs[0]
            continue
        if info.stride:  # layers that mix all positions stay in the row they come from
            row = strides.index(tuple(info.stride))
        channels = info.output_shape[-1] if info.output_shape else None
        label = _shortened(info.name) + (f" · {channels}" if channels else "")
        box_of[info.name] = len(boxes)
        boxes.append(_Box(label, info.kind, row, inputs))
    words = [
        f"stride {depth:g}" if depth == width else f"stride {depth:g} × {width:g}"
        for depth, width in strides
    ]
    return boxes, words or [""]


def _shortened(name: str) -> str:
    half = _LONGEST // 2
    return name if len(name) <= _LONGEST else f"{name[:half]}…{name[-half + 1 :]}"


def _lanes(boxes: list[_Box]) -> dict[tuple[int, int], tuple[int, int]]:
    """Return the row and the lane above it in which each skip connection runs.

    Short ones run closest to the boxes; connections in one lane never overlap.
    """
    skips = [(j, i) for i, box in enumerate(boxes) for j in box.inputs if j != i - 1]
    taken: dict[tuple[int, int], list[tuple[int, int]]] = {}
    found = {}
    for start, stop in sorted(skips, key=lambda skip: (skip[1] - skip[0], skip)):
        row, lane = min(boxes[start].row, boxes[stop].row), 0
        while any(a < stop and start < b for a, b in taken.get((row, lane), ())):
            lane += 1
        taken.setdefault((row, lane), []).append((start, stop))
        found[start, stop] = row, lane
    return found


def _drawn(boxes: list[_Box], rows: list[str], style: Style, title: str | None) -> PaperFigure:
    size = style.min_pt
    left = max(text_width_mm(word, style.small_pt, style) for word in rows) + 3.0
    width = style.one_column_mm
    if left + 1.0 + len(boxes) * 0.7 * _WIDEST_PITCH_MM > width:
        narrowest = line_mm(size) + 1.2
        width = max(style.two_column_mm, left + 1.0 + len(boxes) * narrowest)
    pitch = min(_WIDEST_PITCH_MM, (width - left - 1.0) / len(boxes))
    wide = min(pitch - 1.1, 1.6 * line_mm(size))
    tall = max(text_width_mm(box.label, size, style) for box in boxes) + 2.0

    lanes = _lanes(boxes)
    tops: list[float] = []  # millimetres from the top of the page to that of each row's boxes
    y = 1.0 + (line_mm(style.font_pt) if title else 0.0)
    for row in range(len(rows)):
        y += max((lane + 1 for at, lane in lanes.values() if at == row), default=0) * _LANE_MM
        tops.append(y + 0.5)
        y = tops[-1] + tall + 3.0
    kinds = list(dict.fromkeys(box.kind for box in boxes))
    entries = legend_columns(kinds, width, style)
    height = y - 1.0 + math.ceil(len(kinds) / entries) * line_mm(style.small_pt)

    figure = PaperFigure(style, width, height)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0))
    ax.set_axis_off()
    if title:
        shown, title_pt = fit_text(title, width - 2.0, style)
        figure.text(1 / width, 1 - line_mm(style.font_pt) / height, shown, fontsize=title_pt)
    for top, word in zip(tops, rows, strict=True):
        middle = 1 - (top + tall / 2) / height
        figure.text(1 / width, middle, word, fontsize=style.small_pt, va="center")
    places = [(left + (i + 0.5) * pitch, tops[box.row]) for i, box in enumerate(boxes)]
    for i, ((x, top), box) in enumerate(zip(places, boxes, strict=True)):
        ax.add_patch(
            FancyBboxPatch(
                (x - wide / 2, top), wide, tall, boxstyle="round,pad=0,rounding_size=0.5",
                facecolor=_COLOURS.get(box.kind, _OTHER), edgecolor="black",
                linewidth=0.5 * style.line_pt, zorder=2,
            )
        )  # fmt: skip
        figure.text(
            x / width, 1 - (top + tall / 2) / height, box.label, fontsize=size, rotation=90,
            ha="center", va="center", rotation_mode="anchor",
        )  # fmt: skip
        for j in box.inputs:
            lane_y = None
            if (j, i) in lanes:
                row, lane = lanes[j, i]
                lane_y = tops[row] - 0.5 - (lane + 0.5) * _LANE_MM
            _arrow(ax, _path(places[j], (x, top), wide, tall, lane_y), style)
    figure.legend(
        handles=[
            Patch(facecolor=_COLOURS.get(k, _OTHER), edgecolor="black", linewidth=0.3, label=k)
            for k in kinds
        ],
        loc="lower center",
        ncols=entries,
        bbox_to_anchor=(0.5, 0.0),
        **LEGEND,
    )
    return figure


def _path(
    start: tuple[float, float],
    stop: tuple[float, float],
    wide: float,
    tall: float,
    lane_y: float | None,
) -> list[tuple[float, float]]:
    """Return the corners of an arrow between two boxes, given by the middle of their upper sides.

    Each box has a column of its own, so uprights cross no other box.
    """
    (x0, top0), (x1, top1) = start, stop
    if lane_y is not None:
        out, into = x0 + 0.2 * wide, x1 - 0.2 * wide  # one box may end a skip and begin another
        return [(out, top0), (out, lane_y), (into, lane_y), (into, top1)]
    middle = top1 + tall / 2
    if top0 == top1:
        return [(x0 + wide / 2, middle), (x1 - wide / 2, middle)]
    return [(x0, top0 + (tall if top1 > top0 else 0)), (x0, middle), (x1 - wide / 2, middle)]


def _arrow(ax: Any, path: list[tuple[float, float]], style: Style) -> None:
    line = 0.7 * style.line_pt
    ax.plot(*zip(*path, strict=True), color="black", linewidth=line, zorder=1, gid="connection")
    head = {
        "arrowstyle": "-|>,head_length=0.25,head_width=0.12", "linewidth": line, "color": "black",
        "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8 * style.line_pt / 0.75,
    }  # fmt: skip
    ax.annotate("", path[-1], path[-2], arrowprops=head)
