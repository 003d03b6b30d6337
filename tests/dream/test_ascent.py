"""Every objective rises, in every parametrization and under every transform."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
from nets import ALONE, OBJECTIVES

from medream.dream import dream
from medream.dream.parametrization import PARAMETRIZATIONS
from medream.dream.transforms import blur, jitter, rotate, scale
from medream.dream.transforms import noise as noisy

TRANSFORMS = {
    "none": (),
    "jitter": (jitter(2),),
    "turn": (rotate(4), scale(0.9, 1.1)),
    "blur": (blur(0.7),),
    "noise": (noisy(0.02),),
}
CUBE = list(itertools.product(OBJECTIVES, PARAMETRIZATIONS, TRANSFORMS))


def _usual(name: str, parametrization: str, transform: str) -> bool:
    """Some of every kind with some of every other; the whole cube is run by `make slow`."""
    k, n = list(OBJECTIVES).index(name), list(PARAMETRIZATIONS).index(parametrization)
    return (k + n) % 2 == 0 and list(TRANSFORMS).index(transform) == (k // 2 + n) % len(TRANSFORMS)


def _rises(model: keras.Model, scan: np.ndarray, objective, **settings) -> None:
    settings = {**ALONE, **settings}
    result = dream(model, scan, objective, steps=10, seed=1, **settings)
    assert result.history.shape == (11,)
    assert np.isfinite(result.history).all()

    def value(picture: np.ndarray) -> float:
        """The mean over draws, the same for both pictures."""
        seeds = range(3 if settings["transforms"] else 1)
        once = [dream(model, picture, objective, steps=0, seed=s, **settings) for s in seeds]
        return float(np.mean([each.history[0] for each in once]))

    before, after = value(result.original), value(result.dream)
    assert after > before + 0.01 * abs(before)
    if not settings["transforms"] and "distance" not in objective.label:
        assert result.history[[0, -1]] == pytest.approx([before, after], abs=1e-5)


def _cases(slow: bool):
    return [
        pytest.param(*case, marks=[pytest.mark.slow] if slow else [])
        for case in CUBE
        if _usual(*case) != slow
    ]


@pytest.mark.parametrize(("name", "parametrization", "transform"), _cases(False) + _cases(True))
def test_every_objective_rises_in_every_parametrization_under_every_transform(
    trained, other, scan, name, parametrization, transform
):
    _rises(
        trained,
        scan,
        OBJECTIVES[name](other),
        parametrization=parametrization,
        transforms=TRANSFORMS[transform],
    )
