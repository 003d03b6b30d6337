"""The figures of a dream: triptych, overlays, levels compared, picture grids, histories."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from medream.errors import ConfigError, nearest
from medream.figures.layout import (
    LEGEND,
    Panel,
    aspect_of,
    legend_columns,
    line_mm,
    panel_figure,
)
from medream.figures.overlay import (
    checked_image,
    class_names,
    draw_overlay,
    legend_handles,
    show_image,
)
from medream.figures.style import PaperFigure, Style, fit_text, get_style

KINDS = ("triptych", "overlay", "grid", "history")
_DREAMS = ("original", "dream", "enhanced")
_CONTOUR = 2 / 3  # width of a contour over that of a curve: small lesions stay visible under it


def triptych(
    result: Any,
    reference: np.ndarray | None = None,
    prediction: np.ndarray | None = None,
    *,
    difference: bool = False,
    control: bool = False,
    classes: Sequence[str] | None = None,
    style: str | Style = "nature",
    title: str | None = None,
) -> PaperFigure:
    """Draw original, dream and enhanced dream on one grey scale, and their segmentations below.

    Parameters
    ----------
    result : DreamResult
    reference : ndarray, shape (h, w), optional
        Expert mask, drawn as a contour; default: the result's.
    prediction : ndarray, shape (h, w), optional
        Mask predicted on the original, drawn as a fill; default: the result's.
    difference : bool
        Add dream - original, signed, on a scale symmetric about 0.
    control : bool
        Add the dream on re-drawn weights.
    classes : sequence of str, optional
        Names of the mask values 1, 2, ... for the legend.
    style : str or Style
    title : str, optional

    Returns
    -------
    Figure
        As wide as the journal's one or two columns; `savefig` keeps the style.

    Raises
    ------
    ConfigError
        When a mask is of another size, or the control is asked for and there is none.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> grey = np.full((8, 12), 0.5)
    >>> result = SimpleNamespace(
    ...     original=grey, dream=grey, enhanced=None, control=None, objective="mid", config="",
    ...     spacing_mm=None, reference=None, predictions={})
    >>> len(triptych(result).axes)
    2
    """
    style = get_style(style)
    pictures = _pictures(result)
    top = [
        Panel(partial(show_image, image=picture), aspect_of(picture), name.capitalize())
        for name, picture in pictures.items()
    ]
    bottom, legend = _overlays(result, reference, prediction, classes, style)
    below_mm = 0.0
    if difference:
        draw = partial(_draw_difference, before=result.original, after=result.dream, style=style)
        top.append(Panel(draw, aspect_of(result.dream), "Dream \N{MINUS SIGN} original"))
        if not legend:
            below_mm = 2.5 + line_mm(style.small_pt)
    if control:
        if result.control is None:
            raise ConfigError(
                "This dream has no control. Dream again with control=True (the default; on the "
                "command line without --no-control)."
            )
        draw = partial(show_image, image=result.control)
        top.append(Panel(draw, aspect_of(result.control), "Control"))
    rows: list[list[Panel | None]] = [[*top]]
    if legend:
        rows.append([*bottom, *[None] * (len(top) - len(bottom))])
    figure = panel_figure(
        _lettered(rows),
        style,
        title=title,
        legend=legend,
        below_mm=below_mm,
        spacing_mm=result.spacing_mm,
    )
    figure.provenance = _provenance(result)
    return figure


def overlay_figure(
    result: Any,
    reference: np.ndarray | None = None,
    prediction: np.ndarray | None = None,
    *,
    classes: Sequence[str] | None = None,
    style: str | Style = "nature",
    title: str | None = None,
) -> PaperFigure:
    """Draw the segmentation of the original and of each dream, in one row.

    Parameters are those of `triptych`.

    Raises
    ------
    ConfigError
        When there is neither a reference nor a prediction.
    """
    style = get_style(style)
    panels, legend = _overlays(result, reference, prediction, classes, style)
    if not legend:
        raise ConfigError(
            "There is nothing to lay over this scan: the dream holds no reference and no "
            "prediction. Give a mask with reference=... (on the command line --reference)."
        )
    names = [name.capitalize() for name in _pictures(result)]
    panels = [
        None if panel is None else Panel(panel.draw, panel.aspect, name)
        for panel, name in zip(panels, names, strict=True)
    ]
    while panels[-1] is None:
        panels.pop()
    figure = panel_figure(
        _lettered([panels]), style, title=title, legend=legend, spacing_mm=result.spacing_mm
    )
    figure.provenance = _provenance(result)
    return figure


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
                classes=names, line_pt=_CONTOUR * style.line_pt,
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
    has_masks = "Reference" in filled, "Prediction" in filled
    legend = legend_handles(names, *has_masks, style.line_pt) if any(has_masks) else []
    figure = panel_figure(
        list(zip(*filled.values(), strict=True)), style,
        row_labels=[row.label for row in rows], title=title,
        legend=legend, spacing_mm=rows[0].spacing_mm,
    )  # fmt: skip
    figure.provenance = f"medream {version('medream')}"
    return figure


def grid(
    images: Sequence[np.ndarray],
    labels: Sequence[str],
    columns: int = 4,
    *,
    spacing_mm: tuple[float, float] | None = None,
    style: str | Style = "nature",
    title: str | None = None,
) -> PaperFigure:
    """Draw pictures with a label above each, all on the grey scale from 0 to 1.

    Parameters
    ----------
    images : sequence of ndarray, shape (h, w), (h, w, 1) or (h, w, 3)
        In [0, 1].
    labels : sequence of str, one for each image
    columns : int
        Pictures in a row.
    spacing_mm : (axial, lateral), optional
        Of the first image, for its scale bar.
    style : str or Style
    title : str, optional

    Returns
    -------
    Figure

    Examples
    --------
    >>> len(grid([np.zeros((4, 6))] * 3, ["a", "b", "c"], columns=2).axes)
    3
    """
    if len(images) != len(labels) or not len(images) or columns < 1:
        raise ConfigError(
            f"A grid of {len(images)} images with {len(labels)} labels in {columns} columns cannot "
            "be drawn: give at least one image, one label for each, and at least one column."
        )
    style = get_style(style)
    panels: list[Panel | None] = [
        Panel(partial(show_image, image=image), aspect_of(image), label)
        for image, label in zip(images, labels, strict=True)
    ]
    columns = min(columns, len(panels))
    panels += [None] * (-len(panels) % columns)
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    return panel_figure(rows, style, title=title, spacing_mm=spacing_mm)


def history_figure(
    histories: Mapping[str, Any], *, style: str | Style = "nature", title: str | None = None
) -> PaperFigure:
    """Plot the objective along the ascent.

    Parameters
    ----------
    histories : dict of str to sequence of float
        Label of each curve and its objective before each step and after the last.
    style : str or Style
    title : str, optional

    Returns
    -------
    Figure

    Examples
    --------
    >>> len(history_figure({"dec1_conv2": [0.0, 0.5, 0.8]}).axes[0].lines)
    1
    """
    if not histories:
        raise ConfigError("There is no history to draw: give at least one curve.")
    style = get_style(style)
    with style.context():
        figure = PaperFigure(
            style, style.one_column_mm, 0.62 * style.one_column_mm, layout="constrained"
        )
        ax = figure.add_subplot()
        lines = ("-", "--", ":", "-.")
        for i, (label, values) in enumerate(histories.items()):
            way = lines[i // 7 % len(lines)]  # after the palette's seven colours
            marker = "o" if len(values) < 3 else ""
            ax.plot(np.arange(len(values)), values, way, marker=marker, label=label, markersize=3)
        only = f" {next(iter(histories))}" if len(histories) == 1 else ""
        label, size = fit_text("Objective" + only, 0.5 * style.one_column_mm, style)
        ax.set_xlabel("Step")
        ax.set_ylabel(label, fontsize=size)
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
        ax.margins(x=0.02)
        if title:
            ax.set_title(title, loc="left")
        if len(histories) > 1:
            columns = legend_columns(list(histories), style.one_column_mm, style)
            figure.legend(loc="outside lower center", ncols=columns, **LEGEND)
    return figure


def figure(
    result: Any,
    kind: str = "triptych",
    *,
    reference: np.ndarray | None = None,
    prediction: np.ndarray | None = None,
    difference: bool = False,
    control: bool = False,
    style: str | Style = "nature",
    title: str | None = None,
) -> PaperFigure:
    """Draw a figure of a dream by the name of its kind.

    Parameters
    ----------
    result : DreamResult
    kind : {"triptych", "overlay", "grid", "history"}
        "grid" is the triptych with the difference and, when there is one, the control.
    reference, prediction, difference, control, style, title
        As for `triptych`.

    Raises
    ------
    ConfigError
        When there is no such kind, or the result lacks what it needs.
    """
    masks: dict[str, Any] = {"reference": reference, "prediction": prediction}
    if kind == "triptych":
        return triptych(
            result, **masks, difference=difference, control=control, style=style, title=title
        )
    if kind == "overlay":
        return overlay_figure(result, **masks, style=style, title=title)
    if kind == "grid":
        has_control = result.control is not None
        return triptych(
            result, **masks, difference=True, control=has_control, style=style, title=title
        )
    if kind == "history":
        drawn = history_figure({result.objective: result.history}, style=style, title=title)
        drawn.provenance = _provenance(result)
        return drawn
    raise ConfigError(f"There is no figure of kind {kind!r}. {nearest(kind, KINDS)}")


def _pictures(result: Any) -> dict[str, np.ndarray]:
    return {name: getattr(result, name) for name in _DREAMS if getattr(result, name) is not None}


def _overlays(
    result: Any,
    reference: np.ndarray | None,
    prediction: np.ndarray | None,
    classes: Sequence[str] | None,
    style: Style,
) -> tuple[list[Panel | None], list[Any]]:
    """Return the overlay of each picture, None where there is nothing to lay over it."""
    reference = result.reference if reference is None else reference
    predictions = dict(result.predictions)
    if prediction is not None:
        predictions["original"] = prediction
    names = class_names([reference, *predictions.values()], classes)
    panels: list[Panel | None] = []
    for name, picture in _pictures(result).items():
        predicted = predictions.get(name)
        if reference is None and predicted is None:
            panels.append(None)
            continue
        draw = partial(
            draw_overlay, image=picture, reference=reference, prediction=predicted,
            classes=names, line_pt=_CONTOUR * style.line_pt,
        )  # fmt: skip
        panels.append(
            Panel(draw, aspect_of(picture), "Reference" if predicted is None else "Segmentation")
        )
    if not any(panels):
        return panels, []
    return panels, legend_handles(names, reference is not None, bool(predictions), style.line_pt)


def _lettered(rows: Sequence[Sequence[Panel | None]]) -> list[list[Panel | None]]:
    letters = iter(string.ascii_lowercase)
    return [[p and Panel(p.draw, p.aspect, p.title, next(letters)) for p in row] for row in rows]


def _draw_difference(ax: Axes, before: np.ndarray, after: np.ndarray, style: Style) -> None:
    delta = checked_image(after).astype(np.float64) - checked_image(before)
    if delta.ndim == 3:
        delta = delta.mean(axis=2)
    limit = _rounded_up(float(np.abs(delta).max()))
    shown = ax.imshow(delta, cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.set_axis_off()
    figure = ax.get_figure(root=True)
    assert figure is not None
    box = ax.get_position()
    mm = 1 / (25.4 * figure.get_size_inches()[1])
    bar = figure.add_axes((box.x0 + 0.1 * box.width, box.y0 - 2.2 * mm, 0.8 * box.width, 1.2 * mm))
    figure.colorbar(shown, cax=bar, orientation="horizontal", ticks=[-limit, 0, limit])
    bar.set_xticklabels([f"\N{MINUS SIGN}{limit:g}", "0", f"{limit:g}"])
    bar.tick_params(labelsize=style.small_pt, pad=1, length=1.5, width=0.7 * style.line_pt)


def _rounded_up(value: float) -> float:
    """Round up to one digit, for limits that are short to write; 0.1 for no difference at all."""
    if value == 0:
        return 0.1
    unit = 10.0 ** np.floor(np.log10(value))
    return float(f"{np.ceil(value / unit - 1e-9) * unit:.1g}")


def _provenance(result: Any) -> str:
    return f"medream {version('medream')}; objective {result.objective}; {result.config}"
