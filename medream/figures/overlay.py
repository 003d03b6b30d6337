"""A scan with its reference as a contour and a prediction as a translucent fill, and scale bars."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation
from scipy import ndimage

from medream.errors import ConfigError
from medream.figures.style import (
    BLUE,
    GREEN,
    MM_PER_INCH,
    MM_PER_POINT,
    ORANGE,
    PURPLE,
    SKY_BLUE,
    VERMILLION,
    YELLOW,
    Style,
    get_style,
    text_width_mm,
)

_CLASS_COLOURS = (ORANGE, SKY_BLUE, GREEN, YELLOW, PURPLE, VERMILLION, BLUE)
_NEUTRAL = "#999999"
CONTOUR = 2 / 3
"""Width of a contour over that of a curve: small lesions stay visible under it."""


def checked_image(image: np.ndarray) -> np.ndarray:
    """Return an image as (h, w) or (h, w, 3), or say what is wrong with it."""
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if 0 in image.shape or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        raise ConfigError(
            f"An image of shape {image.shape} cannot be drawn: expected (h, w), (h, w, 1) or "
            "(h, w, 3)."
        )
    low, high = float(image.min()), float(image.max())
    if not np.issubdtype(image.dtype, np.floating) or not (low >= -1e-6 and high <= 1 + 1e-6):
        raise ConfigError(
            f"An image of type {image.dtype} from {low:g} to {high:g} cannot be drawn: expected "
            "finite floating-point values in [0, 1]. Divide by the full range of its type."
        )
    return np.clip(image, 0.0, 1.0)


def checked_mask(mask: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Return a mask of labels as integers, or say why it does not fit the image."""
    mask = np.asarray(mask)
    if mask.shape != shape[:2]:
        raise ConfigError(
            f"The {name} has shape {mask.shape}, the image {shape[:2]}; they must be of one size."
        )
    if mask.dtype != bool and not np.issubdtype(mask.dtype, np.integer):
        raise ConfigError(
            f"The {name} has type {mask.dtype}, expected labels 0, 1, 2, ... as integers or bool."
        )
    return mask.astype(np.int64)


def class_names(
    masks: Iterable[np.ndarray | None], classes: Sequence[str] | None
) -> tuple[str, ...]:
    """Return a name for every label that the masks hold, at least one."""
    given = tuple(classes or ())
    found = max([int(np.max(m)) for m in masks if m is not None and np.size(m)], default=0)
    return given + tuple(f"Class {k}" for k in range(len(given) + 1, max(found, 1) + 1))


def _colour(label: int, n_classes: int, reference: bool) -> str:
    """One class: the colour tells reference from prediction; several: it tells the class."""
    if n_classes == 1:
        return SKY_BLUE if reference else ORANGE
    return _CLASS_COLOURS[(label - 1) % len(_CLASS_COLOURS)]


def show_image(ax: Axes, image: np.ndarray) -> None:
    """Draw an image on the fixed grey scale from 0 to 1, without axes."""
    ax.imshow(checked_image(image), cmap="gray", vmin=0.0, vmax=1.0)
    ax.set_axis_off()


def draw_overlay(
    ax: Axes,
    image: np.ndarray,
    reference: np.ndarray | None = None,
    prediction: np.ndarray | None = None,
    *,
    classes: Sequence[str] | None = None,
    alpha: float = 0.5,
    line_pt: float = 0.5,
) -> None:
    """Draw an image, the prediction as a fill and the reference as a contour along pixel edges.

    Parameters
    ----------
    ax : Axes
    image : ndarray, shape (h, w), (h, w, 1) or (h, w, 3)
        In [0, 1]; the grey scale is fixed, never stretched.
    reference, prediction : ndarray, bool or integer, shape (h, w), optional
        0 is background. Empty masks draw nothing.
    classes : sequence of str, optional
        Names of the labels 1, 2, ... With one class reference and prediction differ in colour,
        with several the colour tells the class. Default: as many as the masks hold.
    alpha : float, 0 to 1
        Opacity of the fill.
    line_pt : float
        Width of the contour in points.

    Raises
    ------
    ConfigError
        When the image is not in [0, 1] or a mask is of another size.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> mask = np.zeros((8, 8), "uint8")
    >>> mask[2:5, 2:6] = 1
    >>> draw_overlay(Figure().add_subplot(), np.zeros((8, 8)), reference=mask)
    """
    show_image(ax, image)
    shape = np.shape(image)
    n_classes = len(class_names([reference, prediction], classes))
    if prediction is not None:
        fill = np.zeros((*shape[:2], 4))
        labels = checked_mask(prediction, shape, "prediction")
        for label in _labels(labels):
            fill[labels == label] = (*to_rgb(_colour(label, n_classes, False)), alpha)
        ax.imshow(fill, gid="prediction")
    if reference is not None:
        labels = checked_mask(reference, shape, "reference")
        for label in _labels(labels):
            colour = _colour(label, n_classes, True)
            lines = LineCollection(
                list(_outline(labels == label)), colors=colour, linewidths=line_pt,
                capstyle="projecting", gid="reference",
            )  # fmt: skip
            ax.add_collection(lines, autolim=False)


def _labels(mask: np.ndarray) -> list[int]:
    return [int(label) for label in np.unique(mask) if label > 0]


def _outline(mask: np.ndarray) -> np.ndarray:
    """Return the straight lines between pixels in and out of a mask, shape (n, 2, 2) as (x, y)."""
    padded = np.pad(mask, 1)
    across = _runs(padded[1:, 1:-1] != padded[:-1, 1:-1])
    down = _runs((padded[1:-1, 1:] != padded[1:-1, :-1]).T)[..., ::-1]
    return np.concatenate([across, down]) - 0.5


def _runs(edges: np.ndarray) -> np.ndarray:
    """Join neighbouring True values of each row to lines from (start, row) to (stop, row)."""
    steps = np.diff(np.pad(edges, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, start = np.nonzero(steps == 1)
    stop = np.nonzero(steps == -1)[1]
    lines = np.stack([np.stack([start, row], axis=-1), np.stack([stop, row], axis=-1)], axis=1)
    return lines.astype(float)


def overlay_image(
    image: np.ndarray,
    reference: np.ndarray | None = None,
    prediction: np.ndarray | None = None,
    *,
    classes: Sequence[str] | None = None,
    alpha: float = 0.5,
) -> np.ndarray:
    """Return an overlay at the image's own resolution, for a plain PNG.

    Parameters
    ----------
    image, reference, prediction, classes, alpha
        As for `draw_overlay`. The contour is the outermost pixel within the reference.

    Returns
    -------
    ndarray, uint8, shape (h, w, 3)

    Examples
    --------
    >>> mask = np.ones((3, 3), bool)
    >>> overlay_image(np.zeros((3, 3)), reference=mask)[1, 1].tolist()
    [0, 0, 0]
    """
    picture = checked_image(image).astype(np.float64)
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    n_classes = len(class_names([reference, prediction], classes))
    if prediction is not None:
        labels = checked_mask(prediction, picture.shape, "prediction")
        for label in _labels(labels):
            colour = np.array(to_rgb(_colour(label, n_classes, False)))
            inside = labels == label
            picture[inside] = (1 - alpha) * picture[inside] + alpha * colour
    if reference is not None:
        labels = checked_mask(reference, picture.shape, "reference")
        for label in _labels(labels):
            inside = labels == label
            rim = inside & ~ndimage.binary_erosion(inside)
            picture[rim] = to_rgb(_colour(label, n_classes, True))
    return np.round(255 * picture).astype(np.uint8)


def legend_handles(
    classes: Sequence[str],
    reference: bool,
    prediction: bool,
    line_pt: float,
    empty: Sequence[str] = (),
) -> list[Artist]:
    """Return what a legend says: contour, fill, with several classes their colours, empty masks."""
    n_classes = len(classes)
    several = n_classes > 1
    handles: list[Artist] = []
    if reference:
        colour = _NEUTRAL if several else _colour(1, 1, True)
        handles.append(Line2D([], [], color=colour, linewidth=2 * line_pt, label="Reference"))
    if prediction:
        colour = _NEUTRAL if several else _colour(1, 1, False)
        handles.append(Patch(facecolor=colour, alpha=0.7, linewidth=0, label="Prediction"))
    if several and handles:
        handles += [
            Patch(facecolor=_colour(label, n_classes, True), linewidth=0, label=name)
            for label, name in enumerate(classes, start=1)
        ]
    if empty:
        words = f"No lesion in {' or '.join(empty)}"
        handles.append(Line2D([], [], linestyle="none", label=words))
    return handles


def bar_length_um(extent_um: float) -> float:
    """Return the length of 1, 2 or 5 times a power of ten that is nearest to a fifth of the extent.

    >>> bar_length_um(8700.0)
    2000.0
    """
    target = extent_um / 5
    power = math.floor(math.log10(target))
    steps = [factor * 10.0**power for factor in (1, 2, 5, 10)]
    return min(steps, key=lambda step: abs(math.log(step / target)))


def scale_bar(
    ax: Axes, spacing_mm: tuple[float, float] | None, style: str | Style = "nature"
) -> None:
    """Draw a lateral scale bar in micrometres into the lower left corner.

    A pixel is drawn as a square whatever its size in tissue, so when the spacings differ an axial
    bar stands on the lateral one. The bars are true in the data units of `ax`.

    Parameters
    ----------
    ax : Axes
        With an image, in pixels.
    spacing_mm : (axial, lateral) or None
        Nothing is drawn when it is None.
    style : str or Style

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure().add_subplot()
    >>> _ = ax.imshow(np.zeros((100, 100)))
    >>> scale_bar(ax, (0.01, 0.01))
    >>> [text.get_text() for text in ax.texts]
    ['200 µm']
    """
    if spacing_mm is None:
        return
    style = get_style(style)
    axial, lateral = spacing_mm
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    both = not math.isclose(axial, lateral, rel_tol=0.01)
    across_um = bar_length_um(1000 * lateral * abs(right - left))
    up_um = bar_length_um(1000 * axial * abs(top - bottom))
    across = math.copysign(across_um / (1000 * lateral), right - left)
    up = math.copysign(up_um / (1000 * axial), top - bottom)
    labels = [f"{across_um:g} µm", f"{up_um:g} µm"]
    figure = ax.get_figure(root=True)
    assert figure is not None
    room_mm = ax.get_position().width * figure.get_size_inches()[0] * MM_PER_INCH
    widest = max(text_width_mm(label, style.small_pt, style) for label in labels)
    shrunk = style.small_pt * (room_mm - 3.0) / widest
    size = min(style.small_pt, max(style.min_pt, shrunk))
    margin, line = size / 2, size * 1.5
    corner = ScaledTranslation(margin / 72, (margin + line) / 72, figure.dpi_scale_trans)
    x = [left, left, left + across] if both else [left, left + across]
    y = [bottom + up, bottom, bottom] if both else [bottom, bottom]
    for colour, width in (("black", 3.2 * style.line_pt), ("white", 1.8 * style.line_pt)):
        ax.plot(
            x, y, color=colour, linewidth=width, transform=ax.transData + corner, gid="scale bar",
            solid_capstyle="butt", solid_joinstyle="miter", scalex=False, scaley=False,
        )  # fmt: skip
    _label(ax, labels[0], (left, bottom), (margin, margin + line - 2), "top", size)
    if both:
        # Beside the middle of its bar, or higher where that would be on the other label.
        tall_mm = ax.get_position().height * figure.get_size_inches()[1] * MM_PER_INCH
        half_pt = abs(up / (top - bottom)) * tall_mm / MM_PER_POINT / 2
        offset = (margin + 3, margin + line + max(0.0, 0.75 * size - half_pt))
        _label(ax, labels[1], (left, bottom + up / 2), offset, "center", size)


def _label(
    ax: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], va: str, size: float
) -> None:
    ax.annotate(
        text, at, offset, textcoords="offset points", va=va, ha="left", color="white",
        fontsize=size, annotation_clip=False,
        bbox={"facecolor": "black", "alpha": 0.6, "linewidth": 0, "pad": 0.8},
    )  # fmt: skip
