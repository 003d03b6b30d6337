"""Masks in files of their own, `eye_mask.nii.gz` beside `eye.nii.gz`."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from medream.errors import ScanError
from medream.readers import list_headers, read_headers, read_scans
from medream.scan import Scan, Source
from medream.writers import write_masks, write_scans

rng = np.random.default_rng(5)
IMAGES = rng.random((3, 20, 31), np.float32)
MASKS = rng.integers(0, 3, IMAGES.shape).astype(np.uint8)
CLASSES = ("IRF", "SRF")


def some(**changes):
    fields = {"classes": CLASSES, "spacing_mm": (0.004, 0.011), **changes}
    return [
        Scan(image, mask=mask, source=Source(subject_id="s1", volume_id="v1", bscan_index=k), **fields)
        for k, (image, mask) in enumerate(zip(IMAGES, MASKS, strict=True))
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["eye.nii.gz", "eye.nii", "eye.mha"])
def test_masks_come_back_with_their_volume(tmp_path, name):
    write_scans(some(), tmp_path / name)
    assert len(list(tmp_path.iterdir())) == 2
    for place in (tmp_path, tmp_path / name):
        scans = read_scans(place)
        np.testing.assert_array_equal([scan.mask for scan in scans], MASKS)
        assert {scan.classes for scan in scans} == {CLASSES}
        (one,) = read_scans(place, only=[2])
        np.testing.assert_array_equal(one.mask, MASKS[2])
        (header,) = read_headers(place)
        assert (header.bscans, header.masks) == (3, True)


def test_a_mask_alone_is_no_scan(tmp_path):
    path = write_masks(some(), tmp_path / "eye_mask.nii.gz")
    with pytest.raises(
        ScanError, match=r"eye_mask\.nii\.gz is called as a mask.* expected the scan eye"
    ):
        read_scans(path)
    (error,) = list_headers(tmp_path)[1]
    assert "called as a mask" in str(error)
    path.rename(tmp_path / "renamed.nii.gz")
    with pytest.raises(ScanError, match=r"renamed.* holds masks that medream wrote"):
        read_scans(tmp_path / "renamed.nii.gz")


def test_masks_of_other_programs(tmp_path):
    """Undescribed, in the axes of the scan, beside scans of another format, with 255 for the lesion."""
    import nibabel

    stored = (IMAGES * 255).astype(np.uint8).transpose(1, 2, 0)  # (depth, width, B-scan)
    affine = np.diag([0.004, 0.011, 0.12, 1])
    nibabel.save(nibabel.Nifti1Image(stored, affine), tmp_path / "a.nii")
    white = (MASKS > 0).astype(np.uint8) * 255
    # The mask lost its spacing: the axes are the scan's.
    nibabel.save(nibabel.Nifti1Image(white.transpose(1, 2, 0), np.eye(4)), tmp_path / "a_mask.nii")
    np.save(tmp_path / "b.npy", (IMAGES * 255).astype(np.uint8))
    np.save(tmp_path / "b_mask.npy", MASKS)
    for name, masks, classes in (
        ("a.nii", white > 0, ("fluid",)),
        ("b.npy", MASKS, ("class1", "class2")),
    ):
        scans = read_scans(tmp_path / name)
        np.testing.assert_array_equal([scan.mask for scan in scans], masks)
        assert scans[0].classes == classes
    write_masks(some(), tmp_path / "c_mask.nii.gz")
    shutil.copy(tmp_path / "b.npy", tmp_path / "c.npy")
    assert read_scans(tmp_path / "c.npy")[1].classes == CLASSES


def test_a_mask_belongs_to_the_scan_of_its_format(tmp_path):
    write_scans([replace(scan, mask=None) for scan in some()], tmp_path / "eye.npz")
    write_scans(some(), tmp_path / "eye.mha")
    assert read_scans(tmp_path / "eye.npz")[0].mask is None
    assert read_scans(tmp_path / "eye.mha")[0].mask is not None


def test_a_mask_of_another_size_is_said(tmp_path):
    write_scans([replace(scan, mask=None) for scan in some()], tmp_path / "eye.nii")
    np.save(tmp_path / "eye_mask.npy", MASKS[:2])
    with pytest.raises(ScanError, match=r"eye_mask\.npy holds 2 masks of 20 x 31 .*eye\.nii"):
        read_scans(tmp_path / "eye.nii")


def test_pictures_with_masks_beside_them(tmp_path):
    for k, (image, mask) in enumerate(zip(IMAGES, MASKS, strict=True)):
        Image.fromarray((image * 255).astype(np.uint8)).save(tmp_path / f"b{k}.png")
        Image.fromarray(mask).save(tmp_path / f"b{k}_mask.png")
    scans = read_scans(tmp_path)
    assert [scan.source.picture for scan in scans] == ["b0.png", "b1.png", "b2.png"]
    np.testing.assert_array_equal([scan.mask for scan in scans], MASKS)
    assert read_headers(tmp_path)[0].bscans == 3
