"""Intervals and tests against published examples, SciPy, statsmodels and hand-worked cases."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from medream.errors import ConfigError
from medream.statistics import (
    bootstrap_interval,
    enough_subjects,
    holm,
    paired_test,
    smallest_p,
)

# Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, table 14.1: spatial test data (A).
SPATIAL = [48, 36, 20, 29, 42, 42, 20, 42, 22, 41, 45, 14, 6,
           0, 33, 28, 34, 4, 32, 24, 47, 41, 24, 26, 30, 41]  # fmt: skip
# Hollander and Wolfe, "Nonparametric Statistical Methods", example 3.1: depression scale, two visits.
BEFORE = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
AFTER = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])


def test_bca_of_the_published_example():
    interval = bootstrap_interval(SPATIAL, np.var, confidence=0.9)
    assert interval.estimate == pytest.approx(171.5, abs=0.05)
    assert interval.method == "BCa"
    # Table 14.2: (115.8, 259.6) from 2000 resamples; the percentile interval is (100.8, 233.9).
    assert interval.low == pytest.approx(115.8, rel=0.03)
    assert interval.high == pytest.approx(259.6, rel=0.03)


def test_mean_of_numbers_agrees_with_scipy():
    values = np.random.default_rng(1).gamma(2, size=12)
    ours = bootstrap_interval(dict(zip("abcdefghijkl", values, strict=True)))
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, rng=5).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)
    assert bootstrap_interval(values) == ours


def test_subjects_are_resampled_with_all_their_rows():
    def pooled(rows):
        return 2 * rows[:, 0].sum() / (rows @ [2, 1, 1]).sum()

    counts = {"a": [[90, 5, 10], [80, 1, 1]], "b": [[40, 10, 20]], "c": [[70, 20, 5]]}
    interval = bootstrap_interval(counts, pooled, resamples=3000)
    samples = [
        pooled(np.concatenate([np.array(counts[k]) for k in chosen]))
        for chosen in itertools.product("abc", repeat=3)
    ]
    assert interval.subjects == 3
    assert interval.estimate == pooled(np.concatenate([np.array(v) for v in counts.values()]))
    assert min(samples) - 1e-9 <= interval.low <= interval.high <= max(samples) + 1e-9
    assert any(interval.low == pytest.approx(value) for value in samples)
    # Rows alone would be four independent ones, and other samples would be possible.
    assert any(interval.high == pytest.approx(value) for value in samples)


def test_where_bca_is_undefined_the_interval_says_so():
    alike = bootstrap_interval([0.5, 0.5, 0.5])
    assert (alike.low, alike.high, alike.method) == (0.5, 0.5, "percentile")
    assert "do not differ" in alike.note
    single = bootstrap_interval([0.5])
    assert single.method == "none"
    assert math.isnan(single.low)
    assert bootstrap_interval([]).subjects == 0

    def ratio(rows):
        return rows[:, 0].sum() / rows[:, 1].sum() if rows[:, 1].any() else math.nan

    some = bootstrap_interval({"a": [[0, 0]], "b": [[1, 2]], "c": [[2, 3]]}, ratio)
    assert (some.low, some.method) == (0.5, "percentile")
    # The first subject three times: 1 of 27 samples.
    left_out = int(some.note.split()[2])
    assert left_out == pytest.approx(9999 / 27, rel=0.2)


@pytest.mark.parametrize("rows", [[[0, 0]], [[0, 0]] * 4])
def test_a_statistic_that_is_never_defined_has_no_interval(rows):
    interval = bootstrap_interval([[row] for row in rows], lambda r: math.nan)
    assert interval.method == "none"
    assert math.isnan(interval.estimate)


def test_hollander_and_wolfe():
    test = paired_test(AFTER - BEFORE)
    assert test.p_value == pytest.approx(2 * 0.01953, abs=2e-5)
    assert test.shift.estimate == pytest.approx(-0.46)
    assert (test.shift.low, test.shift.high) == pytest.approx((-0.786, -0.010))
    # Positive ranks 2 + 3 = 5, negative ones 40.
    assert test.rank_biserial == pytest.approx((5 - 40) / 45)
    assert test.note == ""


def test_kerby_by_hand():
    # Ranks 1 to 5 of -1, 2, 3, 4, 5; favourable 14 of 15, unfavourable 1 of 15.
    test = paired_test([-1, 2, 3, 4, 5])
    assert test.rank_biserial == pytest.approx(14 / 15 - 1 / 15)
    assert math.isnan(test.p_value)
    assert "too few subjects" in test.note
    assert test.shift.method == "none"
    assert "94 %" in test.shift.note


differences = st.lists(st.integers(-9, 9).map(float), min_size=7, max_size=11)


@settings(max_examples=60)
@given(differences)
def test_p_is_that_of_all_signs_with_ties_and_zeros(d):
    d = np.array(d)
    test = paired_test(d)
    ranks = stats.rankdata(np.abs(d))[d != 0]
    signs = np.sign(d[d != 0])
    sums = np.array(list(itertools.product([-1, 1], repeat=len(ranks)))) @ ranks
    observed = abs(float(signs @ ranks))
    assert test.p_value == pytest.approx(np.mean(np.abs(sums) >= observed - 1e-9))
    assert test.zeros == np.count_nonzero(d == 0)
    if not test.zeros and len(set(np.abs(d))) == len(d):
        assert test.p_value == pytest.approx(stats.wilcoxon(d, method="exact").pvalue)
    if len(ranks):
        assert test.rank_biserial == pytest.approx(signs @ ranks / ranks.sum())


@given(differences, st.floats(-3, 3))
def test_laws_of_the_test(d, by):
    d = np.array(d)
    test, mirrored = paired_test(d), paired_test(-d)
    assert mirrored.p_value == test.p_value
    assert mirrored.shift.estimate == pytest.approx(-test.shift.estimate)
    assert (mirrored.shift.low, mirrored.shift.high) == pytest.approx(
        (-test.shift.high, -test.shift.low)
    )
    moved = paired_test(d + by).shift
    assert moved.estimate == pytest.approx(test.shift.estimate + by)
    assert test.shift.low <= test.shift.estimate <= test.shift.high


def test_the_interval_of_the_shift_inverts_the_test():
    d = np.random.default_rng(2).normal(0.3, 1, 14)
    shift = paired_test(d).shift
    for bound in (shift.low, shift.high):
        inside = bound + np.sign(shift.estimate - bound) * 1e-6
        assert stats.wilcoxon(d - inside).pvalue > 0.05
        assert stats.wilcoxon(d - (2 * bound - inside)).pvalue <= 0.05


def test_rounding_is_no_difference():
    test = paired_test([0.1 + 0.2 - 0.3, 0.3 - 0.1 - 0.2, 1, 2, 3, 4, 5, 6])
    assert test.zeros == 2
    assert "2 zero differences" in test.note
    assert paired_test([0.0] * 8).p_value == 1.0
    assert math.isnan(paired_test([0.0] * 8).rank_biserial)


@pytest.mark.parametrize(("comparisons", "needed"), [(1, 6), (3, 7), (6, 8)])
def test_a_test_that_cannot_be_significant_is_not_made(comparisons, needed):
    assert enough_subjects(comparisons) == needed
    assert comparisons * smallest_p(needed) <= 0.05 < comparisons * smallest_p(needed - 1)
    d = np.arange(1.0, needed + 1)
    assert paired_test(d, comparisons=comparisons).p_value == smallest_p(needed)
    fewer = paired_test(d[1:], comparisons=comparisons)
    assert math.isnan(fewer.p_value)
    assert f"{needed} are needed" in fewer.note


def test_differences_that_are_no_numbers_are_refused():
    with pytest.raises(ConfigError, match="finite"):
        paired_test([1.0, math.nan])


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    p = np.random.default_rng(0).random(7) ** 3
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert holm([0.02, math.nan, 0.01])[::2] == pytest.approx([0.02, 0.02])
    assert math.isnan(holm([math.nan])[0])
