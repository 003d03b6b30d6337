"""Figures of scores: what is drawn is what was given."""

import itertools

import numpy as np
import pandas as pd
import pytest

from medream import figures
from medream.errors import ConfigError
from medream.figures.axes import compact


def test_people_keep_their_place_and_what_is_missing_is_left_out():
    scores = {
        "2 levels": {"a": 0.2, "b": 0.6, "c": np.nan},
        "3 levels": {"c": 0.9, "a": 0.4, "b": 0.7},
    }
    ax = figures.score_figure(scores).axes[0]
    points = [collection.get_offsets() for collection in ax.collections]
    assert [len(p) for p in points] == [2, 3]
    assert points[0][:, 1].tolist() == [0.2, 0.6]
    assert points[1][:, 1].tolist() == [0.4, 0.7, 0.9]
    # The line of "a" joins its points, moved sideways alike.
    line = ax.lines[0].get_xydata()
    assert line[:, 1].tolist() == [0.2, 0.4]
    assert np.diff(line[:, 0]) == pytest.approx(1)
    assert ax.get_ylim() == (0, 1)


def test_learning_curves_show_mean_and_middle_and_end_with_the_trainings():
    def table(epochs, start):
        return pd.DataFrame(
            {"epoch": range(1, epochs + 1), "loss": 1.0, "validation_dice": start + 0.01 * np.arange(epochs)}
        )  # fmt: skip

    drawn = figures.learning_figure({"2 levels": [table(9, 0.1), table(4, 0.3), table(3, 0.5)]})
    line = drawn.axes[1].lines[0].get_xydata()
    assert line[:, 0].tolist() == [1, 2, 3, 4]
    assert line[0, 1] == pytest.approx(0.3)
    assert line[3, 1] == pytest.approx((0.13 + 0.33) / 2)
    band = drawn.axes[1].collections[0].get_paths()[0].get_extents()
    assert band.y0 == pytest.approx(0.1 + 0.1 * 0.4)  # the lower tenth of 0.1, 0.3, 0.5
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["2 levels"]


def test_lesion_sizes_have_medians_of_equal_groups():
    table = pd.DataFrame({"area": np.arange(1.0, 13.0), "score": np.linspace(0, 0.55, 12)})
    ax = figures.lesion_size_figure({"2 levels": table}, unit="px").axes[0]
    assert ax.lines[0].get_xydata() == pytest.approx(np.array([[3.5, 0.125], [9.5, 0.425]]))
    assert len(ax.collections[0].get_offsets()) == 12
    assert ax.get_xlabel() == "Area of the lesion (px)"


def test_costs_with_intervals_and_without():
    table = pd.DataFrame(
        {
            "network": ["2 levels", "3 levels"], "score": [0.5, 0.6], "low": [0.4, np.nan],
            "high": [0.7, np.nan], "parameters": [1e5, 9e5], "mib": [900.0, 950.0], "gpu": [np.nan] * 2,
        }
    )  # fmt: skip
    drawn = figures.cost_figure(table, {"parameters": "Parameters", "mib": "Memory", "gpu": "GPU"})
    assert [ax.get_xlabel() for ax in drawn.axes] == ["Parameters", "Memory"]
    assert [ax.get_xscale() for ax in drawn.axes] == ["log", "linear"]
    first, second = drawn.axes[0].containers
    assert first.has_yerr
    assert not second.has_yerr
    (bar,) = first.lines[2][0].get_segments()
    assert bar[:, 1].tolist() == pytest.approx([0.4, 0.7])


def test_costs_have_labels_that_can_be_read_and_scores_from_0_to_1():
    table = pd.DataFrame(
        {
            "network": ["1 level", "2 levels", "3 levels"], "score": [0.06, 0.1, 0.13], "low": np.nan,
            "high": np.nan, "minutes": [0.1301, 0.1342, 0.1349], "parameters": [1800, 5000, 16000],
            "memory": [901.0, 901.0, 901.0],
        }
    )  # fmt: skip
    drawn = figures.cost_figure(table, {"minutes": "t", "parameters": "Parameters", "memory": "m"})
    drawn.draw_without_rendering()
    assert [ax.get_title(loc="left") for ax in drawn.axes] == ["a", "b", "c"]
    assert all(ax.get_ylim() == (0, 1) for ax in drawn.axes)
    for ax in drawn.axes:
        low, high = ax.get_xlim()
        shown = [label for label in ax.get_xticklabels() if low <= label.get_position()[0] <= high]
        boxes = [label.get_window_extent() for label in shown]
        assert len(boxes) >= 1
        assert all(a.x1 + 5 < b.x0 for a, b in itertools.pairwise(boxes))
    words = [label.get_text() for label in drawn.axes[1].get_xticklabels()]
    assert all(word.endswith(" k") for word in words)


def test_scores_of_0_are_seen_and_said():
    table = pd.DataFrame({"epoch": [1, 2], "loss": [1.0, 0.5], "validation_dice": [0.0, 0.0]})
    ax = figures.learning_figure({"2 levels": [table]}).axes[1]
    assert ax.get_ylim()[0] < 0
    assert [text.get_text() for text in ax.texts] == ["Validation Dice 0 in all epochs"]
    table["validation_dice"] = [0.4, 0.5]
    ax = figures.learning_figure({"2 levels": [table]}).axes[1]
    assert ax.get_ylim() == (0, 1)
    assert not ax.texts


def test_curves_of_probabilities_name_their_areas():
    recall = pd.DataFrame({"recall": [1.0, 0.4], "precision": [0.1, 0.8]})
    drawn = figures.precision_recall_figure(
        {"a": recall, "b": recall}, areas={"a": 0.5, "b": 0.25}, prevalence=0.1
    )
    assert [t.get_text() for t in drawn.legends[0].get_texts()] == [
        "guess, 0.100",
        "a, AP 0.500",
        "b, AP 0.250",
    ]
    drawn = figures.precision_recall_figure({"a": recall}, areas={"a": 0.5}, area_name="pooled AP")
    assert drawn.legends[0].get_texts()[0].get_text() == "a, pooled AP 0.500"
    bins = pd.DataFrame(
        {"probability": [0.1, np.nan], "frequency": [0.2, np.nan], "pixels": [5, 0]}
    )
    drawn = figures.calibration_figure({"a": bins})
    assert len(drawn.axes[0].lines[1].get_xydata()) == 1
    assert not drawn.axes[0].collections[0].get_clip_on()  # points at 1 are whole


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.score_figure({}),
        lambda: figures.learning_figure({"a": []}),
        lambda: figures.precision_recall_figure({}),
        lambda: figures.calibration_figure({}),
        lambda: figures.lesion_size_figure({"a": pd.DataFrame(columns=["area", "score"])}),
        lambda: figures.cost_figure(pd.DataFrame({"x": [np.nan]}), {"x": "X"}),
    ],
)
def test_nothing_to_draw_is_said(draw):
    with pytest.raises(ConfigError, match=r"^There (is|are) no "):
        draw()


def test_numbers_on_axes_are_short():
    assert [compact(v) for v in (0.003, 9000, 31e6, 2.5e9)] == ["0.003", "9000", "31 M", "2.5 G"]


def test_latex_is_what_latex_reads():
    table = pd.DataFrame(
        {"a_b & 50 %": ["x{y}", "p < 0.05, -0.2 to 0.1"], "area (mm²)": [-1.5, np.nan]}
    )
    latex = figures.latex_table(table, caption="100 % of #1", label="tab:one")
    assert r"a\_b \& 50 \% & area (mm$^2$) \\" in latex
    assert r"x\{y\} & $-$1.50 \\" in latex
    assert r"p $<$ 0.05, $-$0.2 to 0.1 & n/a \\" in latex
    assert r"\caption{100 \% of \#1}" in latex
    assert r"\begin{tabular}{lr}" in latex
    assert [line.strip() for line in latex.splitlines() if "rule" in line] == [
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
    ]
