"""Labels as the losses take them: which pixels count, and one channel for each class."""

from __future__ import annotations

from typing import Any

from keras import ops

IGNORE = 255
"""Label of pixels outside `Scan.valid` in training batches."""


def known(labels: Any, logits: Any) -> tuple[Any, Any]:
    """Return labels with `IGNORE` replaced by 0, and the weight of each pixel."""
    ignored = ops.equal(labels, IGNORE)
    kept = ops.cast(ops.where(ignored, ops.zeros_like(labels), labels), "int32")
    return kept, 1.0 - ops.cast(ignored, logits.dtype)


def foreground(labels: Any, logits: Any) -> tuple[Any, Any, Any]:
    """Return one-hot targets and probabilities of the foreground classes, and pixel weights."""
    kept, weight = known(labels, logits)
    if logits.shape[-1] == 1:
        return ops.cast(kept, logits.dtype), ops.sigmoid(logits), weight
    target = ops.one_hot(kept[..., 0], logits.shape[-1], dtype=logits.dtype)
    return target[..., 1:], ops.softmax(logits)[..., 1:], weight


def every_class(labels: Any, logits: Any) -> tuple[Any, Any, Any]:
    """Return one-hot targets and logits with the background first, and pixel weights.

    The sigmoid of x is the softmax of (0, x).
    """
    kept, weight = known(labels, logits)
    if logits.shape[-1] == 1:
        logits = ops.concatenate([ops.zeros_like(logits), logits], axis=-1)
    return ops.one_hot(kept[..., 0], logits.shape[-1], dtype=logits.dtype), logits, weight


def mean_over(weight: Any, each: Any) -> Any:
    """Return the mean of the pixels' values, both (batch, depth, width, 1); 0 without pixels."""
    return ops.sum(each * weight) / ops.maximum(ops.sum(weight), 1.0)
