"""Tables and the report: numbers said in words, everything escaped, nothing from outside."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medream.errors import OutputError
from medream.figures import Report, format_number, history_figure, html_table, markdown_table

TABLE = pd.DataFrame(
    {
        "model": ["unet2", "a|b<c"],
        "dice": [0.81234, float("nan")],
        "hd95": [float("inf"), 12.345],
        "lesions": [3.0, float("nan")],
    }
)


def test_markdown():
    assert markdown_table(TABLE).splitlines() == [
        "| model | dice | hd95 | lesions |",
        "| --- | ---: | ---: | ---: |",
        "| unet2 | 0.812 | inf | 3 |",
        "| a\\|b<c | n/a | 12.3 | n/a |",
    ]


def test_html():
    shown = html_table(TABLE)
    assert '<td class="number">0.812</td>' in shown
    assert "<td>a|b&lt;c</td>" in shown
    assert "n/a" in shown
    assert html_table(TABLE.iloc[:0]).count("<tr>") == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.5, "-0.500"), (123.4, "123"), (0.0123, "0.0123"), (1e-9, "1.00e-09"),
     (-np.inf, "-inf"), (np.float32(0.25), "0.250"), (None, "n/a"), (pd.NA, "n/a"), (7, "7"),
     (True, "True"), ("x", "x")],
)  # fmt: skip
def test_numbers(value, text):
    assert format_number(value) == text


@given(st.floats(-1e300, 1e300))
def test_numbers_are_right_to_three_digits(value):
    assert float(format_number(value)) == pytest.approx(value, rel=6e-3, abs=1e-320)


class Tags(HTMLParser):
    """Collects tags and checks that they nest."""

    def __init__(self):
        super().__init__()
        self.tags, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page(path):
    report = (
        Report("Depths <2>")
        .text("First & foremost.\n\nSecond.")
        .heading("Figures")
        .figure(history_figure({"a": [0, 1]}), 'Ascent of "a" <b>')
        .table(TABLE, "Scores")
        .settings({"octaves": [-2, 1], "name": "<x>", "path": None})
    )
    return report.write(path).read_text(encoding="utf-8")


def test_report_is_whole_and_needs_nothing_from_outside(tmp_path):
    text = page(tmp_path / "new" / "report.html")
    parser = Tags()
    parser.feed(text)
    assert not parser.open
    names = [tag for tag, _ in parser.tags]
    assert not {"script", "link", "iframe", "object"} & set(names)
    assert [a["src"][:22] for _, a in parser.tags if "src" in a] == ["data:image/png;base64,"]
    assert not [a for _, a in parser.tags if "href" in a]
    assert not re.search(r"https?://|url\(|@import", text)
    (image,) = [a for tag, a in parser.tags if tag == "img"]
    assert image["alt"] == 'Ascent of "a" <b>'
    assert "First &amp; foremost.</p>" in text
    assert "<h1>Depths &lt;2&gt;</h1>" in text
    assert "<td>-2, 1</td>" in text
    assert "<td>none</td>" in text
    assert "&lt;x&gt;" in text
    assert "<caption>Scores</caption>" in text


def test_a_report_speaks_to_people(tmp_path):
    table = pd.DataFrame(
        {"subject_id": ["a"], "mean_hd95_mm": [0.1], "lesion_scans": [2], "mean Dice": [0.5]}
    )
    report = (
        Report("x")
        .table(table, "Scores")
        .settings(
            {
                "dream": {
                    "step_size": 0.01,
                    "octaves": (-2, 1),
                    "tile": None,
                    "clip": True,
                    "jitter": {"px": 4},
                }
            }
        )
    )
    text = report.write(tmp_path / "report.html").read_text(encoding="utf-8")
    assert re.findall(r'scope="col">([^<]*)<', text) == [
        "Subject", "Mean HD95 (mm)", "Scans with lesion", "Mean Dice",
    ]  # fmt: skip
    assert re.findall(r'scope="rowgroup">([^<]*)<', text) == ["Dream"]
    assert re.findall(r'scope="row">([^<]*)</th><td>([^<]*)<', text) == [
        ("Step size", "0.01"), ("Octaves", "-2, 1"), ("Tile", "none"), ("Clip", "yes"), ("Jitter", "px: 4"),
    ]  # fmt: skip
    assert "{" not in text.partition("</style>")[2]


def test_same_report_same_bytes(tmp_path):
    assert page(tmp_path / "a.html") == page(tmp_path / "b.html")


def test_a_report_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Cannot write"):
        Report("x").write(tmp_path / "file" / "report.html")
