"""Dreams as folders: there and back, the same bytes, and clear words for damage."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from medream.dream import DreamConfig, DreamResult, load_result
from medream.errors import ConfigError, OutputError
from medream.record import RunRecord, read_record

RNG = np.random.default_rng(0)


def made(shape=(6, 9), full=True) -> DreamResult:
    images = [RNG.random(shape, dtype=np.float32) for _ in range(4)]
    mask = (RNG.random(shape[:2]) > 0.5).astype(np.uint8)
    return DreamResult(
        original=images[0],
        dream=images[1],
        enhanced=images[2] if full else None,
        control=images[3] if full else None,
        history=RNG.random(4, dtype=np.float32),
        objective="mid - 0.1 total variation",
        config=DreamConfig(steps=3, octaves=(-1, 0) if full else None),
        objective_spec={"kind": "layer", "layer": "mid"} if full else None,
        spacing_mm=(0.0039, 0.0113) if full else None,
        valid=mask > 0 if full else None,
        control_seed=2 if full else None,
        reference=mask if full else None,
        predictions={"original": mask, "dream": 1 - mask} if full else {},
        model="runs/unet3" if full else None,
    )


@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 1), (6, 9, 3), (6, 9, 2)])
@pytest.mark.parametrize("full", [True, False])
def test_a_saved_result_comes_back_equal(tmp_path, shape, full):
    result = made(shape, full)
    assert load_result(result.save(tmp_path / "out")) == result


def test_equality_sees_every_field():
    result = made()
    for change in (
        {"dream": result.original}, {"enhanced": None}, {"history": result.history[:-1]},
        {"objective": "other"}, {"config": DreamConfig()}, {"spacing_mm": None},
        {"valid": ~result.valid}, {"predictions": {}}, {"control_seed": 3}, {"model": None},
    ):  # fmt: skip
        assert dataclasses.replace(result, **change) != result


def test_the_same_result_gives_the_same_bytes_in_every_file_but_the_record(tmp_path):
    result = made()
    a, b = result.save(tmp_path / "a"), result.save(tmp_path / "b")
    names = sorted(path.name for path in a.iterdir())
    assert names == ["control.png", "delta.png", "dream.npz", "dream.png", "enhanced.png",
                     "history.csv", "original.png", "result.json", "run.json"]  # fmt: skip
    for name in names:
        assert name == "run.json" or (a / name).read_bytes() == (b / name).read_bytes()


def test_pictures_and_tables_say_what_the_arrays_say(tmp_path):
    result = made()
    folder = result.save(tmp_path / "out")
    picture = np.asarray(Image.open(folder / "dream.png"))
    np.testing.assert_allclose(picture / 255, result.dream, atol=0.5 / 255 + 1e-6)
    delta = np.asarray(Image.open(folder / "delta.png")) / 255
    np.testing.assert_allclose(2 * delta - 1, result.dream - result.original, atol=1.01 / 255)
    lines = (folder / "history.csv").read_text().splitlines()
    assert lines[0] == "step,objective"
    assert [np.float32(line.split(",")[1]) for line in lines[1:]] == list(result.history)


def test_the_record_is_the_callers_or_one_made_here(tmp_path):
    given_record = RunRecord("dream", {"layer": ["mid"]}, seed=7)
    assert read_record(made().save(tmp_path / "a", given_record)).settings == {"layer": ["mid"]}
    record = read_record(made().save(tmp_path / "b"))
    assert (record.command, record.seed) == ("dream", 0)
    assert record.settings["dream"]["steps"] == 3
    assert record.settings["objective"] == {"kind": "layer", "layer": "mid"}


def test_an_earlier_dream_is_replaced_and_nothing_else_is(tmp_path):
    made().save(tmp_path / "out")
    second = made(full=False)
    assert load_result(second.save(tmp_path / "out")) == second
    assert not (tmp_path / "out" / "control.png").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match="not empty"):
        second.save(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


def _damage(name):
    def damage(folder):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])

    return damage


def _edit(**values):
    def edit(folder):
        settings = json.loads((folder / "result.json").read_text())
        (folder / "result.json").write_text(json.dumps({**settings, **values}))

    return edit


@pytest.mark.parametrize(
    "damage",
    [
        _damage("dream.npz"), _damage("result.json"), _edit(format="other"),
        _edit(config={"stepz": 3}), _edit(config=None), _edit(spacing_mm=3),
        lambda folder: (folder / "dream.npz").write_bytes(b""),
        lambda folder: (folder / "dream.npz").unlink(),
        lambda folder: (folder / "result.json").write_text("[]"),
        lambda folder: np.savez(folder / "dream.npz", original=np.zeros((2, 2))),
        lambda folder: np.savez(folder / "dream.npz", original=np.array([{}])),
    ],
)  # fmt: skip
def test_a_damaged_or_foreign_folder_is_told(tmp_path, damage):
    folder = made().save(tmp_path / "out")
    damage(folder)
    with pytest.raises(OutputError, match="out"):
        load_result(folder)
    with pytest.raises(OutputError, match="no dream"):
        load_result(tmp_path / "nothing")


def test_results_open_without_tensorflow(tmp_path):
    folder = made().save(tmp_path / "out")
    code = (
        "import sys; from medream.dream import load_result, DreamResult, DreamConfig;"
        f"load_result({str(folder)!r});"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@settings(max_examples=30, deadline=None)
@given(
    steps=st.integers(0, 1000),
    step_size=st.floats(1e-6, 10),
    octaves=st.none() | st.lists(st.integers(-4, 4), min_size=1, unique=True),
    scale=st.floats(1.01, 4),
)
def test_a_config_goes_through_json(steps, step_size, octaves, scale):
    config = DreamConfig(steps=steps, step_size=step_size, octaves=octaves, octave_scale=scale)
    assert DreamConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"steps": -1}, "steps is -1"), ({"steps": 2.5}, "whole number"),
        ({"steps": True}, "whole number"), ({"step_size": 0}, "above 0"),
        ({"step_size": float("nan")}, "above 0"), ({"step_size": "much"}, "above 0"),
        ({"octaves": ()}, "None"), ({"octaves": 3}, "exponents"),
        ({"octaves": (0, 0)}, "different"),
        ({"octaves": (0.5,)}, "whole number"), ({"octave_scale": 1}, "above 1"),
        ({"precision": "half"}, "bfloat16"), ({"step": 3}, "steps"),
    ],
)  # fmt: skip
def test_a_config_that_makes_no_sense_is_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        DreamConfig.from_json(wrong)
