"""Figures for papers from arrays and saved dreams; needs no TensorFlow."""

from medream.figures.atlas import atlas
from medream.figures.comparison import ComparisonRow, comparison
from medream.figures.diagram import network_diagram
from medream.figures.difference import difference_limit
from medream.figures.film import filmstrip, write_animation
from medream.figures.history import history_figure
from medream.figures.overlay import draw_overlay, overlay_image, scale_bar
from medream.figures.panels import check_options, figure, grid, overlay_figure, triptych
from medream.figures.report import Report
from medream.figures.style import STYLES, PaperFigure, Style, get_style, save_figure
from medream.figures.tables import format_number, html_table, markdown_table

__all__ = [
    "STYLES",
    "ComparisonRow",
    "PaperFigure",
    "Report",
    "Style",
    "atlas",
    "check_options",
    "comparison",
    "difference_limit",
    "draw_overlay",
    "figure",
    "filmstrip",
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
    "write_animation",
]
