"""Networks and images that the tests of dreams share."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from medream.dream import (
    Objective,
    channel,
    class_score,
    cosine,
    direction,
    distance,
    energy,
    high_frequencies,
    l1,
    l2,
    layer,
    match,
    neuron,
    on_model,
    total_variation,
)

L = keras.layers
QUICK = {"steps": 3, "octave_steps": 2, "octaves": (-1, 0)}
ALONE = {"octaves": None, "control": False, "precision": "float32"}


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


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


# Every objective, on layers of the `trained` network; `other` is another network. Most score
# highest somewhere else than on the scan, so that there is a way to climb.
OBJECTIVES: dict[str, Callable[[keras.Model], Objective]] = {
    "layer": lambda other: layer("mid_norm2"),
    "energy": lambda other: energy("dec2_conv1"),
    "channel": lambda other: channel("mid_norm2", 3),
    "neuron": lambda other: neuron("mid_norm2", 3, (4, 3)),
    "direction": lambda other: direction("mid_norm2", np.linspace(-1, 1, 16)),
    "cosine": lambda other: cosine("mid_norm2", np.linspace(1, -1, 16)),
    "class score": lambda other: class_score(1, (8, 5, 20, 21)),
    "match": lambda other: match("enc2_norm2", noise(20, 24, seed=8)),
    "on model": lambda other: layer("dec1_conv2") - 0.5 * on_model(other, "dec1_conv2"),
    "penalties": lambda other: (
        layer("dec1_conv2")
        - 0.1 * total_variation()
        - 0.1 * (l1() + l2())
        - 0.5 * distance()
        - 0.5 * high_frequencies()
    ),
    "product": lambda other: energy("mid_norm2") * (1 + energy("enc1_norm2")),
    "own": lambda other: OWN,
}
OWN = Objective(("enc2_norm2",), lambda seen: tf.reduce_logsumexp(seen["enc2_norm2"]), "own")
