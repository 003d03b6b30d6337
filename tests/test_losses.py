"""Losses against numbers worked out by hand."""

import math

import numpy as np
import pytest

from medream.losses import IGNORE, LOSSES, cross_entropy, dice, dice_cross_entropy


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
    assert float(LOSSES[name](labels, logits)) == float(LOSSES[name](labels, changed))
    cut = float(LOSSES[name](labels[:, :, :3], logits[:, :, :3]))
    assert float(LOSSES[name](labels, logits)) == pytest.approx(cut, rel=1e-6)


def test_perfect_and_opposite_predictions():
    labels, logits = batch([1, 0, 0, 1], [40.0, -40.0, -40.0, 40.0])
    assert float(dice_cross_entropy(labels, logits)) == pytest.approx(0.0, abs=1e-6)
    assert float(dice(labels, -logits)) == pytest.approx(1 - 1 / 5, abs=1e-6)
