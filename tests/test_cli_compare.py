"""The face of medream compare: its options, what it refuses, and which subjects take part."""

import json

import pytest
from test_cli import run

import medream as md
from medream.cli import compare as command
from medream.phantom import save_phantom


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    save_phantom(md.phantom_scans(12, seed=5, size=(48, 64), bscans_per_subject=2), folder)
    return folder


@pytest.fixture
def asked(monkeypatch):
    """What the library is asked for by the command."""
    found = {}

    def compare(scans, config, out, *, cluster, record):
        found.update(scans=scans, config=config, cluster=cluster, record=record)
        out.mkdir(parents=True)
        record.write(out, pooled_dice={"unet2": {"fluid": [0.5, 0.4, 0.6]}})

    monkeypatch.setattr("medream.comparison.compare", compare)
    return found


def test_options_become_settings(data, asked, tmp_path):
    out = tmp_path / "depth"
    shown = run(
        "compare", data, "--levels", 4, "--levels", 2, "--folds", 3, "--seeds", 2, "--seed", 5, "--epochs", 7,
        "--image-size", 32, 48, "--no-augment", "--set", "optimizer=adamw", "--set", "ema=0.9",
        "--base-filters", 4, "--cluster", "local:2", "--out", out,
    )  # fmt: skip
    config = asked["config"]
    assert (config.levels, config.folds, config.seeds) == ((4, 2), 3, 2)
    assert config.unet == {"base_filters": 4}
    train = config.train
    assert (train.epochs, train.image_size, train.augment, train.seed) == (7, (32, 48), False, 5)
    assert (train.optimizer, train.ema, train.batch_size) == (
        "adamw",
        0.9,
        md.TrainConfig().batch_size,
    )
    assert asked["cluster"] == "local:2"
    assert shown.strip().splitlines()[-1] == str(out)
    settings = asked["record"].settings
    assert settings["dataset"] == str(data)
    assert "cluster" not in settings
    # The record alone asks for the same comparison.
    command.run_compare(json.loads(json.dumps(settings)), tmp_path / "again")
    assert asked["config"] == config


def test_leave_one_out_and_json(data, asked, tmp_path):
    shown = run("compare", data, "--leave-one-out", "--json", "--out", tmp_path / "m")
    assert asked["config"].folds is None
    assert asked["config"].levels == (2, 3, 4)
    assert json.loads(shown)["pooled_dice"]["unet2"]["fluid"] == [0.5, 0.4, 0.6]


def test_all_subjects_take_part_unless_the_test_part_is_kept_out(data, asked, tmp_path):
    test = {s.subject_id for s in md.open_dataset(data, split="test").sources}
    run("compare", data, "--out", tmp_path / "all")
    assert {s.subject_id for s in asked["scans"].sources} > test
    run("compare", data, "--without-test", "--out", tmp_path / "rest")
    assert not {s.subject_id for s in asked["scans"].sources} & test
    for part in ("Image", "GT"):
        assert (data / "test" / part).is_dir()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--set", "optimiser=adamw"), "no setting 'optimiser' (The nearest names are: optimizer"),
        (("--set", "ema=2"), "ema is 2"),
        (("--loss", "dise"), "loss is 'dise'"),
        (("--cluster", "pbs"), "There is no cluster 'pbs'"),
        (("--folds", 9), "6 subjects for 9 folds"),
        (("--image-size", 36, 36, "--levels", 3), "no multiple of 8"),
    ],
)
def test_what_is_wrong_is_one_paragraph(data, options, said, tmp_path):
    shown = run("compare", data, "--epochs", 1, *options, "--out", tmp_path / "m", code=1)
    assert said in shown
    assert not (tmp_path / "m").exists()


def test_a_setting_without_a_value_is_a_wrong_use(data, tmp_path):
    run("compare", data, "--set", "ema", "--out", tmp_path / "m", code=2)
    assert not (tmp_path / "m").exists()
