"""Tiles: the same dream as of the whole image, wherever the receptive field fits in the overlap."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from nets import ALONE, noise

from medream.dream import (
    Objective,
    channel,
    class_score,
    cosine,
    direction,
    distance,
    dream,
    energy,
    high_frequencies,
    layer,
    match,
    neuron,
    on_model,
    total_variation,
)
from medream.dream.layers import describe_layers
from medream.dream.tiles import cut_axis
from medream.errors import ConfigError
from medream.unet import UNetConfig, build_unet

L = keras.layers


@pytest.fixture(scope="module")
def net() -> keras.Model:
    """One level: dec1_conv2 sees 22 pixels, so an overlap of 24 holds it."""
    model = build_unet(UNetConfig(levels=1, base_filters=4), seed=3)
    rng = np.random.default_rng(5)  # biases and normalisation that are not those of the start
    model.set_weights([v + 0.1 * rng.random(v.shape).astype("f4") for v in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def shallow() -> keras.Model:
    return build_unet(UNetConfig(levels=1, base_filters=2, up="transposed"), seed=9)


def both(model, image, objective, tile=48, overlap=24, **settings):
    settings = {**ALONE, "steps": 3, **settings}
    whole = dream(model, image, objective, **settings)
    tiled = dream(model, image, objective, tile=tile, overlap=overlap, **settings)
    return whole, tiled


def the_same(whole, tiled, tolerance=1e-5):
    assert np.abs(whole.dream - whole.original).max() > 1e-3
    np.testing.assert_allclose(tiled.history, whole.history, rtol=tolerance, atol=1e-6)
    np.testing.assert_allclose(tiled.dream, whole.dream, atol=tolerance)


def test_the_field_of_the_network_below_fits_the_overlap(net):
    rows = {row.name: row for row in describe_layers(net)}
    assert max(rows["logits"].receptive_field) <= 24
    assert max(rows["logits"].receptive_field) > 16  # and not by far


OBJECTIVES = {
    "layer": lambda other: layer("dec1_conv2"),
    "energy": lambda other: energy("mid_conv2"),
    "neuron in the first tile": lambda other: neuron("mid_conv2", 2, (3, 2)),
    "neuron at a border of cores": lambda other: neuron("dec1_conv2", 1, (36, 35)),
    "neuron in the last tile": lambda other: neuron("logits", 0, (69, 90)),
    "direction": lambda other: direction("mid_conv1", np.linspace(-1, 1, 8)),
    "cosine": lambda other: cosine("mid_conv1", np.linspace(1, -1, 8)),
    "class over borders": lambda other: class_score(1, (20, 25, 60, 70)),
    "class in the prediction": lambda other: class_score(1, "prediction"),
    "match": lambda other: match("enc1_norm2", noise(50, 60, seed=4)),
    "on model": lambda other: layer("mid_conv2") - on_model(other, "dec1_conv1"),
    "only another model": lambda other: on_model(other, "dec1_conv1") - 2 * distance(),
    "several layers": lambda other: (
        layer("enc1_conv1") + 2 * layer("mid_conv2") - 0.5 * channel("dec1_conv2", 0)
    ),
    "penalties": lambda other: (
        0.3 * (layer("dec1_conv2") - total_variation()) - distance() - 2 * high_frequencies()
    ),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_tiles_change_nothing_in_any_objective(net, shallow, name):
    the_same(*both(net, noise(71, 93), OBJECTIVES[name](shallow)))


@pytest.mark.parametrize(
    ("shape", "tile", "overlap"),
    [((48, 100), 48, 24), ((90, 31), 40, 24), ((64, 64), 56, None), ((67, 129), 61, 25),
     ((49, 49), 48, 24), ((200, 20), 50, 30)],
)  # fmt: skip
def test_tiles_of_any_size_change_nothing(net, shape, tile, overlap):
    the_same(*both(net, noise(*shape), "dec1_conv2", tile, overlap))


SETTINGS = [
    {"optimizer": "adam", "step_size": 0.003},
    {"parametrization": "fourier"},
    {"transforms": ("jitter=3", "rotate=4")},
    {"gradient": "l2", "step_size": 0.3, "bounds": "reflect"},
    {"octaves": (-1, 1), "octave_steps": 2},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_tiles_change_nothing_under_other_settings(net, settings):
    objective = class_score(1, (20, 25, 60, 70)) - 0.3 * total_variation()
    whole, tiled = both(net, noise(71, 75), objective, **settings)
    # What the state's tensors are divided by makes rounding larger than in pixels.
    the_same(whole, tiled, tolerance=1e-5 if "parametrization" not in settings else 5e-5)
    if whole.enhanced is not None:
        np.testing.assert_allclose(tiled.enhanced, whole.enhanced, atol=2e-5)


def test_pixels_that_are_not_valid_stay_in_tiles_too(net):
    image, valid = noise(71, 93), np.ones((71, 93), bool)
    valid[:, :30] = valid[50:, 60:] = False
    whole, tiled = both(net, image, "dec1_conv2", valid=valid)
    the_same(whole, tiled)
    assert tiled.dream[~valid].tobytes() == image[~valid].tobytes()


def chain(*steps):
    image = keras.Input((None, None, 1))
    x = image
    for step in steps:
        x = step(x)
    model = keras.Model(image, x)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.3, v.shape).astype("f4") for v in model.get_weights()])
    return model


def conv(size=3, **settings):
    return L.Conv2D(3, size, **{"padding": "same", "activation": "tanh", **settings})


NETWORKS = {
    "strided": lambda: chain(conv(strides=2), conv(), conv(5, strides=2), conv(name="last")),
    "stride 3": lambda: chain(conv(strides=3), conv(name="last")),
    "uneven strides": lambda: chain(conv(strides=(1, 2)), conv((3, 5), strides=(2, 1), name="last")),
    "valid padding": lambda: chain(
        conv(5, padding="valid"), L.MaxPooling2D(), conv(padding="valid", name="last")
    ),
    "even kernels": lambda: chain(conv(2), conv(4), L.AveragePooling2D(2), conv(2, name="last")),
    "dilated": lambda: chain(conv(dilation_rate=2), conv(dilation_rate=(3, 1), name="last")),
    "bilinear": lambda: chain(
        conv(), L.AveragePooling2D(2), conv(), L.UpSampling2D(interpolation="bilinear"),
        conv(name="last"),
    ),
    "beyond full resolution": lambda: chain(conv(), L.UpSampling2D(), conv(name="last")),
    "overlapping pooling": lambda: chain(conv(), L.MaxPooling2D(3, 2, "same"), conv(name="last")),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_tiles_change_nothing_in_networks_of_every_stride_and_padding(name):
    model = NETWORKS[name]()
    for shape in ((71, 93), (84, 60)):
        the_same(*both(model, noise(*shape), energy("last"), tile=47, overlap=24))


def test_several_layers_of_ragged_strides_count_as_they_do_in_the_whole(net):
    """71 rows are 36 of stride 2 and 24 of stride 3: a core has another share of each."""
    model = chain(conv(name="first"), conv(strides=2), conv(name="second"))
    third = chain(conv(strides=3), conv(name="last"))
    for objective in (
        layer("first") - 3 * energy("second"),
        on_model(third, energy("last")),
        2 * (on_model(third, "last") + layer("second")) + 1.5 - neuron("second", 1, (20, 21)),
    ):
        the_same(*both(model, noise(71, 93), objective, tile=47, overlap=24))


def test_a_narrow_overlap_is_nearly_the_same(trained):
    """The field, of about 60 pixels, sees over an overlap of 16."""
    whole, tiled = both(trained, noise(96, 96), "dec1_conv2", 48, 16, steps=10)
    np.testing.assert_allclose(tiled.history, whole.history, rtol=0.05)
    change, missed = whole.dream - whole.original, tiled.dream - whole.dream
    assert np.abs(missed).mean() < 0.15 * np.abs(change).mean()
    assert np.corrcoef(change.ravel(), (change + missed).ravel())[0, 1] > 0.95


def _own(seen):
    import tensorflow as tf

    return tf.reduce_max(seen["mid_conv2"])


@pytest.mark.parametrize(
    "objective",
    [
        layer("dec1_conv2") * layer("mid_conv2"),
        energy("mid_conv2") + layer("mid_conv2") * layer("mid_conv2"),
        Objective(("mid_conv2",), _own, "own"),
    ],
)
def test_an_objective_that_does_not_add_up_is_refused(net, objective):
    with pytest.raises(ConfigError, match=r"cannot be dreamt in tiles.*without tile"):
        dream(net, noise(71, 93), objective, steps=1, tile=48, **ALONE)


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: L.Multiply(name="last")([x, L.GlobalAveragePooling2D(keepdims=True)(x)]),
        lambda x: L.GroupNormalization(1, name="last")(x),
        lambda x: L.Lambda(lambda y: y, name="last")(x),
    ],
)
def test_a_layer_that_sees_the_whole_image_is_refused(mix):
    model = chain(conv(name="first"), mix)
    with pytest.raises(ConfigError, match="'last' cannot be dreamt in tiles"):
        dream(model, noise(60, 60), "last", steps=1, tile=40, **ALONE)
    assert dream(model, noise(60, 60), "first", steps=1, tile=40, **ALONE).history[1] != 0


def test_tiles_too_small_for_the_network_are_refused(net, trained):
    for tile in (1, 7):
        with pytest.raises(ConfigError, match="too small"):
            dream(net, noise(60, 60), "mid_conv2", steps=1, tile=tile, **ALONE)
    with pytest.raises(ConfigError, match="expected less"):
        dream(net, noise(60, 60), "mid_conv2", steps=1, tile=40, overlap=40, **ALONE)


def test_cores_cover_every_row_once():
    for length in range(1, 300, 7):
        for tile, overlap, unit in [(48, 16, 4), (40, None, 8), (31, 5, 1), (100, 0, 2)]:
            kept, windows = cut_axis(length, tile, overlap, unit, field=9)
            covered = [row for _, first, last in windows for row in range(first, last)]
            assert covered == list(range(length))
            assert kept <= max(tile + unit - 1, 1)
            for start, first, last in windows:
                assert 0 <= start <= first < last <= start + kept <= length
                assert start % unit == 0


def test_the_network_is_never_given_more_than_a_tile(net, monkeypatch):
    from medream.dream import sight

    sizes = []
    run = sight.run
    monkeypatch.setattr(
        sight,
        "run",
        lambda part, image, *rest: (sizes.append(image.shape), run(part, image, *rest))[1],
    )
    dream(net, noise(250, 190), "dec1_conv2", steps=1, tile=50, overlap=24, **ALONE)
    assert sizes
    assert max(max(shape[1:3]) for shape in sizes) <= 50
