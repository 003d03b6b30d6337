"""The control: the same dream on re-drawn weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from nets import noise

from medream.dream import dream
from medream.dream.control import redraw_weights
from medream.dream.graph import open_network

L = keras.layers


def test_the_control_is_the_dream_of_a_model_with_those_weights(unet):
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
    for old, new in zip(unet.get_weights(), redraw_weights(unet.layers, 0), strict=True):
        assert old.shape == new.shape
        if old.ndim >= 2 and old.size > 200:
            rms = [np.sqrt(np.mean(np.square(w))) for w in (old, new)]
            assert rms[1] == pytest.approx(rms[0], rel=0.2)
            assert abs(np.corrcoef(old.ravel(), new.ravel())[0, 1]) < 0.2
        elif old.ndim == 1:
            assert np.array_equal(np.sort(old), np.sort(new))


def test_the_statistics_of_an_input_normalisation_are_kept():
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
