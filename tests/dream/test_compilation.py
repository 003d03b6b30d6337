"""One compiled graph for a network, an objective's form and a size; none for anything else."""

from __future__ import annotations

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from nets import noise, small_unet

from medream.dream import (
    Objective,
    ascent,
    channel,
    class_score,
    direction,
    dream,
    dream_many,
    l2,
    layer,
    match,
    neuron,
    on_model,
    tiles,
)
from medream.dream.graph import needed_part, open_network


def counting(name: str) -> tuple[Objective, list[int]]:
    traces: list[int] = []

    def score(activations):
        traces.append(1)
        return tf.reduce_mean(activations[name])

    return Objective((name,), score, "counted"), traces


def test_another_scan_seed_step_count_and_the_control_trace_nothing_anew(unet):
    objective, traces = counting("mid_conv")
    dream(unet, noise(24, 20), objective, steps=2, octaves=None, control=False)
    first = len(traces)
    assert first > 0
    valid = np.ones((24, 20), bool)
    valid[0] = False
    dream(unet, noise(24, 20, seed=5), objective, steps=7, step_size=0.03, octaves=None, seed=9,
          valid=valid)  # fmt: skip
    assert len(traces) == first
    dream(unet, noise(28, 20), objective, steps=2, octaves=None, control=False)
    assert len(traces) == 2 * first


@pytest.fixture
def traced(monkeypatch):
    """Count the graphs of steps that are made."""
    made = []
    for name in ("whole_step", "tiled_step"):
        home = ascent if name == "whole_step" else tiles
        make = getattr(home, name)
        monkeypatch.setattr(home, name, lambda *a, make=make: (made.append(a), make(*a))[1])
    return made


@pytest.mark.parametrize("settings", [{}, {"tile": 16}], ids=["whole", "tiles"])
def test_one_graph_for_a_form_and_a_size(traced, other, settings):
    """None for another scan, seed, channel, weight, position, region, step count or control."""
    model = small_unet()
    settings = {"octaves": None, "precision": "float32", **settings}
    forms = [
        [channel("mid_conv", 2), channel("mid_conv", 5)],
        [neuron("mid_conv", 1, (1, 2)), neuron("mid_conv", 3, (0, 0)), neuron("mid_conv", 0)],
        [2 * layer("enc1_conv") - 0.1 * l2(), 0.5 * layer("enc1_conv") - 3 * l2()],
        [class_score(0, (2, 2, 9, 9), "enc1_conv"), class_score(1, None, "enc1_conv")],
        [direction("mid_conv", range(16)), direction("mid_conv", range(1, 17))],
        [match("enc1_conv", noise(5, 6)), match("enc1_conv", noise(5, 6, seed=1))],
        [on_model(other, channel("enc1_conv1", 0)), on_model(other, channel("enc1_conv1", 0))],
    ]
    for number, form in enumerate(forms, start=1):
        for seed, objective in enumerate(form):
            image = noise(24, 20, seed=seed)
            valid = image > 0.1 * seed
            dream(
                model, image, objective, steps=1 + seed, step_size=0.01 + seed, seed=seed,
                valid=valid, control=seed > 0, schedule=["constant", "linear", "cosine"][seed],
                **settings,
            )  # fmt: skip
            assert len(traced) == number, objective.label
    dream(model, noise(28, 20), forms[0][0], steps=1, control=False, **settings)
    assert len(traced) == len(forms) + 1


def test_a_layers_channels_in_batches_are_one_graph(traced):
    model = small_unet()
    wanted = [channel("enc2_conv", k) for k in range(7)]
    quick = {"steps": 1, "octaves": None, "precision": "float32"}
    assert len(list(dream_many(model, noise(16, 16), wanted, batch=3, **quick))) == 7
    assert len(traced) == 1


def test_new_weights_are_used_without_a_new_trace(unet):
    model = keras.models.clone_model(unet)
    model.set_weights(unet.get_weights())
    objective, traces = counting("mid_conv")
    before = dream(model, noise(16, 16), objective, steps=2, octaves=None, control=False)
    count = len(traces)
    model.set_weights([1.5 * value for value in unet.get_weights()])
    after = dream(model, noise(16, 16), objective, steps=2, octaves=None, control=False)
    assert len(traces) == count
    assert before.history[0] != after.history[0]


def test_a_model_that_is_let_go_takes_its_compiled_dreams_along():
    model = small_unet()
    dream(model, noise(8, 8), "mid_conv", steps=1, octaves=None)
    watched = weakref.ref(model)
    del model
    gc.collect()
    assert watched() is None


def test_only_the_part_that_the_layer_needs_is_run(unet):
    names = [call.name for call in needed_part(open_network(unet), ["enc2_conv"]).calls]
    assert names[-1] == "enc2_conv"
    assert not any(name.startswith(("mid", "dec")) for name in names)
