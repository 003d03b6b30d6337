"""The units of a layer over a data set: their statistics, which are dead, which are copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd

from medream.errors import ConfigError
from medream.evidence.activations import eye
from medream.evidence.subjects import who
from medream.progress import progress
from medream.scan import Scan


@dataclass(frozen=True, eq=False)
class Survey:
    """A layer's units over all valid positions of a data set; large scans weigh more.

    Parameters
    ----------
    layer : str
    positions : int
    mean, low, high, square, zeros : float arrays (units,)
        Mean, least and largest value, mean square, share of exact zeros.
    covariance : float array (units, units)
        Of the units' values over positions.
    peaks : DataFrame
        `subject`, `scan`, `position` in the data set and the largest value of each unit there.
    """

    layer: str
    positions: int
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    square: np.ndarray
    zeros: np.ndarray
    covariance: np.ndarray
    peaks: pd.DataFrame

    def dead(self, eps: float = 1e-6) -> np.ndarray:
        """Return the units that never rise above their least value, which for a ReLU is 0.

        Parameters
        ----------
        eps : float
            As a share of the largest range that a unit of the layer has.

        Returns
        -------
        int array
            Dead on these scans. Others may wake a unit, and training may have used it on its way.
        """
        spread = self.high - self.low
        return np.flatnonzero(spread <= eps * max(float(spread.max()), np.finfo(float).tiny))

    def duplicates(self, least: float = 0.99) -> pd.DataFrame:
        """Return pairs of units whose maps are the same but for scale and sign.

        Parameters
        ----------
        least : float
            Of the correlation's magnitude.

        Returns
        -------
        DataFrame
            `first`, `second`, `correlation`, the most alike first. Alike on these scans: the network may
            still read them with different weights, and what lies behind them may need both.
        """
        deviation = np.sqrt(np.diag(self.covariance).clip(0))
        alive = deviation > 0
        alive[self.dead()] = False
        scale = np.where(alive, deviation, np.inf)
        correlation = np.triu(self.covariance / np.outer(scale, scale), 1)
        first, second = np.nonzero(np.abs(correlation) > least)
        table = pd.DataFrame(
            {"first": first, "second": second, "correlation": correlation[first, second]}
        )
        order = table.correlation.abs().sort_values(ascending=False, kind="stable").index
        return table.loc[order].reset_index(drop=True)

    @property
    def participation_ratio(self) -> float:
        """Number of directions that share the variance: 1 to the number of units; NaN without variance.

        (sum of eigenvalues)² / sum of their squares of the covariance. Says how many directions are
        used, not how many are useful: noise fills directions, too.
        """
        total = np.square(self.covariance).sum()
        return float(np.trace(self.covariance) ** 2 / total) if total > 0 else float("nan")

    def table(self, eps: float = 1e-6) -> pd.DataFrame:
        """Return one row per unit: `unit`, `mean`, `std`, `min`, `max`, `zeros`, `energy`, `dead`."""
        return pd.DataFrame(
            {
                "unit": np.arange(len(self.mean)),
                "mean": self.mean,
                "std": np.sqrt(np.diag(self.covariance).clip(0)),
                "min": self.low,
                "max": self.high,
                "zeros": self.zeros,
                "energy": self.square,
                "dead": np.isin(np.arange(len(self.mean)), self.dead(eps)),
            }
        )

    def top_scans(self, unit: int, count: int = 5) -> pd.DataFrame:
        """Return the scans on which a unit is largest: `subject`, `scan`, `position`, `peak`."""
        found = self.peaks[["subject", "scan", "position"]].assign(peak=self.peaks[unit])
        return found.nlargest(count, "peak").reset_index(drop=True)


def survey(model: keras.Model, layer: str, scans: Sequence[Scan]) -> Survey:
    """Gather the statistics of a layer's units over a data set, one scan at a time.

    Means and covariances are merged scan by scan (Chan, Golub and LeVeque 1983,
    doi:10.1080/00031305.1983.10483115), so that memory holds one scan and one matrix (units, units).

    Parameters
    ----------
    model : keras.Model
    layer : str
    scans : sequence of Scan
        Masks are not needed.

    Returns
    -------
    Survey
        Describes units on these scans. It says neither what a unit detects (`dissect`) nor whether the
        network needs it (`ablation_test`).

    Raises
    ------
    LayerError
        When there is no such layer, or it gives no map.
    ConfigError
        When there is no scan with a valid pixel.

    Examples
    --------
    >>> import medream as md
    >>> model = md.build_unet(md.UNetConfig(levels=1, base_filters=2))
    >>> found = survey(model, "enc1_conv1", md.phantom_scans(2, size=(32, 32)))
    >>> found.table().shape, len(found.top_scans(0))
    ((2, 8), 2)
    """
    look = eye(model, [layer])
    total = None
    places, peaks = [], []
    with progress(f"survey of {layer}", len(scans)) as update:
        for position, scan in enumerate(scans):
            found = look(scan)[layer]
            values = found.maps[found.counted(scan.valid)].astype(np.float64)
            update(1)
            if len(values):
                part = _moments(values)
                total = part if total is None else _merged(total, part)
                places.append({**who(scan), "position": position})
                peaks.append(part["high"])
    if total is None:
        raise ConfigError(f"There is no scan with valid pixels to look at {layer} with.")
    count = int(total["count"])
    return Survey(
        layer, count, total["mean"], total["low"], total["high"], total["square"] / count,
        total["zeros"] / count, total["product"] / count,
        pd.concat([pd.DataFrame(places), pd.DataFrame(peaks)], axis=1),
    )  # fmt: skip


def _moments(values: np.ndarray) -> dict[str, np.ndarray]:
    mean = values.mean(axis=0)
    centred = values - mean
    return {
        "count": np.array(len(values)),
        "mean": mean,
        "low": values.min(axis=0),
        "high": values.max(axis=0),
        "square": np.square(values).sum(axis=0),
        "zeros": (values == 0).sum(axis=0),
        "product": centred.T @ centred,
    }


def _merged(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    count = a["count"] + b["count"]
    apart = b["mean"] - a["mean"]
    return {
        "count": count,
        "mean": a["mean"] + apart * (b["count"] / count),
        "low": np.minimum(a["low"], b["low"]),
        "high": np.maximum(a["high"], b["high"]),
        "square": a["square"] + b["square"],
        "zeros": a["zeros"] + b["zeros"],
        "product": a["product"]
        + b["product"]
        + np.outer(apart, apart) * (a["count"] * b["count"] / count),
    }
