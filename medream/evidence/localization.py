"""Where a map puts its energy, against where the lesion is and against chance.

A map is any array (depth, width) that is not negative: the magnitude of a dream's delta, an
activation map, an attribution. Chance is the same lesion somewhere else in the same retina.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import ndimage

from medream.errors import ConfigError

MEASURES = ("relevance_mass", "relevance_rank", "pointing")
DISTANCES_UM = (-np.inf, -100.0, -50.0, -25.0, 0.0, 25.0, 50.0, 100.0, 200.0, 400.0, np.inf)
"""Edges of the bins of `energy_by_distance`; negative is inside of the lesion."""


def _checked(energy: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    energy, mask = np.asarray(energy, np.float64), np.asarray(mask, bool)
    if energy.shape != mask.shape or energy.ndim != 2:
        raise ConfigError(
            f"The map has shape {energy.shape} and the mask {mask.shape}; expected one (depth, width)."
        )
    if not np.isfinite(energy).all() or (energy < 0).any():
        raise ConfigError(
            "A map of energy holds values that are negative or no numbers; take its magnitude."
        )
    return energy, mask


def relevance_mass(energy: np.ndarray, mask: np.ndarray) -> float:
    """Return the share of a map's energy that lies in a mask.

    Reference: Arras, Osman, Samek, Information Fusion 2022, doi:10.1016/j.inffus.2021.11.008.

    Parameters
    ----------
    energy : float array (depth, width), not negative
    mask : bool array (depth, width)

    Returns
    -------
    float in [0, 1]
        NaN when the map or the mask is empty.

    Examples
    --------
    >>> relevance_mass(np.array([[1.0, 3.0]]), np.array([[False, True]]))
    0.75
    """
    energy, mask = _checked(energy, mask)
    total = energy.sum()
    return float(energy[mask].sum() / total) if total > 0 and mask.any() else float("nan")


def relevance_rank(energy: np.ndarray, mask: np.ndarray) -> float:
    """Return how many of the K largest values lie in a mask of K pixels, as a share of K.

    Pixels of equal value share the places that are left. Parameters, reference and empty cases
    as for `relevance_mass`.

    Examples
    --------
    >>> relevance_rank(np.array([[4.0, 1.0, 3.0, 0.0]]), np.array([[True, True, False, False]]))
    0.5
    """
    energy, mask = _checked(energy, mask)
    wanted = int(mask.sum())
    if not wanted or not energy.any():
        return float("nan")
    limit = np.partition(energy.ravel(), -wanted)[-wanted]
    above, level = energy > limit, energy == limit
    places = wanted - int(above.sum())
    return float((above & mask).sum() + places * (level & mask).sum() / level.sum()) / wanted


def pointing(
    energy: np.ndarray,
    mask: np.ndarray,
    tolerance_um: float = 0.0,
    spacing_mm: tuple[float, float] | None = None,
) -> float:
    """Play the pointing game: 1 when the map's maximum lies in the mask, or near enough, else 0.

    Of several equal maxima the share that hits counts. Reference: Zhang et al., IJCV 2018,
    doi:10.1007/s11263-017-1059-x.

    Parameters
    ----------
    energy, mask
        As for `relevance_mass`.
    tolerance_um : float
        Distance from the mask that still counts. Default 0.
    spacing_mm : (axial, lateral), needed with a tolerance

    Examples
    --------
    >>> pointing(np.array([[0.0, 2.0, 1.0]]), np.array([[False, False, True]]))
    0.0
    """
    energy, mask = _checked(energy, mask)
    if not mask.any() or not energy.any():
        return float("nan")
    if tolerance_um:
        if spacing_mm is None:
            raise ConfigError("A tolerance in micrometres needs the scan's spacing.")
        mask = ndimage.distance_transform_edt(~mask, sampling=spacing_mm) <= tolerance_um / 1000
    return float(mask[energy == energy.max()].mean())


def energy_by_distance(
    energy: np.ndarray,
    mask: np.ndarray,
    spacing_mm: tuple[float, float],
    edges_um: Sequence[float] = DISTANCES_UM,
    within: np.ndarray | None = None,
) -> pd.DataFrame:
    """Return a map's energy by distance from the lesion's border.

    Parameters
    ----------
    energy, mask
        As for `relevance_mass`.
    spacing_mm : (axial, lateral)
    edges_um : sequence of float
        Edges of the bins in micrometres; negative distances lie inside of the lesion.
    within : bool array (depth, width), optional
        Pixels that count; all by default.

    Returns
    -------
    DataFrame
        One row per bin: `from_um`, `to_um`, `pixels`, `share` of the energy, `density`: the share of
        the energy over the share of the pixels, 1 for a map that is even.

    Examples
    --------
    >>> mask = np.zeros((9, 9), bool); mask[3:6, 3:6] = True
    >>> energy_by_distance(mask * 1.0, mask, (0.1, 0.1), (-np.inf, 0, np.inf)).share.tolist()
    [1.0, 0.0]
    """
    energy, mask = _checked(energy, mask)
    if not mask.any():
        raise ConfigError("There is no lesion to measure a distance from.")
    # From a pixel's centre to the border, which lies half a pixel before the other side's centres.
    half = min(spacing_mm) / 2
    outside = ndimage.distance_transform_edt(~mask, sampling=spacing_mm) - half
    inside = ndimage.distance_transform_edt(mask, sampling=spacing_mm) - half
    distance = np.where(mask, -inside, outside) * 1000.0
    counted = np.ones_like(mask) if within is None else np.asarray(within, bool)
    rows = []
    total, pixels = energy[counted].sum(), counted.sum()
    for low, high in pairwise(edges_um):
        here = counted & (distance >= low) & (distance < high)
        share = energy[here].sum() / total if total else float("nan")
        part = here.sum() / pixels if pixels else float("nan")
        rows.append(
            {
                "from_um": low,
                "to_um": high,
                "pixels": int(here.sum()),
                "share": float(share),
                "density": float(share / part) if part else float("nan"),
            }
        )
    return pd.DataFrame(rows)


def energy_by_zone(energy: np.ndarray, zones: np.ndarray, names: Mapping[int, str]) -> pd.DataFrame:
    """Return a map's energy by retinal zone.

    Parameters
    ----------
    energy : float array (depth, width), not negative
    zones : int array (depth, width)
        Number of the zone of each pixel; numbers without a name do not count.
    names : {number: name}, such as {1: "RNFL", 2: "GCL"}

    Returns
    -------
    DataFrame
        `zone`, `pixels`, `share`, `density` as for `energy_by_distance`.

    Examples
    --------
    >>> energy_by_zone(np.array([[1.0, 3.0]]), np.array([[1, 2]]), {1: "INL", 2: "ONL"}).share.tolist()
    [0.25, 0.75]
    """
    energy, known = _checked(energy, np.isin(zones, list(names)))
    total, pixels = energy[known].sum(), known.sum()
    rows = []
    for number, name in names.items():
        here = zones == number
        share = float(energy[here].sum() / total) if total else float("nan")
        part = here.sum() / pixels if pixels else 0.0
        rows.append(
            {
                "zone": name,
                "pixels": int(here.sum()),
                "share": share,
                "density": share / part if part else float("nan"),
            }
        )
    return pd.DataFrame(rows)


class Shifts:
    """Toroidal shifts of masks within the retina.

    The retina is cut out column by column, from its inner to its outer border, so that a lesion moves
    along the layers and keeps the depth that it has within the retina, changed by the same share
    for all of it. What leaves on one side comes in on the other. Every shifted mask has about
    the lesion's area (the retina's thickness varies) and lies within the retina.

    Parameters
    ----------
    inner, outer : float arrays (width,)
        The retina's borders, as `retina_bounds` estimates them.
    depth : int
        Rows of the image.
    """

    def __init__(self, inner: np.ndarray, outer: np.ndarray, depth: int) -> None:
        self.inner, self.thickness = np.asarray(inner), np.asarray(outer) - np.asarray(inner)
        rows = np.arange(depth)[:, None]
        self.place = (rows - self.inner) / self.thickness  # 0 at the inner border, 1 at the outer
        self.retina = (self.place >= 0) & (self.place < 1)

    def shift(self, mask: np.ndarray, lateral: int, axial: float) -> np.ndarray:
        """Return a mask moved by columns and by a share of the retina's thickness.

        >>> shifts = Shifts(np.zeros(4), np.full(4, 2.0), 2)
        >>> shifts.shift(np.eye(2, 4, dtype=bool), 1, 0.0).astype(int).tolist()
        [[0, 1, 0, 0], [0, 0, 1, 0]]
        """
        width = mask.shape[1]
        columns = (np.arange(width) - lateral) % width
        place = (self.place - axial) % 1.0
        rows = np.floor(self.inner[columns] + place * self.thickness[columns] + 1e-9).astype(int)
        moved = mask[np.clip(rows, 0, len(mask) - 1), columns[None, :]]
        return moved & self.retina


def chance(
    energy: np.ndarray,
    mask: np.ndarray,
    shifts: Shifts,
    count: int = 999,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Measure a map against a lesion and against the same lesion elsewhere in the retina.

    Energy outside of the retina is left out, and so is the lesion's part there: the question is
    where within the retina, and a map that merely finds the retina gains nothing.

    Parameters
    ----------
    energy, mask
        As for `relevance_mass`.
    shifts : Shifts
        Of the scan's retina.
    count : int
        Random shifts; their lateral part is at least a twentieth of the width.
    seed : int

    Returns
    -------
    dict of str to float array (count + 1,)
        For each of `MEASURES`, first the true place and then the shifted ones.

    Examples
    --------
    >>> energy = np.zeros((8, 40)); energy[3, 20] = 1.0
    >>> found = chance(energy, energy > 0, Shifts(np.zeros(40), np.full(40, 8.0), 8), count=9)
    >>> float(found["relevance_mass"][0]), bool(found["relevance_mass"][1:].max() < 1)
    (1.0, True)
    """
    energy, mask = _checked(energy, mask)
    energy, mask = energy * shifts.retina, mask & shifts.retina
    rng = np.random.default_rng(seed)
    width = mask.shape[1]
    least = max(1, width // 20)
    laterals = rng.integers(least, max(width - least, least) + 1, count)
    axials = rng.random(count)
    found = np.empty((len(MEASURES), count + 1))
    for k in range(count + 1):
        here = shifts.shift(mask, int(laterals[k - 1]), float(axials[k - 1])) if k else mask
        found[:, k] = (
            relevance_mass(energy, here),
            relevance_rank(energy, here),
            pointing(energy, here),
        )
    return dict(zip(MEASURES, found, strict=True))


def against_chance(
    measured: Sequence[Mapping[str, np.ndarray]], subjects: Sequence[str]
) -> pd.DataFrame:
    """Test over subjects whether a measure is larger at the lesions than elsewhere.

    Each subject's scans are averaged, then the subjects, for the true places and for every round of
    shifts; p is the share of rounds that are at least as large (one-sided, Phipson and Smyth 2010,
    doi:10.2202/1544-6115.1585). It says whether these scans could come from chance; whether other people's
    would is said by an interval over subjects, of `enrichment_by_subject`.

    Parameters
    ----------
    measured : sequence of dict
        Results of `chance`, one per scan, all with the same count.
    subjects : sequence of str
        Whose scan each is.

    Returns
    -------
    DataFrame
        One row per measure: `value`, `chance` (mean of the shifted), `enrichment` (their ratio), `p`,
        `subjects`, `scans`.

    Raises
    ------
    ConfigError
        When there is no scan.
    """
    if not measured:
        raise ConfigError("There is no scan with a lesion to compare with chance.")
    rows = []
    for name in MEASURES:
        rounds = np.array([_filled(each[name]) for each in measured])
        keep = np.isfinite(rounds[:, 0])
        if not keep.any():
            continue
        means = _by_subject(rounds[keep], [s for s, k in zip(subjects, keep, strict=True) if k])
        average = means.mean(axis=0)
        expected = average[1:].mean()
        rows.append(
            {
                "measure": name,
                "value": average[0],
                "chance": expected,
                "enrichment": average[0] / expected if expected else float("nan"),
                "p": (1 + (average[1:] >= average[0] - 1e-12).sum()) / len(average),
                "subjects": len(means),
                "scans": int(keep.sum()),
            }
        )
    return pd.DataFrame(rows)


def enrichment_by_subject(
    measured: Sequence[Mapping[str, np.ndarray]], subjects: Sequence[str], measure: str
) -> dict[str, float]:
    """Return, for each subject, how many times chance a measure is: the values to be resampled."""
    rounds = np.array([_filled(each[measure]) for each in measured])
    keep = np.isfinite(rounds[:, 0])
    kept = [s for s, k in zip(subjects, keep, strict=True) if k]
    means = _by_subject(rounds[keep], kept)
    return {
        subject: float(row[0] / row[1:].mean()) if row[1:].mean() > 0 else float("nan")
        for subject, row in zip(dict.fromkeys(kept), means, strict=True)
    }


def _filled(rounds: np.ndarray) -> np.ndarray:
    """Give a shift that left no lesion in the retina the mean of the others."""
    rounds = np.asarray(rounds, np.float64)
    lost = ~np.isfinite(rounds)
    if lost[0] or not lost.any():
        return rounds
    return np.where(lost, np.nanmean(rounds[1:]) if not lost[1:].all() else np.nan, rounds)


def _by_subject(rounds: np.ndarray, subjects: Sequence[str]) -> np.ndarray:
    names = list(dict.fromkeys(subjects))
    who = np.array([names.index(s) for s in subjects])
    return np.array([rounds[who == k].mean(axis=0) for k in range(len(names))])
