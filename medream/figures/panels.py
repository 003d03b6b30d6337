"""The figures of a dream, by the names of their kinds, and grids of pictures."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np

from medream.errors import ConfigError, nearest
from medream.figures.difference import checked_limit, draw_difference
from medream.figures.film import filmstrip
from medream.figures.history import history_figure
from medream.figures.layout import Panel, aspect_of, line_mm, panel_figure
from medream.figures.overlay import (
    CONTOUR,
    class_names,
    draw_overlay,
    legend_handles,
    show_image,
)
from medream.figures.style import PaperFigure, Style, get_style

OPTIONS = {
    "triptych": ("reference", "prediction", "difference", "control", "limit"),
    "overlay": ("reference", "prediction"),
    "grid": ("reference", "prediction", "difference", "control", "limit"),
    "history": (),
    "filmstrip": (),
    "film": ("fps",),
    "atlas": (),
}
"""What each kind of figure may be asked to show."""
KINDS = tuple(OPTIONS)
_DREAMS = ("original", "dream", "enhanced")


def triptych(
    result: Any,
    reference: np.ndarray | None = None,
    prediction: np.ndarray | None = None,
    *,
    difference: bool = False,
    control: bool = False,
    limit: float | None = None,
    classes: Sequence[str] | None = None,
    style: str | Style = "nature",
    title: str | None = None,
) -> PaperFigure:
    """Draw original, dream and enhanced dream on one grey scale, and their segmentations below.

    Where neither the reference nor a prediction holds a lesion, the legend says so in place of the
    second row.

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
    limit : float, optional
        The difference's colours run from -limit to limit, so that figures can be compared;
        `difference_limit` finds one for several. Default: the greatest difference of this result,
        rounded up to one digit.
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
    bottom, legend, something = _overlays(result, reference, prediction, classes, style)
    if not something:  # the second row would only repeat the first
        bottom = []
    below_mm = 0.0
    if difference:
        draw = partial(
            draw_difference, before=result.original, after=result.dream,
            limit=checked_limit(limit, result), style=style,
        )  # fmt: skip
        top.append(Panel(draw, aspect_of(result.dream), "Dream \N{MINUS SIGN} original"))
        if not any(bottom):
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
    if any(bottom):
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
    panels, legend, _ = _overlays(result, reference, prediction, classes, style)
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


def figure(
    result: Any,
    kind: str = "triptych",
    *,
    reference: np.ndarray | None = None,
    prediction: np.ndarray | None = None,
    difference: bool = False,
    control: bool = False,
    limit: float | None = None,
    style: str | Style = "nature",
    title: str | None = None,
) -> PaperFigure:
    """Draw a figure of a dream by the name of its kind.

    Parameters
    ----------
    result : DreamResult
    kind : {"triptych", "overlay", "grid", "history", "filmstrip"}
        "grid" is the triptych with the difference and, when there is one, the control;
        "history" shows the control's curve, too. "film" and "atlas" are `write_animation`
        and `atlas`.
    reference, prediction, difference, control, limit, style, title
        As for `triptych`. `OPTIONS` says which kind takes which.

    Raises
    ------
    ConfigError
        When there is no such kind, it does not take an argument, or the result lacks what it needs.
    """
    given = {
        "reference": reference, "prediction": prediction, "difference": difference or None,
        "control": control or None, "limit": limit,
    }  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None}
    check_options(kind, given)
    shown: dict[str, Any] = {**given, "style": style, "title": title}
    if kind in ("film", "atlas"):
        other = "write_animation(result, 'film.gif')" if kind == "film" else "atlas(results)"
        raise ConfigError(f"A {kind} is not drawn of one dream as a figure: call {other}.")
    if kind == "filmstrip":
        return filmstrip(result, style=style, title=title)
    if kind == "history":
        curves = {result.objective: result.history}
        if getattr(result, "control_history", None) is not None:
            curves["Control (re-drawn weights)"] = result.control_history
        drawn = history_figure(curves, style=style, title=title)
        drawn.provenance = _provenance(result)
        return drawn
    if kind == "overlay":
        return overlay_figure(result, **shown)
    if kind == "grid":
        has_control = control or result.control is not None
        shown = {**shown, "difference": True, "control": has_control}
    elif limit is not None and not difference:
        raise ConfigError("A limit is that of the difference: ask for difference=True, too.")
    return triptych(result, **shown)


def check_options(kind: str, given: Iterable[str]) -> None:
    """Raise `ConfigError` when there is no such kind of figure or it does not take what is given."""
    if kind not in OPTIONS:
        raise ConfigError(f"There is no figure of kind {kind!r}. {nearest(kind, KINDS)}")
    for name in given:
        if name not in OPTIONS[kind]:
            kinds = " and ".join(k for k, options in OPTIONS.items() if name in options)
            raise ConfigError(
                f"A figure of kind {kind!r} shows no {name}; the kinds that do are {kinds}."
            )


def _pictures(result: Any) -> dict[str, np.ndarray]:
    return {name: getattr(result, name) for name in _DREAMS if getattr(result, name) is not None}


def _overlays(
    result: Any,
    reference: np.ndarray | None,
    prediction: np.ndarray | None,
    classes: Sequence[str] | None,
    style: Style,
) -> tuple[list[Panel | None], list[Any], bool]:
    """Return the overlay of each picture, the legend, and whether any mask holds a lesion.

    A panel is None where there is no mask to lay over its picture.
    """
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
            classes=names, line_pt=CONTOUR * style.line_pt,
        )  # fmt: skip
        panels.append(
            Panel(draw, aspect_of(picture), "Reference" if predicted is None else "Segmentation")
        )
    in_reference = reference is not None and bool(np.any(reference))
    in_prediction = any(np.any(mask) for mask in predictions.values())
    empty = ["reference"] * (reference is not None and not in_reference)
    empty += ["prediction"] * (bool(predictions) and not in_prediction)
    legend = legend_handles(names, in_reference, in_prediction, style.line_pt, empty)
    return panels, legend, in_reference or in_prediction


def _lettered(rows: Sequence[Sequence[Panel | None]]) -> list[list[Panel | None]]:
    letters = iter(string.ascii_lowercase)
    return [[p and Panel(p.draw, p.aspect, p.title, next(letters)) for p in row] for row in rows]


def _provenance(result: Any) -> str:
    return f"medream {version('medream')}; objective {result.objective}; {result.config}"
