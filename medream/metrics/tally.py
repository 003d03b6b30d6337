"""B-scans counted one after the other into the tables of an evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from medream.metrics.lesions import Matches, lesion_table
from medream.metrics.probabilities import count_probabilities, expected_calibration_error
from medream.metrics.scoring import score_and_match
from medream.metrics.stack import Found, Stack
from medream.metrics.surfaces import TOLERANCE_MM
from medream.metrics.tables import VOLUME, Evaluation
from medream.metrics.volumes import difference
from medream.scan import Source


class Tally:
    """Counts B-scans one after the other; `evaluation()` gives the tables.

    B-scans of a volume that come in order and without gaps, with their distance and spacing known, are
    scored in three dimensions as well; only one volume is held in memory.

    Parameters
    ----------
    tolerance_mm : float
        Of the surface Dice.

    Examples
    --------
    >>> import numpy as np
    >>> from medream.scan import Source
    >>> tally, mask = Tally(), np.ones((4, 6), bool)
    >>> tally.add(Source(subject_id="subject01"), [Found("fluid", mask, mask)])
    >>> tally.evaluation().pooled().dice.tolist()
    [1.0]
    """

    def __init__(self, tolerance_mm: float = TOLERANCE_MM) -> None:
        self._tolerance_mm = tolerance_mm
        self._rows: list[dict[str, Any]] = []
        self._lesions: list[pd.DataFrame] = []
        self._probabilities: dict[tuple[str, ...], np.ndarray] = {}
        self._volumes: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        self._open: Stack | None = None

    def add(
        self,
        source: Source,
        classes: Iterable[Found],
        *,
        valid: np.ndarray | None = None,
        spacing_mm: tuple[float, float] | None = None,
        bscan_spacing_mm: float | None = None,
    ) -> None:
        """Count one B-scan.

        Parameters
        ----------
        source : Source
        classes : iterable of Found
        valid : bool array (depth, width) or None
            Pixels that count.
        spacing_mm : (axial, lateral) or None
        bscan_spacing_mm : float or None
            Distance to the next B-scan of the volume.
        """
        classes = list(classes)
        key = source.dataset, source.subject_id, source.volume_id
        place = {**dict(zip(VOLUME, key, strict=True)), "bscan_index": source.bscan_index}
        pixel_mm2 = None if spacing_mm is None else spacing_mm[0] * spacing_mm[1]
        for one in classes:
            scores, matches = score_and_match(
                one.reference, one.prediction, valid, spacing_mm, self._tolerance_mm
            )
            self._rows.append(
                {
                    **place,
                    "scan": source.name,
                    "file": source.picture,
                    "class": one.name,
                    "bscan_spacing_mm": np.nan if bscan_spacing_mm is None else bscan_spacing_mm,
                    **scores,
                    "area_difference_mm2": difference(
                        scores["reference_mm2"], scores["prediction_mm2"]
                    ),
                    **self._probability_scores((*key, one.name), one, valid),
                }
            )
            self._add_lesions({**place, "class": one.name}, matches, pixel_mm2)
        if self._open is None or self._open.key != key:
            self._close()
            self._open = Stack(key)
        spacing = (
            None
            if spacing_mm is None or bscan_spacing_mm is None
            else (bscan_spacing_mm, *spacing_mm)
        )
        self._open.add(source.bscan_index, classes, valid, spacing)

    def evaluation(self) -> Evaluation:
        """Return the tables of all B-scans so far."""
        self._close()
        volumes = [row for rows in self._volumes.values() for row in rows]
        names = [*VOLUME, "bscan_index", "class", "of", "pixels", "area_mm2", "matched"]
        lesions = pd.concat(self._lesions, ignore_index=True) if self._lesions else None
        return Evaluation(
            scans=pd.DataFrame(self._rows),
            volumes=pd.DataFrame(volumes),
            lesions=pd.DataFrame(columns=names) if lesions is None else lesions,
            probabilities=dict(self._probabilities),
        )

    def _probability_scores(
        self, key: tuple[str, ...], one: Found, valid: np.ndarray | None
    ) -> dict[str, float]:
        highest = error = float("nan")
        if one.probability is not None:
            counts = count_probabilities(one.reference, one.probability, valid)
            self._probabilities[key] = self._probabilities.get(key, 0) + counts
            error = expected_calibration_error(counts)
            shown = one.probability if valid is None else one.probability[valid]
            highest = float(shown.max()) if shown.size else highest
        return {"max_probability": highest, "expected_calibration_error": error}

    def _add_lesions(
        self, place: dict[str, Any], matches: Matches, pixel_mm2: float | None
    ) -> None:
        table = lesion_table(matches, pixel_mm2)
        if len(table):
            for column, value in reversed(place.items()):
                table.insert(0, column, value)
            self._lesions.append(table)

    def _close(self) -> None:
        """Score the volume that is complete now."""
        stack, self._open = self._open, None
        if stack is None:
            return
        # A volume whose B-scans come in two parts is scored in neither.
        again = stack.key in self._volumes
        rows = [] if again else stack.rows(self._tolerance_mm)
        self._volumes[stack.key] = [
            {**dict(zip(VOLUME, stack.key, strict=True)), **r} for r in rows
        ]
