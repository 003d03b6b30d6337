"""Statistics of paired scores: people are resampled and tested, never B-scans.

Intervals are bootstrap intervals over subjects; tests are exact signed-rank tests. Where the data are
too few for either, the result says so instead of a number.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from medream.errors import ConfigError

CONFIDENCE = 0.95
RESAMPLES = 9999
_BATCH = 10_000_000  # numbers in memory at a time
# Scores are means of ratios: what differs by less is a rounding error and no difference.
_SAME = 1e-12


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval.

    Parameters
    ----------
    estimate, low, high : float
        NaN where undefined.
    method : str
        "BCa", "percentile", "signed ranks", or "none" when no interval can be given.
    subjects : int
        People that it rests on.
    confidence : float
    note : str
        Why the method is not the usual one; empty otherwise.
    """

    estimate: float
    low: float
    high: float
    method: str
    subjects: int
    confidence: float = CONFIDENCE
    note: str = ""


def bootstrap_interval(
    values_by_subject: Mapping[str, Any] | Sequence[Any] | np.ndarray,
    statistic: Callable[[np.ndarray], float] = np.mean,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return a statistic with an interval that resamples subjects.

    A subject is drawn with all of its rows (cluster bootstrap), so that B-scans of one person are not
    taken for independent. The interval is bias-corrected and accelerated (BCa). Where that is undefined
    (no spread between subjects, or a statistic that is NaN for some resamples), it is the percentile
    interval of the resamples that have a value, and `note` says so. From fewer than about ten subjects
    bootstrap intervals tend to be too narrow.

    Parameters
    ----------
    values_by_subject : mapping or sequence, one entry a subject
        A number, or an array whose rows are that subject's scans or counts.
    statistic : callable
        Of the concatenated entries, (rows, ...) to a number. Default: the mean. One with a parameter
        `axis`, as NumPy's have it, is called for many resamples at once where every subject has one row.
    confidence : float in (0, 1)
    resamples : int
    seed : int
        Of the resampling; the same seed gives the same interval.

    Returns
    -------
    Interval
        `method` is "none", and the bounds NaN, with fewer than two subjects.

    References
    ----------
    Efron, "Better bootstrap confidence intervals", JASA 1987, https://doi.org/10.2307/2289144;
    Field and Welsh, "Bootstrapping clustered data", JRSS B 2007,
    https://doi.org/10.1111/j.1467-9868.2007.00593.x

    Examples
    --------
    >>> dice = {"a": 0.8, "b": 0.7, "c": 0.9, "d": 0.6, "e": 0.75}
    >>> interval = bootstrap_interval(dice)
    >>> f"{interval.estimate:.2f} ({interval.low:.2f} to {interval.high:.2f}), {interval.method}"
    '0.75 (0.66 to 0.84), BCa'

    Dice of the pixels of all subjects, from true positives, false positives and false negatives:

    >>> counts = {"a": [[90, 5, 10]], "b": [[40, 10, 20]], "c": [[70, 20, 5]]}
    >>> pooled = lambda rows: 2 * rows[:, 0].sum() / (rows @ [2, 1, 1]).sum()
    >>> round(bootstrap_interval(counts, pooled).estimate, 3)
    0.851
    """
    entries = (
        values_by_subject.values() if isinstance(values_by_subject, Mapping) else values_by_subject
    )
    rows = [np.atleast_1d(np.asarray(entry, float)) for entry in entries]
    n = len(rows)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, "none", 0, confidence, "no subjects")
    # One row a subject is the common case, and an index into one array is much faster.
    table = np.concatenate(rows) if all(len(row) == 1 for row in rows) else None

    def value(chosen: np.ndarray) -> float:
        sample = table[chosen] if table is not None else np.concatenate([rows[k] for k in chosen])
        return float(statistic(sample))

    def values_of(chosen: np.ndarray, axis: int = -1) -> np.ndarray:
        return statistic(table[chosen], axis=chosen.ndim - 1)  # type: ignore[index, call-arg, return-value]

    at_once = table is not None and _takes_axis(statistic)
    estimate = value(np.arange(n))
    if n < 2:
        return Interval(
            estimate, math.nan, math.nan, "none", n, confidence, "one subject has no spread"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of degenerate distributions, which are looked at below
        result = stats.bootstrap(
            (np.arange(n),), values_of if at_once else value, vectorized=at_once, n_resamples=resamples,
            batch=max(_BATCH // table.size, 1) if at_once else None,  # type: ignore[union-attr]
            confidence_level=confidence, method="BCa", random_state=np.random.default_rng(seed),
        )  # fmt: skip
    low, high = map(float, result.confidence_interval)
    if math.isfinite(low) and math.isfinite(high):
        return Interval(estimate, low, high, "BCa", n, confidence)
    values = result.bootstrap_distribution
    defined = values[np.isfinite(values)]
    if not len(defined):
        return Interval(estimate, math.nan, math.nan, "none", n, confidence, "undefined")
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = map(float, np.quantile(defined, tails))
    missing = len(values) - len(defined)
    note = "BCa is undefined where subjects do not differ"
    if missing:
        note = f"undefined in {missing} of {len(values)} resamples, which are left out"
    return Interval(estimate, low, high, "percentile", n, confidence, note)


def _takes_axis(function: Callable[..., Any]) -> bool:
    try:
        return "axis" in inspect.signature(function).parameters
    except ValueError:  # of functions that are not written in Python
        return False


@dataclass(frozen=True)
class PairedTest:
    """Wilcoxon's signed-rank test of paired differences, with effect sizes.

    Parameters
    ----------
    subjects, zeros : int
        Pairs, and how many of them do not differ.
    p_value : float
        Exact, two-sided; NaN when no test is made.
    rank_biserial : float in [-1, 1]
        Positive rank sum minus the negative one, over their sum: 1 when every difference is positive.
        NaN when no pair differs.
    shift : Interval
        Hodges-Lehmann estimate of the difference (median of the Walsh averages) and the interval that
        inverts the test.
    note : str
        Why there is no test; ties and zeros, if any.
    """

    subjects: int
    zeros: int
    p_value: float
    rank_biserial: float
    shift: Interval
    note: str = ""


def smallest_p(subjects: int) -> float:
    """Return the smallest two-sided p-value that a signed-rank test of n pairs can give, 2 / 2**n.

    >>> smallest_p(6)
    0.03125
    """
    return min(2.0 ** (1 - subjects), 1.0)


def enough_subjects(comparisons: int = 1, alpha: float = 0.05) -> int:
    """Return the fewest subjects with which a test can be significant after Holm's correction.

    The smallest of k p-values is multiplied by k, so `k * smallest_p(n)` must not exceed alpha. With fewer
    subjects "not significant" is certain beforehand and says nothing.

    >>> enough_subjects(1), enough_subjects(3)
    (6, 7)
    """
    return math.ceil(1 + math.log2(comparisons / alpha))


def paired_test(
    differences: Sequence[float] | np.ndarray,
    *,
    comparisons: int = 1,
    alpha: float = 0.05,
    confidence: float = CONFIDENCE,
) -> PairedTest:
    """Test whether paired differences, one a subject, are symmetric about zero.

    The p-value is exact given ties and zeros: it counts all 2**n signs of the ranks. Zeros are
    ranked with the others and then left out (Pratt); ties share the mean of their ranks. With fewer subjects than
    `enough_subjects(comparisons)` no test is made. The shift's interval assumes no ties and is a
    little too wide with them.

    Parameters
    ----------
    differences : sequence of float
        One a subject, without NaN.
    comparisons : int
        Size of the family of tests that this one belongs to; see `holm`.
    alpha : float
        Level that the family is to be tested at.
    confidence : float
        Of the shift's interval.

    Returns
    -------
    PairedTest

    Raises
    ------
    ConfigError
        When a difference is not finite.

    References
    ----------
    Wilcoxon, "Individual comparisons by ranking methods", 1945, https://doi.org/10.2307/3001968;
    Pratt, "Remarks on zeros and ties", JASA 1959, https://doi.org/10.1080/01621459.1959.10501526;
    Hodges and Lehmann 1963, https://doi.org/10.1214/aoms/1177704172;
    Kerby, "The simple difference formula", 2014, https://doi.org/10.2466/11.IT.3.1

    Examples
    --------
    Darwin's maize, crossed minus self-fertilised, in eighths of an inch:

    >>> test = paired_test([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48])
    >>> round(test.p_value, 5), test.rank_biserial
    (0.04126, 0.6)
    """
    d = np.asarray(differences, float).ravel()
    if not np.isfinite(d).all():
        raise ConfigError(
            "paired_test takes finite differences, one a subject; leave out the others."
        )
    d = np.where(np.abs(d) < _SAME, 0.0, np.round(d, 12))
    n, zeros = len(d), int(np.count_nonzero(d == 0))
    # Twice the mid-ranks are whole numbers.
    ranks = np.round(2 * stats.rankdata(np.abs(d))).astype(int) if n else np.zeros(0, int)
    positive, negative = int(ranks[d > 0].sum()), int(ranks[d < 0].sum())
    effect = (positive - negative) / (positive + negative) if zeros < n else math.nan
    shift = _hodges_lehmann(d, confidence)
    needed = enough_subjects(comparisons, alpha)
    if n < needed:
        family = f" and {comparisons} comparisons" if comparisons > 1 else ""
        return PairedTest(
            n, zeros, math.nan, effect, shift,
            f"too few subjects for a test: with {n}{family} no result could have p < {alpha:g} after "
            f"correction; {needed} are needed",
        )  # fmt: skip
    chances = _null(ranks[d != 0])
    lower = float(chances[: min(positive, negative) + 1].sum())
    tied = len(np.unique(np.abs(d[d != 0]))) < n - zeros
    words = [f"{zeros} zero differences (Pratt)"] if zeros else []
    words += ["ties share mean ranks"] if tied else []
    return PairedTest(n, zeros, min(2 * lower, 1.0), effect, shift, "; ".join(words))


def _null(ranks: np.ndarray) -> np.ndarray:
    """Return the chance of every sum of the ranks with a positive sign, all signs equally likely."""
    chances = np.ones(1)
    for rank in ranks:
        longer = np.zeros(len(chances) + rank)
        longer[: len(chances)] += chances
        longer[rank:] += chances
        chances = longer / 2
    return chances


def _hodges_lehmann(d: np.ndarray, confidence: float) -> Interval:
    """Return the median of the Walsh averages with the interval of the signed-rank test's inversion."""
    n = len(d)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, "none", 0, confidence, "no subjects")
    first, second = np.triu_indices(n)
    walsh = np.sort((d[first] + d[second]) / 2)
    below = np.cumsum(_null(np.arange(1, n + 1)))
    # The largest k for which fewer than k rank sums lie below with a chance of at most alpha / 2.
    k = int(np.searchsorted(below, (1 - confidence) / 2 + 1e-12, side="right"))
    estimate = float(np.median(walsh))
    if k == 0:
        reached = 1 - smallest_p(n)
        note = f"{n} subjects give at most a {100 * reached:.0f} % interval"
        return Interval(estimate, math.nan, math.nan, "none", n, confidence, note)
    return Interval(
        estimate, float(walsh[k - 1]), float(walsh[-k]), "signed ranks", n, confidence
    )  # fmt: skip


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct the p-values of a family of tests by Holm's method; NaN (no test) stays NaN.

    References
    ----------
    Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 1979.

    Examples
    --------
    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    from statsmodels.stats.multitest import multipletests  # takes a second to import

    p = np.asarray(p_values, float)
    made = np.isfinite(p)
    corrected = np.full(p.shape, math.nan)
    if made.any():
        corrected[made] = multipletests(p[made], method="holm")[1]
    return corrected.tolist()
