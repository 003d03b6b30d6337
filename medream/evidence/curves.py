"""Feature curves: what grows where a network is made to see a lesion that is not there.

The output of a class is ascended from a lesion-free region of a scan, or from noise, and features that
readers of scans have words for are measured along the way, as Couteaux et al. 2019 do (iMIMIC,
doi:10.1007/978-3-030-33850-3_7). A feature that moves is one that the network answers to in this
way, beside the same ascent on a network of re-drawn weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
from scipy import ndimage

from medream.dream import class_score, dream
from medream.errors import ConfigError, ScanError
from medream.evidence.features import measure
from medream.evidence.redrawn import Redrawn
from medream.evidence.retina import retina_bounds
from medream.progress import progress
from medream.scan import Scan
from medream.segmentation import segment
from medream.statistics import bootstrap_interval

STARTS = ("scan", "noise")


def lesion_free_region(
    image: np.ndarray, avoid: np.ndarray, size: tuple[int, int] = (24, 24), seed: int = 0
) -> np.ndarray:
    """Choose an elliptical region within the retina that touches no lesion.

    Parameters
    ----------
    image : float array (depth, width) in [0, 1]
    avoid : bool array (depth, width)
        Lesions of the reference and of the prediction, and what is not valid.
    size : (depth, width)
        Of the ellipse, in pixels. Default 24 x 24.
    seed : int
        Which of the places is taken.

    Returns
    -------
    bool array (depth, width)

    Raises
    ------
    ScanError
        When no such region fits.

    Examples
    --------
    >>> image = np.zeros((64, 40), "float32"); image[20:44] = 0.4; image[38:44] = 0.9
    >>> region = lesion_free_region(image, np.zeros((64, 40), bool), (9, 9))
    >>> int(region.sum()), bool(region[:18].any())
    (69, False)
    """
    inner, outer = retina_bounds(image)
    rows = np.arange(len(image))[:, None]
    free = (rows >= inner) & (rows < outer) & ~np.asarray(avoid, bool)
    y, x = (np.arange(n) - (n - 1) / 2 for n in size)
    shape = (y[:, None] / (size[0] / 2)) ** 2 + (x / (size[1] / 2)) ** 2 <= 1
    places = np.argwhere(ndimage.binary_erosion(free, shape))
    if not len(places):
        raise ScanError(
            f"No region of {size[0]} x {size[1]} pixels within the retina is free of lesions in this "
            "scan. Ask for a smaller one, or take another scan."
        )
    middle = np.zeros(image.shape, bool)
    middle[tuple(places[np.random.default_rng(seed).integers(len(places))])] = True
    return ndimage.binary_dilation(middle, shape)


def feature_curves(
    model: keras.Model,
    scans: Sequence[Scan],
    index: int = 1,
    starts: Sequence[str] = ("scan",),
    seeds: Sequence[int] = (0, 1, 2),
    size: tuple[int, int] = (24, 24),
    control: bool = True,
    steps: int = 60,
    every: int = 10,
    on_skip: Callable[[Scan, ScanError], None] | None = None,
    **settings: Any,
) -> pd.DataFrame:
    """Ascend a class and measure what grows.

    Parameters
    ----------
    model : keras.Model
        A segmentation network.
    scans : sequence of Scan
    index : int
        Class to be ascended. Default 1.
    starts : sequence of {"scan", "noise"}
        From a lesion-free region of each scan, or from noise of the scan's mean and spread. Default
        the scan.
    seeds : sequence of int
        Each chooses a region, draws the noise and the control's weights. Default three.
    size : (depth, width)
        Of the region, in pixels. Nothing further than half of it from the region changes.
    control : bool
        Whether a network of re-drawn weights is ascended, too. Default True.
    steps, every : int
        Steps of the ascent, and how many lie between two measurements. Default 60 and 10.
    on_skip : callable, optional
        Called with a scan that has no place for a region, and why, for every seed; the scan is then left
        out. Default: the error is raised.
    **settings
        Further fields of `DreamConfig`.

    Returns
    -------
    DataFrame
        One row for each `scan`, `subject`, `start`, `seed`, `network` ("trained", "control"), `region`,
        `step` and `feature`, with its `value`. Region "fixed" is the one that was ascended, "predicted"
        what the network itself calls lesion in it and around; the latter has no value but for its
        area as long as nothing is predicted.

    Raises
    ------
    ScanError
        When a scan has no place for a region.
    ConfigError
        When a start is unknown or a setting is refused.
    """
    unknown = [start for start in starts if start not in STARTS]
    if unknown:
        raise ConfigError(f"A curve starts from {' or '.join(STARTS)}, not from {unknown[0]!r}.")
    rows: list[dict[str, Any]] = []
    with progress("feature curves", len(seeds) * len(scans)) as update:
        for seed in seeds:
            networks = {"trained": model}
            if control:
                networks["control"] = Redrawn(model).draw(seed)
            for scan in scans:
                try:
                    rows += _rows(networks, scan, index, starts, seed, size, steps, every, settings)
                except ScanError as error:
                    if on_skip is None:
                        raise
                    on_skip(scan, error)
                update(1)
    return pd.DataFrame(rows)


def _rows(
    networks: Mapping[str, keras.Model], scan: Scan, index: int, starts: Sequence[str], seed: int,
    size: tuple[int, int], steps: int, every: int, settings: Mapping[str, Any],
) -> list[dict[str, Any]]:  # fmt: skip
    """Ascend the class in one scan on all networks."""
    rows: list[dict[str, Any]] = []
    predicted = segment(networks["trained"], scan).mask > 0
    avoid = predicted if scan.mask is None else predicted | (scan.mask > 0)
    if scan.valid is not None:
        avoid |= ~scan.valid
    region = lesion_free_region(scan.image, avoid, size, seed)
    reach = max(1, max(size) // 2)
    near = ndimage.binary_dilation(region, iterations=reach) & ~avoid
    for start in starts:
        begun, retina = _start(scan, start, seed)
        told = {
            "scan": scan.source.name, "subject": scan.source.subject_id, "start": start,
            "seed": seed,
        }  # fmt: skip
        for name, network in networks.items():
            result = dream(
                network, begun, class_score(index, region), region=near, octaves=None,
                control=False, steps=steps, every=every, seed=seed, **settings,
            )  # fmt: skip
            assert result.frames is not None
            assert result.frame_steps is not None
            for step, frame in zip(result.frame_steps, result.frames, strict=True):
                said = (segment(network, frame).mask == index) & near
                for kind, where in (("fixed", region), ("predicted", said)):
                    found = measure(frame, where, scan.spacing_mm, retina)
                    rows += [
                        {**told, "network": name, "region": kind, "step": int(step),
                         "feature": feature, "value": value}
                        for feature, value in found.items()
                    ]  # fmt: skip
    return rows


def _start(scan: Scan, start: str, seed: int) -> tuple[np.ndarray, Any]:
    """Return the image that is ascended, and the retina's borders in it."""
    if start == "scan":
        return scan.image, retina_bounds(scan.image, scan.valid)
    noise = np.random.default_rng(seed).standard_normal(scan.shape)
    image = scan.image.mean() + scan.image.std() * noise
    return np.clip(image, 0, 1).astype(np.float32), None


def curves(table: pd.DataFrame, over: str = "subject", resamples: int = 999) -> pd.DataFrame:
    """Return the mean curve of each feature with its interval.

    Parameters
    ----------
    table : DataFrame
        Of `feature_curves`.
    over : {"subject", "seed", "scan"}
        What is resampled. Default the subject; over seeds, an interval says nothing of other people.
    resamples : int

    Returns
    -------
    DataFrame
        `network`, `region`, `feature`, `step`, `mean`, `low`, `high`, and `n`, the count of subjects (or
        seeds, or scans) that have a value at that step.
    """
    rows = []
    keys = ["network", "region", "feature", "step"]
    for key, part in table.dropna(subset="value").groupby(keys, sort=False):
        each = part.groupby(over)["value"].mean()
        found = bootstrap_interval(each.to_numpy(), resamples=resamples)
        rows.append(
            dict(zip(keys, key, strict=True))
            | {"mean": found.estimate, "low": found.low, "high": found.high, "n": found.subjects}
        )
    return pd.DataFrame(rows, columns=[*keys, "mean", "low", "high", "n"])
