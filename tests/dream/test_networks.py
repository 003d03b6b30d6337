"""Networks of every common kind, and those that are refused."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from nets import QUICK, noise, recast, small_unet, small_vgg

from medream.dream import dream
from medream.errors import ModelError

L = keras.layers


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
