"""Adapting a network to another device."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import medream as md
import medream.adaptation
import medream.store
from medream.adaptation import (
    ADAPTED,
    AS_IS,
    SCRATCH,
    Adaptation,
    adapt,
    conclusions,
    learning_curve,
)
from medream.cli import app
from medream.cli.adapt import run_adapt
from medream.errors import ConfigError
from medream.phantom import phantom_scans, save_phantom
from medream.record import RunRecord, input_hashes
from medream.store import ModelInfo

TINY = ("--scans", "1", "--scans", "2", "--seeds", "1", "--steps", "2", "--image-size", "32", "32",
        "--batch-size", "1", "--quiet")  # fmt: skip


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    folder = tmp_path_factory.mktemp("target") / "scans"
    save_phantom(phantom_scans(12, seed=3, size=(32, 48), bscans_per_subject=2), folder)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory, device):
    out = tmp_path_factory.mktemp("source") / "unet"
    config = md.TrainConfig(epochs=1, batch_size=1, image_size=(32, 32))
    return md.train(
        md.open_dataset(device, split="train"), md.UNetConfig(levels=1, base_filters=2), config, out
    )


@pytest.fixture(scope="module")
def adapted(tmp_path_factory, source, device):
    out = tmp_path_factory.mktemp("adapted") / "out"
    ran = CliRunner().invoke(app, ["adapt", str(source), str(device), "--out", str(out), *TINY])
    assert ran.exit_code == 0, ran.output
    return out, ran


@pytest.mark.slow
def test_command_writes_curve_figure_and_words(adapted):
    out, ran = adapted
    assert ran.output.splitlines()[-1] == str(out)
    curve = pd.read_csv(out / "curve.csv")
    assert curve.way.tolist() == [AS_IS, ADAPTED, SCRATCH, ADAPTED, SCRATCH]
    assert curve.scans.tolist() == [0, 1, 1, 2, 2]
    assert curve.labelled.tolist() == [0, 2, 2, 4, 4]
    assert (out / "learning_curve.pdf").stat().st_size > 1000
    assert "As it is" in (out / "summary.md").read_text()
    assert json.loads((out / "run.json").read_text())["results"]["curve"][0]["way"] == AS_IS


@pytest.mark.slow
def test_more_scans_contain_fewer_and_test_subjects_are_never_seen(adapted):
    out, _ = adapted
    seen = []
    for n in (1, 2):
        record = json.loads((out / "adapted" / f"scans{n}-seed0" / "run.json").read_text())
        seen.append(record["results"]["subjects"])
    assert set(seen[0]["training"]) <= set(seen[1]["training"])
    tested = set(pd.read_csv(out / "subjects.csv").subject_id)
    for each in seen:
        assert not tested & {*each["training"], *each["validation"]}


@pytest.mark.slow
def test_going_on_trains_nothing_twice(adapted, source, device):
    out, _ = adapted
    before = {p: p.stat().st_mtime_ns for p in out.rglob("model.keras")}
    ran = CliRunner().invoke(app, ["adapt", str(source), str(device), "--out", str(out), *TINY])
    assert ran.exit_code == 0, ran.output
    assert {p: p.stat().st_mtime_ns for p in out.rglob("model.keras")} == before
    other = [*TINY[:-1], "--steps", "3"]
    ran = CliRunner().invoke(app, ["adapt", str(source), str(device), "--out", str(out), *other])
    assert isinstance(ran.exception, ConfigError)
    assert "steps" in str(ran.exception)


@pytest.mark.slow
def test_everything_wrong_is_said_at_once(tmp_path, source, device):
    with pytest.raises(ConfigError) as refused:
        adapt(source, md.open_dataset(device), tmp_path, numbers=(500,), seeds=0)
    assert "500 training scans" in str(refused.value)
    assert "at least 1" in str(refused.value)


def test_curve_averages_seeds_within_a_subject():
    rows = [
        {
            "way": ADAPTED,
            "train_scans": 1,
            "labelled": 2,
            "seed": seed,
            "subject_id": who,
            "dice": dice,
        }
        for who, seed, dice in (("a", 0, 0.2), ("a", 1, 0.4), ("b", 0, 0.6), ("b", 1, np.nan))
    ]
    row = learning_curve(pd.DataFrame(rows)).iloc[0]
    assert row.dice == pytest.approx((0.3 + 0.6) / 2)
    assert row.subjects == 2


def test_conclusions_without_interval():
    curve = pd.DataFrame(
        {"way": [AS_IS, ADAPTED], "scans": [0, 1], "labelled": [0, 2], "dice": [0.1, 0.2],
         "low": np.nan, "high": np.nan, "subjects": 1}
    )  # fmt: skip
    assert "(1 subject: no interval)" in conclusions(curve)[0]
    assert (
        "has its best, 0.200 (1 subject: no interval), with 1 training scan (2"
        in conclusions(curve)[1]
    )


def test_adapting_that_did_not_help_is_said():
    curve = pd.DataFrame(
        {"way": [AS_IS, ADAPTED, ADAPTED], "scans": [0, 1, 2], "labelled": [0, 2, 4],
         "dice": [0.495, 0.486, 0.4], "low": 0.3, "high": 0.6, "subjects": 5}
    )  # fmt: skip
    said = conclusions(curve)[1]
    assert said.startswith("Adapting did not help: no adapted network has a higher Dice")
    assert "The best of them has 0.486" in said
    curve.loc[2, "dice"] = 0.496
    assert conclusions(curve)[1].startswith("Adapted, it has its best, 0.496")


def test_subjects_that_the_model_was_trained_on_are_told(device, tmp_path, monkeypatch):
    monkeypatch.setattr(medream.store, "load_model", lambda _: None)
    monkeypatch.setattr(medream.store, "info_of", lambda _: ModelInfo(classes=("fluid",)))
    curve = pd.DataFrame(
        {"way": [AS_IS], "scans": [0], "labelled": [0], "dice": [0.1],
         "low": np.nan, "high": np.nan, "subjects": 1}
    )  # fmt: skip
    monkeypatch.setattr(
        medream.adaptation, "adapt", lambda *_, **__: Adaptation(pd.DataFrame({"x": [1]}), curve)
    )
    target = md.open_dataset(device)
    (tmp_path / "model").mkdir()
    settings = {"model": str(tmp_path / "model"), "target": str(device), "batch_size": 1,
                "image_size": [32, 32], "scans": [1], "seeds": 1, "steps": 1, "learning_rate": None,
                "freeze": [], "scratch": False}  # fmt: skip
    RunRecord("train", {}, seed=0, inputs=input_hashes(target)).write(tmp_path / "model")
    with pytest.warns(UserWarning, match="took part in training or chose the epoch"):
        run_adapt(settings, tmp_path / "out")
    assert "took part in training" in (tmp_path / "out" / "summary.md").read_text()
    RunRecord("train", {}, seed=0, inputs={"else": "0" * 64}).write(tmp_path / "model")
    run_adapt(settings, tmp_path / "out")
    assert "took part" not in (tmp_path / "out" / "summary.md").read_text()
