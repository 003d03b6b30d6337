"""The algebra of objectives, with numbers."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import scipy.signal
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from medream.dream.objectives import (
    Objective,
    as_objective,
    channel,
    class_score,
    cosine,
    direction,
    distance,
    energy,
    high_frequencies,
    l1,
    l2,
    layer,
    match,
    neuron,
    objective_from_spec,
    on_model,
    total_variation,
)
from medream.errors import ConfigError

ACTIVATIONS = {
    "a": tf.constant(np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)),
    "b": tf.constant(np.full((1, 1, 1, 2), 5.0, np.float32)),
    "image": tf.constant(np.array([[0.0, 1.0], [0.0, 1.0]], np.float32)[None, ..., None]),
}
BINOMIAL = [1, 4, 6, 4, 1]
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


LEAVES = [
    layer("a"),
    energy("a"),
    channel("a", 1),
    channel("a", [3, 0, 3]),
    neuron("a", 2, (1, 0)),
    neuron("a", 0),
    direction("a", [1, 2, -3, 0.5]),
    cosine("a", np.arange(4)),
    class_score(1, None, "a"),
    class_score(0, "reference"),
    class_score(2, (1, 2, 3, 4)),
    class_score(1, (5, 6), "b"),
    class_score(1, np.eye(5, 9, dtype=bool)),
    match("a", np.random.default_rng(0).random((7, 5, 3), dtype=np.float32)),
    total_variation(),
    l1(),
    l2(),
    distance(),
    high_frequencies(),
]


@pytest.mark.parametrize("one", LEAVES, ids=lambda leaf: leaf.label)
def test_every_objective_goes_through_json_with_its_arrays(one):
    for objective in (one, 2 * one - 0.5 * (1 + A)):
        again = objective_from_spec(json.loads(json.dumps(objective.spec)))
        assert (again.label, again.layers, again.spec) == (
            objective.label, objective.layers, objective.spec,
        )  # fmt: skip
        assert (again.form, again.additive) == (objective.form, objective.additive)
        assert len(again.operands) == len(objective.operands)
        for ours, theirs in zip(objective.operands, again.operands, strict=True):
            assert type(ours) is type(theirs)
            for name, kept in vars(ours).items():
                np.testing.assert_array_equal(getattr(theirs, name), kept)


def test_every_objective_has_the_value_and_the_sign_that_it_says():
    rng = np.random.default_rng(0)
    a, b, image = (
        rng.normal(size=(1, 5, 4, 3)),
        rng.normal(size=(1, 5, 4, 3)),
        rng.random((1, 7, 6, 1)),
    )
    seen = {"a": tf.constant(a, tf.float32), "image": tf.constant(image, tf.float32)}
    v = np.array([1.0, -2.0, 0.5])
    v /= np.linalg.norm(v)
    inside = rng.random((1, 5, 4, 1))
    wide = np.pad(image[0, ..., 0], 2, mode="reflect")
    smooth = scipy.signal.convolve2d(wide, np.outer(BINOMIAL, BINOMIAL) / 256, "valid")
    for objective, operands, expected in [
        (energy("a"), [], np.mean(a**2)),
        (direction("a", 7 * v), [v], np.mean(a @ v)),
        (cosine("a", 7 * v), [v], np.mean(a @ v / np.linalg.norm(a, axis=-1))),
        (class_score(2, None, "a"), [[2.0], inside], np.mean(a[..., 2:] * inside)),
        (match("a", np.zeros((2, 2), "f4")), [b], -np.mean((a - b) ** 2)),
        (distance(), [image - 0.1], 0.01),
        (l1(), [], np.mean(image)),
        (l2(), [], np.mean(image**2)),
        (high_frequencies(), [], np.mean((image[0, ..., 0] - smooth) ** 2)),
    ]:
        got = objective.value(seen, [tf.constant(operand, tf.float32) for operand in operands])
        assert float(got) == pytest.approx(expected, rel=1e-4), objective.label


def test_operands_are_handed_in_the_order_in_which_they_were_combined():
    """With other numbers in them the same graph gives the other value."""
    combined = 3 * direction("a", [1, 0, 0, 0]) - (channel("a", 1) + 0.5 * neuron("a", 2, (1, 0)))
    tensors = [
        tf.constant(operand.value) if hasattr(operand, "value") else tf.constant([1.0, 0.0, 1.0])
        for operand in combined.operands
    ]
    assert float(combined.value(ACTIVATIONS, tensors)) == pytest.approx(3 * 10 - 11 - 0.5 * 14)
    tensors[0], tensors[2] = tf.constant(2.0), tf.constant([3.0])
    assert float(combined.value(ACTIVATIONS, tensors)) == pytest.approx(2 * 10 - 13 - 0.5 * 14)


def test_numbers_differ_in_no_graph_and_structures_do():
    assert (2 * A - 3 * l2()).form == (5 * A - 0.1 * l2()).form
    assert channel("a", 1).form == channel("a", 3).form != channel("a", [1, 2]).form
    forms = {leaf.form for leaf in (A, B, A + B, A - B, B - A, A * B, 2 * A, A * 2, -(A + B))}
    assert len(forms) == 9


def test_another_model_is_asked_in_sums_and_made_again(tmp_path):
    image = keras.Input((None, None, 1))
    other = keras.Model(image, keras.layers.Conv2D(2, 3, name="b")(image), name="other")
    assert on_model(other, "b").spec is None  # in memory alone
    other.medream_ref = "other.keras"
    asked = A - 0.5 * on_model(other, 2 * channel("b", 1) + layer("b"))
    again = objective_from_spec(json.loads(json.dumps(asked.spec)), {"other.keras": other}.get)
    assert (again.label, again.spec, again.form) == (asked.label, asked.spec, asked.form)
    with pytest.raises(ConfigError, match="hand in `load`"):
        objective_from_spec(asked.spec)
    for inner in (l2(), neuron("b", 0), match("b", np.zeros((4, 4), "f4")), asked):
        with pytest.raises(ConfigError, match="on_model cannot take"):
            on_model(other, inner)


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
