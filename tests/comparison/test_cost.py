"""Operations by formula beside TensorFlow's profiler; what a process of its own measures."""

import keras
import pytest
import tensorflow as tf

import medream as md
from medream.comparison.cost import count_flops, measure_cost
from medream.errors import ModelError, TrainingError
from medream.unet import UNetConfig, build_unet


def profiled(model, size):
    """Return all operations that TensorFlow's profiler counts, and those of convolutions and biases."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    image = tf.TensorSpec((1, *size, 1), tf.float32)
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(image)
    graph = convert_variables_to_constants_v2(function).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    with graph.as_default():
        node = tf.compat.v1.profiler.profile(graph, cmd="op", options=options)
    total, sums = node.total_float_ops, {}
    while node.children:
        (node,) = node.children
        sums[node.name] = node.total_float_ops - (
            node.children[0].total_float_ops if node.children else 0
        )
    return total, sum(
        sums[name] for name in ("Conv2D", "Conv2DBackpropInput", "BiasAdd") if name in sums
    )


@pytest.mark.parametrize(
    ("config", "size"),
    [
        pytest.param(UNetConfig.original(4), (256, 256), marks=pytest.mark.slow),
        (UNetConfig(levels=2, base_filters=8, up="transposed"), (64, 96)),
        (UNetConfig(levels=3, base_filters=8, classes=4, norm="group"), (64, 96)),
    ],
)
def test_operations_are_those_of_the_profiler(config, size):
    model = build_unet(config)
    ours = count_flops(model, size)
    total, convolutions = profiled(model, size)
    assert ours == pytest.approx(convolutions, rel=1e-4)
    assert ours == pytest.approx(total, rel=0.02)
    if config == UNetConfig.original(4):
        assert model.count_params() == 31_047_557
        assert ours == pytest.approx(total, rel=5e-4)


def test_operations_by_hand():
    x = image = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(x)
    x = keras.layers.Conv2DTranspose(2, 2, strides=2)(x)
    model = keras.Model(image, x)
    # 6 x 4 places, 4 filters of 9 inputs; 12 x 8 places, 2 filters, each from one place of 4 channels, and a bias.
    assert count_flops(model, (12, 8)) == 6 * 4 * 4 * 2 * 9 + 12 * 8 * 2 * (2 * 4 + 1)


def test_other_kernels_are_refused():
    image = keras.Input((None, None, 2))
    model = keras.Model(image, keras.layers.SeparableConv2D(4, 3, name="apart")(image))
    with pytest.raises(ModelError, match="apart"):
        count_flops(model, (8, 8))


@pytest.mark.slow
def test_a_process_of_its_own_measures_memory_and_time():
    train = md.TrainConfig(batch_size=2, image_size=(64, 64))
    small = measure_cost(UNetConfig(levels=2, base_filters=2), train, (50, 70))
    large = measure_cost(UNetConfig(levels=2, base_filters=48), train, (50, 70))
    assert small.parameters == build_unet(UNetConfig(levels=2, base_filters=2)).count_params()
    assert small.flops == count_flops(build_unet(UNetConfig(levels=2, base_filters=2)), (52, 72))
    assert small.receptive_field == (48, 48)
    assert large.base_mib == pytest.approx(small.base_mib, rel=0.1)
    assert 0 < small.peak_mib - small.base_mib < 0.8 * (large.peak_mib - large.base_mib)
    assert 0 < small.bscan_seconds < large.bscan_seconds
    three = measure_cost(UNetConfig(levels=1, base_filters=2, classes=4), train, (50, 70))
    assert three.device_mib is None or three.device_mib > 0


@pytest.mark.slow
def test_a_network_that_cannot_be_measured_says_why():
    with pytest.raises(TrainingError, match=r"unet1 failed: .*image_size"):
        measure_cost(UNetConfig(levels=1), md.TrainConfig(image_size=(33, 33)), (50, 70))
