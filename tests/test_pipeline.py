"""Training batches: the same draw for image and mask, and a function of seed and sample number."""

import numpy as np
import pytest

from medream.losses import IGNORE
from medream.pipeline import Augmentation, samples_per_epoch, training_batches
from medream.scan import Scan


def scan(depth=40, width=56, seed=0, valid=None):
    """A scan whose mask is where the image is bright, so that a misaligned pair shows."""
    coarse = np.random.default_rng(seed).random((depth // 8, width // 8)) > 0.6
    mask = np.kron(coarse, np.ones((8, 8))).astype("uint8")
    return Scan((0.2 + 0.6 * mask).astype("float32"), mask, valid=valid)


def first(scans, **settings):
    images, labels = next(
        iter(training_batches(scans, **{"size": (32, 32), "batch_size": 6, **settings}))
    )
    return images.numpy()[..., 0], labels.numpy()[..., 0]


def test_mask_follows_the_image():
    geometry = Augmentation(brightness=0, contrast=0, gamma=0, noise=0)
    images, labels = first([scan(seed=s) for s in range(4)], augment=geometry, batch_size=24)
    assert 0.1 < labels.mean() < 0.9
    # The image is interpolated, the mask is not; they can differ only at the borders of squares.
    assert ((images > 0.5) == (labels == 1)).mean() > 0.99


def test_without_augmentation_a_whole_scan_comes_back_bit_for_bit():
    one = scan(32, 32)
    images, labels = first([one], augment=Augmentation.none(), batch_size=1)
    np.testing.assert_array_equal(images[0], one.image)
    np.testing.assert_array_equal(labels[0], one.mask)


def test_invalid_pixels_are_ignored_labels():
    valid = np.ones((32, 32), bool)
    valid[:5] = False
    _, labels = first([scan(32, 32, valid=valid)], augment=Augmentation.none(), batch_size=1)
    assert (labels[0, :5] == IGNORE).all()
    assert (labels[0, 5:] != IGNORE).all()


def test_batches_depend_on_seed_and_number_only():
    scans = [scan(seed=s) for s in range(3)]
    stream = iter(training_batches(scans, (32, 32), 6, seed=5))
    _, second = next(stream), next(stream)
    again = next(iter(training_batches(scans, (32, 32), 6, seed=5, first_sample=6)))
    for a, b in zip(second, again, strict=True):
        np.testing.assert_array_equal(a, b)
    other, _ = first(scans, seed=6)
    assert not np.array_equal(first(scans, seed=5)[0], other)


def test_each_lap_visits_every_scan_once():
    flat = [
        Scan(np.full((16, 16), v, "float32"), np.zeros((16, 16), "uint8")) for v in (0.1, 0.5, 0.9)
    ]
    images, _ = first(flat, size=(16, 16), augment=Augmentation.none())
    values = images.mean((1, 2)).round(1)
    assert (
        sorted(values[:3].tolist()) == sorted(values[3:].tolist()) == pytest.approx([0.1, 0.5, 0.9])
    )


def test_patches_of_scans_smaller_than_them_are_mirrored():
    small, large = scan(24, 24), scan(48, 64)
    cut, label = first([small, large], augment=Augmentation.none(), batch_size=12)
    assert (label != IGNORE).all()
    assert cut.min() >= 0.19


def test_half_of_the_patches_hold_a_rare_lesion():
    mask = np.zeros((256, 256), "uint8")
    mask[200:206, 30:36] = 1
    rare = Scan(np.zeros((256, 256), "float32"), mask)
    _, labels = first([rare], augment=Augmentation.none(), batch_size=200)
    share = (labels == 1).any((1, 2)).mean()
    assert 0.4 < share < 0.65  # by chance alone it would be about 0.03


def test_the_share_of_lesion_patches_is_the_one_asked_for():
    mask = np.zeros((256, 256), "uint8")
    mask[200:206, 30:36] = 1
    rare = Scan(np.zeros((256, 256), "float32"), mask)

    def share(asked):
        _, labels = first([rare], augment=Augmentation.none(), batch_size=200, lesion_patches=asked)
        return (labels == 1).any((1, 2)).mean()

    assert share(1.0) == 1
    assert share(0.0) < 0.1
    assert 0.15 < share(0.2) < 0.35


def test_a_rare_class_is_centred_on_as_often_as_a_common_one():
    mask = np.zeros((256, 256), "uint8")
    mask[:128] = 1
    mask[200:203, 128:131] = 2  # 9 pixels beside 32768
    scan = Scan(np.zeros((256, 256), "float32"), mask, classes=("IRF", "PED"))
    _, labels = first([scan], augment=Augmentation.none(), batch_size=200, lesion_patches=1.0)
    centre = labels[:, 16, 16]
    assert 0.35 < (centre == 2).mean() < 0.65
    assert ((centre == 1) | (centre == 2)).all()


def test_scans_with_a_lesion_are_oversampled_exactly_and_evenly():
    def flat(value, lesion):
        mask = np.full((16, 16), int(lesion), "uint8")
        return Scan(np.full((16, 16), value, "float32"), mask)

    scans = [flat(0.1 * k, k >= 7) for k in range(10)]  # 0.7, 0.8 and 0.9 hold a lesion
    settings = {"size": (16, 16), "augment": Augmentation.none(), "batch_size": 60}
    images, labels = first(scans, lesion_scans=0.6, **settings)
    from_lesion = labels.any((1, 2))
    assert from_lesion.sum() == 36
    assert (np.abs(np.cumsum(from_lesion) - 0.6 * np.arange(1, 61)) < 1).all()
    visits = np.bincount((images[:, 8, 8] * 10).round().astype(int))
    assert set(visits[7:]) == {12}
    assert set(visits[:7]) == {3, 4}
    again, _ = first(scans, lesion_scans=0.6, first_sample=24, **{**settings, "batch_size": 36})
    np.testing.assert_array_equal(again, images[24:])
    assert first(scans, lesion_scans=1.0, **settings)[1].all()
    assert not first(scans, lesion_scans=0.0, **settings)[1].any()


def test_intensities_stay_in_range_and_inputs_are_not_modified():
    one = scan()
    before = one.image.copy()
    images, _ = first([one], batch_size=24)
    assert images.min() >= 0
    assert images.max() <= 1
    assert images.std() > 0
    np.testing.assert_array_equal(one.image, before)


def test_an_epoch_covers_the_area_in_whole_batches():
    assert samples_per_epoch([scan(64, 64)] * 3, (32, 32), 8) == 16  # 12 patches
    assert samples_per_epoch([scan(16, 16)], (32, 32), 2) == 2
