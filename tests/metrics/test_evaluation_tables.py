"""Volumes, subjects and the tables of an evaluation."""

import math

import numpy as np
import pandas as pd
import pytest
from drawing import EMPTY, PREDICTION, REFERENCE

from medream.metrics import (
    Found,
    Tally,
    count_probabilities,
    pooled_intervals,
    score_volume,
    summarize,
)
from medream.metrics.probabilities import average_precision, expected_calibration_error
from medream.scan import Source

SPACING, BETWEEN = (0.004, 0.012), 0.12
VOXEL = 0.004 * 0.012 * 0.12
PAIRS = [(REFERENCE, PREDICTION), (REFERENCE, EMPTY), (EMPTY, EMPTY), (EMPTY, PREDICTION)]


def tallied(indices=range(4), between=BETWEEN, pairs=PAIRS, subject="a", spacing=SPACING, **more):
    tally = Tally()
    for k, pair in zip(indices, pairs, strict=True):
        tally.add(Source("set", subject, subject, k), [Found("fluid", *pair)], spacing_mm=spacing,
                  bscan_spacing_mm=between, **more)  # fmt: skip
    return tally.evaluation()


def test_a_volume_without_gaps_is_measured():
    row = tallied(pairs=[*PAIRS[:3], (REFERENCE, REFERENCE)]).pooled(["subject_id"]).iloc[0]
    assert row.volumes == 1
    assert row.reference_mm3 == pytest.approx(18 * VOXEL)
    assert row.prediction_mm3 == pytest.approx(12 * VOXEL)
    assert row.mean_volume_difference_mm3 == pytest.approx(-6 * VOXEL)
    assert row.mean_abs_volume_difference_mm3 == pytest.approx(6 * VOXEL)


@pytest.mark.parametrize(
    ("indices", "between", "spacing"),
    [((10, 15, 20, 25), BETWEEN, SPACING), (range(4), None, SPACING), (range(4), BETWEEN, None),
     ((0, 1, 2, 4), BETWEEN, SPACING), ((0, 0, 1, 2), BETWEEN, SPACING)],
)  # fmt: skip
def test_gaps_and_unknown_distances_are_no_volume(indices, between, spacing):
    found = tallied(indices, between, spacing=spacing)
    row = found.pooled().iloc[0]
    assert row.volumes == 0
    names = ("reference_mm3", "prediction_mm3", "mean_abs_volume_difference_mm3", "mean_volume_hd95_mm",
             "volume_lesion_f1")  # fmt: skip
    assert all(math.isnan(row[name]) for name in names)
    assert len(found.volumes) == 0
    if spacing:  # areas are compared all the same
        expected = [0.0, -6 * 0.004 * 0.012, math.nan, 6 * 0.004 * 0.012]
        assert found.scans.area_difference_mm2.tolist() == pytest.approx(expected, nan_ok=True)
        assert row.mean_abs_area_difference_mm2 == pytest.approx(4 * 0.004 * 0.012)
        assert row.mean_area_difference_mm2 == pytest.approx(0.0)


def test_volumes_of_a_subject_are_averaged_and_empty_ones_left_out():
    tally = Tally()
    for volume, pair in (
        ("od", (REFERENCE, EMPTY)),
        ("os", (EMPTY, REFERENCE)),
        ("x", (EMPTY, EMPTY)),
    ):
        for k in range(2):
            tally.add(Source("set", "a", volume, k), [Found("fluid", *pair)], spacing_mm=SPACING,
                      bscan_spacing_mm=BETWEEN)  # fmt: skip
    row = tally.evaluation().pooled(["subject_id"]).iloc[0]
    assert row.volumes == 3
    assert row.mean_volume_difference_mm3 == pytest.approx(0)
    assert row.mean_abs_volume_difference_mm3 == pytest.approx(12 * VOXEL)
    per_volume = tally.evaluation().pooled(["subject_id", "volume_id"])
    assert per_volume.mean_volume_difference_mm3.tolist() == pytest.approx(
        [-12 * VOXEL, 12 * VOXEL, math.nan], nan_ok=True
    )


def test_three_dimensions_are_those_of_the_stack():
    found = tallied()
    stacks = [np.stack(masks) for masks in zip(*PAIRS, strict=True)]
    expected = score_volume(*stacks, (BETWEEN, *SPACING))
    assert {name: found.volumes[name][0] for name in expected} == expected
    row = found.pooled().iloc[0]
    assert row.mean_volume_hd95_mm == expected["volume_hd95_mm"]
    assert row.volume_lesion_sensitivity == (
        expected["volume_lesions_found"] / expected["volume_lesions"]
    )


def test_pixels_that_are_not_valid_count_in_no_dimension():
    valid = np.zeros((4, 6), bool)
    found = tallied(valid=valid)
    assert not found.volumes[["volume_lesions", "volume_lesions_predicted"]].any(axis=None)
    assert found.scans[["tp", "fp", "fn", "tn"]].sum().sum() == 0


def test_a_volume_in_two_parts_is_not_scored_as_one():
    tally = Tally()
    for subject, k in (("a", 0), ("a", 1), ("b", 0), ("b", 1), ("a", 2), ("a", 3)):
        tally.add(Source("set", subject, subject, k), [Found("fluid", REFERENCE, PREDICTION)],
                  spacing_mm=SPACING, bscan_spacing_mm=BETWEEN)  # fmt: skip
    assert tally.evaluation().volumes.subject_id.tolist() == ["b"]


def test_b_scans_out_of_order_are_measured_but_not_stacked():
    found = tallied((1, 0, 2, 3))
    assert found.pooled().volumes.tolist() == [1]
    assert len(found.volumes) == 0


def test_probabilities_are_pooled_by_pixels():
    rng = np.random.default_rng(0)
    tally, counts = Tally(), {}
    for subject in "ab":
        for k in range(3):
            reference, probability = rng.random((5, 8)) > 0.7, rng.random((5, 8))
            found = Found("fluid", reference, probability >= 0.5, probability)
            tally.add(Source("set", subject, subject, k), [found])
            counts[subject] = counts.get(subject, 0) + count_probabilities(reference, probability)
    evaluation = tally.evaluation()
    subjects = evaluation.pooled(["subject_id"]).set_index("subject_id")
    for subject in "ab":
        assert subjects.average_precision[subject] == average_precision(counts[subject])
    whole = sum(counts.values())
    pooled = evaluation.pooled().iloc[0]
    assert pooled.expected_calibration_error == expected_calibration_error(whole)
    assert evaluation.calibration().pixels.sum() == 6 * 40
    assert evaluation.calibration()["from"].tolist() == [k / 10 for k in range(10)]
    best = evaluation.precision_recall().dice.max()
    assert best >= pooled.dice


def test_detection_needs_scans_of_both_kinds():
    tally = Tally()
    for k, (reference, top) in enumerate([(REFERENCE, 0.9), (EMPTY, 0.6), (REFERENCE, 0.4)]):
        probability = np.full(EMPTY.shape, 0.1)
        probability[0, 0] = top
        tally.add(
            Source("set", "a", "a", k), [Found("fluid", reference, probability >= 0.5, probability)]
        )
    row = tally.evaluation().pooled().iloc[0]
    assert row.detection_auc == 0.5
    assert (row.detection_sensitivity, row.detection_specificity) == (0.5, 0.0)


def test_intervals_are_of_the_pooled_scores():
    rng = np.random.default_rng(4)
    tally = Tally()
    for subject in "abcde":
        for k in range(3):
            masks = rng.random((2, 12, 9)) > 0.7
            tally.add(
                Source("set", subject, subject, k), [Found("fluid", *masks)], spacing_mm=SPACING
            )
    for masks in ((REFERENCE, EMPTY), (EMPTY, EMPTY)):  # infinite and undefined distances
        tally.add(Source("set", "e", "e", 3), [Found("fluid", *masks)], spacing_mm=SPACING)
    scans = tally.evaluation().scans
    intervals = pooled_intervals(scans, resamples=200).set_index("score")
    pooled = summarize(scans).iloc[0]
    for name, row in intervals.iterrows():
        assert row.estimate == pytest.approx(pooled[name])
        assert row.low <= row.estimate <= row.high
    assert (intervals.subjects == 5).all()
    alone = pooled_intervals(scans[scans.subject_id == "a"], resamples=50)
    assert (alone.method == "none").all()
    assert alone.low.isna().all()


def test_an_evaluation_of_nothing_found_has_its_tables():
    found = tallied(pairs=[(EMPTY, EMPTY)] * 4)
    assert len(found.lesions) == 0
    assert isinstance(found.lesion_sizes(), pd.DataFrame)
    assert len(found.calibration()) == len(found.precision_recall()) == 0
    assert found.pooled().correct_negatives.tolist() == [4]
    assert math.isnan(found.pooled().dice[0])
