"""Feature curves and the naming of cues, on networks whose answer is known because they were set by hand."""

import keras
import numpy as np
import pandas as pd
import pytest

from medream.errors import ConfigError, ScanError
from medream.evidence.curves import curves, feature_curves, lesion_free_region
from medream.evidence.edits import EDITS, GAUGES, open_scene
from medream.evidence.features import FEATURES, measure
from medream.evidence.movements import movements, natural_spread
from medream.evidence.naming import (
    along_edits,
    associate,
    edit_objects,
    effects,
    name_cue,
    respond,
)
from medream.evidence.object_dreams import dream_objects
from medream.evidence.retina import retina_bounds
from medream.phantom.cues import cue_scans


def looking_for_dark() -> keras.Model:
    """Lesion wherever the mean of 5 x 5 pixels is below 0.28."""
    image = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(1, 5, padding="same", name="logits")(image)
    model = keras.Model(image, keras.layers.Activation("sigmoid", name="probabilities")(x))
    model.get_layer("logits").set_weights([np.full((5, 5, 1, 1), -60 / 25), np.array([60 * 0.28])])
    return model


def looking_for_grain() -> keras.Model:
    """Lesion wherever neighbouring pixels differ much, up or down."""
    image = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(2, (1, 2), padding="same", activation="relu", name="steps")(image)
    x = keras.layers.Conv2D(1, 5, padding="same", name="logits")(x)
    model = keras.Model(image, keras.layers.Activation("sigmoid", name="probabilities")(x))
    step = np.array([[[1, -1]], [[-1, 1]]], np.float32)[None]
    model.get_layer("steps").set_weights([step, np.zeros(2)])
    model.get_layer("logits").set_weights(
        [np.full((5, 5, 2, 1), 120 / 25), np.array([-120 * 0.06])]
    )
    return model


@pytest.fixture(scope="module")
def scans():
    return cue_scans("darkness", 12, seed=7)


@pytest.fixture(scope="module")
def edits(scans):
    return edit_objects([each.scan for each in scans], [each.candidates for each in scans])


@pytest.fixture(scope="module")
def table(scans):
    return feature_curves(
        looking_for_dark(), [each.scan for each in scans], size=(9, 9), seeds=(0,), steps=20, every=10,
        precision="float32",
    )  # fmt: skip


@pytest.fixture(scope="module")
def spread(scans):
    regions = [(each.scan.image, each.candidates == k) for each in scans for k in (1, 2)]
    return natural_spread(*zip(*regions, strict=True))


def test_a_network_that_looks_for_dark_makes_dark(table, spread):
    found = movements(table, spread, resamples=199).set_index(["region", "feature"])
    intensity = found.loc["fixed", "intensity"]
    assert intensity.verdict == "moved"
    assert intensity.high < 0
    assert intensity.against == "control"
    assert ("fixed", "area") not in found.index  # it is the same region
    assert found.loc["predicted", "area"].moved > 0
    assert found.loc["predicted", "components"].verdict == "not measurable"  # no spread


def test_the_curve_falls_step_by_step(table):
    found = curves(table, resamples=99)
    one = found[(found.region == "fixed") & (found.feature == "intensity")]
    trained = one[one.network == "trained"]
    assert trained.step.tolist() == [0, 10, 20]
    assert trained["mean"].is_monotonic_decreasing
    assert (trained.low <= trained["mean"]).all()
    assert (trained.n == 12).all()


def test_no_step_is_no_movement(scans, spread):
    table = feature_curves(
        looking_for_dark(), [each.scan for each in scans[:3]], size=(9, 9), seeds=(0,), steps=0,
        starts=("scan", "noise"), control=False,
    )  # fmt: skip
    found = movements(table, spread, resamples=99)
    known = found[found.verdict != "not measurable"]
    assert len(known) > 5
    assert (known.moved == 0).all()
    assert set(table.start) == {"scan", "noise"}
    assert set(table.feature) == set(FEATURES)


def test_too_few_subjects_are_never_called_moved(table, spread):
    few = table[table.subject.isin(table.subject.unique()[:4])]
    found = movements(few, spread, resamples=99).set_index(["region", "feature"])
    assert found.loc["fixed", "intensity"].verdict == "not tested"


def test_a_lesion_free_region_lies_in_the_retina_and_beside_the_lesions(scans):
    each = scans[0]
    avoid = each.candidates > 0
    regions = [lesion_free_region(each.scan.image, avoid, (9, 11), seed) for seed in range(20)]
    inner, outer = retina_bounds(each.scan.image)
    rows = np.arange(64)[:, None]
    for region in regions:
        assert not (region & avoid).any()
        assert not (region & ((rows < inner) | (rows >= outer))).any()
    assert len({region.tobytes() for region in regions}) > 10
    with pytest.raises(ScanError, match="60 x 60"):
        lesion_free_region(each.scan.image, avoid, (60, 60))


def test_an_unknown_start_is_refused(scans):
    with pytest.raises(ConfigError, match="'void'"):
        feature_curves(looking_for_dark(), [scans[0].scan], starts=("void",))


@pytest.mark.parametrize("cue", EDITS)
def test_an_edit_moves_its_gauge_most(cue, edits):
    moves = []
    for k in range(len(edits.scenes)):
        both = edits.done[cue, k]
        if both is not None:
            low, high = (measure(i, r, retina=edits.scenes[k].retina) for i, r in both)
            moves.append({n: (high[n] - low[n]) / edits.spread[n] for n in GAUGES.values()})
    assert len(moves) > 0.7 * len(edits.scenes)
    mean = pd.DataFrame(moves).mean()
    assert mean.abs().idxmax() == GAUGES[cue]
    assert mean[GAUGES[cue]] > 1.0


def test_an_edit_to_where_the_object_is_already_changes_little(scans):
    each = scans[0]
    region = each.candidates == 1
    scene = open_scene(
        each.scan.image, region, each.candidates == 2, retina_bounds(each.scan.image)
    )
    for cue in ("darkness", "texture", "size", "shape", "depth", "sharpness"):
        image, where = EDITS[cue](scene, scene.features[GAUGES[cue]])
        assert (where ^ region).sum() <= 0.1 * region.sum(), cue
        assert np.abs(image - scene.image)[region].mean() < 0.03, cue


@pytest.mark.parametrize(
    ("network", "cue"), [(looking_for_dark, "darkness"), (looking_for_grain, "texture")]
)
def test_what_a_network_set_by_hand_looks_for_is_named(network, cue, edits):
    model = network()
    found = effects(respond(model, edits), resamples=99)
    assert name_cue(found) == cue
    assert name_cue(associate(model, edits)) == cue
    assert name_cue(effects(along_edits(model, edits), 99), by="consistency") == cue


def test_dreams_of_objects_name_darkness(edits):
    few = dream_objects(
        looking_for_dark(), edits, control=False, steps=5, step_size=0.02, precision="float32"
    )
    found = effects(few, resamples=99).set_index("cue")
    assert found.loc["darkness", "effect"] < -1
    assert found["consistency"].abs().idxmax() == "darkness"


def test_a_network_that_looks_at_nothing_is_given_no_name(edits):
    model = looking_for_dark()
    model.get_layer("logits").set_weights([np.zeros((5, 5, 1, 1)), np.array([-0.3])])
    found = effects(respond(model, edits), resamples=99)
    assert found.effect.abs().max() < 1e-6
    assert name_cue(found) is None
    assert name_cue(associate(model, edits)) is None


def test_edits_need_candidates_of_the_scans_size(scans):
    with pytest.raises(ConfigError, match=r"\(3, 3\)"):
        edit_objects([scans[0].scan], [np.ones((3, 3), int)])
    with pytest.raises(ConfigError, match="0 candidates"):
        edit_objects([scans[0].scan], [np.zeros((64, 64), int)])
