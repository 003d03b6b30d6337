"""The store, segmentation and evaluation."""

import json
import zipfile

import keras
import numpy as np
import pytest

import medream as md
from medream.errors import ConfigError, ModelError
from medream.metrics import score
from medream.store import info_of


@pytest.fixture(scope="module")
def model():
    return md.build_unet(md.UNetConfig(levels=2, base_filters=4))


def test_keras_and_h5_files_open_with_the_same_weights(model, tmp_path):
    image = np.random.default_rng(0).random((1, 16, 24, 1), dtype="float32")
    for name in ("net.keras", "net.h5"):
        model.save(tmp_path / name)
        opened = md.load_model(tmp_path / name)
        np.testing.assert_array_equal(opened(image), model(image))
        assert info_of(opened).ref == str((tmp_path / name).resolve())


def test_keras_applications_by_name():
    assert len(md.load_model("keras:MobileNetV2").layers) > 100
    with pytest.raises(ModelError, match="MobileNetV2"):
        md.load_model("keras:MobilNetV2")


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="no model at"):
        md.load_model(tmp_path / "absent")
    (tmp_path / "text.keras").write_text("hello")
    with pytest.raises(ModelError, match=r"neither a \.keras nor a \.h5"):
        md.load_model(tmp_path / "text.keras")
    with pytest.raises(ModelError, match="no model folder"):
        md.load_model(tmp_path)


def test_damaged_files_are_refused(model, tmp_path):
    path = tmp_path / "net.keras"
    model.save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ModelError, match=r"net\.keras"):
        md.load_model(path)


def test_code_in_a_file_is_not_run(tmp_path):
    inputs = keras.Input((4, 4, 1))
    unsafe = keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1)(inputs))
    unsafe.save(tmp_path / "unsafe.keras")
    with pytest.raises(ModelError, match="trust=True"):
        md.load_model(tmp_path / "unsafe.keras")
    assert (
        md.load_model(tmp_path / "unsafe.keras", trust=True)(np.zeros((1, 4, 4, 1))).numpy().max()
        == 1
    )


def test_classes_from_outside_keras_are_refused(model, tmp_path):
    model.save(tmp_path / "net.keras")
    with zipfile.ZipFile(tmp_path / "net.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    config["config"]["layers"][1]["module"] = "os"
    config["config"]["layers"][1]["class_name"] = "system"
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(tmp_path / "evil.keras", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(ModelError, match="outside Keras"):
        md.load_model(tmp_path / "evil.keras")


@pytest.mark.parametrize("shape", [(16, 16), (17, 31), (5, 3), (1, 1)])
def test_segmentation_of_any_size(model, shape):
    image = np.random.default_rng(0).random(shape, dtype="float32")
    before = image.copy()
    found = md.segment(model, image)
    assert found.mask.shape == found.probability.shape == shape
    assert found.mask.dtype == np.uint8
    assert found.probability.dtype == np.float32
    np.testing.assert_array_equal(found.mask, found.probability >= 0.5)
    np.testing.assert_array_equal(image, before)


def test_padding_changes_nothing_far_from_the_border(model):
    image = np.random.default_rng(1).random((96, 96), dtype="float32")
    whole, cut = (
        md.segment(model, image).probability,
        md.segment(model, image[:93, :95]).probability,
    )
    np.testing.assert_allclose(cut[:40, :40], whole[:40, :40], atol=1e-6)


def test_softmax_networks_and_fixed_sizes():
    three = md.build_unet(md.UNetConfig(levels=1, base_filters=2, classes=3))
    found = md.segment(three, np.zeros((7, 9), "float32"))
    assert found.probability.shape == (7, 9, 3)
    assert found.classes == ("class1", "class2")
    np.testing.assert_array_equal(found.mask, found.probability.argmax(-1))
    inputs = keras.Input((32, 32, 3))
    fixed = keras.Model(inputs, keras.layers.Conv2D(1, 1, activation="sigmoid")(inputs))
    assert md.segment(fixed, np.zeros((7, 9), "float32")).mask.shape == (7, 9)


def test_invalid_pixels_are_background(model):
    valid = np.ones((16, 16), bool)
    valid[:4] = False
    scan = md.Scan(np.ones((16, 16), "float32"), valid=valid)
    assert not md.segment(model, scan, threshold=0.0).mask[:4].any()
    assert md.segment(model, scan, threshold=0.0).mask[4:].all()


def test_a_classifier_cannot_segment():
    inputs = keras.Input((8, 8, 1))
    classifier = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    with pytest.raises(ModelError, match="map of the same size"):
        md.segment(classifier, np.zeros((8, 8), "float32"))


def test_evaluation_has_one_row_per_scan_and_class(model):
    scans = [
        md.Scan(s.image, s.mask, valid=s.valid, spacing_mm=s.spacing_mm, source=s.source)
        for s in md.phantom_scans(3, size=(48, 64))
    ]
    seen = []
    table = md.evaluate(model, scans, on_scan=lambda scan, found: seen.append(found))
    assert len(table) == len(seen) == 3
    for row, scan, found in zip(table.itertuples(), scans, seen, strict=True):
        expected = score(scan.mask > 0, found.mask > 0, scan.valid, scan.spacing_mm)
        assert row.subject_id == scan.source.subject_id
        assert row.tp == expected["tp"]
        assert row.dice == pytest.approx(expected["dice"], nan_ok=True)


def test_evaluation_pairs_classes_by_label():
    three = md.build_unet(md.UNetConfig(levels=1, base_filters=2, classes=3))
    mask = np.zeros((8, 8), "uint8")
    mask[0], mask[1, :2] = 1, 2
    scan = md.Scan(np.zeros((8, 8), "float32"), mask, classes=("IRF", "SRF"))
    table = md.evaluate(three, [scan]).set_index("class")
    assert (table.tp + table.fn).to_dict() == {"IRF": 8, "SRF": 2}
    with pytest.raises(ConfigError, match="no mask"):
        md.evaluate(three, [md.Scan(np.zeros((8, 8), "float32"))])
