"""`Evaluation`: the tables of what was scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medream.metrics.lesions import LESIONS, by_size, lesion_scores
from medream.metrics.pooling import summarize
from medream.metrics.probabilities import (
    average_precision,
    calibration_curve,
    expected_calibration_error,
    precision_recall_curve,
)
from medream.metrics.surfaces import SURFACES

VOLUME = ("dataset", "subject_id", "volume_id")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was scored, in tables.

    Parameters
    ----------
    scans : DataFrame
        One row per scan and class: dataset, subject_id, volume_id, bscan_index, scan (its pseudonymous
        name), file (of a single picture), class, bscan_spacing_mm (NaN where unknown), the columns of
        `score`, area_difference_mm2 (signed; NaN where both masks are empty), and where there are
        probabilities max_probability and expected_calibration_error, NaN otherwise.
    volumes : DataFrame
        One row per volume and class with the columns of `score_volume`, of the volumes without gaps.
    lesions : DataFrame
        One row per lesion of either mask: where it lies, of ("reference" or "prediction"), pixels,
        area_mm2, matched.
    probabilities : {(dataset, subject_id, volume_id, class): counts}
        Pixels per bin of probability, as `count_probabilities` gives them.
    """

    scans: pd.DataFrame
    volumes: pd.DataFrame
    lesions: pd.DataFrame
    probabilities: dict[tuple[str, ...], np.ndarray]

    def pooled(self, by: Sequence[str] = ()) -> pd.DataFrame:
        """Pool scans to volumes, subjects, or everything.

        Parameters
        ----------
        by : sequence of {"dataset", "subject_id", "volume_id"}

        Returns
        -------
        DataFrame
            The columns of `summarize`; of volumes in three dimensions the means of distances and surface
            Dice and the pooled lesions ("volume_..."); expected_calibration_error and
            average_precision of the pooled pixels. NaN where a volume has gaps, or there are no
            probabilities.
        """
        keys = [*by, "class"]
        parts = dict(iter(self.volumes.groupby(keys))) if len(self.volumes) else {}
        counts = self._counts(keys)
        table = summarize(self.scans, list(by))
        more = []
        for key in table[keys].itertuples(index=False, name=None):
            own = counts.get(key)
            more.append(
                {
                    **_in_three_dimensions(parts.get(key)),
                    "expected_calibration_error": np.nan
                    if own is None
                    else expected_calibration_error(own),
                    "average_precision": np.nan if own is None else average_precision(own),
                }
            )
        return pd.concat([table, pd.DataFrame(more)], axis=1)

    def calibration(self, bins: int = 10) -> pd.DataFrame:
        """Return `calibration_curve` of each class, its bins running "from" "to"; empty without any."""
        edges = np.arange(bins + 1) / bins
        return self._curves(
            lambda counts: calibration_curve(counts, bins).assign(
                **{"from": edges[:-1], "to": edges[1:]}
            )
        )

    def precision_recall(self) -> pd.DataFrame:
        """Return `precision_recall_curve` of each class; empty where there are no probabilities."""
        return self._curves(precision_recall_curve)

    def lesion_sizes(self) -> pd.DataFrame:
        """Return sensitivity, precision and F1 of lesions by size, as `by_size`; empty without lesions."""
        return by_size(self.lesions) if len(self.lesions) else pd.DataFrame()

    def _counts(self, keys: Sequence[str]) -> dict[tuple[str, ...], np.ndarray]:
        places = [(*VOLUME, "class").index(key) for key in keys]
        found: dict[tuple[str, ...], np.ndarray] = {}
        for key, counts in self.probabilities.items():
            group = tuple(key[place] for place in places)
            found[group] = found.get(group, 0) + counts
        return found

    def _curves(self, curve: Callable[[np.ndarray], pd.DataFrame]) -> pd.DataFrame:
        parts = []
        for (name,), counts in sorted(self._counts(["class"]).items()):
            part = curve(counts)
            part.insert(0, "class", name)
            parts.append(part)
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _in_three_dimensions(rows: pd.DataFrame | None) -> dict[str, float]:
    """Return the means of distances over volumes, and their pooled lesions."""
    found: dict[str, float] = {}
    for name in SURFACES:
        values = None if rows is None else rows[f"volume_{name}"]
        known = None if values is None else values[np.isfinite(values)]
        found[f"mean_volume_{name}"] = float("nan") if known is None else float(known.mean())
    counts = {name: 0 if rows is None else int(rows[f"volume_{name}"].sum()) for name in LESIONS}
    scores = lesion_scores(**counts)
    return {**found, **{f"volume_{name}": value for name, value in scores.items()}}
