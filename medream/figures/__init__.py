"""Figures for papers from arrays and saved dreams; needs no TensorFlow."""

from medream.figures.activation import activation_figure
from medream.figures.adaptation import adaptation_figure
from medream.figures.atlas import atlas
from medream.figures.captions import caption, write_texts
from medream.figures.comparison import ComparisonRow, comparison
from medream.figures.control import ControlRow, control_figure, control_label, control_panel
from medream.figures.costs import cost_figure
from medream.figures.diagram import network_diagram
from medream.figures.difference import difference_limit
from medream.figures.dissection import UnitRow, dissection_figure, unit_figure
from medream.figures.feature_curves import feature_curves_figure
from medream.figures.field import Field, field_figure
from medream.figures.film import filmstrip, write_animation
from medream.figures.history import history_figure
from medream.figures.layer_grid import layer_grid
from medream.figures.learning import learning_figure
from medream.figures.lesions import lesion_size_figure
from medream.figures.localization import localization_figure
from medream.figures.methods import methods_text
from medream.figures.overlay import draw_overlay, overlay_image, scale_bar
from medream.figures.panels import check_options, figure, grid, overlay_figure, triptych
from medream.figures.probabilities import calibration_figure, precision_recall_figure
from medream.figures.provenance import provenance_line, run_id
from medream.figures.report import Report
from medream.figures.response import response_figure
from medream.figures.scores import score_figure
from medream.figures.style import STYLES, PaperFigure, Style, get_style, save_figure
from medream.figures.tables import format_number, html_table, latex_table, markdown_table

__all__ = [
    "STYLES",
    "ComparisonRow",
    "ControlRow",
    "Field",
    "PaperFigure",
    "Report",
    "Style",
    "UnitRow",
    "activation_figure",
    "adaptation_figure",
    "atlas",
    "calibration_figure",
    "caption",
    "check_options",
    "comparison",
    "control_figure",
    "control_label",
    "control_panel",
    "cost_figure",
    "difference_limit",
    "dissection_figure",
    "draw_overlay",
    "feature_curves_figure",
    "field_figure",
    "figure",
    "filmstrip",
    "format_number",
    "get_style",
    "grid",
    "history_figure",
    "html_table",
    "latex_table",
    "layer_grid",
    "learning_figure",
    "lesion_size_figure",
    "localization_figure",
    "markdown_table",
    "methods_text",
    "network_diagram",
    "overlay_figure",
    "overlay_image",
    "precision_recall_figure",
    "provenance_line",
    "response_figure",
    "run_id",
    "save_figure",
    "scale_bar",
    "score_figure",
    "triptych",
    "unit_figure",
    "write_animation",
    "write_texts",
]
