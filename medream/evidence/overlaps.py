"""How many pixels units and concepts share, counted over a data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medream.evidence.activations import Activation
from medream.evidence.concepts import Concepts
from medream.scan import Scan

_UNITS_AT_ONCE = 16


class Overlaps:
    """Pixels of units and concepts, counted scan by scan; concepts are added as they come.

    Parameters
    ----------
    thresholds : float array (shares, units)
    loads : {subject: lesion pixels}
        By which the subjects are dealt into halves that are alike.
    rounds : int
        How often each concept is moved elsewhere in its scan.
    falling : bool
        Whether a unit's area is where it is below its threshold.
    """

    def __init__(
        self, thresholds: np.ndarray, loads: dict[str, int], rounds: int, falling: bool
    ) -> None:
        self.thresholds, self.rounds, self.falling = thresholds, rounds, falling
        self.subjects = tuple(loads)
        ranked = sorted(loads, key=lambda subject: -loads[subject])
        self.half = {subject: rank % 2 for rank, subject in enumerate(ranked)}
        self.names: list[str] = []
        shares, units = thresholds.shape
        people = len(self.subjects)
        self.counts = {
            "both": np.zeros((people, shares, 0, units), np.int64),
            "unit": np.zeros((people, shares, 0, units), np.int64),
            "concept": np.zeros((people, 0), np.int64),
            "chance_both": np.zeros((2, rounds, shares, 0, units), np.int64),
            "chance_concept": np.zeros((2, rounds, 0), np.int64),
        }

    def _places(self, names: Sequence[str]) -> list[int]:
        for name in names:
            if name not in self.names:
                self.names.append(name)
                for key, axis in (("both", 2), ("unit", 2), ("concept", 1),
                                  ("chance_both", 3), ("chance_concept", 2)):  # fmt: skip
                    wide = [(0, 0)] * self.counts[key].ndim
                    wide[axis] = (0, 1)
                    self.counts[key] = np.pad(self.counts[key], wide)
        return [self.names.index(name) for name in names]

    def add(self, scan: Scan, seen: Activation, concepts: Concepts) -> None:
        """Count a scan's valid pixels."""
        valid = np.ones(scan.shape, bool) if scan.valid is None else scan.valid
        here = self._places(list(concepts.masks))
        if not here or not valid.any():
            return
        person, counts = self.subjects.index(scan.source.subject_id), self.counts
        half = self.half[scan.source.subject_id]
        drawn = [concepts.masks, *(concepts.elsewhere() for _ in range(self.rounds))]
        masks = np.stack([np.stack([each[valid] for each in one.values()]) for one in drawn])
        counts["concept"][person, here] += masks[0].sum(-1)
        counts["chance_concept"][half][:, here] += masks[1:].sum(-1)
        shares, units = self.thresholds.shape
        for first in range(0, units, _UNITS_AT_ONCE):
            chosen = slice(first, min(first + _UNITS_AT_ONCE, units))
            values = seen.upsampled(chosen)[valid].T
            limits = self.thresholds[:, chosen, None]
            areas = (values < limits if self.falling else values > limits).astype(np.float32)
            flat = areas.reshape(-1, areas.shape[-1])
            place = np.ix_(range(shares), here, range(chosen.start, chosen.stop))
            counts["unit"][person][place] += areas.sum(-1, dtype=np.int64)[:, None]
            for k, own in enumerate(masks):
                # Whole numbers below 2**24, which float32 adds without error.
                met = np.rint(flat @ own.T.astype(np.float32)).astype(np.int64)
                met = met.reshape(shares, -1, len(here)).swapaxes(1, 2)
                if k:
                    counts["chance_both"][half, k - 1][place] += met
                else:
                    counts["both"][person][place] += met
