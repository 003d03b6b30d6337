"""Data sets of volumes: opened, and kept whole on the way through `data convert`."""

import json
import os
import warnings
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from test_writers import convert

from medream.adapters import check_dataset, open_dataset
from medream.errors import ScanError
from medream.scan import Scan, Source
from medream.writers import write_scans

rng = np.random.default_rng(3)
CLASSES = ("IRF", "SRF")
SUBJECTS = (("s1", "train", "OD"), ("s2", "train", "OS"), ("s3", "test", "OD"))


def volume(subject, eye, bscans=3, shape=(24, 37)):
    images = rng.random((bscans, *shape), np.float32)
    masks = rng.integers(0, 3, images.shape).astype(np.uint8)
    valid = np.ones(shape, bool)
    valid[:4, :5] = False
    source = Source("clinic", subject, f"{subject}v", laterality=eye, device="Cirrus")
    return [
        Scan(image, mask, CLASSES, valid, (0.004, 0.011), replace(source, bscan_index=k))
        for k, (image, mask) in enumerate(zip(images, masks, strict=True))
    ]


@pytest.fixture
def scans():
    return {(s, split): volume(s, eye) for s, split, eye in SUBJECTS}


def quietly(path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_dataset(path, **options)


@pytest.mark.parametrize(
    "way", [("png",), ("npz",), ("nifti",), ("metaimage",), ("png", "nifti", "npz", "png")]
)
def test_a_data_set_is_kept_whole(tmp_path, scans, way):
    start = tmp_path / "start"
    start.mkdir()
    for (subject, split), own in scans.items():
        write_scans(own, start / f"{subject}.npz", bscan_spacing_mm=0.12, split=split)
    last = start
    for k, format in enumerate(way):
        convert(last, tmp_path / f"out{k}", "--format", format)
        last = tmp_path / f"out{k}"
    found = quietly(last)
    assert (len(found), found.classes, found.adapter) == (9, CLASSES, "folder")
    assert set(found.bscan_spacings_mm) == {0.12}
    for split in ("train", "test"):
        part = quietly(last, split=split)
        expected = [scan for (_, s), own in scans.items() if s == split for scan in own]
        if split == "train":  # one of the subjects is held out for validation
            part = [*part, *quietly(last, split="validation")]
            part.sort(key=lambda scan: (scan.source.subject_id, scan.source.bscan_index))
        assert len(part) == len(expected)
        for scan, before in zip(part, expected, strict=True):
            np.testing.assert_allclose(scan.image, before.image, atol=1e-4)
            np.testing.assert_array_equal(scan.mask, before.mask)
            if way[-1] in ("png", "npz") and "nifti" not in way:
                np.testing.assert_array_equal(scan.valid, before.valid)
            assert scan.spacing_mm == pytest.approx((0.004, 0.011))
            for name in ("subject_id", "volume_id", "bscan_index", "laterality", "device"):
                assert getattr(scan.source, name) == getattr(before.source, name)
    problems = [p for p in check_dataset(last) if "share a person" not in p.what]
    assert [str(problem) for problem in problems] == []


def test_a_folder_for_each_person(tmp_path):
    """The usual export: no description, one name for all, folders tell the people apart."""
    import nibabel

    for person in ("anna", "berta"):
        (tmp_path / person).mkdir()
        values = rng.integers(0, 256, (37, 24, 3)).astype(np.uint8)
        affine = np.diag([0.011, 0.004, 0.12, 1])
        nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / person / "scan.nii.gz")
        mask = (values > 200).astype(np.uint8)
        nibabel.save(nibabel.Nifti1Image(mask, affine), tmp_path / person / "scan_mask.nii.gz")
    found = quietly(tmp_path)
    assert [scan.source.subject_id for scan in found] == ["anna"] * 3 + ["berta"] * 3
    assert {scan.source.volume_id for scan in found} == {"anna_scan", "berta_scan"}
    np.testing.assert_array_equal(found[5].mask, mask[:, :, 2].T)
    assert found.classes == ("fluid",)
    assert found[0].spacing_mm == pytest.approx((0.004, 0.011))
    named = quietly(tmp_path, class_map={"cyst": 1})
    assert named.classes == ("cyst",)
    convert(tmp_path, tmp_path / "out", "--format", "npz")
    assert sorted(p.name for p in (tmp_path / "out").glob("*.npz")) == [
        "anna_anna_scan.npz",
        "berta_berta_scan.npz",
    ]


def test_masks_in_a_folder_of_masks(tmp_path):
    for place in ("images", "masks"):
        (tmp_path / place).mkdir()
    masks = rng.integers(0, 3, (4, 24, 37)).astype(np.uint8)
    np.save(tmp_path / "images" / "p1.npy", rng.integers(0, 255, masks.shape).astype(np.uint8))
    np.save(tmp_path / "masks" / "p1.npy", masks)
    found = quietly(tmp_path)
    np.testing.assert_array_equal([scan.mask for scan in found], masks)
    assert found.classes == ("class1", "class2")
    swapped = quietly(tmp_path, class_map={"b": 2, "a": 1})
    assert swapped.classes == ("b", "a")
    np.testing.assert_array_equal(swapped[1].mask, np.array([0, 2, 1], np.uint8)[masks[1]])


def test_all_bad_files_are_told_at_once(tmp_path):
    np.save(tmp_path / "good.npy", rng.integers(0, 255, (2, 24, 37)).astype(np.uint8))
    for name in ("one.nii", "two.npy"):
        (tmp_path / name).write_bytes(b"")
    (problem, other) = [p for p in check_dataset(tmp_path) if p.severity == "error"]
    assert "one.nii" in problem.what
    assert "two.npy" in other.what
    with pytest.raises(ScanError, match=r"2 files in .*\(1\).*one\.nii.*\(2\).*two\.npy"):
        open_dataset(tmp_path)


# data convert


def test_bad_files_stop_a_conversion_before_it_begins_or_are_left_out(tmp_path):
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "good.npy", np.zeros((2, 24, 37), np.uint8))
    for name in ("one.nii", "two.npy"):
        (tmp_path / "in" / name).write_bytes(b"")
    out = tmp_path / "out"
    error = str(convert(tmp_path / "in", out, "--format", "npz", code=1).exception)
    assert "one.nii" in error
    assert "two.npy" in error
    assert "--skip-bad" in error
    assert not out.exists()
    with pytest.warns(UserWarning, match=r"Left out: .*one\.nii"):
        convert(tmp_path / "in", out, "--format", "npz", "--skip-bad")
    assert [p.name for p in out.glob("*.npz")] == ["good.npz"]
    results = json.loads((out / "run.json").read_text())["results"]
    assert (results["volumes"], len(results["left_out"])) == (1, 2)


def test_a_picture_cut_short_is_left_out(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(3):
        Image.fromarray(rng.integers(0, 255, (64, 64)).astype(np.uint8)).save(folder / f"{k}.png")
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:900])
    assert "1.png" in str(convert(folder, tmp_path / "out", code=1).exception)
    with pytest.warns(UserWarning, match=r"Left out: .*1\.png"):
        convert(folder, tmp_path / "out", "--skip-bad")
    assert len(list((tmp_path / "out" / "images").iterdir())) == 2


def test_a_source_is_never_overwritten(tmp_path):
    own = volume("s1", "OD")
    file = write_scans(own, tmp_path / "eye.npz")
    before = file.read_bytes()
    os.symlink(file, tmp_path / "link.npz")
    for out in (file, tmp_path / "link.npz"):
        assert "is what is to be converted" in str(convert(file, out, code=1).exception)
    assert file.read_bytes() == before
    convert(file, tmp_path / "set" / "pictures")
    error = convert(tmp_path / "set" / "pictures", tmp_path / "set" / "pictures", code=1).exception
    assert "is what is to be converted" in str(error)
    assert (tmp_path / "set" / "pictures" / "scans.json").exists()


def test_only_own_files_are_replaced(tmp_path):
    own = volume("s1", "OD")
    file = write_scans(own, tmp_path / "eye.npz")
    for name in ("b.nii.gz", "b.mha", "b.npz"):
        out = tmp_path / name
        convert(file, out)
        convert(file, out)  # its own earlier result
        out.write_bytes(b"somebody's own")
        assert "is there already" in str(convert(file, out, code=1).exception)
        assert out.read_bytes() == b"somebody's own"
        out.unlink()
    # A mask of the user's is not replaced either, and none of an earlier result stays behind.
    (tmp_path / "c_mask.nii").write_bytes(b"drawn by hand")
    assert "c_mask.nii is there" in str(convert(file, tmp_path / "c.nii", code=1).exception)
    convert(file, tmp_path / "d.nii")
    plain = write_scans([replace(scan, mask=None) for scan in own], tmp_path / "plain.npz")
    convert(plain, tmp_path / "d.nii")
    assert not (tmp_path / "d_mask.nii").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("v.mhd",),
        ("v.png",),
        ("v.nrrd",),
        ("v.nii.gz", "--format", "png"),
        ("v.dcm", "--format", "npz"),
    ],
)
def test_names_that_contradict_the_format(tmp_path, arguments):
    file = write_scans(volume("s1", "OD"), tmp_path / "eye.npz")
    name, *options = arguments
    convert(file, tmp_path / name, *options, code=2)
    assert not (tmp_path / name).exists()
    convert(file, tmp_path / "v1.2")
    assert (tmp_path / "v1.2" / "scans.json").exists()
