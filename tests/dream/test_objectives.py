"""The algebra of objectives, with numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from medream.dream.objectives import (
    Objective,
    as_objective,
    channel,
    layer,
    neuron,
    objective_from_spec,
    total_variation,
)
from medream.errors import ConfigError

ACTIVATIONS = {
    "a": tf.constant(np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)),
    "b": tf.constant(np.full((1, 1, 1, 2), 5.0, np.float32)),
    "image": tf.constant(np.array([[0.0, 1.0], [0.0, 1.0]], np.float32)[None, ..., None]),
}
A, B = layer("a"), layer("b")  # 11.5 and 5
numbers = st.floats(-8, 8, width=32)


def value(objective: Objective) -> float:
    return float(objective.score(ACTIVATIONS))


@settings(max_examples=25, deadline=None)
@given(p=numbers, q=numbers)
def test_the_algebra_is_that_of_numbers(p, q):
    for got, expected in [
        (A + B, 16.5), (A - B, 6.5), (B - A, -6.5), (-A, -11.5), (A * B, 57.5),
        (p * A, 11.5 * p), (A * p, 11.5 * p), (A + p, 11.5 + p), (p - A, p - 11.5),
        (p * A + q * B, 11.5 * p + 5 * q), (p * (A - q * B), p * (11.5 - 5 * q)),
        (A - (B - p), 11.5 - 5 + p),
    ]:  # fmt: skip
        assert value(got) == pytest.approx(expected, rel=1e-5, abs=1e-4)
        again = objective_from_spec(json.loads(json.dumps(got.spec)))
        assert value(again) == value(got)
        assert (again.label, again.layers, again.spec) == (got.label, got.layers, got.spec)


def test_operations_leave_what_they_combine_alone():
    before = (A.layers, A.label, A.spec, value(A))
    assert 0.5 * A is not A
    _ = A - B, 0.5 * A, A + B, -A
    assert (A.layers, A.label, A.spec, value(A)) == before


def test_leaves_read_what_they_say():
    assert value(channel("a", 1)) == np.mean([1, 5, 9, 13, 17, 21])
    assert value(neuron("a", 2, (1, 0))) == 14
    assert value(neuron("a", 0)) == 4 * (3 + 1)  # centre: row 1, column 1
    assert value(total_variation()) == 0.5  # two of four pairs differ by 1
    for leaf in (channel("a", 1), neuron("a", 2, (1, 0)), neuron("a", 0), total_variation()):
        again = objective_from_spec(json.loads(json.dumps(leaf.spec)))
        assert (again.label, value(again)) == (leaf.label, value(leaf))


def test_a_large_layer_does_not_drown_a_small_one():
    ones = {"a": tf.ones((1, 64, 64, 32)), "b": tf.ones((1, 2, 2, 1))}
    assert float(as_objective("a").score(ones)) == float(as_objective("b").score(ones)) == 1


def test_names_lists_and_weights():
    assert value(as_objective("a")) == 11.5
    assert value(as_objective(["a", "b"])) == 16.5
    weighted = as_objective({"a": 2, "b": -0.5})
    assert value(weighted) == 20.5
    assert weighted.layers == ("a", "b")
    assert as_objective(A) is A


@pytest.mark.parametrize("wrong", [[], {}, 3, None, {"a": "much"}, {"a": np.nan}, ["a", 2]])
def test_what_is_no_objective_is_refused(wrong):
    with pytest.raises(ConfigError, match=r"expected|finite"):
        as_objective(wrong)


def test_labels_read_as_written():
    assert (A - 0.1 * total_variation()).label == "a - 0.1 total variation"
    assert (0.5 * (A + B)).label == "0.5 (a + b)"
    assert (A - (B - 1)).label == "a - (b - 1)"
    assert as_objective({"a": 1, "b": 0.5}).label == "a + 0.5 b"
    assert neuron("a", 1, (2, 3)).label == "a[1] at (2, 3)"


def test_an_objective_of_ones_own_works_but_cannot_be_made_again():
    own = Objective(("a",), lambda t: tf.reduce_max(t["a"]), "largest")
    assert value(own - B) == 18
    assert (own - B).spec is None
    with pytest.raises(ConfigError, match="of one's own"):
        objective_from_spec((own - B).spec)
    with pytest.raises(ConfigError, match="knows"):
        objective_from_spec({"kind": "hope"})
