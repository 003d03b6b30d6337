"""Dreams beside their controls: the numbers at their places, the changes on one scale."""

import numpy as np
import pandas as pd
import pytest
from legible import PRESETS, assert_for_print
from test_panels import images, words

import medream.figures as figures
from medream.errors import ConfigError

STAGES = ("dec1_conv2", "dec1_conv1", "dec2_conv2", "mid_conv2", "enc2_conv1", "enc1_conv1")
MEASURES = ("ssim", "ssim_magnitude", "spearman", "spearman_magnitude")
KINDS = [("redrawn", ""), *(("cascade", s) for s in STAGES), ("noise", ""), ("shuffled", "")]


def summary(**changes):
    rows = [
        {"kind": kind, "stage": stage, "measure": name, "estimate": 0.1 * k, "low": 0.1 * k - 0.05,
         "high": 0.1 * k + 0.05}
        for k, (kind, stage) in enumerate(KINDS) for name in MEASURES
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**changes)


def row(shape=(40, 64), kinds=KINDS, amount=0.2, **changes):
    random = np.random.default_rng(0)
    original = random.random(shape, dtype=np.float32)
    dreams = {key: np.clip(original + amount * random.uniform(-1, 1, shape), 0, 1) for key in kinds}
    dreams[("dream", "")] = np.clip(original + 0.11, 0, 1)
    return figures.ControlRow(
        "phantom001", original, dreams, **{"spacing_mm": (0.004, 0.012), **changes}
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_both_are_made_for_print(preset):
    few = [KINDS[0], KINDS[1], KINDS[-2]]
    panel = figures.control_panel([row(kinds=few)], style=preset)
    assert_for_print([figures.control_figure(summary(), style=preset), panel], preset)


def test_points_and_intervals_lie_where_the_table_says():
    ax = figures.control_figure(summary()).axes[0]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels[0] == "All weights re-drawn"
    assert labels[-1] == "Ceiling: noise"  # though it stands before the shuffled one in the table
    points = {
        labels[int(line.get_ydata()[0])]: line for line in ax.lines if line.get_marker() == "o"
    }
    assert points["Re-drawn down to dec1_conv2"].get_xdata() == pytest.approx([0.1])
    assert points["Shuffled masks"].get_xdata() == pytest.approx([0.8])
    assert points["Ceiling: noise"].get_markerfacecolor() == "white"
    spans = [line.get_xdata() for line in ax.lines if len(line.get_xdata()) == 2]
    assert any(span == pytest.approx([0.05, 0.15]) for span in spans)
    assert ax.patches[0].get_x() == pytest.approx(0.65)  # the ceiling's own interval
    assert ax.patches[0].get_width() == pytest.approx(0.1)


def test_what_has_no_value_or_no_interval():
    table = summary(low=np.nan, high=np.nan)
    table.loc[table.kind == "redrawn", "estimate"] = np.nan
    drawn = figures.control_figure(table)
    assert words(drawn).count("n/a") == 4
    assert not drawn.axes[0].patches
    assert drawn.axes[0].get_xlim() == (0, 1)
    table.loc[5, "estimate"] = -0.7
    assert figures.control_figure(table).axes[0].get_xlim() == (-1, 1)


def test_changes_are_on_the_scale_of_the_models_own_dream():
    first = row()
    drawn = figures.control_panel([first, row(kinds=KINDS[:1])])
    changes = [
        image for ax in drawn.axes for image in ax.images if image.get_cmap().name == "RdBu_r"
    ]
    assert {image.get_clim() for image in changes} == {(-0.2, 0.2)}
    np.testing.assert_allclose(
        np.asarray(changes[-2].get_array()),
        row().dreams[("redrawn", "")] - first.original,
        atol=1e-6,
    )
    assert "down to dec1_conv2" in words(drawn)
    assert "down to enc1_conv1" in words(drawn)
    assert len([word for word in words(drawn) if word.startswith("down to ")]) == 3
    assert words(drawn).count("Re-drawn") == 3  # above it, in a line of its own
    assert len(images(drawn)) == 1 + 7 + 1 + 2
    few = figures.control_panel([first], stages=1, limit=0.5)
    assert [word for word in words(few) if "to " in word] == ["down to enc1_conv1"]
    assert "0.5" in words(few)


def test_a_cascade_that_reaches_the_first_layer_is_shown_once():
    numbers = {key: k + 1 for k, key in enumerate(KINDS[1:7])} | {("redrawn", ""): 6}
    table = summary()
    table["layers"] = [numbers.get(key, 0) for key in zip(table.kind, table.stage, strict=True)]
    drawn = figures.control_figure(table)
    labels = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert "All weights re-drawn" in labels
    assert "Re-drawn down to enc2_conv1" in labels
    assert "Re-drawn down to enc1_conv1" not in labels
    part = table[table.layers != 6]  # only beside the other one is it too much
    drawn = figures.control_figure(part.assign(layers=6))
    assert len(drawn.axes[0].get_yticklabels()) == 7


def test_figures_know_what_they_hold():
    assert figures.control_figure(summary()).holds == ("redrawn", "cascade", "shuffled", "noise")
    table = summary()
    table.loc[0, "estimate"] = np.nan
    assert "n/a" in figures.control_figure(table[table.kind != "shuffled"]).holds
    assert "shuffled" not in figures.control_figure(table[table.kind != "shuffled"]).holds
    assert figures.control_panel([row(kinds=KINDS[:1])]).holds == ("redrawn", "dream")
    assert "beyond" in figures.control_panel([row(kinds=KINDS[:1])], limit=0.01).holds


def test_what_is_refused():
    with pytest.raises(ConfigError, match="no rows"):
        figures.control_figure(summary().iloc[:0])
    with pytest.raises(ConfigError, match="no column estimate"):
        figures.control_figure(summary().drop(columns="estimate"))
    with pytest.raises(ConfigError, match="no dreams"):
        figures.control_panel([])
    with pytest.raises(ConfigError, match="one size"):
        figures.control_panel(
            [row(), figures.ControlRow("b", np.zeros((4, 4)), {("dream", ""): np.zeros((3, 4))})]
        )
    with pytest.raises(ConfigError, match="limit"):
        figures.control_panel([row()], limit=0.0)
