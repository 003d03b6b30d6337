"""Training: what it learns, what it refuses, and that a kill costs nothing."""

import dataclasses
import json
import os
import shutil

import keras
import numpy as np
import pandas as pd
import pytest

import medream as md
from medream.errors import ConfigError, OutputError, TrainingError
from medream.phantom import save_phantom
from medream.split import LeakWarning
from medream.store import info_of
from medream.training import epochs

SMALL = md.UNetConfig(levels=1, base_filters=4)
BRIEF = md.TrainConfig(epochs=3, batch_size=2, image_size=(32, 32), seed=1)


@pytest.fixture(scope="module")
def scans():
    return md.phantom_scans(12, seed=3, size=(64, 64))


@pytest.fixture(scope="module")
def trained(scans, tmp_path_factory):
    return md.train(scans, SMALL, BRIEF, tmp_path_factory.mktemp("model") / "unet1")


def weights(folder):
    return md.load_model(folder).get_weights()


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_plain_keras_opens_the_model(trained):
    model = keras.models.load_model(trained / "model.keras")
    assert model.output_names == ["probabilities"]
    assert same(model.get_weights(), weights(trained))


def test_the_folder_tells_what_ran(trained, scans):
    record = json.loads((trained / "run.json").read_text())
    history = pd.read_csv(trained / "history.csv")
    assert len(history) == 3
    assert record["results"]["validation_dice"] == pytest.approx(
        history.validation_dice.max(), abs=1e-6
    )
    people = record["results"]["subjects"]
    assert not set(people["training"]) & set(people["validation"])
    assert set(people["training"]) | set(people["validation"]) == {
        s.source.subject_id for s in scans
    }
    assert info_of(md.load_model(trained)).classes == ("fluid",)
    assert "not for diagnosis" in (trained / "card.md").read_text()
    assert list((trained / "tensorboard").iterdir())


def test_the_threshold_is_kept_and_old_folders_have_one(trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "m")
    value = json.loads((folder / "model.json").read_text())
    value["threshold"] = 0.37
    (folder / "model.json").write_text(json.dumps(value))
    assert info_of(md.load_model(folder)).threshold == 0.37
    del value["threshold"]
    (folder / "model.json").write_text(json.dumps(value))
    assert info_of(md.load_model(folder)).threshold == 0.5


def test_normalisation_comes_from_the_valid_pixels(trained, scans):
    people = json.loads((trained / "run.json").read_text())["results"]["subjects"]["training"]
    kept = np.concatenate(
        [
            (s.image if s.valid is None else s.image[s.valid]).ravel()
            for s in scans
            if s.source.subject_id in people
        ]
    )
    unet = info_of(md.load_model(trained)).unet
    assert unet["input_mean"] == pytest.approx(kept.mean(), abs=1e-4)
    assert unet["input_std"] == pytest.approx(kept.std(), abs=1e-4)


def test_same_seed_same_weights_other_seed_others(trained, scans, tmp_path):
    again = md.train(scans, SMALL, BRIEF, tmp_path / "again")
    assert same(weights(trained), weights(again))
    for name in ("model.keras", "model.json", "history.csv", "card.md"):
        assert (trained / name).read_bytes() == (again / name).read_bytes(), name
    other = md.train(scans, SMALL, md.TrainConfig(**{**vars(BRIEF), "seed": 2}), tmp_path / "other")
    assert not same(weights(trained), weights(other))


def test_it_learns(tmp_path):
    scans = md.phantom_scans(32, seed=4, size=(96, 96))
    config = md.TrainConfig(epochs=25, image_size=(96, 96), patience=25, learning_rate=3e-3)
    folder = md.train(scans, md.UNetConfig(levels=2, base_filters=8), config, tmp_path / "m")
    history = pd.read_csv(folder / "history.csv")
    assert history.loss.iloc[-1] < 0.8 * history.loss.iloc[0]
    assert history.validation_dice.max() > 0.3


def test_stops_when_it_no_longer_helps(scans, tmp_path):
    config = md.TrainConfig(
        epochs=30, batch_size=2, image_size=(32, 32), learning_rate=1e-9, patience=2
    )
    history = pd.read_csv(md.train(scans, SMALL, config, tmp_path / "m") / "history.csv")
    assert len(history) == 1 + int(history.validation_dice.argmax()) + 2


def test_while_nothing_is_found_the_last_epoch_is_kept_and_that_is_said(
    scans, tmp_path, monkeypatch
):
    config = dataclasses.replace(BRIEF, patience=1)
    judged = []

    def nothing_found(network, *_):
        if len(judged) == 2 and not stopped:
            stopped.append(True)
            raise KeyboardInterrupt
        judged.append(network.get_weights())
        return 0.0

    monkeypatch.setattr(epochs, "validation_dice", nothing_found)
    stopped = []
    with pytest.raises(KeyboardInterrupt):
        md.train(scans, SMALL, config, tmp_path / "m")
    with pytest.warns(UserWarning, match="No epoch found any lesion of the validation scans"):
        out = md.train(scans, SMALL, config, tmp_path / "m", resume=True)
    assert len(judged) == 3  # patience 1 has not ended it
    assert same(judged[-1], weights(out))
    assert json.loads((out / "run.json").read_text())["results"]["best_epoch"] == 3
    assert "No epoch found any lesion" in (out / "card.md").read_text()
    whole, stopped = judged[:], [True]
    judged.clear()
    with pytest.warns(UserWarning, match="No epoch found"):
        md.train(scans, SMALL, config, tmp_path / "whole")
    assert all(map(same, whole, judged))


def test_transfer_starts_from_the_weights_and_freezes(trained, scans, tmp_path):
    config = md.TrainConfig(epochs=1, batch_size=2, image_size=(32, 32))
    folder = md.train(
        scans, None, config, tmp_path / "m", start_from=trained, freeze=["enc*", "mid*"]
    )
    before, after = md.load_model(trained), md.load_model(folder)
    for layer in before.layers:
        unchanged = same(layer.get_weights(), after.get_layer(layer.name).get_weights())
        frozen = layer.name.startswith(("enc", "mid"))
        assert unchanged == (frozen or not layer.get_weights()), layer.name
    with pytest.raises(ConfigError, match=r"'enc1_convo1'.*enc1_conv1"):
        md.train(scans, None, config, tmp_path / "n", start_from=trained, freeze=["enc1_convo1"])


def test_everything_wrong_is_listed_before_training(scans, tmp_path):
    bare = [md.Scan(s.image, source=s.source) for s in scans]
    with pytest.raises(ConfigError, match=r"have no mask.*no multiple of 2"):
        md.train(bare, SMALL, md.TrainConfig(image_size=(33, 32)), tmp_path / "m")
    healthy = [md.Scan(s.image, s.mask * np.uint8(0), source=s.source) for s in scans]
    with pytest.raises(ConfigError, match="holds a lesion"):
        md.train(healthy, SMALL, BRIEF, tmp_path / "m")
    two = [md.Scan(s.image, s.mask, classes=("IRF", "SRF"), source=s.source) for s in scans]
    with pytest.raises(ConfigError, match=r"classes=3"):
        md.train(two, SMALL, BRIEF, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_finished_model_is_not_overwritten(trained, scans):
    with pytest.raises(ConfigError, match="already holds a model"):
        md.train(scans, SMALL, BRIEF, trained)
    other = md.TrainConfig(**{**vars(BRIEF), "ema": 0.9, "loss": "focal"})
    with pytest.raises(ConfigError, match=r"other settings \(loss, ema differ\)"):
        md.train(scans, SMALL, other, trained, resume=True)
    longer = dataclasses.replace(BRIEF, epochs=9)
    with pytest.raises(ConfigError, match=r"\(epochs differs\).* to train longer, begin .* --from"):
        md.train(scans, SMALL, longer, trained, resume=True)


def test_loss_that_is_no_number_keeps_the_best_network(scans, tmp_path):
    config = md.TrainConfig(epochs=2, batch_size=2, image_size=(32, 32), learning_rate=1e30)
    with pytest.raises(TrainingError, match="--learning-rate"):
        md.train(scans, SMALL, config, tmp_path / "m")


@pytest.mark.parametrize(
    ("full", "nth"),
    [("model.keras", 1), ("checkpoint.npz", 1), ("checkpoint.npz", 2), ("card.md", 1)],
)
def test_a_full_disk_at_any_moment_leaves_a_model_or_nothing(
    trained, scans, tmp_path, monkeypatch, full, nth
):
    import medream.files

    folder, replace, left = tmp_path / "m", os.replace, [nth]

    def until_full(source, target):
        if str(target).endswith(full):
            left[0] -= 1
            if not left[0]:
                raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(medream.files.os, "replace", until_full)
    with pytest.raises(OutputError, match=rf"{full}.*free space"):
        md.train(scans, SMALL, BRIEF, folder)
    monkeypatch.undo()
    if (folder / "model.keras").exists():
        assert info_of(md.load_model(folder)).classes == ("fluid",)
        assert json.loads((folder / "run.json").read_text())["command"] == "train"
    assert md.train(scans, SMALL, BRIEF, folder, resume=True) == folder
    assert same(weights(trained), weights(folder))
    assert (folder / "card.md").exists()
    assert not list(folder.glob(".partial-*"))


def leaking(folder, scans):
    """Write scans with a subject in train and test."""
    save_phantom(scans, folder)
    for part in ("Image", "GT"):
        first = sorted((folder / "test" / part).iterdir())[0]
        shutil.copy(first, folder / "train" / part / first.name)
    return first.name.split("_")[0]


def test_a_subject_on_both_sides_is_refused(scans, tmp_path):
    subject = leaking(tmp_path / "data", scans)
    with pytest.warns(LeakWarning):
        dataset = md.open_dataset(tmp_path / "data", split="train")
    with pytest.raises(ConfigError, match=rf"{subject} in train and test.*Move all"):
        md.train(dataset, SMALL, BRIEF, tmp_path / "m")
    with pytest.raises(ConfigError, match="in train and validation"):
        md.train(scans, SMALL, BRIEF, tmp_path / "m", validation=scans[-1:])
    assert not (tmp_path / "m").exists()


def test_scans_of_one_subject_or_of_nobody_known_may_be_parted(scans, tmp_path):
    config = md.TrainConfig(epochs=1, batch_size=2, image_size=(32, 32))
    one = [
        s.with_source(md.Source(subject_id="subject1", bscan_index=k)) for k, s in enumerate(scans)
    ]
    md.train(one[:9], SMALL, config, tmp_path / "one", validation=one[9:])
    nobody = [
        s.with_source(md.Source("cirrus_3", ("cirrus_3", "a")[k % 2])) for k, s in enumerate(scans)
    ]
    md.train(nobody[:9], SMALL, config, tmp_path / "two", validation=nobody[10:11])
