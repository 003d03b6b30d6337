"""Training losses on logits. Pixels labelled `IGNORE` (not valid) never count.

A loss takes labels, int (batch, depth, width, 1) with `IGNORE` where the pixel does not count, and
logits, float (batch, depth, width, channels), and gives a scalar to be minimised. One channel is a
binary network (sigmoid); otherwise channel 0 is the background and the others the classes 1, 2, ...
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from medream.losses.boundary import Boundary, surface
from medream.losses.labels import IGNORE
from medream.losses.overlap import dice, dice_cross_entropy, generalized_dice, tversky
from medream.losses.pixelwise import cross_entropy, focal

__all__ = [
    "IGNORE",
    "LOSSES",
    "Loss",
    "cross_entropy",
    "dice",
    "dice_cross_entropy",
    "focal",
    "generalized_dice",
    "loss_settings",
    "make_loss",
    "surface",
    "tversky",
]

Loss = Callable[[Any, Any], Any]

LOSSES: dict[str, Callable[..., Any]] = {
    "dice_ce": dice_cross_entropy,
    "dice": dice,
    "ce": cross_entropy,
    "focal": focal,
    "tversky": tversky,
    "generalized_dice": generalized_dice,
    "boundary": Boundary,
}


def loss_settings(name: str) -> dict[str, float]:
    """Return the settings of a loss and their defaults.

    Examples
    --------
    >>> loss_settings("tversky")
    {'alpha': 0.3, 'beta': 0.7}
    """
    parameters = inspect.signature(LOSSES[name]).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def make_loss(name: str, settings: Mapping[str, float] | None = None) -> Loss:
    """Return a loss by name, with other settings than its defaults.

    Parameters
    ----------
    name : a key of `LOSSES`
    settings : mapping, optional
        As in `loss_settings`.

    Examples
    --------
    >>> import numpy as np
    >>> labels, logits = np.ones((1, 1, 1, 1), "int32"), np.zeros((1, 1, 1, 1), "float32")
    >>> round(float(make_loss("focal", {"gamma": 0, "alpha": 1})(labels, logits)), 4)
    0.6931
    """
    loss, settings = LOSSES[name], dict(settings or {})
    return loss(**settings) if isinstance(loss, type) else functools.partial(loss, **settings)
