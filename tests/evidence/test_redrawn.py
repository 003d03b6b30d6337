"""Networks to compare with: which weights are re-drawn, and which masks are whose."""

from itertools import pairwise

import numpy as np
import pytest

import medream as md
from medream.dream.control import redraw_weights
from medream.dream.graph import open_network
from medream.errors import ConfigError, LayerError
from medream.evidence import redrawn
from medream.evidence.redrawn import Redrawn, shuffle_masks, train_on_shuffled


@pytest.fixture(scope="module")
def unet():
    return md.build_unet(md.UNetConfig(levels=1, base_filters=2))


def changed(unet, copy) -> list[str]:
    """Layers whose weights are not the model's own."""
    return [
        layer.name
        for layer in unet.layers
        if any(
            not np.array_equal(a, b)
            for a, b in zip(
                layer.get_weights(), copy.get_layer(layer.name).get_weights(), strict=True
            )
        )
    ]


def test_the_cascade_goes_down_from_the_dreamt_layer_and_leaves_what_is_above(unet):
    before = unet.get_weights()
    copy = Redrawn(unet)
    stages = copy.cascade(["dec1_conv1"])
    assert [name for name, _ in stages] == [
        "dec1_conv1", "dec1_up", "mid_conv2", "mid_conv1", "enc1_conv2", "enc1_conv1"
    ]  # fmt: skip
    found = [set(changed(unet, copy.draw(0, layers))) for _, layers in stages]
    assert found[0] == {"dec1_conv1"}
    assert found[1] == {"dec1_conv1", "dec1_up"}
    assert found[2] >= {"mid_conv2"}
    assert "mid_conv1" not in found[2]
    assert all(a < b for a, b in pairwise(found))
    assert not found[-1] & {"dec1_conv2", "logits"}
    assert changed(unet, copy.draw(0, ())) == []
    for a, b in zip(before, unet.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_all_layers_carry_the_weights_of_the_control(unet):
    copy = Redrawn(unet)
    drawn = redraw_weights(open_network(unet).layers, 7)
    for a, b in zip(drawn, open_network(copy.draw(7)).variables, strict=True):
        np.testing.assert_array_equal(a, b.numpy())


def test_a_layer_without_weights_or_name_is_refused(unet):
    with pytest.raises(ConfigError, match="weights"):
        Redrawn(unet).cascade(["normalize"])
    with pytest.raises(LayerError, match="dec1_conv2"):
        Redrawn(unet).cascade(["dec1_conv3"])


def scan(k: int, subject: str, **changes) -> md.Scan:
    settings = {"mask": np.full((8, 8), k % 3, np.uint8), "classes": ("IRF", "SRF"), **changes}
    return md.Scan(
        np.full((8, 8), k / 100, np.float32),
        source=md.Source(subject_id=subject, bscan_index=k),
        **settings,
    )


def test_every_mask_goes_to_another_person_and_none_is_lost():
    scans = [scan(k, "abcd"[k // 3]) for k in range(12)]
    marks = [np.zeros((8, 8), np.uint8) for _ in scans]
    for k, mark in enumerate(marks):
        mark.flat[k] = 1
    scans = [scan(k, each.source.subject_id, mask=marks[k]) for k, each in enumerate(scans)]
    owners = [int(each.mask.argmax()) for each in shuffle_masks(scans, seed=3)]
    assert sorted(owners) == list(range(12))
    assert all(owner // 3 != k // 3 for k, owner in enumerate(owners))
    assert owners != [int(each.mask.argmax()) for each in shuffle_masks(scans, seed=4)]


def test_masks_keep_to_size_classes_and_valid_pixels():
    small = [scan(k, "ab"[k], mask=np.full((8, 8), 1, np.uint8)) for k in range(2)]
    other = [
        md.Scan(
            np.zeros((9, 8), np.float32),
            np.full((9, 8), 2, np.uint8),
            ("IRF", "SRF"),
            source=s.source,
        )
        for s in small
    ]
    valid = np.ones((8, 8), bool)
    valid[:4] = False
    small[0] = scan(0, "a", mask=small[0].mask, valid=valid)
    found = shuffle_masks([*small, *other])
    assert [each.shape for each in found] == [(8, 8), (8, 8), (9, 8), (9, 8)]
    assert [int(each.mask.max()) for each in found] == [1, 1, 2, 2]
    assert not found[0].mask[:4].any()
    with pytest.raises(ConfigError, match="only scan"):
        shuffle_masks([*small, other[0]])
    with pytest.raises(ConfigError, match="no mask"):
        shuffle_masks([scan(0, "a", mask=None)])


def test_one_person_shuffles_among_their_own_scans():
    marks = np.eye(3, 64, dtype=np.uint8).reshape(3, 8, 8)
    found = shuffle_masks([scan(k, "a", mask=marks[k]) for k in range(3)])
    owners = [int(each.mask.argmax()) for each in found]
    assert sorted(owners) == [0, 1, 2]
    assert all(owner != k for k, owner in enumerate(owners))


def test_training_is_handed_shuffled_masks_and_says_so(monkeypatch, tmp_path):
    given = {}
    monkeypatch.setattr(
        redrawn, "train", lambda *args, **more: given.update(args=args, **more) or args[3]
    )
    scans = [scan(k, "abcd"[k]) for k in range(4)]
    out = train_on_shuffled(scans, None, md.TrainConfig(epochs=7, patience=2), tmp_path, seed=1)
    shuffled, config, settings, _ = given["args"]
    assert out == tmp_path
    assert config is None
    assert settings.patience == 7
    assert [int(s.mask.max()) for s in shuffled] != [int(s.mask.max()) for s in scans]
    np.testing.assert_array_equal(shuffled[2].image, scans[2].image)
    assert given["record"].command == "train on shuffled masks"


@pytest.mark.slow
def test_a_network_is_trained_on_shuffled_masks(tmp_path):
    scans = md.phantom_scans(8, size=(64, 64), bscans_per_subject=2)
    settings = md.TrainConfig(epochs=1, image_size=(32, 32))
    out = train_on_shuffled(
        scans, md.UNetConfig(levels=1, base_filters=2), settings, tmp_path / "net"
    )
    assert md.load_model(out).output_shape[-1] == 1
