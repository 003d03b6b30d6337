"""Octaves: sizes that are used, and detail that is carried."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medream.dream.octaves import enhance, octave_shapes, resize
from medream.errors import ConfigError


@given(
    depth=st.integers(1, 900), width=st.integers(1, 900), multiple=st.sampled_from([1, 2, 8, 16]),
    scale=st.floats(1.1, 2.0),
)  # fmt: skip
def test_octaves_keep_to_the_multiple_and_grow(depth, width, multiple, scale):
    shapes = octave_shapes((depth, width), (-2, -1, 0, 1), scale, (multiple, 1), (multiple, 1))
    assert shapes == sorted(shapes)
    for exponent, (rows, columns) in zip((-2, -1, 0, 1), shapes, strict=True):
        assert rows % multiple == 0
        assert rows >= max(multiple, min(16, depth))
        assert columns >= min(16, width)
        if depth * scale**exponent >= 32:
            assert abs(rows - depth * scale**exponent) <= multiple / 2 + 1e-9
    assert shapes[2][1] == width


def test_each_octave_starts_from_the_original_and_the_detail_so_far():
    original = np.full((1, 32, 32, 1), 0.5, np.float32)
    starts = []

    def climb(start, base, inside, number):
        starts.append(start)
        return start + np.float32(0.1)

    valid = np.ones((1, 32, 32), bool)
    got = enhance(original, valid, [(16, 16), (24, 24), (32, 32)], climb)
    assert [start.shape[1:3] for start in starts] == [(16, 16), (24, 24), (32, 32)]
    for start, expected in zip(starts, (0.5, 0.6, 0.7), strict=True):
        np.testing.assert_allclose(start, expected, atol=1e-5)
    np.testing.assert_allclose(got, 0.8, atol=1e-5)


def test_the_original_stays_sharp_beneath_the_detail():
    """No detail found: the fine stripes that small octaves cannot hold are all still there."""
    stripes = np.tile(np.float32([[[0.0], [1.0]]]), (32, 16, 1))[None]
    got = enhance(stripes, np.ones((1, 32, 32), bool), [(16, 16), (48, 48)], lambda s, b, v, n: s)
    assert got.tobytes() == stripes.tobytes()


def test_a_small_octave_holds_no_pixel_that_mixes_in_what_is_not_valid():
    valid = np.ones((1, 32, 32), bool)
    valid[:, :, :5] = False
    seen = []

    def climb(start, base, inside, number):
        seen.append(inside)
        return start

    enhance(np.zeros((1, 32, 32, 1), np.float32), valid, [(16, 16), (48, 48)], climb)
    assert not seen[0][..., :3].any()
    assert seen[0][..., 4:].all()
    assert not seen[1][..., :8].any()


def test_shrinking_is_antialiased():
    stripes = (np.arange(33) % 2).astype(np.float32)[None, :, None].repeat(33, axis=0)[None]
    assert np.abs(resize(stripes, (33, 11))[:, :, 1:-1] - 0.5).max() < 0.1


def test_octaves_beyond_memory_are_refused_with_the_largest_that_fits():
    with pytest.raises(ConfigError, match="largest octave for this image is 4"):
        octave_shapes((496, 768), (0, 9), 1.5)
    assert octave_shapes((496, 768), (4,), 1.5)
