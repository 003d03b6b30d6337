"""Scores on hand-drawn masks, with unequal spacing and all four empty-mask cases."""

import math

import numpy as np
import pandas as pd
import pytest
from drawing import EMPTY, PREDICTION, REFERENCE
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medream.metrics import confusion, hd95, overlap, score, summarize, surface_distances


def test_overlap_of_hand_drawn_masks():
    result = score(REFERENCE, PREDICTION, spacing_mm=(2.0, 0.5))
    assert [result[k] for k in ("tp", "fp", "fn", "tn")] == [4, 2, 2, 16]
    assert result["dice"] == pytest.approx(2 / 3)
    assert result["iou"] == pytest.approx(1 / 2)
    assert result["precision"] == result["recall"] == pytest.approx(2 / 3)
    assert result["accuracy"] == pytest.approx(20 / 24)
    assert result["specificity"] == pytest.approx(16 / 18)
    # Every border pixel's nearest neighbour lies on its own row, at most one column away.
    assert result["hd95_mm"] == pytest.approx(0.5)


def test_distances_use_the_right_axis():
    a, b = np.zeros((5, 5), bool), np.zeros((5, 5), bool)
    a[0, 0] = True
    b[3, 0] = b[0, 4] = True
    forth, back = surface_distances(a, b, (0.004, 0.012))
    assert forth.tolist() == pytest.approx([0.012])
    assert sorted(back.tolist()) == pytest.approx([0.012, 0.048])
    # 95th percentile of the two backward distances, interpolated; the larger direction counts.
    assert hd95(a, b, (0.004, 0.012)) == pytest.approx(0.012 + 0.95 * 0.036)


def test_hd95_against_brute_force():
    rng = np.random.default_rng(3)
    a, b = rng.random((2, 12, 9)) > 0.6
    spacing = np.array([0.3, 1.1])

    def border(mask):
        padded = np.pad(mask, 1)
        return [
            p
            for p in np.argwhere(mask)
            if not all(padded[tuple(p + 1 + d)] for d in ([1, 0], [-1, 0], [0, 1], [0, -1]))
        ]

    def directed(x, y):
        return np.percentile(
            [min(math.dist(p * spacing, q * spacing) for q in border(y)) for p in border(x)], 95
        )

    assert hd95(a, b, tuple(spacing)) == pytest.approx(max(directed(a, b), directed(b, a)))


UNDEFINED = ("dice", "iou", "precision", "recall", "hd95_mm", "assd_mm", "surface_dice",
             "lesion_sensitivity", "lesion_precision", "lesion_f1")  # fmt: skip


def test_the_four_empty_cases():
    both = score(EMPTY, EMPTY, spacing_mm=(1, 1))
    assert all(math.isnan(both[k]) for k in UNDEFINED)
    assert both["accuracy"] == both["specificity"] == 1.0
    assert both["reference_mm2"] == both["prediction_mm2"] == 0.0

    missed = score(REFERENCE, EMPTY, spacing_mm=(1, 1))
    zero = ("dice", "iou", "recall", "surface_dice", "lesion_sensitivity", "lesion_f1")
    assert [missed[k] for k in zero] == [0.0] * len(zero)
    assert missed["hd95_mm"] == missed["assd_mm"] == math.inf
    assert math.isnan(missed["precision"])
    assert math.isnan(missed["lesion_precision"])

    alarm = score(EMPTY, PREDICTION, spacing_mm=(1, 1))
    zero = ("dice", "iou", "precision", "surface_dice", "lesion_precision", "lesion_f1")
    assert [alarm[k] for k in zero] == [0.0] * len(zero)
    assert alarm["hd95_mm"] == alarm["assd_mm"] == math.inf
    assert math.isnan(alarm["recall"])
    assert math.isnan(alarm["lesion_sensitivity"])

    same = score(REFERENCE, REFERENCE, spacing_mm=(1, 1))
    assert same["hd95_mm"] == same["assd_mm"] == 0.0
    assert same["surface_dice"] == same["lesion_f1"] == same["dice"] == 1.0


def test_unknown_spacing_gives_no_distance():
    found = score(REFERENCE, PREDICTION)
    for name in ("hd95_mm", "assd_mm", "surface_dice", "reference_mm2", "prediction_mm2"):
        assert math.isnan(found[name]), name


def test_pixels_that_are_not_valid_do_not_count():
    valid = np.ones((4, 6), bool)
    valid[:, 4:] = False
    result = score(REFERENCE, PREDICTION, valid, (1.0, 1.0))
    assert [result[k] for k in ("tp", "fp", "fn", "tn")] == [4, 0, 2, 10]
    assert result["prediction_mm2"] == 4.0
    # Of the prediction's columns 2 to 4 the last is not valid: 2 and 3 lie within the reference.
    assert result["hd95_mm"] == 1.0
    assert result["assd_mm"] == pytest.approx(2 / 10)
    alarm = np.zeros((4, 6), bool)
    alarm[0, 5] = True
    outside = score(EMPTY, alarm, valid, (1.0, 1.0))
    assert outside["lesions_predicted"] == 0
    assert math.isnan(outside["hd95_mm"])


MEANS = ("mean_scan_dice", "mean_surface_dice", "lesion_sensitivity", "lesion_f1", "dice", "recall",
         "detection_sensitivity")  # fmt: skip


def pooled(*pairs):
    rows = [
        {"class": "fluid", "subject_id": "a", **score(*pair, spacing_mm=(1, 2))} for pair in pairs
    ]
    return summarize(pd.DataFrame(rows)).iloc[0]


def test_a_failure_never_makes_a_mean_better():
    good, missed, alarm, negative = (
        (REFERENCE, PREDICTION), (REFERENCE, EMPTY), (EMPTY, PREDICTION), (EMPTY, EMPTY),
    )  # fmt: skip
    alone = pooled(good)
    worse = pooled(good, missed)
    assert worse.mean_scan_dice == pytest.approx(alone.mean_scan_dice / 2)
    assert worse.mean_surface_dice == pytest.approx(alone.mean_surface_dice / 2)
    assert all(worse[name] < alone[name] for name in MEANS)
    assert worse.mean_abs_area_difference_mm2 > alone.mean_abs_area_difference_mm2
    assert (worse.missed, worse.false_alarms) == (1, 0)
    # Distances of the missed scan are infinite: the mean is that of the others, the count says so.
    assert worse.mean_hd95_mm == alone.mean_hd95_mm

    alarmed = pooled(good, alarm)
    for name in (
        "mean_scan_dice",
        "mean_surface_dice",
        "lesion_precision",
        "lesion_f1",
        "precision",
    ):
        assert alarmed[name] < alone[name]
    assert (alarmed.missed, alarmed.false_alarms, alarmed.detection_specificity) == (0, 1, 0.0)
    assert alarmed.mean_abs_area_difference_mm2 > alone.mean_abs_area_difference_mm2

    same = pooled(good, negative)
    for name in (*MEANS, "mean_abs_area_difference_mm2", "mean_hd95_mm", "mean_assd_mm"):
        assert same[name] == alone[name], name
    assert (same.correct_negatives, same.scans, same.lesion_scans) == (1, 2, 1)
    nothing = pooled(negative)
    assert all(math.isnan(nothing[name]) for name in MEANS)


masks = hnp.arrays(bool, (5, 7), elements=st.booleans())


@given(masks, masks)
def test_laws(a, b):
    counts = confusion(a, b)
    assert sum(counts.values()) == a.size
    swapped = overlap(**confusion(b, a))
    here = overlap(**counts)
    assert here["dice"] == pytest.approx(swapped["dice"], nan_ok=True)
    assert here["precision"] == pytest.approx(swapped["recall"], nan_ok=True)
    if a.any() and b.any():
        assert here["dice"] == pytest.approx(2 * here["iou"] / (1 + here["iou"]))
        assert hd95(a, b, (1.0, 2.0)) == hd95(b, a, (1.0, 2.0))
        assert hd95(a, b, (2.0, 4.0)) == pytest.approx(2 * hd95(a, b, (1.0, 2.0)))
