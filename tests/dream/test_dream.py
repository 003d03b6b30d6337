"""The laws of a dream, and its arguments."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import ALONE, QUICK, noise

import medream.dream as dreams
from medream.dream import DreamConfig, Objective, channel, dream, layer, neuron, total_variation
from medream.errors import ConfigError, LayerError, ModelError, ScanError
from medream.scan import Scan

# ---- laws ------------------------------------------------------------------------------------


@settings(max_examples=3, deadline=None)
@given(depth=st.integers(5, 40), width=st.integers(5, 40), seed=st.integers(0, 9))
def test_zero_steps_give_the_image_back_bit_for_bit(unet, depth, width, seed):
    image = noise(depth, width, seed=seed)
    image[:2, :2] = [[0.0, 1.0], [1.0, 0.0]]  # at the ends of the range clipping could bite
    result = dream(unet, image, "dec1_conv", steps=0, octave_steps=0, control=False)
    for got in (result.original, result.dream, result.enhanced):
        assert got.dtype == np.float32
        assert got.tobytes() == image.tobytes()
    assert result.history.shape == (1,)


@pytest.mark.parametrize(
    "name",
    ["enc1_conv", "enc2_norm", "enc2_drop", "enc2_pool", "mid_act", "dec2_up", "dec1_cat",
     "dec1_conv", "probabilities"],
)  # fmt: skip
def test_the_objective_rises_for_every_kind_of_layer(unet, name):
    result = dream(unet, noise(24, 20), name, steps=8, octaves=None, control=False)
    assert result.history.shape == (9,)
    assert result.history.dtype == np.float32
    assert result.history[-1] > result.history[0]


@pytest.mark.parametrize("name", ["rescaling", "conv1", "pool1", "conv2", "flat", "head"])
def test_the_objective_rises_in_a_colour_network_of_fixed_size(vgg, name):
    result = dream(vgg, noise(32, 32, 3), name, steps=8, octaves=None, control=False)
    assert result.history[-1] > result.history[0]


@pytest.mark.parametrize("shape", [(33, 21), (21, 33, 1), (5, 3), (1, 1), (16, 48)])
def test_any_size_keeps_its_shape(unet, shape):
    result = dream(unet, noise(*shape), "dec1_conv", **QUICK)
    for got in (result.original, result.dream, result.enhanced, result.control):
        assert got.shape == shape
        assert got.dtype == np.float32
        assert got.min() >= 0
        assert got.max() <= 1


def test_same_seed_same_bytes_and_another_seed_another_control(unet):
    a, b = (dream(unet, noise(20, 24), "mid_conv", seed=3, **QUICK) for _ in range(2))
    assert a == b
    c = dream(unet, noise(20, 24), "mid_conv", seed=4, **QUICK)
    assert c.dream.tobytes() == a.dream.tobytes()
    assert c.control.tobytes() != a.control.tobytes()


def test_neither_image_nor_model_is_changed(unet):
    image = noise(20, 24)
    image_before = image.copy()
    weights_before = unet.get_weights()
    nodes_before = [len(each._inbound_nodes) for each in unet.layers]
    result = dream(unet, image, "dec1_conv", **QUICK)
    assert np.array_equal(image, image_before)
    assert not np.shares_memory(image, result.original)
    for before, after in zip(weights_before, unet.get_weights(), strict=True):
        assert np.array_equal(before, after)
    assert [len(each._inbound_nodes) for each in unet.layers] == nodes_before
    assert not np.array_equal(result.dream, image)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 99))
def test_pixels_that_are_not_valid_never_change(unet, seed):
    image = noise(24, 20, seed=seed)
    first, last = np.random.default_rng(seed).integers([1, 12], [8, 20])
    valid = np.zeros((24, 20), bool)
    valid[first:, :last] = True
    result = dream(unet, image, "dec1_conv", valid=valid, **{**QUICK, "octaves": (-1, 0, 1)})
    for got in (result.dream, result.enhanced, result.control):
        assert got[~valid].tobytes() == image[~valid].tobytes()
        assert not np.array_equal(got[valid], image[valid])


def test_pixels_that_are_not_valid_do_not_count_in_the_step(unet):
    """One step moves the valid pixels by a gradient whose deviation among them is 1."""
    image = np.full((24, 20), 0.5, np.float32)
    valid = np.zeros((24, 20), bool)
    valid[:, 10:] = True
    result = dream(unet, image, "mid_conv", steps=1, valid=valid, octaves=None, control=False)
    assert np.std((result.dream - image)[valid]) == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize(
    "settings", [{}, {"tile": 48, "overlap": 16}, {"optimizer": "momentum", "bounds": "reflect"}]
)
def test_translation_of_the_input_translates_the_dream_away_from_borders(unet, settings):
    """By a multiple of the stride, as far as three steps see: 3 x 12 pixels on each side."""
    wide = noise(96, 104)
    quick = {**ALONE, "steps": 3, "gradient": "sign", "step_size": 0.01, **settings}
    left, right = (dream(unet, wide[:, at : at + 96], "enc2_norm", **quick) for at in (0, 8))
    assert np.abs(left.dream - left.original)[40:56, 48:60].max() > 0.005
    np.testing.assert_allclose(left.dream[40:56, 48:60], right.dream[40:56, 40:52], atol=1e-6)
    assert not np.allclose(left.dream[:, 8:], right.dream[:, :-8], atol=1e-6)  # at borders


def test_an_enhanced_dream_changes_more_than_one_scale(unet):
    """Its coarse part comes from the small octaves: one octave alone has less of it."""
    image = np.full((64, 64), 0.5, np.float32)
    image += 0.1 * (noise(64, 64) - 0.5)

    def coarse(octaves: tuple[int, ...]) -> float:
        result = dream(unet, image, "dec1_conv", steps=0, octaves=octaves, octave_steps=10,
                       control=False)  # fmt: skip
        delta = result.enhanced - image
        return float(np.std(delta.reshape(8, 8, 8, 8).mean((1, 3))))

    assert coarse((-2, -1, 0)) > 1.2 * coarse((0,))


# ---- arguments --------------------------------------------------------------------------------


def test_a_scan_brings_valid_spacing_and_reference(unet):
    image = noise(16, 20)
    valid = np.ones((16, 20), bool)
    valid[:, :3] = False
    mask = (image > 0.9).astype(np.uint8)
    scan = Scan(image, mask=mask, valid=valid, spacing_mm=(0.004, 0.011))
    result = dream(unet, scan, "mid_conv", **QUICK)
    assert result.spacing_mm == (0.004, 0.011)
    assert np.array_equal(result.valid, valid)
    assert np.array_equal(result.reference, mask)
    assert result.dream[:, :3].tobytes() == image[:, :3].tobytes()


def test_on_step_sees_every_step(unet):
    seen = []
    result = dream(
        unet, noise(12, 12), "mid_conv", steps=4, octaves=None, control=False,
        on_step=lambda step, value, image: seen.append((step, value, image.copy())),
    )  # fmt: skip
    assert [step for step, _, _ in seen] == [1, 2, 3, 4]
    assert [value for _, value, _ in seen] == [float(v) for v in result.history[1:]]
    assert np.array_equal(seen[-1][2], result.dream)


@pytest.mark.parametrize(
    ("image", "error", "said"),
    [
        (np.zeros((8, 8), np.uint8), ScanError, "255"),
        (np.full((8, 8), 2.0, np.float32), ScanError, "0, 1"),
        (np.full((8, 8), np.nan, np.float32), ScanError, "finite"),
        (np.zeros(8, np.float32), ScanError, "depth, width"),
        ([[0.5]], ScanError, "list"),
        (np.zeros((8, 8, 3), np.float32), ModelError, "3 channels"),
    ],
)
def test_images_that_do_not_fit_are_refused(unet, image, error, said):
    with pytest.raises(error, match=said):
        dream(unet, image, "mid_conv")


def test_wrong_names_and_settings_are_told_with_the_nearest(unet):
    image = noise(8, 8)
    with pytest.raises(LayerError, match="dec1_conv"):
        dream(unet, image, "dec1_conv2")
    with pytest.raises(ConfigError, match="octave_steps"):
        dream(unet, image, "mid_conv", octave_step=3)
    with pytest.raises(ConfigError, match="octave_steps"):
        dream(unet, image, "mid_conv", config=DreamConfig(), octave_step=3)
    with pytest.raises(ConfigError, match="beside config"):
        dream(unet, image, "mid_conv", steps=3, config=DreamConfig())
    with pytest.raises(ConfigError, match="0 to 15"):
        dream(unet, image, channel("mid_conv", 16), octaves=None)
    with pytest.raises(ConfigError, match="row 2"):
        dream(unet, image, neuron("mid_conv", 0, (2, 0)), octaves=None)
    with pytest.raises(ScanError, match="valid"):
        dream(unet, image, "mid_conv", valid=np.ones((7, 8), bool))
    with pytest.raises(ScanError, match="no pixel left"):
        dream(unet, image, "mid_conv", valid=np.zeros((8, 8), bool))
    with pytest.raises(ModelError, match="does not change"):
        dream(unet, image, Objective((), lambda activations: tf.constant(1.0), "one"))


def test_a_config_stands_for_all_settings(unet):
    config = DreamConfig(steps=3, octaves=(-1, 0), octave_steps=2)
    assert dream(unet, noise(12, 12), "mid_conv", config=config) == dream(
        unet, noise(12, 12), "mid_conv", **QUICK
    )
    assert dataclasses.replace(config, steps=4).steps == 4


def test_the_package_is_the_function(unet):
    assert dreams(unet, noise(12, 12), "mid_conv", **QUICK) == dreams.dream(
        unet, noise(12, 12), "mid_conv", **QUICK
    )


def test_total_variation_is_smaller_where_it_is_a_penalty(unet):
    plain, smooth = (
        dream(unet, noise(24, 24), objective, steps=10, octaves=None, control=False).dream
        for objective in (layer("mid_conv"), layer("mid_conv") - 5 * total_variation())
    )

    def variation(image: np.ndarray) -> float:
        return sum(float(np.abs(np.diff(image, axis=axis)).sum()) for axis in (0, 1))

    assert variation(smooth) < variation(plain)
