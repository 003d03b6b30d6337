"""Networks that the tests of dreams share: two untrained ones, and one that has learned fluid."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from nets import small_unet, small_vgg

from medream.phantom import phantom_scans
from medream.unet import UNetConfig, build_unet


@pytest.fixture(scope="session")
def unet() -> keras.Model:
    keras.utils.set_random_seed(1)
    return small_unet()


@pytest.fixture(scope="session")
def vgg() -> keras.Model:
    keras.utils.set_random_seed(2)
    return small_vgg()


@pytest.fixture(scope="session")
def trained() -> keras.Model:
    """Two levels of four filters, a few epochs on the phantom."""
    keras.utils.set_random_seed(3)
    model = build_unet(UNetConfig(levels=2, base_filters=4, input_mean=0.3, input_std=0.2))
    scans = phantom_scans(16, size=(64, 64))
    images = np.stack([scan.image for scan in scans])[..., None]
    masks = np.stack([scan.mask > 0 for scan in scans])[..., None].astype(np.float32)
    model.compile("adam", "binary_crossentropy", jit_compile=False)
    model.optimizer.learning_rate = 0.01
    model.fit(images, masks, epochs=6, batch_size=4, verbose=0)
    return model


@pytest.fixture(scope="session")
def scan() -> np.ndarray:
    """A phantom that the trained network has not seen, cut to 32 x 28."""
    image = phantom_scans(20, size=(64, 64))[18].image
    return np.ascontiguousarray(image[16:48, 18:46])


@pytest.fixture(scope="session")
def other() -> keras.Model:
    """Another network with layers of the same names, untrained."""
    return build_unet(UNetConfig(levels=1, base_filters=4), seed=5)
