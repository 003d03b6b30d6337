"""Everything that is scored of one class in one B-scan."""

from __future__ import annotations

from typing import Any

import numpy as np

from medream.metrics.counts import confusion, overlap
from medream.metrics.lesions import Matches, lesion_scores, match_lesions
from medream.metrics.surfaces import TOLERANCE_MM, surface_scores


def score(
    reference: np.ndarray,
    prediction: np.ndarray,
    valid: np.ndarray | None = None,
    spacing_mm: tuple[float, float] | None = None,
    tolerance_mm: float = TOLERANCE_MM,
) -> dict[str, Any]:
    """Score one class of one scan.

    Parameters
    ----------
    reference, prediction : bool arrays (depth, width)
    valid : bool array (depth, width) or None
        Pixels that count; the others are treated as background in both masks.
    spacing_mm : (axial, lateral) or None
    tolerance_mm : float
        Of the surface Dice.

    Returns
    -------
    dict
        Pixel counts, `overlap`, `surface_scores`, the areas `reference_mm2` and `prediction_mm2` (NaN
        without spacing), counts of lesions and `lesion_scores`.

    Examples
    --------
    >>> import numpy as np
    >>> mask = np.zeros((4, 6), bool)
    >>> mask[1:3, 1:4] = True
    >>> found = score(mask, mask, spacing_mm=(0.004, 0.012))
    >>> found["dice"], found["assd_mm"], round(found["reference_mm2"], 6), found["lesion_f1"]
    (1.0, 0.0, 0.000288, 1.0)
    """
    return score_and_match(reference, prediction, valid, spacing_mm, tolerance_mm)[0]


def score_and_match(
    reference: np.ndarray,
    prediction: np.ndarray,
    valid: np.ndarray | None,
    spacing_mm: tuple[float, float] | None,
    tolerance_mm: float,
) -> tuple[dict[str, Any], Matches]:
    """Return what `score` does, and the lesions themselves."""
    reference, prediction = np.asarray(reference, bool), np.asarray(prediction, bool)
    counts = confusion(reference, prediction, valid)
    if valid is not None:
        reference, prediction = reference & valid, prediction & valid
    pixel_mm2 = float("nan") if spacing_mm is None else spacing_mm[0] * spacing_mm[1]
    matches = match_lesions(reference, prediction)
    found = {
        **counts,
        **overlap(**counts),
        **surface_scores(reference, prediction, spacing_mm, tolerance_mm),
        "reference_mm2": (counts["tp"] + counts["fn"]) * pixel_mm2,
        "prediction_mm2": (counts["tp"] + counts["fp"]) * pixel_mm2,
        **matches.counts,
        **lesion_scores(**matches.counts),
    }
    return found, matches
