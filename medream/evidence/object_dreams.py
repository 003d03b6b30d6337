"""Dreams of single objects: what becomes of a candidate that a network rejects when it is made a lesion?"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pandas as pd
from scipy import ndimage

from medream.dream import class_score, dream
from medream.evidence.edits import GAUGES
from medream.evidence.features import measure
from medream.evidence.naming import Edits, score_of


def delineate(image: np.ndarray, region: np.ndarray, reach: int = 8) -> np.ndarray:
    """Return the outline that an object has come to have, by its intensity alone.

    Half way between the object's darkest tenth and its surround, in the smoothed image; of
    several such regions the one that shares most with the object as it was.

    Returns
    -------
    bool array (depth, width), empty when nothing is left.
    """
    smooth = ndimage.gaussian_filter(np.asarray(image, float), 1.0)
    near = ndimage.binary_dilation(region, iterations=reach)
    level = np.median(smooth[near & ~ndimage.binary_dilation(region, iterations=2)])
    dark = near & (smooth < 0.5 * (level + np.quantile(smooth[region], 0.1)))
    parts, _ = ndimage.label(dark)
    shared = np.bincount(parts[region])
    shared[0] = 0
    return parts == shared.argmax() if shared.any() else np.zeros_like(dark)


def dream_objects(
    model: keras.Model,
    edits: Edits,
    index: int = 1,
    control: bool = True,
    steps: int = 30,
    step_size: float = 0.01,
    reach: int = 6,
    **settings: Any,
) -> pd.DataFrame:
    """Let dreams change candidates: rejected ones towards lesion, accepted ones away from it.

    Only the candidate and the pixels next to it change. What it has become is outlined anew
    (`delineate`) and measured.

    Returns
    -------
    DataFrame
        `subject`, `object`, `cue`, `accepted`, and `effect`: movement of the cue's gauge, in
        spreads, towards lesion, less that of the dream on re-drawn weights where `control`.
    """
    rows = []
    for k, scene in enumerate(edits.scenes):
        image = scene.image.astype(np.float32)
        accepted = score_of(model, image, scene.region, index) >= 0.5
        near = ndimage.binary_dilation(scene.region, iterations=reach) & ~scene.others
        wanted = class_score(index, scene.region)
        result = dream(
            model, image, -1.0 * wanted if accepted else wanted, region=near, octaves=None,
            control=control, steps=steps, step_size=step_size, seed=k, **settings,
        )  # fmt: skip
        other = image if result.control is None else result.control
        after, beside = (
            measure(each, delineate(each, scene.region), retina=scene.retina)
            for each in (result.dream, other)
        )
        for cue, gauge in GAUGES.items():
            moved = (after[gauge] - beside[gauge]) / edits.spread[gauge]
            rows.append(
                {"subject": edits.subjects[k], "object": k, "cue": cue, "accepted": accepted,
                 "effect": -moved if accepted else moved}
            )  # fmt: skip
    return pd.DataFrame(rows)
