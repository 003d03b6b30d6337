"""Gradients against finite differences, and the dream against the tutorial's own loop."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from nets import noise, recast

from medream.dream import dream
from medream.dream.graph import needed_part, open_network, run


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
