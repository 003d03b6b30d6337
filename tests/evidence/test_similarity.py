"""Similarity of dreams, against cases whose answer is known."""

import numpy as np
import pytest

from medream.errors import ConfigError
from medream.evidence.similarity import similarity


def dreams(seed=0, shape=(64, 48)):
    rng = np.random.default_rng(seed)
    return rng.random(shape), rng.normal(0, 0.1, shape), rng.normal(0, 0.1, shape)


def test_a_dream_is_like_itself_whatever_the_step_size():
    scan, delta, _ = dreams()
    for other in (scan + delta, scan + 3 * delta):
        assert list(similarity(scan, scan + delta, other).values()) == pytest.approx([1, 1, 1, 1])


def test_the_opposite_dream_is_alike_in_magnitude_only():
    scan, delta, _ = dreams()
    found = similarity(scan, scan + delta, scan - delta)
    assert found["spearman"] == pytest.approx(-1)
    assert found["ssim"] < 0
    assert found["spearman_magnitude"] == pytest.approx(1)
    assert found["ssim_magnitude"] == pytest.approx(1)


def test_dreams_that_share_nothing_but_the_scan_are_not_alike():
    scan, first, second = dreams()
    found = similarity(scan, scan + first, scan + second)
    assert all(abs(found[name]) < 0.1 for name in ("ssim", "spearman", "spearman_magnitude"))


def test_pixels_that_are_not_valid_do_not_count():
    scan, first, second = dreams()
    valid = np.zeros(scan.shape, bool)
    valid[:, :24] = True
    mixed = np.where(valid, first, second)
    assert similarity(scan, scan + first, scan + mixed, valid)["spearman"] == pytest.approx(1)


def test_no_change_has_no_similarity_and_bad_shapes_are_refused():
    scan, delta, _ = dreams()
    assert all(np.isnan(v) for v in similarity(scan, scan, scan + delta).values())
    with pytest.raises(ConfigError, match="one size"):
        similarity(scan, scan[:-1], scan)
    with pytest.raises(ConfigError, match="7 x 7"):
        similarity(scan[:5], scan[:5] + 1, scan[:5])
