"""The tables' numbers, worked out again from the scores on disk."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from medream.comparison import readable
from medream.comparison.chance import NearChance, near_chance
from medream.comparison.conclusions import conclusions
from medream.comparison.differences import difference_table
from medream.comparison.results import Network, Results
from medream.comparison.tables import fold_table, pooled_dice, pooled_table
from medream.metrics import average_precision, expected_calibration_error


@pytest.fixture(scope="module")
def scores(finished):
    """All scans of all trainings as they lie on disk."""
    parts = []
    for file in sorted(finished.glob("unet*/fold*-seed*/scores.csv")):
        fold, seed = file.parent.name.split("-seed")
        parts.append(pd.read_csv(file).assign(network=file.parts[-3], fold=fold, seed=int(seed)))
    return pd.concat(parts)


def dice_by_hand(scores):
    """Dice of each network and subject with lesions, the pixels of B-scans pooled, then the mean of seeds."""
    sums = scores.groupby(["network", "seed", "subject_id"])[["tp", "fp", "fn"]].sum()
    sums = sums[sums.tp + sums.fn > 0]
    dice = 2 * sums.tp / (2 * sums.tp + sums.fp + sums.fn)
    return dice.groupby(["network", "subject_id"]).mean()


def test_subjects_are_scored_once_by_the_mean_of_seeds(scores, subjects, results):
    expected = dice_by_hand(scores)
    own = subjects[subjects.network.isin(["unet1", "unet2"])].set_index(["network", "subject_id"])
    assert own.index.is_unique
    assert len(own) == 2 * 8
    for key, value in expected.items():
        assert own.dice[key] == pytest.approx(value)
    spread = scores[(scores.network == "unet1") & (scores.subject_id == "phantom001")]
    each = spread.groupby("seed")[["tp", "fp", "fn"]].sum()
    each = 2 * each.tp / (2 * each.tp + each.fp + each.fn)
    assert own.dice_seeds_sd[("unet1", "phantom001")] == pytest.approx(each.std())
    assert own.fold[("unet1", "phantom001")] == results.fold_of("phantom001")
    assert [n.name for n in results.networks] == [
        "unet1",
        "unet2",
        "unet1-ensemble",
        "unet2-ensemble",
    ]
    assert [n.label for n in results.networks][1::2] == ["2 levels", "2 levels, ensemble of 2"]


def test_a_subject_without_lesions_counts_as_false_alarm_and_in_no_mean(results, subjects):
    # One network marks a healthy subject, another does not: their means are over the same people.
    table = subjects.copy()
    healthy = table.subject_id == "phantom003"
    table.loc[healthy, ["tp", "fn"]] = 0.0
    table.loc[healthy, "dice"] = [0.0, np.nan, 0.0, np.nan]
    table.loc[healthy, "false_alarms"] = [1.0, 0.0, 0.5, 0.0]
    pooled = pooled_table(results, table).set_index(["network", "score"])
    for network in ("unet1", "unet2"):
        own = table[(table.network == network) & ~healthy]
        row = pooled.loc[(network, "mean_subject_dice")]
        assert row.subjects == 7
        assert row.estimate == pytest.approx(own.dice.mean())
    alarms = table[table.network == "unet1"].false_alarms.sum()
    assert pooled.loc[("unet1", "total_false_alarms")].estimate == alarms


def test_pooled_scores_and_their_intervals(scores, pooled):
    pooled = pooled.set_index(["network", "score"])
    for network in ("unet1", "unet2"):
        dice = dice_by_hand(scores)[network]
        row = pooled.loc[(network, "mean_subject_dice")]
        assert row.estimate == pytest.approx(dice.mean())
        expected = stats.bootstrap((dice.to_numpy(),), np.mean, rng=3).confidence_interval
        assert (row.low, row.high) == pytest.approx(
            tuple(expected), abs=0.1 * (expected.high - expected.low)
        )
        sums = scores[scores.network == network].groupby("seed")[["tp", "fp", "fn"]].sum()
        each = 2 * sums.tp / (2 * sums.tp + sums.fp + sums.fn)
        row = pooled.loc[(network, "pooled_dice")]
        assert row.estimate == pytest.approx(each.mean())
        assert row.seeds_sd == pytest.approx(each.std())
        assert row.low < row.estimate < row.high
    assert not {"mean_subject_tp", "mean_subject_scans", "mean_subject_missed"} & set(
        pooled.index.levels[1]
    )
    assert {
        "mean_subject_mean_hd95_mm",
        "mean_subject_lesion_f1",
        "mean_subject_average_precision",
    } <= set(pooled.index.levels[1])


def test_pooled_dice_by_hand():
    # Seed 1: (4 + 2) of (4 + 2 + 2 + 2); seed 2: nothing but misses.
    counts = np.array([[[2, 1, 0], [0, 0, 2]], [[1, 1, 2], [0, 0, 1]]])
    assert pooled_dice(counts) == pytest.approx((6 / 10 + 0) / 2)
    assert np.isnan(pooled_dice(np.zeros((3, 1, 3))))


def test_folds(scores, results):
    table = fold_table(results)
    own = table[(table.network == "unet2") & (table.seed == "1") & (table.fold == "fold3")]
    sums = scores[(scores.network == "unet2") & (scores.seed == 1) & (scores.fold == "fold3")][
        ["tp", "fp", "fn"]
    ].sum()
    assert own.dice.item() == pytest.approx(2 * sums.tp / (2 * sums.tp + sums.fp + sums.fn))
    assert len(table) == 2 * 2 * 4 + 2 * 4


def test_differences(scores, subjects, results):
    (row,) = difference_table(results, subjects).to_dict("records")
    dice = dice_by_hand(scores)
    d = (dice["unet2"] - dice["unet1"]).to_numpy()
    assert (row["shallow"], row["deep"], row["subjects"]) == (1, 2, len(d))
    assert row["mean_difference"] == pytest.approx(d.mean())
    assert row["p_value"] == row["p_holm"] == pytest.approx(stats.wilcoxon(d).pvalue)
    walsh = [(a + b) / 2 for a, b in itertools.combinations_with_replacement(d, 2)]
    assert row["shift"] == pytest.approx(np.median(walsh))
    ranks = stats.rankdata(np.abs(d))
    assert row["rank_biserial"] == pytest.approx((np.sign(d) @ ranks) / ranks.sum())
    assert (row["higher"], row["lower"], row["equal"]) == ((d > 0).sum(), (d < 0).sum(), 0)
    assert row["low"] < row["mean_difference"] < row["high"]
    sums = scores.groupby(["network", "seed"])[["tp", "fp", "fn"]].sum()
    whole = (2 * sums.tp / (2 * sums.tp + sums.fp + sums.fn)).groupby("network").mean()
    assert row["pooled_difference"] == pytest.approx(whole["unet2"] - whole["unet1"])


def test_one_depth_is_compared_with_nothing(results, subjects):
    alone = Results(results.networks[:1], results.folds)
    assert difference_table(alone, subjects).empty
    assert conclusions(difference_table(alone, subjects)) == []


def test_near_chance_is_told_by_precision_and_by_what_is_found(results, monkeypatch):
    assert near_chance(results) == {}
    share, area = results.lesion_share("fluid"), 0.0
    monkeypatch.setattr(Network, "average_precision", lambda *_: area)
    area = share + 0.09 * (1 - share)
    found = near_chance(results)
    assert list(found) == [("fluid", 1), ("fluid", 2)]
    assert found["fluid", 1] == NearChance("1 level", area, share, False)
    area = share + 0.11 * (1 - share)
    assert near_chance(results) == {}
    monkeypatch.setattr(Network, "counts", lambda *_: np.zeros((8, 2, 3)))
    assert [network.nothing for network in near_chance(results).values()] == [True, True]


def test_scores_of_pooled_pixels_are_those_of_the_figures(results, pooled):
    own = pooled.set_index(["network", "score"]).estimate
    for network in results.networks:
        each = [average_precision(run.counts("fluid")) for run in network.runs]
        assert own[network.name, "pooled_average_precision"] == pytest.approx(np.mean(each))
        together = sum(run.counts("fluid") for run in network.runs)
        assert own[network.name, "pooled_expected_calibration_error"] == expected_calibration_error(
            together
        )
        assert (
            own[network.name, "pooled_average_precision"]
            != own[network.name, "mean_subject_average_precision"]
        )
    counts = results.networks[0].runs[0].counts("fluid")
    assert results.lesion_share("fluid") == counts[1].sum() / counts.sum()


def test_an_empty_column_is_left_out(results, subjects):
    table = difference_table(results, subjects)
    assert "Note" not in readable.differences(table.assign(note=""))
    assert readable.differences(table.assign(note="few subjects")).Note.item() == "few subjects"


def test_tables_for_people(subjects, pooled, results, costs):
    shown = readable.pooled(pooled, results, "fluid")
    assert shown.Network.tolist() == [network.label for network in results.networks]
    assert shown["Mean Dice of subjects"].str.fullmatch(r"0\.\d{3} \[0\.\d{3}, \d\.\d{3}\]").all()
    wide = readable.subjects(subjects, results, "fluid")
    assert wide["2 levels"].to_numpy() == pytest.approx(
        subjects[subjects.network == "unet2"]
        .set_index("subject_id")
        .dice.reindex(wide.Subject)
        .to_numpy()
    )
    shown = readable.costs(costs, results.single)
    assert shown["One training"].tolist() == ["60 s", "2 min"]
    assert shown["Receptive field (px)"].tolist() == ["20 x 20", "40 x 40"]
