"""Objectives on the image itself: penalties, to be subtracted. Each is a mean over the pixels."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from medream.dream.algebra import Activations, Objective, Start, leaf
from medream.dream.graph import IMAGE

_BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)


def total_variation() -> Objective:
    """Mean absolute difference of neighbouring pixels.

    References
    ----------
    Mahendran and Vedaldi, "Understanding Deep Image Representations by Inverting Them",
    CVPR 2015, arXiv:1412.0035

    Examples
    --------
    >>> from medream.dream import layer
    >>> (layer("dec1_conv2") - 2 * total_variation()).label
    'dec1_conv2 - 2 total variation'
    """

    def evaluate(activations: Activations, operands: Sequence[tf.Tensor]) -> tf.Tensor:
        image = activations[IMAGE]
        down = tf.abs(image[:, 1:] - image[:, :-1])
        right = tf.abs(image[:, :, 1:] - image[:, :, :-1])
        pairs = down.shape.num_elements() + right.shape.num_elements()
        return (tf.reduce_sum(down) + tf.reduce_sum(right)) / max(pairs, 1)

    return leaf(
        {"kind": "total_variation"}, (IMAGE,), evaluate, "total variation", form="total_variation"
    )


def l1() -> Objective:
    """Mean intensity of the image (its mean absolute value): keeps it dark.

    Examples
    --------
    >>> float(l1().score({"image": tf.constant([[[[0.25], [0.75]]]])}))
    0.5
    """
    return leaf(
        {"kind": "l1"}, (IMAGE,), lambda a, _: tf.reduce_mean(tf.abs(a[IMAGE])), "L1", form="l1"
    )


def l2() -> Objective:
    """Mean squared intensity of the image: keeps single pixels from becoming bright.

    Examples
    --------
    >>> float(l2().score({"image": tf.constant([[[[0.0], [0.5]]]])}))
    0.125
    """
    return leaf(
        {"kind": "l2"}, (IMAGE,), lambda a, _: tf.reduce_mean(a[IMAGE] ** 2), "L2", form="l2"
    )


def distance() -> Objective:
    """Mean squared difference from the original (in an octave, from the original at its size).

    Examples
    --------
    >>> distance().label
    'distance from the original'
    """
    return leaf(
        {"kind": "distance"},
        (IMAGE,),
        lambda a, operands: tf.reduce_mean(tf.square(a[IMAGE] - operands[0])),
        "distance from the original",
        (Start(),),
        "distance",
    )


def high_frequencies() -> Objective:
    """Mean squared difference of the image from itself blurred by a binomial of 5 x 5 pixels.

    What passes is finer than about four pixels: the fine chequered patterns that strides and
    poolings put into a gradient.

    References
    ----------
    Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017,
    https://doi.org/10.23915/distill.00007

    Examples
    --------
    >>> flat = tf.ones((1, 8, 8, 1))
    >>> float(high_frequencies().score({"image": flat}))
    0.0
    """

    def evaluate(activations: Activations, operands: Sequence[tf.Tensor]) -> tf.Tensor:
        image = activations[IMAGE]
        smooth = image
        for axis in (1, 2):
            length = image.shape[axis]
            if length < 3:
                continue  # too thin to be blurred along this axis
            padding = [[0, 0]] * 4
            padding[axis] = [2, 2]
            wide = tf.pad(smooth, padding, "REFLECT")
            starts = [[shift if k == axis else 0 for k in range(4)] for shift in range(5)]
            smooth = tf.add_n(
                [
                    w / 16 * tf.slice(wide, at, image.shape)
                    for w, at in zip(_BINOMIAL, starts, strict=True)
                ]
            )
        return tf.reduce_mean(tf.square(image - smooth))

    return leaf(
        {"kind": "high_frequencies"},
        (IMAGE,),
        evaluate,
        "high frequencies",
        form="high_frequencies",
    )
