"""Training losses on logits. Pixels labelled `IGNORE` (not valid) never count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

IGNORE = 255
"""Label of pixels outside `Scan.valid` in training batches."""

Loss = Callable[[Any, Any], Any]


def _known(labels: Any, logits: Any) -> tuple[Any, Any]:
    """Return labels with `IGNORE` replaced by 0, and the weight of each pixel."""
    ignored = ops.equal(labels, IGNORE)
    known = ops.cast(ops.where(ignored, ops.zeros_like(labels), labels), "int32")
    return known, 1.0 - ops.cast(ignored, logits.dtype)


def _prepare(labels: Any, logits: Any) -> tuple[Any, Any, Any]:
    """Return one-hot targets and probabilities of the foreground classes, and pixel weights."""
    known, weight = _known(labels, logits)
    if logits.shape[-1] == 1:
        return ops.cast(known, logits.dtype), ops.sigmoid(logits), weight
    target = ops.one_hot(known[..., 0], logits.shape[-1], dtype=logits.dtype)
    return target[..., 1:], ops.softmax(logits)[..., 1:], weight


def cross_entropy(labels: Any, logits: Any) -> Any:
    """Mean cross-entropy over the valid pixels.

    Parameters
    ----------
    labels : int tensor (batch, depth, width, 1)
        Mask values; `IGNORE` where the pixel does not count.
    logits : float tensor (batch, depth, width, classes)

    Returns
    -------
    scalar tensor, in nats

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.array([0, 1, 255]).reshape(1, 1, 3, 1)
    >>> logits = np.array([0.0, 0.0, 9.0], "float32").reshape(1, 1, 3, 1)
    >>> round(float(cross_entropy(labels, logits)), 4)
    0.6931
    """
    known, weight = _known(labels, logits)
    if logits.shape[-1] == 1:
        each = ops.softplus(logits) - ops.cast(known, logits.dtype) * logits
    else:
        each = keras.losses.sparse_categorical_crossentropy(known, logits, from_logits=True)[
            ..., None
        ]
    return ops.sum(each * weight) / ops.maximum(ops.sum(weight), 1.0)


def dice(labels: Any, logits: Any) -> Any:
    """One minus the soft Dice of the foreground classes, each pooled over the batch.

    The batch is pooled so that scans without a lesion do not swing the value.
    Reference: Milletari et al., 3DV 2016, doi:10.1109/3DV.2016.79, with plain sums in the denominator.

    Parameters and shapes as for `cross_entropy`; the value is in [0, 1].
    """
    target, probability, weight = _prepare(labels, logits)
    axes = (0, 1, 2)
    overlap = ops.sum(weight * target * probability, axis=axes)
    total = ops.sum(weight * (target + probability), axis=axes)
    return 1.0 - ops.mean((2.0 * overlap + 1.0) / (total + 1.0))


def dice_cross_entropy(labels: Any, logits: Any) -> Any:
    """Sum of `dice` and `cross_entropy`, the default (cf. Isensee et al. 2021, nnU-Net)."""
    return dice(labels, logits) + cross_entropy(labels, logits)


LOSSES: dict[str, Loss] = {
    "dice_ce": dice_cross_entropy,
    "dice": dice,
    "ce": cross_entropy,
}
