"""What an objective is handed beside activations, as arrays for a batch at one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from medream.dream.algebra import Constant, Objective, Picture, Position, Region, Shapes, Start
from medream.dream.graph import Network, size_rule
from medream.dream.octaves import resize
from medream.dream.sight import fit, open_view, view_weights
from medream.errors import ConfigError

Masks = list[list[np.ndarray | None]]  # for each image, for each operand


def regions(
    network: Network, items: Sequence[tuple[Objective, np.ndarray, np.ndarray | None]]
) -> Masks:
    """Return the mask (depth, width) of each region of (objective, image, reference) at full size.

    Raises
    ------
    ConfigError
        When a region lies outside of the image, is empty, or there is no such mask.
    """
    return [
        [
            _mask(network, operand, image, reference) if isinstance(operand, Region) else None
            for operand in objective.operands
        ]
        for objective, image, reference in items
    ]


def _mask(
    network: Network, region: Region, image: np.ndarray, reference: np.ndarray | None
) -> np.ndarray:
    shape, where, index = image.shape[:2], region.where, region.class_index
    mask = np.zeros(shape, bool)
    if where is None:
        return ~mask
    if isinstance(where, str):
        if where == "prediction":
            mask = _predicted(network, region, image) == index
        elif reference is None:
            raise ConfigError(
                "The objective asks for the reference, but the scan has no mask. Give a Scan with "
                "a mask (--reference on the command line), or another region."
            )
        else:
            mask = reference == index
        if not mask.any():
            raise ConfigError(f"The {where} of this scan has no pixel of class {index}.")
        return mask
    if isinstance(where, np.ndarray):
        if where.shape != shape or not where.any():
            raise ConfigError(
                f"The region is a mask of shape {where.shape} with {int(where.sum())} pixels, "
                f"expected at least one pixel in the image's shape {shape}."
            )
        return where
    top, left, bottom, right = where if len(where) == 4 else (*where, where[0] + 1, where[1] + 1)
    if bottom > shape[0] or right > shape[1]:
        raise ConfigError(
            f"The region ends at row {bottom}, column {right}; the image has {shape[0]} rows and "
            f"{shape[1]} columns."
        )
    mask[top:bottom, left:right] = True
    return mask


def _predicted(network: Network, region: Region, image: np.ndarray) -> np.ndarray:
    """Return the class (depth, width) that the network gives each pixel."""
    view = open_view(network, (region.layer,), "float32", faster=False)
    entered = fit(tf.constant(image[None]), *size_rule(view.part))
    logits = view.look(entered, view_weights(view))[region.layer]
    classes = logits[..., :1] > 0 if logits.shape[3] == 1 else tf.argmax(logits, -1)[..., None]
    whole = tf.image.resize(tf.cast(classes, tf.uint8), entered.shape[1:3], "nearest").numpy()
    return whole[0, : image.shape[0], : image.shape[1], 0]


def resolve(
    objectives: Sequence[Objective],
    masks: Masks,
    bases: np.ndarray,
    shapes: Shapes,
    grids: Shapes,
) -> list[np.ndarray]:
    """Return the operands' arrays, each with the batch as its first axis.

    Parameters
    ----------
    objectives : of one form, one for each image
    masks : as `regions` gives them
    bases : ndarray, shape (batch, depth, width, channels)
        The originals at the size at hand.
    shapes, grids : dict
        Shapes of the layers at this size and at the originals'.
    """
    return [
        np.stack(
            [
                _value(objective.operands[k], masks[item][k], bases[item], shapes, grids)
                for item, objective in enumerate(objectives)
            ]
        ).astype(np.float32)
        for k in range(len(objectives[0].operands))
    ]


def _value(
    operand: Any, mask: np.ndarray | None, base: np.ndarray, shapes: Shapes, grids: Shapes
) -> np.ndarray:
    shape = base.shape[:2]
    if isinstance(operand, Constant):
        return operand.value
    if isinstance(operand, Position):
        now, then = shapes[operand.layer][1:3], grids[operand.layer][1:3]
        at = operand.at or (then[0] // 2, then[1] // 2)
        moved = [min(int((k + 0.5) * n / t), n - 1) for k, n, t in zip(at, now, then, strict=True)]
        return np.array([*moved, 1.0])
    if isinstance(operand, Region):
        assert mask is not None
        found = resize(mask[None, ..., None].astype(np.float32), shape)[0]
        if found.any():
            return found
        # Thinner than a pixel of this octave: the pixel nearest to its centre of mass.
        row, column = (np.mean(k) + 0.5 for k in np.nonzero(mask))
        found[int(row * shape[0] / mask.shape[0]), int(column * shape[1] / mask.shape[1])] = 1.0
        return found
    if isinstance(operand, Picture):
        return np.clip(resize(operand.image[None], shape)[0], 0.0, 1.0)
    return base if isinstance(operand, Start) else np.zeros(0)
