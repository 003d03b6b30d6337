"""What a network says of its dreams, where that can be worked out."""

import keras
import numpy as np
import pytest

import medream as md
from medream.errors import ConfigError, ModelError
from medream.evidence.response import MEASURES, judge, response_study, summarize_response

L = keras.layers


def by_intensity(steep: float = 20.0) -> keras.Model:
    """Lesion where the image is brighter than 0.5."""
    entry = keras.Input((None, None, 1))
    logits = L.Conv2D(1, 1, name="logits")
    model = keras.Model(entry, L.Activation("sigmoid", name="probabilities")(logits(entry)))
    logits.set_weights([np.full((1, 1, 1, 1), steep), np.array([-0.5 * steep])])
    return model


def halves(left: float, right: float, **changes) -> md.Scan:
    image = np.full((16, 20), left, np.float32)
    image[:, 10:] = right
    return md.Scan(image, **changes)


def test_measures_of_known_images():
    scan = halves(0.7, 0.3, spacing_mm=(0.01, 0.02))
    other = np.full((16, 20), 0.3, np.float32)
    other[:, 5:15] = 0.7
    first, second, third = judge(by_intensity(), scan, [scan.image, other, 0 * other])
    assert (first["area_px"], second["area_px"], third["area_px"]) == (160, 160, 0)
    assert first["area_mm2"] == pytest.approx(160 * 0.0002)
    assert [row["dice_first"] for row in (first, second, third)] == [1, 0.5, 0]
    p = 1 / (1 + np.exp(-4.0))
    assert first["probability_inside"] == pytest.approx(p, rel=1e-5)
    assert first["probability_outside"] == pytest.approx(1 - p, rel=1e-4)
    assert second["probability_inside"] == pytest.approx(0.5, rel=1e-5)  # half of it is left
    bits = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    assert first["entropy_inside"] == pytest.approx(bits, rel=1e-4)
    assert second["entropy_outside"] == pytest.approx(bits, rel=1e-4)


def test_nothing_seen_and_pixels_that_do_not_count():
    scan = halves(0.2, 0.3)
    row = next(judge(by_intensity(), scan, [scan.image]))
    assert row["area_px"] == 0
    assert np.isnan([row[name] for name in ("area_mm2", "dice_first", "probability_inside")]).all()
    valid = np.zeros((16, 20), bool)
    valid[:, 8:12] = True
    image = halves(0.2, 0.7).image
    image[:, :8] = 0.49
    row = next(judge(by_intensity(), halves(0.2, 0.7, valid=valid), [image]))
    assert row["area_px"] == 2 * 16
    assert row["probability_outside"] == pytest.approx(1 / (1 + np.exp(6.0)), rel=1e-4)


def test_several_classes_have_a_row_each():
    unet = md.build_unet(md.UNetConfig(levels=1, base_filters=2, classes=3))
    rows = list(judge(unet, halves(0.7, 0.3), [halves(0.7, 0.3).image]))
    assert [row["class"] for row in rows] == ["class1", "class2"]
    assert all(0 <= row["entropy_outside"] <= np.log2(3) + 1e-6 for row in rows)


@pytest.fixture(scope="module")
def table():
    source = [md.Source(subject_id=name) for name in "ab"]
    scans = [halves(0.6, 0.45, source=source[0]), halves(0.6, 0.4, source=source[1])]
    for k, scan in enumerate(scans):
        scan.image[:] += np.random.default_rng(k).uniform(0, 0.03, scan.shape).astype(np.float32)
    return response_study(by_intensity(), scans, "probabilities", steps=7, every=3, step_size=0.02)


def test_a_dream_of_the_output_makes_more_of_the_lesion(table):
    own = table[table.ascent == "dream"]
    assert own[own.subject == "a"].step.tolist() == [0, 3, 6, 7]  # and the last one
    for _, one in own.groupby("subject"):
        assert one.area_px.is_monotonic_increasing
        assert one.area_px.iloc[-1] > one.area_px.iloc[0]
        assert one.probability_outside.is_monotonic_increasing
        assert one.dice_first.iloc[0] == 1


def test_the_control_starts_from_the_same_scan_and_is_the_engines_own():
    unet = md.build_unet(md.UNetConfig(levels=1, base_filters=2))
    scan = md.phantom_scans(1, size=(32, 32))[0]
    table = response_study(unet, [scan], "dec1_conv2", steps=4, every=2, seed=5)
    start = table[table.step == 0].drop(columns="ascent")
    assert start.iloc[0].equals(start.iloc[1])
    control = md.dream(unet, scan, "dec1_conv2", steps=4, octaves=None, seed=5).control
    *_, expected = judge(unet, scan, [scan.image, control])
    last = table[(table.ascent == "control") & (table.step == 4)].iloc[0]
    assert last.probability_outside == pytest.approx(expected["probability_outside"], rel=1e-4)
    assert last.area_px == expected["area_px"]


def test_summary_has_differences_of_the_same_scans(table):
    found = summarize_response(table, resamples=99).set_index(["ascent", "step", "measure"])
    assert set(found.index.get_level_values("ascent")) == {"dream", "control", "dream - control"}
    for measure in MEASURES:
        own, other, apart = (
            found.estimate[a, 7, measure] for a in ("dream", "control", "dream - control")
        )
        assert apart == pytest.approx(own - other, nan_ok=True)
    assert found.subjects["dream", 7, "area_px"] == 2
    assert found.subjects["dream", 7, "area_mm2"] == 0  # no spacing
    alone = table[table.ascent == "dream"]
    assert set(summarize_response(alone, resamples=99).ascent) == {"dream"}


def test_refusals():
    with pytest.raises(ConfigError, match="no scans"):
        response_study(by_intensity(), [], "logits")
    entry = keras.Input((None, None, 1))
    pooled = keras.Model(entry, L.GlobalAveragePooling2D()(L.Conv2D(2, 3, name="conv")(entry)))
    with pytest.raises(ModelError, match="segment"):
        response_study(pooled, [halves(0.2, 0.3)], "conv", steps=1)
