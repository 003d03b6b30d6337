"""Gradients against finite differences, and the dream against the tutorial's own loop."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from nets import ALONE, OBJECTIVES, noise, recast

from medream.dream import (
    channel,
    cosine,
    direction,
    distance,
    dream,
    energy,
    high_frequencies,
    l1,
    l2,
    layer,
    match,
    neuron,
    total_variation,
)
from medream.dream.algebra import Constant, Position
from medream.dream.graph import needed_part, open_network, run
from medream.unet import UNetConfig, build_unet


def tutorial(model: keras.Model, name: str, image: np.ndarray, steps: int):
    """https://www.tensorflow.org/tutorials/generative/deepdream, on [0, 1]."""
    target = keras.Model(model.inputs, model.get_layer(name).output)

    # Without the kernels' gradients: in eager mode they would be computed too.
    @tf.function
    def step(x):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            loss = tf.reduce_mean(target(x, training=False))
        gradient = tape.gradient(loss, x)
        gradient /= tf.math.reduce_std(gradient) + 1e-8
        return tf.clip_by_value(x + gradient * 0.01, 0.0, 1.0), loss

    x = tf.constant(image[None, ..., None])
    losses = []
    for _ in range(steps):
        x, loss = step(x)
        losses.append(float(loss))
    return x.numpy()[0, ..., 0], losses


@pytest.mark.parametrize("which", ["small", "3 levels", "original 2 levels", "trained"])
def test_a_plain_tutorial_loop_gives_the_same_dream(unet, trained, which):
    model, name, size = {
        "small": lambda: (unet, "dec1_conv", (32, 40)),
        "3 levels": lambda: (build_unet(UNetConfig(3, 8), seed=1), "dec1_conv2", (40, 32)),
        "original 2 levels": lambda: (build_unet(UNetConfig.original(2)), "dec1_conv2", (24, 24)),
        "trained": lambda: (trained, "mid_conv2", (32, 40)),
    }[which]()
    image = noise(*size)
    expected, losses = tutorial(model, name, image, steps=20)
    result = dream(model, image, name, steps=20, **ALONE)
    assert np.abs(expected - image).max() > 0.1
    np.testing.assert_allclose(result.dream, expected, atol=1e-5)
    np.testing.assert_allclose(result.history[:20], losses, rtol=1e-5, atol=1e-6)


LEAVES = {
    "layer": layer("a"),
    "energy": energy("a"),
    "channel": channel("a", 2),
    "channels": channel("a", [0, 3]),
    "neuron": neuron("a", 1, (2, 1)),
    "direction": direction("a", [1.0, -2.0, 0.5, 3.0]),
    "cosine": cosine("a", [1.0, -2.0, 0.5, 3.0]),
    "match": match("a", noise(5, 4)),
    "total variation": total_variation(),
    "l1": l1(),
    "l2": l2(),
    "distance": distance(),
    "high frequencies": high_frequencies(),
    "sum": layer("a") - 0.5 * energy("image") * cosine("a", [0.0, 1.0, 1.0, 1.0]) + 3,
}


@pytest.mark.parametrize("name", LEAVES)
def test_the_gradient_of_every_objective_is_that_of_finite_differences(name):
    """In float64; class_score resizes in float32 and is held against differences below."""
    objective = LEAVES[name]
    rng = np.random.default_rng(1)
    seen = {"a": rng.normal(size=(1, 5, 4, 4)), "image": rng.random((1, 6, 7, 1))}

    def operand(given):
        if isinstance(given, Constant):
            return tf.constant(given.value, tf.float64)
        if isinstance(given, Position):
            return tf.constant([*given.at, 1], tf.float64)
        like = seen["image"] if name == "distance" else seen["a"]
        return tf.constant(np.random.default_rng(2).random(like.shape))

    operands = [operand(given) for given in objective.operands]

    def value(pixels):
        return objective.value(pixels, operands)

    tensors = {key: tf.constant(array) for key, array in seen.items()}
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        outcome = value(tensors)
    assert outcome.dtype == tf.float64
    gradients = tape.gradient(outcome, tensors, unconnected_gradients="zero")
    assert max(np.abs(g).max() for g in gradients.values()) > 1e-3
    for key, gradient in gradients.items():
        numeric = np.zeros_like(seen[key])
        for at in np.ndindex(*numeric.shape):
            ends = []
            for step in (1e-6, -1e-6):
                bumped = seen[key].copy()
                bumped[at] += step
                ends.append(float(value({**tensors, key: tf.constant(bumped)})))
            numeric[at] = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-8)


@pytest.fixture(scope="module")
def smooth(trained) -> keras.Model:
    """The trained network without kinks, so that differences may be large enough for float32."""

    def without_kinks(old: keras.layers.Layer) -> keras.layers.Layer:
        settings = old.get_config()
        if isinstance(old, keras.layers.MaxPooling2D):
            return keras.layers.AveragePooling2D.from_config(settings)
        if settings.get("activation") == "relu":
            settings["activation"] = "softplus"
        return type(old).from_config(settings)

    model = keras.models.clone_model(trained, clone_function=without_kinks)
    model.set_weights(trained.get_weights())
    return model


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_bare_step_is_the_slope_of_the_history(smooth, other, scan, name):
    """One step without normalisation moves by the gradient; the objective's differences agree."""
    objective = OBJECTIVES[name](other)
    image = 0.2 + 0.6 * scan
    bare = {**ALONE, "gradient": "none", "optimizer": "plain"}

    def moved(size: float) -> np.ndarray:
        result = dream(smooth, image, objective, steps=1, step_size=size, **bare)
        return (result.dream.astype(np.float64) - image) / size

    def value(picture: np.ndarray) -> float:
        picture = picture.astype(np.float32)
        return float(dream(smooth, picture, objective, steps=0, **bare).history[0])

    gradient = moved(0.1 / np.abs(moved(1.0)).max())
    for part in (np.ones(image.shape), np.arange(image.shape[1]) % 8 < 4, image > image.mean()):
        along = gradient * part
        along *= 0.004 / np.abs(along).max()
        slope = value(image + along) - value(image - along)
        assert slope == pytest.approx(2 * np.sum(gradient * along), rel=0.03)


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
