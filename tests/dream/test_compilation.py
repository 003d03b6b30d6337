"""One compiled graph for a network, an objective's form and a size; none for anything else."""

from __future__ import annotations

import gc
import weakref

import keras
import numpy as np
import tensorflow as tf
from nets import noise, small_unet

from medream.dream import Objective, channel, dream
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


def test_an_equal_objective_is_not_compiled_again(unet):
    from medream.dream import ascent

    dream(unet, noise(24, 20), channel("mid_conv", 2), steps=1, octaves=None)
    known = len(ascent._compiled[unet])
    dream(unet, noise(24, 20), channel("mid_conv", 2), steps=1, octaves=None)
    assert len(ascent._compiled[unet]) == known


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
