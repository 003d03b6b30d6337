"""Lesions as wholes: drawn by hand, and counted by scikit-image."""

import math

import numpy as np
import pandas as pd
import pytest
from drawing import drawn
from skimage.measure import label, regionprops

from medream.metrics import by_size, lesion_scores, match_lesions
from medream.metrics.lesions import lesion_table

REFERENCE = drawn("""
    ##......##
    ##......##
    ..........
    ..#.......
    .#....####
    ......####
""")
PREDICTION = drawn("""
    ##........
    #.........
    ....#.....
    ..........
    .....####.
    .......##.
""")


def test_found_missed_and_made_up():
    found = match_lesions(REFERENCE, PREDICTION)
    # Of the reference: top left, top right, two pixels that touch at a corner, bottom right.
    assert found.reference_pixels.tolist() == [4, 4, 2, 8]
    assert found.found.tolist() == [True, False, False, True]
    assert found.prediction_pixels.tolist() == [3, 1, 6]
    assert found.confirmed.tolist() == [True, False, True]
    scores = lesion_scores(**found.counts)
    assert scores["lesion_sensitivity"] == 2 / 4
    assert scores["lesion_precision"] == 2 / 3
    assert scores["lesion_f1"] == pytest.approx(2 * 0.5 * (2 / 3) / (0.5 + 2 / 3))


def test_a_tenth_must_be_covered():
    lesion, touch = np.zeros((6, 12), bool), np.zeros((6, 12), bool)
    lesion[1:3, 1:11] = True  # twenty pixels
    touch[0, 3] = touch[1, 3] = True  # one of them: a twentieth
    assert not match_lesions(lesion, touch).found.any()
    assert match_lesions(lesion, touch, share=0).found.all()
    touch[1, 4] = True  # two: a tenth
    assert match_lesions(lesion, touch).found.all()
    # A blot over everything finds every lesion, and is not confirmed by a speck.
    speck, blot = np.zeros((6, 12), bool), np.ones((6, 12), bool)
    speck[2, 2] = True
    found = match_lesions(speck, blot)
    assert (found.found.all(), found.confirmed.any()) == (True, False)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [((0, 0, 0, 0), (None, None, None)), ((3, 0, 0, 0), (0, None, 0)), ((0, 0, 2, 0), (None, 0, 0)),
     ((3, 0, 2, 0), (0, 0, 0))],
)  # fmt: skip
def test_empty_cases(counts, expected):
    for value, wanted in zip(lesion_scores(*counts).values(), expected, strict=True):
        assert math.isnan(value) if wanted is None else value == wanted


@pytest.mark.parametrize("shape", [(40, 30), (9, 20, 15)])
def test_the_same_as_scikit_image(shape):
    a, b = np.random.default_rng(5).random((2, *shape)) > 0.85
    found = match_lesions(a, b)
    for mask, other, pixels, matched in (
        (a, b, found.reference_pixels, found.found),
        (b, a, found.prediction_pixels, found.confirmed),
    ):
        regions = regionprops(
            label(mask, connectivity=len(shape)), intensity_image=other.astype(float)
        )
        assert sorted(r.area for r in regions) == sorted(pixels)
        wanted = sum(r.intensity_mean >= 0.1 for r in regions)
        assert int(matched.sum()) == wanted


def test_by_size():
    rows = lesion_table(match_lesions(REFERENCE, PREDICTION), 0.01).assign(**{"class": "IRF"})
    table = by_size(rows, edges=(0.02, 0.05))
    assert table["size"].tolist() == ["below 0.02 mm2", "0.02 to 0.05 mm2", "from 0.05 mm2"]
    # Areas 0.04, 0.04, 0.02, 0.08; a lesion at an edge is in the bin above.
    assert table.lesions.tolist() == [0, 3, 1]
    assert table.lesions_found.tolist() == [0, 1, 1]
    assert table.lesions_predicted.tolist() == [1, 1, 1]
    assert table.lesions_confirmed.tolist() == [0, 1, 1]
    assert math.isnan(table.lesion_sensitivity[0])
    assert table.lesion_precision.tolist() == [0, 1, 1]
    unknown = lesion_table(match_lesions(REFERENCE, PREDICTION), None).assign(**{"class": "IRF"})
    mixed = by_size(pd.concat([rows, unknown]))
    assert mixed["size"][0] == "below 100 px"
    assert mixed.lesions[0] == 8
