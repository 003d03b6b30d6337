"""The U-Net builder: published names, the original networks, sizes."""

import numpy as np
import pytest

import medream as md
from medream.errors import ConfigError

TWO_LEVELS = """
input normalize
enc1_conv1 enc1_norm1 enc1_conv2 enc1_norm2 enc1_pool
enc2_conv1 enc2_norm1 enc2_conv2 enc2_norm2 enc2_dropout enc2_pool
mid_conv1 mid_norm1 mid_conv2 mid_norm2 mid_dropout
dec2_upsample dec2_up dec2_concat dec2_conv1 dec2_conv2
dec1_upsample dec1_up dec1_concat dec1_conv1 dec1_conv2
logits probabilities
"""


def test_layer_names_are_frozen():
    model = md.build_unet(md.UNetConfig(levels=2, base_filters=2))
    assert [layer.name for layer in model.layers] == TWO_LEVELS.split()


@pytest.mark.parametrize(
    ("levels", "parameters"), [(2, 1_866_373), (3, 7_704_965), (4, 31_047_557)]
)
def test_original_networks_to_the_last_parameter(levels, parameters):
    model = md.build_unet(md.UNetConfig.original(levels))
    assert model.count_params() == parameters
    assert model.get_layer("head_conv").filters == 2
    dilated = {
        layer.name for layer in model.layers if getattr(layer, "dilation_rate", (1, 1)) == (2, 2)
    }
    wanted = {2: ("enc2", "mid"), 3: ("enc2", "mid"), 4: ()}[levels]
    assert dilated == {f"{block}_conv{i}" for block in wanted for i in (1, 2)}


@pytest.mark.parametrize("levels", range(1, 7))
def test_levels_are_poolings(levels):
    config = md.UNetConfig(levels=levels, base_filters=1)
    model = md.build_unet(config)
    assert config.stride == 2**levels
    assert sum(layer.name.endswith("_pool") for layer in model.layers) == levels
    side = config.stride * 2
    assert model(np.zeros((1, side, 2 * side, 1), "float32")).shape == (1, side, 2 * side, 1)


@pytest.mark.parametrize("up", ["bilinear", "nearest", "transposed"])
@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_every_choice_builds_and_keeps_the_size(up, norm):
    config = md.UNetConfig(levels=2, base_filters=4, up=up, norm=norm, classes=3, in_channels=3)
    output = md.build_unet(config)(np.zeros((1, 12, 8, 3), "float32"))
    assert output.shape == (1, 12, 8, 3)
    np.testing.assert_allclose(output.numpy().sum(-1), 1.0, rtol=1e-5)


def test_same_seed_same_weights_and_other_seed_others():
    first, same, other = (
        md.build_unet(md.UNetConfig(levels=1, base_filters=2), seed=s).get_weights()
        for s in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_normalisation_is_the_first_layer():
    model = md.build_unet(md.UNetConfig(levels=1, base_filters=1, input_mean=0.25, input_std=0.5))
    value = model.get_layer("normalize")(np.full((1, 2, 2, 1), 0.75, "float32"))
    np.testing.assert_allclose(value, 1.0, rtol=1e-6)


def test_wrong_settings_are_listed_at_once():
    with pytest.raises(ConfigError, match=r"levels is 7.*norm is 'x'.*dropout is 2"):
        md.UNetConfig(levels=7, norm="x", dropout=2)
    with pytest.raises(ConfigError, match="2, 3 or 4 levels"):
        md.UNetConfig.original(5)


def test_config_survives_json():
    config = md.UNetConfig.original(2)
    assert md.UNetConfig(**config.to_json()) == config
