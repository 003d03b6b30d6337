"""The maps of a layer's units on a scan, the strongest first."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version

import numpy as np
from matplotlib.axes import Axes

from medream.errors import ConfigError
from medream.figures.layout import Panel, aspect_of, panel_figure
from medream.figures.overlay import show_image
from medream.figures.style import PaperFigure, Style, get_style

MOST = 23
"""Maps that are shown unless more are asked for: with the scan four rows of six."""


def activation_figure(
    image: np.ndarray,
    maps: np.ndarray,
    units: Sequence[int],
    energies: Sequence[float],
    *,
    most: int = MOST,
    columns: int = 6,
    spacing_mm: tuple[float, float] | None = None,
    style: str | Style = "nature",
    title: str | None = None,
) -> PaperFigure:
    """Draw a scan and the maps of a layer's units on it, with each unit's number and share of the energy.

    Each map has its own scale, from 0 (dark) to its maximum; one with negative values has blue below 0 and
    red above. How strong a map is says its share of the layer's energy.

    Parameters
    ----------
    image : ndarray, shape (depth, width)
        In [0, 1].
    maps : ndarray, shape (units, rows, columns)
    units, energies : sequences, one value for each map
        Channel and mean square; as `maps_by_energy` of `medream.evidence.activations` gives
        them, of all units of the layer.
    most : int
        Of more maps so many are shown, the first. Default 23.
    columns : int
        Pictures in a row. Default 6.
    spacing_mm : (axial, lateral), optional
    style : str or Style
    title : str, optional
        Default: the number of maps shown of those that there are, where not all are.

    Returns
    -------
    Figure

    Raises
    ------
    ConfigError
        When there is no map, or the numbers of maps, units and energies differ.

    Examples
    --------
    >>> figure = activation_figure(np.full((8, 12), 0.5), np.ones((2, 4, 6)), [7, 3], [3.0, 1.0])
    >>> [text.get_text() for text in figure.texts]
    ['Scan', 'Unit 7  75 %', '3  25 %']
    """
    maps = np.asarray(maps)
    if maps.ndim != 3 or not len(maps) or not len(maps) == len(units) == len(energies):
        raise ConfigError(
            f"Maps of shape {maps.shape} with {len(units)} units and {len(energies)} energies cannot be "
            "drawn; expected (units, rows, columns) and one of each for every map."
        )
    if most < 1 or columns < 1:
        raise ConfigError(f"most is {most} and columns {columns}; expected at least 1 of each.")
    style = get_style(style)
    total = float(np.sum(energies))
    aspect = aspect_of(image)
    panels: list[Panel | None] = [Panel(partial(show_image, image=image), aspect, "Scan")]
    for n, (values, unit, energy) in enumerate(zip(maps[:most], units, energies, strict=False)):
        share = f"  {_percent(energy / total)}" if total > 0 else ""
        words = f"{'' if n else 'Unit '}{unit}{share}"
        panels.append(Panel(partial(_show_map, values=values), aspect, words))
    columns = min(columns, len(panels))
    panels += [None] * (-len(panels) % columns)
    if title is None and len(maps) > most:
        title = f"The {most} strongest of {len(maps)} units"
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    figure = panel_figure(rows, style, title=title, spacing_mm=spacing_mm)
    figure.provenance = f"medream {version('medream')}"
    signed = [bool(values.min() < 0) for values in maps[:most]]
    held = {"positive": not all(signed), "signed": any(signed)}
    figure.holds = tuple(name for name, there in held.items() if there)
    return figure


def _show_map(ax: Axes, values: np.ndarray) -> None:
    limit = float(np.abs(values).max()) or 1.0
    low, colours = (-limit, "RdBu_r") if values.min() < 0 else (0.0, "cividis")
    # A map is stretched to the scan's frame, of which it has a few pixels.
    ax.imshow(values, cmap=colours, vmin=low, vmax=limit, aspect="auto")
    ax.set_axis_off()


def _percent(share: float) -> str:
    """Write a share with two digits at most.

    >>> [_percent(share) for share in (0.314, 0.0123, 0.0)]
    ['31 %', '1.2 %', '0 %']
    """
    return f"{100 * share:.0f} %" if share >= 0.095 or share == 0 else f"{100 * share:.1f} %"
