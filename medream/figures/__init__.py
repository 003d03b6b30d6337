"""Figures for papers from arrays and saved dreams; needs no TensorFlow."""

from medream.figures.diagram import network_diagram
from medream.figures.overlay import draw_overlay, overlay_image, scale_bar
from medream.figures.panels import (
    ComparisonRow,
    comparison,
    figure,
    grid,
    history_figure,
    overlay_figure,
    triptych,
)
from medream.figures.report import Report
from medream.figures.style import STYLES, PaperFigure, Style, get_style, save_figure
from medream.figures.tables import format_number, html_table, markdown_table

__all__ = [
    "STYLES",
    "ComparisonRow",
    "PaperFigure",
    "Report",
    "Style",
    "comparison",
    "draw_overlay",
    "figure",
    "format_number",
    "get_style",
    "grid",
    "history_figure",
    "html_table",
    "markdown_table",
    "network_diagram",
    "overlay_figure",
    "overlay_image",
    "save_figure",
    "scale_bar",
    "triptych",
]
