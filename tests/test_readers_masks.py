"""Masks and their classes, and the pixels of a scan that are no signal."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from test_readers import noise, save

from medream.errors import ScanError
from medream.readers import read_labels, read_scans, valid_mask

# Masks


BLOB = np.zeros((37, 60), np.uint8)
BLOB[5:20, 8:40] = 1


@pytest.mark.parametrize("value", [1, 255, 128])
def test_binary_masks(tmp_path, value):
    found = read_labels(save(tmp_path / "m.png", BLOB * value))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, BLOB)


def test_jpeg_mask_is_cut_at_128(tmp_path):
    path = save(tmp_path / "m.jpg", BLOB * 255, quality=80)
    assert len(np.unique(np.asarray(Image.open(path)))) > 2
    np.testing.assert_array_equal(read_labels(path), BLOB)


def test_black_jpeg_mask_is_empty_and_holds_no_class_ids(tmp_path):
    dark = BLOB * 0
    dark[::7, ::5] = 3
    assert read_labels(save(tmp_path / "m.jpg", dark)).max() == 0


def test_smoothed_png_mask_is_cut_at_128(tmp_path):
    big = Image.fromarray(BLOB * 255).resize((240, 148), Image.Resampling.BILINEAR)
    big.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "m.png"), np.asarray(big) >= 128)


def test_class_ids_are_kept(tmp_path):
    ids = BLOB.copy()
    ids[30:, :10], ids[30:, 40:] = 3, 7
    np.testing.assert_array_equal(read_labels(save(tmp_path / "m.png", ids)), ids)
    palette = Image.fromarray(ids)
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255] + [200, 200, 0] * 10)
    palette.save(tmp_path / "p.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "p.png"), ids)


def test_unknown_values_are_listed(tmp_path):
    steps = BLOB * 0
    steps[:10], steps[10:20], steps[20:] = 23, 92, 161
    with pytest.raises(ScanError, match=r"m\.png.*3 values.*161.*class_map"):
        read_labels(save(tmp_path / "m.png", steps))
    mapped = read_labels(tmp_path / "m.png", {"SRF": 161, "IRF": 23, "background": 92})
    assert [int(mapped[row, 0]) for row in (0, 10, 20)] == [2, 0, 1]
    with pytest.raises(ScanError, match=r"does not name.*23"):
        read_labels(tmp_path / "m.png", {"SRF": 161, "IRF": 92})


def test_colours_need_a_class_map(tmp_path):
    colours = np.zeros((20, 30, 3), np.uint8)
    colours[:5], colours[15:] = (255, 0, 0), (0, 0, 200)
    path = save(tmp_path / "m.png", colours)
    with pytest.raises(ScanError, match=r"\[255, 0, 0\].*class_map"):
        read_labels(path)
    found = read_labels(path, {"a": (0, 0, 200), "b": [255, 0, 0]})
    assert [int(found[row, 0]) for row in (0, 10, 19)] == [2, 0, 1]
    with pytest.raises(ScanError, match=r"does not name.*\[255, 0, 0\]"):
        read_labels(path, {"a": (0, 0, 200)})


def test_class_map_of_one_class_names_a_binary_mask(tmp_path):
    path = save(tmp_path / "m.png", BLOB * 255)
    np.testing.assert_array_equal(read_labels(path, {"cyst": 1}), BLOB)


@pytest.mark.parametrize(
    "bad",
    [
        {"a": "red"},
        {"a": (1, 2)},
        {"a": 1, "b": 1},
        {"a": -1},
        {"a": 1, "b": (1, 2, 3)},
        {"background": 0},
        {"a": True},
    ],
)
def test_class_map_is_checked(tmp_path, bad):
    path = save(tmp_path / "m.png", BLOB)
    with pytest.raises(ScanError):
        read_labels(path, bad)


# Invalid pixels


def test_white_wedge_and_its_rim_are_invalid():
    image = noise()
    edge = np.linspace(12, 2, 80)
    image[np.arange(60)[:, None] < edge] = 1.0
    valid = valid_mask(image)
    assert not valid[image == 1.0].any()
    assert not valid[13, 0]  # the rim
    assert valid[17, 0]
    assert valid[6:, 79].all()


def test_jpeg_wedge(tmp_path):
    image = (noise((64, 96)) * 255).astype(np.uint8)
    image[50:] = 255
    found = read_scans(save(tmp_path / "w.jpg", image, quality=75))[0].valid
    assert not found[52:].any()
    assert found[:46].all()


def test_speckle_and_bright_layers_at_the_border_are_signal():
    image = noise()
    image[0, 3] = image[0, 4] = image[1, 3] = image[59, 40] = 1.0  # saturated speckle
    image[25:33, :30] = 1.0  # a saturated layer that leaves the frame at the side
    assert valid_mask(image) is None


def test_dark_vitreous_is_signal_and_black_margin_is_not():
    image = noise()
    fade = np.linspace(0, 3, 30)[:, None] * np.random.default_rng(1).random((30, 80))
    image[:30] = np.clip(fade - 0.8, 0, 1)  # black at the top, more and more speckle below
    assert (image[0] == 0).all()
    assert valid_mask(image) is None
    image = noise()
    image[:7], image[:, -4:] = 0.0, 0.25
    expected = np.ones((60, 80), bool)
    expected[:7], expected[:, -4:] = False, False
    np.testing.assert_array_equal(valid_mask(image), expected)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (64, 64)])
def test_constant_image_is_all_signal(value, shape):
    assert valid_mask(np.full(shape, value, np.float32)) is None


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=24),
                  elements=st.sampled_from([0.0, 0.3, 0.6, 1.0])))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_valid_mask_flips_with_the_image(image):
    def found(array):
        valid = valid_mask(array)
        return np.ones(array.shape, bool) if valid is None else valid

    assert found(image).any()
    np.testing.assert_array_equal(found(image[:, ::-1])[:, ::-1], found(image))


# Real scans


def test_wedges_of_duke(shared_data):
    white = [
        (scan.image >= 0.98, scan.valid)
        for name in ("train/Image/subject01_bscan03", "test/Image/subject09_bscan05")
        for scan in read_scans(shared_data / "duke_dme" / f"{name}.png")
    ]
    for saturated, valid in white:
        assert (saturated & valid).sum() < 60  # only single speckles remain
        assert 0.85 < valid.mean() < 0.95
    assert not white[1][1][:, :18].any()  # black columns that registration left
    assert white[1][1][200, 25]
