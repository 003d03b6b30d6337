"""Precision and recall of several seeds whose probabilities are not of one scale."""

import numpy as np
import pytest

from medream.comparison.drawings import _mean_curve
from medream.metrics.probabilities import average_precision, count_probabilities


def test_the_mean_curve_is_not_that_of_pixels_put_together():
    rng = np.random.default_rng(0)
    lesion = rng.random((1, 4000)) < 0.1
    one = np.clip(rng.normal(0.3 + 0.3 * lesion, 0.1), 0, 1)
    counts = [count_probabilities(lesion, scale * one) for scale in (1.0, 0.1)]
    areas = [average_precision(each) for each in counts]
    mean = _mean_curve(counts)
    assert np.trapezoid(mean.precision, mean.recall) == pytest.approx(np.mean(areas), abs=0.01)
    assert average_precision(counts[0] + counts[1]) < 0.6


def test_no_precision_is_made_up_where_nothing_is_found():
    # The background pixel at 0.9 lies above all lesions: nothing is found at the highest thresholds.
    reference = np.array([0, 1, 0, 1, 0], bool)
    counts = count_probabilities(reference, np.array([0.9, 0.8, 0.6, 0.4, 0.1]))
    mean = _mean_curve([counts])
    assert mean.precision[0] == pytest.approx(1 / 2)
    assert mean.precision[mean.recall > 0.51].tolist() == pytest.approx([2 / 4] * 98, abs=0.01)
    assert mean.precision.mean() == pytest.approx(average_precision(counts), abs=0.005)
