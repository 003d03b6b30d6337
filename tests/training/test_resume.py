"""Stopped at any moment and resumed, a training gives the same network as in one go, to the last bit."""

import json
import signal
import subprocess
import sys

import pandas as pd
import pytest

import medream as md
import medream.training.epochs

SMALL = md.UNetConfig(levels=1, base_filters=2)
BRIEF = {"epochs": 4, "batch_size": 2, "image_size": (32, 32), "seed": 1}
WITH_ALL = {"optimizer": "adamw", "ema": 0.9, "accumulate": 3, "clip_norm": 1.0, "warmup": 1,
            "layer_rates": {"enc*": 0.5}, "lesion_scans": 0.6, "loss": "boundary"}  # fmt: skip


@pytest.fixture(scope="module")
def scans():
    return md.phantom_scans(12, seed=3, size=(64, 64))


def files(folder):
    return {
        name: (folder / name).read_bytes() for name in ("model.keras", "model.json", "history.csv")
    }


def stopped_and_resumed(scans, folder, monkeypatch, config):
    """Train twice, once stopped by Ctrl-C while epoch 3 is judged, and return both folders' files."""
    whole = md.train(scans, SMALL, config, folder / "whole")
    judge, left = medream.training.epochs.validation_dice, [3]

    def until_stopped(*args):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return judge(*args)

    with monkeypatch.context() as patch:
        patch.setattr(medream.training.epochs, "validation_dice", until_stopped)
        with pytest.raises(KeyboardInterrupt):
            md.train(scans, SMALL, config, folder / "parts")
    assert len(pd.read_csv(folder / "parts" / "history.csv")) == 2
    return files(whole), files(md.train(scans, SMALL, config, folder / "parts", resume=True))


@pytest.mark.slow
def test_every_setting_that_has_a_state_resumes_to_the_bit(scans, tmp_path, monkeypatch):
    config = md.TrainConfig(**BRIEF, **WITH_ALL)
    whole, parts = stopped_and_resumed(scans, tmp_path, monkeypatch, config)
    assert whole == parts


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd"},
        {"optimizer": "nadam", "clip_norm": 0.5},
        {"optimizer": "rmsprop", "optimizer_settings": {"momentum": 0.5, "centered": True}},
        {"optimizer": "lion", "schedule": "constant"},
        {"optimizer": "adam", "optimizer_settings": {"amsgrad": True}, "weight_decay": 0.1},
        {"precision": "mixed_bfloat16", "ema": 0.5},
        {"precision": "mixed_float16", "accumulate": 2},
    ],
    ids=lambda settings: "-".join(map(str, list(settings.values())[:1])),
)  # fmt: skip
def test_every_optimizer_and_precision_resumes_to_the_bit(scans, tmp_path, monkeypatch, settings):
    config = md.TrainConfig(**BRIEF, **settings)
    whole, parts = stopped_and_resumed(scans, tmp_path, monkeypatch, config)
    assert whole == parts


TRAINING = """
import os, signal, sys
import numpy as np
import medream as md, medream.files, medream.training.state as state, medream.training.epochs as epochs

folder, moment, nth = sys.argv[1], sys.argv[2], int(sys.argv[3])
left = [nth]

def now(reached):
    if reached == moment:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

savez, replace, batch = np.savez, os.replace, epochs.Climb.on_train_batch_end

def half_written(file, **arrays):
    if moment == "inside checkpoint.npz":
        file.write(b"PK" + bytes(5000))
        file.flush()
    now("inside checkpoint.npz")
    savez(file, **arrays)

def renamed(source, target):
    now(f"before {os.path.basename(target)}")
    replace(source, target)
    now(f"after {os.path.basename(target)}")

def after_batch(self, number, logs=None):
    now("batch")
    batch(self, number, logs)

state.np.savez, medream.files.os.replace, epochs.Climb.on_train_batch_end = half_written, renamed, after_batch
md.train(md.phantom_scans(12, seed=3, size=(64, 64)), md.UNetConfig(levels=1, base_filters=2, dropout=0.3),
         md.TrainConfig(epochs=4, batch_size=2, image_size=(32, 32), seed=1, ema=0.9), folder, resume=True)
"""

MOMENTS = [
    ("before model.keras", 1),  # nothing is kept yet
    ("batch", 30),  # in the middle of the second epoch
    ("inside checkpoint.npz", 1),  # its temporary file half written
    ("before checkpoint.npz", 2),  # complete, not yet in its place
    ("after checkpoint.npz", 1),  # in its place, the table of epochs not yet
    ("after checkpoint.npz", 1),  # the same after the last epoch
    ("before model.json", 2),  # the final steps: the threshold is chosen,
    ("before card.md", 1),
    ("before run.json", 2),  # and the mark of a finished training
]


@pytest.mark.slow
def test_killed_at_every_kind_of_moment(tmp_path):
    """SIGKILL again and again, each time somewhere else, until nothing is left to be done."""

    def start(folder, moment, nth):
        command = [sys.executable, "-c", TRAINING, str(folder), moment, str(nth)]
        return subprocess.run(command, timeout=900, capture_output=True, text=True)

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start(whole, "never", 1).returncode == 0
    for moment, nth in MOMENTS:
        done = start(broken, moment, nth)
        assert done.returncode == -signal.SIGKILL, (moment, nth, done.stderr)
        assert not json.loads((broken / "run.json").read_text())["results"]
        if (broken / "model.keras").exists():
            assert md.load_model(broken).count_params()
    assert start(broken, "never", 1).returncode == 0
    assert files(whole) == files(broken)
    assert (whole / "card.md").read_bytes() == (broken / "card.md").read_bytes()
    results = [json.loads((f / "run.json").read_text())["results"] for f in (whole, broken)]
    assert results[0] == results[1]
    assert not list(broken.rglob(".partial-*"))
