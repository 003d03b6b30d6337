"""How large lesions are, and how many of them fit into a field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage

from medream.evidence.subjects import RESAMPLES, who
from medream.scan import Scan
from medream.statistics import Interval, bootstrap_interval


def lesion_extents(scans: Sequence[Scan]) -> pd.DataFrame:
    """Return the size of every lesion: connected pixels of a class, corners count.

    Parameters
    ----------
    scans : sequence of Scan
        Those without a mask have no rows.

    Returns
    -------
    DataFrame
        `subject`, `scan`, `position` of the scan, `class`, `area_px`, `depth_px`, `width_px` (of the upright
        box around it), `depth_um`, `width_um` (NaN without spacing). A lesion that leaves the scan is larger.

    Examples
    --------
    >>> mask = np.zeros((8, 8), np.uint8); mask[2:4, 1:6] = 1
    >>> scan = Scan(np.zeros((8, 8), np.float32), mask, spacing_mm=(0.004, 0.01))
    >>> lesion_extents([scan])[["area_px", "depth_um", "width_um"]].values.tolist()
    [[10.0, 8.0, 50.0]]
    """
    columns = ["subject", "scan", "position", "class", "area_px", "depth_px", "width_px",
               "depth_um", "width_um"]  # fmt: skip
    rows: list[dict[str, Any]] = []
    for position, scan in enumerate(scans):
        if scan.mask is None:
            continue
        axial, lateral = scan.spacing_mm or (float("nan"), float("nan"))
        for k, name in enumerate(scan.classes, start=1):
            labels, _ = ndimage.label(scan.mask == k, np.ones((3, 3)))
            pixels = np.bincount(labels.ravel())[1:]
            for count, box in zip(pixels.tolist(), ndimage.find_objects(labels), strict=True):
                depth, width = (part.stop - part.start for part in box)
                rows.append(
                    {**who(scan), "position": position, "class": name, "area_px": count, "depth_px": depth,
                     "width_px": width, "depth_um": 1000 * axial * depth, "width_um": 1000 * lateral * width}
                )  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def share_that_fits(
    lesions: pd.DataFrame, limits_px: np.ndarray, resamples: int = RESAMPLES
) -> Interval:
    """Return the share of lesions whose box is no larger than a field, with its interval over subjects.

    Parameters
    ----------
    lesions : DataFrame
        Of `lesion_extents`.
    limits_px : float array (scans, 2)
        Depth and width of the field in the pixels of each scan; NaN, of a dead layer, has no answer.
    resamples : int

    Returns
    -------
    Interval
        All lesions count alike, so that who has many counts for much; subjects are resampled.

    Examples
    --------
    >>> lesions = pd.DataFrame({"subject": list("aab"), "position": 0, "depth_px": [3, 9, 9], "width_px": 4})
    >>> round(share_that_fits(lesions, np.array([[5.0, 5.0]]), 99).estimate, 3)
    0.333
    """
    limits = np.asarray(limits_px, float)[lesions.position.to_numpy(int)]
    inside = (lesions[["depth_px", "width_px"]].to_numpy(float) <= limits).all(axis=1)
    fits = np.where(np.isnan(limits).any(axis=1), np.nan, inside)
    subjects = lesions.subject.to_numpy()
    by_subject = {str(subject): fits[subjects == subject] for subject in pd.unique(subjects)}
    return bootstrap_interval(by_subject, resamples=resamples)
