"""Scores of scans pooled to volumes, subjects, or everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from medream.metrics.counts import COUNTS, overlap
from medream.metrics.detection import detection_auc, detection_scores
from medream.metrics.lesions import LESIONS, lesion_scores
from medream.metrics.volumes import VOLUME_KEYS, measure_volumes


def summarize(scores: pd.DataFrame, by: list[str] | None = None) -> pd.DataFrame:
    """Pool the scores of scans.

    Pixels and lesions are pooled by adding their counts. Means are over the scans in which the score is
    defined: where both masks are empty there is nothing to agree on, and the scan is a correct negative. A
    missed lesion and a false alarm have a Dice and a surface Dice of 0; their distances are infinite, left
    out of the mean and counted beside it.

    Parameters
    ----------
    scores : DataFrame
        One row per scan and class with the columns of `score` and "class"; those of `evaluate` for the
        volumes and the AUC.
    by : list of str, optional
        Further columns to group by, for example ["subject_id"] or ["subject_id", "volume_id"].

    Returns
    -------
    DataFrame
        Per group and class:

        - `scans`; `lesion_scans` (reference not empty); `missed` (lesion, nothing predicted),
          `false_alarms` (no lesion, something predicted), `correct_negatives`;
        - the pixel counts and their pooled overlaps;
        - `mean_scan_dice`, `mean_surface_dice` over the scans where either mask holds something;
          `mean_hd95_mm`, `mean_assd_mm` over the scans where both do;
        - the counts of lesions and their pooled `lesion_scores`;
        - `detection_scores`, and `detection_auc` from `max_probability`;
        - `mean_area_difference_mm2` (signed) and `mean_abs_area_difference_mm2` over the scans where either
          mask holds something;
        - `volumes`, how many can be measured; `reference_mm3`, `prediction_mm3`, sums over these;
          `mean_volume_difference_mm3` (signed) and `mean_abs_volume_difference_mm3`, over those where
          either mask holds something. NaN, and 0 volumes, where B-scans have gaps or an unknown distance.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from medream.metrics import score
    >>> lesion, nothing = np.ones((2, 2), bool), np.zeros((2, 2), bool)
    >>> found = [score(lesion, lesion), score(lesion, nothing)]
    >>> pooled = summarize(pd.DataFrame(found).assign(**{"class": "fluid"}))
    >>> pooled[["scans", "missed", "dice"]].round(3).to_string(index=False).split()[3:]
    ['2', '1', '0.667']
    """
    keys = [*(by or []), "class"]
    rows = [
        {**dict(zip(keys, key, strict=True)), **_pool(group)}
        for key, group in scores.groupby(keys, sort=True)
    ]
    return pd.DataFrame(rows)


def _pool(group: pd.DataFrame) -> dict[str, Any]:
    counts = {name: int(group[name].sum()) for name in COUNTS}
    lesions = {name: int(group[name].sum()) for name in LESIONS}
    lesion = (group.tp + group.fn > 0).to_numpy()
    found = (group.tp + group.fp > 0).to_numpy()
    apart = (group.prediction_mm2 - group.reference_mm2)[lesion | found]
    auc = float("nan")
    if "max_probability" in group:
        auc = detection_auc(lesion, group.max_probability.to_numpy())
    return {
        "scans": len(group),
        "lesion_scans": int(lesion.sum()),
        "missed": int((lesion & ~found).sum()),
        "false_alarms": int((~lesion & found).sum()),
        "correct_negatives": int((~lesion & ~found).sum()),
        **counts,
        **overlap(**counts),
        "mean_scan_dice": group.dice.mean(),
        "mean_hd95_mm": _finite_mean(group.hd95_mm),
        "mean_assd_mm": _finite_mean(group.assd_mm),
        "mean_surface_dice": group.surface_dice.mean(),
        **lesions,
        **lesion_scores(**lesions),
        **detection_scores(lesion, found),
        "detection_auc": auc,
        "mean_area_difference_mm2": _mean(apart),
        "mean_abs_area_difference_mm2": _mean(apart.abs()),
        **_volumes(group),
    }


def _volumes(group: pd.DataFrame) -> dict[str, Any]:
    known = {*VOLUME_KEYS, "bscan_index", "bscan_spacing_mm"} <= set(group.columns)
    volumes = (
        measure_volumes(group) if known else measure_volumes(pd.DataFrame(columns=VOLUME_KEYS))
    )
    return {
        "volumes": len(volumes),
        "reference_mm3": volumes.reference_mm3.sum(min_count=1),
        "prediction_mm3": volumes.prediction_mm3.sum(min_count=1),
        "mean_volume_difference_mm3": _mean(volumes.difference_mm3),
        "mean_abs_volume_difference_mm3": _mean(volumes.difference_mm3.abs()),
    }


def _finite_mean(values: pd.Series) -> float:
    return _mean(values[np.isfinite(values)])


def _mean(values: pd.Series | Sequence[float]) -> float:
    """Return the mean of what is no NaN; of nothing, and of areas that are unknown, NaN."""
    return float(pd.Series(values, dtype=float).mean())
