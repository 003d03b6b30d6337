"""Steps: normalisations, optimisers, schedules, bounds, stopping and going on."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from nets import ALONE, noise

from medream.dream import DreamConfig, dream, layer, load_result, total_variation
from medream.dream.parametrization import PARAMETRIZATIONS
from medream.dream.updates import BOUNDS, NORMALISATIONS, SCHEDULES
from medream.errors import ConfigError

NUMPY = {
    "std": lambda g: g / (g.std() + 1e-8),
    "standardize": lambda g: (g - g.mean()) / (g.std() + 1e-8),
    "l2": lambda g: g / (np.sqrt((g**2).sum()) + 1e-8),
    "rms": lambda g: g / (np.sqrt((g**2).mean()) + 1e-8),
    "sign": np.sign,
    "none": lambda g: g,
}


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_normalisations_are_numpys_of_each_image_and_of_what_counts(name):
    rng = np.random.default_rng(0)
    gradient = rng.normal(0.3, 2.0, (3, 5, 7, 2)).astype("f4")
    counted = rng.random((3, 5, 7, 1)) > 0.4
    full = np.broadcast_to(counted, gradient.shape)
    got = NORMALISATIONS[name](tf.constant(gradient), tf.constant(full.astype("f4"))).numpy()
    for k in range(3):
        expected = NUMPY[name](gradient[k][full[k]].astype(np.float64))
        np.testing.assert_allclose(got[k][full[k]], expected, rtol=1e-5, atol=1e-6)


def gradients(model, image, name):
    """The gradient on an image, read from a dream of one bare step."""
    bare = {**ALONE, "gradient": "none", "steps": 1, "step_size": 0.5}
    return (dream(model, image, name, **bare).dream - image) / 0.5


@pytest.mark.parametrize("name", ["std", "l2", "rms", "sign"])
def test_a_dreams_step_is_its_normalised_gradient(unet, name):
    image = 0.3 + 0.4 * noise(16, 20)
    gradient = gradients(unet, image, "mid_conv")
    result = dream(unet, image, "mid_conv", steps=1, gradient=name, step_size=0.02, **ALONE)
    np.testing.assert_allclose(result.dream - image, 0.02 * NUMPY[name](gradient), atol=2e-5)


@pytest.mark.parametrize("optimizer", ["plain", "momentum", "adam"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_optimisers_and_schedules_are_a_numpy_loop(unet, optimizer, schedule):
    image = 0.3 + 0.4 * noise(16, 20)
    steps, size = 6, 0.004
    x, first, second = image.astype(np.float64), 0.0, 0.0
    for k in range(steps):
        done = k / steps
        pace = {"constant": 1, "linear": 1 - done, "cosine": 0.5 + 0.5 * np.cos(np.pi * done)}
        g = gradients(unet, x.astype("f4"), "mid_conv").astype(np.float64)
        g /= g.std() + 1e-8
        if optimizer == "momentum":
            first = 0.8 * first + 0.2 * g
            g = first
        elif optimizer == "adam":
            first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
            g = first / (1 - 0.9 ** (k + 1)) / (np.sqrt(second / (1 - 0.999 ** (k + 1))) + 1e-8)
        x = np.clip(x + size * pace[schedule] * g, 0, 1)
    result = dream(
        unet, image, "mid_conv", steps=steps, step_size=size, optimizer=optimizer,
        schedule=schedule, momentum=0.8, **ALONE,
    )  # fmt: skip
    assert np.abs(x - image).max() > 0.01
    # Adam makes a whole step of a gradient that is nearly zero: there rounding may decide.
    away = np.abs(result.dream - x)
    assert np.quantile(away, 0.98) < 1e-4
    assert away.max() < (1e-3 if optimizer == "adam" else 1e-4)


def test_bounds_clip_or_reflect():
    values = tf.constant([-1.25, -0.25, -0.0, 0.0, 0.3, 1.0, 1.25, 2.5])
    np.testing.assert_array_equal(BOUNDS["clip"](values), [0, 0, 0, 0, np.float32(0.3), 1, 1, 1])
    reflected = BOUNDS["reflect"](values).numpy()
    np.testing.assert_allclose(reflected, [0.75, 0.25, 0, 0, 0.3, 1, 0.75, 0.5], atol=1e-6)


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
def test_a_dream_stays_in_range_whatever_the_step(unet, bounds, parametrization):
    image = noise(12, 16)
    result = dream(
        unet, image, "mid_conv", steps=4, step_size=0.7, bounds=bounds,
        parametrization=parametrization, **ALONE,
    )  # fmt: skip
    assert result.dream.min() >= 0
    assert result.dream.max() <= 1
    at_ends = np.mean((result.dream == 0) | (result.dream == 1))
    assert at_ends > 0.05 if bounds == "clip" else at_ends < 0.01


@pytest.mark.parametrize(
    ("parametrization", "optimizer"),
    [*((p, "plain") for p in PARAMETRIZATIONS), ("pixels", "adam")],
)
def test_what_is_not_valid_or_no_region_of_interest_is_never_left(unet, parametrization, optimizer):
    image = noise(20, 24)
    valid, region = np.ones((20, 24), bool), np.zeros((20, 24), bool)
    valid[:, :4], region[5:, :20] = False, True
    result = dream(
        unet, image, "mid_conv", steps=3, octaves=(-1, 0), octave_steps=2, valid=valid,
        region=region, parametrization=parametrization, optimizer=optimizer, step_size=0.1,
    )  # fmt: skip
    outside = ~(valid & region)
    for picture in (result.dream, result.enhanced, result.control):
        assert picture[outside].tobytes() == image[outside].tobytes()
        assert np.abs(picture - image)[~outside].max() > 0.01
    assert np.array_equal(result.valid, ~outside)


@pytest.mark.parametrize(("transforms", "tile"), [((), None), (("jitter=3", "noise=0.1"), 16)])
@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
def test_zero_steps_are_the_identity_in_every_setting(unet, parametrization, transforms, tile):
    image = noise(21, 26)
    image[0, :2] = [0.0, 1.0]
    bounds = "reflect" if transforms else "clip"
    result = dream(
        unet, image, "enc1_norm", steps=0, bounds=bounds, parametrization=parametrization,
        transforms=transforms, tile=tile, optimizer="adam", **ALONE,
    )  # fmt: skip
    assert result.dream.tobytes() == image.tobytes()


@pytest.mark.parametrize("parametrization", ["fourier", "lowrank"])
def test_zero_steps_in_octaves_are_the_identity_too(unet, parametrization):
    image = noise(21, 26)
    result = dream(
        unet, image, "enc1_norm", steps=0, octave_steps=0, octaves=(-1, 1), control=False,
        parametrization=parametrization,
    )  # fmt: skip
    assert result.enhanced.tobytes() == image.tobytes()


def test_patience_stops_on_a_plateau_and_not_before(unet):
    image = noise(16, 20)
    settings = {"step_size": 0.5, "steps": 60, **ALONE}  # too long a step: it comes to nothing
    full = dream(unet, image, "dec1_conv", **settings)
    stopped = dream(unet, image, "dec1_conv", patience=4, **settings)
    length = len(stopped.history)
    assert 5 <= length < 61
    np.testing.assert_array_equal(stopped.history, full.history[:length])
    best = np.maximum.accumulate(full.history)
    plateau = [k for k in range(4, 61) if full.history[k - 3 : k + 1].max() <= best[k - 4]]
    assert length - 1 == plateau[0]
    rising = dream(unet, image, "dec1_conv", steps=8, patience=4, **ALONE)
    assert len(rising.history) == 9


def test_a_callback_stops_and_resume_goes_on(unet):
    image = noise(16, 20)
    full = dream(unet, image, "mid_conv", steps=7, optimizer="adam", **ALONE)
    stopped = dream(
        unet, image, "mid_conv", steps=7, optimizer="adam", on_step=lambda k, v, p: k == 3, **ALONE
    )
    assert len(stopped.history) == 4
    on = dream(unet, image, "mid_conv", steps=7, optimizer="adam", resume=stopped, **ALONE)
    assert on == full


TRANSFORMS = ["", "jitter=2", "rotate=5", "scale", "blur", "noise"]


@pytest.mark.parametrize(
    ("parametrization", "optimizer"),
    [
        (p, o)
        for p in PARAMETRIZATIONS
        for o in ("plain", "momentum", "adam")
        if p == "pixels" or o != "momentum"
    ],
)
def test_resume_is_bit_for_bit_the_uninterrupted_dream(unet, tmp_path, parametrization, optimizer):
    numbers = list(PARAMETRIZATIONS).index(parametrization), len(optimizer)
    transform = TRANSFORMS[sum(numbers) % len(TRANSFORMS)]
    settings = {
        "parametrization": parametrization, "optimizer": optimizer, "every": 2, "seed": 3,
        "transforms": [transform] if transform else [], "octaves": None, "control": True,
    }  # fmt: skip
    image = noise(16, 20)
    valid = np.arange(20)[None].repeat(16, 0) > 2
    objective = layer("mid_conv") - 0.1 * total_variation()
    full = dream(unet, image, objective, steps=6, valid=valid, **settings)
    part = dream(unet, image, objective, steps=3, valid=valid, **settings)
    assert part.dream.tobytes() != full.dream.tobytes()
    part = load_result(part.save(tmp_path / "part"))
    on = dream(unet, image, objective, steps=6, valid=valid, resume=part, **settings)
    assert on.dream.tobytes() == full.dream.tobytes()
    assert on == full


@pytest.mark.parametrize(
    "change",
    [{"step_size": 0.02}, {"seed": 1}, {"steps": 2}, {"image": noise(16, 20, seed=1)},
     {"objective": "enc1_conv"}],
)  # fmt: skip
def test_resume_of_another_dream_is_refused(unet, change):
    given = {"image": noise(16, 20), "objective": "mid_conv", "steps": 5, **change}
    earlier = dream(unet, noise(16, 20), "mid_conv", steps=3, **ALONE)
    with pytest.raises(ConfigError, match="resume"):
        dream(unet, resume=earlier, **given, **ALONE)


def test_a_config_holds_what_was_given():
    config = DreamConfig(gradient="sign", optimizer="adam", schedule="cosine", patience=3)
    assert DreamConfig.from_json(config.to_json()) == config
    assert dataclasses.replace(config, bounds="reflect").bounds == "reflect"
    with pytest.raises(ConfigError, match="optimizer"):
        DreamConfig(optimizer="sgd")
