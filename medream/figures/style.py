"""What journals ask of a figure: sizes, fonts, resolution; and writing one so that it holds.

Sizes as the journals' artwork guides state them: Nature 89 / 183 mm, at most 170 mm high, 5 to
7 pt; IEEE 88.9 / 182 mm; Elsevier 90 / 190 mm, 7 pt.
"""

from __future__ import annotations

import bisect
import contextlib
import io
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.image
from matplotlib import font_manager, rcsetup
from matplotlib.figure import Figure
from matplotlib.textpath import text_to_path
from PIL import Image

from medream.errors import ConfigError, OutputError, nearest
from medream.files import atomic_file

MM_PER_INCH = 25.4
MM_PER_POINT = MM_PER_INCH / 72

# Wong, "Points of view: Color blindness", Nature Methods 2011, https://doi.org/10.1038/nmeth.1618
ORANGE, SKY_BLUE, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE, BLACK = "#0072B2", "#D55E00", "#CC79A7", "#000000"
PALETTE = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY_BLUE, BLACK)

SUFFIXES = (".pdf", ".svg", ".png", ".tif", ".tiff")
_FONTS = ("Arial", "Helvetica", "Liberation Sans", "DejaVu Sans")
# matplotlib's settings are global: one figure at a time is drawn under ours.
_lock = threading.RLock()


@dataclass(frozen=True)
class Style:
    """A journal's rules for figures.

    Parameters
    ----------
    one_column_mm, two_column_mm, max_height_mm : float
        Widths of a figure, and the height that leaves room for its caption.
    font_pt, small_pt, min_pt, letter_pt : float
        Titles and labels; legends, ticks and scale bars; the smallest text ever; panel letters.
    line_pt : float
        Width of contours and curves.
    dpi : int
        Resolution of PNG and TIFF.
    letters : str
        Format of panel letters, "{}" for a bold "a" or "({})".
    fonts : tuple of str
        Families, the first installed one is taken. The last comes with matplotlib.
    """

    one_column_mm: float = 89.0
    two_column_mm: float = 183.0
    max_height_mm: float = 170.0
    font_pt: float = 7.0
    small_pt: float = 6.0
    min_pt: float = 5.0
    letter_pt: float = 8.0
    line_pt: float = 0.75
    dpi: int = 600
    letters: str = "{}"
    fonts: tuple[str, ...] = _FONTS

    @property
    def family(self) -> str:
        """The first of the fonts that is installed."""
        installed = set(font_manager.fontManager.get_font_names())
        return next((name for name in self.fonts if name in installed), self.fonts[-1])

    @contextlib.contextmanager
    def context(self) -> Iterator[None]:
        """Draw or save under this style; matplotlib's settings are as before afterwards."""
        with _lock, matplotlib.rc_context():
            matplotlib.rcdefaults()  # a figure does not depend on the user's matplotlibrc
            matplotlib.rcParams.update(self._rc())
            yield

    def _rc(self) -> dict[Any, Any]:
        return {
            # A family by its name: "sans-serif" would be looked up again when the user saves.
            "font.family": [self.family, "sans-serif"],
            "font.size": self.font_pt,
            "axes.titlesize": self.font_pt,
            "axes.labelsize": self.font_pt,
            "xtick.labelsize": self.small_pt,
            "ytick.labelsize": self.small_pt,
            "legend.fontsize": self.small_pt,
            "axes.linewidth": 0.7 * self.line_pt,
            "lines.linewidth": self.line_pt,
            "xtick.major.width": 0.7 * self.line_pt,
            "ytick.major.width": 0.7 * self.line_pt,
            "xtick.major.size": 2.0,
            "ytick.major.size": 2.0,
            "axes.prop_cycle": rcsetup.cycler("color", PALETTE),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "text.parse_math": False,  # a "$" in a label is a "$"
            "pdf.fonttype": 42,
            "svg.fonttype": "none",
            "svg.hashsalt": "medream",
        }


STYLES = {
    "nature": Style(),
    "ieee": Style(
        one_column_mm=88.9, two_column_mm=182.0, max_height_mm=216.0,
        font_pt=8.0, small_pt=7.0, min_pt=6.0, letters="({})",
    ),
    "elsevier": Style(
        one_column_mm=90.0, two_column_mm=190.0, max_height_mm=220.0, min_pt=6.0, dpi=500,
        letters="({})",
    ),
    "slide": Style(
        one_column_mm=120.0, two_column_mm=254.0, max_height_mm=142.0,
        font_pt=14.0, small_pt=12.0, min_pt=10.0, letter_pt=16.0, line_pt=1.5, dpi=200,
    ),
}  # fmt: skip


class PaperFigure(Figure):
    """A matplotlib figure that keeps its style, so that its own `savefig` obeys it too.

    `provenance` is a line of text that goes into the metadata of the file; `holds` names what the
    figure shows of all that its kind could, for `medream.figures.captions.caption`.
    """

    def __init__(self, style: Style, width_mm: float, height_mm: float, **settings: Any) -> None:
        self.style = style
        self.provenance = ""
        self.holds: tuple[str, ...] | None = None
        size = (width_mm / MM_PER_INCH, height_mm / MM_PER_INCH)
        super().__init__(figsize=size, dpi=150, facecolor="white", **settings)

    def savefig(self, fname: Any, **settings: Any) -> None:
        """Save as matplotlib does, at the style's resolution and with its fonts embedded."""
        kind = settings.get("format") or Path(str(fname)).suffix.lstrip(".").lower()
        # PDF and SVG hold the scan's own pixels; in PNG they are resampled without aliasing.
        way = "none" if kind in ("pdf", "svg") else "auto"
        for image in self.findobj(matplotlib.image.AxesImage):
            image.set_interpolation(way)
        with self.style.context():
            super().savefig(fname, **{"dpi": self.style.dpi, **settings})


def get_style(style: str | Style) -> Style:
    """Return a preset by its name; a `Style` is returned as it is.

    Raises
    ------
    ConfigError
        When there is no preset of that name.

    Examples
    --------
    >>> get_style("nature").two_column_mm
    183.0
    """
    if isinstance(style, Style):
        return style
    if style not in STYLES:
        raise ConfigError(f"There is no figure style {style!r}. {nearest(str(style), STYLES)}")
    return STYLES[style]


def save_figure(
    figure: Figure,
    path: str | Path,
    style: str | Style | None = None,
    provenance: str | None = None,
) -> Path:
    """Write a figure as PDF, SVG, PNG or TIFF, by the suffix of `path`.

    Fonts are embedded as TrueType. The same figure gives the same bytes: no dates are written.

    Parameters
    ----------
    figure : Figure
    path : path
        Ends in .pdf, .svg, .png, .tif or .tiff; its folder is made.
    style : str or Style, optional
        Resolution; default: that of the style the figure was made with.
    provenance : str, optional
        Text for the file's metadata; default: the settings of the dream that the figure shows.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    OutputError
        When the suffix is another one, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from medream.figures import history_figure
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_figure(history_figure({"dec1_conv2": [0.0, 0.5, 0.8]}), f"{folder}/a.pdf").name
    'a.pdf'
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise OutputError(
            f"A figure cannot be written as {path.name!r}: expected a name that ends in "
            f"{', '.join(SUFFIXES)}."
        )
    if provenance is None:
        provenance = getattr(figure, "provenance", "")
    with atomic_file(path) as temporary:
        temporary.write_bytes(figure_bytes(figure, suffix[1:], style, provenance))
    return path


def figure_bytes(
    figure: Figure,
    kind: str,
    style: str | Style | None = None,
    provenance: str = "",
    dpi: int | None = None,
) -> bytes:
    """Return a figure as the bytes of a pdf, svg, png or tiff file."""
    own = figure.style if isinstance(figure, PaperFigure) else "nature"
    chosen = get_style(style or own)
    maker = f"medream {version('medream')}"
    # None takes out what matplotlib would write by itself, the date above all.
    metadata: dict[str, dict[str, Any]] = {
        "pdf": {"Creator": maker, "Subject": provenance, "CreationDate": None},
        "svg": {"Creator": [maker], "Description": provenance, "Date": None},
        "png": {"Software": maker, "Description": provenance},
    }
    as_tiff = kind in ("tif", "tiff")
    drawn_as = "png" if as_tiff else kind
    buffer = io.BytesIO()
    with chosen.context():
        figure.savefig(buffer, format=drawn_as, dpi=dpi or chosen.dpi, metadata=metadata[drawn_as])
    return _as_tiff(buffer, f"{maker} {provenance}") if as_tiff else buffer.getvalue()


def _as_tiff(png: io.BytesIO, description: str) -> bytes:
    """Re-pack a PNG without its alpha channel, which printers refuse."""
    image = Image.open(png)
    tiff = io.BytesIO()
    image.convert("RGB").save(
        tiff,
        "TIFF",
        compression="tiff_adobe_deflate",  # libtiff leaves random bytes in its LZW
        dpi=image.info["dpi"],
        tiffinfo={270: description.encode("ascii", "replace").decode()},
    )
    return tiff.getvalue()


def text_width_mm(text: str, size_pt: float, style: Style, weight: str = "normal") -> float:
    """Return how wide a line of text is on paper, or a little more."""
    font = font_manager.FontProperties(family=style.family, size=size_pt, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return (1.01 * width + 0.1 * size_pt) * MM_PER_POINT  # letters are set on whole pixels


def fit_text(text: str, width_mm: float, style: Style) -> tuple[str, float]:
    """Return the text and the size in points at which it is no wider than `width_mm`.

    The size goes down to the style's minimum; what is still too wide loses its middle.

    >>> fit_text("Original", 50.0, get_style("nature"))
    ('Original', 7.0)
    """
    needed = text_width_mm(text, style.font_pt, style)
    if needed <= width_mm:
        return text, style.font_pt
    size = math.floor(10 * style.font_pt * width_mm / needed) / 10
    if size >= style.min_pt:
        return text, size

    def shortened(kept: int) -> str:
        return text[: (kept + 1) // 2] + "…" + text[len(text) - kept // 2 :]

    def too_wide(kept: int) -> bool:
        return text_width_mm(shortened(kept), style.min_pt, style) > width_mm

    kept = bisect.bisect_left(range(len(text)), True, key=too_wide) - 1
    return shortened(max(kept, 1)), style.min_pt
