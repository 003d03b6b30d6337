"""What a dream says of objectives that cannot be computed, and of dreams that show nothing."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from medream.dream import Objective, class_score, direction, dream
from medream.errors import ConfigError

L = keras.layers
QUICK = {"steps": 4, "octaves": None, "control": False}


def classifier() -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((24, 24, 1))
    x = L.Conv2D(4, 3, padding="same", name="conv")(image)
    x = L.GlobalAveragePooling2D()(x)
    return keras.Model(image, L.Dense(3, activation="softmax", name="classes")(x))


SCAN = np.random.default_rng(0).random((24, 24), dtype=np.float32)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (class_score(1, layer="classes"), "no map of classes"),
        (direction("conv", [1.0, 2.0, 3.0]), "has 3 numbers; the layer has 4 channels"),
        (Objective(("conv",), lambda a: a["conv"][0, 0, 0], "mine"), "expected one number"),
    ],
)
def test_what_cannot_be_computed_is_said_in_words(objective, message):
    with pytest.raises(ConfigError, match=message):
        dream(classifier(), SCAN, objective, **QUICK)


def test_the_mean_of_a_softmax_warns():
    with pytest.warns(UserWarning, match="exactly zero|did not rise"):
        dream(classifier(), SCAN, "classes", **QUICK)


@pytest.mark.parametrize("name", ["fourier", "laplacian", "maco"])
def test_a_step_moves_the_image_by_the_step_size(name):
    """The root mean square of the change, where nothing is clipped."""
    image = keras.Input((None, None, 1))
    model = keras.Model(
        image, L.Conv2D(1, 5, padding="same", name="blur", kernel_initializer="ones")(image)
    )
    start = 0.4 + 0.2 * SCAN
    quick = {**QUICK, "steps": 1}
    result = dream(model, start, "blur", step_size=1e-3, parametrization=name, **quick)
    assert np.sqrt(np.mean((result.dream - start) ** 2)) == pytest.approx(1e-3, rel=0.02)


def test_fourier_keeps_the_mean():
    """A layer that likes brightness does not turn the scan white."""
    image = keras.Input((None, None, 1))
    model = keras.Model(
        image, L.Conv2D(1, 5, padding="same", name="blur", kernel_initializer="ones")(image)
    )
    start = 0.4 + 0.2 * SCAN
    result = dream(model, start, "blur", step_size=1e-3, parametrization="fourier", **QUICK)
    assert result.dream.mean() == pytest.approx(start.mean(), abs=1e-5)
