"""Figures for papers from arrays and saved dreams; needs no TensorFlow."""

from medream.figures.adaptation import adaptation_figure
from medream.figures.atlas import atlas
from medream.figures.comparison import ComparisonRow, comparison
from medream.figures.control import ControlRow, control_figure, control_label, control_panel
from medream.figures.costs import cost_figure
from medream.figures.diagram import network_diagram
from medream.figures.difference import difference_limit
from medream.figures.film import filmstrip, write_animation
from medream.figures.history import history_figure
from medream.figures.learning import learning_figure
from medream.figures.lesions import lesion_size_figure
from medream.figures.overlay import draw_overlay, overlay_image, scale_bar
from medream.figures.panels import check_options, figure, grid, overlay_figure, triptych
from medream.figures.probabilities import calibration_figure, precision_recall_figure
from medream.figures.report import Report
from medream.figures.scores import score_figure
from medream.figures.style import STYLES, PaperFigure, Style, get_style, save_figure
from medream.figures.tables import format_number, html_table, latex_table, markdown_table

__all__ = [
    "STYLES",
    "ComparisonRow",
    "ControlRow",
    "PaperFigure",
    "Report",
    "Style",
    "adaptation_figure",
    "atlas",
    "calibration_figure",
    "check_options",
    "comparison",
    "control_figure",
    "control_label",
    "control_panel",
    "cost_figure",
    "difference_limit",
    "draw_overlay",
    "figure",
    "filmstrip",
    "format_number",
    "get_style",
    "grid",
    "history_figure",
    "html_table",
    "latex_table",
    "learning_figure",
    "lesion_size_figure",
    "markdown_table",
    "network_diagram",
    "overlay_figure",
    "overlay_image",
    "precision_recall_figure",
    "save_figure",
    "scale_bar",
    "score_figure",
    "triptych",
    "write_animation",
]
