"""Overlays: fixed grey, contours along pixel edges, fills in place, true scale bars."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from medream.errors import ConfigError
from medream.figures import draw_overlay, overlay_image, scale_bar
from medream.figures.overlay import bar_length_um
from medream.figures.style import ORANGE, SKY_BLUE

BLUE = np.round(255 * np.array(to_rgb(SKY_BLUE))).astype("uint8")


def square(shape=(20, 30), rows=slice(5, 12), columns=slice(8, 20)):
    mask = np.zeros(shape, "uint8")
    mask[rows, columns] = 1
    return mask


def axes():
    return Figure().add_subplot()


def contours(ax):
    return [
        c for c in ax.collections if isinstance(c, LineCollection) and c.get_gid() == "reference"
    ]


def test_pixels_of_a_plain_overlay():
    image = np.full((20, 30), 0.5)
    drawn = overlay_image(image, square(), square(columns=slice(10, 25)), alpha=0.5)
    assert drawn.dtype == np.uint8
    assert drawn.shape == (20, 30, 3)
    np.testing.assert_array_equal(drawn[0, 0], [128, 128, 128])
    np.testing.assert_array_equal(drawn[5, 8], BLUE)  # first pixel of the reference
    np.testing.assert_array_equal(drawn[11, 19], BLUE)  # its last
    np.testing.assert_array_equal(drawn[4, 8], [128, 128, 128])  # just outside
    np.testing.assert_array_equal(drawn[8, 9], [128, 128, 128])  # inside, not predicted
    mixed = np.round(255 * (0.25 + 0.5 * np.array(to_rgb(ORANGE))))
    np.testing.assert_array_equal(drawn[8, 12], mixed)
    np.testing.assert_array_equal(drawn[8, 24], mixed)  # predicted outside of the reference


def test_the_contour_of_a_plain_overlay_is_one_pixel_wide():
    drawn = overlay_image(np.zeros((20, 30)), square())
    found = (drawn == BLUE).all(axis=2)
    assert found.sum() == 2 * 12 + 2 * 5  # rim of 7 x 12 pixels
    assert found[5:12, 8:20].sum() == found.sum()


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)))
@settings(max_examples=60, deadline=None)
def test_the_contour_runs_along_every_edge_of_the_mask_and_no_other(mask):
    ax = axes()
    draw_overlay(ax, np.zeros(mask.shape), reference=mask)
    edges = set()
    for line in contours(ax):
        for (x0, y0), (x1, y1) in line.get_segments():
            assert x0 == x1 or y0 == y1
            n = round(abs(x1 - x0) + abs(y1 - y0))
            for k in range(n):  # unit pieces, by their middle
                piece = (x0 + (x1 - x0) * (k + 0.5) / n, y0 + (y1 - y0) * (k + 0.5) / n)
                assert piece not in edges
                edges.add(piece)
    padded = np.pad(mask, 1)
    expected = set()
    for i, j in np.ndindex(mask.shape):
        for di, dj in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            if mask[i, j] and not padded[i + 1 + di, j + 1 + dj]:
                expected.add((j + dj / 2, i + di / 2))
    assert edges == expected


@given(
    arrays(np.uint8, (6, 7), elements=st.integers(0, 3)),
    arrays(np.uint8, (6, 7), elements=st.integers(0, 3)),
    arrays(np.float32, (6, 7, 3), elements=st.floats(0, 1, width=32)),
)
@settings(max_examples=40, deadline=None)
def test_overlays_leave_their_inputs_and_the_unmarked_pixels_alone(reference, prediction, image):
    copies = [array.copy() for array in (image, reference, prediction)]
    drawn = overlay_image(image, reference, prediction)
    draw_overlay(axes(), image, reference, prediction)
    for array, copy in zip((image, reference, prediction), copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    bare = (reference == 0) & (prediction == 0)
    np.testing.assert_array_equal(drawn[bare], np.round(255 * image.astype(float))[bare])


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 1), (8, 9, 3)])
def test_grey_scale_is_fixed_and_every_kind_of_image_is_drawn(shape):
    ax = axes()
    draw_overlay(ax, np.full(shape, 0.4, "float32"))
    assert ax.images[0].get_clim() == (0.0, 1.0)
    assert overlay_image(np.full(shape, 0.4, "float32")).shape == (8, 9, 3)


def test_empty_masks_draw_nothing():
    ax = axes()
    empty = np.zeros((8, 9), "uint8")
    draw_overlay(ax, np.zeros((8, 9)), empty, empty)
    assert not contours(ax)
    assert not overlay_image(np.zeros((8, 9)), empty, empty).any()


def test_the_fill_lies_where_the_prediction_is():
    ax = axes()
    mask = square()
    draw_overlay(ax, np.zeros(mask.shape), prediction=mask, alpha=0.3)
    fill = ax.images[1].get_array()
    np.testing.assert_array_equal(fill[..., 3] > 0, mask > 0)
    np.testing.assert_allclose(fill[8, 10], (*to_rgb(ORANGE), 0.3))


def test_classes_have_colours_of_their_own():
    mask = square()
    mask[15:18, 2:5] = 2
    drawn = overlay_image(np.zeros(mask.shape), mask)
    assert (drawn[5, 8] != drawn[15, 2]).any()
    ax = axes()
    draw_overlay(ax, np.zeros(mask.shape), mask)
    assert len(contours(ax)) == 2


@pytest.mark.parametrize(
    ("image", "mask", "word"),
    [
        (np.zeros((4, 5)), np.zeros((5, 4), "uint8"), "size"),
        (np.zeros((4, 5)), np.zeros((4, 5)), "type"),
        (np.full((4, 5), 2.0), None, r"\[0, 1\]"),
        (np.full((4, 5), np.nan), None, r"\[0, 1\]"),
        (np.zeros((4, 5), "uint8"), None, "floating"),
        (np.zeros((4, 5, 2)), None, "shape"),
        (np.zeros((0, 5)), None, "shape"),
    ],
)
def test_bad_input_is_refused(image, mask, word):
    with pytest.raises(ConfigError, match=word):
        overlay_image(image, mask)
    with pytest.raises(ConfigError, match=word):
        draw_overlay(axes(), image, mask)


def bars(ax):
    return [line for line in ax.lines if line.get_gid() == "scale bar"]


def test_no_scale_bar_is_invented():
    ax = axes()
    draw_overlay(ax, np.zeros((10, 10)))
    scale_bar(ax, None)
    assert not ax.lines
    assert not ax.texts


def test_scale_bars_are_true():
    ax = axes()
    draw_overlay(ax, np.zeros((496, 768)))
    scale_bar(ax, (0.00387, 0.01133))
    # 768 px * 11.33 um = 8701 um, a fifth is 1740: 2000 um = 176.5 px.
    # 496 px * 3.87 um = 1920 um, a fifth is 384: 500 um = 129.2 px.
    for line in bars(ax):
        x, y = line.get_xdata(), line.get_ydata()
        assert x.max() - x.min() == pytest.approx(2.0 / 0.01133)
        assert y.max() - y.min() == pytest.approx(0.5 / 0.00387)
    assert [text.get_text() for text in ax.texts] == ["2000 µm", "500 µm"]


def test_square_pixels_need_one_bar():
    ax = axes()
    draw_overlay(ax, np.zeros((256, 256)))
    scale_bar(ax, (0.01, 0.01))
    x, y = bars(ax)[0].get_data()
    assert x.max() - x.min() == pytest.approx(50.0)  # 2560 um / 5 = 512: 500 um
    assert y.min() == y.max()
    assert [text.get_text() for text in ax.texts] == ["500 µm"]


@given(st.floats(1.0, 1e6))
def test_bars_are_about_a_fifth_in_round_numbers(extent):
    length = bar_length_um(extent)
    assert 0.12 < length / extent < 0.33
    assert f"{length:e}"[0] in "125"
    assert float(f"{length:.0e}") == pytest.approx(length)
