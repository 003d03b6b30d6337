"""The retina's borders, against the phantom's own lines."""

import numpy as np
import pytest

from medream.errors import ScanError
from medream.evidence.retina import retina_bounds, retina_mask


def layers(shape=(200, 160), noise=0.05, seed=0):
    """A curved retina with two bright bands, its borders, and speckle."""
    rng = np.random.default_rng(seed)
    columns = np.arange(shape[1])
    inner = 60 + 15 * np.cos(columns / 40)
    outer = inner + 60
    rows = np.arange(shape[0])[:, None]
    image = np.full(shape, 0.1)
    image[(rows >= inner) & (rows < outer)] = 0.4
    image[(rows >= inner) & (rows < inner + 10)] = 0.6
    image[(rows >= outer - 10) & (rows < outer)] = 0.8
    image += (rows >= outer) * 0.15 * np.exp(-(rows - outer) / 20)
    return np.clip(image + rng.normal(0, noise, shape), 0, 1), inner, outer


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_borders_are_found_within_pixels(noise):
    image, inner, outer = layers(noise=noise)
    found = retina_bounds(image)
    assert np.abs(found[0] - inner).mean() < 2
    assert np.abs(found[1] - outer).mean() < 2.5


def test_wedges_of_registration_are_no_edge():
    image, inner, _ = layers()
    valid = np.ones(image.shape, bool)
    valid[:25, 80:] = False
    image[~valid] = 1.0
    assert np.abs(retina_bounds(image, valid)[0] - inner).mean() < 2


def test_mask_lies_between_the_borders():
    image, inner, outer = layers(noise=0.0)
    assert retina_mask(image).sum() == pytest.approx((outer - inner).sum(), rel=0.05)


def test_no_contrast_and_small_images_are_refused():
    with pytest.raises(ScanError, match="contrast"):
        retina_bounds(np.zeros((64, 64)))
    with pytest.raises(ScanError, match="16 x 16"):
        retina_bounds(np.zeros((8, 64)))
