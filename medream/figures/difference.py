"""Dream - original, signed, on a colour scale symmetric about 0."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from medream.errors import ConfigError
from medream.figures.overlay import checked_image
from medream.figures.style import MM_PER_INCH, Style


def difference_limit(results: Iterable[Any]) -> float:
    """Return the end of a colour scale that holds the differences of all results.

    Given to each figure as `limit`, a colour means the same in all of them.

    Parameters
    ----------
    results : iterable of DreamResult

    Returns
    -------
    float
        The greatest absolute difference of a dream from its original, rounded up to one digit; 0.1
        when there is no difference at all.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> dreams = [SimpleNamespace(original=np.zeros((2, 2)), dream=np.full((2, 2), x)) for x in (0.11, 0.32)]
    >>> difference_limit(dreams)
    0.4
    """
    greatest = [float(np.abs(difference(r.original, r.dream)).max()) for r in results]
    return rounded_up(max(greatest, default=0.0))


def checked_limit(limit: float | None, result: Any) -> float:
    """Return the given end of the scale, or that of one result, or say what is wrong with it."""
    if limit is None:
        return difference_limit([result])
    if not 0 < limit <= 1:
        raise ConfigError(
            f"The limit of the difference is {limit!r}; expected a number above 0 and at most 1, "
            "in the scan's intensities."
        )
    return float(limit)


def difference(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return after - before, averaged over channels."""
    delta = checked_image(after).astype(np.float64) - checked_image(before)
    return delta.mean(axis=2) if delta.ndim == 3 else delta


def draw_difference(
    ax: Axes, before: np.ndarray, after: np.ndarray, limit: float, style: Style
) -> None:
    """Draw a difference from -limit to limit and its colour bar, pointed where the scale is exceeded."""
    delta = difference(before, after)
    shown = ax.imshow(delta, cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.set_axis_off()
    figure = ax.get_figure(root=True)
    assert figure is not None
    box = ax.get_position()
    mm = 1 / (MM_PER_INCH * figure.get_size_inches()[1])
    bar = figure.add_axes((box.x0 + 0.1 * box.width, box.y0 - 2.2 * mm, 0.8 * box.width, 1.2 * mm))
    beyond = "both" if np.abs(delta).max() > limit else "neither"
    figure.colorbar(
        shown, cax=bar, orientation="horizontal", ticks=[-limit, 0, limit], extend=beyond
    )
    bar.set_xticklabels([f"\N{MINUS SIGN}{limit:g}", "0", f"{limit:g}"])
    bar.tick_params(labelsize=style.small_pt, pad=1, length=1.5, width=0.7 * style.line_pt)


def rounded_up(value: float) -> float:
    """Round up to one digit, for limits that are short to write; 0.1 for no difference at all."""
    if value == 0:
        return 0.1
    unit = 10.0 ** np.floor(np.log10(value))
    return float(f"{np.ceil(value / unit - 1e-9) * unit:.1g}")
