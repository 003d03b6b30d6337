"""Tables for people: three digits, and what is missing or infinite said in words."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def format_number(value: Any) -> str:
    """Return a value as text: three significant digits, "n/a" when missing, "inf" when infinite.

    >>> [format_number(v) for v in (0.81234, 1234.5, 12, float("nan"), float("inf"), 2e-5)]
    ['0.812', '1234', '12', 'n/a', 'inf', '2.00e-05']
    """
    if value is None or value is pd.NA or value is pd.NaT:
        return "n/a"
    if not isinstance(value, (float, np.floating)):
        return str(value)
    value = float(value)
    if math.isnan(value):
        return "n/a"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2e}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


_UNITS = {
    "mm3": "mm³",
    "ms": "ms",
    "mib": "MiB",
    "mm": "mm",
    "mm2": "mm²",
    "um": "µm",
    "px": "px",
    "s": "s",
}
_WORDS = {
    "dice": "Dice",
    "iou": "IoU",
    "hd95": "HD95",
    "assd": "ASSD",
    "f1": "F1",
    "auc": "AUC",
    "flops": "FLOPs",
}
_HEADS = {
    "subject_id": "Subject", "volume_id": "Volume", "bscan_index": "B-scan",
    "lesion_scans": "Scans with lesion", "missed": "Missed lesions", "false_alarms": "False alarms",
    "tp": "True positives (px)", "fp": "False positives (px)", "fn": "False negatives (px)",
    "tn": "True negatives (px)",
    "medream": "medream", "tensorflow": "TensorFlow", "numpy": "NumPy", "scipy": "SciPy",
    "scikit-image": "scikit-image", "pandas": "pandas",
}  # fmt: skip


def readable(name: str) -> str:
    """Return the name of a column or setting as a table for people has it, with its unit.

    >>> [readable(name) for name in ("mean_hd95_mm", "iou", "lesion_scans", "best epoch")]
    ['Mean HD95 (mm)', 'IoU', 'Scans with lesion', 'Best epoch']
    """
    if name in _HEADS:
        return _HEADS[name]
    words = name.split("_")
    unit = f" ({_UNITS[words.pop()]})" if len(words) > 1 and words[-1] in _UNITS else ""
    text = " ".join(_WORDS.get(word, word) for word in words)
    return text[:1].upper() + text[1:] + unit


def in_words(value: Any) -> str:
    """Return a setting as text: lists by commas, yes and no, "none"; nested names before their values.

    >>> [in_words(value) for value in ([-2, 1], True, None, {"scale": 1.5, "steps": (3, 4)})]
    ['-2, 1', 'yes', 'none', 'scale: 1.5; steps: 3, 4']
    """
    if value is None:
        return "none"
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        parts = (f"{key}: {in_words(part)}" for key, part in value.items())
        return "; ".join(parts) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(in_words(part) for part in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cells(table: pd.DataFrame) -> tuple[list[str], list[bool], list[list[str]]]:
    """Return the heads, whether each column is right-aligned, and the rows as text."""
    heads = [str(name) for name in table.columns]
    columns, right = [], []
    for i in range(table.shape[1]):
        column = table.iloc[:, i]
        values = list(column)
        numeric = pd.api.types.is_numeric_dtype(column) and column.dtype != bool
        # Counts with a gap are floats to pandas; they are shown as the counts that they are.
        finite = [v for v in values if isinstance(v, float) and math.isfinite(v)]
        if all(v.is_integer() for v in finite):
            values = [int(v) if v in finite else v for v in values]
        columns.append([format_number(value) for value in values])
        right.append(bool(numeric))
    return heads, right, [list(row) for row in zip(*columns, strict=True)]


def markdown_table(table: pd.DataFrame) -> str:
    """Return a data frame as a Markdown table, without its index.

    Examples
    --------
    >>> print(markdown_table(pd.DataFrame({"levels": [2, 3], "dice": [0.5, float("nan")]})))
    | levels | dice |
    | ---: | ---: |
    | 2 | 0.500 |
    | 3 | n/a |
    """
    heads, right, rows = _cells(table)

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |"

    marks = ["---:" if flag else "---" for flag in right]
    return "\n".join([line(heads), line(marks), *map(line, rows)])


def html_table(table: pd.DataFrame) -> str:
    """Return a data frame as an HTML table, escaped, without its index.

    Examples
    --------
    >>> html_table(pd.DataFrame({"a<b": [1]})).splitlines()[1]
    '<thead><tr><th class="number" scope="col">a&lt;b</th></tr></thead>'
    """
    heads, right, rows = _cells(table)
    marks = [' class="number"' if flag else "" for flag in right]
    head = "".join(
        f'<th{mark} scope="col">{html.escape(text)}</th>'
        for text, mark in zip(heads, marks, strict=True)
    )
    lines = ["<table>", f"<thead><tr>{head}</tr></thead>", "<tbody>"]
    for row in rows:
        cells = "".join(
            f"<td{mark}>{html.escape(text)}</td>" for text, mark in zip(row, marks, strict=True)
        )
        lines.append(f"<tr>{cells}</tr>")
    return "\n".join([*lines, "</tbody>", "</table>"])


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#",
    "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "²": "$^2$", "³": "$^3$", "µ": r"$\mu$",
    "<": "$<$", ">": "$>$", "\n": " ",
}  # fmt: skip


def _latex(text: str) -> str:
    escaped = "".join(_LATEX.get(letter, letter) for letter in text)
    return re.sub(r"(?<![\w-])-(?=\d)", "$-$", escaped)  # a minus is no hyphen


def latex_table(table: pd.DataFrame, caption: str = "", label: str = "") -> str:
    r"""Return a data frame as a LaTeX table with the rules of the package `booktabs`, without its index.

    Parameters
    ----------
    table : DataFrame
    caption, label : str
        Left out when empty. The caption is text; what LaTeX would take for commands is escaped.

    Examples
    --------
    >>> print(latex_table(pd.DataFrame({"levels": [2], "mean_dice": [-0.5]}), label="tab:dice"))
    \begin{table}
      \centering
      \label{tab:dice}
      \begin{tabular}{rr}
        \toprule
        levels & mean\_dice \\
        \midrule
        2 & $-$0.500 \\
        \bottomrule
      \end{tabular}
    \end{table}
    """
    heads, right, rows = _cells(table)

    def line(cells: list[str]) -> str:
        return "    " + " & ".join(map(_latex, cells)) + r" \\"

    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            *([rf"  \caption{{{_latex(caption)}}}"] if caption else []),
            *([rf"  \label{{{label}}}"] if label else []),
            rf"  \begin{{tabular}}{{{''.join('r' if flag else 'l' for flag in right)}}}",
            r"    \toprule",
            line(heads),
            r"    \midrule",
            *map(line, rows),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
        ]
    )
