"""Losses against numbers worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from medream.losses import (
    IGNORE,
    LOSSES,
    cross_entropy,
    dice,
    dice_cross_entropy,
    focal,
    generalized_dice,
    loss_settings,
    make_loss,
    surface,
    tversky,
)
from medream.losses.boundary import signed_distances


def batch(labels, logits):
    labels = np.array(labels).reshape(1, 1, -1, 1)
    return labels, np.array(logits, "float32").reshape(1, 1, labels.size, -1)


def test_binary_cross_entropy_by_hand():
    labels, logits = batch([1, 0], [math.log(3.0), 0.0])  # probabilities 0.75 and 0.5
    expected = -(math.log(0.75) + math.log(0.5)) / 2
    assert float(cross_entropy(labels, logits)) == pytest.approx(expected, rel=1e-6)


def test_binary_dice_by_hand():
    labels, logits = batch([1, 0, 1], [math.log(3.0), 0.0, 0.0])  # 0.75, 0.5, 0.5
    expected = 1 - (2 * (0.75 + 0.5) + 1) / (2 + 1.75 + 1)
    assert float(dice(labels, logits)) == pytest.approx(expected, rel=1e-6)


def test_three_classes_by_hand():
    third = math.log(2.0)
    labels, logits = batch([1, 2], [[0, third, 0], [0, 0, 0]])  # (1/4, 1/2, 1/4), thirds
    expected = -(math.log(1 / 2) + math.log(1 / 3)) / 2
    assert float(cross_entropy(labels, logits)) == pytest.approx(expected, rel=1e-6)
    one = (2 * 1 / 2 + 1) / (1 + 1 / 2 + 1 / 3 + 1)
    two = (2 * 1 / 3 + 1) / (1 + 1 / 4 + 1 / 3 + 1)
    assert float(dice(labels, logits)) == pytest.approx(1 - (one + two) / 2, rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("channels", [1, 3])
def test_ignored_pixels_change_nothing(name, channels):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, max(channels, 2), (2, 4, 5, 1))
    logits = rng.normal(size=(2, 4, 5, channels)).astype("float32")
    labels[:, :, 3:] = IGNORE
    changed = logits.copy()
    changed[:, :, 3:] = 50.0
    loss = make_loss(name)
    assert float(loss(labels, logits)) == float(loss(labels, changed))
    cut = float(loss(labels[:, :, :3], logits[:, :, :3]))
    assert float(loss(labels, logits)) == pytest.approx(cut, rel=1e-6)


def test_perfect_and_opposite_predictions():
    labels, logits = batch([1, 0, 0, 1], [40.0, -40.0, -40.0, 40.0])
    assert float(dice_cross_entropy(labels, logits)) == pytest.approx(0.0, abs=1e-6)
    assert float(dice(labels, -logits)) == pytest.approx(1 - 1 / 5, abs=1e-6)


def test_focal_by_hand():
    labels, logits = batch([1, 0], [math.log(3.0), 0.0])  # own probabilities 0.75 and 0.5
    lesion, background = -0.25 * 0.25**2 * math.log(0.75), -0.75 * 0.5**2 * math.log(0.5)
    assert float(focal(labels, logits)) == pytest.approx((lesion + background) / 2, rel=1e-5)
    labels, logits = batch([1, 2], [[0, math.log(2.0), 0], [0, 0, 0]])  # 1/2 and 1/3
    expected = -0.4 * (0.5**3 * math.log(1 / 2) + (2 / 3) ** 3 * math.log(1 / 3)) / 2
    assert float(focal(labels, logits, alpha=0.4, gamma=3.0)) == pytest.approx(expected, rel=1e-5)
    plain = float(focal(labels, logits, alpha=0.5, gamma=0.0))
    assert plain == pytest.approx(0.5 * float(cross_entropy(labels, logits)), rel=1e-6)


def test_tversky_by_hand():
    labels, logits = batch([1, 0, 1], [math.log(3.0), 0.0, 0.0])  # 0.75, 0.5, 0.5
    hit, false, missed = 0.75 + 0.5, 0.5, 0.25 + 0.5
    expected = 1 - (hit + 0.5) / (hit + 0.3 * false + 0.7 * missed + 0.5)
    assert float(tversky(labels, logits)) == pytest.approx(expected, rel=1e-6)
    even = float(tversky(labels, logits, alpha=0.5, beta=0.5))
    assert even == pytest.approx(float(dice(labels, logits)), rel=1e-6)


def test_generalized_dice_by_hand():
    labels, logits = batch([1, 0, 0], [math.log(3.0), 0.0, -math.log(3.0)])  # 0.75, 0.5, 0.25
    overlap = (0.5 + 0.75) / 2**2 + 0.75 / 1**2  # background, then lesion
    total = (2 + 0.25 + 0.5 + 0.75) / 2**2 + (1 + 0.75 + 0.5 + 0.25) / 1**2
    expected = 1 - 2 * overlap / total
    assert float(generalized_dice(labels, logits)) == pytest.approx(expected, rel=1e-5)
    third = math.log(2.0)
    labels, logits = batch([1, 1], [[0, third, 0], [0, 0, 0]])  # no background, no class 2
    overlap = 1 / 2 + 1 / 3  # every class weighs 1 / 2**2
    assert float(generalized_dice(labels, logits)) == pytest.approx(1 - 2 * overlap / 4, rel=1e-5)


def test_signed_distances_by_hand():
    picture = np.array([[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1]])
    found = signed_distances(picture.reshape(1, 4, 4, 1), 2)
    root = math.sqrt(2)
    expected = [[root, 1, 1, 1], [1, 0, 0, 0], [1, 0, -1, -1], [1, 0, -1, -2]]
    np.testing.assert_allclose(found[0, ..., 0], expected, rtol=1e-6)
    assert not found[0, ..., 1].any()  # a class that the patch lacks
    assert not signed_distances(np.ones((1, 4, 4, 1)), 1).any()  # and one that fills it
    picture[2:, 3] = picture[0, 3] = IGNORE
    found = signed_distances(picture.reshape(1, 4, 4, 1), 1)[0, ..., 0]
    assert found[2, 2] == -1  # what is not valid bounds nothing
    assert not found[picture == IGNORE].any()


def test_surface_by_hand():
    labels, logits = batch([0, 0, 1, 1, IGNORE], [math.log(3.0), 0.0, 0.0, math.log(3.0), 50.0])
    expected = (0.75 * 2 + 0.5 * 1 + 0.5 * 0 + 0.75 * -1) / 4
    assert float(surface(labels, logits)) == pytest.approx(expected, rel=1e-6)
    labels, logits = batch([0, 1, 2], np.zeros((3, 3)))
    expected = (1 / 3) * ((1 + 0 + 1) + (2 + 1 + 0)) / 2 / 3
    assert float(surface(labels, logits)) == pytest.approx(expected, rel=1e-6)


def test_boundary_is_handed_over_by_a_hundredth_an_epoch():
    labels, logits = batch([0, 0, 1, 1], [0.3, -0.2, 0.1, 1.5])
    region, contour = (float(f(labels, logits)) for f in (dice_cross_entropy, surface))
    loss = make_loss("boundary")
    for epoch, share in ((0, 0.01), (9, 0.1), (200, 0.99)):
        loss.start_epoch(epoch)
        expected = (1 - share) * region + share * contour
        assert float(loss(labels, logits)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scene", ["background", "lesion", "nothing valid", "mixed"])
def test_values_and_gradients_are_finite(name, channels, scene):
    fill = {"background": 0, "lesion": max(channels - 1, 1), "nothing valid": IGNORE, "mixed": 0}
    labels = np.full((2, 4, 5, 1), fill[scene])
    if scene == "mixed":
        labels[0, :2] = 1
        labels[1, 2] = IGNORE
    rng = np.random.default_rng(1)
    for size in (0.0, 1.0, 100.0):
        logits = tf.constant(size * rng.choice([-1.0, 1.0], (2, 4, 5, channels)), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = make_loss(name)(labels, logits)
        gradient = tape.gradient(value, logits)
        assert np.isfinite(float(value))
        assert np.isfinite(gradient.numpy()).all()
        if scene == "nothing valid":
            assert not gradient.numpy().any()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("channels", [1, 4])
def test_every_loss_falls_towards_the_reference(name, channels):
    """Descent on the logits alone must end at the reference; IRF, SRF and PED side by side."""
    labels = np.zeros((1, 12, 12, 1), "int32")
    labels[0, 1:5, 1:5] = 1
    if channels == 4:
        labels[0, 1:5, 7:11], labels[0, 7:11, 1:11] = 2, 3
    logits, loss = tf.Variable(np.zeros((1, 12, 12, channels), "float32")), make_loss(name)
    for _ in range(8):
        with tf.GradientTape() as tape:
            value = loss(labels, logits)
        logits.assign_sub(0.5 * tf.sign(tape.gradient(value, logits)))
    found = logits.numpy()
    predicted = found[..., 0] > 0 if channels == 1 else found.argmax(-1)
    np.testing.assert_array_equal(predicted, labels[..., 0])


@pytest.mark.parametrize("name", LOSSES)
def test_a_binary_network_is_a_softmax_over_nothing_and_its_logit(name):
    rng = np.random.default_rng(2)
    labels, logits = (
        rng.integers(0, 2, (2, 4, 5, 1)),
        rng.normal(size=(2, 4, 5, 1)).astype("float32"),
    )
    pair = np.concatenate([np.zeros_like(logits), logits], -1)
    one, two = (float(make_loss(name)(labels, x)) for x in (logits, pair))
    assert one == pytest.approx(two, rel=1e-5)


def test_settings_of_losses():
    assert loss_settings("focal") == {"alpha": 0.25, "gamma": 2.0}
    assert loss_settings("boundary") == {"step": 0.01}
    assert loss_settings("dice_ce") == {}
    labels, logits = batch([1, 0], [0.2, 0.4])
    assert float(make_loss("tversky", {"beta": 1.0})(labels, logits)) == float(
        tversky(labels, logits, beta=1.0)
    )
