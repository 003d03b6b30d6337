"""Dreams climbed together: each as if it were alone, or told to be different."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from nets import ALONE, OBJECTIVES, noise

from medream.dream import channel, dream, dream_many, layer

QUICK = {"steps": 4, **ALONE}


@pytest.mark.parametrize(
    "name", ["layer", "neuron", "class score", "match", "on model", "penalties", "own"]
)
def test_a_dream_does_not_hang_on_its_neighbours(trained, other, name):
    """Bit for bit in a batch of the same size; alone to 1e-5, as kernels add in another order."""
    objective = OBJECTIVES[name](other)
    images = [noise(20, 24, seed=k) for k in range(6)]
    first = list(dream_many(trained, images[:3], objective, batch=3, **QUICK))
    mixed = [images[4], images[1], images[5]]
    second = list(dream_many(trained, mixed, objective, batch=3, **QUICK))
    assert first[1].dream.tobytes() == second[1].dream.tobytes()
    assert first[1].history.tobytes() == second[1].history.tobytes()
    assert first[0].dream.tobytes() != second[0].dream.tobytes()
    alone = dream(trained, images[1], objective, **QUICK)
    np.testing.assert_allclose(first[1].dream, alone.dream, atol=1e-5)
    np.testing.assert_allclose(first[1].history, alone.history, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"transforms": ("jitter=2", "rotate=5", "noise=0.05")},
        {"optimizer": "adam", "parametrization": "fourier"},
        {"parametrization": "maco", "schedule": "linear"},
        {"parametrization": "laplacian"},
        {"octaves": (-1, 0), "octave_steps": 2, "control": True},
        {"tile": 16, "overlap": 8},
    ],
    ids=str,
)
def test_images_channels_and_seeds_go_together_as_alone(trained, settings):
    settings = {**QUICK, **settings}
    images = [noise(20, 24, seed=k) for k in range(3)]
    wanted = [channel("mid_norm2", k) for k in (3, 5, 8)]
    seeds = [7, 8, 9]
    together = list(dream_many(trained, images, wanted, seeds=seeds, batch=4, **settings))
    for image, objective, seed, result in zip(images, wanted, seeds, together, strict=True):
        alone = dream(trained, image, objective, seed=seed, **settings)
        for name in ("dream", "enhanced", "control"):
            if getattr(alone, name) is not None:
                got = getattr(result, name)
                np.testing.assert_allclose(got, getattr(alone, name), atol=2e-5)
        assert result.config == alone.config
        assert result.objective == alone.objective


def test_what_watches_changes_nothing(unet, capsys):
    image = noise(20, 24)
    plain = dream(unet, image, "mid_conv", steps=6, octaves=None)
    seen = []
    watched = dream(
        unet, image, "mid_conv", steps=6, octaves=None, every=2,
        on_step=lambda step, value, picture: seen.append(picture.fill(0.0)),
    )  # fmt: skip
    assert len(seen) == 6
    for name in ("dream", "history", "control"):
        assert getattr(watched, name).tobytes() == getattr(plain, name).tobytes()
    assert watched.frame_steps.tolist() == [0, 2, 4, 6]
    assert watched.frames[0].tobytes() == image.tobytes()


def test_dreams_told_to_differ_do(trained):
    """Four dreams of one channel from nearly the same image."""
    images = [np.full((24, 24), 0.5, "f4") + 0.02 * (noise(24, 24, seed=k) - 0.5) for k in range(4)]

    seen = keras.Model(trained.inputs, trained.get_layer("mid_norm2").output)

    def likeness(diversity: float) -> float:
        """Mean cosine between the dreams' Gram matrices."""
        settings = {**ALONE, "steps": 20, "step_size": 0.003, "diversity": diversity}
        results = dream_many(trained, images, channel("mid_norm2", 3), batch=4, **settings)
        found = seen.predict(np.stack([r.dream for r in results])[..., None], verbose=0)
        flat = found.reshape(4, -1, found.shape[-1]).astype(np.float64)
        grams = np.einsum("npc,npd->ncd", flat, flat).reshape(4, -1)
        grams /= np.linalg.norm(grams, axis=1, keepdims=True)
        return float(((grams @ grams.T).sum() - 4) / 12)

    plain, told = likeness(0.0), likeness(3.0)
    assert 1 - told > 10 * (1 - plain)


def test_diversity_leaves_a_single_image_alone(unet):
    plain, told = (dream(unet, noise(16, 16), "mid_conv", diversity=d, **QUICK) for d in (0.0, 5.0))
    assert plain.dream.tobytes() == told.dream.tobytes()


@pytest.mark.parametrize("rank", [1, 2])
def test_low_rank_changes_have_that_rank(trained, rank):
    images = np.full((4, 24, 24), 0.5, "f4")
    kind = {"kind": "lowrank", "rank": rank}
    results = list(dream_many(
        trained, list(images), layer("mid_norm2"), batch=4, parametrization=kind,
        **{**QUICK, "step_size": 0.003},
    ))  # fmt: skip
    changes = np.stack([(r.dream - r.original).ravel() for r in results]).astype(np.float64)
    sizes = np.linalg.svd(changes, compute_uv=False)
    assert sizes[rank - 1] > 1e-2
    assert rank == 4 or sizes[rank] < 1e-4 * sizes[0]
