"""Dissection of units that are set by hand: what they detect is known."""

import keras
import numpy as np
import pytest

import medream as md
from medream.errors import ConfigError
from medream.evidence.concepts import Concepts
from medream.evidence.dissection import TOP_SHARES, Dissection, dissect
from medream.evidence.quantiles import Quantiles

L = keras.layers
LEVELS = {"IRF": 1.0, "SRF": 0.9}


def drawn(seed: int, subject: str, **changes) -> md.Scan:
    """Vitreous, retina with two bands and choroid, with an IRF and an SRF that shine."""
    rng = np.random.default_rng(seed)
    image = np.full((70, 90), 0.05, np.float32)
    image[20:50], image[44:50], image[50:] = 0.3, 0.6, 0.2
    image += rng.uniform(0, 0.02, image.shape).astype(np.float32)
    mask = np.zeros(image.shape, np.uint8)
    row, column = rng.integers(24, 34), rng.integers(5, 60)
    mask[row : row + 5, column : column + 6] = 1
    mask[40:44, column + 8 : column + 15] = 2
    for k, level in enumerate(LEVELS.values(), start=1):
        image[mask == k] = level
    source = md.Source("drawn", subject, subject, seed)
    settings = {"mask": mask, "classes": tuple(LEVELS), "source": source, **changes}
    return md.Scan(image, **settings)


@pytest.fixture(scope="module")
def scans() -> list[md.Scan]:
    return [drawn(k, f"s{k // 2}") for k in range(8)]


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """Units: IRF by its level, SRF by its level, vitreous by its darkness, always on, noise, dead."""
    image = keras.Input((None, None, 1))
    hidden, units = L.Conv2D(6, 1, name="hidden"), L.ReLU(name="units")
    logits = L.Conv2D(3, 1, name="logits")
    out = L.Softmax(name="probabilities")(logits(units(hidden(image))))
    model = keras.Model(image, out)
    # IRF: above 0.95. SRF (0.9) is the rest of what shines: unit 1 - 30 x unit 0 in the logits.
    slopes = np.array([1.0, 1.0, -1.0, 0.0, 1.0, 0.0]).reshape(1, 1, 1, 6)
    hidden.set_weights([slopes, np.array([-0.95, -0.7, 0.1, 1.0, -0.05, -1.0])])
    weights = np.zeros((1, 1, 6, 3))
    weights[0, 0, 0, 1] = 1000.0
    weights[0, 0, 1, 2] = 100.0
    logits.set_weights([weights, np.array([0.0, -20.0, -5.0])])
    return model


@pytest.fixture(scope="module")
def found(model, scans):
    return dissect(model, "units", scans)


def test_quantiles_of_parts_are_those_of_the_whole():
    rng = np.random.default_rng(0)
    values = np.stack(
        [rng.normal(size=30000), rng.lognormal(0, 3, 30000), np.maximum(rng.normal(size=30000), 0)],
        1,
    )
    found = Quantiles(3)
    for part in np.array_split(values, 7):
        found.add(part)
    for share in (0.005, 0.1, 0.4):
        np.testing.assert_allclose(
            found.above(share), np.quantile(values, 1 - share, axis=0), rtol=0.008, atol=1e-6
        )
    assert found.above(0.6)[2] == 0  # a ReLU that is closed half of the time
    assert found.above(0.6)[0] == pytest.approx(np.quantile(values[:, 0], 0.4), rel=0.008)


def test_concepts_are_the_masks_and_the_zones(scans):
    masks = Concepts(scans[0]).masks
    assert list(masks) == [
        "IRF", "SRF", "lesion", "lesion border", "vitreous", "background retina", "choroid"
    ]  # fmt: skip
    np.testing.assert_array_equal(masks["lesion"], scans[0].mask > 0)
    # A block of 5 x 6 has 9 x 10 pixels within two of it and 1 x 2 deeper inside; 4 x 7: 8 x 11.
    assert masks["lesion border"].sum() == 9 * 10 - 2 + 8 * 11
    zones = masks["vitreous"].astype(int) + masks["background retina"] + masks["choroid"]
    assert zones.max() == 1
    assert masks["vitreous"].sum() == pytest.approx(20 * 90, rel=0.1)
    assert not (masks["background retina"] & masks["lesion"]).any()


def test_layers_are_no_lesions_and_scans_may_lack_everything(scans):
    layers = drawn(0, "s", classes=("GCL+IPL", "ONL"))
    assert list(Concepts(layers).masks)[:3] == ["GCL+IPL", "ONL", "vitreous"]
    assert list(Concepts(drawn(0, "s", mask=None)).masks) == ["vitreous", "choroid"]
    flat = md.Scan(np.zeros((20, 20), np.float32))
    assert Concepts(flat).masks == {}
    healthy = drawn(0, "s", mask=np.zeros((70, 90), np.uint8))
    assert not Concepts(healthy).masks["lesion border"].any()


def test_elsewhere_a_lesion_stays_a_lesion_of_the_retina(scans):
    concepts = Concepts(scans[0])
    moved = concepts.elsewhere()
    inside = concepts.masks["background retina"] | concepts.masks["lesion"]
    assert moved["IRF"].sum() == pytest.approx(30, rel=0.4)
    assert not (moved["IRF"] & ~inside).any()
    depths = {np.flatnonzero(concepts.elsewhere()["IRF"].any(axis=1))[0] for _ in range(9)}
    assert len(depths) > 3
    assert moved["vitreous"].sum() == concepts.masks["vitreous"].sum()


def test_elsewhere_follows_a_retina_that_slopes():
    flat = drawn(0, "s")
    image = np.full((110, 90), 0.05, np.float32)
    image[:70], image[70:] = flat.image, 0.2
    mask = np.zeros((110, 90), np.uint8)
    mask[:70] = flat.mask
    for column in range(90):
        image[:, column] = np.roll(image[:, column], column // 3)
        mask[:, column] = np.roll(mask[:, column], column // 3)
    concepts = Concepts(md.Scan(np.clip(image, 0, 1), mask, tuple(LEVELS)))
    inside = concepts.masks["background retina"] | concepts.masks["lesion"]
    for _ in range(9):
        moved = concepts.elsewhere()["IRF"]
        assert moved.sum() >= 20
        assert not (moved & ~inside).any()


def test_units_set_by_hand_are_named_so(found):
    table = found.table().set_index(["unit", "concept"])
    # Unit 0 fires on the IRF and nowhere else; 0.5 % of the pixels are 31 or 32, the IRF has 30.
    assert table.iou[0, "IRF"] == pytest.approx(1, abs=0.05)
    assert table.iou[0, "SRF"] == 0
    named = found.named(resamples=99).set_index("unit")
    assert named.concept[0] == "IRF"
    assert named.concept[2] == ""  # a zone that is too large for the paper's threshold
    assert table.possible[2, "vitreous"] < 0.04
    fitted = found.named("iou_fitted", resamples=99).set_index("unit")
    assert fitted.concept[[0, 2, 3, 5]].tolist() == ["IRF", "vitreous", "", ""]
    assert table.iou_fitted[1, "lesion"] > 0.99
    assert fitted.iou[2] > 0.8
    assert fitted.low[2] <= fitted.iou[2] <= fitted.high[2]


def test_iou_is_that_of_all_pixels_at_once(model, scans, found):
    values = np.stack([np.maximum(s.image - 0.05, 0) for s in scans])  # unit 4
    for place, share in enumerate(TOP_SHARES):
        threshold = found.thresholds[place, 4]
        assert (values > threshold).mean() == pytest.approx(share, rel=0.1)
    area = values > found.thresholds[0, 4]
    lesion = np.stack([s.mask > 0 for s in scans])
    row = found.table().query("unit == 4 and concept == 'lesion'")
    assert row.iou.item() == pytest.approx((area & lesion).sum() / (area | lesion).sum(), abs=1e-6)


def test_a_unit_that_is_always_on_is_not_named_though_it_covers_everything(found):
    table = found.table().set_index(["unit", "concept"])
    # Held at 1 it has no values above any threshold; noise in its place is no better than chance.
    assert np.nan_to_num(table.iou[3]).max() == 0
    assert found.named(resamples=9).concept[3] == ""


def test_a_unit_of_the_whole_retina_is_no_detector_of_lesions():
    image = keras.Input((None, None, 1))
    model = keras.Model(image, L.ReLU(threshold=0.25, name="units")(image))
    rng = np.random.default_rng(0)
    scans = [drawn(k, f"s{k}") for k in range(8)]
    for scan in scans:  # lesions look like the retina around them
        scan.image[scan.mask > 0] = 0.3
        scan.image[20:44] = 0.3 + rng.uniform(0, 0.02, (24, 90))
    table = dissect(model, "units", scans).table().set_index("concept")
    lesion = table.loc["lesion"]
    assert 0.01 < lesion.iou_fitted < lesion.chance_most_fitted


def test_a_unit_that_falls_silent_in_a_lesion_is_found_there(scans):
    image = keras.Input((None, None, 1))
    hidden, units = L.Conv2D(2, 1, name="hidden"), L.ReLU(name="units")
    model = keras.Model(image, units(hidden(image)))
    # The first is low where the image shines, the second is 0 nearly everywhere.
    hidden.set_weights([np.array([-1.0, 1.0]).reshape(1, 1, 1, 2), np.array([2.0, -0.7])])
    named = dissect(model, "units", scans, falling=True).named("iou_fitted", resamples=9)
    assert named.concept[0] in ("IRF", "lesion")
    assert named.iou[0] > 0.9
    assert named.concept[1] == ""
    assert dissect(model, "units", scans, rounds=1).named().concept[0] == ""


def test_the_share_is_chosen_on_the_other_half():
    """Of two people, one overlaps best at the first share, the other at the second."""
    both = np.array([[10, 4], [2, 10]]).reshape(2, 2, 1, 1)
    unit = np.array([[10, 20], [20, 10]]).reshape(2, 2, 1, 1)
    found = Dissection(
        "layer", ("fluid",), ("a", "b"), False, np.zeros((2, 1)), both, unit, np.full((2, 1), 10),
        np.array([0, 1]), np.zeros((2, 3, 2, 1, 1), int), np.full((2, 3, 1), 10),
    )  # fmt: skip
    row = found.table().iloc[0]
    # Person a at b's share: 4 of 20 + 10 - 4; b at a's: 2 of 20 + 10 - 2.
    assert row.iou_fitted == pytest.approx((4 + 2) / (26 + 28))
    assert row.iou == pytest.approx((10 + 2) / (10 + 28))
    assert row.top_share == TOP_SHARES[1]  # 14 of 36 against 12 of 38


def test_scans_of_other_kinds_and_sizes_are_counted_for_what_they_show(model, scans):
    small = md.Scan(np.full((9, 12), 0.5, np.float32), np.ones((9, 12), np.uint8), ("PED",))
    valid = np.ones((70, 90), bool)
    valid[:, :45] = False
    mixed = [*scans[:2], drawn(5, "t", mask=None, valid=valid), small]
    found = dissect(model, "units", mixed, rounds=2)
    assert set(found.concepts) >= {"IRF", "PED", "vitreous"}
    pixels = dict(zip(found.concepts, found.concept.sum(0).tolist(), strict=True))
    assert pixels["PED"] == 9 * 12
    assert pixels["IRF"] == 60
    only = found.unit.sum(0)[0]
    # Unit areas are counted where the concept is known: in the scan without a mask for zones alone.
    assert only[found.concepts.index("PED"), 3] == 0
    assert (only[found.concepts.index("vitreous")] >= only[found.concepts.index("IRF")]).all()


def test_refusals(model):
    with pytest.raises(ConfigError, match="valid pixels"):
        dissect(model, "units", [])
    with pytest.raises(ConfigError, match="nothing to name"):
        dissect(model, "units", [md.Scan(np.zeros((20, 20), np.float32))])
    with pytest.raises(ConfigError, match="iou_fitted"):
        dissect(model, "units", [drawn(0, "s")], rounds=1).named("best")
