"""The laws of a dream, on small networks of every common kind."""

from __future__ import annotations

import dataclasses
import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import medream.dream as dreams
from medream.dream import DreamConfig, Objective, channel, dream, layer, neuron, total_variation
from medream.dream.graph import needed_part, open_network, run
from medream.errors import ConfigError, LayerError, ModelError, ScanError
from medream.scan import Scan

L = keras.layers
QUICK = {"steps": 3, "octave_steps": 2, "octaves": (-1, 0)}


def small_unet(size: int | None = None) -> keras.Model:
    """Two levels, with batch normalisation that has seen data."""
    image = keras.Input((size, size, 1))
    x, skips = image, []
    for level in (1, 2):
        x = L.Conv2D(4 * level, 3, padding="same", activation="relu", name=f"enc{level}_conv")(x)
        x = L.BatchNormalization(name=f"enc{level}_norm")(x)
        x = L.Dropout(0.5, name=f"enc{level}_drop")(x)
        skips.append(x)
        x = L.MaxPooling2D(name=f"enc{level}_pool")(x)
    x = L.Conv2D(16, 3, padding="same", name="mid_conv")(x)
    x = L.Activation("gelu", name="mid_act")(x)
    for level in (2, 1):
        x = L.UpSampling2D(interpolation="bilinear", name=f"dec{level}_up")(x)
        x = L.Concatenate(name=f"dec{level}_cat")([x, skips[level - 1]])
        x = L.Conv2D(4 * level, 3, padding="same", activation="tanh", name=f"dec{level}_conv")(x)
    model = keras.Model(image, L.Conv2D(1, 1, activation="sigmoid", name="probabilities")(x))
    rng = np.random.default_rng(7)
    for norm in ("enc1_norm", "enc2_norm"):
        gamma, *rest, variance = model.get_layer(norm).get_weights()
        rest = [rng.normal(0, 0.2, value.shape) for value in rest]
        model.get_layer(norm).set_weights([gamma, *rest, variance + rng.random(variance.shape)])
    return model


def recast(model: keras.Model, policy: str) -> keras.Model:
    """The same model and weights, computing in another precision."""

    def cast(old: keras.layers.Layer) -> keras.layers.Layer:
        return type(old).from_config({**old.get_config(), "dtype": policy})

    other = keras.models.clone_model(model, clone_function=cast)
    other.set_weights(model.get_weights())
    return other


def small_vgg() -> keras.Model:
    """An RGB network for one size, with a dense head."""
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            L.Rescaling(2.0, -1.0, name="rescaling"),
            L.Conv2D(6, 3, padding="same", activation="relu", name="conv1"),
            L.MaxPooling2D(name="pool1"),
            L.Conv2D(8, 3, padding="same", activation="relu", name="conv2"),
            L.Flatten(name="flat"),
            L.Dense(5, name="head"),
        ],
        name="vgg",
    )


@pytest.fixture(scope="module")
def unet() -> keras.Model:
    keras.utils.set_random_seed(1)
    return small_unet()


@pytest.fixture(scope="module")
def vgg() -> keras.Model:
    keras.utils.set_random_seed(2)
    return small_vgg()


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


# ---- laws ------------------------------------------------------------------------------------


@settings(max_examples=6, deadline=None)
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


def test_translation_of_the_input_translates_the_dream_away_from_borders(unet):
    wide = noise(64, 72)
    left, right = (
        dream(unet, wide[:, at : at + 64], "dec1_conv", steps=1, octaves=None, control=False)
        for at in (0, 8)
    )
    changes = [(r.dream - r.original) / np.std(r.dream - r.original) for r in (left, right)]
    inside = slice(24, 40)
    np.testing.assert_allclose(changes[0][inside, 32:40], changes[1][inside, 24:32], rtol=0.06)


def test_a_plain_tutorial_loop_gives_the_same_dream(unet):
    """https://www.tensorflow.org/tutorials/generative/deepdream, on [0, 1]."""
    image = noise(32, 40)
    target = keras.Model(unet.inputs, unet.get_layer("dec1_conv").output)
    x = tf.constant(image[None, ..., None])
    for _ in range(20):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_mean(target(x, training=False))
        gradient = tape.gradient(loss, x)
        gradient /= tf.math.reduce_std(gradient) + 1e-8
        x = tf.clip_by_value(x + gradient * 0.01, 0.0, 1.0)
    result = dream(unet, image, "dec1_conv", steps=20, octaves=None, control=False)
    np.testing.assert_allclose(result.dream, x[0, ..., 0], atol=1e-5)
    assert result.history[19] == pytest.approx(float(loss), abs=1e-6)


def test_the_first_step_follows_the_gradient_of_finite_differences(unet):
    """In float64, so that differences are exact enough to hold each pixel against."""
    double = recast(unet, "float64")
    part = needed_part(open_network(double), ["mid_act"])
    image = noise(8, 8).astype(np.float64)

    def value(pixels: np.ndarray) -> float:
        activation = run(part, tf.constant(pixels[None, ..., None]), ["mid_act"])["mid_act"]
        return float(tf.reduce_mean(activation))

    numeric = np.zeros_like(image)
    for at in np.ndindex(*image.shape):
        bump = np.zeros_like(image)
        bump[at] = 1e-6
        numeric[at] = (value(image + bump) - value(image - bump)) / 2e-6
    result = dream(unet, image, "mid_act", steps=1, step_size=1e-3, octaves=None, control=False)
    inside = (image > 0.05) & (image < 0.95)
    moved = (result.dream - result.original) / 1e-3
    np.testing.assert_allclose(
        moved[inside], (numeric / (numeric.std() + 1e-8))[inside], rtol=1e-2, atol=1e-3
    )


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


# ---- what is compiled -------------------------------------------------------------------------


def counting(name: str) -> tuple[Objective, list[int]]:
    traces: list[int] = []

    def score(activations):
        traces.append(1)
        return tf.reduce_mean(activations[name])

    return Objective((name,), score, "counted"), traces


def test_another_scan_seed_step_count_and_the_control_trace_nothing_anew(unet):
    objective, traces = counting("mid_conv")
    dream(unet, noise(24, 20), objective, steps=2, octaves=None, control=False)
    first = len(traces)
    assert first > 0
    valid = np.ones((24, 20), bool)
    valid[0] = False
    dream(unet, noise(24, 20, seed=5), objective, steps=7, step_size=0.03, octaves=None, seed=9,
          valid=valid)  # fmt: skip
    assert len(traces) == first
    dream(unet, noise(28, 20), objective, steps=2, octaves=None, control=False)
    assert len(traces) == 2 * first


def test_an_equal_objective_is_not_compiled_again(unet):
    from medream.dream import ascent

    dream(unet, noise(24, 20), channel("mid_conv", 2), steps=1, octaves=None)
    known = len(ascent._compiled[unet])
    dream(unet, noise(24, 20), channel("mid_conv", 2), steps=1, octaves=None)
    assert len(ascent._compiled[unet]) == known


def test_new_weights_are_used_without_a_new_trace(unet):
    model = keras.models.clone_model(unet)
    model.set_weights(unet.get_weights())
    objective, traces = counting("mid_conv")
    before = dream(model, noise(16, 16), objective, steps=2, octaves=None, control=False)
    count = len(traces)
    model.set_weights([1.5 * value for value in unet.get_weights()])
    after = dream(model, noise(16, 16), objective, steps=2, octaves=None, control=False)
    assert len(traces) == count
    assert before.history[0] != after.history[0]


def test_a_model_that_is_let_go_takes_its_compiled_dreams_along():
    model = small_unet()
    dream(model, noise(8, 8), "mid_conv", steps=1, octaves=None)
    watched = weakref.ref(model)
    del model
    gc.collect()
    assert watched() is None


def test_only_the_part_that_the_layer_needs_is_run(unet):
    names = [call.name for call in needed_part(open_network(unet), ["enc2_conv"]).calls]
    assert names[-1] == "enc2_conv"
    assert not any(name.startswith(("mid", "dec")) for name in names)


# ---- networks ---------------------------------------------------------------------------------


def test_a_grey_scan_in_a_colour_network_stays_grey(vgg):
    grey = noise(32, 32)
    result = dream(vgg, grey, "conv2", steps=3, octaves=None, control=False)
    assert result.dream.shape == (32, 32)
    colour = np.repeat(grey[..., None], 3, axis=-1)
    again = dream(vgg, colour, "conv2", steps=0, octaves=None, control=False)
    assert result.history[0] == pytest.approx(again.history[0], rel=1e-5)


def test_a_fixed_size_network_runs_at_other_sizes_before_its_dense_head(vgg):
    result = dream(vgg, noise(45, 23, 3), "conv2", **QUICK)
    assert result.enhanced.shape == (45, 23, 3)
    with pytest.raises(ModelError, match=r"head.*32 x 32.*octaves=None"):
        dream(vgg, noise(45, 23, 3), "head", octaves=None, steps=1)


def test_an_image_smaller_than_the_stride_is_mirrored_up_to_it(vgg):
    result = dream(vgg, noise(1, 1, 3), "pool1", **QUICK)
    assert result.enhanced.shape == (1, 1, 3)


def test_a_fixed_size_unet_runs_at_other_sizes(unet):
    fixed = small_unet(size=16)
    fixed.set_weights(unet.get_weights())
    free, other = (dream(m, noise(29, 35), "dec1_conv", **QUICK) for m in (unet, fixed))
    assert free == other


def test_nested_models_are_reached_by_the_inner_name(unet):
    inner = small_vgg()
    image = keras.Input((None, None, 1))
    colour = L.Concatenate(name="repeat")([image, image, image])
    outer = keras.Model(image, keras.Sequential(inner.layers[:2], name="part")(colour))
    nested = dream(outer, noise(20, 24), "conv1", **QUICK)
    plain = dream(inner, noise(20, 24), "conv1", **QUICK)
    np.testing.assert_allclose(nested.dream, plain.dream, atol=1e-5)


def test_a_residual_network_with_strided_shortcuts_dreams():
    """TensorFlow 2.21's kernel gradient of a strided 1 x 1 convolution corrupts its memory on a
    CPU; a dream needs only the image's gradient and must never run the other."""
    image = keras.Input((None, None, 1))
    x = L.Conv2D(8, 3, padding="same", activation="relu")(image)
    shortcut = L.Conv2D(8, 1, strides=2, name="shortcut")(x)
    main = L.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    model = keras.Model(image, L.Add(name="added")([shortcut, main]))
    result = dream(model, noise(48, 96), "added", steps=60, octaves=None, control=False)
    assert result.history[-1] > result.history[0]


def test_a_shared_layer_is_reached_at_each_of_its_calls():
    image = keras.Input((None, None, 1))
    shared = L.Conv2D(1, 3, padding="same", name="shared")
    model = keras.Model(image, shared(L.MaxPooling2D(name="pool")(shared(image))))
    first = dream(model, noise(16, 16), "shared", steps=1, octaves=None)
    second = dream(model, noise(16, 16), "shared@2", steps=1, octaves=None)
    assert first.history[0] != second.history[0]


def test_dropout_and_batch_statistics_are_off_even_when_the_graph_says_training():
    image = keras.Input((None, None, 1))
    x = L.Conv2D(4, 3, padding="same", name="conv")(image)
    model = keras.Model(image, L.Dropout(0.9, name="always")(x, training=True))
    a, b = (dream(model, noise(12, 12), n, steps=1, octaves=None) for n in ("conv", "always"))
    assert a.dream.tobytes() == b.dream.tobytes()


def test_bfloat16_climbs_nearly_the_same_and_leaves_the_model_alone(unet):
    image = noise(32, 32)
    full, half = (
        dream(unet, image, "mid_act", steps=10, octaves=None, control=False, precision=p)
        for p in ("float32", "bfloat16")
    )
    assert half.dream.tobytes() != full.dream.tobytes()
    gain_full, gain_half = (r.history[-1] - r.history[0] for r in (full, half))
    assert gain_half == pytest.approx(gain_full, rel=0.1)
    assert unet.get_layer("mid_conv").compute_dtype == "float32"


def test_a_half_precision_model_dreams_in_float32(unet):
    half = recast(unet, "mixed_float16")
    a, b = (dream(m, noise(24, 20), "dec1_conv", **QUICK) for m in (unet, half))
    np.testing.assert_allclose(a.dream, b.dream, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: "unet.keras", "needs a Keras model"),
        (lambda: keras.Sequential([L.Conv2D(1, 3)]), "not built"),
        (lambda: keras.Sequential([keras.Input((8,)), L.Dense(2)]), "image input"),
    ],
)
def test_what_is_no_image_network_is_refused(make, said):
    with pytest.raises(ModelError, match=said):
        dream(make(), noise(8, 8), "conv")


def test_several_inputs_and_subclassed_models_are_refused():
    a, b = keras.Input((8, 8, 1), name="scan"), keras.Input((8, 8, 1), name="prior")
    with pytest.raises(ModelError, match=r"2 inputs .*prior"):
        dream(keras.Model([a, b], L.Add()([a, b])), noise(8, 8), "add")

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.conv = L.Conv2D(1, 3)

        def call(self, x):
            return self.conv(x)

    own = Own()
    own(np.zeros((1, 8, 8, 1), np.float32))
    with pytest.raises(ModelError, match="functional API"):
        dream(own, noise(8, 8), "conv")


def test_a_network_that_overflows_is_told(unet):
    broken = keras.models.clone_model(unet)
    broken.set_weights([np.full_like(value, np.nan) for value in unet.get_weights()])
    with pytest.raises(ModelError, match="not a finite number at step 0"):
        dream(broken, noise(8, 8), "mid_conv", octaves=None)


def test_a_dead_layer_warns_and_leaves_the_image_as_it_is():
    image = keras.Input((None, None, 1))
    bias = keras.initializers.Constant(-1000.0)
    x = L.Conv2D(4, 3, activation="relu", bias_initializer=bias, name="dead")(image)
    with pytest.warns(UserWarning, match="exactly zero"):
        result = dream(keras.Model(image, x), noise(12, 12), "dead", steps=3, octaves=None)
    assert result.dream.tobytes() == result.original.tobytes()


# ---- control ----------------------------------------------------------------------------------


def test_the_control_is_the_dream_of_a_model_with_those_weights(unet):
    from medream.dream.control import redraw_weights

    result = dream(unet, noise(24, 20), "dec1_conv", seed=5, steps=4, octaves=None)
    twin = keras.models.clone_model(unet)
    ordered = [each for each in open_network(unet).layers if each.weights]
    values = iter(redraw_weights(open_network(unet).layers, result.control_seed))
    for each in ordered:
        twin.get_layer(each.name).set_weights([next(values) for _ in each.weights])
    alone = dream(twin, noise(24, 20), "dec1_conv", steps=4, octaves=None, control=False)
    np.testing.assert_allclose(result.control, alone.dream, atol=1e-6)
    assert np.abs(result.control - result.dream).max() > 0.01


def test_redrawn_weights_keep_their_scale_and_nothing_else(unet):
    from medream.dream.control import redraw_weights

    for old, new in zip(unet.get_weights(), redraw_weights(unet.layers, 0), strict=True):
        assert old.shape == new.shape
        if old.ndim >= 2 and old.size > 200:
            rms = [np.sqrt(np.mean(np.square(w))) for w in (old, new)]
            assert rms[1] == pytest.approx(rms[0], rel=0.2)
            assert abs(np.corrcoef(old.ravel(), new.ravel())[0, 1]) < 0.2
        elif old.ndim == 1:
            assert np.array_equal(np.sort(old), np.sort(new))


def test_the_statistics_of_an_input_normalisation_are_kept():
    from medream.dream.control import redraw_weights

    normalisation = L.Normalization(axis=-1)
    normalisation.adapt(noise(10, 8))
    for old, new in zip(
        normalisation.get_weights(), redraw_weights([normalisation], 0), strict=True
    ):
        assert np.array_equal(old, new)


def test_a_control_that_comes_out_dead_is_drawn_again():
    """A kernel of one weight is negative in half of the draws, and its ReLU is then dead."""
    image = keras.Input((None, None, 1))
    x = L.Conv2D(1, 1, activation="relu", use_bias=False, name="only")(image)
    model = keras.Model(image, x)
    model.set_weights([np.ones((1, 1, 1, 1), np.float32)])
    seeds = set()
    for seed in range(8):
        result = dream(model, noise(9, 9), "only", steps=1, octaves=None, seed=seed)
        seeds.add(result.control_seed - seed)
        assert not np.array_equal(result.control, result.original)
    assert max(seeds) > 0


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
