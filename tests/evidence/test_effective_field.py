"""Effective fields of convolutions whose gradient is known on paper, and of a U-Net by its definition."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import medream as md
from medream.errors import ConfigError, LayerError
from medream.evidence.activations import eye
from medream.evidence.effective_field import (
    _slope,
    _window,
    effective_field,
    field_table,
    measure_field,
)
from medream.evidence.lesion_sizes import lesion_extents, share_that_fits

L = keras.layers


def scans(count=2, shape=(40, 50)):
    rng = np.random.default_rng(0)
    return [md.Scan(rng.random(shape, dtype=np.float32)) for _ in range(count)]


def stack(k: int, size: int = 3) -> keras.Model:
    entry = x = keras.Input((None, None, 1))
    for n in range(k):
        x = L.Conv2D(1, size, padding="same", kernel_initializer="ones", name=f"conv{n + 1}")(x)
    return keras.Model(entry, x)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_convolutions_of_ones_give_the_spline(k):
    found = effective_field(stack(k), f"conv{k}", scans(1), positions=2, draws=1)
    line = np.ones(1)
    for _ in range(k):
        line = np.convolve(line, np.ones(3))
    middle = [length // 2 for length in found.shape]
    here = found[middle[0] - k : middle[0] + k + 1, middle[1] - k : middle[1] + k + 1]
    np.testing.assert_allclose(here, np.outer(line, line) / 9**k, rtol=1e-5)
    assert found.sum() == pytest.approx(here.sum())


def test_a_dilated_convolution_looks_at_nine_pixels():
    entry = keras.Input((None, None, 1))
    conv = L.Conv2D(1, 3, padding="same", dilation_rate=4, kernel_initializer="ones", name="conv")
    found = effective_field(keras.Model(entry, conv(entry)), "conv", scans(1), 1, 1)
    rows, columns = np.nonzero(found)
    assert np.unique(rows).tolist() == [found.shape[0] // 2 + k for k in (-4, 0, 4)]
    assert np.unique(columns).tolist() == [found.shape[1] // 2 + k for k in (-4, 0, 4)]


def test_behind_a_pooling_the_place_in_its_grid_is_averaged_over():
    entry = keras.Input((None, None, 1))
    x = L.AveragePooling2D(4)(entry)
    model = keras.Model(entry, L.UpSampling2D(4, name="up")(x))
    found = effective_field(model, "up", scans(4, (60, 60)), 8, 16)
    line = (
        np.convolve(np.ones(4), np.ones(4)) / 16
    )  # a triangle: the box from each of its four places
    middle = found.shape[0] // 2
    np.testing.assert_allclose(found.sum(1)[middle - 3 : middle + 4], line, atol=0.04)
    assert np.count_nonzero(found.sum(1)) == 7


def test_units_are_told_apart_by_their_signs():
    """Two units that cancel in the plain mean count nevertheless."""
    entry = keras.Input((None, None, 1))
    conv = L.Conv2D(2, 3, padding="same", name="conv")
    model = keras.Model(entry, conv(entry))
    kernel = np.ones((3, 3, 1, 2))
    kernel[..., 1] = -1
    conv.set_weights([kernel, np.zeros(2)])
    assert measure_field(effective_field(model, "conv", scans(1), 1, 8))["peak_area_px"] == 9


def test_a_window_gives_the_gradient_of_the_whole_image():
    unet = md.build_unet(md.UNetConfig(levels=2, base_filters=2, norm="none", dropout=0.0))
    image = np.random.default_rng(1).random((128, 128), dtype=np.float32)
    look = eye(unet, ["mid_conv2"])
    theoretical = {row.name: row.receptive_field for row in md.describe_layers(unet)}["mid_conv2"]
    size = _window(look, theoretical, (128, 128))
    assert max(size) < 128
    signs, none = tf.ones((1, 8)), tf.zeros((1, 2), tf.int64)
    whole, _ = _slope(look, "mid_conv2", tf.constant(image[None, ..., None]), none, signs)
    corner = [(128 - length) // 2 for length in size]
    rows, columns = (slice(c, c + length) for c, length in zip(corner, size, strict=True))
    cut = tf.constant(image[None, rows, columns, None])
    part, _ = _slope(look, "mid_conv2", cut, none, signs)
    # A corner on the poolings' grid, so that both have the unit at one place of the image.
    assert not any(c % 4 for c in corner)
    np.testing.assert_allclose(whole[0, rows, columns], part[0], atol=1e-6)
    assert float(tf.reduce_sum(whole)) == pytest.approx(float(tf.reduce_sum(part)), rel=1e-4)


def test_fields_are_measured():
    rows, columns = np.mgrid[-60:61, -60:61]
    gauss = np.exp(-(rows**2) / (2 * 8**2) - columns**2 / (2 * 4**2))
    found = measure_field(gauss)
    assert found["depth_px"] == pytest.approx(4 * 8, rel=0.01)
    assert found["width_px"] == pytest.approx(4 * 4, rel=0.01)
    # An ellipse holds 1 - exp(-r²/2) of a Gaussian and ends at exp(-r²/2) of its peak.
    ellipse = 2 * np.log(1 / 0.0455) * np.pi * 8 * 4
    assert found["area_px"] == pytest.approx(ellipse, rel=0.01)
    assert found["peak_area_px"] == pytest.approx(ellipse, rel=0.02)
    assert found["side_px"] == pytest.approx(np.sqrt(ellipse), rel=0.02)
    assert np.isnan(list(measure_field(np.zeros((5, 5))).values())).all()


def test_a_dead_layer_has_no_field():
    entry = keras.Input((None, None, 1))
    conv = L.Conv2D(2, 3, padding="same", activation="relu", name="conv")
    model = keras.Model(entry, conv(entry))
    conv.set_weights([np.ones((3, 3, 1, 2)), np.full(2, -100.0)])
    assert effective_field(model, "conv", scans(1), 1, 1).sum() == 0
    row = field_table({"dead": model}, ["conv"], lesion_scans()).iloc[0]
    assert np.isnan(row.depth_px)
    assert np.isnan(row.fit)


def lesion_scans():
    """Boxes of 3 x 3 and 3 x 8 pixels in one subject, 2 x 2 that touch at a corner in the other."""
    masks = np.zeros((2, 40, 50), np.uint8)
    masks[0, 2:5, 2:5] = masks[0, 20:23, 10:18] = 1
    masks[1, 6:8, 6:8] = masks[1, 8:10, 8:10] = 1
    return [
        md.Scan(scan.image, mask, spacing_mm=(0.004, 0.01), source=md.Source(subject_id=str(k)))
        for k, (scan, mask) in enumerate(zip(scans(2), masks, strict=True))
    ]


def test_lesions_are_measured_and_fitted():
    found = lesion_extents(lesion_scans())
    assert found[["area_px", "depth_px", "width_px"]].values.tolist() == [
        [9, 3, 3],
        [24, 3, 8],
        [8, 4, 4],
    ]
    assert found.width_um.tolist() == pytest.approx([30, 80, 40])
    limits = np.full((2, 2), 4.0)
    assert share_that_fits(found, limits, 99).estimate == pytest.approx(2 / 3)
    assert share_that_fits(found, np.array([[3.0, 8.0], [3.0, 8.0]]), 99).estimate == pytest.approx(
        2 / 3
    )
    assert share_that_fits(found, np.full((2, 2), np.inf), 99).estimate == 1
    assert np.isnan(share_that_fits(lesion_extents(scans(1)), limits, 99).estimate)


def test_the_table_sets_fields_beside_lesions():
    models = {"small": stack(1), "large": stack(4)}
    table = field_table(models, ["conv1", "conv4"], lesion_scans(), 1, 1, resamples=99)
    assert table[["model", "layer"]].values.tolist() == [
        ["small", "conv1"], ["large", "conv1"], ["large", "conv4"]
    ]  # fmt: skip
    assert table.theoretical_depth_px.tolist() == [3, 3, 9]
    assert table.theoretical_width_um.tolist() == pytest.approx([30, 30, 90])
    assert table.width_um.iloc[0] == pytest.approx(10 * 3 * 0.9545)
    assert table.fit_theoretical.tolist() == pytest.approx([1 / 3, 1 / 3, 1])
    assert table.lesions.tolist() == [3, 3, 3]
    # Four of them reach four standard deviations of sqrt(4 x 2/3) pixels: not the widest lesion.
    assert table.width_px.iloc[2] == pytest.approx(4 * np.sqrt(8 / 3), rel=0.05)
    assert table.fit.iloc[2] == pytest.approx(2 / 3)


def test_a_network_of_one_size_counts_in_its_own_pixels():
    entry = keras.Input((20, 50, 1))
    model = keras.Model(
        entry, L.Conv2D(1, 5, padding="same", kernel_initializer="ones", name="conv")(entry)
    )
    row = field_table({"fixed": model}, ["conv"], lesion_scans(), 1, 1, resamples=9).iloc[0]
    assert row.theoretical_depth_px == 5
    assert row.theoretical_depth_um == pytest.approx(2 * 5 * 4)  # a scan has twice its depth
    assert row.theoretical_width_um == pytest.approx(5 * 10)


def test_scans_smaller_than_the_field_and_without_anything_else():
    unet = md.build_unet(md.UNetConfig(levels=2, base_filters=2))
    bare = [md.Scan(np.random.default_rng(0).random((17, 23), dtype=np.float32))]
    row = field_table({"unet": unet}, ["dec1_conv2"], bare, 1, 1).iloc[0]
    assert row.lesions == 0
    assert np.isnan([row.fit, row.depth_um]).all()
    assert row.depth_px > 1


def test_a_layer_that_sees_everything():
    entry = keras.Input((None, None, 1))
    x = L.Conv2D(4, 3, padding="same")(entry)
    model = keras.Model(entry, L.GroupNormalization(2, name="norm")(x))
    row = field_table({"norm": model}, ["norm"], lesion_scans()[:1], 1, 1, resamples=9).iloc[0]
    assert row.theoretical_depth_px == np.inf
    assert row.fit_theoretical == 1
    assert np.isfinite(row.depth_px)


def test_refusals():
    with pytest.raises(LayerError, match="conv1"):
        field_table({"a": stack(1)}, ["conv9"], scans(1))
    with pytest.raises(ConfigError, match="at least one"):
        effective_field(stack(1), "conv1", [])
