"""Lesions as wholes: connected components found, missed and made up.

A lesion is a connected component of a mask; pixels that touch at a corner are connected. A lesion of the
reference is found when the prediction covers at least a tenth of it, a predicted lesion is confirmed when
at least a tenth of it lies in the reference. A single pixel of overlap would let one blot over the whole
scan find every lesion and be confirmed by any.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import ndimage

from medream.metrics.counts import ratio

SHARE = 0.1
LESIONS = ("lesions", "lesions_found", "lesions_predicted", "lesions_confirmed")

EDGES_MM2 = (0.01, 0.1)
"""Areas of discs 0.11 and 0.36 mm wide; in the Duke DME set they part small, middle and large cysts."""
EDGES_PIXELS = (100, 1000)


@dataclass(frozen=True, eq=False)
class Matches:
    """The lesions of a reference and a prediction: pixels of each, and whether it was matched."""

    reference_pixels: np.ndarray
    found: np.ndarray
    prediction_pixels: np.ndarray
    confirmed: np.ndarray

    @property
    def counts(self) -> dict[str, int]:
        numbers = (len(self.found), self.found.sum(), len(self.confirmed), self.confirmed.sum())
        return dict(zip(LESIONS, map(int, numbers), strict=True))


def match_lesions(reference: np.ndarray, prediction: np.ndarray, share: float = SHARE) -> Matches:
    """Find the lesions of two masks and match them.

    Parameters
    ----------
    reference, prediction : bool arrays of one shape, (depth, width) or (bscan, depth, width)
    share : float
        Part of a lesion that the other mask must cover; with 0 any pixel will do.

    Examples
    --------
    >>> import numpy as np
    >>> reference, prediction = np.zeros((3, 9), bool), np.zeros((3, 9), bool)
    >>> reference[1, :2] = reference[1, 4] = prediction[1, 1:3] = True
    >>> match_lesions(reference, prediction).counts
    {'lesions': 2, 'lesions_found': 1, 'lesions_predicted': 1, 'lesions_confirmed': 1}
    """
    return Matches(
        *_components(reference, prediction, share), *_components(prediction, reference, share)
    )


def _components(mask: np.ndarray, other: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels of each component, and whether the other mask covers enough of it."""
    mask, other = np.asarray(mask, bool), np.asarray(other, bool)
    labels, n = ndimage.label(mask, np.ones((3,) * mask.ndim))
    pixels = np.bincount(labels[mask], minlength=n + 1)[1:]
    covered = np.bincount(labels[mask & other], minlength=n + 1)[1:]
    return pixels, (covered > 0) & (covered >= share * pixels)


def lesion_scores(
    lesions: int, lesions_found: int, lesions_predicted: int, lesions_confirmed: int
) -> dict[str, float]:
    """Return sensitivity, precision and F1 of lesions.

    Without lesions in the reference the sensitivity is undefined (NaN), without predicted ones the
    precision; F1 is undefined when there are neither, and 0 when there are only one or the other.

    Examples
    --------
    >>> lesion_scores(2, 1, 1, 1)
    {'lesion_sensitivity': 0.5, 'lesion_precision': 1.0, 'lesion_f1': 0.6666666666666666}
    """
    sensitivity = ratio(lesions_found, lesions)
    precision = ratio(lesions_confirmed, lesions_predicted)
    f1 = float("nan")
    if lesions and lesions_predicted and lesions_found and lesions_confirmed:
        f1 = 2 * sensitivity * precision / (sensitivity + precision)
    elif lesions or lesions_predicted:
        f1 = 0.0
    return {"lesion_sensitivity": sensitivity, "lesion_precision": precision, "lesion_f1": f1}


def lesion_table(matches: Matches, pixel_mm2: float | None) -> pd.DataFrame:
    """Return one row per lesion: of ("reference" or "prediction"), pixels, area_mm2, matched."""
    pixels = np.concatenate([matches.reference_pixels, matches.prediction_pixels])
    sides = ("reference", "prediction")
    return pd.DataFrame(
        {
            "of": np.repeat(sides, [len(matches.found), len(matches.confirmed)]),
            "pixels": pixels,
            "area_mm2": pixels * (np.nan if pixel_mm2 is None else pixel_mm2),
            "matched": np.concatenate([matches.found, matches.confirmed]),
        }
    )


def by_size(
    lesions: pd.DataFrame, by: Sequence[str] = ("class",), edges: Sequence[float] | None = None
) -> pd.DataFrame:
    """Return sensitivity, precision and F1 of lesions by their size.

    A lesion of the reference counts in the bin of its own size, and so does a predicted one: sensitivity
    says how many of the reference's small lesions were found, precision how many of the small ones that
    were predicted are real.

    Parameters
    ----------
    lesions : DataFrame
        Rows of `lesion_table`, with the columns of `by`.
    by : sequence of str
    edges : increasing numbers, optional
        In mm^2 when all areas are known, in pixels otherwise; default `EDGES_MM2` or `EDGES_PIXELS`. A
        lesion exactly at an edge is in the bin above.

    Returns
    -------
    DataFrame
        One row per group and bin: the columns of `by`, `size` (in words, with its unit), the counts and
        `lesion_scores`. Bins without lesions are listed with NaN.
    """
    in_mm2 = bool(lesions.area_mm2.notna().all())
    edges = (EDGES_MM2 if in_mm2 else EDGES_PIXELS) if edges is None else edges
    place = np.digitize(lesions.area_mm2 if in_mm2 else lesions.pixels, edges)
    rows = []
    for key, group in lesions.assign(_bin=place).groupby(list(by), sort=True):
        for k, size in enumerate(_in_words(edges, "mm2" if in_mm2 else "px")):
            matched = {
                side: group.matched[(group._bin == k) & (group["of"] == side)]
                for side in ("reference", "prediction")
            }
            numbers = [f(m) for m in matched.values() for f in (len, np.count_nonzero)]
            counts = dict(zip(LESIONS, map(int, numbers), strict=True))
            rows.append(
                {
                    **dict(zip(by, key, strict=True)),
                    "size": size,
                    **counts,
                    **lesion_scores(**counts),
                }
            )
    return pd.DataFrame(rows)


def _in_words(edges: Sequence[float], unit: str) -> list[str]:
    """Return the names of the bins.

    >>> _in_words((0.01, 0.1), "mm2")
    ['below 0.01 mm2', '0.01 to 0.1 mm2', 'from 0.1 mm2']
    """
    between = [f"{a:g} to {b:g} {unit}" for a, b in itertools.pairwise(edges)]
    return [f"below {edges[0]:g} {unit}", *between, f"from {edges[-1]:g} {unit}"]
