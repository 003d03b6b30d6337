"""Ablation of a network whose units are set by hand: what each is for is known."""

import keras
import numpy as np
import pytest

import medream as md
from medream.errors import ConfigError, LayerError
from medream.evidence.ablation import ablate, ablation_test

L = keras.layers


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """Four units; unit 1 fires on the lesion and alone makes the logit, unit 3 is dead."""
    image = keras.Input((None, None, 1))
    hidden, units = L.Conv2D(4, 1, name="hidden"), L.ReLU(name="units")
    logits = L.Conv2D(1, 1, name="logits")
    joined = L.Concatenate(name="joined")([units(hidden(image)), image])
    model = keras.Model(image, L.Activation("sigmoid", name="probabilities")(logits(joined)))
    slopes = np.array([1.0, 1.0, -1.0, 0.0]).reshape(1, 1, 1, 4)
    hidden.set_weights([slopes, np.array([0.0, -0.7, 1.0, -1.0])])
    weights = np.array([0.1, 100.0, 0.1, 0.0, 0.0]).reshape(1, 1, 5, 1)
    logits.set_weights([weights, np.array([-5.0])])
    return model


def drawn(seed: int, subject: str, lesion: bool = True) -> md.Scan:
    rng = np.random.default_rng(seed)
    image = rng.uniform(0, 0.5, (20, 30)).astype(np.float32)
    mask = np.zeros(image.shape, np.uint8)
    if lesion:
        mask[4 : 4 + rng.integers(3, 9), 6:15] = 1
    image[mask > 0] = 0.9
    return md.Scan(image, mask, source=md.Source(subject_id=subject, bscan_index=seed))


@pytest.fixture(scope="module")
def scans() -> list[md.Scan]:
    return [*(drawn(k, f"s{k // 2}") for k in range(8)), drawn(9, "healthy", lesion=False)]


def test_without_units_taken_it_is_the_segmentation(model):
    scan = drawn(0, "s")
    unet = md.build_unet(md.UNetConfig(levels=2, base_filters=4, classes=3))
    odd = md.Scan(scan.image[:18, :29].copy(), valid=np.arange(18 * 29).reshape(18, 29) > 40)
    for network, image, layer in ((model, scan, "units"), (unet, odd, "mid_conv2")):
        own, cut = md.segment(network, image), ablate(network, image, layer, [])
        np.testing.assert_allclose(cut.probability, own.probability, atol=1e-6)
        np.testing.assert_array_equal(cut.mask, own.mask)


def test_ablation_equals_the_network_with_the_units_weights_at_nought():
    """Units at 0 say as much as no weight on what they give."""
    unet = md.build_unet(md.UNetConfig(levels=1, base_filters=4, norm="none", decoder_norm=False))
    image = np.random.default_rng(0).random((16, 18), dtype=np.float32)
    found = ablate(unet, image, "dec1_conv1", [1, 2]).probability
    kernel, bias = unet.get_layer("dec1_conv2").get_weights()
    kernel[:, :, [1, 2]] = 0
    unet.get_layer("dec1_conv2").set_weights([kernel, bias])
    np.testing.assert_allclose(found, md.segment(unet, image).probability, atol=1e-6)


def test_a_layer_that_a_skip_connection_passes_is_cut_on_both_ways():
    unet = md.build_unet(md.UNetConfig(levels=1, base_filters=2, norm="none", dropout=0.0))
    image = np.random.default_rng(0).random((8, 8), dtype=np.float32)
    # With both units of the last encoder layer held, nothing of the image gets through.
    found = ablate(unet, image, "enc1_conv2", [0, 1], np.array([0.3, 0.2])).probability
    other = ablate(unet, 1 - image, "enc1_conv2", [0, 1], np.array([0.3, 0.2])).probability
    np.testing.assert_array_equal(found, other)
    assert np.ptp(md.segment(unet, image).probability) > np.ptp(found)


def test_a_network_of_one_size_is_cut_as_it_segments():
    image = keras.Input((16, 16, 1))
    units = L.Conv2D(2, 3, padding="same", activation="relu", name="units")
    model = keras.Model(image, L.Conv2D(1, 1, activation="sigmoid", name="out")(units(image)))
    scan = np.random.default_rng(0).random((40, 24), dtype=np.float32)
    np.testing.assert_allclose(
        ablate(model, scan, "units", []).probability, md.segment(model, scan).probability, atol=1e-6
    )


def test_the_class_hangs_on_the_unit_named_after_it_and_on_no_other(model, scans):
    named = ablation_test(model, "units", scans, {"fluid": [1]}).iloc[0]
    assert named[["units", "living", "subjects"]].tolist() == [1, 3, 4]  # the healthy have no Dice
    assert named.dice == 1
    assert named.fall == 1
    assert named.fall_random == 0
    assert named.choices == 2
    assert named.p == pytest.approx(1 / 3)  # the least that three units can give
    other = ablation_test(model, "units", scans, {"fluid": [0]}).iloc[0]
    assert other.fall == 0
    assert other.fall_random == pytest.approx(0.5)
    assert other.p == 1


def test_dice_is_of_all_pixels_of_a_subject(model):
    small, large = drawn(0, "s"), drawn(1, "s")
    wrong = np.zeros_like(small.mask)
    wrong[-1, -1] = 1
    small = md.Scan(small.image, wrong, source=small.source)
    predicted = [int(md.segment(model, scan).mask.sum()) for scan in (small, large)]
    row = ablation_test(model, "units", [small, large], {"fluid": [1]}, draws=2).iloc[0]
    assert row.dice == pytest.approx(2 * predicted[1] / (sum(predicted) + predicted[1] + 1))


def test_a_unit_that_is_always_the_same_is_not_missed_in_the_test():
    """Held at its mean it says what it said; held at 0 it would take the class with it."""
    image = keras.Input((None, None, 1))
    hidden, logits = L.Conv2D(2, 1, name="units"), L.Conv2D(1, 1, name="logits")
    model = keras.Model(image, L.Activation("sigmoid")(logits(hidden(image))))
    slopes = np.array([1.0, 1e-3]).reshape(1, 1, 1, 2)
    hidden.set_weights([slopes, np.array([0.0, 1.0])])
    logits.set_weights([np.array([100.0, -70.0]).reshape(1, 1, 2, 1), np.zeros(1)])
    scans = [drawn(0, "a"), drawn(1, "b")]
    found = ablation_test(model, "units", scans, {"fluid": [1]}).iloc[0]
    assert found.living == 2
    assert found.fall == 0
    assert found.fall_random == 1
    everything = ablate(model, scans[0], "units", [1]).mask
    assert everything.mean() > 0.9


def test_random_choices_are_drawn_where_there_are_too_many():
    unet = md.build_unet(md.UNetConfig(levels=1, base_filters=8))
    scan = drawn(0, "a")
    named = {"fluid": [0, 1, 2]}
    found = [ablation_test(unet, "dec1_conv2", [scan], named, 5, seed=s).iloc[0] for s in (0, 0, 1)]
    assert found[0].choices == 5
    assert 1 / 6 <= found[0].p <= 1
    assert found[0].fall_random == found[1].fall_random
    assert found[0].method == "none"  # one subject


def test_what_cannot_be_tested_says_why(model, scans):
    assert "no unit" in ablation_test(model, "units", scans[:2], {"fluid": []}).note.item()
    assert "no other" in ablation_test(model, "units", scans[:2], {"fluid": [0, 1, 2]}).note.item()
    assert "no subject" in ablation_test(model, "units", scans[-1:], {"fluid": [0]}).note.item()


def test_refusals(model, scans):
    with pytest.raises(LayerError, match="units"):
        ablate(model, scans[0], "unit", [0])
    with pytest.raises(LayerError, match="before the output"):
        ablate(model, scans[0], "probabilities", [0])
    with pytest.raises(ConfigError, match="0 to 3"):
        ablate(model, scans[0], "units", [4])
    with pytest.raises(ConfigError, match="fluid"):
        ablation_test(model, "units", scans, {"fluids": [1]})
    with pytest.raises(ConfigError, match="no mask"):
        ablation_test(model, "units", [md.Scan(scans[0].image)], {"fluid": [1]})
    with pytest.raises(ConfigError, match="no scans"):
        ablation_test(model, "units", [], {"fluid": [1]})
