"""`medream train` on the command line: every setting arrives, and `rerun` repeats it to the byte."""

import dataclasses
import shlex
import subprocess
import sys

import pytest
from test_cli import TRAIN, run

import medream as md
import medream.cli.train
import medream.progress
from medream.phantom import save_phantom
from medream.training import epochs
from medream.training.config import train_config


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom")
    save_phantom(md.phantom_scans(12, seed=3, size=(48, 64)), folder)
    return folder


def settings_of(*options, monkeypatch):
    caught = {}

    def keep(settings, out, resume, mlflow, cache_dir, **more):
        caught.update(settings, resume=resume, mlflow=mlflow, **more)
        return out

    with monkeypatch.context() as patch:
        patch.setattr(medream.cli.train, "run_train", keep)
        run("train", "scans", "--out", "out", *options)
    return caught


def test_every_setting_can_be_given(monkeypatch):
    options = shlex.split(
        "--epochs 9 --batch-size 3 --learning-rate 0.01 --loss tversky --image-size 64 32 --no-augment "
        "--patience 4 --seed 5 --lesion-scans 0.5 --lesion-patches 0.25 --optimizer sgd --schedule constant "
        "--warmup 2 --weight-decay 0.1 --ema 0.9 --precision float32 --threshold 0.4 --layer-rate enc*=0.1 "
        '--layer-rate mid*=0 --set clip_norm=2 --set accumulate=2 --set deterministic=false --set '
        """'loss_settings={"beta":0.9}' --set 'optimizer_settings={"momentum":0.5}'"""
    )  # fmt: skip
    found = train_config(settings_of(*options, monkeypatch=monkeypatch)["train"])
    assert found == md.TrainConfig(
        epochs=9, batch_size=3, learning_rate=0.01, loss="tversky", image_size=(64, 32), augment=False,
        patience=4, seed=5, lesion_scans=0.5, lesion_patches=0.25, optimizer="sgd", schedule="constant",
        warmup=2, weight_decay=0.1, ema=0.9, precision="float32", threshold=0.4,
        layer_rates={"enc*": 0.1, "mid*": 0.0}, clip_norm=2, accumulate=2, deterministic=False,
        loss_settings={"beta": 0.9}, optimizer_settings={"momentum": 0.5},
    )  # fmt: skip
    default = md.TrainConfig()
    same = [
        f.name
        for f in dataclasses.fields(found)
        if getattr(found, f.name) == getattr(default, f.name)
    ]
    assert not same  # so that a new setting is asked for here, too


def test_the_defaults_are_those_of_the_library(monkeypatch):
    caught = settings_of(monkeypatch=monkeypatch)
    assert train_config(caught["train"]) == md.TrainConfig()
    assert (caught["resume"], caught["mlflow"]) == (False, None)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--layer-rate", "enc*"], 2, "expected PATTERN=FACTOR"),
        (["--layer-rate", "enc*=slow"], 2, "expected PATTERN=FACTOR"),
        (["--set", "accumulate"], 2, "expected NAME=VALUE"),
        (["--loss", "hinge"], 2, "dice_ce"),
        (["--set", "acumulate=2"], 1, "The nearest names are: accumulate"),
        (["--set", "acumulate=2", "--set", "colour=red", "--ema", "2"], 1, "'colour'"),
        (["--set", "acumulate=2", "--ema", "2"], 1, "ema is 2.0"),
        (["--ema", "2", "--warmup", "99"], 1, "ema is 2.0"),
        (["--threshold", "best"], 1, "threshold is 'best'"),
    ],
    ids=lambda value: value[1] if isinstance(value, list) else "",
)
def test_what_makes_no_sense_is_refused(data, tmp_path, options, code, said):
    told = run("train", data, "--out", tmp_path / "m", *options, code=code)
    if code == 1:  # the words of usage errors go to the terminal itself
        assert said in told
    assert not (tmp_path / "m").exists()


def test_a_choice_is_refused_in_plain_words(data):
    command = [sys.executable, "-m", "medream.cli", "train", str(data), "--loss", "hinge"]
    done = subprocess.run([*command, "--out", "m"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "'hinge' is not one of" in done.stderr
    assert "Value error" not in done.stderr


def test_resuming_nothing_is_said(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(medream.progress, "say", said.append)
    settings_of("--resume", monkeypatch=monkeypatch)
    assert "no training in out to go on with: it begins anew" in said.pop()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out" / "unet3").mkdir(parents=True)
    (tmp_path / "out" / "unet3" / "checkpoint.npz").touch()
    settings_of("--resume", monkeypatch=monkeypatch)
    settings_of(monkeypatch=monkeypatch)
    assert not said


def test_no_network_is_trained_when_one_cannot_be(data, tmp_path):
    said = run("train", data, "--levels", 1, "--levels", 6, *TRAIN, "--out", tmp_path / "m", code=1)
    assert "smaller than 64, the stride of a network with 6 levels" in said
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
def test_a_training_repeats_to_the_byte_also_after_ctrl_c(data, tmp_path, monkeypatch):
    run(
        "train",
        data,
        "--levels",
        1,
        *TRAIN,
        "--epochs",
        3,
        "--set",
        "ema=0.5",
        "--out",
        tmp_path / "m",
    )
    judge, calls = epochs.validation_dice, []

    def until_stopped(*args):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return judge(*args)

    again = ("rerun", tmp_path / "m" / "run.json", "--out", tmp_path / "again")
    monkeypatch.setattr(epochs, "validation_dice", until_stopped)
    assert "the same command" in run(*again, code=130)
    assert run(*again).splitlines()[-1] == str(tmp_path / "again")
    one = ("rerun", tmp_path / "m" / "unet1" / "run.json", "--out", tmp_path / "single")
    run(*one)
    for name in ("model.keras", "model.json", "history.csv", "card.md"):
        whole = (tmp_path / "m" / "unet1" / name).read_bytes()
        assert (tmp_path / "again" / "unet1" / name).read_bytes() == whole, name
        assert (tmp_path / "single" / "unet1" / name).read_bytes() == whole, name
