"""Many dreams on one sheet: every channel of a layer, many scans, many seeds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from medream.errors import ConfigError
from medream.figures.layout import Panel, aspect_of, panel_figure
from medream.figures.overlay import show_image
from medream.figures.style import MM_PER_INCH, PaperFigure, Style, get_style

_COLUMNS = ((12, 4), (36, 6), (100, 8), (400, 12))  # up to so many pictures: so many in a row
_WIDEST = 512  # pixels of a picture on the sheet
_MOST_PIXELS = 4e7
_MOST_RANGES = 8  # of channels in a heading


def atlas(
    dreams: Iterable[tuple[str, Any]],
    columns: int | None = None,
    *,
    style: str | Style = "nature",
    title: str | None = None,
) -> PaperFigure:
    """Draw dreams side by side, each with its name and by how much its objective rose.

    Where all begin from one scan, it is shown first. A dream that is the image itself is
    marked as dead. Pictures wider than 512 pixels are made smaller, so that a sheet of a
    thousand fits into memory.

    Parameters
    ----------
    dreams : iterable of (str, DreamResult)
        Names and results, as `medream.dream.sweep.load_results` opens them; held one at a time.
    columns : int, optional
        Pictures in a row. Default: by their number, 4 to 16.
    style : str or Style
        Its greatest height holds up to a hundred pictures; beyond, the sheet is for a screen.
    title : str, optional
        Default: the objective that all share, the channels of a layer, or the objective of the
        first to that of the last.

    Returns
    -------
    Figure

    Raises
    ------
    ConfigError
        When there is no dream.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> grey, rising = np.full((8, 12), 0.5, "float32"), np.array([0.0, 0.5])
    >>> one = SimpleNamespace(
    ...     original=grey, dream=grey + 0.1, history=rising, objective="mid[0]", spacing_mm=None)
    >>> [ax.get_title() or "picture" for ax in atlas([("0", one), ("1", one)]).axes]
    ['picture', 'picture', 'picture']
    """
    style = get_style(style)
    original: np.ndarray | None = None
    common, spacing = True, None
    pictures: list[tuple[str, np.ndarray]] = []
    labels: list[str] = []
    for name, result in dreams:
        if original is None:
            original, spacing = result.original, result.spacing_mm
        common = common and np.array_equal(original, result.original)
        pictures.append((f"{name}  {_words(result)}", _small(result.dream)))
        labels.append(result.objective)
    if original is None:
        raise ConfigError("There is no dream to draw.")
    if common:
        pictures.insert(0, ("Original", _small(original)))
    count = len(pictures)
    if columns is None:
        columns = next((number for most, number in _COLUMNS if count <= most), 16)
    columns = max(1, min(columns, count))
    panels: list[Panel | None] = [
        Panel(partial(show_image, image=picture), aspect_of(picture), words)
        for words, picture in pictures
    ]
    panels += [None] * (-count % columns)
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    high = style if count <= 101 else replace(style, max_height_mm=1e6)
    shrunk = _shrink(pictures[0][1], original if common else None)
    figure = panel_figure(
        rows, high, title=title or _title(labels),
        spacing_mm=None if spacing is None or shrunk is None else (spacing[0] * shrunk, spacing[1] * shrunk),
    )  # fmt: skip
    width, height = figure.get_size_inches()
    dpi = int(min(style.dpi, (_MOST_PIXELS / (width * height)) ** 0.5))
    figure.style = replace(high, dpi=max(dpi, int(MM_PER_INCH)))
    figure.provenance = f"medream atlas of {len(labels)} dreams; {labels[0]} to {labels[-1]}"
    return figure


def _words(result: Any) -> str:
    if len(result.history) > 1 and np.array_equal(result.dream, result.original):
        return "dead"
    gain = float(result.history[-1]) - float(result.history[0])
    return f"{gain:+.2g}".replace("-", "\N{MINUS SIGN}")


def _title(labels: list[str]) -> str:
    """Return what heads the sheet: the channels by their numbers, other objectives by their ends.

    >>> _title(["mid[0]", "mid[3]", "mid[5]", "mid[6]"])
    'channels 0, 3, 5-6 of mid'
    >>> _title(["mid[0] - 2 L2", "mid[3] - 2 L2"])
    'mid[0, 3] - 2 L2'
    >>> _title(["mid", "class 1"])
    'mid to class 1'
    """
    if len(set(labels)) == 1:
        return labels[0]
    parts = [re.split(r"\[(\d+)\]", label) for label in labels]
    before, after = parts[0][0], parts[0][-1]
    if all(len(part) == 3 and (part[0], part[2]) == (before, after) for part in parts):
        several = _ranges(sorted({int(part[1]) for part in parts}))
        if several.count(",") < _MOST_RANGES:
            named = after or " " in before
            return f"{before}[{several}]{after}" if named else f"channels {several} of {before}"
        many = "" if after or " " in before else f"{len(set(labels))} channels, "
        return f"{many}{labels[0]} to {labels[-1]}"
    return f"{labels[0]} to {labels[-1]}"


def _ranges(numbers: list[int]) -> str:
    """Write numbers as --channels takes them.

    >>> _ranges([0, 3, 5, 6, 7])
    '0, 3, 5-7'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _small(image: np.ndarray) -> np.ndarray:
    """Return an 8-bit picture (depth, width) or (depth, width, 3), as values in [0, 1]."""
    picture = image[..., 0] if image.ndim == 3 and image.shape[2] != 3 else image
    drawn = Image.fromarray(np.round(255 * picture).astype(np.uint8))
    if drawn.width > _WIDEST:
        drawn.thumbnail((_WIDEST, 16 * _WIDEST), Image.Resampling.BOX)
    return np.asarray(drawn, np.float32) / np.float32(255)


def _shrink(small: np.ndarray, original: np.ndarray | None) -> float | None:
    """Return by how much the first picture was made smaller; None where it is no common scan."""
    return None if original is None else original.shape[1] / small.shape[1]
