"""What a training says of itself, the threshold that it chooses, and what it leaves for other tools."""

import json
import sys
import types
from typing import ClassVar

import keras
import numpy as np
import pandas as pd
import pytest

import medream as md
from medream.errors import MissingExtraError, OutputError
from medream.metrics import confusion, overlap
from medream.training.card import results_of, write_card
from medream.training.census import take_census
from medream.training.journal import Journal
from medream.training.networks import lesion_patches, lesion_pixels, make_trainer
from medream.training.precision import settle_precision
from medream.training.validation import choose_threshold, validation_dice

UNET = md.UNetConfig(levels=1, base_filters=2)
ROWS = [
    {"epoch": 1, "loss": 0.9, "validation_dice": 0.3, "learning_rate": 0.002, "lesion_patches": 0.5,
     "lesion_pixels": 0.02},
    {"epoch": 2, "loss": 0.7, "validation_dice": 0.6, "learning_rate": 0.001, "lesion_patches": 0.7,
     "lesion_pixels": 0.04},
]  # fmt: skip


@pytest.fixture(scope="module")
def scans():
    return md.phantom_scans(8, seed=3, size=(64, 64))


class Bright(keras.layers.Layer):
    """A network whose probability is the scan's intensity."""

    def call(self, x):
        return x


def bright():
    inputs = keras.Input((None, None, 1))
    return keras.Model(inputs, Bright()(inputs))


def painted(values, mask, valid=None):
    image = np.array(values, "float32").reshape(4, -1)
    return md.Scan(image, np.array(mask, "uint8").reshape(4, -1), valid=valid)


def test_the_threshold_has_the_best_dice_of_all(scans):
    """Against a search over all thresholds with another function."""
    rng = np.random.default_rng(0)
    lesion = rng.random((2, 4, 40)) < 0.3
    parts = [
        painted(np.clip(rng.normal(0.3 + 0.25 * m, 0.1), 0, 1).astype("float32"), m, rng.random((4, 40)) < 0.9)
        for m in lesion
    ]  # fmt: skip
    model = bright()
    threshold, dice, at_half = choose_threshold(model, parts)

    def pooled(t):
        counts = [confusion(s.mask > 0, s.image >= np.float32(t), s.valid) for s in parts]
        return overlap(**{k: sum(c[k] for c in counts) for k in counts[0]})["dice"]

    assert dice == pytest.approx(max(pooled(t) for t in np.arange(1, 1000) / 1000))
    assert dice == pytest.approx(pooled(threshold))
    assert at_half == pytest.approx(pooled(0.5)) == pytest.approx(validation_dice(model, parts))
    assert dice > at_half


def test_validation_dice_is_over_the_classes_that_the_masks_hold():
    """A single pixel of a class that nobody has would else halve the score of an epoch."""
    inputs = keras.Input((None, None, 1))
    third = keras.layers.Conv2D(3, 1, kernel_initializer="zeros", bias_initializer="zeros")
    model = keras.Model(inputs, third(inputs))
    third.set_weights([np.array([[[[0, 5, 9]]]], "float32"), np.array([0, 0, -3.5], "float32")])
    scan = md.Scan(
        np.array([[0.2] * 3 + [1.0]], "float32"), np.array([[1, 1, 1, 0]], "uint8"), ("a", "b")
    )
    assert md.segment(model, scan).mask.tolist() == [[1, 1, 1, 2]]
    assert validation_dice(model, [scan]) == 1.0


def test_shares_of_patches_by_hand():
    labels = np.zeros((3, 2, 2, 1))
    labels[0, 0, 0], labels[1] = 2, 255
    labels[2, 0], labels[2, 1, 0] = 1, 255
    assert lesion_patches(labels, None).numpy().tolist() == [1, 0, 1]
    assert lesion_pixels(labels, None).numpy() == pytest.approx([0.25, 0, 2 / 3])


def test_the_card_says_how_it_was_chosen_and_sampled(scans, tmp_path):
    training, validation = take_census(scans[:6]), take_census(scans[6:])
    config = md.TrainConfig(lesion_scans=0.8, loss="focal")
    results = results_of(pd.DataFrame(ROWS), training, validation, config)
    assert (results["best_epoch"], results["validation_dice"], results["epochs"]) == (2, 0.6, 2)
    told = results["sampling"]
    assert told["in the patches"] == {
        "cut from scans with a lesion": 0.8,
        "patches with a lesion": 0.6,
        "lesion pixels": 0.03,
    }
    share = np.mean([s.mask.any() for s in scans[:6]])
    assert told["in the scans"]["scans with a lesion"] == pytest.approx(share, abs=1e-6)
    threshold = {"value": 0.41, "chosen_on": "validation", "dice": 0.62, "dice_at_half": 0.6}
    results |= {"threshold": threshold, "precision": "float32"}
    write_card(tmp_path, md.build_unet(UNET), UNET, config, training, validation, results)
    card = (tmp_path / "card.md").read_text()
    assert (
        "0.410, the one with the best Dice on the validation scans (pooled pixels): 0.620, against 0.600"
        in card
    )
    assert "No test scan had a part in it." in card
    assert (
        "cut from scans with a lesion 80 %, patches with a lesion 60 %, lesion pixels 3 %" in card
    )
    assert "U-Net with 1 level, " in card
    assert f"- Trained on: 6 B-scans of {len(training.subjects)} subjects of" in card
    assert "No epoch found" not in card
    results["threshold"] = {"value": 0.4, "chosen_on": None}
    write_card(tmp_path, md.build_unet(UNET), UNET, config, training, validation, results)
    assert (
        "- Threshold of probability: 0.4, as it was asked for."
        in (tmp_path / "card.md").read_text()
    )


def test_precisions():
    assert settle_precision("float32") == "float32"
    assert settle_precision("mixed_float16") == "mixed_float16"
    assert settle_precision("auto") in ("float32", "mixed_bfloat16")


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_another_precision_is_of_the_computation_only(precision):
    network = md.build_unet(UNET)
    trainer = make_trainer(network, precision)
    assert {w.dtype for w in trainer.weights} == {"float32"}
    half = precision.removeprefix("mixed_")
    assert trainer.get_layer("enc1_conv1").compute_dtype == half
    for name in ("normalize", "logits"):
        assert trainer.get_layer(name).compute_dtype == "float32"
    image = np.random.default_rng(0).random((1, 8, 8, 1)).astype("float32")
    rounded = trainer(image).numpy()
    exact = make_trainer(network)(image).numpy()
    assert rounded.dtype == np.float32
    np.testing.assert_allclose(rounded, exact, atol=0.05)
    assert not np.array_equal(rounded, exact)
    assert half not in json.dumps(network.get_config())


class FakeClient:
    """What `Journal` uses of MLflow's client; tests with the package itself are below."""

    runs: ClassVar[dict] = {}

    def __init__(self, tracking_uri):
        self.uri = tracking_uri

    def get_experiment_by_name(self, name):
        return None

    def create_experiment(self, name):
        return name

    def create_run(self, experiment, tags, run_name):
        self.runs["1"] = {"tags": tags, "name": run_name, "params": {}, "metrics": {}}
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="1"))

    def get_run(self, run):
        return self.runs[run]

    def log_param(self, run, name, value):
        self.runs[run]["params"][name] = value

    def log_metric(self, run, name, value, step=0):
        self.runs[run]["metrics"].setdefault(name, {})[step] = value

    def set_terminated(self, run):
        self.runs[run]["ended"] = True


def test_mlflow_gets_settings_and_epochs_and_nothing_of_people(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", types.SimpleNamespace(MlflowClient=FakeClient))
    folder = tmp_path / "runs" / "unet1"
    folder.mkdir(parents=True)
    settings = {"dataset": "/home/somebody/scans", "unet": {"levels": 1}, "freeze": [],
                "train": {"epochs": 2, "layer_rates": {"enc*": 0.1}}}  # fmt: skip
    for row in ROWS:  # the second by a resumed training
        journal = Journal(folder, str(tmp_path / "tracking"))
        journal.begin(settings)
        with journal:
            journal.write(row)
    journal.end({"validation_dice": 0.6, "subjects": {"training": ["p1"]}})
    (run,) = FakeClient.runs.values()
    assert run["name"] == "unet1"
    assert run["params"] == {
        "unet.levels": 1,
        "train.epochs": 2,
        "train.layer_rates.enc*": 0.1,
        "freeze": [],
    }
    assert run["metrics"]["loss"] == {1: 0.9, 2: 0.7}
    assert run["metrics"]["learning_rate"] == {1: 0.002, 2: 0.001}
    assert run["ended"]
    assert "somebody" not in json.dumps(run)
    assert "p1" not in json.dumps(run)
    assert list((folder / "tensorboard").iterdir())


def test_without_mlflow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtraError, match=r"medream\[mlflow\]"):
        Journal(tmp_path, str(tmp_path / "tracking"))
    Journal(tmp_path)


@pytest.mark.slow
def test_mlflow_itself(tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    journal = Journal(tmp_path, str(tmp_path / "tracking"))
    journal.begin({"unet": {"levels": 1}, "train": {"epochs": 2}, "freeze": []})
    with journal:
        for row in ROWS:
            journal.write(row)
    journal.end({"validation_dice": 0.6})
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'tracking' / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("medream").experiment_id])
    assert [m.value for m in client.get_metric_history(run.info.run_id, "loss")] == [0.9, 0.7]
    assert run.data.params == {"unet.levels": "1", "train.epochs": "2", "freeze": "[]"}
    assert run.info.status == "FINISHED"
    assert run.info.user_id == "unknown"
    with pytest.raises(OutputError, match="MLflow cannot use"):
        Journal(tmp_path, "nonsense://here")
