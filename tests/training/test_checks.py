"""What is refused before a training starts, and that one message lists all of it."""

import dataclasses

import numpy as np
import pytest

import medream as md
import medream.training
from medream.errors import ConfigError
from medream.training.census import take_census
from medream.training.checks import check_settings

UNET = md.UNetConfig(levels=2, base_filters=2)
TRAIN = md.TrainConfig(batch_size=2, image_size=(32, 32))


@pytest.fixture(scope="module")
def scans():
    return md.phantom_scans(6, seed=3, size=(64, 64))


def refusal(scans, validation=None, unet=UNET, train=TRAIN, freeze=()):
    with pytest.raises(ConfigError) as caught:
        check_settings(scans, scans if validation is None else validation, unet, train, freeze)
    return str(caught.value)


def changed(scans, **fields):
    """Return the scans with other fields, each a value or a function of the scan."""
    return [
        md.Scan(**{**vars(s), **{k: v(s) if callable(v) else v for k, v in fields.items()}})
        for s in scans
    ]


def test_what_is_right_passes(scans):
    check_settings(scans[::2], scans[1::2], UNET, TRAIN)
    check_settings(
        scans, scans, UNET, dataclasses.replace(TRAIN, layer_rates={"dec*": 0.1}), ["enc*"]
    )


def test_a_message_lists_everything(scans):
    bare = changed(scans, mask=None)
    train = md.TrainConfig(batch_size=500, image_size=(30, 32), layer_rates={"encoder*": 0.1})
    message = refusal(bare, [], md.UNetConfig(levels=2, classes=3), train, ["mid_convolution"])
    for part in (
        "6 training scans have no mask (",
        "there are no validation scans",
        "UNetConfig(classes=1)",
        "image_size (30, 32) is no multiple of 4, the stride of a network with 2 levels",
        "batch_size 500 is more than the 26 patches",
        "freeze: no layer with weights is called 'mid_convolution' (The nearest names are: mid_conv",
        "layer_rates: no layer with weights is called 'encoder*'",
    ):
        assert part in message, message


def test_levels_too_deep(scans):
    deep = md.UNetConfig(levels=6, base_filters=1)
    assert "image_size (32, 32) is smaller than 64" in refusal(scans, unet=deep)
    low = changed(
        scans, image=lambda s: s.image[:40].copy(), mask=lambda s: s.mask[:40].copy(), valid=None
    )
    message = refusal(scans, low, deep, dataclasses.replace(TRAIN, image_size=(64, 64)))
    assert "validation scans have only 40 rows or 64 columns, fewer than 64" in message
    assert "training scans have only" not in message


def test_lesions_and_classes_that_are_not_there(scans):
    healthy = changed(scans, mask=lambda s: np.zeros_like(s.mask))
    assert "no training scan holds a lesion" in refusal(healthy, scans)
    assert "no validation scan holds a lesion" in refusal(scans, healthy)
    hidden = changed(scans, valid=lambda s: s.mask == 0)
    assert "no training scan holds a lesion" in refusal(hidden, scans)
    three = changed(scans, classes=("IRF", "SRF", "PED"))
    message = refusal(three, unet=md.UNetConfig(levels=2, classes=4))
    assert "no training scan holds SRF or PED" in message
    mixed = [*scans[:3], *three[3:]]
    assert "scans name different classes: ('IRF', 'SRF', 'PED'), ('fluid',)" in refusal(mixed)


def test_a_class_that_only_validation_lacks_is_a_warning(scans, tmp_path, monkeypatch):
    def both(s):
        mask = s.mask.copy()
        mask[-4:, -4:] = 2
        return mask

    def stop(*_):
        raise KeyboardInterrupt

    training = changed(scans, mask=both, classes=("IRF", "PED"))
    validation = [
        s.with_source(dataclasses.replace(s.source, subject_id="somebody else"))
        for s in changed(scans, classes=("IRF", "PED"))
    ]
    unet = md.UNetConfig(levels=1, base_filters=2, classes=3)
    monkeypatch.setattr(medream.training, "Climb", stop)
    with (
        pytest.warns(UserWarning, match="No validation scan holds PED"),
        pytest.raises(KeyboardInterrupt),
    ):
        md.train(training, unet, TRAIN, tmp_path / "m", validation=validation)
    assert not (tmp_path / "m").exists()


def test_pixels_that_are_no_numbers(scans):
    """A `Scan` refuses them when it is made; arrays can be changed afterwards."""
    broken = changed(scans, image=lambda s: s.image.copy())
    broken[1].image[3, 4] = np.nan
    assert (
        f"1 training scans hold pixels that are no finite numbers ({broken[1].source.name})"
        in refusal(broken, scans)
    )


def test_a_threshold_for_several_classes_and_nothing_to_train(scans):
    train = dataclasses.replace(TRAIN, threshold=0.4)
    assert "threshold 0.4 is for networks with one output" in refusal(
        changed(scans, classes=("IRF", "SRF")), unet=md.UNetConfig(levels=2, classes=3), train=train
    )
    still = dataclasses.replace(TRAIN, layer_rates={"*": 0, "logits": 0})
    assert "leave no weight to train" in refusal(scans, train=still)
    assert "leave no weight to train" in refusal(scans, freeze=["*"])


def test_several_networks_are_refused_together(scans):
    message = refusal(scans, unet=[md.UNetConfig(levels=n, classes=3) for n in (5, 6)])
    assert message.count("which takes") == 1
    assert "network with 6 levels" in message


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"loss": "dicce"}, "one of dice_ce, dice, ce, focal"),
        ({"optimizer": "adagrad"}, "one of adam, adamw"),
        ({"schedule": "step"}, "one of cosine, constant"),
        ({"precision": "half"}, "one of auto, float32"),
        ({"loss": "focal", "loss_settings": {"beta": 1}}, "focal has alpha, gamma"),
        ({"loss_settings": {"beta": 1}}, "dice_ce has no settings"),
        ({"loss": "focal", "loss_settings": "gamma=2"}, """--set 'loss_settings={"gamma": 2}'"""),
        ({"optimizer_settings": 2}, "names with numbers, as in: --set 'optimizer_settings="),
        ({"layer_rates": "enc*"}, "factor of at least 0"),
        ({"loss": ["dice"]}, "one of dice_ce"),
        ({"deterministic": "maybe"}, "true or false"),
        ({"epochs": "many", "warmup": 2}, "a whole number of at least 1"),
        ({"loss": "focal", "loss_settings": {"gamma": -1}}, "finite numbers of at least 0"),
        ({"optimizer_settings": {"nesterov": 1}}, "adam has beta_1"),
        ({"warmup": 40}, "fewer epochs than epochs"),
        ({"lesion_scans": 1.5}, "a share from 0 to 1"),
        ({"lesion_patches": -0.1}, "a share from 0 to 1"),
        ({"weight_decay": -1}, "a number of at least 0"),
        ({"clip_norm": 0}, "a positive number"),
        ({"ema": 1.0}, "a decay between 0 and 1"),
        ({"accumulate": 0}, "a whole number of at least 1"),
        ({"layer_rates": {"enc*": float("nan")}}, "factor of at least 0"),
        ({"threshold": "best"}, 'a probability between 0 and 1, or "validation"'),
        ({"threshold": 1.0}, 'a probability between 0 and 1, or "validation"'),
        ({"learning_rate": float("inf")}, "a positive number"),
        ({"image_size": (32,)}, "(depth, width)"),
        ({"image_size": 32}, "(depth, width)"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_that_make_no_sense(setting, said):
    with pytest.raises(ConfigError) as caught:
        md.TrainConfig(**setting)
    assert said in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        md.TrainConfig(**{**setting, "seed": -1})
    assert said in str(caught.value)
    assert "seed is -1" in str(caught.value)


def test_a_census_counts_what_is_valid():
    image = np.full((4, 6), 0.5, "float32")
    mask = np.zeros((4, 6), "uint8")
    mask[0, :3], mask[1, :2] = 1, 2
    valid = np.ones((4, 6), bool)
    valid[0, 0] = valid[3] = False
    one = md.Scan(image, mask, ("IRF", "SRF", "PED"), valid)
    two = md.Scan(np.ones((2, 3), "float32"), np.zeros((2, 3), "uint8"), ("IRF", "SRF", "PED"))
    census = take_census([one, two])
    assert census.pixels == {0: 17 - 4 + 6, 1: 2, 2: 2}
    assert (census.valid, census.scans, census.lesion_scans) == (23, 2, 1)
    assert census.lacking == ["PED"]
    assert census.smallest == (2, 3)
    assert census.mean == pytest.approx((17 * 0.5 + 6) / 23)
    assert census.std == pytest.approx(np.std([0.5] * 17 + [1.0] * 6))
    assert census.shares() == pytest.approx(
        {
            "scans with a lesion": 0.5,
            "pixels of IRF": 2 / 23,
            "pixels of SRF": 2 / 23,
            "pixels of PED": 0,
        }
    )
    assert census.patches((2, 2)) == 8  # 6 patches, and one and a half
