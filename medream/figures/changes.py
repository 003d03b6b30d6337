"""What dreams changed, on one scale of colours with one bar below all of them."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from medream.figures.difference import difference
from medream.figures.layout import line_mm
from medream.figures.style import MM_PER_INCH, PaperFigure, Style, text_width_mm

_MAP = "RdBu_r"
_BAR_MM = 1.2


def show_change(ax: Axes, before: np.ndarray, after: np.ndarray, limit: float) -> None:
    """Draw after - before from -limit to limit, without axes."""
    ax.imshow(difference(before, after), cmap=_MAP, vmin=-limit, vmax=limit)
    ax.set_axis_off()


def bar_room_mm(style: Style) -> float:
    """Return the height that `change_bar` takes."""
    return 1.0 + _BAR_MM + 0.5 + line_mm(style.small_pt)


def change_bar(figure: PaperFigure, limit: float, beyond: bool, words: str) -> None:
    """Draw the bar of all changes at the figure's bottom, pointed where the scale is exceeded."""
    style = figure.style
    width, height = figure.get_size_inches() * MM_PER_INCH
    line = line_mm(style.small_pt)
    wide = 0.25 * width
    said = text_width_mm(words, style.small_pt, style) + 0.9 * style.small_pt
    left = (width - wide - said) / 2 + said
    bottom = 0.3 + line
    with style.context():
        bar = figure.add_axes((left / width, bottom / height, wide / width, _BAR_MM / height))
        figure.colorbar(
            ScalarMappable(Normalize(-limit, limit), _MAP), cax=bar, orientation="horizontal",
            ticks=[-limit, 0, limit], extend="both" if beyond else "neither",
        )  # fmt: skip
        bar.set_xticklabels([f"\N{MINUS SIGN}{limit:g}", "0", f"{limit:g}"])
        bar.tick_params(labelsize=style.small_pt, pad=1, length=1.5, width=0.7 * style.line_pt)
        figure.text(
            (left - 0.9 * style.small_pt) / width, (bottom + _BAR_MM / 2) / height, words, fontsize=style.small_pt,
            ha="right", va="center",
        )  # fmt: skip
