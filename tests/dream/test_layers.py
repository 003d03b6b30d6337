"""Layer descriptions: strides, kinds, and receptive fields held against the gradient."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from medream.dream.layers import describe_layers

L = keras.layers


def measured_field(model: keras.Model, size: int = 96) -> tuple[int, int]:
    """Largest extent of the pixels that reach one position, over positions near the centre.

    With positive weights no two paths cancel. Max pooling passes only its largest input, so
    several images are looked at together.
    """
    images = tf.constant(np.random.default_rng(0).random((24, size, size, 1), np.float32))
    rows, columns = model(images).shape[1:3]
    extents = []

    # Compiled: in eager mode TensorFlow 2.21 also computes the gradient of the kernels, and that
    # of a strided 1 x 1 convolution corrupts its memory on a CPU.
    @tf.function
    def reaching(row, column):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            here = tf.reduce_sum(model(images)[:, row, column])
        return tape.gradient(here, images)

    for offset in range(4):
        gradient = reaching(tf.constant(rows // 2 + offset), tf.constant(columns // 2 + offset))
        reached = np.abs(gradient.numpy()[..., 0]).max(0) > 0
        extents.append([np.ptp(np.flatnonzero(reached.any(axis))) + 1 for axis in (1, 0)])
    return tuple(int(extent) for extent in np.max(extents, axis=0))


def conv(size, **settings):
    positive = keras.initializers.RandomUniform(0.1, 1.0, seed=0)
    return L.Conv2D(1, size, kernel_initializer=positive, **{"padding": "same", **settings})


def transposed(size, **settings):
    positive = keras.initializers.RandomUniform(0.1, 1.0, seed=0)
    settings = {"padding": "same", "strides": 2, **settings}
    return L.Conv2DTranspose(1, size, kernel_initializer=positive, **settings)


def skip(x):
    low = conv(3)(L.AveragePooling2D(2)(conv(3)(x)))
    return conv(3)(L.Concatenate()([x, L.UpSampling2D()(low)]))


def chain(*steps):
    def build(x):
        for step in steps:
            x = step(x)
        return x

    return build


NETWORKS = {
    "3x5": (chain(conv((3, 5))), (3, 5)),
    "dilated": (chain(conv(3, dilation_rate=(2, 4)), conv(3)), (7, 11)),
    "even": (chain(conv(2), conv(4)), (5, 5)),
    "strided": (chain(conv(3, strides=2), conv(3, strides=(2, 3)), conv(3)), None),
    "valid": (chain(conv(3, padding="valid"), conv(3, strides=2, padding="valid")), (5, 5)),
    "max pooling": (chain(conv(3), L.MaxPooling2D((2, 3)), conv(1)), (4, 5)),
    "overlapping pooling": (chain(L.AveragePooling2D(3, 2, padding="same"), conv(3)), (7, 7)),
    "nearest": (chain(L.AveragePooling2D(2), L.UpSampling2D(), conv(3)), None),
    "nearest 3": (chain(conv(3, strides=3), L.UpSampling2D(3), conv(3)), None),
    "bilinear": (chain(L.AveragePooling2D(2), L.UpSampling2D(interpolation="bilinear")), None),
    "bilinear 3": (
        chain(conv(1, strides=3), L.UpSampling2D((3, 1), interpolation="bilinear"), conv(3)), None,
    ),
    "bicubic": (chain(conv(3), L.UpSampling2D(interpolation="bicubic")), None),
    "beyond full resolution": (chain(L.UpSampling2D(), conv(3)), (2, 2)),
    "transposed": (chain(L.AveragePooling2D(2), transposed(3), conv(3)), None),
    "transposed 2": (chain(L.AveragePooling2D(2), transposed(2), conv(2)), None),
    "transposed valid": (
        chain(L.AveragePooling2D(2), transposed(4, padding="valid"), conv(3)), None,
    ),
    "padded and cropped": (
        chain(L.ZeroPadding2D(((2, 0), (0, 1))), conv(3), L.Cropping2D(1), conv(3)), (5, 5),
    ),
    "skip connection": (skip, None),
    "deep skip": (chain(skip, L.AveragePooling2D(2), skip, L.UpSampling2D(), conv(3)), None),
    "pointwise": (
        chain(conv(3), L.BatchNormalization(), L.ReLU(), L.Dropout(0.5), L.Rescaling(2.0),
              L.Dense(1), L.LayerNormalization(axis=-1), lambda x: x + x), None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_the_theoretical_field_is_what_the_gradient_reaches(name):
    build, known = NETWORKS[name]
    image = keras.Input((None, None, 1))
    model = keras.Model(image, build(image))
    if name == "pointwise":
        known = (3, 3)  # normalising one channel alone has no gradient to measure
    else:
        measured = measured_field(model)
        assert describe_layers(model)[-1].receptive_field == measured
        assert known in (None, measured)
    assert known in (None, describe_layers(model)[-1].receptive_field)


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: L.GlobalAveragePooling2D(keepdims=True)(x),
        lambda x: L.GroupNormalization(1)(x),
        lambda x: L.LayerNormalization(axis=(1, 2, 3))(x),
        lambda x: L.Softmax(axis=1)(x),
        lambda x: L.Multiply()([x, L.GlobalAveragePooling2D(keepdims=True)(x)]),
        lambda x: L.Flatten()(x),
        lambda x: L.Resizing(8, 8)(x),
        lambda x: L.Lambda(lambda y: y)(x),
    ],
)
def test_layers_that_mix_all_positions_see_the_whole_image(mix):
    image = keras.Input((16, 16, 2))
    rows = describe_layers(keras.Model(image, mix(L.Conv2D(2, 3, name="conv")(image))))
    assert rows[1].receptive_field == (3, 3)
    assert rows[-1].receptive_field is None


def test_the_rows_of_a_unet():
    image = keras.Input((None, None, 1), name="scan")
    skipped = L.Conv2D(4, 3, padding="same", name="enc1_conv1")(image)
    x = L.MaxPooling2D(name="enc1_pool")(skipped)
    x = L.BatchNormalization(name="mid_norm")(x)
    x = L.Activation("relu", name="mid_act")(x)
    x = L.UpSampling2D(name="dec1_up")(x)
    x = L.Concatenate(name="dec1_cat")([x, skipped])
    x = L.Conv2DTranspose(2, 2, strides=2, name="finer")(x)
    rows = {row.name: row for row in describe_layers(keras.Model(image, x))}
    kinds = [row.kind for row in rows.values()]
    assert kinds == ["input", "convolution", "pooling", "normalisation", "activation",
                     "upsampling", "concatenation", "output"]  # fmt: skip
    assert [row.stride[0] for row in rows.values()] == [1, 1, 2, 2, 2, 1, 1, 0.5]
    assert rows["enc1_conv1"].parameters == 40
    assert rows["dec1_cat"].output_shape == (None, None, 8)
    assert rows["dec1_cat"].receptive_field == (4, 4)
    assert rows["finer"].type == "Conv2DTranspose"


def test_a_deep_network_has_a_field_larger_than_its_usual_input():
    image = keras.Input((32, 32, 1))
    x = image
    for _ in range(6):
        x = L.MaxPooling2D(padding="same")(L.Conv2D(1, 3, padding="same")(x))
    x = L.Conv2D(1, 3, padding="same", dilation_rate=8)(x)
    field = describe_layers(keras.Model(image, x))[-1].receptive_field
    assert field == (64 + 2 * 63 + 64 * 16,) * 2
