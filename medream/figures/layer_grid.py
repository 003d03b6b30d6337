"""Dreams of layers in networks of several depths: a row for each network, a column for each layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from importlib.metadata import version

import numpy as np
from matplotlib.axes import Axes

from medream.errors import ConfigError
from medream.figures.layout import Panel, aspect_of, panel_figure
from medream.figures.overlay import show_image
from medream.figures.style import PaperFigure, Style, get_style


def layer_grid(
    dreams: Mapping[str, Mapping[str, np.ndarray]],
    original: np.ndarray | None = None,
    *,
    layers: Sequence[str] | None = None,
    spacing_mm: tuple[float, float] | None = None,
    style: str | Style = "nature",
    title: str | None = None,
) -> PaperFigure:
    """Draw the dreams of layers, a row for each network; layers that a network lacks stay empty.

    Parameters
    ----------
    dreams : {network: {layer: ndarray, shape (h, w)}}
        In [0, 1], all on one grey scale.
    original : ndarray, shape (h, w), optional
        The scan that they began from, shown at the left of the first row.
    layers : sequence of str, optional
        Columns from the left. Default: those of the network with most of them, in its order, then what
        only others have.
    spacing_mm : (axial, lateral), optional
        For the scale bar in the first picture.
    style : str or Style
    title : str, optional

    Returns
    -------
    Figure

    Raises
    ------
    ConfigError
        When there is no dream, or so many layers that pictures would be too small.

    Examples
    --------
    >>> grey = np.full((8, 12), 0.5)
    >>> figure = layer_grid({"2 levels": {"dec1": grey}, "3 levels": {"dec2": grey, "dec1": grey}})
    >>> sorted(text.get_text() for text in figure.texts if text.get_text())
    ['2 levels', '3 levels', 'dec1', 'dec2']
    """
    if layers is None:
        layers = _columns(list(own) for own in dreams.values())
    shown = {network: [own.get(layer) for layer in layers] for network, own in dreams.items()}
    found = [each for row in shown.values() for each in row if each is not None]
    if not found:
        raise ConfigError(
            "There is no dream to draw: give those of one layer or more of a network."
        )
    style = get_style(style)
    rows: list[list[Panel | None]] = []
    for n, pictures in enumerate(shown.values()):
        row: list[Panel | None] = []
        if original is not None:
            row.append(
                None if n else Panel(partial(show_image, image=original), aspect_of(original), "Original")
            )  # fmt: skip
        for layer, picture in zip(layers, pictures, strict=True):
            words = "" if n else layer
            if picture is not None:
                row.append(Panel(partial(show_image, image=picture), aspect_of(picture), words))
            else:  # the name stands there without a picture
                row.append(Panel(Axes.set_axis_off, aspect_of(found[0]), words) if words else None)
        rows.append(row)
    rows = [row if any(row) else [Panel(Axes.set_axis_off, 1.0), *row[1:]] for row in rows]
    first = rows[0][0] is not None and (
        original is not None or shown[next(iter(shown))][0] is not None
    )
    figure = panel_figure(
        rows, style, row_labels=list(shown), title=title, spacing_mm=spacing_mm if first else None
    )
    figure.provenance = f"medream {version('medream')}"
    held = {
        "original": original is not None,
        "networks": len(shown) > 1,
        "empty": any(each is None for row in shown.values() for each in row),
    }
    figure.holds = tuple(name for name, there in held.items() if there)
    return figure


def _columns(networks: Iterable[list[str]]) -> list[str]:
    """Return all layers in the order of the network with most of them.

    >>> _columns([["enc1", "dec1"], ["enc1", "enc2", "dec2", "dec1"], ["logits"]])
    ['enc1', 'enc2', 'dec2', 'dec1', 'logits']
    """
    ordered = sorted(networks, key=len, reverse=True)
    return list(dict.fromkeys(layer for network in ordered for layer in network))
