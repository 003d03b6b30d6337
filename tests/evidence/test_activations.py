"""Maps of units: the network's own numbers, at any size of scan."""

import keras
import numpy as np
import pytest

import medream as md
from medream.errors import LayerError, ScanError
from medream.evidence.activations import activate, maps_by_energy

L = keras.layers


@pytest.fixture(scope="module")
def unet() -> keras.Model:
    return md.build_unet(md.UNetConfig(levels=2, base_filters=4))


def image(depth, width, seed=0):
    return np.random.default_rng(seed).random((depth, width), dtype=np.float32)


def test_maps_are_what_keras_gives(unet):
    scan = image(32, 24)
    own = keras.Model(unet.input, unet.get_layer("enc2_conv2").output)
    expected = own(scan[None, ..., None], training=False)[0].numpy()
    found = activate(unet, "enc2_conv2", scan)
    np.testing.assert_allclose(found.maps, expected, atol=1e-5)
    assert found.upsampled([0, 3]).shape == (32, 24, 2)


def test_a_size_that_is_no_multiple_of_the_stride_is_mirrored_and_cut_back(unet):
    scan = image(30, 21)
    mirrored = np.pad(scan, ((0, 2), (0, 3)), mode="symmetric")
    found, whole = activate(unet, "mid_conv2", scan), activate(unet, "mid_conv2", mirrored)
    np.testing.assert_allclose(found.full, whole.full, atol=1e-6)
    assert found.maps.shape[:2] == (8, 6)
    assert activate(unet, "enc1_conv1", scan).maps.shape[:2] == scan.shape
    assert activate(unet, "enc2_conv1", scan).maps.shape[:2] == (15, 11)
    assert found.upsampled().shape[:2] == scan.shape
    np.testing.assert_allclose(found.upsampled(), whole.upsampled()[:30, :21], atol=1e-6)


def test_upsampling_is_bilinear_between_the_centres_of_positions():
    entry = keras.Input((None, None, 1))
    model = keras.Model(entry, L.AveragePooling2D(2, name="half")(entry))
    ramp = np.repeat(np.arange(16, dtype=np.float32)[None] / 16, 8, axis=0)
    found = activate(model, "half", ramp).upsampled()[..., 0]
    np.testing.assert_allclose(found[:, 1:-1], ramp[:, 1:-1], atol=1e-6)  # a ramp stays a ramp


def test_positions_of_invalid_pixels_do_not_count(unet):
    valid = np.ones((30, 21), bool)
    valid[:16] = False
    counted = activate(unet, "mid_conv2", image(30, 21)).counted(valid)
    assert counted.shape == (8, 6)
    assert not counted[:3].any()
    assert counted[5:].all()


def test_a_network_of_one_size_sees_the_resized_scan_as_segment_does():
    entry = keras.Input((16, 16, 1))
    model = keras.Model(entry, L.Conv2D(1, 1, name="logits")(entry))
    model.get_layer("logits").set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
    found = activate(model, "logits", image(40, 24))
    assert found.maps.shape == (16, 16, 1)
    np.testing.assert_allclose(
        found.upsampled()[..., 0], md.segment(model, image(40, 24)).probability, atol=1e-5
    )


def test_the_strongest_map_comes_first():
    entry = keras.Input((None, None, 1))
    model = keras.Model(entry, L.Conv2D(3, 1, name="conv")(entry))
    model.get_layer("conv").set_weights(
        [np.array([1.0, -3.0, 2.0]).reshape(1, 1, 1, 3), np.zeros(3)]
    )
    valid = np.ones((8, 8), bool)
    valid[:4] = False
    scan = md.Scan(np.where(valid, 0.5, 1.0).astype(np.float32), valid=valid)
    maps, units, energies = maps_by_energy(model, "conv", scan)
    assert units.tolist() == [1, 2, 0]
    np.testing.assert_allclose(energies, [2.25, 1.0, 0.25])
    assert maps.shape == (3, 8, 8)
    assert maps[0].min() == -3


def test_refusals(unet):
    with pytest.raises(LayerError, match="mid_conv2"):
        activate(unet, "mid_conv3", image(8, 8))
    entry = keras.Input((16, 16, 1))
    flat = keras.Model(entry, L.Dense(2, name="dense")(L.Flatten()(entry)))
    with pytest.raises(LayerError, match="no map"):
        activate(flat, "dense", image(16, 16))
    with pytest.raises(ScanError, match="grey"):
        activate(unet, "mid_conv2", np.zeros((8, 8, 3), np.float32))
