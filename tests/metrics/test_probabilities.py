"""Calibration and precision-recall curves from counts, beside scikit-learn and beside thresholds."""

import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve as sklearn_calibration
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.metrics import precision_recall_curve as sklearn_curve

from medream.metrics import (
    average_precision,
    best_threshold,
    calibration_curve,
    confusion,
    count_probabilities,
    detection_auc,
    expected_calibration_error,
    overlap,
    precision_recall_curve,
)


@pytest.fixture(scope="module")
def drawn_at_random():
    rng = np.random.default_rng(1)
    probability = rng.beta(0.5, 2, (60, 70)).astype(np.float32)
    return rng.random(probability.shape) < probability**1.5, probability


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16])
def test_counts_are_those_of_the_rule_of_segment(drawn_at_random, kind):
    reference, probability = drawn_at_random
    probability = probability.astype(kind)
    # Values on thresholds and beside them are where rounding would show.
    probability.ravel()[:1000] = np.arange(1000) / 1000
    probability.ravel()[1000:2000] = np.nextafter(np.arange(1000).astype(kind) / 1000, kind(0))
    probability.ravel()[2000] = 1
    probability = np.clip(probability, 0, 1)
    counts = count_probabilities(reference, probability)
    assert counts.sum() == probability.size
    curve = precision_recall_curve(counts)
    for k in range(0, 1000, 7):
        predicted = probability >= k / 1000
        assert counts[:, k:].sum() == predicted.sum()
        expected = overlap(**confusion(reference, predicted))
        row = curve.iloc[k]
        assert row.threshold == k / 1000
        for name in ("precision", "recall", "dice"):
            assert row[name] == pytest.approx(expected[name], nan_ok=True)


def test_counts_add_up_and_leave_out_what_is_not_valid(drawn_at_random):
    reference, probability = drawn_at_random
    valid = np.zeros(reference.shape, bool)
    valid[20:] = True
    whole = count_probabilities(reference, probability)
    parts = [count_probabilities(reference, probability, v) for v in (valid, ~valid)]
    np.testing.assert_array_equal(sum(parts), whole)
    assert parts[0].sum() == valid.sum()
    for wrong in (probability + 1, np.full_like(probability, np.nan), probability[1:]):
        with pytest.raises(ValueError, match=r"probabilities run|differ"):
            count_probabilities(reference, wrong)


def test_the_same_as_scikit_learn(drawn_at_random):
    reference, probability = drawn_at_random
    # On whole bins, so that nothing is lost by counting.
    probability = np.floor(probability.astype(float) * 1000).clip(0, 999) / 1000
    counts = count_probabilities(reference, probability)
    truth, said = reference.ravel(), probability.ravel()
    assert average_precision(counts) == pytest.approx(average_precision_score(truth, said))
    precision, recall, thresholds = sklearn_curve(truth, said)
    ours = precision_recall_curve(counts).set_index("threshold").loc[thresholds]
    np.testing.assert_allclose(ours.precision, precision[:-1])
    np.testing.assert_allclose(ours.recall, recall[:-1])
    frequency, mean = sklearn_calibration(truth, said + 0.0005, n_bins=10)
    curve = calibration_curve(counts).dropna()
    np.testing.assert_allclose(curve.frequency, frequency)
    np.testing.assert_allclose(curve.probability, mean)
    assert curve.pixels.sum() == truth.size


def test_calibration_worked_out_by_hand():
    # Four pixels at 0.25 of which one is lesion, and four at 0.75 of which two are.
    reference = np.array([1, 0, 0, 0, 1, 1, 0, 0], bool)
    probability = np.repeat([0.25, 0.75], 4)
    counts = count_probabilities(reference, probability)
    assert expected_calibration_error(counts) == pytest.approx((4 * 0.0005 + 4 * 0.2505) / 8)
    assert expected_calibration_error(counts, bins=1) == pytest.approx(0.5005 - 3 / 8)
    assert math.isnan(expected_calibration_error(np.zeros((2, 1000), int)))
    with pytest.raises(ValueError, match="joined into 7"):
        calibration_curve(counts, bins=7)


def test_the_best_threshold():
    def found(*pixels):
        reference, probability = np.array(pixels, float).T
        return best_threshold(count_probabilities(reference > 0, probability))

    assert (
        found((0, 0.2), (1, 0.4), (1, 0.6), (0, 0.1)) == 0.4
    )  # everything above 0.2 to 0.4 will do
    assert found((0, 0.2), (1, 0.9)) == 0.5
    assert found((0, 0.7), (1, 0.9)) == 0.701  # 0.7 itself would take the background pixel along
    assert found((0, 0.9), (0, 0.1)) == 0.5  # nothing to choose by
    assert found((1, 0.0), (0, 0.0)) == 0.5  # 0 is no threshold


def test_without_lesion_or_without_prediction():
    nothing = count_probabilities(np.zeros(5, bool), np.full(5, 0.3))
    assert math.isnan(average_precision(nothing))
    curve = precision_recall_curve(nothing)
    assert curve.recall.isna().all()
    assert math.isnan(curve.dice[400])  # nothing predicted either
    assert curve.dice[100] == 0.0


def test_detection_beside_scikit_learn():
    rng = np.random.default_rng(2)
    lesion = rng.random(50) > 0.4
    score = np.round(rng.random(50) + 0.3 * lesion, 1)  # with ties
    assert detection_auc(lesion, score) == pytest.approx(roc_auc_score(lesion, score))
    assert math.isnan(detection_auc(np.ones(3, bool), np.arange(3)))
    assert math.isnan(detection_auc(np.array([True, False]), np.array([np.nan, 0.1])))
