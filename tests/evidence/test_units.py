"""Statistics of units, against the same numbers from all values at once."""

from dataclasses import replace

import keras
import numpy as np
import pytest

import medream as md
from medream.errors import ConfigError
from medream.evidence.activations import activate
from medream.evidence.units import survey

L = keras.layers


def scan(depth, width, seed, valid=None):
    rng = np.random.default_rng(seed)
    source = md.Source(subject_id=f"s{seed}")
    return md.Scan(rng.random((depth, width), dtype=np.float32), valid=valid, source=source)


@pytest.fixture(scope="module")
def scans():
    valid = np.ones((20, 30), bool)
    valid[:, :11] = False
    return [scan(20, 30, 0, valid), scan(17, 23, 1), scan(8, 9, 2)]


@pytest.fixture(scope="module")
def model():
    """Units 1 and 2 are copies of unit 0 (one of them upside down), unit 3 never opens."""
    entry = keras.Input((None, None, 1))
    linear = L.Conv2D(5, 3, padding="same", name="linear")
    model = keras.Model(entry, L.ReLU(name="relu")(linear(entry)))
    kernel = np.random.default_rng(0).normal(size=(3, 3, 1, 5))
    kernel[..., 1], kernel[..., 2] = 3 * kernel[..., 0], -0.5 * kernel[..., 0]
    linear.set_weights([kernel, np.array([0, 0, 0.1, -100, 0.2])])
    return model


def test_streamed_statistics_are_those_of_all_values(model, scans):
    found = survey(model, "relu", scans)
    values = []
    for each in scans:
        maps = activate(model, "relu", each).maps
        values.append(maps.reshape(-1, 5) if each.valid is None else maps[each.valid])
    values = np.concatenate(values).astype(np.float64)
    assert found.positions == len(values)
    np.testing.assert_allclose(found.covariance, np.cov(values.T, bias=True), atol=1e-9)
    table = found.table()
    np.testing.assert_allclose(table["mean"], values.mean(0))
    np.testing.assert_allclose(table["max"], values.max(0))
    np.testing.assert_allclose(table["zeros"], (values == 0).mean(0))
    np.testing.assert_allclose(table["energy"], (values**2).mean(0))


def test_the_dead_unit_and_the_copies_are_found(model, scans):
    relu, linear = survey(model, "relu", scans), survey(model, "linear", scans)
    assert relu.dead().tolist() == [3]
    assert relu.table().dead.tolist() == [False, False, False, True, False]
    assert relu.duplicates()[["first", "second"]].values.tolist() == [[0, 1]]
    pairs = linear.duplicates()  # before the ReLU the one upside down is a copy, too
    assert {tuple(pair) for pair in pairs[["first", "second"]].values.tolist()} >= {
        (0, 1),
        (0, 2),
        (1, 2),
    }
    assert pairs[(pairs["first"] == 0) & (pairs["second"] == 2)].correlation.item() < -0.999


def test_participation_ratio_counts_directions():
    entry = keras.Input((None, None, 1))
    conv = L.Conv2D(6, (1, 7), name="conv")
    model = keras.Model(entry, conv(entry))
    noise = [scan(64, 64, seed) for seed in range(2)]
    taps = np.zeros((1, 7, 1, 6))
    taps[0, np.arange(6), 0, np.arange(6)] = 1.0  # six pixels of white noise
    conv.set_weights([taps, np.zeros(6)])
    assert survey(model, "conv", noise).participation_ratio == pytest.approx(6, rel=0.01)
    conv.set_weights([np.repeat(taps[..., :1], 6, axis=-1), np.zeros(6)])
    assert survey(model, "conv", noise).participation_ratio == pytest.approx(1)
    conv.set_weights([0 * taps, np.ones(6)])
    assert np.isnan(survey(model, "conv", noise).participation_ratio)
    assert survey(model, "conv", noise).dead().tolist() == list(range(6))


def test_top_scans(model, scans):
    bright = replace(scans[1], image=np.ones_like(scans[1].image))
    dark = replace(scans[2], image=np.zeros_like(scans[2].image))
    entry = keras.Input((None, None, 1))
    same = keras.Model(entry, L.Identity(name="same")(entry))
    table = survey(same, "same", [dark, bright, scans[0]]).top_scans(0, 2)
    assert table.position.tolist() == [1, 2]
    assert table.subject.tolist() == ["s1", "s0"]


def test_no_scan_is_refused(model):
    with pytest.raises(ConfigError, match="no scan"):
        survey(model, "relu", [])
