"""A report as one HTML file that needs nothing beside it: no network, no scripts."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from medream.figures.style import figure_bytes
from medream.figures.tables import html_table, in_words, readable
from medream.files import write_text

_PIXELS_WIDE = 1800  # sharp on a screen of twice the usual density, and still light

_CSS = """
body { max-width: 62rem; margin: 2rem auto; padding: 0 1.25rem; color: #1a1a1a; background: #fff;
  font: 16px/1.55 system-ui, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 1.25rem; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 .5rem; padding-top: .75rem; border-top: 1px solid #ddd; }
p { max-width: 46rem; margin: .6rem 0; }
figure { margin: 1.5rem 0; }
img { display: block; max-width: 100%; height: auto; border: 1px solid #e4e4e4; }
figcaption, caption { font-size: .9rem; color: #444; text-align: left; max-width: 46rem; }
figcaption { margin-top: .5rem; }
caption { padding-bottom: .4rem; }
.wide { overflow-x: auto; margin: 1.25rem 0; }
table { border-collapse: collapse; font-size: .9rem; display: block; overflow-x: auto; }
th, td { padding: .3rem .75rem; text-align: left; border-bottom: 1px solid #e4e4e4;
  white-space: nowrap; vertical-align: top; }
thead th { border-bottom: 2px solid #888; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.settings td { white-space: normal; overflow-wrap: anywhere; }
.settings th { font-weight: normal; }
.words td { white-space: normal; min-width: 6rem; }
.settings .section th { font-weight: bold; padding-top: 1rem; border-bottom: 2px solid #888; }
""".strip()


class Report:
    """A report put together piece by piece; every method returns the report itself.

    Parameters
    ----------
    title : str

    Examples
    --------
    >>> import tempfile
    >>> report = Report("Three depths").text("All subjects were held out.")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report.write(f"{folder}/report.html").name
    'report.html'
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts: list[str] = []

    def heading(self, text: str) -> Report:
        """Begin a section."""
        return self._add(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str) -> Report:
        """Add plain text; an empty line parts paragraphs."""
        for paragraph in filter(None, (part.strip() for part in text.split("\n\n"))):
            self._add(f"<p>{html.escape(paragraph)}</p>")
        return self

    def figure(self, figure: Figure, caption: str) -> Report:
        """Add a figure as a PNG within the file; the caption is its alternative text, too."""
        dpi = round(_PIXELS_WIDE / figure.get_size_inches()[0])
        data = base64.b64encode(figure_bytes(figure, "png", dpi=min(dpi, 300))).decode()
        caption = html.escape(caption)
        return self._add(
            f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )

    def table(self, table: pd.DataFrame, caption: str, wrap: bool = False) -> Report:
        """Add a data frame, without its index, its columns named for people (see `readable`).

        With `wrap` long words break over lines; without, wide tables are scrolled.
        """
        opening = '<table class="words">' if wrap else "<table>"
        shown = html_table(table.rename(columns=lambda name: readable(str(name)))).replace(
            "<table>", f"{opening}\n<caption>{html.escape(caption)}</caption>", 1
        )
        return self._add(f'<div class="wide">{shown}</div>')

    def settings(self, settings: Mapping[str, Any]) -> Report:
        """Add names and values in words; a value that is itself a mapping becomes a section."""
        rows: list[str] = []
        for name, value in settings.items():
            if isinstance(value, Mapping):
                rows.append(
                    f'<tr class="section"><th colspan="2" scope="rowgroup">{_label(name)}</th></tr>'
                )
                rows += [_setting(key, part) for key, part in value.items()]
            else:
                rows.append(_setting(name, value))
        table = ['<table class="settings"><tbody>', *rows, "</tbody></table>"]
        return self._add("\n".join(table))

    def write(self, path: str | Path) -> Path:
        """Write the report as HTML and return its path.

        Raises
        ------
        OutputError
            When the file cannot be written.
        """
        title = html.escape(self.title)
        page = [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>{title}</title>\n<style>\n{_CSS}\n</style>\n</head>\n<body>",
            f"<h1>{title}</h1>",
            *self._parts,
            "</body>\n</html>\n",
        ]
        write_text(path, "\n".join(page))
        return Path(path)

    def _add(self, part: str) -> Report:
        self._parts.append(part)
        return self


def _label(name: Any) -> str:
    return html.escape(readable(str(name)))


def _setting(name: Any, value: Any) -> str:
    return f'<tr><th scope="row">{_label(name)}</th><td>{html.escape(in_words(value))}</td></tr>'
