"""Losses of overlap, each pooled over the batch so that scans without a lesion do not swing them."""

from __future__ import annotations

from typing import Any

from keras import ops

from medream.losses.labels import every_class, foreground
from medream.losses.pixelwise import cross_entropy

_PIXELS = (0, 1, 2)


def dice(labels: Any, logits: Any) -> Any:
    """One minus the soft Dice of the foreground classes, each pooled over the batch.

    With plain sums in the denominator, and 1 added to both sides of the fraction [1]_.

    Parameters and shapes as for `cross_entropy`; the value is in [0, 1].

    References
    ----------
    .. [1] Milletari et al., "V-Net", 3DV 2016. doi:10.1109/3DV.2016.79
    """
    target, probability, weight = foreground(labels, logits)
    overlap = ops.sum(weight * target * probability, axis=_PIXELS)
    total = ops.sum(weight * (target + probability), axis=_PIXELS)
    return 1.0 - ops.mean((2.0 * overlap + 1.0) / (total + 1.0))


def dice_cross_entropy(labels: Any, logits: Any) -> Any:
    """Sum of `dice` and `cross_entropy`, the default.

    References
    ----------
    Isensee et al., "nnU-Net", Nature Methods 2021. doi:10.1038/s41592-020-01008-z
    """
    return dice(labels, logits) + cross_entropy(labels, logits)


def tversky(labels: Any, logits: Any, alpha: float = 0.3, beta: float = 0.7) -> Any:
    """One minus the Tversky index of the foreground classes: Dice that weighs both errors apart.

    TP / (TP + alpha FP + beta FN) in soft counts [1]_; half a pixel is added to both sides of the
    fraction, so that `alpha` = `beta` = 0.5 is `dice`.

    Parameters
    ----------
    labels, logits
        As for `cross_entropy`.
    alpha, beta : float, at least 0
        Weight of false positives and of false negatives; the paper's best are the defaults.

    Returns
    -------
    scalar tensor in [0, 1]

    References
    ----------
    .. [1] Salehi et al., "Tversky loss function for image segmentation using 3D fully convolutional deep
       networks", MLMI 2017. doi:10.1007/978-3-319-67389-9_44
    """
    target, probability, weight = foreground(labels, logits)
    hit = ops.sum(weight * target * probability, axis=_PIXELS)
    false = ops.sum(weight * (1.0 - target) * probability, axis=_PIXELS)
    missed = ops.sum(weight * target * (1.0 - probability), axis=_PIXELS)
    return 1.0 - ops.mean((hit + 0.5) / (hit + alpha * false + beta * missed + 0.5))


def generalized_dice(labels: Any, logits: Any) -> Any:
    """One minus the generalised Dice: all classes in one fraction, rare ones weighted up.

    Each class, the background among them, weighs one over the square of its pixels in the reference
    [1]_. A class that the batch lacks weighs as much as the rarest that it has, instead of infinitely.

    Parameters and shapes as for `cross_entropy`; the value is in [0, 1].

    References
    ----------
    .. [1] Sudre et al., "Generalised Dice overlap as a deep learning loss function for highly
       unbalanced segmentations", DLMIA 2017. doi:10.1007/978-3-319-67558-9_28
    """
    target, logits, weight = every_class(labels, logits)
    probability = ops.softmax(logits)
    pixels = ops.sum(weight * target, axis=_PIXELS)
    present = pixels > 0
    rarest = ops.min(ops.where(present, pixels, ops.sum(pixels)))
    each = ops.where(present, ops.square(rarest / ops.maximum(pixels, 1.0)), 1.0)
    overlap = ops.sum(each * ops.sum(weight * target * probability, axis=_PIXELS))
    total = ops.sum(each * ops.sum(weight * (target + probability), axis=_PIXELS))
    # Far below a pixel: it only keeps a batch without valid pixels from dividing 0 by 0.
    return 1.0 - (2.0 * overlap + 1e-6) / (total + 1e-6)
