"""How far features moved along an ascent, in units of their natural spread, with verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from medream.evidence.features import FEATURES, OF_PLACE, measure
from medream.evidence.retina import retina_bounds
from medream.statistics import bootstrap_interval, holm, paired_test

VERDICTS = ("moved", "did not move", "undecided", "not tested", "not measurable")
MARGIN = 0.5
"""Spreads within which a feature counts as one that did not move."""


def natural_spread(
    images: Sequence[np.ndarray],
    regions: Sequence[np.ndarray],
    spacings: Sequence[tuple[float, float] | None] | None = None,
) -> dict[str, float]:
    """Return the standard deviation of each feature between regions, such as lesions or candidates.

    The unit in which `movements` tells how far a feature moved: 1 is as far as two such regions differ
    by nature.

    Parameters
    ----------
    images : sequence of float arrays (depth, width)
    regions : sequence of bool arrays (depth, width)
        One for each image; an image with several regions comes several times.
    spacings : sequence of (axial, lateral) or None, optional
        In millimetres, one for each image. Default: unknown.

    Returns
    -------
    dict of str to float
        NaN with fewer than two regions.
    """
    measured = pd.DataFrame(
        [
            measure(image, region, spacing, retina_bounds(image))
            for image, region, spacing in zip(
                images, regions, spacings or [None] * len(images), strict=True
            )
        ],
        columns=list(FEATURES),
    )
    return {name: float(measured[name].std()) for name in FEATURES}


def movements(
    table: pd.DataFrame,
    spread: Mapping[str, float],
    over: str = "subject",
    alpha: float = 0.05,
    margin: float = MARGIN,
    resamples: int = 9999,
) -> pd.DataFrame:
    """Return how far each feature moved, beyond what it does on re-drawn weights, with a verdict.

    A movement is the last value less the first of an ascent, from the step on at which the feature can be
    measured. Subjects are tested with exact signed-rank tests, corrected by Holm for the number of
    features.

    Parameters
    ----------
    table : DataFrame
        Of `feature_curves`.
    spread : mapping of str to float
        Unit of each feature, as `natural_spread` gives it.
    over : str
        As for `curves`.
    alpha : float
        Level of the family of tests of each kind of region. Default 0.05.
    margin : float
        Spreads; where the interval lies within so much of 0, a feature did not move. Default 0.5.
    resamples : int

    Returns
    -------
    DataFrame
        One row for each region and feature (of the fixed region those that the image decides), in
        spreads: `moved` (trained less control), `low`, `high`, `trained`, `control`, then `p` (corrected), `n`
        and the `verdict`: "moved" (p < alpha), "did not move" (interval within the margin), "undecided" (neither:
        more subjects would tell), "not tested" (so few subjects that no test could be significant), or
        "not measurable" (fewer than two subjects with a value, or no spread). `against` is
        "nothing" where the control has no value, and the trained network's movement stands alone.
    """
    rows = []
    for region, part in table.groupby("region", sort=False):
        found = [
            {"region": region, "feature": name}
            | _movement(part[part.feature == name], spread.get(name, np.nan), over, resamples)
            for name in FEATURES
            if region != "fixed" or name not in OF_PLACE
        ]
        tested = [row for row in found if row["n"] > 1]
        p = holm(
            [
                paired_test(row["values"], comparisons=len(tested), alpha=alpha).p_value
                for row in tested
            ]
        )
        for row, corrected in zip(tested, p, strict=True):
            row["p"] = corrected
            if corrected < alpha:
                row["verdict"] = "moved"
            elif -margin <= row["low"] and row["high"] <= margin:
                row["verdict"] = "did not move"
            else:
                row["verdict"] = "undecided" if np.isfinite(corrected) else "not tested"
        rows += found
    return pd.DataFrame(rows).drop(columns="values", errors="ignore")


def _movement(part: pd.DataFrame, unit: float, over: str, resamples: int) -> dict[str, Any]:
    """Return the movement of a feature in units of its spread."""
    keys = [over, "network", "scan", "start", "seed"]
    keys = list(dict.fromkeys(keys))
    known = part.dropna(subset="value").sort_values("step").groupby(keys)["value"]
    ends = (known.last() - known.first())[known.size() > 1]
    if part["step"].nunique() == 1:  # no step was made, so that nothing can have moved
        ends = known.first() * 0.0
    each = (ends / unit).groupby(level=[over, "network"]).mean().unstack("network")
    if not unit > 0:
        each = pd.DataFrame()
    trained = each["trained"].dropna() if "trained" in each else pd.Series(dtype=float)
    control = each["control"] if "control" in each else pd.Series(dtype=float)
    against = "control" if control.reindex(trained.index).notna().sum() > 1 else "nothing"
    values = (trained - control).dropna() if against == "control" else trained
    interval = bootstrap_interval(values.to_numpy(), resamples=resamples)
    return {
        "moved": interval.estimate, "low": interval.low, "high": interval.high,
        "trained": trained.mean(), "control": control.mean(), "against": against, "p": np.nan,
        "n": len(values), "verdict": "not measurable", "values": values.to_numpy(),
    }  # fmt: skip
