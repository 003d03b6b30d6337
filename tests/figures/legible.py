"""What every figure of a paper must hold, measured in the written PDF."""

import re
import zlib

import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text
from test_panels import assert_all_fits

from medream.figures.style import STYLES, figure_bytes

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


def assert_for_print(figure, preset):
    """Legible text in TrueType on a page of the journal's size, black or white, nothing cut."""
    style = STYLES[preset]
    pdf = figure_bytes(figure, "pdf")
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert min(text_sizes(pdf)) >= style.min_pt
    width, height = (
        float(n) * 25.4 / 72 for n in re.search(rb"/MediaBox \[ 0 0 (\S+) (\S+)", pdf).groups()
    )
    widths = (style.one_column_mm, style.two_column_mm)
    assert any(width == pytest.approx(each, abs=0.01) for each in widths)
    assert height <= style.max_height_mm + 0.01
    shown = [text for text in figure.findobj(Text) if text.get_text().strip()]
    assert {to_hex(text.get_color()) for text in shown} <= {"#000000", "#ffffff"}
    assert_all_fits(figure)
    if preset == "nature":  # whatever was drawn before
        assert figure_bytes(figure, "pdf") == pdf
