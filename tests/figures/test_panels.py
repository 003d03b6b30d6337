"""Triptych, overlay, comparison, grid, history: what is in them, and that all of it fits."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

import medream.figures as figures
from medream.errors import ConfigError
from medream.figures.difference import rounded_up

SIZES = [(99, 154), (105, 40), (64, 64)]  # the shapes of Duke, Cirrus and the original networks


def result(shape=(62, 96), **changes):
    random = np.random.default_rng(0)
    original, dream, enhanced, control = random.random((4, *shape), dtype=np.float32)
    mask = np.zeros(shape[:2], "uint8")
    mask[shape[0] // 4 : shape[0] // 2, shape[1] // 4 : shape[1] // 2] = 1
    names = ("original", "dream", "enhanced")
    fields = {
        "original": original,
        "dream": dream,
        "enhanced": enhanced,
        "control": control,
        "history": np.linspace(0, 1, 11, dtype=np.float32),
        "objective": "dec1_conv2",
        "config": "DreamConfig(steps=10)",
        "spacing_mm": (0.004, 0.012),
        "valid": None,
        "reference": mask,
        "predictions": {name: np.roll(mask, k, axis=1) for k, name in enumerate(names)},
    }
    return SimpleNamespace(**{**fields, **changes})


def images(figure):
    """Pictures on the grey scale: not fills, not the difference, not colour bars."""
    found = [image for ax in figure.axes for image in ax.images]
    return [image for image in found if image.get_cmap().name == "gray"]


def words(figure):
    return [t.get_text() for t in figure.findobj(Text) if t.get_visible() and t.get_text()]


def assert_all_fits(figure):
    """Words lie on the page, none over another, none over a picture that it is not in."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    page = figure.bbox
    undrawn = set(_undrawn(figure))
    shown = [t for t in figure.findobj(Text) if t.get_visible() and t not in undrawn]
    shown = [t for t in shown if t.get_text().strip()]
    boxes = [(t, t.get_window_extent(renderer)) for t in shown]
    for text, box in boxes:
        inside = page.x0 <= box.x0, box.x1 <= page.x1, page.y0 <= box.y0, box.y1 <= page.y1
        assert all(inside), f"{text.get_text()!r} is cut"
    for (a, box_a), (b, box_b) in itertools.combinations(boxes, 2):
        assert not _overlap(box_a, box_b), f"{a.get_text()!r} lies on {b.get_text()!r}"
    for ax in figure.axes:
        for text, box in boxes:
            if ax.images and text not in ax.texts:
                assert not _overlap(ax.get_window_extent(renderer), box), text.get_text()
    for a, b in itertools.combinations(figure.axes, 2):
        assert not _overlap(a.get_window_extent(renderer), b.get_window_extent(renderer))


def _undrawn(figure):
    """Tick labels that matplotlib keeps beside those that it draws."""
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if not (ax.axison and low <= tick.get_loc() <= high):
                    yield from (tick.label1, tick.label2)


def _overlap(a, b):
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 0.5 and min(a.y1, b.y1) - max(a.y0, b.y0) > 0.5


def test_triptych_draws_the_arrays_on_one_fixed_grey_scale():
    dreamt = result()
    drawn = images(figures.triptych(dreamt, difference=True, control=True))
    top = [dreamt.original, dreamt.dream, dreamt.enhanced, dreamt.control]
    assert len(drawn) == len(top) + 3
    assert {image.get_clim() for image in drawn} == {(0.0, 1.0)}
    for image, array in zip(drawn, top, strict=False):
        np.testing.assert_array_equal(image.get_array(), array)
    for image, array in zip(drawn[4:], top, strict=False):
        np.testing.assert_array_equal(image.get_array(), array)


def test_dark_pictures_stay_dark():
    dark = np.full((10, 12), 0.1, "float32")
    drawn = images(figures.triptych(result((10, 12), original=dark)))
    shade = drawn[0].to_rgba(drawn[0].get_array())[0, 0, 0]
    assert shade == pytest.approx(0.1, abs=0.005)


def test_difference_is_signed_and_symmetric():
    dreamt = result()
    figure = figures.triptych(dreamt, difference=True)
    (shown,) = [i for ax in figure.axes for i in ax.images if i.get_cmap().name == "RdBu_r"]
    np.testing.assert_allclose(shown.get_array(), dreamt.dream - dreamt.original, atol=1e-6)
    low, high = shown.get_clim()
    assert low == -high
    assert high >= np.abs(dreamt.dream - dreamt.original).max()
    assert {f"\N{MINUS SIGN}{high:g}", "0", f"{high:g}"} <= set(words(figure))


@given(st.floats(1e-6, 1.0))
def test_limits_are_short_and_wide_enough(value):
    limit = rounded_up(value)
    assert value * (1 - 1e-6) <= limit <= 2 * value
    assert len(f"{limit:.0e}") == 5


def test_letters_titles_and_legend():
    shown = words(figures.triptych(result()))
    assert [w for w in shown if len(w) == 1] == list("abcdef")
    assert {"Original", "Dream", "Enhanced", "Reference", "Prediction"} <= set(shown)
    assert shown.count("Segmentation") == 3
    assert "(a)" in words(figures.triptych(result(), style="ieee"))


def test_what_is_absent_is_left_out():
    bare = result(enhanced=None, control=None, reference=None, predictions={}, spacing_mm=None)
    figure = figures.triptych(bare)
    assert len(figure.axes) == 2
    assert words(figure) == ["a", "Original", "b", "Dream"]
    with pytest.raises(ConfigError, match="no control"):
        figures.triptych(bare, control=True)
    with pytest.raises(ConfigError, match="reference"):
        figures.overlay_figure(bare)


def test_a_given_limit_fixes_the_colours_across_figures():
    dreamt = [result((20, 30), dream=np.full((20, 30), x, "float32"), original=np.zeros((20, 30), "float32"))
              for x in (0.03, 0.21)]  # fmt: skip
    limit = figures.difference_limit(dreamt)
    assert limit == 0.3
    for one in dreamt:
        figure = figures.triptych(one, difference=True, limit=limit)
        (shown,) = [i for ax in figure.axes for i in ax.images if i.get_cmap().name == "RdBu_r"]
        assert shown.get_clim() == (-0.3, 0.3)
    narrow = figures.triptych(dreamt[1], difference=True, limit=0.1, style="slide")
    assert_all_fits(narrow)
    assert {"\N{MINUS SIGN}0.1", "0.1"} <= set(words(narrow))
    for wrong in (0, -1, 2, float("nan")):
        with pytest.raises(ConfigError, match="limit"):
            figures.triptych(dreamt[0], difference=True, limit=wrong)


def test_an_empty_reference_repeats_no_row():
    empty = np.zeros((62, 96), "uint8")
    nothing = result(reference=empty, predictions={"original": empty, "dream": empty})
    for figure in (figures.figure(nothing, "grid"), figures.triptych(nothing, difference=True)):
        assert "No lesion in reference or prediction" in words(figure)
        assert "Segmentation" not in words(figure)
        assert_all_fits(figure)
    predicted = figures.triptych(result(reference=empty))
    assert len(predicted.axes) == 6
    assert "No lesion in reference" in words(predicted)
    assert "Reference" not in words(predicted)
    assert_all_fits(predicted)
    assert "No lesion in reference" in words(
        figures.overlay_figure(result(reference=empty, predictions={}))
    )
    compared = figures.comparison(rows((62, 96), reference=empty))
    assert "No lesion in reference" in words(compared)
    assert_all_fits(compared)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("overlay", {"difference": True}), ("overlay", {"control": True}), ("history", {"control": True}),
     ("history", {"reference": np.zeros((62, 96), "uint8")}), ("overlay", {"limit": 0.1})],
)  # fmt: skip
def test_what_a_kind_does_not_show_is_refused(kind, settings):
    with pytest.raises(ConfigError, match=r"kinds that do are triptych( and|\b)"):
        figures.figure(result(), kind, **settings)


def test_a_limit_without_a_difference_is_refused():
    with pytest.raises(ConfigError, match="difference=True"):
        figures.figure(result(), limit=0.1)


def test_given_masks_win_over_the_results():
    dreamt = result()
    other = np.zeros_like(dreamt.reference)
    other[:3] = 1
    figure = figures.triptych(dreamt, reference=other, prediction=other)
    fills = [i for ax in figure.axes for i in ax.images if i.get_gid() == "prediction"]
    assert len(fills) == 3
    np.testing.assert_array_equal(fills[0].get_array()[..., 3] > 0, other > 0)
    np.testing.assert_array_equal(fills[1].get_array()[..., 3] > 0, dreamt.predictions["dream"] > 0)
    (line, *_) = [c for ax in figure.axes for c in ax.collections if c.get_gid() == "reference"]
    assert line.get_segments()[0][0][1] == -0.5


def test_a_prediction_of_the_original_alone_gives_one_overlay():
    figure = figures.triptych(result(reference=None, predictions={}), prediction=result().reference)
    assert len(figure.axes) == 4
    assert "Reference" not in words(figure)


def test_inputs_are_not_modified():
    dreamt = result()
    before = {k: np.copy(v) for k, v in vars(dreamt).items() if isinstance(v, np.ndarray)}
    figures.figure(dreamt, "grid")
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(dreamt, name), array)
    assert list(dreamt.predictions) == ["original", "dream", "enhanced"]


@pytest.mark.parametrize("style", figures.STYLES)
@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("kind", ["triptych", "grid"])
def test_everything_fits(shape, kind, style):
    figure = figures.figure(result(shape), kind, style=style, title="Subject 1, $5 B-scan")
    preset = figures.STYLES[style]
    width, height = figure.get_size_inches() * 25.4
    assert round(width, 6) in (preset.one_column_mm, preset.two_column_mm)
    assert height <= preset.max_height_mm + 1e-6
    assert_all_fits(figure)
    sizes = {t.get_fontsize() for t in figure.findobj(Text) if t.get_text()}
    assert min(sizes) >= preset.min_pt >= 5


@pytest.mark.parametrize("shape", SIZES)
def test_overlays_fit(shape):
    figure = figures.figure(result(shape), "overlay")
    assert_all_fits(figure)
    assert len(figure.axes) == 3


@pytest.mark.parametrize("shape", [(40, 60, 1), (40, 60, 3)])
def test_images_with_channels(shape):
    figure = figures.figure(result(shape, predictions={}), "grid")
    assert len(figure.axes) == 9  # five pictures, three overlays, a colour bar


def rows(shape, n=3, **changes):
    dreamt = result(shape)
    fields = {
        "image": dreamt.original,
        "reference": dreamt.reference,
        "prediction": dreamt.predictions["dream"],
        "dream": dreamt.dream,
        "enhanced": dreamt.enhanced,
        "control": dreamt.control,
        "spacing_mm": dreamt.spacing_mm,
    }
    return [
        figures.ComparisonRow(label=f"{k + 2} levels", **{**fields, **changes}) for k in range(n)
    ]


@pytest.mark.parametrize("style", ["nature", "slide"])
@pytest.mark.parametrize("shape", SIZES)
def test_comparison_fits(shape, style):
    figure = figures.comparison(rows(shape), style=style)
    assert_all_fits(figure)
    assert len(figure.axes) == 18
    assert figure.get_size_inches()[1] * 25.4 <= figures.STYLES[style].max_height_mm + 1e-6


def test_comparison_names_rows_and_columns_once():
    shown = words(figures.comparison(rows((62, 96))))
    for word in ("2 levels", "3 levels", "4 levels", "Scan", "Dream", "Enhanced", "Control"):
        assert shown.count(word) == 1
    assert shown.count("Reference") == 2  # the column and the legend
    bare = words(figures.comparison(rows((62, 96), enhanced=None, control=None, reference=None)))
    assert not {"Enhanced", "Control", "Reference"} & set(bare)


def test_a_cell_that_one_row_lacks_stays_empty():
    first, second = rows((62, 96), 1, enhanced=None)[0], rows((62, 96), 1)[0]
    figure = figures.comparison([first, second])
    assert len(figure.axes) == 11
    assert words(figure).count("Enhanced") == 1


def test_grid_shortens_labels_and_fills_rows():
    pictures = [np.zeros((20, 30))] * 5
    labels = ["a", "b" * 200, "a $ sign_and", "d", "e"]
    figure = figures.grid(pictures, labels, columns=3, spacing_mm=(0.01, 0.01))
    assert_all_fits(figure)
    assert len(figure.axes) == 5
    assert any("…" in word for word in words(figure))
    with pytest.raises(ConfigError, match="one label for each"):
        figures.grid(pictures, labels[:2])
    with pytest.raises(ConfigError, match="fewer columns"):
        figures.grid(pictures * 20, labels * 20, columns=100)


def test_history_draws_every_curve():
    curves = {f"dec{k}_conv2": np.linspace(0, k, 11) for k in range(9)}
    figure = figures.history_figure(curves, style="ieee")
    lines = figure.axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 9
    np.testing.assert_array_equal(lines[3].get_ydata(), curves["dec3_conv2"])
    assert_all_fits(figure)


def test_history_without_steps_is_a_point():
    figure = figures.figure(result(history=np.array([0.5])), "history")
    assert figure.axes[0].lines[0].get_marker() == "o"
    assert "Objective dec1_conv2" in words(figure)


def test_unknown_names_are_refused_with_the_known():
    with pytest.raises(ConfigError, match="triptych"):
        figures.figure(result(), "tryptich")
    with pytest.raises(ConfigError, match="nature"):
        figures.triptych(result(), style="natur")
    with pytest.raises(ConfigError, match="at least one"):
        figures.comparison([])
    with pytest.raises(ConfigError, match="at least one"):
        figures.history_figure({})
