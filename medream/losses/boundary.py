"""The boundary loss: how far the prediction lies from the reference's contour."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from scipy.ndimage import distance_transform_edt

from medream.losses.labels import IGNORE, foreground, mean_over
from medream.losses.overlap import dice_cross_entropy


def signed_distances(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return each pixel's distance to the contour of each class, negative inside.

    Outside it is the distance to the nearest pixel of the class, inside that to the nearest pixel
    outside less one: 0 along the inner edge, as in the authors' code. Pixels that are not valid bound
    nothing. A class that a patch lacks, or that fills it, has no contour there: 0 everywhere.

    Parameters
    ----------
    labels : array (batch, depth, width, 1)
    classes : int
        Foreground classes.

    Returns
    -------
    float32 array (batch, depth, width, classes), in pixels

    Examples
    --------
    >>> signed_distances(np.array([0, 0, 1, 1, 1]).reshape(1, 1, 5, 1), 1).ravel().tolist()
    [2.0, 1.0, 0.0, -1.0, -2.0]
    """
    distances = np.zeros((*labels.shape[:3], classes), np.float32)
    for patch, found in zip(labels[..., 0], distances, strict=True):
        for k in range(classes):
            inside = patch == k + 1
            outside = ~inside & (patch != IGNORE)
            if inside.any() and outside.any():
                to_inside, to_outside = (
                    distance_transform_edt(~inside),
                    distance_transform_edt(~outside),
                )
                found[..., k] = np.where(
                    inside, 1.0 - to_outside, np.where(outside, to_inside, 0.0)
                )
    return distances


def surface(labels: Any, logits: Any) -> Any:
    """Mean over the valid pixels of probability times signed distance to the reference's contour.

    In pixels of the patch, averaged over the foreground classes; negative for a good prediction. It has
    an empty prediction for a second minimum, so that it is trained on beside a loss of overlap [1]_.

    Parameters and shapes as for `cross_entropy`.

    References
    ----------
    .. [1] Kervadec et al., "Boundary loss for highly unbalanced segmentation", MIDL 2019, PMLR
       102:285-296.
    """
    import tensorflow as tf

    _, probability, weight = foreground(labels, logits)
    classes = probability.shape[-1]
    distances = tf.numpy_function(
        lambda batch: signed_distances(batch, classes), [labels], tf.float32, stateful=False
    )
    distances = ops.reshape(distances, ops.shape(probability))
    return mean_over(weight, ops.mean(probability * distances, axis=-1, keepdims=True))


class Boundary:
    """Dice and cross-entropy handed over to `surface`, a little more each epoch.

    (1 - a) `dice_cross_entropy` + a `surface`, with a = `step` in the first epoch and `step` more in each
    that follows, up to 0.99: the paper's rebalancing, which takes steps of 0.01.

    Parameters
    ----------
    step : float, at least 0

    Examples
    --------
    >>> loss = Boundary()
    >>> loss.start_epoch(4)
    >>> round(float(loss.share), 4)
    0.05
    """

    def __init__(self, step: float = 0.01) -> None:
        self.step = step
        self.share = keras.Variable(0.0, trainable=False, dtype="float32")
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Set the shares of an epoch, counted from 0."""
        self.share.assign(min(self.step * (epoch + 1), 0.99))

    def __call__(self, labels: Any, logits: Any) -> Any:
        region, contour = dice_cross_entropy(labels, logits), surface(labels, logits)
        return (1.0 - self.share) * region + self.share * contour
