"""Features of drawn regions, whose values are known."""

import numpy as np
import pytest

from medream.errors import ConfigError
from medream.evidence.features import FEATURES, measure


def ellipse(shape, centre, half) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return ((y - centre[0]) / half[0]) ** 2 + ((x - centre[1]) / half[1]) ** 2 <= 1


def test_a_disc_is_round_and_a_flat_ellipse_lies_along_the_layers():
    disc = measure(np.full((64, 64), 0.5), ellipse((64, 64), (32, 32), (14, 14)))
    assert disc["roundness"] == pytest.approx(1, abs=0.05)
    assert disc["elongation"] == pytest.approx(0, abs=0.02)
    assert disc["area"] == pytest.approx(np.pi * 14**2, rel=0.02)
    flat = measure(np.full((64, 64), 0.5), ellipse((64, 64), (32, 32), (6, 24)))
    assert flat["elongation"] == pytest.approx(0.75, abs=0.02)
    assert flat["orientation"] == pytest.approx(0, abs=1)
    assert flat["roundness"] < 0.7
    upright = measure(np.full((64, 64), 0.5), ellipse((64, 64), (32, 32), (24, 6)))
    assert upright["orientation"] == pytest.approx(90, abs=1)


def test_shape_is_measured_in_millimetres():
    # Round in the eye: 4 times as many rows as columns, each a quarter as large.
    region = ellipse((128, 64), (64, 32), (40, 10))
    found = measure(np.full((128, 64), 0.5), region, (0.003, 0.012))
    assert found["elongation"] == pytest.approx(0, abs=0.03)
    assert found["roundness"] > 0.9
    assert found["area"] == pytest.approx(region.sum() * 0.003 * 0.012)


def test_components_count_by_their_area():
    region = np.zeros((40, 40), bool)
    region[2:12, 2:12] = True
    region[30:32, 30:32] = True
    found = measure(np.full((40, 40), 0.5), region)
    assert found["components"] == 2
    assert found["component_area"] == pytest.approx((100 * 100 + 4 * 4) / 104)


def test_intensity_and_contrast():
    image = np.full((40, 40), 0.6)
    image[10:20, 10:20] = 0.1
    region = image < 0.3
    found = measure(image, region)
    assert found["intensity"] == pytest.approx(0.1)
    assert found["contrast"] == pytest.approx(0.5)
    assert found["deviation"] == pytest.approx(0)
    assert found["sharpness"] == pytest.approx(0.5)


def test_a_blurred_border_is_less_sharp():
    from scipy import ndimage

    image = np.full((60, 60), 0.6)
    image[20:40, 20:40] = 0.1
    region = image < 0.3
    soft = measure(ndimage.gaussian_filter(image, 2.5), region)["sharpness"]
    assert soft < 0.5 * measure(image, region)["sharpness"]


def test_texture_tells_checks_from_noise_and_from_nothing():
    region = np.zeros((40, 40), bool)
    region[5:35, 5:35] = True
    even = measure(np.full((40, 40), 0.5), region)
    assert even["glcm_contrast"] == 0
    assert even["glcm_homogeneity"] == pytest.approx(1)
    rows = np.indices((40, 40))[0]
    stripes = measure(np.where(rows % 2, 0.99, 0.01), region)
    # 16 levels, 15 apart: rows differ in three of four directions.
    assert stripes["glcm_contrast"] == pytest.approx(15**2 * 0.746, rel=0.02)
    noise = measure(np.random.default_rng(0).random((40, 40)), region)
    assert abs(noise["glcm_correlation"]) < 0.1
    assert noise["lbp_entropy"] > stripes["lbp_entropy"]


def test_what_is_outside_does_not_matter_for_texture():
    region = np.zeros((40, 40), bool)
    region[5:35, 5:35] = True
    image = np.full((40, 40), 0.5)
    noisy = np.where(region, image, np.random.default_rng(0).random((40, 40)))
    assert measure(noisy, region)["glcm_contrast"] == 0


def test_depth_within_the_retina():
    region = np.zeros((100, 20), bool)
    region[49:52, 5:15] = True
    found = measure(np.zeros((100, 20)), region, retina=(np.full(20, 20.0), np.full(20, 80.0)))
    assert found["depth"] == pytest.approx(0.5)


def test_an_empty_region_has_no_features_and_wrong_shapes_are_refused():
    found = measure(np.zeros((20, 20)), np.zeros((20, 20), bool))
    assert set(found) == set(FEATURES)
    assert found["area"] == found["components"] == 0
    assert all(np.isnan(v) for k, v in found.items() if k not in ("area", "components"))
    with pytest.raises(ConfigError, match=r"\(3, 3\)"):
        measure(np.zeros((2, 2)), np.zeros((3, 3), bool))


def test_one_pixel_and_the_whole_image_do_not_fail():
    image = np.random.default_rng(0).random((20, 20))
    for region in (np.eye(20, dtype=bool) & (np.arange(20) == 7), np.ones((20, 20), bool)):
        assert measure(image, region)["area"] == region.sum()


def test_a_bright_layer_beside_the_region_is_its_neighbour():
    image = np.full((40, 40), 0.5)
    image[10:20, 10:20] = 0.1
    image[26] = 0.9
    region = image < 0.3
    far = measure(image, region)["neighbour"]
    image[26], image[20] = 0.5, 0.9
    assert far == pytest.approx(0.5)
    assert measure(image, region)["neighbour"] > 0.6
