"""Figures of where energy lies, of responses and curves: what is drawn is what was given."""

import numpy as np
import pandas as pd
import pytest
from legible import PRESETS, assert_for_print
from test_panels import words

import medream.figures as figures
from medream.errors import ConfigError
from medream.evidence.features import FEATURES

EDGES = (-np.inf, -50.0, 0.0, 50.0, np.inf)


def enrichment():
    return pd.DataFrame(
        {"map": ["Dream"] * 3 + ["Control"] * 3, "subject": list("abc") * 2,
         "relevance_mass": [2.0, 3.0, 4.0, 1.0, np.nan, 0.5], "pointing": [1.0, 2.0, 0.0, 0.0, 1.0, 2.0]}
    )  # fmt: skip


def summary():
    rows = [
        ("Dream", "relevance_mass", 3.0, 2.2, 3.8),
        ("Control", "relevance_mass", 0.75, np.nan, np.nan),
    ]
    return pd.DataFrame(rows, columns=["map", "measure", "estimate", "low", "high"])


def bins(density=(3.0, 2.0, np.nan, 0.5)):
    return pd.DataFrame({"from_um": EDGES[:-1], "to_um": EDGES[1:], "density": density})


def response(classes=("fluid",), mm2=0.01):
    rows = [
        {"ascent": ascent, "step": step, "class": name, "measure": measure, "estimate": value,
         "low": 0.9 * value, "high": 1.1 * value}
        for ascent in ("dream", "control", "dream - control") for step in (0, 10, 20) for name in classes
        for measure, value in (("area_px", 50.0 + step), ("area_mm2", mm2 * (50 + step)), ("dice_first", 0.5),
                               ("probability_inside", 0.7), ("entropy_inside", 0.2))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def curves(count=5):
    rows = [
        {"network": network, "region": region, "feature": feature, "step": step, "mean": 0.01 * step,
         "low": 0.01 * step - 0.1, "high": 0.01 * step + 0.1}
        for network in ("trained", "control") for region in ("fixed", "predicted")
        for feature in ("glcm_contrast", "area", "depth", "roundness", "sharpness")[:count] for step in (0, 10, 20)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize("preset", PRESETS)
def test_all_are_made_for_print(preset):
    distances = {"Dream": bins(), "Control": bins()}
    verdicts = {"glcm_contrast": "not measurable"}
    drawn = [
        figures.localization_figure(enrichment(), distances, summary(), style=preset),
        figures.response_figure(response(), style=preset),
        figures.feature_curves_figure(curves(), "predicted", verdicts=verdicts, style=preset),
    ]
    assert_for_print(drawn, preset)


def test_subjects_are_points_beside_the_mean_with_its_interval():
    drawn = figures.localization_figure(enrichment(), {"Dream": bins()}, summary())
    mass, pointing, distances = drawn.axes
    assert [c.get_offsets()[:, 1].tolist() for c in mass.collections[:1]] == [[2.0, 3.0, 4.0]]
    assert [len(bar) for bar in mass.containers] == [3, 3]
    (interval,) = mass.containers[0].lines[2][0].get_segments()
    assert interval[:, 1].tolist() == pytest.approx([2.2, 3.8])
    assert not mass.containers[1].has_yerr  # one that is not known is not drawn
    assert not pointing.containers
    assert list(mass.lines[0].get_ydata()) == [1.0, 1.0]  # chance
    assert distances.get_ylabel() == "Density (even = 1)"
    assert "Seg" not in " ".join(words(drawn))


def test_maps_are_named_below_their_points():
    long = enrichment().replace({"map": {"Control": "gradient x input of all pixels"}})
    for ax in figures.localization_figure(long).axes:
        named = [
            (x, label.get_text().replace("\n", " "))
            for x, label in zip(ax.get_xticks(), ax.get_xticklabels(), strict=False)
        ]
        assert named == [(0, "Dream"), (1, "gradient x input of all pixels")]
    assert not figures.localization_figure(enrichment()).legends  # it would say the same again


def test_ratios_have_logarithmic_axes_with_zeros_on_their_edge():
    drawn = figures.localization_figure(
        enrichment(), {"Dream": bins((3.0, 0.0, 1.0, 0.5))}, summary()
    )
    mass, pointing, distances = drawn.axes
    assert {ax.get_yscale() for ax in drawn.axes} == {"log"}
    lowest = pointing.get_ylim()[0]
    assert 0 < lowest < 0.5
    assert pointing.collections[0].get_offsets()[:, 1].tolist() == [1.0, 2.0, lowest]
    assert distances.lines[0].get_ydata()[1] == distances.get_ylim()[0]
    assert "less at the edge" in mass.get_ylabel()
    assert "less at the edge" in distances.get_ylabel()
    assert drawn.holds == ("means", "distances", "below")
    near = figures.localization_figure(enrichment().assign(relevance_mass=1.1, pointing=0.9)).axes[
        0
    ]
    shown = [tick for tick in near.get_yticks() if near.get_ylim()[0] < tick < near.get_ylim()[1]]
    assert shown == [0.5, 1, 2]
    assert "below" not in figures.localization_figure(enrichment().drop(columns="pointing")).holds


def test_bins_are_named_by_their_edges_and_the_inside_is_grey():
    ax = figures.localization_figure(enrichment(), {"Dream": bins()}).axes[-1]
    ticks = dict(zip(ax.get_xticks(), [t.get_text() for t in ax.get_xticklabels()], strict=True))
    assert ticks == {1: "−50", 2: "0", 3: "50"}
    assert ax.lines[0].get_xdata().tolist() == [0.5, 1.5, 2.5, 3.5]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [3, 2, np.nan, 0.5])
    assert (ax.patches[0].get_x(), ax.patches[0].get_width()) == (0, 2)


def test_the_response_has_its_area_in_millimetres_where_they_are_known():
    drawn = figures.response_figure(response(("IRF", "SRF")))
    assert [ax.get_ylabel() for ax in drawn.axes[:4]] == [
        "Area of IRF (mm²)", "Dice with first IRF", "Probability of IRF", "Area of SRF (mm²)"
    ]  # fmt: skip
    assert drawn.axes[0].get_xticks().tolist() == [0, 10, 20]
    dream, control = drawn.axes[0].lines
    assert dream.get_xydata() == pytest.approx(np.array([[0, 0.5], [10, 0.6], [20, 0.7]]))
    assert dream.get_linestyle() != control.get_linestyle()
    band = drawn.axes[0].collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == pytest.approx((0.45, 0.77))
    unknown = figures.response_figure(response(mm2=np.nan))
    assert unknown.axes[0].get_ylabel() == "Area of fluid (pixels)"
    assert "Control (re-drawn weights)" in words(unknown)


def test_features_have_a_panel_each_and_those_without_values_none():
    table = curves()
    table.loc[table.feature == "depth", "mean"] = np.nan
    drawn = figures.feature_curves_figure(table, verdicts={"area": "moved"})
    assert [text.get_text() for ax in drawn.axes for text in ax.texts] == [
        "GLCM contrast",
        "Sharpness",
    ]
    drawn = figures.feature_curves_figure(table, "predicted", verdicts={"area": "moved"})
    heads = [[text.get_text() for text in ax.texts] for ax in drawn.axes]
    assert heads == [["GLCM contrast"], ["Area", "moved"], ["Roundness"], ["Sharpness"]]
    assert [ax.get_title(loc="left") for ax in drawn.axes] == list("abcd")
    assert [line.get_ydata().tolist() for line in drawn.axes[0].lines] == [[0, 0.1, 0.2]] * 2
    assert len(figures.feature_curves_figure(curves(1)).axes) == 1


def test_every_feature_has_its_unit_and_what_is_over_it_stays_over_it():
    table = curves(1)
    table = pd.concat([table.assign(feature=name) for name in FEATURES])
    said = "not measurable, since nobody has values"
    drawn = figures.feature_curves_figure(
        table, "predicted", verdicts=dict.fromkeys(FEATURES, said), area_unit="mm²"
    )
    units = [ax.get_ylabel() for ax in drawn.axes]
    assert all(units)
    assert dict(zip(FEATURES, units, strict=True))["area"] == "mm²"
    for ax in drawn.axes:
        for text in ax.texts:
            assert text.get_window_extent().x1 <= ax.get_window_extent().x1 + 1


def test_flat_curves_are_no_news():
    table = curves(1).assign(mean=1.0, low=1.0, high=1.0, feature="components")
    assert figures.feature_curves_figure(table, "predicted").axes[0].get_ylim()[0] == 0
    moving = figures.feature_curves_figure(curves(1), "predicted").axes[0]
    assert moving.get_xticks().tolist() == [0, 10, 20]
    assert moving.get_ylim()[0] < 0 < moving.get_ylim()[1] < 0.5


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda: figures.localization_figure(enrichment().drop(columns="map")), "no column map"),
        (lambda: figures.localization_figure(enrichment()[["map", "subject"]]), "no measure"),
        (
            lambda: figures.localization_figure(
                enrichment(), {"Dream": bins(), "b": bins().assign(from_um=[-np.inf, -9, 0, 9])}
            ),
            "'b' differ",
        ),
        (lambda: figures.response_figure(response().assign(ascent="dream - control")), "no rows"),
        (lambda: figures.feature_curves_figure(curves(), "elsewhere"), "'fixed', 'predicted'"),
        (lambda: figures.feature_curves_figure(curves().drop(columns="mean")), "no column mean"),
    ],
)
def test_what_cannot_be_drawn_is_said(draw, said):
    with pytest.raises(ConfigError, match=said):
        draw()
