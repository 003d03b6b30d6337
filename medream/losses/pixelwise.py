"""Losses that are means over pixels: cross-entropy and focal."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from medream.losses.labels import every_class, known, mean_over


def cross_entropy(labels: Any, logits: Any) -> Any:
    """Mean cross-entropy over the valid pixels; of a binary network the binary one (BCE).

    Parameters
    ----------
    labels : int tensor (batch, depth, width, 1)
        Mask values; `IGNORE` where the pixel does not count.
    logits : float tensor (batch, depth, width, channels)

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
    kept, weight = known(labels, logits)
    if logits.shape[-1] == 1:
        each = ops.softplus(logits) - ops.cast(kept, logits.dtype) * logits
    else:
        each = keras.losses.sparse_categorical_crossentropy(kept, logits, from_logits=True)
        each = each[..., None]
    return mean_over(weight, each)


def focal(labels: Any, logits: Any, alpha: float = 0.25, gamma: float = 2.0) -> Any:
    """Mean focal loss over the valid pixels: cross-entropy that leaves easy pixels aside.

    -a (1 - p)^gamma log(p), where p is the probability of the pixel's own class and a is `alpha` for
    lesion pixels and `1 - alpha` for background [1]_. The paper divides by the number of objects,
    which a mask has not; here it is the number of pixels, so that values are small.

    Parameters
    ----------
    labels, logits
        As for `cross_entropy`.
    alpha : float in [0, 1]
        With `gamma` = 2 the paper found 0.25 best: the easy background weighs little already.
    gamma : float, at least 0

    Returns
    -------
    scalar tensor

    References
    ----------
    .. [1] Lin et al., "Focal loss for dense object detection", ICCV 2017. doi:10.1109/ICCV.2017.324

    Examples
    --------
    >>> import numpy as np
    >>> labels, logits = np.ones((1, 1, 1, 1), "int32"), np.zeros((1, 1, 1, 1), "float32")
    >>> round(float(focal(labels, logits)), 4)  # 0.25 * 0.5**2 * log(2)
    0.0433
    """
    target, logits, weight = every_class(labels, logits)
    whole = ops.logsumexp(logits, axis=-1)
    own = ops.sum(target * logits, axis=-1) - whole
    # The others' share by a sum of its own: 1 - p would be 0 long before its logarithm is lost.
    others = ops.logsumexp(ops.where(target > 0, -1e9, logits), axis=-1) - whole
    balance = alpha + (1.0 - 2.0 * alpha) * target[..., 0]
    each = -balance * ops.exp(gamma * others) * own
    return mean_over(weight, each[..., None])
