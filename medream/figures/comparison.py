"""Networks compared: a row for each, with scan, reference, prediction and dreams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import numpy as np
from matplotlib.axes import Axes

from medream.errors import ConfigError
from medream.figures.layout import Panel, aspect_of, panel_figure
from medream.figures.overlay import (
    CONTOUR,
    class_names,
    draw_overlay,
    legend_handles,
    show_image,
)
from medream.figures.style import PaperFigure, Style, get_style


@dataclass(frozen=True, eq=False)
class ComparisonRow:
    """One network in the comparison figure.

    Parameters
    ----------
    label : str
        For example "2 levels".
    image, dream : ndarray, shape (h, w) or (h, w, c)
        In [0, 1].
    enhanced, control : ndarray of the image's shape, or None
    reference, prediction : ndarray, shape (h, w), or None
    spacing_mm : (axial, lateral) or None
    """

    label: str
    image: np.ndarray
    reference: np.ndarray | None
    prediction: np.ndarray | None
    dream: np.ndarray
    enhanced: np.ndarray | None = None
    control: np.ndarray | None = None
    spacing_mm: tuple[float, float] | None = None


def comparison(
    rows: Sequence[ComparisonRow],
    *,
    classes: Sequence[str] | None = None,
    style: str | Style = "nature",
    title: str | None = None,
) -> PaperFigure:
    """Compare networks: a row each, with scan, reference, prediction, dream, enhanced and control.

    A column that no row can fill is left out. The prediction's panel shows the reference, too.

    Parameters
    ----------
    rows : sequence of ComparisonRow
    classes : sequence of str, optional
        Names of the mask values 1, 2, ... for the legend.
    style : str or Style
    title : str, optional

    Returns
    -------
    Figure

    Examples
    --------
    >>> grey = np.full((8, 12), 0.5)
    >>> figure = comparison([ComparisonRow("2 levels", grey, None, grey > 0.4, grey)])
    >>> len(figure.axes)
    3
    """
    if not rows:
        raise ConfigError("There is nothing to compare: give at least one ComparisonRow.")
    style = get_style(style)
    masks = [mask for row in rows for mask in (row.reference, row.prediction)]
    names = class_names(masks, classes)

    def cell(row: ComparisonRow, column: str) -> Panel | None:
        title = column if row is rows[0] else ""
        if column in ("Reference", "Prediction"):
            mask = row.reference if column == "Reference" else row.prediction
            if mask is None:
                return None
            prediction = mask if column == "Prediction" else None
            draw: Callable[[Axes], None] = partial(
                draw_overlay, image=row.image, reference=row.reference, prediction=prediction,
                classes=names, line_pt=CONTOUR * style.line_pt,
            )  # fmt: skip
            return Panel(draw, aspect_of(row.image), title)
        picture = row.image if column == "Scan" else getattr(row, column.lower())
        if picture is None:
            return None
        return Panel(partial(show_image, image=picture), aspect_of(picture), title)

    table = {
        column: [cell(row, column) for row in rows]
        for column in ("Scan", "Reference", "Prediction", "Dream", "Enhanced", "Control")
    }
    filled = {column: cells for column, cells in table.items() if any(cells)}
    for column, cells in filled.items():
        if cells[0] is None:  # the title stands over the first panel there is
            i = next(i for i, panel in enumerate(cells) if panel)
            cells[i] = Panel(cells[i].draw, cells[i].aspect, column)  # type: ignore[union-attr]
    references = [row.reference for row in rows if row.reference is not None]
    legend = legend_handles(
        names, reference=any(np.any(mask) for mask in references),
        prediction="Prediction" in filled, line_pt=style.line_pt,
        empty=[] if any(np.any(mask) for mask in references) or not references else ["reference"],
    )  # fmt: skip
    figure = panel_figure(
        list(zip(*filled.values(), strict=True)), style,
        row_labels=[row.label for row in rows], title=title,
        legend=legend, spacing_mm=rows[0].spacing_mm,
    )  # fmt: skip
    figure.provenance = f"medream {version('medream')}"
    return figure
