"""A network drawn as its U: a box for each layer, the order from left to right, the stride down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.patches import FancyBboxPatch, Patch

from medream.errors import ConfigError
from medream.figures.layout import line_mm
from medream.figures.style import (
    GREEN,
    ORANGE,
    PURPLE,
    SKY_BLUE,
    VERMILLION,
    YELLOW,
    PaperFigure,
    Style,
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


def _drawn(boxes: list[_Box], rows: list[str], style: Style, title: str | None) -> PaperFigure:
    size = style.min_pt
    tall = max(text_width_mm(box.label, size, style) for box in boxes) + 2.0
    left = max(text_width_mm(word, style.small_pt, style) for word in rows) + 3.0
    lane = 2.0  # above each row, where skip connections run
    between = 3.0 + lane
    top = 1.0 + (line_mm(style.font_pt) if title else 0.0) + lane
    bottom = 1.0 + 1.5 * line_mm(style.small_pt)
    height = top + len(rows) * tall + (len(rows) - 1) * between + bottom

    narrowest = line_mm(size) + 1.2
    width = style.one_column_mm
    if left + 1.0 + len(boxes) * _WIDEST_PITCH_MM * 0.7 > width:
        width = max(style.two_column_mm, left + 1.0 + len(boxes) * narrowest)
    pitch = min(_WIDEST_PITCH_MM, (width - left - 1.0) / len(boxes))
    wide = min(pitch - 1.1, 1.6 * line_mm(size))

    figure = PaperFigure(style, width, height)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0))  # millimetres from the upper left
    ax.set_axis_off()
    x = [left + (i + 0.5) * pitch for i in range(len(boxes))]
    y = [top + tall / 2 + box.row * (tall + between) for box in boxes]

    if title:
        figure.text(1 / width, 1 - line_mm(style.font_pt) / height, title)
    for i, word in enumerate(rows):
        middle = top + tall / 2 + i * (tall + between)
        figure.text(1 / width, 1 - middle / height, word, fontsize=style.small_pt, va="center")
    for i, box in enumerate(boxes):
        ax.add_patch(
            FancyBboxPatch(
                (x[i] - wide / 2, y[i] - tall / 2), wide, tall,
                boxstyle="round,pad=0,rounding_size=0.5",
                facecolor=_COLOURS.get(box.kind, _OTHER), edgecolor="black",
                linewidth=0.5 * style.line_pt, zorder=2,
            )
        )  # fmt: skip
        figure.text(
            x[i] / width, 1 - y[i] / height, box.label, fontsize=size, rotation=90, ha="center",
            va="center", rotation_mode="anchor",
        )  # fmt: skip
        for j in box.inputs:
            path = _path(j, i, boxes, x, y, wide, tall, lane)
            _arrow(ax, path, style)
    kinds = list(dict.fromkeys(box.kind for box in boxes))
    figure.legend(
        handles=[
            Patch(facecolor=_COLOURS.get(k, _OTHER), edgecolor="black", linewidth=0.3, label=k)
            for k in kinds
        ],
        loc="lower center", ncols=len(kinds), frameon=False, borderpad=0.2, borderaxespad=0.2,
        bbox_to_anchor=(0.5, 0.0), handlelength=1.0, columnspacing=1.0, handletextpad=0.4,
    )  # fmt: skip
    return figure


def _path(
    start: int, stop: int, boxes: list[_Box], x: list[float], y: list[float],
    wide: float, tall: float, lane: float,
) -> list[tuple[float, float]]:  # fmt: skip
    """Return the corners of an arrow. Each box has a column of its own, so uprights cross none."""
    same_row = boxes[start].row == boxes[stop].row
    if stop == start + 1 and same_row:
        return [(x[start] + wide / 2, y[start]), (x[stop] - wide / 2, y[stop])]
    if stop == start + 1:
        towards = tall / 2 if y[stop] > y[start] else -tall / 2
        return [(x[start], y[start] + towards), (x[start], y[stop]), (x[stop] - wide / 2, y[stop])]
    above = min(y[start], y[stop]) - tall / 2 - lane * 0.75
    return [
        (x[start], y[start] - tall / 2),
        (x[start], above),
        (x[stop], above),
        (x[stop], y[stop] - tall / 2),
    ]


def _arrow(ax: Any, path: list[tuple[float, float]], style: Style) -> None:
    line = 0.7 * style.line_pt
    ax.plot(*zip(*path, strict=True), color="black", linewidth=line, zorder=1, gid="connection")
    head = {"arrowstyle": "-|>,head_length=0.25,head_width=0.12", "linewidth": line, "color": "black",
            "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8 * style.line_pt / 0.75}  # fmt: skip
    ax.annotate("", path[-1], path[-2], arrowprops=head)
