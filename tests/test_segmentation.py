"""Several networks, mirror images and thresholds; the networks are small and their weights are drawn."""

import json
import shutil

import keras
import numpy as np
import pytest

import medream as md
from medream.errors import ConfigError, ModelError
from medream.store import ModelInfo, load_ensemble, save_info, save_keras


def network(seed=0, outputs=1, **info):
    model = md.build_unet(md.UNetConfig(levels=1, base_filters=2, classes=outputs), seed=seed)
    object.__setattr__(model, "_medream_info", ModelInfo(**info))
    return model


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).random((13, 22), dtype="float32")


def test_several_networks_are_averaged(image):
    models = [network(seed) for seed in range(3)]
    each = [md.segment(model, image).probability for model in models]
    assert not np.allclose(each[0], each[1])
    found = md.segment(models, image)
    np.testing.assert_allclose(found.probability, np.mean(each, axis=0), atol=1e-6)
    np.testing.assert_array_equal(found.mask, found.probability >= 0.5)
    alone = md.segment(models[:1], image)
    np.testing.assert_array_equal(alone.probability, each[0])


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_mirror_image_is_mirrored_back(image, outputs):
    model = network(outputs=outputs)
    plain = md.segment(model, image).probability
    mirrored = md.segment(model, image[:, ::-1]).probability[:, ::-1]
    assert not np.allclose(plain, mirrored, atol=1e-4)
    found = md.segment(model, image, tta=True)
    np.testing.assert_allclose(found.probability, (plain + mirrored) / 2, atol=1e-6)
    assert found.mask.shape == image.shape


def echo(**info):
    """Return a network that says the grey value is the probability."""
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, keras.layers.Activation("linear")(inputs))
    object.__setattr__(model, "_medream_info", ModelInfo(**info))
    return model


def test_the_threshold_is_the_one_that_training_chose(image):
    low, high = echo(threshold=0.2), echo(threshold=0.6)
    for models, expected in ((low, 0.2), (high, 0.6), ([low, high], 0.4), (echo(), 0.5)):
        np.testing.assert_array_equal(md.segment(models, image).mask, image >= expected)
        given = md.segment(models, image, threshold=0.7)
        np.testing.assert_array_equal(given.mask, image >= 0.7)
    for wrong in (1.5, -0.1, float("nan")):
        with pytest.raises(ConfigError, match="from 0 to 1"):
            md.segment(low, image, threshold=wrong)


def test_networks_of_different_classes_are_refused(image):
    unnamed = network(0, 3)
    fluids = network(1, 3, classes=("IRF", "SRF"))
    turned = network(2, 3, classes=("SRF", "IRF"))
    for wrong in ([network(), fluids], [fluids, turned]):
        with pytest.raises(ModelError, match="different classes"):
            md.segment(wrong, image)
    assert md.segment([unnamed, fluids], image).classes == ("IRF", "SRF")
    with pytest.raises(ModelError, match="no network"):
        md.segment([], image)


def test_folds_of_a_comparison_are_one_ensemble(tmp_path):
    folder = tmp_path / "unet1"
    for seed in (0, 1):
        fold = folder / f"fold{seed}-seed0"
        fold.mkdir(parents=True)
        save_keras(network(seed), fold / "model.keras")
        save_info(ModelInfo(classes=("fluid",), threshold=0.2 + 0.2 * seed), fold)
    models = load_ensemble(folder)
    assert [model._medream_info.threshold for model in models] == pytest.approx([0.2, 0.4])
    assert len(load_ensemble(folder / "fold0-seed0")) == 1
    record = {"command": "train", "settings": {}, "results": {}}
    (folder / "fold1-seed0" / "run.json").write_text(json.dumps(record))
    with pytest.raises(ModelError, match=r"fold1-seed0 was not finished"):
        load_ensemble(folder)
    shutil.rmtree(folder / "fold1-seed0")
    shutil.rmtree(folder / "fold0-seed0")
    with pytest.raises(ModelError, match="no model folder"):
        load_ensemble(folder)
