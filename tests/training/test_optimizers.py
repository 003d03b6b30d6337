"""Optimizers: each setting against the formula that it stands for."""

import numpy as np
import pytest
import tensorflow as tf

import medream as md
from medream.losses import make_loss
from medream.training.networks import make_trainer
from medream.training.optimizers import layer_factor, make_optimizer, optimizer_settings

RNG = np.random.default_rng(0)
IMAGES = RNG.random((4, 8, 8, 1)).astype("float32")
LABELS = (RNG.random((4, 8, 8, 1)) < 0.4).astype("int32")
PLAIN = {"optimizer": "sgd", "optimizer_settings": {"momentum": 0, "nesterov": False}}


def after(batches, epochs=10, batches_an_epoch=8, eager=True, **settings):
    """Return the weights by path before and after training on some batches, and the trainer."""
    config = md.TrainConfig(**{"loss": "ce", "schedule": "constant", "epochs": epochs, **settings})
    network = md.build_unet(md.UNetConfig(levels=1, base_filters=2, norm="none", dropout=0))
    trainer = make_trainer(network)
    variables = trainer.trainable_variables
    for variable in variables:
        if variable.path.endswith("bias"):  # zeros would hide what decays
            variable.assign(0.1 * np.ones(variable.shape))
    optimizer = make_optimizer(config, variables, batches_an_epoch, "float32")
    trainer.compile(optimizer, make_loss("ce"), run_eagerly=eager)
    if config.ema:
        trainer.average_weights(config.ema)
    before = {v.path: v.numpy() for v in variables}
    for images, labels in batches:
        trainer.train_on_batch(images, labels)
    return before, {v.path: v.numpy() for v in variables}, trainer


def moved(batches, **settings):
    before, now, _ = after(batches, **settings)
    return {path: now[path] - before[path] for path in before}


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "lion"])
def test_layer_rates_scale_the_updates(optimizer):
    """Scaled gradients would change nothing for Adam and Lion, which divide them by their own size."""
    settings = {"optimizer": optimizer, "learning_rate": 0.1}
    whole = moved([(IMAGES, LABELS)], **settings)
    rates = {"*": 1.0, "enc*": 0.1, "mid_conv1": 0.0}
    scaled = moved([(IMAGES, LABELS)], layer_rates=rates, **settings)
    for path, step in whole.items():
        factor = 0.1 if path.startswith("enc") else 0.0 if path.startswith("mid_conv1") else 1.0
        assert np.abs(step).max() > 0, path
        np.testing.assert_allclose(scaled[path], factor * step, rtol=2e-3, atol=1e-7, err_msg=path)
        if not factor:
            assert not scaled[path].any(), path


def test_the_last_pattern_counts():
    assert layer_factor({"enc*": 0.1, "enc1*": 0.01}, "enc1_conv1") == 0.01
    assert layer_factor({"enc1*": 0.01, "enc*": 0.1}, "enc1_conv1") == 0.1
    assert layer_factor({"enc*": 0.1}, "dec1_conv1") == 1.0


def test_accumulated_gradients_are_those_of_the_large_batch():
    """With clipping, decay, momentum and a schedule, so that each counts updates and not batches."""
    settings = {"optimizer": "adamw", "weight_decay": 0.1, "clip_norm": 0.05, "schedule": "cosine",
                "warmup": 1, "ema": 0.9, "learning_rate": 0.05, "eager": False}  # fmt: skip
    halves = [(IMAGES[:2], LABELS[:2]), (IMAGES[2:], LABELS[2:])]
    _, large, one = after([(IMAGES, LABELS)] * 5, batches_an_epoch=4, **settings)
    _, small, two = after(halves * 5, batches_an_epoch=8, accumulate=2, **settings)
    for path in large:
        np.testing.assert_allclose(small[path], large[path], rtol=1e-4, atol=1e-6, err_msg=path)
    for a, b in zip(one.averages.values, two.averages.values, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def rates(config, batches):
    optimizer = make_optimizer(config, [], batches, "float32")
    return [
        float(optimizer._learning_rate(tf.constant(step)))
        for step in range(config.epochs * batches)
    ]


def test_warmup_and_cosine():
    found = rates(md.TrainConfig(epochs=5, warmup=1, learning_rate=0.1), batches=4)
    np.testing.assert_allclose(found[:5], [0, 0.025, 0.05, 0.075, 0.1], rtol=1e-6)
    falling = 0.1 * (0.01 + 0.99 * (1 + np.cos(np.pi * np.arange(16) / 16)) / 2)
    np.testing.assert_allclose(found[4:], falling, rtol=1e-5)
    found = rates(
        md.TrainConfig(epochs=3, warmup=1, schedule="constant", learning_rate=0.1), batches=2
    )
    np.testing.assert_allclose(found, [0, 0.05, 0.1, 0.1, 0.1, 0.1], rtol=1e-6)
    found = rates(md.TrainConfig(epochs=2, learning_rate=0.1, accumulate=2), batches=4)
    assert found[::2] == found[1::2]  # once an update
    assert found[0] == pytest.approx(0.1)


def test_decay_is_decoupled_and_of_kernels_only():
    batch = [(IMAGES, LABELS)]
    before, plain, _ = after(batch, learning_rate=0.5, **PLAIN)
    _, decayed, _ = after(batch, learning_rate=0.5, weight_decay=0.2, **PLAIN)
    for path in before:
        lost = 0.5 * 0.2 * before[path] if path.endswith("kernel") else 0 * before[path]
        np.testing.assert_allclose(plain[path] - decayed[path], lost, atol=1e-6, err_msg=path)


def test_gradients_are_clipped_together():
    def norm(**settings):
        steps = moved([(IMAGES, LABELS)], learning_rate=1.0, **PLAIN, **settings)
        return np.sqrt(sum(np.square(step).sum() for step in steps.values()))

    free = norm()
    assert norm(clip_norm=float(free) / 3) == pytest.approx(free / 3, rel=1e-4)
    assert norm(clip_norm=float(free) * 3) == pytest.approx(free, rel=1e-5)


def test_averages_by_hand():
    network = md.build_unet(md.UNetConfig(levels=1, base_filters=2))
    trainer = make_trainer(network)
    averages = trainer.average_weights(0.5)
    weight = next(w for w in trainer.weights if w.path == "logits/bias")
    statistic = next(w for w in trainer.weights if w.path == "enc1_norm1/moving_mean")
    by_path = {w.path: value for w, value in zip(averages.weights, averages.values, strict=True)}
    expected = 0.0
    for update in (1, 2, 30):
        decay = min(0.5, update / (9 + update))
        weight.assign([float(update)])
        statistic.assign([float(update)] * 2)
        averages.follow(tf.constant(update - 1), tf.constant(update))
        expected = decay * expected + (1 - decay) * update
        assert float(by_path[weight.path][0]) == pytest.approx(expected, rel=1e-6)
        assert float(by_path[statistic.path][1]) == pytest.approx(expected, rel=1e-6)
    weight.assign([99.0])
    averages.follow(tf.constant(30), tf.constant(30))  # gradients are being accumulated
    assert float(by_path[weight.path][0]) == pytest.approx(expected, rel=1e-6)
    frozen = next(i for i, w in enumerate(averages.weights) if w.path == "mid_conv1/kernel")
    np.testing.assert_array_equal(averages.values[frozen], averages.weights[frozen])


def test_settings_of_optimizers():
    assert optimizer_settings("sgd") == {"momentum": 0.9, "nesterov": True}
    assert set(optimizer_settings("adam")) == {"beta_1", "beta_2", "epsilon", "amsgrad"}
    config = md.TrainConfig(optimizer="sgd", optimizer_settings={"momentum": 0.99})
    optimizer = make_optimizer(config, [], 1, "float32")
    assert (optimizer.momentum, optimizer.nesterov, optimizer.decay) == (0.99, True, 0.0)
    assert make_optimizer(md.TrainConfig(optimizer="adamw"), [], 1, "float32").decay == 0.004
    assert not make_optimizer(
        md.TrainConfig(optimizer="adamw", weight_decay=0), [], 1, "float32"
    ).decay
