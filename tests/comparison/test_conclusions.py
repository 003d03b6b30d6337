"""Sentences follow from the numbers, and claim no more than they allow."""

import numpy as np
import pandas as pd
import pytest

from medream.comparison.chance import NearChance
from medream.comparison.conclusions import conclusions, limits
from medream.statistics import bootstrap_interval, holm, paired_test


def table(*differences, classes=("fluid",)):
    rows = []
    for d in differences:
        d = np.asarray(d, float)
        mean, test = bootstrap_interval(d), paired_test(d, comparisons=len(differences))
        rows.append(
            {
                "class": classes[len(rows) % len(classes)], "shallow": 2, "deep": 3 + len(rows),
                "subjects": len(d),
                "mean_difference": mean.estimate, "low": mean.low, "high": mean.high,
                "p_value": test.p_value, "rank_biserial": test.rank_biserial, "seeds_sd": 0.001,
                "higher": (d > 0).sum(), "lower": (d < 0).sum(),
            }
        )  # fmt: skip
    found = pd.DataFrame(rows)
    found["p_holm"] = holm(found.p_value.tolist())
    return found


CLEAR = 0.1 + np.linspace(-0.05, 0.05, 12)
NOTHING = np.linspace(-0.05, 0.06, 12)


def test_a_clear_difference_is_said_with_its_test():
    (said,) = conclusions(table(CLEAR))
    assert said.startswith(
        "3 levels against 2 levels: the mean difference of the subjects' Dice is +0.100 (95 %"
    )
    assert "3 levels scored higher in 12 of 12 subjects and lower in 0" in said
    assert (
        "3 levels scored higher by more than chance explains (signed-rank test, p < 0.001" in said
    )
    assert "cannot be excluded" not in said
    assert "2 levels scored higher by more" in conclusions(table(-CLEAR))[0]


def test_no_difference_shown_is_no_equality():
    (said,) = conclusions(table(NOTHING))
    low, high = table(NOTHING)[["low", "high"]].iloc[0]
    assert "No difference was shown (signed-rank test, p = 0." in said
    assert "no proof that there is none" in said
    assert (
        f"up to {high:.3f} in favour of 3 levels or of up to {-low:.3f} in favour of 2 levels"
        in said
    )
    assert "more than chance" not in said


@pytest.mark.parametrize("d", [CLEAR[:5], np.array([-0.02, 0.03, -0.01, 0.02, 0.01])])
def test_few_subjects_get_no_p_value(d):
    (said,) = conclusions(table(d))
    assert (
        "too few subjects for a test: with 5 of them the smallest possible p-value is 0.062" in said
    )
    assert "p =" not in said
    assert "p <" not in said
    assert "too narrow" in said
    assert ("an indication and no evidence" in said) == (d.min() > 0)


def test_six_subjects_and_three_depths_are_too_few():
    said = conclusions(table(CLEAR[:6], CLEAR[:6], CLEAR[:6]))
    assert all(
        "too few subjects for a test" in each and "times 3 comparisons" in each for each in said
    )
    assert "signed-rank test, p = 0.031" in conclusions(table(CLEAR[:6]))[0]


def test_correction_decides_and_is_named():
    weak = np.r_[CLEAR[:7], -0.05, -0.06]
    alone, together = table(weak), table(weak, NOTHING, NOTHING)
    assert alone.p_holm[0] < 0.05 < together.p_holm[0]
    assert "more than chance" in conclusions(alone)[0]
    said = conclusions(together)[0]
    assert "No difference was shown" in said
    assert "Holm-corrected for 3 comparisons" in said


def test_seeds_that_change_as_much_are_named():
    found = table(NOTHING)
    found["seeds_sd"] = 0.02
    assert (
        "Other seeds change this difference as much (standard deviation 0.020)"
        in conclusions(found)[0]
    )
    assert "Other seeds" not in conclusions(table(CLEAR))[0]


def test_networks_that_are_alike():
    (said,) = conclusions(table(np.zeros(8)))
    assert "is 0.000" in said
    assert "Both networks scored the same in all subjects" in said
    assert "-0.000" not in said


def test_networks_near_chance_are_said_and_their_differences_not_sold():
    weak = {("fluid", 2): NearChance("2 levels", 0.046, 0.03, False),
            ("fluid", 3): NearChance("3 levels", 0.054, 0.03, True)}  # fmt: skip
    few = table(CLEAR[:5])
    assert "excludes zero" in conclusions(few)[0]
    one, other, said = conclusions(few, weak)
    assert "2 levels has found almost nothing: over all held-out pixels its average" in one
    assert "precision is 0.046, where a guess has 0.030, the share of lesion pixels" in one
    assert "3 levels has found nothing at its threshold" in other
    assert "no difference between networks that work" in said
    assert "average precision 0.054 and 0.046, where a guess has 0.030" in said
    for claim in ("excludes zero", "chance explains", "cannot be excluded"):
        assert claim not in said
        assert claim not in conclusions(table(CLEAR), weak)[-1]
    half = conclusions(few, {("fluid", 2): weak["fluid", 2]})
    assert len(half) == 2
    assert "The network with 2 levels has found nothing, or almost nothing: the diff" in half[1]


def test_classes_are_named_when_there_are_several():
    said = conclusions(table(CLEAR, NOTHING, classes=("IRF", "SRF")))
    assert [each.split(":")[0] for each in said] == ["IRF", "SRF"]


def test_limits():
    assert "synthetic" in limits(["phantom"], 10)[0]
    assert not any("synthetic" in text for text in limits(["duke"], 10))
    assert "10 subjects of duke" in limits(["duke"], 10)[0]
