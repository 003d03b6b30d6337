"""Volumes in mm^3, and what is scored of a volume as a whole.

A volume is measured only where its B-scans follow each other without gaps and their distance is known. A
few annotated B-scans of a volume, as in the Duke DME set, are no volume: what lies between them was not
drawn, and is not interpolated here. They are compared by their areas in mm^2, B-scan by B-scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from medream.metrics.lesions import match_lesions
from medream.metrics.surfaces import TOLERANCE_MM, surface_scores

VOLUME_KEYS = ["subject_id", "volume_id"]


def is_contiguous(bscan_indices: Sequence[int]) -> bool:
    """Tell whether B-scans follow each other without a gap, at least two of them.

    >>> is_contiguous([3, 4, 5]), is_contiguous([10, 15, 20]), is_contiguous([0])
    (True, False, False)
    """
    return len(bscan_indices) > 1 and bool((np.diff(np.sort(bscan_indices)) == 1).all())


def measure_volumes(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the volumes of reference and prediction in mm^3.

    Parameters
    ----------
    scores : DataFrame
        One row per scan of one class, with subject_id, volume_id, bscan_index, bscan_spacing_mm,
        reference_mm2 and prediction_mm2.

    Returns
    -------
    DataFrame
        One row per subject and volume that can be measured: `reference_mm3`, `prediction_mm3`, and
        `difference_mm3` (prediction minus reference; NaN when both are empty, so that a volume without
        lesion does not dilute the error of those with one).
    """
    rows = []
    for key, group in scores.groupby(VOLUME_KEYS, sort=True):
        if not is_contiguous(group.bscan_index.tolist()):
            continue
        thick = group.bscan_spacing_mm
        reference = float((group.reference_mm2 * thick).sum(skipna=False))
        prediction = float((group.prediction_mm2 * thick).sum(skipna=False))
        if np.isnan(reference):
            continue
        rows.append((*key, reference, prediction, difference(reference, prediction)))
    columns = [*VOLUME_KEYS, "reference_mm3", "prediction_mm3", "difference_mm3"]
    return pd.DataFrame(rows, columns=columns)


def difference(reference: float, prediction: float) -> float:
    """Return prediction minus reference; NaN when both are empty.

    >>> difference(2.0, 1.5), difference(0.0, 0.0)
    (-0.5, nan)
    """
    return prediction - reference if reference or prediction else float("nan")


def score_volume(
    reference: np.ndarray,
    prediction: np.ndarray,
    spacing_mm: tuple[float, float, float],
    tolerance_mm: float = TOLERANCE_MM,
) -> dict[str, Any]:
    """Score one class of one volume in three dimensions.

    B-scans lie ten to sixty pixels' depths apart: distances across them come in steps of that size, and
    lesions of neighbouring B-scans are one lesion when they touch, seen along the stack.

    Parameters
    ----------
    reference, prediction : bool arrays (bscan, depth, width)
    spacing_mm : (between B-scans, axial, lateral)
    tolerance_mm : float
        Of the surface Dice.

    Returns
    -------
    dict
        `surface_scores` and counts of lesions, their names beginning with "volume_".

    Examples
    --------
    >>> import numpy as np
    >>> a, b = np.zeros((4, 5, 5), bool), np.zeros((4, 5, 5), bool)
    >>> a[1:3, 2, 2] = b[2, 2, 2] = True
    >>> found = score_volume(a, b, (0.12, 0.004, 0.012))
    >>> found["volume_assd_mm"], found["volume_lesions"], found["volume_lesions_found"]
    (0.04, 1, 1)
    """
    found = {
        **surface_scores(reference, prediction, spacing_mm, tolerance_mm),
        **match_lesions(reference, prediction).counts,
    }
    return {f"volume_{name}": value for name, value in found.items()}
