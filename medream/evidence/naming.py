"""What does a network look for in an object? Ways to name the cue, on any network and scans.

The scans have candidates: objects that the network might take for lesions, marked by the user, of which it
accepts some. `edit_objects` makes each candidate darker and lighter, larger and smaller, and so on, within
the range that candidates have; `respond` asks the network what it says of them. `along_edits` follows the
gradient instead, `associate` looks only at which candidates the network accepts, and
`object_dreams.dream_objects` lets dreams change them. All speak of the same gauges
(`edits.GAUGES`), so that they can be compared. A cue outside of that list is not found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd
from scipy import stats

from medream.errors import ConfigError
from medream.evidence.attribution import Score
from medream.evidence.edits import EDITS, GAUGES, Scene, open_scene
from medream.evidence.retina import retina_bounds
from medream.scan import Scan
from medream.segmentation import predict
from medream.statistics import bootstrap_interval, holm, paired_test

QUANTILES = (0.1, 0.9)


@dataclass(frozen=True, eq=False)
class Edits:
    """Candidates of some scans, and what became of them under every edit.

    Parameters
    ----------
    scenes : list of Scene
    subjects : list of str
        Whose scan each candidate lies in.
    spread : dict of str to float
        Standard deviation of each feature between the candidates.
    done : dict
        For each edit and candidate, by (edit, number): two (image, region), with the gauge low and
        high, or None where the object would have left the retina.
    """

    scenes: list[Scene]
    subjects: list[str]
    spread: dict[str, float]
    done: dict[tuple[str, int], tuple[tuple[np.ndarray, np.ndarray], ...] | None]


def edit_objects(
    scans: Sequence[Scan],
    candidates: Sequence[np.ndarray],
    quantiles: tuple[float, float] = QUANTILES,
) -> Edits:
    """Edit every candidate in every way, to the low and to the high end of what candidates are.

    Parameters
    ----------
    scans : sequence of Scan
    candidates : sequence of int arrays (depth, width)
        For each scan 0, or the number of a candidate.
    quantiles : (low, high)
        Of each gauge over all candidates. Default 0.1 and 0.9.

    Returns
    -------
    Edits
        The same for all networks.

    Raises
    ------
    ConfigError
        With fewer than two candidates, or candidates of another size than their scan.
    """
    scenes, subjects = [], []
    for scan, numbers in zip(scans, candidates, strict=True):
        if np.shape(numbers) != scan.shape:
            raise ConfigError(
                f"{scan.source.name}: candidates have shape {np.shape(numbers)}, the scan {scan.shape}."
            )
        retina = retina_bounds(scan.image, scan.valid)
        for number in np.unique(numbers[numbers > 0]):
            region = numbers == number
            scenes.append(open_scene(scan.image, region, (numbers > 0) & ~region, retina))
            subjects.append(scan.source.subject_id)
    if len(scenes) < 2:
        raise ConfigError(
            f"Found {len(scenes)} candidates; expected at least 2, better 20 or more."
        )
    measured = pd.DataFrame([scene.features for scene in scenes])
    done: dict[tuple[str, int], Any] = {}
    for name, edit in EDITS.items():
        wanted = measured[GAUGES[name]].quantile(list(quantiles))
        for k, scene in enumerate(scenes):
            both = [edit(scene, float(value)) for value in wanted]
            done[name, k] = None if any(each is None for each in both) else tuple(both)
    return Edits(scenes, subjects, {str(k): float(v) for k, v in measured.std().items()}, done)


def score_of(model: keras.Model, image: np.ndarray, region: np.ndarray, index: int = 1) -> float:
    """Return the share of a region that a network gives a class: its mean probability, 0 to 1."""
    said = predict(model, image)
    here = said[..., 0] if said.shape[-1] == 1 else said[..., index]
    return float(here[region].mean())


def respond(model: keras.Model, edits: Edits, index: int = 1) -> pd.DataFrame:
    """Ask a network what it says of each edited candidate.

    Returns
    -------
    DataFrame
        One row per edit and candidate: `subject`, `object`, `cue`, `low`, `high` (mean probability in the
        object with the gauge low and high) and `effect`, high less low, from -1 to 1. Where the object
        could not be edited there is no row.
    """
    rows = []
    for (cue, k), both in edits.done.items():
        if both is None:
            continue
        low, high = (score_of(model, image, region, index) for image, region in both)
        rows.append(
            {"subject": edits.subjects[k], "object": k, "cue": cue, "low": low, "high": high,
             "effect": high - low}
        )  # fmt: skip
    return pd.DataFrame(rows)


def along_edits(model: keras.Model, edits: Edits, index: int = 1) -> pd.DataFrame:
    """Follow the gradient of a candidate's score along each edit, without asking for the edited image.

    Returns
    -------
    DataFrame
        `subject`, `object`, `cue`, and `effect`: change of the mean logit in the candidate to first order.
    """
    rows = []
    for k, scene in enumerate(edits.scenes):
        gradient = Score(model, scene.region, index).gradient(scene.image)[0]
        for cue in EDITS:
            both = edits.done[cue, k]
            if both is not None:
                change = both[1][0] - both[0][0]
                rows.append(
                    {"subject": edits.subjects[k], "object": k, "cue": cue,
                     "effect": float((gradient * change).sum() / scene.region.sum())}
                )  # fmt: skip
    return pd.DataFrame(rows)


def associate(model: keras.Model, edits: Edits, index: int = 1) -> pd.DataFrame:
    """Compare the candidates that a network accepts with those that it rejects, and change nothing.

    The plainest way, which needs no gradient. It tells what goes along with the network's decisions, not
    what makes them: where two cues go along with one another, it cannot say which it is.

    Returns
    -------
    DataFrame
        One row per cue: `effect`, 2 AUC - 1 of the gauge for accepted against rejected candidates, and
        `p` of a Mann-Whitney test, Holm corrected.
    """
    accepted = np.array(
        [score_of(model, scene.image, scene.region, index) >= 0.5 for scene in edits.scenes]
    )
    rows = []
    for cue, gauge in GAUGES.items():
        values = np.array([scene.features[gauge] for scene in edits.scenes])
        one, other = values[accepted], values[~accepted]
        if min(len(one), len(other)) < 2:
            rows.append({"cue": cue, "effect": np.nan, "p": np.nan})
            continue
        found = stats.mannwhitneyu(one, other)
        auc = found.statistic / (len(one) * len(other))
        rows.append({"cue": cue, "effect": 2 * auc - 1, "p": found.pvalue})
    table = pd.DataFrame(rows)
    table["p"] = holm(table["p"].tolist())
    return table


def effects(table: pd.DataFrame, resamples: int = 999) -> pd.DataFrame:
    """Return the mean effect of each cue over subjects, with interval and corrected p.

    Parameters
    ----------
    table : DataFrame
        Of `respond`, `along_edits` or `dream_objects`.
    resamples : int

    Returns
    -------
    DataFrame
        `cue`, `effect`, `low`, `high`, `consistency` (mean / standard deviation over subjects), `p` (exact
        signed-rank test over subjects, Holm corrected; NaN with too few), `subjects`.
    """
    rows = []
    cues = table["cue"].unique()
    for cue in cues:
        each = table[table.cue == cue].dropna(subset="effect").groupby("subject")["effect"].mean()
        interval = bootstrap_interval(each.to_numpy(), resamples=resamples)
        spread = each.std()
        rows.append(
            {"cue": cue, "effect": interval.estimate, "low": interval.low, "high": interval.high,
             "consistency": each.mean() / spread if spread > 0 else 0.0,
             "p": paired_test(each.to_numpy(), comparisons=len(cues)).p_value, "subjects": len(each)}
        )  # fmt: skip
    found = pd.DataFrame(rows)
    found["p"] = holm(found["p"].tolist())
    return found


def name_cue(
    found: pd.DataFrame, by: str = "effect", alpha: float = 0.05, least: float = 0.1
) -> str | None:
    """Return the cue of the largest effect, or None where it is not significant or not large enough.

    A smaller effect is never named in its place, however sure it is.

    Parameters
    ----------
    found : DataFrame
        Of `effects` or `associate`.
    by : {"effect", "consistency"}
        What is compared between cues. The effects of `respond` share one unit, the network's own
        probability; gradients and dreams have none, and are better compared by their consistency.
    alpha : float
        For the corrected p. Default 0.05.
    least : float
        Of what is compared. Default 0.1; networks of re-drawn weights stay below it.

    Examples
    --------
    >>> found = pd.DataFrame({"cue": ["size", "depth"], "effect": [-0.6, 0.1], "p": [0.01, 0.03]})
    >>> name_cue(found), name_cue(found, least=0.8)
    ('size', None)
    """
    known = found.dropna(subset=by)
    if known.empty:
        return None
    first = known.iloc[int(np.argmax(known[by].abs()))]
    return str(first["cue"]) if first["p"] < alpha and abs(first[by]) >= least else None
