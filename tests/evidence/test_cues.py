"""Lesions and decoys differ by the planted cue and by what goes along with it, and by nothing else."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from medream.errors import ConfigError
from medream.evidence.features import FEATURES, measure
from medream.evidence.retina import retina_bounds
from medream.phantom.cues import CUES, PARTNERS, cue_scans
from medream.statistics import holm

GAUGE = {"darkness": "intensity", "texture": "glcm_contrast", "size": "area", "shape": "elongation",
         "depth": "depth", "sharpness": "sharpness", "neighbour": "neighbour"}  # fmt: skip


@pytest.fixture(scope="module")
def objects() -> tuple[pd.DataFrame, pd.DataFrame, dict[str, np.ndarray]]:
    """Features and properties of many objects, and which are lesions, for every cue."""
    scans = cue_scans("size", 80, seed=5)
    features, properties = [], []
    for each in scans:
        retina = retina_bounds(each.scan.image)
        for number in (1, 2):
            features.append(measure(each.scan.image, each.candidates == number, retina=retina))
            properties.append(each.properties[number - 1])
    lesion = {
        cue: np.array([told for each in cue_scans(cue, 80, seed=5) for told in each.lesion])
        for cue in CUES
    }
    return pd.DataFrame(features), pd.DataFrame(properties), lesion


@pytest.mark.parametrize("cue", CUES)
def test_only_the_planted_cue_and_its_partners_differ(cue, objects):
    features, properties, lesion = objects
    known = [name for name in FEATURES if name != "components"]
    p = holm(
        [stats.ks_2samp(features[n][lesion[cue]], features[n][~lesion[cue]]).pvalue for n in known]
    )
    differ = {name for name, value in zip(known, p, strict=True) if value < 0.01}
    assert GAUGE[cue] in differ
    assert differ <= set(PARTNERS[cue])
    for other in CUES:
        one, two = properties[other][lesion[cue]], properties[other][~lesion[cue]]
        if other == cue:
            assert one.min() > two.max() or one.max() < two.min()
        else:
            assert stats.ks_2samp(one, two).pvalue > 1e-3


def test_the_images_do_not_depend_on_the_cue_and_the_first_not_on_the_number():
    dark, deep = cue_scans("darkness", 3, seed=1), cue_scans("depth", 2, seed=1)
    for one, other in zip(dark[:2], deep, strict=True):
        np.testing.assert_array_equal(one.scan.image, other.scan.image)
        np.testing.assert_array_equal(one.candidates, other.candidates)
    assert not np.array_equal(dark[0].scan.image, dark[1].scan.image)
    assert not np.array_equal(dark[0].scan.image, cue_scans("darkness", 1, seed=2)[0].scan.image)


def test_the_mask_holds_the_lesions_and_nothing_else():
    for each in cue_scans("shape", 20, seed=0):
        assert set(np.unique(each.candidates)) == {0, 1, 2}
        for number, lesion in enumerate(each.lesion, start=1):
            assert (each.scan.mask[each.candidates == number] == lesion).all()
        assert not each.scan.mask[each.candidates == 0].any()


def test_shape_leaves_the_area_and_sharpness_the_intensity(objects):
    features, properties, _ = objects
    ratio = features.area / (np.pi * properties["size"] ** 2)
    assert ratio.between(0.9, 1.1).all()
    blurred = properties.sharpness > 1
    dim = (1 - properties.darkness) * 0.5
    error = features.intensity - dim
    assert abs(error[blurred].mean() - error[~blurred].mean()) < 0.01


def test_a_second_cue_can_go_along():
    for each in cue_scans("depth", 20, seed=0, confounded_with="darkness"):
        for lesion, drawn in zip(each.lesion, each.properties, strict=True):
            assert (drawn["darkness"] > 0.45) == lesion == (drawn["depth"] > 0.5)


def test_an_unknown_cue_is_refused():
    with pytest.raises(ConfigError, match="shape"):
        cue_scans("shap", 1)
