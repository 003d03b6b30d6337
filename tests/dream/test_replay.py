"""What is written beside a dream makes it again: the same bytes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from nets import OBJECTIVES

from medream.cli.runs import RUNNERS
from medream.dream import class_score, dream, layer, load_result, on_model
from medream.record import read_record
from medream.scan import Scan
from medream.store import load_model

KINDS = [
    name for name in OBJECTIVES if name not in ("own", "on model", "energy", "cosine", "product")
]


@pytest.fixture(scope="module")
def opened(trained, other, tmp_path_factory):
    """The two networks as they are opened from files, so that a record can name them."""
    folder = tmp_path_factory.mktemp("models")
    models = []
    for name, model in (("trained", trained), ("other", other)):
        model.save(folder / f"{name}.keras")
        models.append(load_model(str(folder / f"{name}.keras")))
    return models


def replayed(result, folder):
    first = result.save(folder / "first")
    record = read_record(first)
    settings = json.loads(json.dumps(record.settings))
    if settings.get("path") is not None:
        settings["path"] = str(first / settings["path"])
    again = load_result(RUNNERS[record.command](settings, folder / "again"))
    for name in ("original", "dream", "enhanced", "control", "history", "frames"):
        ours, theirs = getattr(result, name), getattr(again, name)
        assert (ours is None) == (theirs is None), name
        assert ours is None or ours.tobytes() == theirs.tobytes(), name
    assert (again.objective, again.config) == (result.objective, result.config)
    assert again.precision == result.precision
    return first, folder / "again"


@pytest.mark.parametrize("name", [*KINDS, "on model", "prediction", "mask"])
def test_every_objective_is_made_again_from_its_record(opened, scan, tmp_path, name):
    model, other = opened
    objective = {
        "on model": lambda: layer("dec1_conv2") - 0.5 * on_model(other, "dec1_conv2"),
        "prediction": lambda: class_score(0, "prediction"),
        "mask": lambda: class_score(1, scan > 0.3),
    }.get(name, lambda: OBJECTIVES[name](other))()
    replayed(
        dream(model, scan, objective, steps=3, octaves=None, control=name == "layer"), tmp_path
    )


SETTINGS = [
    {"octaves": (-1, 0), "octave_steps": 2, "octave_scale": 1.3, "seed": 4},
    {"parametrization": {"kind": "fourier", "decay": 1.5}, "optimizer": "adam"},
    {"parametrization": "maco", "bounds": "reflect", "schedule": "cosine"},
    {"parametrization": "lowrank", "optimizer": "momentum", "momentum": 0.5},
    {"transforms": ("jitter=2", "rotate=4", "scale", "blur", "noise"), "seed": 9},
    {"tile": 16, "overlap": 4, "gradient": "sign", "patience": 2},
    {"every": 2, "precision": "bfloat16", "step_size": 0.3, "gradient": "l2"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: next(iter(s)))
def test_every_setting_is_made_again_from_its_record(opened, scan, tmp_path, settings):
    settings = {"octaves": None, **settings}
    replayed(dream(opened[0], scan, "mid_norm2", steps=4, **settings), tmp_path)


def test_valid_pixels_reference_and_region_are_made_again(opened, scan, tmp_path):
    valid, region = np.ones(scan.shape, bool), np.zeros(scan.shape, bool)
    valid[:, :5], region[4:, :] = False, True
    mask = np.zeros(scan.shape, np.uint8)
    mask[10:16, 8:20] = 1
    given = Scan(scan, mask=mask, valid=valid, spacing_mm=(0.004, 0.011))
    result = dream(
        opened[0], given, class_score(1, "reference"), steps=3, octaves=None, region=region
    )
    again = load_result(replayed(result, tmp_path)[1])
    assert np.array_equal(again.valid, valid & region)
    assert again.spacing_mm == (0.004, 0.011)
