"""The faster equals of layers give the dream that Keras' own layers give."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from nets import ALONE, noise, recast, small_unet, small_vgg

from medream.dream import dream, energy, sight
from medream.dream.graph import open_network
from medream.unet import UNetConfig, build_unet

L = keras.layers


def both(monkeypatch, model, image, name, **settings):
    """The same dream with and without faster equals."""
    settings = {**ALONE, "steps": 6, **settings}
    assert sight.open_sight(open_network(model), energy(name), "float32").views[0].lowered
    fast = dream(model, image, energy(name), **settings)
    with monkeypatch.context() as patched:
        patched.setattr(sight, "lower", lambda *_: {})
        assert not sight.open_sight(open_network(model), energy(name), "float32").views[0].lowered
        plain = dream(model, image, energy(name), **settings)
    return fast, plain


def the_same(fast, plain, tolerance=1e-4):
    assert np.abs(plain.dream - plain.original).max() > 0.01
    np.testing.assert_allclose(fast.history, plain.history, rtol=1e-4)
    np.testing.assert_allclose(fast.dream, plain.dream, atol=tolerance)


def stirred(model: keras.Model) -> keras.Model:
    """Give every weight, biases and batch statistics too, a value that counts."""
    rng = np.random.default_rng(0)
    for each in model.layers:
        if each.weights:
            drawn = [rng.uniform(0.5, 1.5, v.shape) for v in each.get_weights()]
            if not isinstance(each, L.BatchNormalization):
                size = np.sqrt(np.prod(each.weights[0].shape[:-1]) or 1)
                drawn = [rng.normal(0.05, 1.0, v.shape) / size for v in drawn]
            each.set_weights(drawn)
    return model


UNETS = {
    "nearest": UNetConfig(2, 4),
    "bilinear": UNetConfig(2, 4, up="bilinear"),
    "transposed": UNetConfig(2, 4, up="transposed"),
    "group": UNetConfig(2, 4, norm="group"),
    "norms in the decoder": UNetConfig(2, 4, decoder_norm=True),
    "dilated": UNetConfig(2, 4, dilations=(1, 2, 3), head_filters=2, classes=3),
    "shifted input, no norm": UNetConfig(1, 4, norm="none", input_mean=0.4, input_std=0.2),
}


@pytest.mark.parametrize("name", UNETS)
def test_our_networks_dream_the_same_on_both_paths(monkeypatch, name):
    model = stirred(build_unet(UNETS[name]))
    the_same(*both(monkeypatch, model, noise(27, 34), "logits"))


def test_the_original_network_dreams_the_same_on_both_paths(monkeypatch):
    model = build_unet(UNetConfig.original(2))
    the_same(*both(monkeypatch, model, noise(16, 16), "dec1_conv2", steps=3))


def conv(size=3, **settings):
    return L.Conv2D(4, size, **{"padding": "same", "activation": "relu", **settings})


def chain(*steps, channels=1):
    image = keras.Input((None, None, channels))
    x = image
    for step in (*steps, conv(name="last", activation=None)):
        x = step(x)
    return keras.Model(image, x)


def shared():
    image = keras.Input((None, None, 1))
    first, common = conv(), conv()
    x = common(first(image))
    x = common(L.MaxPooling2D()(x))
    return keras.Model(image, conv(name="last")(common(L.UpSampling2D()(x))))


def shared_upsampling():
    image = keras.Input((None, None, 1))
    up = L.UpSampling2D()
    low = L.MaxPooling2D()(conv()(image))
    lower = L.MaxPooling2D()(conv()(low))
    x = L.Concatenate()([conv()(up(low)), conv()(up(up(lower)))])
    return keras.Model(image, conv(name="last")(x))


def read_twice():
    """What is enlarged goes into two layers, of which one alone is a convolution."""
    image = keras.Input((None, None, 1))
    x = L.UpSampling2D()(L.MaxPooling2D()(conv()(image)))
    return keras.Model(image, conv(name="last")(L.Concatenate()([conv(2)(x), x])))


def nested():
    inner = chain(conv(), L.BatchNormalization())
    image = keras.Input((None, None, 1))
    again = keras.Sequential([keras.Input((None, None, 4)), conv(), L.UpSampling2D((2, 1))])
    x = again(L.AveragePooling2D(2)(inner(image)))
    return keras.Model(image, conv(name="outermost")(x))


def slopes():
    norms = [L.BatchNormalization(scale=a, center=b, epsilon=0.1) for a, b in ((0, 1), (1, 0))]
    return chain(
        conv(), norms[0], conv(), norms[1], L.BatchNormalization(scale=False, center=False)
    )


NETWORKS = {
    "even kernels": lambda: chain(conv(2), conv(4), conv((1, 6))),
    "uneven kernels": lambda: chain(conv((3, 5)), conv((1, 7)), conv(1)),
    "valid padding": lambda: chain(conv(padding="valid"), conv((2, 5), padding="valid")),
    "dilated": lambda: chain(conv(dilation_rate=2), conv(2, dilation_rate=(3, 1))),
    "dilated and valid": lambda: chain(conv(dilation_rate=2, padding="valid"), conv()),
    "strided": lambda: chain(conv(strides=2), conv(strides=(1, 2)), conv(2, strides=2)),
    "groups": lambda: chain(conv(), conv(groups=2), L.DepthwiseConv2D(3), L.SeparableConv2D(3, 3)),
    "no bias": lambda: chain(conv(use_bias=False), L.BatchNormalization(), conv(use_bias=False)),
    "activations": lambda: chain(
        conv(activation="gelu"), conv(activation="tanh"), conv(activation="sigmoid"),
        conv(activation="leaky_relu"), conv(activation="softplus"), L.ReLU(6.0),
    ),
    "layers as activations": lambda: chain(conv(activation=L.LeakyReLU(0.2)), conv()),
    "parts of normalisation": slopes,
    "enlarged (2, 1)": lambda: chain(conv(strides=(2, 1)), L.UpSampling2D((2, 1)), conv(2)),
    "enlarged 3": lambda: chain(conv(strides=3), L.UpSampling2D(3), conv(5)),
    "enlarged twice": lambda: chain(conv(strides=4), L.UpSampling2D(), L.UpSampling2D(), conv(2)),
    "enlarged, 1 x 1": lambda: chain(conv(strides=2), L.UpSampling2D(), conv(1)),
    "enlarged, 4 x 4": lambda: chain(conv(strides=2), L.UpSampling2D(), conv(4)),
    "enlarged, dilated": lambda: chain(conv(strides=2), L.UpSampling2D(), conv(dilation_rate=2)),
    "enlarged, valid": lambda: chain(conv(strides=2), L.UpSampling2D(), conv(padding="valid")),
    "enlarged, strided": lambda: chain(conv(strides=2), L.UpSampling2D(), conv(strides=2)),
    "shared": shared,
    "shared upsampling": shared_upsampling,
    "read twice": read_twice,
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_of_every_kind_dream_the_same_on_both_paths(monkeypatch, name):
    model = stirred(NETWORKS[name]())
    the_same(*both(monkeypatch, model, noise(25, 30), "last"))


def test_nested_models_dream_the_same_on_both_paths(monkeypatch):
    model = nested()
    the_same(*both(monkeypatch, model, noise(24, 30), "outermost"))


def test_what_is_enlarged_can_be_asked_itself(monkeypatch):
    """Where the upsampling is fused with the convolution behind it, its own value is not lost."""
    model = stirred(build_unet(UNetConfig(2, 4)))
    result = dream(model, noise(24, 20), energy("dec1_upsample"), steps=2, **ALONE)
    by_keras = keras.Model(model.inputs, model.get_layer("dec1_upsample").output)
    value = np.mean(np.square(by_keras(noise(24, 20)[None, ..., None], training=False)))
    assert result.history[0] == pytest.approx(value, rel=1e-5)
    the_same(*both(monkeypatch, model, noise(24, 20), "dec1_upsample"))


def test_a_colour_network_with_a_dense_head_dreams_the_same_on_both_paths(monkeypatch):
    model = small_vgg()
    for name in ("conv2", "head"):
        the_same(*both(monkeypatch, model, noise(32, 32, 3), name))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16"])
def test_models_of_every_number_type_dream_the_same_on_both_paths(monkeypatch, policy):
    """They compute in float32 (weights kept in half precision are what they are)."""
    model = recast(small_unet(), policy)
    the_same(*both(monkeypatch, model, noise(24, 20), "dec1_conv"))


def test_in_bfloat16_both_paths_agree_as_far_as_it_is_exact(monkeypatch):
    model = stirred(build_unet(UNetConfig(2, 4)))
    fast, plain = both(monkeypatch, model, noise(24, 20), "dec1_conv2", precision="bfloat16")
    np.testing.assert_allclose(fast.history, plain.history, rtol=0.02)
    changes = [(one.dream - one.original).ravel() for one in (fast, plain)]
    assert np.corrcoef(*changes)[0, 1] > 0.97


def test_the_control_is_the_same_on_both_paths(monkeypatch):
    model = stirred(build_unet(UNetConfig(1, 4)))
    fast, plain = both(monkeypatch, model, noise(24, 20), "dec1_conv2", control=True)
    np.testing.assert_allclose(fast.control, plain.control, atol=1e-4)
