"""Attributions of a linear network, whose answer is known, and of a U-Net, where the sums must agree."""

import keras
import numpy as np
import pytest

import medream as md
from medream.errors import ConfigError, LayerError
from medream.evidence.attribution import (
    Score,
    deletion_insertion,
    gradient_times_input,
    integrated_gradients,
    occlusion,
    score_of_prediction,
    seg_grad_cam,
    smooth_grad,
)


@pytest.fixture(scope="module")
def scan() -> np.ndarray:
    return np.random.default_rng(0).random((24, 32), dtype=np.float32)


@pytest.fixture(scope="module")
def region() -> np.ndarray:
    region = np.zeros((24, 32), bool)
    region[8:16, 10:20] = True
    return region


@pytest.fixture(scope="module")
def linear() -> keras.Model:
    """Logit = 2 x pixel - 1."""
    image = keras.Input((None, None, 1))
    layer = keras.layers.Conv2D(1, 1, name="logits")
    model = keras.Model(image, layer(image))
    layer.set_weights([np.full((1, 1, 1, 1), 2.0), np.array([-1.0])])
    return model


@pytest.fixture(scope="module")
def unet() -> keras.Model:
    return md.build_unet(md.UNetConfig(levels=2, base_filters=4, norm="none"))


def test_linear_network(linear, scan, region):
    score = Score(linear, region)
    assert score(scan)[0] == pytest.approx((2 * scan[region] - 1).sum(), rel=1e-5)
    np.testing.assert_allclose(score.gradient(scan)[0], 2.0 * region)
    np.testing.assert_allclose(gradient_times_input(score, scan), 2.0 * region * scan)
    np.testing.assert_allclose(smooth_grad(score, scan, 3), 2.0 * region, rtol=1e-6)
    found, missing = integrated_gradients(score, scan, steps=4)
    np.testing.assert_allclose(found, 2.0 * region * scan, atol=1e-5)
    assert missing < 1e-5


def test_background_of_a_network_with_one_output_has_the_opposite_score(linear, scan, region):
    assert Score(linear, region, 0)(scan)[0] == pytest.approx(-Score(linear, region)(scan)[0])


def test_gradient_agrees_with_finite_differences(unet, scan, region):
    score = Score(unet, region)
    gradient = score.gradient(scan)[0]
    for place in ((10, 12), (15, 19), (3, 4)):
        step = np.zeros_like(scan)
        step[place] = 1e-2
        rise = (score(scan + step)[0] - score(scan - step)[0]) / 2e-2
        assert gradient[place] == pytest.approx(rise, rel=0.05, abs=0.05)


def test_integrated_gradients_are_complete(unet, scan, region):
    score = Score(unet, region)
    few, many = (integrated_gradients(score, scan, scan[::-1, ::-1], n)[1] for n in (2, 100))
    assert many < 0.05
    assert many < few / 3


def test_occlusion_of_a_linear_network_is_what_was_covered(linear, scan, region):
    found = occlusion(Score(linear, region), scan, window=4, step=4, fill=0.0)
    blocks = (2.0 * region * scan).reshape(6, 4, 8, 4).sum(axis=(1, 3))
    np.testing.assert_allclose(found[::4, ::4], blocks, rtol=1e-3, atol=1e-3)


def test_seg_grad_cam_of_a_single_unit_is_its_activation(scan, region):
    image = keras.Input((None, None, 1))
    hidden = keras.layers.Conv2D(2, 1, name="hidden")
    out = keras.layers.Conv2D(1, 1, name="logits")
    model = keras.Model(image, out(hidden(image)))
    hidden.set_weights([np.array([[[[1.0, -1.0]]]]), np.zeros(2)])
    out.set_weights([np.array([3.0, 0.0]).reshape(1, 1, 2, 1), np.zeros(1)])
    found = seg_grad_cam(Score(model, region), scan, "hidden")
    # Only the first channel feeds the output: gradient 3 in the region, 0 elsewhere.
    np.testing.assert_allclose(found, 3.0 * region.mean() * scan, rtol=1e-5)


def test_seg_grad_cam_at_a_coarse_layer_has_the_image_size(unet, region):
    ragged = np.random.default_rng(1).random((23, 30), dtype=np.float32)
    found = seg_grad_cam(Score(unet, region[:23, :30]), ragged, "mid_conv2")
    assert found.shape == (23, 30)
    assert (found >= 0).all()


def test_the_right_order_falls_faster_than_its_opposite(linear, scan, region):
    score = Score(linear, region)
    right = gradient_times_input(score, scan)
    shares, falls, rises = deletion_insertion(score, scan, right, blank=0.0)
    _, slow, late = deletion_insertion(score, scan, -right, blank=0.0)
    assert falls[0] == pytest.approx(1)
    assert falls[-1] == pytest.approx(0, abs=1e-6)
    assert rises[0] == pytest.approx(0, abs=1e-6)
    area = np.trapezoid
    assert area(falls, shares) < 0.2 < 0.8 < area(slow, shares)
    assert area(rises, shares) > 0.8 > 0.2 > area(late, shares)


def test_refusals(unet, scan, region):
    with pytest.raises(ConfigError, match="empty"):
        Score(unet, region & False)
    with pytest.raises(LayerError, match="logit"):
        Score(unet, region, logits="logit")
    with pytest.raises(LayerError, match="mid_conv2"):
        seg_grad_cam(Score(unet, region), scan, "mid_conv3")
    unet_of_nothing = md.build_unet(md.UNetConfig(levels=1, base_filters=2))
    unet_of_nothing.get_layer("logits").set_weights([np.zeros((1, 1, 2, 1)), np.array([-9.0])])
    with pytest.raises(ConfigError, match="no pixel"):
        score_of_prediction(unet_of_nothing, scan)
