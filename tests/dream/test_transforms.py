"""Transforms: what they do to an image, that all chance is in the draw, and their gradient."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from medream.dream import transforms as t
from medream.errors import ConfigError

ALL = (t.jitter(3), t.rotate(20), t.scale(0.8, 1.3), t.blur(1.5), t.noise(0.1))
SHAPES = [(24, 31), (9, 1), (1, 6), (1, 1), (2, 3)]


def picture(shape=(40, 51), channels=1, batch=1, dtype=np.float32) -> np.ndarray:
    """Smooth, with no symmetry."""
    drawn = np.random.default_rng(0).random((batch, *shape, channels))
    return scipy.ndimage.gaussian_filter(drawn, (0, 2, 2, 0)).astype(dtype)


def done(transforms, image, draws, **settings) -> np.ndarray:
    return t.apply(
        transforms, tf.constant(image), tf.constant(draws, tf.float32), **settings
    ).numpy()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "transforms",
    [(), (t.jitter(0), t.rotate(0), t.scale(1, 1), t.blur(0), t.noise(0))],
    ids=["none", "zero"],
)
def test_no_amplitude_gives_the_image_bit_for_bit(transforms, shape):
    image = picture(shape, channels=2)
    draws = t.draw(transforms, np.random.default_rng(0))
    assert done(transforms, image, draws).tobytes() == image.tobytes()
    given = tf.constant(image)
    assert t.apply(transforms, given, tf.constant(draws)) is given  # and it costs nothing


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("transform", "still"),
    [(t.jitter(8), [0, 0]), (t.rotate(30), [0]), (t.scale(0.5, 2), [1]), (t.blur(2), [0])],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_a_draw_of_no_change_gives_the_image_bit_for_bit(transform, still, shape):
    image = picture(shape, channels=2)
    assert done((transform,), image, still).tobytes() == image.tobytes()


@pytest.mark.parametrize("offset", [(0, 3), (-5, 2), (7, -8), (39, 50), (-40, 51), (200, -333)])
def test_jitter_is_a_shift_with_mirrored_borders(offset):
    image = picture()
    expected = scipy.ndimage.shift(image[0, ..., 0], offset, order=0, mode="mirror")
    np.testing.assert_array_equal(done((t.jitter(400),), image, offset)[0, ..., 0], expected)


def test_jitter_reflects_and_crops_as_numpy_pads():
    image = picture((5, 7))
    padded = np.pad(image[0, ..., 0], 20, mode="reflect")  # mirrors again and again
    for down, right in [(20, -20), (-11, 6), (4, 4)]:
        expected = padded[20 - down : 25 - down, 20 - right : 27 - right]
        np.testing.assert_array_equal(
            done((t.jitter(20),), image, (down, right))[0, ..., 0], expected
        )


@pytest.mark.parametrize("degrees", [-90.0, -12.5, 3.0, 20.0, 180.0])
def test_rotation_is_scipys(degrees):
    image = picture()
    expected = scipy.ndimage.rotate(
        image[0, ..., 0], degrees, reshape=False, order=1, mode="mirror"
    )
    got = done((t.rotate(180),), image, [degrees])[0, ..., 0]
    np.testing.assert_allclose(got, expected, atol=2e-5)


@pytest.mark.parametrize("factor", [0.5, 0.93, 1.0, 1.37, 2.0])
def test_scale_is_scipys_zoom_about_the_centre(factor):
    image = picture()[0, ..., 0]
    middle = (np.array(image.shape) - 1) / 2
    matrix = np.eye(2) / factor
    expected = scipy.ndimage.affine_transform(
        image, matrix, middle - matrix @ middle, order=1, mode="mirror"
    )
    got = done((t.scale(0.5, 2),), image[None, ..., None], [factor])[0, ..., 0]
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_a_factor_of_two_enlarges():
    image = picture((33, 33))
    zoomed = scipy.ndimage.zoom(image[0, 8:25, 8:25, 0], 2, order=1, grid_mode=False)
    got = done((t.scale(1, 2),), image, [2.0])[0, ..., 0]
    # zoom puts 17 pixels' ends on 34; compare the middle, where both read the same place
    assert np.corrcoef(got.ravel(), zoomed[:33, :33].ravel())[0, 1] > 0.98
    np.testing.assert_array_equal(got[::2, ::2], image[0, 8:25, 8:25, 0])


@pytest.mark.parametrize("sigma", [0.2, 0.7, 1.5, 3.0])
@pytest.mark.parametrize("shape", [(40, 51), (5, 1)])
def test_blur_is_scipys(sigma, shape):
    image = picture(shape, channels=2)
    expected = scipy.ndimage.gaussian_filter(
        image.astype(np.float64), (0, sigma, sigma, 0), mode="mirror", radius=12
    )
    np.testing.assert_allclose(done((t.blur(3),), image, [sigma]), expected, atol=2e-6)


def test_noise_has_its_deviation_and_is_new_at_every_draw():
    image = np.full((1, 100, 100, 2), 0.5, np.float32)
    generator = np.random.default_rng(0)
    first, second = (done((t.noise(0.1),), image, t.draw((t.noise(),), generator)) for _ in "ab")
    for noisy in (first, second):
        assert np.std(noisy) == pytest.approx(0.1, rel=0.02)
        assert np.mean(noisy) == pytest.approx(0.5, abs=0.004)
    for one, other in [(first, second), (first[..., 0], first[..., 1])]:
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.05


def test_rotation_and_scale_side_by_side_are_one_interpolation():
    image = picture()
    together = done((t.rotate(20), t.scale(0.5, 2)), image, [20.0, 1.3])
    middle = (np.array([40, 51]) - 1) / 2
    cosine, sine = np.cos(np.deg2rad(20)) / 1.3, np.sin(np.deg2rad(20)) / 1.3
    matrix = np.array([[cosine, sine], [-sine, cosine]])
    expected = scipy.ndimage.affine_transform(
        image[0, ..., 0], matrix, middle - matrix @ middle, order=1, mode="mirror"
    )
    np.testing.assert_allclose(together[0, ..., 0], expected, atol=2e-5)


def test_transforms_are_done_in_their_order():
    image = picture()
    moved = done((t.jitter(9),), image, [7, -4])
    expected = done((t.rotate(90),), moved, [90.0])
    got = done((t.jitter(9), t.rotate(90)), image, [7, -4, 90.0])
    np.testing.assert_array_equal(got, expected)
    assert np.abs(got - done((t.rotate(90), t.jitter(9)), image, [90.0, 7, -4])).max() > 0.05


def test_maps_are_moved_as_the_image_is_and_not_blurred():
    draws = t.draw(ALL, np.random.default_rng(5))
    geometric = ALL[:3]
    image = picture()
    np.testing.assert_array_equal(
        done(ALL, image, draws, maps=True), done(geometric, image, draws[:4])
    )
    split = (t.rotate(20), t.blur(1.5), t.jitter(3))
    np.testing.assert_array_equal(
        done(split, image, [10.0, 1.0, 1, 2], maps=True),
        done((t.rotate(20), t.jitter(3)), image, [10.0, 1, 2]),
    )


def test_a_batch_is_transformed_alike_and_independently():
    images = picture(channels=2, batch=3)
    draws = t.draw(ALL, np.random.default_rng(2))
    together = done(ALL, images, draws)
    for number in range(3):
        alone = done(ALL, images[number : number + 1], draws)
        np.testing.assert_allclose(together[number], alone[0], atol=1e-6)


def test_draws_stay_within_their_ranges_and_reach_them():
    generator = np.random.default_rng(0)
    drawn = np.array([t.draw(ALL, generator) for _ in range(4000)])
    assert drawn.dtype == np.float32
    assert drawn.shape[1] == t.draws_length(ALL) == 7
    for column in (0, 1):
        values, counts = np.unique(drawn[:, column], return_counts=True)
        assert values.tolist() == [-3, -2, -1, 0, 1, 2, 3]
        assert counts.min() > 0.8 * 4000 / 7
    for column, low, high in [(2, -20, 20), (3, 0.8, 1.3), (4, 0, 1.5)]:
        assert low <= drawn[:, column].min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < drawn[:, column].max() <= np.float32(high)
    assert np.median(drawn[:, 3]) == pytest.approx(np.sqrt(0.8 * 1.3), rel=0.01)  # log-uniform
    assert np.median(drawn[:, 2]) == pytest.approx(0, abs=1)
    seeds = drawn[:, 5:]
    assert (seeds == np.round(seeds)).all()
    assert 0 <= seeds.min() < seeds.max() < 2**24
    assert len(np.unique(seeds, axis=0)) == 4000


def test_jitter_has_no_direction():
    generator = np.random.default_rng(1)
    drawn = np.array([t.draw((t.jitter(8),), generator) for _ in range(10_000)])
    spread = np.sqrt((17**2 - 1) / 12)
    assert (np.abs(drawn.mean(axis=0)) < 4 * spread / 100).all()


def test_climbing_under_jitter_leaves_the_dream_where_its_pixels_are():
    """The network sees a moved image, but the gradient comes back to the image's own place."""
    transforms = (t.jitter(4),)
    target = np.zeros((1, 32, 32, 1), np.float32)
    target[0, 15:18, 15:18] = 1
    image = tf.constant(target)
    generator = np.random.default_rng(0)
    for _ in range(50):
        draws = tf.constant(t.draw(transforms, generator))
        with tf.GradientTape() as tape:
            tape.watch(image)
            seen = t.apply(transforms, image, draws)
            value = tf.reduce_sum(tf.square(seen))
        image += 0.01 * tape.gradient(value, image)
    rows = image.numpy()[0, ..., 0]
    assert scipy.ndimage.center_of_mass(rows) == pytest.approx((16, 16), abs=1e-4)
    assert (np.argwhere(rows > 1.5) == np.argwhere(target[0, ..., 0] > 0)).all()


def test_draws_hang_on_the_generator_alone():
    first = [t.draw(ALL, generator) for generator in [np.random.default_rng(7)] for _ in "abc"]
    again = [t.draw(ALL, generator) for generator in [np.random.default_rng(7)] for _ in "abc"]
    np.random.seed(3)  # noqa: NPY002 - shows that the global state does not matter
    tf.random.set_seed(3)
    third = [t.draw(ALL, generator) for generator in [np.random.default_rng(7)] for _ in "abc"]
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, third)
    assert (first[0] != first[1]).any()
    assert (t.draw(ALL, np.random.default_rng(8)) != first[0]).any()


def test_a_recorded_draw_replays_to_the_same_bytes():
    image = picture(channels=2)
    draws = t.draw(ALL, np.random.default_rng(3))
    tf.random.set_seed(1)
    first = done(ALL, image, draws)
    record = json.dumps({"transforms": [one.spec for one in ALL], "draws": draws.tolist()})
    tf.random.set_seed(2)
    read = json.loads(record)
    again = done(tuple(map(t.transform_from_spec, read["transforms"])), image, read["draws"])
    assert first.tobytes() == again.tobytes()


@pytest.mark.parametrize("compiled_by_xla", [False, True])
def test_one_compiled_function_serves_every_draw(compiled_by_xla):
    traces = []

    @tf.function(jit_compile=compiled_by_xla)
    def step(image, draws):
        traces.append(1)
        with tf.GradientTape() as tape:
            tape.watch(image)
            seen = t.apply(ALL, image, draws)
            value = tf.reduce_sum(seen**2)
        return seen, tape.gradient(value, image)

    image = tf.constant(picture((20, 25)))
    generator = np.random.default_rng(0)
    for _ in range(3):
        draws = t.draw(ALL, generator)
        seen, gradient = step(image, tf.constant(draws))
        assert seen.shape == gradient.shape == image.shape
        np.testing.assert_allclose(seen, done(ALL, image, draws), atol=2e-4)
    assert len(traces) == 1


@pytest.mark.parametrize("shape", [(7, 6), (1, 5)])
@pytest.mark.parametrize("transforms", [*[(one,) for one in ALL], ALL], ids=lambda ts: ts[0].kind)
def test_gradients_are_those_of_finite_differences(transforms, shape):
    image = picture(shape, channels=2, dtype=np.float64)
    draws = tf.constant(t.draw(transforms, np.random.default_rng(4)))
    weights = np.random.default_rng(1).standard_normal(image.shape)

    def values(images: tf.Tensor) -> tf.Tensor:
        seen = t.apply(transforms, images, draws)
        return tf.reduce_sum(weights * tf.sin(3 * seen), [1, 2, 3])

    given = tf.constant(image)
    assert t.apply(transforms, given, draws).dtype == tf.float64
    with tf.GradientTape() as tape:
        tape.watch(given)
        value = values(given)
    gradient = tape.gradient(value, given).numpy()
    steps = 1e-5 * np.eye(image.size).reshape(-1, *shape, 2)
    numeric = (values(image + steps) - values(image - steps)).numpy() / 2e-5
    np.testing.assert_allclose(gradient, numeric.reshape(image.shape), atol=1e-8)


def test_precision_does_not_change_the_noise():
    draws = t.draw((t.noise(0.1),), np.random.default_rng(0))
    image = picture()
    np.testing.assert_allclose(
        done((t.noise(0.1),), image.astype(np.float64), draws),
        done((t.noise(0.1),), image, draws),
        atol=1e-6,
    )


@pytest.mark.parametrize("transform", [*ALL, t.jitter(), t.scale(), t.noise(0)])
def test_specs_and_short_forms_come_back(transform):
    assert t.transform_from_spec(json.loads(json.dumps(transform.spec))) == transform
    assert t.parse_transform(str(transform)) == transform
    assert t.parse_transform(transform.kind) == getattr(t, transform.kind)()
    assert hash(t.transform_from_spec(transform.spec)) == hash(transform)


def test_short_forms_are_read_as_documented():
    texts = ["jitter=8", " rotate=5", "scale=0.9:1.1", "blur=1", "noise=0.02"]
    expected = [t.jitter(8), t.rotate(5), t.scale(0.9, 1.1), t.blur(1), t.noise(0.02)]
    assert [t.parse_transform(text) for text in texts] == expected
    assert json.dumps(t.jitter(np.int64(8)).spec) == json.dumps(t.jitter(8.0).spec)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: t.jitter(-1), "given -1, expected a whole number of pixels"),
        (lambda: t.jitter(1.5), "whole number"),
        (lambda: t.jitter(True), "whole number"),
        (lambda: t.jitter("8"), "given '8'"),
        (lambda: t.rotate(200), "degrees from 0 to 180"),
        (lambda: t.rotate(float("nan")), "degrees from 0 to 180"),
        (lambda: t.scale(1.2, 0.9), "low <= high"),
        (lambda: t.scale(0, 1), "low <= high"),
        (lambda: t.scale(1, float("inf")), "low <= high"),
        (lambda: t.blur(-0.1), "0 to 64 pixels"),
        (lambda: t.blur(None), "0 to 64 pixels"),
        (lambda: t.noise(2), r"\[0, 1\] scale"),
        (lambda: t.Transform("jiter", (8,)), "nearest names are: jitter"),
        (lambda: t.Transform("scale", (1,)), "expected low and high"),
        (lambda: t.parse_transform("jitr=8"), "jitter"),
        (lambda: t.parse_transform("jitter="), "whole number"),
        (lambda: t.parse_transform("jitter=8:9"), "expected pixels"),
        (lambda: t.parse_transform("scale=0.9"), "expected low and high"),
        (lambda: t.parse_transform("blur=much"), "given 'much'"),
        (lambda: t.parse_transform(""), "no transform ''"),
        (lambda: t.transform_from_spec({"kind": "jitter"}), r"expected \['pixels'\]"),
        (lambda: t.transform_from_spec({"kind": "blur", "sigma": 1, "x": 2}), "'x'"),
        (lambda: t.transform_from_spec({"kind": ["blur"]}), "no transform"),
        (lambda: t.transform_from_spec("blur"), "expected a mapping"),
        (lambda: done((t.jitter(),), picture(), [0.0]), r"expected \(2,\) for jitter=8"),
    ],
)
def test_wrong_settings_are_refused_with_what_was_expected(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_settings_are_read_without_tensorflow():
    code = (
        "import sys; from medream.dream import transforms as t, parametrization as p;"
        "t.parse_transform('jitter=8').spec; p.parametrization_from_spec('maco').spec;"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
