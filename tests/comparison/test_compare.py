"""Real trainings, as small as they can be: what is written, and that kills and lost workers cost nothing."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

import medream as md
import medream.comparison
from medream.comparison import compare
from medream.comparison.plan import CompareConfig
from medream.phantom import save_phantom

TABLES = ("subjects", "folds", "pooled", "differences")
COMMAND = (
    "--levels", 1, "--levels", 2, "--folds", 2, "--seeds", 1, "--epochs", 4, "--base-filters", 2,
    "--image-size", 32, 32, "--batch-size", 2,
)  # fmt: skip


def medream_command(*words):
    return [sys.executable, "-m", "medream.cli", *map(str, words)]


def run(*words):
    done = subprocess.run(medream_command(*words), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def weights(folder):
    return md.load_model(folder).get_weights()


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    save_phantom(md.phantom_scans(12, seed=5, size=(48, 64), bscans_per_subject=2), folder)
    return folder


def test_trainings_and_their_scores(tmp_path, monkeypatch):
    scans = md.phantom_scans(8, seed=5, size=(48, 64), bscans_per_subject=2)
    train = md.TrainConfig(epochs=1, batch_size=2, image_size=(32, 32))
    config = CompareConfig(levels=(1,), folds=2, seeds=1, unet={"base_filters": 1}, train=train)
    monkeypatch.setattr(medream.comparison, "measure_costs", lambda *_: {})
    monkeypatch.setattr(medream.comparison, "write_report", lambda out, *_: (out, {}))
    out = compare(scans, config, tmp_path / "depth")
    folds = json.loads((out / "folds.json").read_text())["folds"]
    for fold in folds:
        folder = out / "unet1" / f"{fold['name']}-seed0"
        scores = pd.read_csv(folder / "scores.csv")
        assert sorted(scores.subject_id.unique()) == sorted(fold["test"])
        expected = md.evaluate(
            md.load_model(folder), [s for s in scans if s.source.subject_id in fold["test"]]
        )
        assert scores.dice.to_numpy() == pytest.approx(expected.dice.to_numpy(), nan_ok=True)
        record = json.loads((folder / "run.json").read_text())
        assert record["command"] == "compare fold"
        assert record["results"]["training_seconds"] > 0
        people = {name.split("_")[0] for name in record["inputs"]}
        assert people == {*fold["training"], *fold["validation"]}


@pytest.fixture(scope="module")
def killed(data, tmp_path_factory):
    """A comparison that was killed in the first epochs of a fold, within a later one, and between folds."""
    out = tmp_path_factory.mktemp("killed") / "depth"
    moments = (
        ("unet1/fold1-seed0/history.csv", 1),
        ("unet2/fold1-seed0/history.csv", 3),
        ("unet1/fold2-seed0/history.csv", 4),
    )
    for file, rows in moments:
        process = subprocess.Popen(
            medream_command("compare", data, *COMMAND, "--out", out), stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 400
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if len(pd.read_csv(out / file)) >= rows:
                    break
            except (OSError, pd.errors.EmptyDataError):
                pass
            time.sleep(0.01)
        assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (out / "report.html").exists()
    kept = (out / "unet1/fold1-seed0/scores.csv").stat().st_mtime_ns
    run("compare", data, *COMMAND, "--out", out)
    assert (out / "unet1/fold1-seed0/scores.csv").stat().st_mtime_ns == kept
    return out


@pytest.mark.slow
def test_killed_and_gone_on_gives_the_same_weights_and_tables(killed, tmp_path):
    # The whole comparison again without a kill, from its record.
    run("rerun", killed / "run.json", "--out", tmp_path / "whole")
    for file in sorted(killed.glob("unet*/*/model.keras")):
        fold = file.parent.relative_to(killed)
        assert same(weights(file.parent), weights(tmp_path / "whole" / fold)), fold
    assert len(list(killed.glob("unet*/*/model.keras"))) == 4
    for name in TABLES:
        one, other = (
            pd.read_csv(out / "tables" / f"{name}.csv") for out in (killed, tmp_path / "whole")
        )
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert not list(killed.rglob(".partial-*"))
    page = (killed / "report.html").read_text()
    assert page.count("<img") == 6
    assert "Research use, not for diagnosis" in page


@pytest.mark.slow
def test_one_fold_is_repeated_from_its_own_record(killed, tmp_path):
    fold = killed / "unet2" / "fold2-seed0"
    run("rerun", fold / "run.json", "--out", tmp_path / "again")
    assert same(weights(fold), weights(tmp_path / "again"))
    assert (fold / "scores.csv").read_text() == (tmp_path / "again" / "scores.csv").read_text()


@pytest.mark.slow
def test_a_lost_worker_costs_its_fold_nothing(killed, data, tmp_path):
    out = tmp_path / "depth"
    process = subprocess.Popen(
        medream_command("compare", data, *COMMAND, "--cluster", "local:2", "--out", out),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    lost = None
    while process.poll() is None and lost is None:
        for file in out.glob("unet*/*/history.csv"):
            worker = worker_of(process, file.parent / "tensorboard")
            if worker and len(file.read_text().splitlines()) > 1:
                worker.kill()
                lost = file.parent
                break
        time.sleep(0.02)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert lost is not None
    for name in TABLES:
        one, other = (pd.read_csv(o / "tables" / f"{name}.csv") for o in (killed, out))
        # Other numbers of threads add floats in another order.
        pd.testing.assert_frame_equal(one, other, rtol=0.05, atol=0.02)


def worker_of(process, folder):
    """Return the process below another that has a file of a folder open, if any."""
    try:
        for child in psutil.Process(process.pid).children(recursive=True):
            if any(folder.resolve() in Path(file.path).parents for file in child.open_files()):
                return child
    except psutil.Error:
        pass
    return None


@pytest.mark.slow
def test_many_trainings_take_the_memory_of_a_few(tmp_path, monkeypatch):
    scans = md.phantom_scans(12, seed=5, size=(48, 64), bscans_per_subject=2)
    train = md.TrainConfig(epochs=1, batch_size=2, image_size=(32, 32))
    config = CompareConfig(levels=(1, 2), folds=3, seeds=4, unet={"base_filters": 2}, train=train)
    held = []

    def measured(*arguments):
        run_training(*arguments)
        held.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20)
        shutil.rmtree(arguments[2] / "tensorboard", ignore_errors=True)

    from medream.comparison import running

    run_training = running.run_training
    monkeypatch.setattr(running, "run_training", measured)
    monkeypatch.setattr(medream.comparison, "score_ensembles", lambda *_: None)
    monkeypatch.setattr(medream.comparison, "measure_costs", lambda *_: {})
    monkeypatch.setattr(medream.comparison, "read_results", lambda *_: None)
    monkeypatch.setattr(medream.comparison, "write_report", lambda out, *_: (out, {}))
    compare(scans, config, tmp_path)
    assert len(held) == 24
    # After the first few, a training leaves less than 3 MiB behind.
    assert held[-1] - held[7] < 3 * 16, held
