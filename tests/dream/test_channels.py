"""Channels-first networks dream as their channels-last twins of the same weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from nets import ALONE, noise

from medream.dream import channel, class_score, describe_layers, dream, neuron
from medream.errors import ModelError

L = keras.layers


def twin(order: str, channels: int = 1) -> keras.Model:
    """A U-Net with every layer that hangs on the order of the axes."""
    first = order == "channels_first"
    axis = 1 if first else -1
    ordered = {"data_format": order}
    image = keras.Input((channels, None, None) if first else (None, None, channels))

    def conv(x, filters, name):
        x = L.Conv2D(filters, 3, padding="same", activation="relu", name=name, **ordered)(x)
        return L.BatchNormalization(axis=axis, name=f"{name}_norm")(x)

    x = L.Rescaling(2.0, -0.5, name="scaled")(image)
    skip = conv(x, 4, "enc")
    x = L.MaxPooling2D((2, 2), name="pool", **ordered)(skip)
    x = L.SpatialDropout2D(0.5, name="drop", **ordered)(x)
    x = conv(x, 6, "mid")
    x = L.GroupNormalization(2, axis=axis, name="group")(x)
    x = L.DepthwiseConv2D((3, 5), padding="same", name="depthwise", **ordered)(x)
    x = L.LayerNormalization(axis=axis, name="layer_norm")(x)
    x = L.UpSampling2D((2, 2), name="up", **ordered)(x)
    x = L.Concatenate(axis=axis, name="cat")([skip, x])
    y = L.ZeroPadding2D(((1, 0), (0, 1)), name="padded", **ordered)(x)
    y = L.Cropping2D(((1, 0), (0, 1)), name="cropped", **ordered)(y)
    x = L.Add(name="added")([2.0 * x, y])
    x = L.Conv2DTranspose(4, 3, padding="same", activation="gelu", name="dec", **ordered)(x)
    x = L.Conv2D(3, 1, name="logits", **ordered)(x)
    x = L.Softmax(axis=axis, name="probabilities")(x)
    pooled = L.GlobalAveragePooling2D(name="pooled", **ordered)(x)
    return keras.Model(image, L.Dense(2, name="head")(pooled))


def pair(channels: int = 1) -> tuple[keras.Model, keras.Model]:
    models = twin("channels_first", channels), twin("channels_last", channels)
    rng = np.random.default_rng(4)
    drawn = [rng.uniform(0.1, 0.6, w.shape).astype("f4") for w in models[0].get_weights()]
    drawn = [w - 0.35 if w.ndim > 1 else w for w in drawn]
    for model in models:
        model.set_weights(drawn)
    return models


@pytest.fixture(scope="module")
def models() -> tuple[keras.Model, keras.Model]:
    return pair()


@pytest.mark.parametrize(
    "objective",
    ["mid_norm", "group", "cat", "probabilities", "head",
     channel("cat", 7), neuron("mid", 2, (3, 5)), class_score(2, (4, 4, 20, 12), "logits")],
    ids=str,
)  # fmt: skip
def test_it_dreams_as_its_channels_last_twin(models, objective):
    first, last = (
        dream(model, noise(26, 22), objective, steps=3, octaves=None, precision="float32")
        for model in models
    )
    np.testing.assert_allclose(first.dream, last.dream, atol=1e-6)
    np.testing.assert_allclose(first.control, last.control, atol=1e-6)
    np.testing.assert_allclose(first.history, last.history, rtol=1e-6)
    assert not np.array_equal(first.dream, first.original)


def test_colour_grey_and_octaves_go_channels_first_too():
    first, last = pair(channels=3)
    for image in (noise(20, 24, 3), noise(20, 24)):
        results = [
            dream(model, image, "mid", steps=2, octaves=(-1, 0), octave_steps=2, control=False)
            for model in (first, last)
        ]
        assert results[0].enhanced.shape == image.shape
        np.testing.assert_allclose(results[0].enhanced, results[1].enhanced, atol=1e-6)


def test_new_weights_are_seen_and_the_model_is_left_as_it_is(models):
    model = keras.models.clone_model(models[0])
    model.set_weights(models[0].get_weights())
    before = dream(model, noise(12, 12), "mid", steps=1, **ALONE)
    model.set_weights([1.5 * value for value in model.get_weights()])
    after = dream(model, noise(12, 12), "mid", steps=1, **ALONE)
    assert before.history[0] != after.history[0]
    assert model.get_layer("mid").data_format == "channels_first"


def test_its_layers_are_described_channels_last(models):
    first, last = (describe_layers(model) for model in models)
    assert [r.output_shape for r in first] == [r.output_shape for r in last]
    assert [(r.stride, r.receptive_field) for r in first] == [
        (r.stride, r.receptive_field) for r in last
    ]


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: L.Flatten(name="mixed")(x),
        lambda x: L.Reshape((16, 16, 2), name="mixed")(x),
        lambda x: L.Permute((2, 3, 1), name="mixed")(x),
        lambda x: L.Dense(3, name="mixed")(x),
        lambda x: L.PReLU(name="mixed")(x),
        lambda x: L.Lambda(lambda y: y, name="mixed")(x),
        lambda x: L.MaxPooling2D(data_format="channels_last", name="mixed")(x),
    ],
)
def test_what_cannot_be_turned_is_refused_with_its_name(mix):
    image = keras.Input((1, 16, 16))
    x = L.Conv2D(2, 3, padding="same", data_format="channels_first", name="conv")(image)
    with pytest.raises(ModelError, match=r"channels-first.*'mixed'.*channels_last"):
        dream(keras.Model(image, mix(x)), noise(16, 16), "conv", steps=1)
