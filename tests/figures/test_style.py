"""Files: sizes on paper, embedded fonts, metadata, the same bytes twice, nothing half written."""

import io
import re
import subprocess
import sys
import zlib
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import medream.figures as figures
from medream.errors import OutputError
from medream.figures.style import fit_text, text_width_mm


def draw(style="nature"):
    grey = np.linspace(0, 1, 48 * 64, dtype="float32").reshape(48, 64)
    mask = np.zeros((48, 64), "uint8")
    mask[10:20, 10:30] = 1
    dreamt = SimpleNamespace(
        original=grey, dream=grey**2, enhanced=grey**3, control=None, history=[0, 1],
        objective="dec1_conv2 µ", config="DreamConfig(steps=10)", spacing_mm=(0.004, 0.012),
        valid=None, reference=mask, predictions={"original": mask},
    )  # fmt: skip
    return figures.triptych(dreamt, difference=True, style=style)


def pdf_streams(data):
    for part in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", data, re.DOTALL):
        try:
            yield zlib.decompress(part)
        except zlib.error:
            continue


@pytest.mark.parametrize("suffix", [".pdf", ".svg", ".png", ".tiff", ".tif"])
def test_same_figure_same_bytes(tmp_path, suffix):
    first = figures.save_figure(draw("slide"), tmp_path / f"a{suffix}").read_bytes()
    again = draw("slide")
    figures.save_figure(again, tmp_path / "b.svg")
    assert figures.save_figure(again, tmp_path / f"b{suffix}").read_bytes() == first


@pytest.mark.parametrize("style", figures.STYLES)
def test_pdf_has_the_journals_width_and_legible_truetype(tmp_path, style):
    data = figures.save_figure(draw(style), tmp_path / "a.pdf").read_bytes()
    width = float(re.search(rb"/MediaBox \[ 0 0 (\S+)", data)[1])
    assert width * 25.4 / 72 == pytest.approx(figures.STYLES[style].two_column_mm, abs=0.01)
    assert b"/FontFile2" in data
    assert b"/Type3" not in data
    assert b"/CreationDate" not in data
    sizes = [float(s) for text in pdf_streams(data) for s in re.findall(rb"/\S+ (\S+) Tf", text)]
    assert len(sizes) > 10
    assert min(sizes) >= figures.STYLES[style].min_pt


def test_pdf_holds_the_pixels_of_the_scan(tmp_path):
    data = figures.save_figure(draw(), tmp_path / "a.pdf").read_bytes()
    assert b"/Width 64" in data
    assert b"/Height 48" in data


def test_png_has_the_journals_size_and_resolution(tmp_path):
    picture = Image.open(figures.save_figure(draw(), tmp_path / "a.png"))
    assert picture.width == pytest.approx(183 / 25.4 * 600, abs=1)
    assert picture.info["dpi"][0] == pytest.approx(600, abs=0.1)
    tiff = Image.open(figures.save_figure(draw("elsevier"), tmp_path / "a.tif"))
    assert tiff.mode == "RGB"
    assert tiff.width == pytest.approx(190 / 25.4 * 500, abs=1)
    assert float(tiff.info["dpi"][0]) == pytest.approx(500, abs=0.1)


def test_settings_are_in_the_metadata(tmp_path):
    drawn = draw("slide")
    picture = Image.open(figures.save_figure(drawn, tmp_path / "a.png"))
    assert "dec1_conv2 µ; DreamConfig(steps=10)" in picture.info["Description"]
    assert "DreamConfig(steps=10)" in (figures.save_figure(drawn, tmp_path / "a.svg")).read_text()
    pdf = figures.save_figure(drawn, tmp_path / "a.pdf").read_bytes()
    assert "DreamConfig".encode("utf-16-be") in pdf
    tiff = Image.open(figures.save_figure(drawn, tmp_path / "a.tiff"))
    assert "DreamConfig(steps=10)" in tiff.tag_v2[270]
    own = Image.open(figures.save_figure(drawn, tmp_path / "b.png", provenance="mine"))
    assert own.info["Description"] == "mine"


def test_svg_keeps_text_as_text(tmp_path):
    text = figures.save_figure(draw(), tmp_path / "a.svg").read_text()
    assert ">Enhanced</text>" in text
    assert "<dc:date>" not in text


def test_matplotlibs_own_savefig_keeps_the_style():
    buffer = io.BytesIO()
    draw().savefig(buffer, format="pdf")
    assert b"/FontFile2" in buffer.getvalue()
    assert b"/Type3" not in buffer.getvalue()


def test_plain_figures_are_saved_too(tmp_path):
    plain = Figure()
    plain.add_subplot().set_title("title")
    data = figures.save_figure(plain, tmp_path / "a.pdf", style="ieee").read_bytes()
    assert b"/FontFile2" in data


def test_the_users_settings_are_neither_used_nor_changed(tmp_path):
    expected = figures.save_figure(draw(), tmp_path / "a.png").read_bytes()
    mine = {"font.size": 30, "savefig.bbox": "tight", "axes.grid": True, "image.cmap": "jet"}
    with matplotlib.rc_context(mine):
        before = dict(matplotlib.rcParams)
        assert figures.save_figure(draw(), tmp_path / "b.png").read_bytes() == expected
        assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.docx"])
def test_unknown_suffixes_are_refused(tmp_path, name):
    with pytest.raises(OutputError, match=r"\.pdf, \.svg, \.png"):
        figures.save_figure(draw(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_of_a_failed_write(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="Cannot write"):
        figures.save_figure(draw(), tmp_path / "file" / "a.png")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_text_is_fitted_to_its_room():
    nature = figures.get_style("nature")
    assert fit_text("Original", 50, nature) == ("Original", 7.0)
    text, size = fit_text("Original picture of it", 21, nature)
    assert text == "Original picture of it"
    assert 5 <= size < 7
    text, size = fit_text("a very long label " * 9, 30, nature)
    assert size == 5
    assert text.startswith("a very")
    assert "…" in text
    assert text_width_mm(text, size, nature) <= 30


def test_figures_need_neither_tensorflow_nor_pyplot():
    heavy = {"tensorflow", "keras", "matplotlib.pyplot"}
    code = f"import sys, medream.figures; print({heavy} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"
