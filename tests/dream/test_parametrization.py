"""Parametrizations: the law that zero change is the image, and what each state stands for."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from medream.dream.parametrization import (
    PARAMETRIZATIONS,
    Parametrization,
    fourier,
    laplacian,
    lowrank,
    maco,
    parametrization_from_spec,
    pixels,
)
from medream.errors import ConfigError

ALL = [make() for make in PARAMETRIZATIONS.values()]
ALL += [fourier(0), fourier(2.5), laplacian(1), laplacian(16), lowrank(1), lowrank(7)]
NAMES = [json.dumps(one.spec) for one in ALL]
SHAPES = [(1, 8, 8, 1), (2, 9, 7, 3), (3, 1, 5, 1), (2, 6, 1, 2), (1, 1, 1, 1), (4, 2, 2, 1)]
SHAPES += [(1, 5, 8, 1), (1, 33, 20, 1)]


def images(shape, dtype=np.float32, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype(dtype)


def decoded(one: Parametrization, state, base) -> np.ndarray:
    return one.decode([tf.constant(tensor) for tensor in state], tf.constant(base)).numpy()


def moved(one: Parametrization, base, seed=1, deviation=1.0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [
        (tensor + deviation * generator.standard_normal(tensor.shape)).astype(tensor.dtype)
        for tensor in one.begin(base, 0)
    ]


@pytest.mark.parametrize("one", ALL, ids=NAMES)
@settings(max_examples=15, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(1, 40), st.integers(1, 3)),
    seed=st.integers(0, 9),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_nothing_climbed_is_the_image_bit_for_bit(one, shape, seed, dtype):
    base = images(shape, dtype, seed)
    state = one.begin(base, seed)
    assert all(tensor.dtype == dtype for tensor in state)
    assert all(tensor.shape[0] in (1, shape[0]) for tensor in state)
    got = decoded(one, state, base)
    assert got.dtype == dtype
    assert got.tobytes() == base.tobytes()


@pytest.mark.parametrize("compiled_by_xla", [False, True])
@pytest.mark.parametrize("one", ALL[:5], ids=NAMES[:5])
def test_compiled_it_is_the_same_law_and_the_same_image(one, compiled_by_xla):
    decode = tf.function(one.decode, jit_compile=compiled_by_xla)
    base = images((2, 9, 14, 1))
    for state in (one.begin(base, 0), moved(one, base)):
        got = decode([tf.constant(tensor) for tensor in state], tf.constant(base)).numpy()
        expected = decoded(one, state, base)
        np.testing.assert_allclose(got, expected, atol=2e-5)
    start = [tf.constant(tensor) for tensor in one.begin(base, 0)]
    assert decode(start, tf.constant(base)).numpy().tobytes() == base.tobytes()


@pytest.mark.parametrize("one", ALL, ids=NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_those_of_finite_differences(one, shape):
    base = images(shape, np.float64)
    weights = np.random.default_rng(2).standard_normal(shape)
    state = [tf.constant(tensor) for tensor in moved(one, base, deviation=0.3)]

    def value(state: list[tf.Tensor]) -> tf.Tensor:
        return tf.reduce_sum(weights * tf.sin(one.decode(state, base)))

    base = tf.constant(base)
    with tf.GradientTape() as tape:
        tape.watch(state)
        outcome = value(state)
    gradients = tape.gradient(outcome, state)
    generator = np.random.default_rng(3)
    for number, (tensor, gradient) in enumerate(zip(state, gradients, strict=True)):
        for _ in range(3):  # the slope along directions drawn
            direction = generator.standard_normal(tensor.shape)
            ends = [
                value([*state[:number], tensor + step * direction, *state[number + 1 :]])
                for step in (1e-5, -1e-5)
            ]
            slope = np.sum(gradient.numpy() * direction)
            np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-5, rtol=1e-6, atol=1e-7)


def test_pixels_are_the_image_and_a_copy_of_it():
    base = images((2, 4, 5, 1))
    (state,) = pixels().begin(base, 0)
    assert not np.shares_memory(state, base)
    np.testing.assert_array_equal(decoded(pixels(), [state + 1], base), base + 1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("decay", [0.0, 1.0, 2.0])
def test_fourier_is_numpys_orthonormal_transform_of_the_change(shape, decay):
    depth, width = shape[1:3]
    base = images(shape, np.float64)
    (state,) = moved(fourier(decay), base)
    change = np.moveaxis(decoded(fourier(decay), [state], base) - base, 3, 1)
    frequency = np.hypot(np.fft.fftfreq(depth)[:, None], np.fft.fftfreq(width)[None])
    full = 1 / np.maximum(frequency, 1 / max(depth, width)) ** decay
    full[0, 0] = 0.0
    full /= np.sqrt(np.sum(full**2) / max(full.size - 1, 1)) or 1.0
    columns = np.arange(width // 2 + 1)
    shared = (columns == 0) | (2 * columns == width)
    weights = full[:, : width // 2 + 1] * np.where(shared, 1, np.sqrt(0.5))
    spectrum = (state[..., 0] + 1j * state[..., 1]) * weights
    expected = np.fft.irfft2(spectrum, (depth, width), norm="ortho")
    np.testing.assert_allclose(change, expected, atol=1e-10)
    # and back: the coefficients of the change, where they stand for themselves alone
    np.testing.assert_allclose(
        np.fft.rfft2(change, norm="ortho")[..., ~shared], spectrum[..., ~shared], atol=1e-10
    )


@pytest.mark.parametrize("size", [(8, 8), (5, 7), (6, 1), (1, 9)])
def test_fourier_without_decay_keeps_lengths(size):
    """As a matrix from coefficients to pixels it has singular values 1 and 0 only."""
    base = np.zeros((1, *size, 1))
    (state,) = fourier(0).begin(base, 0)
    unit = np.eye(state.size).reshape(-1, *state.shape[1:])
    matrix = decoded(fourier(0), [unit], np.zeros((state.size, *size, 1)))
    matrix = matrix.reshape(state.size, -1)
    pixels = size[0] * size[1]
    without_mean = np.eye(pixels) - 1 / pixels
    np.testing.assert_allclose(matrix.T @ matrix, without_mean, atol=1e-12)


@pytest.mark.parametrize("size", [(64, 64), (45, 91), (32, 1)])
@pytest.mark.parametrize("decay", [0.0, 1.0, 2.0])
def test_coefficients_of_unit_deviation_make_a_change_of_unit_deviation(size, decay):
    base = np.zeros((2000 // size[0], *size, 3))
    (state,) = moved(fourier(decay), base)
    change = decoded(fourier(decay), [state], base)
    # about the origin, not the mean: the mean of an image is one of its coefficients
    spread = 0.03 if decay < 1.5 else 0.15
    assert np.sqrt(np.mean(change**2)) == pytest.approx(1, rel=spread)


@pytest.mark.parametrize("decay", [0.0, 1.0, 2.0])
def test_white_coefficients_make_a_spectrum_that_falls_as_said(decay):
    base = np.zeros((30, 64, 96, 1))
    (state,) = moved(fourier(decay), base)
    change = decoded(fourier(decay), [state], base)[..., 0]
    power = np.mean(np.abs(np.fft.fft2(change)) ** 2, axis=0)
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(96)[None])
    inside = (frequency > 2 / 96) & (frequency < 0.5)
    slope = np.polyfit(np.log(frequency[inside]), np.log(power[inside]), 1)[0]
    assert slope == pytest.approx(-2 * decay, abs=0.05)
    # the columns that hold both a frequency and its conjugate are no weaker than the rest
    rows = np.log(power[:, 0][inside[:, 0]] * frequency[:, 0][inside[:, 0]] ** (2 * decay))
    level = np.log(power[inside] * frequency[inside] ** (2 * decay))
    assert rows.mean() == pytest.approx(level.mean(), abs=0.15)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_maco_moves_phases_and_keeps_every_magnitude(shape, dtype):
    base = images(shape, dtype)
    state = moved(maco(), base, deviation=3)
    got = decoded(maco(), state, base)
    before, after = (np.abs(np.fft.fft2(x.astype(np.float64), axes=(1, 2))) for x in (base, got))
    np.testing.assert_allclose(after, before, atol=1e-5 * before.max())
    np.testing.assert_allclose(got.mean(axis=(1, 2)), base.mean(axis=(1, 2)), atol=1e-6)
    if min(shape[1:3]) > 4:
        assert np.abs(got - base).max() > 0.1


def test_maco_turns_a_phase_by_the_angle_of_its_state():
    base = images((1, 9, 8, 1), np.float64)
    (state,) = maco().begin(base, 0)
    state[0, 0, 2, 3] = 0.7
    state[0, 0, 4, 0] = 0.5  # shares its column with its conjugate, entry -4
    got = decoded(maco(), [state], base)
    turn = np.angle(np.fft.rfft2(got[0, ..., 0]) / np.fft.rfft2(base[0, ..., 0]))
    expected = np.zeros((9, 5))
    expected[2, 3] = 0.7
    expected[4, 0], expected[-4, 0] = 0.5 / np.sqrt(2), -0.5 / np.sqrt(2)
    np.testing.assert_allclose(turn, expected, atol=1e-10)


def test_laplacian_levels_halve_until_a_single_pixel():
    def sizes(levels, *shape):
        return [x.shape[1:3] for x in laplacian(levels).begin(images((1, *shape, 1)), 0)]

    assert sizes(4, 40, 24) == [(40, 24), (20, 12), (10, 6), (5, 3)]
    assert sizes(4, 9, 1) == [(9, 1), (5, 1), (3, 1), (2, 1)]
    assert sizes(16, 5, 2) == [(5, 2), (3, 1), (2, 1), (1, 1)]
    assert sizes(4, 1, 1) == [(1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_laplacian_is_the_sum_of_its_levels_enlarged(shape):
    one = laplacian(4)
    base = images(shape, np.float64)
    state = moved(one, base)
    expected = base.copy()
    for number, level in enumerate(state):
        for back in range(number - 1, -1, -1):
            twice = [2 * n for n in level.shape[1:3]]
            # TensorFlow's own bilinear enlargement, which gives float32
            level = tf.image.resize(level, twice, method="bilinear").numpy()
            level = level[:, : state[back].shape[1], : state[back].shape[2]]
        expected += level
    np.testing.assert_allclose(decoded(one, state, base), expected, atol=1e-5)


def test_laplacian_levels_that_are_flat_change_the_image_by_their_sum():
    one = laplacian(5)
    base = np.zeros((1, 37, 50, 2))
    state = [np.full_like(x, 10.0**-n) for n, x in enumerate(one.begin(base, 0))]
    np.testing.assert_allclose(decoded(one, state, base), 1.1111, atol=1e-12)


@pytest.mark.parametrize(
    ("batch", "rank", "count"), [(6, None, 4), (9, 2, 2), (3, 5, 5), (1, None, 2)]
)
def test_lowrank_changes_have_that_rank(batch, rank, count):
    one = lowrank(rank)
    base = images((batch, 8, 9, 1), np.float64)
    mixing, shared = one.begin(base, 0)
    assert (mixing.shape, shared.shape) == ((batch, count), (1, count, 8, 9, 1))
    change = decoded(one, moved(one, base), base) - base
    values = np.linalg.svd(change.reshape(batch, -1), compute_uv=False)
    assert np.sum(values > 1e-9 * values[0]) == min(batch, count)


@settings(max_examples=60, deadline=None)
@given(batch=st.integers(1, 40), rank=st.integers(1, 12), seed=st.integers(0, 2**31))
def test_lowrank_mixes_by_unit_rows_all_uphill(batch, rank, seed):
    base = images((batch, 2, 2, 1), np.float64)
    mixing, _ = lowrank(rank).begin(base, seed)
    gram = mixing @ mixing.T
    np.testing.assert_allclose(np.diag(gram), 1, atol=1e-12)
    if rank >= batch:
        np.testing.assert_allclose(gram, np.eye(batch), atol=1e-12)
    else:
        assert np.linalg.matrix_rank(mixing) == rank
    # one gradient for all: each first moves along it, not against
    assert gram.sum(axis=1).min() > 0
    np.testing.assert_array_equal(mixing, lowrank(rank).begin(base, seed)[0])


def test_lowrank_hangs_on_its_seed():
    base = images((6, 4, 4, 1))
    first, second = (lowrank().begin(base, seed)[0] for seed in (0, 1))
    assert np.abs(first - second).max() > 0.1


@pytest.mark.parametrize("one", ALL[:4], ids=NAMES[:4])
def test_a_batch_is_decoded_image_by_image(one):
    base = images((3, 10, 13, 2))
    state = moved(one, base)
    together = decoded(one, state, base)
    for number in range(3):
        alone = decoded(one, [x[number : number + 1] for x in state], base[number : number + 1])
        np.testing.assert_allclose(together[number], alone[0], atol=1e-6)


@pytest.mark.parametrize("one", ALL, ids=NAMES)
def test_specs_come_back(one):
    again = parametrization_from_spec(json.loads(json.dumps(one.spec)))
    assert again == one
    assert hash(again) == hash(one)
    assert again.name == one.spec["kind"] in PARAMETRIZATIONS


def test_specs_hold_every_setting():
    assert fourier(0.5).spec == {"kind": "fourier", "decay": 0.5}
    assert laplacian(3).spec == {"kind": "laplacian", "levels": 3}
    assert lowrank(5).spec == {"kind": "lowrank", "rank": 5}
    assert lowrank().spec == {"kind": "lowrank", "rank": None}
    assert fourier(0.5) != fourier(1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fourier(-1), "decay is -1, expected a number from 0 to 4"),
        (lambda: fourier(float("nan")), "decay is nan"),
        (lambda: fourier("1"), "decay is '1'"),
        (lambda: laplacian(0), "levels is 0, expected a whole number 1 to 16"),
        (lambda: laplacian(2.5), "levels is 2.5"),
        (lambda: lowrank(0), "rank is 0"),
        (lambda: lowrank(True), "rank is True"),
        (lambda: parametrization_from_spec("furier"), "nearest names are: fourier"),
        (lambda: parametrization_from_spec({}), "no parametrization None"),
        (lambda: parametrization_from_spec({"kind": "maco", "decay": 1}), "expected none"),
        (lambda: parametrization_from_spec({"kind": "fourier", "d": 1}), "expected decay"),
        (lambda: maco().begin(images((4, 4)), 0), "expected an array"),
        (lambda: maco().begin(images((1, 4, 4, 1), np.float16), 0), "float16, expected float32"),
    ],
)
def test_wrong_settings_are_refused_with_what_was_expected(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
