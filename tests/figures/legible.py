"""What every figure of a paper must hold, measured in the written PDF."""

import io
import re
import zlib

import pytest
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.colors import to_hex
from matplotlib.text import Text
from test_panels import assert_all_fits

from medream.figures.style import STYLES

PRESETS = tuple(STYLES)


def text_sizes(pdf):
    """Sizes in points of all text in a PDF."""
    found = []
    for part in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            page = zlib.decompress(part)
        except zlib.error:
            continue
        found += [float(size) for size in re.findall(rb"/\S+ (\S+) Tf", page)]
    return found


def assert_for_print(figures, preset):
    """Legible text in TrueType on pages of the journal's size, black or white, nothing cut."""
    style = STYLES[preset]
    pdf = one_file(figures, style)
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert min(text_sizes(pdf)) >= style.min_pt
    pages = re.findall(rb"/MediaBox \[ 0 0 (\S+) (\S+)", pdf)
    assert len(pages) == len(figures)
    widths = (style.one_column_mm, style.two_column_mm)
    for width, height in pages:
        assert any(float(width) * 25.4 / 72 == pytest.approx(each, abs=0.01) for each in widths)
        assert float(height) * 25.4 / 72 <= style.max_height_mm + 0.01
    for figure in figures:
        shown = [text for text in figure.findobj(Text) if text.get_text().strip()]
        assert {to_hex(text.get_color()) for text in shown} <= {"#000000", "#ffffff"}
        assert_all_fits(figure)
    if preset == "slide":  # the same again, whatever was drawn before
        assert one_file(figures, style) == pdf


def one_file(figures, style):
    """Figures as pages of one PDF, which embeds its fonts once."""
    buffer = io.BytesIO()
    with style.context(), PdfPages(buffer, metadata={"CreationDate": None}) as pages:
        for figure in figures:
            pages.savefig(figure)
    return buffer.getvalue()
