"""Which units detect what: network dissection (Bau et al. 2017, arXiv:1704.05796).

A unit's area are the pixels where it is larger than its own threshold; a unit that tells of a lesion
by falling silent in it is found where it is smallest (`falling`). The paper takes the threshold that
0.5 % of its values lie above. With it no unit can have an IoU over 0.04 with a concept that covers
more than an eighth of the pixels, such as the vitreous, so that IoU is measured at larger shares
as well: for one half of the subjects at the share that was best on the other half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd

from medream.errors import ConfigError
from medream.evidence.activations import eye
from medream.evidence.concepts import Concepts
from medream.evidence.overlaps import Overlaps
from medream.evidence.quantiles import Quantiles
from medream.evidence.subjects import RESAMPLES
from medream.progress import progress
from medream.scan import Scan
from medream.statistics import bootstrap_interval

TOP_SHARES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Shares of a unit's values above its threshold; the first is the paper's."""
LEAST_IOU = 0.04
"""From which on a unit is named (the paper's)."""
ROUNDS = 19
"""Shifted masks: above all of them is p = 0.05 for one unit and one concept."""
MEASURES = ("iou", "iou_fitted")


@dataclass(frozen=True, eq=False)
class Dissection:
    """Pixels that units and concepts share, by subject.

    Parameters
    ----------
    layer : str
    concepts, subjects : tuple of str
    falling : bool
        Whether areas are where units are smallest.
    thresholds : float array (shares, units)
    both, unit : int arrays (subjects, shares, concepts, units)
        Pixels of concept and unit together, and of the unit on the scans where the concept is known.
    concept : int array (subjects, concepts)
    half : int array (subjects,)
        0 or 1; the halves are alike in lesion load.
    chance_both : int array (halves, rounds, shares, concepts, units)
    chance_concept : int array (halves, rounds, concepts)
        The same with every concept elsewhere in its scan.
    """

    layer: str
    concepts: tuple[str, ...]
    subjects: tuple[str, ...]
    falling: bool
    thresholds: np.ndarray
    both: np.ndarray
    unit: np.ndarray
    concept: np.ndarray
    half: np.ndarray
    chance_both: np.ndarray
    chance_concept: np.ndarray

    def table(self) -> pd.DataFrame:
        """Return one row per unit and concept.

        Returns
        -------
        DataFrame
            `unit`, `concept`; `iou` with the paper's threshold, `chance` and `chance_most`, the mean and the
            largest of the same with the concept elsewhere, `possible`, the IoU of a unit that lies wholly
            within the concept or covers all of it; `iou_fitted`, `chance_fitted`, `chance_most_fitted` with the
            share chosen on the other half of the subjects (NaN with one subject), `top_share`, the
            best one on all. NaN for a concept without pixels.

            An overlap is not a cause: what the network does with a unit is said by `ablation_test`. A
            concept of one's own choosing may overlap because of another that goes with it.
        """
        both, unit = self.both[:, 0].sum(0), self.unit[:, 0].sum(0)
        concept = self.concept.sum(0)[:, None]
        chance = _iou(self.chance_both[:, :, 0].sum(0), unit, self._elsewhere.sum(0))
        columns = {
            "iou": _iou(both, unit, concept),
            "chance": chance.mean(0),
            "chance_most": chance.max(0),
            "possible": np.minimum(unit, concept) / np.maximum(np.maximum(unit, concept), 1),
        }
        fitted, elsewhere = self._fitted()
        columns |= {
            "iou_fitted": fitted,
            "chance_fitted": elsewhere.mean(0),
            "chance_most_fitted": elsewhere.max(0),
            "top_share": np.array(TOP_SHARES)[self._best(np.ones(len(self.subjects), bool))],
        }
        absent = np.broadcast_to(concept == 0, both.shape)
        units = both.shape[1]
        return pd.DataFrame(
            {
                "unit": np.repeat(np.arange(units), len(self.concepts)),
                "concept": np.tile(self.concepts, units),
                **{k: np.where(absent, np.nan, v).T.ravel() for k, v in columns.items()},
            }
        )

    def named(
        self, measure: str = "iou", least: float = LEAST_IOU, resamples: int = RESAMPLES
    ) -> pd.DataFrame:
        """Name each unit by the concept that it overlaps most.

        Parameters
        ----------
        measure : {"iou", "iou_fitted"}
        least : float
            IoU from which on a unit is named; it must also be above `chance_most`.
        resamples : int

        Returns
        -------
        DataFrame
            One row per unit: `unit`, `concept` ("" for a unit without a name), its `iou` (whichever
            measure), `low` and `high` of 95 % over subjects, `chance_most`. Chance alone passes the
            comparison with shifted masks for one in `ROUNDS` + 1 of all pairs of units and concepts; it is the
            two conditions together that make names rare. A unit without a name may well detect something
            that has no mask.
        """
        if measure not in MEASURES:
            raise ConfigError(f"measure is {measure!r}, expected one of {', '.join(MEASURES)}.")
        most = measure.replace("iou", "chance_most")
        table = self.table()
        passed = table[(table[measure] > least) & (table[measure] > table[most])]
        best = passed.sort_values(measure, ascending=False, kind="stable").drop_duplicates("unit")
        rows = []
        for unit in range(self.both.shape[3]):
            own = best[best.unit == unit]
            row = {"unit": unit, "concept": "", "iou": np.nan, "low": np.nan, "high": np.nan}
            if len(own):
                name = own.concept.item()
                counts = self._counts(self.concepts.index(name), unit, measure)
                found = bootstrap_interval(list(counts[:, None]), _pooled, resamples=resamples)
                row |= {"concept": name, "iou": own[measure].item(), "low": found.low,
                        "high": found.high, "chance_most": own[most].item()}  # fmt: skip
            rows.append(row)
        return pd.DataFrame(rows, columns=[*rows[0], "chance_most"] if not len(best) else None)

    @property
    def _elsewhere(self) -> np.ndarray:
        return self.chance_concept[..., None]

    def _best(self, people: np.ndarray) -> np.ndarray:
        """Return the share with the best IoU on some subjects, its place (concepts, units)."""
        found = _iou(
            self.both[people].sum(0), self.unit[people].sum(0), self.concept[people].sum(0)[:, None]
        )
        return np.nan_to_num(found, nan=-1.0).argmax(0)

    def _choices(self) -> np.ndarray:
        """Return for each half the share chosen on the other, (halves, 1, concepts, units)."""
        return np.stack([self._best(self.half != half) for half in (0, 1)])[:, None]

    def _fitted(self) -> tuple[np.ndarray, np.ndarray]:
        """Return IoU with the share of the other half, and with concepts elsewhere (rounds, ...)."""
        if len(set(self.half.tolist())) < 2:
            empty = np.full(self.both.shape[2:], np.nan)
            return empty, empty[None]
        choice = self._choices()
        halves = [self.half == half for half in (0, 1)]

        def at(counts: np.ndarray) -> np.ndarray:
            by_half = np.stack([counts[people].sum(0) for people in halves])
            return np.take_along_axis(by_half, choice, 1)[:, 0]

        both, unit = at(self.both).sum(0), at(self.unit).sum(0)
        chosen = np.take_along_axis(self.chance_both, choice[:, None], 2)[:, :, 0].sum(0)
        elsewhere = _iou(chosen, unit, self._elsewhere.sum(0))
        return _iou(both, unit, self.concept.sum(0)[:, None]), elsewhere

    def _counts(self, concept: int, unit: int, measure: str) -> np.ndarray:
        """Return (both, unit, concept) of every subject, (subjects, 3)."""
        share = np.zeros(len(self.subjects), int)
        if measure == "iou_fitted":
            share = self._choices()[self.half, 0, concept, unit]
        people = np.arange(len(self.subjects))
        both, area = (counts[people, share, concept, unit] for counts in (self.both, self.unit))
        return np.stack([both, area, self.concept[:, concept]], axis=1)


def _iou(both: np.ndarray, unit: np.ndarray, concept: np.ndarray) -> np.ndarray:
    union = unit + concept - both
    return np.where(union > 0, both / np.maximum(union, 1), np.nan)


def _pooled(rows: np.ndarray) -> float:
    both, unit, concept = rows.sum(axis=0)
    return float(_iou(both, unit, concept))


def dissect(
    model: keras.Model,
    layer: str,
    scans: Sequence[Scan],
    rounds: int = ROUNDS,
    seed: int = 0,
    falling: bool = False,
) -> Dissection:
    """Compare the units of a layer with what is marked in scans.

    The data set is gone through twice, for the units' thresholds and for the overlaps; memory holds one scan.
    Thresholds are of the layer's own positions, areas of its maps after bilinear upsampling to the
    scan, valid pixels only. Scans without a mask count for vitreous and choroid alone.

    Parameters
    ----------
    model : keras.Model
    layer : str
    scans : sequence of Scan
        Best some that the network was not trained on.
    rounds : int
        How often each concept is moved elsewhere in its scan.
    seed : int
    falling : bool
        Take the pixels where a unit is smallest for its area. The paper looks at where units are largest; the
        layers behind can read either.

    Returns
    -------
    Dissection

    Raises
    ------
    LayerError
        When there is no such layer, or it gives no map.
    ConfigError
        When no scan has a valid pixel or anything to name.

    Examples
    --------
    >>> import medream as md
    >>> model = md.build_unet(md.UNetConfig(levels=1, base_filters=2))
    >>> found = dissect(model, "dec1_conv2", md.phantom_scans(4, size=(64, 64)), rounds=2)
    >>> found.concepts
    ('fluid', 'lesion border', 'vitreous', 'background retina', 'choroid')
    >>> len(found.table()), len(found.named())
    (10, 2)
    """
    look = eye(model, [layer])
    quantiles: Quantiles | None = None
    loads: dict[str, int] = {}
    steps = 2 * len(scans)
    with progress(f"dissection of {layer}", steps) as update:
        for scan in scans:
            found = look(scan)[layer]
            quantiles = quantiles or Quantiles(found.full.shape[2])
            values = found.maps[found.counted(scan.valid)]
            quantiles.add(-values if falling else values)
            lesion = 0 if scan.mask is None else int(np.count_nonzero(scan.mask))
            loads[scan.source.subject_id] = loads.get(scan.source.subject_id, 0) + lesion
            update(1)
        if quantiles is None or not quantiles.counts.any():
            raise ConfigError(f"There is no scan with valid pixels to dissect {layer} with.")
        thresholds = np.stack([quantiles.above(share) for share in TOP_SHARES])
        if falling:
            thresholds = -thresholds
        tally = Overlaps(thresholds, loads, rounds, falling)
        for position, scan in enumerate(scans):
            tally.add(scan, look(scan)[layer], Concepts(scan, [seed, position]))
            update(1)
    if not tally.names:
        raise ConfigError(
            "The scans have neither masks nor a retina with contrast, so that there is nothing to name."
        )
    half = np.array([tally.half[subject] for subject in tally.subjects])
    return Dissection(
        layer, tuple(tally.names), tally.subjects, falling, thresholds, half=half, **tally.counts
    )
