"""The ways of climbing that TensorFlow's environment holds: `python ways.py WAY NETWORK IMAGE.npy`.

Each is a process of its own that answers the benchmark (`peers/serve.py`). All climb the mean of
dec1_conv2 by 0.01 of the gradient over its standard deviation, on the [0, 1] scale.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
from serve import serve

LAYER = "dec1_conv2"
STEP_SIZE = 0.01
BATCH = 4
TILE = 512
Climb = Callable[[int], Any]


def needed_part(model: keras.Model) -> keras.Model:
    return keras.Model(model.inputs, model.get_layer(LAYER).output)


class DeepDream(tf.Module):
    """The loop of https://www.tensorflow.org/tutorials/generative/deepdream, on [0, 1].

    A batch differs from the tutorial only in that each image has its own standard deviation.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    @tf.function(
        input_signature=(
            tf.TensorSpec((None, None, None, 1), tf.float32),
            tf.TensorSpec((), tf.int32),
            tf.TensorSpec((), tf.float32),
        )
    )
    def __call__(
        self, images: tf.Tensor, steps: tf.Tensor, step_size: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        loss = tf.constant(0.0)
        for _ in tf.range(steps):
            with tf.GradientTape() as tape:
                tape.watch(images)
                activations = tf.cast(self.model(images, training=False), tf.float32)
                loss = tf.reduce_sum(tf.reduce_mean(activations, axis=(1, 2, 3)))
            gradients = tape.gradient(loss, images)
            gradients /= tf.math.reduce_std(gradients, axis=(1, 2, 3), keepdims=True) + 1e-8
            images = tf.clip_by_value(images + gradients * step_size, 0.0, 1.0)
        return loss, images


def loop(model: keras.Model, image: np.ndarray, scans: int = 1, policy: str = "float32") -> Climb:
    if policy != "float32":
        keras.config.set_dtype_policy(policy)
        weights = model.get_weights()
        model = keras.models.clone_model(
            model, clone_function=lambda layer: _in_policy(layer, policy)
        )
        model.set_weights(weights)
    deepdream = DeepDream(needed_part(model))
    images = tf.constant(np.repeat(image[None, :, :, None], scans, axis=0))
    return lambda steps: deepdream(images, tf.constant(steps), tf.constant(STEP_SIZE))[1].numpy()


def _in_policy(layer: keras.layers.Layer, policy: str) -> keras.layers.Layer:
    return type(layer).from_config({**layer.get_config(), "dtype": policy})


def bare(model: keras.Model, image: np.ndarray) -> Climb:
    """A forward and a backward pass and nothing else; what every step at least costs in TensorFlow."""
    part = needed_part(model)
    start = tf.constant(image[None, :, :, None])

    @tf.function(input_signature=[tf.TensorSpec(start.shape, tf.float32)])
    def both(image: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(image)
            value = tf.reduce_mean(part(image, training=False))
        return tape.gradient(value, image)

    def climb(steps: int) -> np.ndarray:
        for _ in range(steps):
            gradient = both(start)
        return gradient.numpy()

    return climb


def amp(model: keras.Model, image: np.ndarray) -> Climb:
    """The tutorial's loop under grappler's automatic mixed precision."""
    tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": True})
    return loop(model, image)


def medream(model: keras.Model, image: np.ndarray, precision: str, **settings: Any) -> Climb:
    import medream as md

    def climb(steps: int) -> np.ndarray:
        result = md.dream(
            model,
            image,
            LAYER,
            steps=steps,
            step_size=STEP_SIZE,
            octaves=None,
            control=False,
            precision=precision,
            **settings,
        )
        return result.dream

    return climb


def medream_batch(
    model: keras.Model, image: np.ndarray, precision: str, batch: int | None
) -> Climb:
    """Several scans; `batch` None is medream's own choice."""
    import medream as md

    scans = [image] + [np.roll(image, 16 * k, axis=1) for k in range(1, BATCH)]

    def climb(steps: int) -> list[Any]:
        return list(
            md.dream_many(
                model,
                scans,
                LAYER,
                batch=batch,
                steps=steps,
                step_size=STEP_SIZE,
                octaves=None,
                control=False,
                precision=precision,
            )
        )

    return climb


WAYS: dict[str, tuple[Callable[[keras.Model, np.ndarray], Climb], int]] = {
    "bare": (bare, 1),
    "loop": (loop, 1),
    "loop-4": (lambda model, image: loop(model, image, BATCH), BATCH),
    "policy": (lambda model, image: loop(model, image, 1, "mixed_bfloat16"), 1),
    "policy-4": (lambda model, image: loop(model, image, BATCH, "mixed_bfloat16"), BATCH),
    "amp": (amp, 1),
    "float32": (lambda model, image: medream(model, image, "float32"), 1),
    "auto": (lambda model, image: medream(model, image, "auto"), 1),
    "bfloat16": (lambda model, image: medream(model, image, "bfloat16"), 1),
    "float32-4": (lambda model, image: medream_batch(model, image, "float32", BATCH), BATCH),
    "auto-4": (lambda model, image: medream_batch(model, image, "auto", None), BATCH),
    "tiles": (lambda model, image: medream(model, image, "auto", tile=TILE), 1),
}


def main() -> None:
    way, network, picture = sys.argv[1:]
    model = keras.models.load_model(Path(network) / "model.keras")
    make, scans = WAYS[way]
    serve(make(model, np.load(picture)), scans)


if __name__ == "__main__":
    main()
