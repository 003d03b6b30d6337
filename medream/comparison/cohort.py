"""The scans of a comparison, decoded once and handed out by subject."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from medream.packed import Packed
from medream.scan import Scan
from medream.shards import pack


class Cohort:
    """The scans of a comparison; parts of it copy no pixels.

    Parameters
    ----------
    scans : sequence of Scan
        A `Dataset` brings the distance of its B-scans along, where it is known.
    """

    def __init__(self, scans: Sequence[Scan]) -> None:
        self.packed = pack(scans)
        self.sources = list(self.packed.sources)
        self._subjects = np.array([source.subject_id for source in self.sources])
        known = getattr(scans, "bscan_spacings_mm", None)
        self._bscan_spacings_mm = [None] * len(self.sources) if known is None else list(known)

    @property
    def loads(self) -> dict[str, float]:
        """Labelled pixels of each subject."""
        lesions = self.packed.table["lesion"]
        return {
            s: float(lesions[self._subjects == s].sum())
            for s in sorted(set(self._subjects.tolist()))
        }

    @property
    def usual_shape(self) -> tuple[int, int]:
        """Depth and width that most B-scans have."""
        shapes, counts = np.unique(self.packed.shapes, axis=0, return_counts=True)
        depth, width = shapes[counts.argmax()].tolist()
        return depth, width

    def of(self, subjects: Iterable[str]) -> Packed:
        """Return the scans of some subjects."""
        return self.packed.subset(self._positions(subjects))

    def with_distances(self, subjects: Iterable[str]) -> Spaced:
        """Return the scans of some subjects with the distances of their B-scans, for scores of volumes."""
        positions = self._positions(subjects)
        distances = [self._bscan_spacings_mm[k] for k in positions]
        return Spaced(self.packed.subset(positions), distances)

    def _positions(self, subjects: Iterable[str]) -> list[int]:
        return np.flatnonzero(np.isin(self._subjects, list(subjects))).tolist()


class Spaced(Sequence[Scan]):
    """Scans with the distance of each volume from B-scan to B-scan, as `evaluate` takes them."""

    def __init__(self, scans: Packed, bscan_spacings_mm: Sequence[float | None]) -> None:
        self._scans, self.bscan_spacings_mm = scans, bscan_spacings_mm

    def __len__(self) -> int:
        return len(self._scans)

    def __getitem__(self, index: Any) -> Any:
        return self._scans[index]
