"""Distances of borders: drawn by hand, beside SimpleITK, with unequal spacing, in two and three dimensions."""

import numpy as np
import pytest
import SimpleITK as sitk
from drawing import PREDICTION, REFERENCE, drawn

from medream.metrics import score, score_volume, surface_distances, surface_scores


def test_borders_of_hand_drawn_masks():
    # Rectangles of two rows shifted by one column: all twelve pixels are border, four lie 0.5 mm off.
    found = surface_scores(REFERENCE, PREDICTION, (2.0, 0.5), tolerance_mm=0.4)
    assert found["assd_mm"] == pytest.approx(4 * 0.5 / 12)
    assert found["surface_dice"] == pytest.approx(8 / 12)
    assert surface_scores(REFERENCE, PREDICTION, (2.0, 0.5), 0.5)["surface_dice"] == 1.0
    # The same along depth: rows are 2 mm apart.
    turned = surface_scores(REFERENCE.T, PREDICTION.T, (2.0, 0.5), 0.5)
    assert turned["assd_mm"] == pytest.approx(4 * 2.0 / 12)
    assert turned["surface_dice"] == pytest.approx(8 / 12)


def test_the_inside_of_a_mask_is_no_border():
    whole = drawn("""
        #####
        #####
        #####
    """)
    ring = whole.copy()
    ring[1, 1:4] = False
    forth, back = surface_distances(whole, ring, (1.0, 1.0))
    assert len(forth) == len(back) == 12  # the picture's own edge is outside
    assert not forth.any()


def test_a_tolerance_given_in_decimals_holds_at_the_border():
    # 9 * 0.0039 - 6 * 0.0039 is 0.011700000000000002.
    a, b = np.zeros((12, 3), bool), np.zeros((12, 3), bool)
    a[6, 1] = b[9, 1] = True
    assert surface_scores(a, b, (0.0039, 0.0117), 0.0117)["surface_dice"] == 1.0
    assert surface_scores(a, b, (0.0039, 0.0117), 0.0116)["surface_dice"] == 0.0


def by_simpleitk(a, b, spacing, tolerance):
    """Return hd95, assd and surface Dice from SimpleITK's contours and distance maps."""

    def image(mask):
        # A margin, since SimpleITK takes what lies outside of the picture for more of the same.
        found = sitk.GetImageFromArray(np.pad(mask, 1).astype(np.uint8))
        found.SetSpacing(spacing[::-1])
        return found

    contours = [sitk.LabelContour(image(mask), fullyConnected=False) for mask in (a, b)]
    maps = [
        sitk.GetArrayFromImage(
            sitk.Abs(sitk.SignedMaurerDistanceMap(c, squaredDistance=False, useImageSpacing=True))
        )
        for c in contours
    ]
    borders = [sitk.GetArrayFromImage(c) > 0 for c in contours]
    forth, back = maps[1][borders[0]], maps[0][borders[1]]
    both = np.concatenate([forth, back])
    hd95 = max(np.percentile(forth, 95), np.percentile(back, 95))
    return hd95, both.mean(), np.mean(both <= tolerance)


@pytest.mark.parametrize("shape", [(40, 30), (7, 25, 20)])
@pytest.mark.parametrize("smooth", [False, True])
def test_the_same_as_simpleitk(shape, smooth):
    from scipy import ndimage

    rng = np.random.default_rng(len(shape))
    spacing = (0.12, 0.0039, 0.0113)[-len(shape) :]
    noise = rng.normal(size=(2, *shape))
    a, b = (ndimage.gaussian_filter(n, 2) if smooth else n for n in noise)
    a, b = a > np.quantile(a, 0.8), b > np.quantile(b, 0.85)
    found = surface_scores(a, b, spacing, 0.021)
    expected = by_simpleitk(a, b, spacing, 0.021)
    assert list(found.values()) == pytest.approx(expected, rel=1e-5)


def test_a_volume_is_more_than_its_b_scans():
    a, b = np.zeros((3, 6, 6), bool), np.zeros((3, 6, 6), bool)
    a[:, 2, 2] = True
    b[1:, 2, 2] = True
    found = score_volume(a, b, (0.12, 0.004, 0.012), tolerance_mm=0.1)
    # The first B-scan is missed: its pixel is one distance of B-scans away from the next.
    assert found["volume_assd_mm"] == pytest.approx(0.12 / 5)
    assert found["volume_surface_dice"] == pytest.approx(4 / 5)
    assert (found["volume_lesions"], found["volume_lesions_found"]) == (1, 1)
    assert score(a[0], b[0], spacing_mm=(0.004, 0.012))["hd95_mm"] == np.inf
