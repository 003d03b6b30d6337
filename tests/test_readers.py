"""Files to scans: types of picture, masks, invalid pixels, natural order, bad input."""

import io
import os
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from medream.errors import ScanError
from medream.readers import read_gray, read_headers, read_scans
from medream.readers.names import natural_key, subject_in

# Depth and width differ and no two pixels are alike, so that any turn or flip shows.
RAMP = (np.arange(37 * 6).reshape(37, 6) + 10).astype(np.uint8)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def noise(shape=(60, 80), low=0.02, high=0.5, seed=0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


# Pictures


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_8_bit_is_divided_by_255(tmp_path, suffix):
    found = read_gray(save(tmp_path / f"a.{suffix}", RAMP))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, (RAMP / 255).astype(np.float32))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_is_divided_by_65535_and_not_by_its_maximum(tmp_path, suffix):
    array = RAMP.astype(np.uint16) * 64
    found = read_gray(save(tmp_path / f"a.{suffix}", array))
    np.testing.assert_allclose(found, array / 65535, atol=1e-7)
    assert found.max() < 0.25


@given(hnp.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9))))
@settings(max_examples=30, deadline=None)
def test_16_bit_survives_a_file_bit_for_bit(tmp_path_factory, array):
    path = save(tmp_path_factory.mktemp("u16") / "a.png", array)
    np.testing.assert_array_equal(np.round(read_gray(path) * 65535.0), array)


def test_white_is_zero_tiff_is_turned_round(tmp_path):
    array = RAMP.astype(np.uint16) * 257
    path = tmp_path / "a.tif"
    Image.fromarray(array).save(path, tiffinfo={262: 0})
    np.testing.assert_allclose(read_gray(path), 1 - array / 65535, atol=1e-6)


def test_float_tiff_only_between_0_and_1(tmp_path):
    good = save(tmp_path / "good.tif", (RAMP / 255).astype(np.float32))
    np.testing.assert_allclose(read_gray(good), RAMP / 255, atol=1e-7)
    bad = save(tmp_path / "bad.tif", RAMP.astype(np.float32))
    with pytest.raises(ScanError, match=r"10 to 2.*bad|bad.*10 to 2"):
        read_gray(bad)


def test_one_bit_and_palette(tmp_path):
    bits = RAMP > 100
    Image.fromarray(bits).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_gray(tmp_path / "bits.png"), bits.astype(np.float32))
    Image.fromarray(RAMP).convert("P").save(tmp_path / "palette.png")
    np.testing.assert_allclose(read_gray(tmp_path / "palette.png"), RAMP / 255, atol=1e-6)


def test_grey_in_colour_channels_is_grey(tmp_path):
    rgb = np.stack([RAMP] * 3, axis=-1)
    opaque = np.dstack([rgb, np.full(RAMP.shape, 255, np.uint8)])
    for name, array in (("rgb.png", rgb), ("rgba.png", opaque)):
        np.testing.assert_allclose(read_gray(save(tmp_path / name, array)), RAMP / 255, atol=1e-6)


def test_noise_of_jpeg_colours_is_tolerated_and_colour_is_not(tmp_path):
    rgb = np.stack([np.tile(np.arange(64, dtype=np.uint8) * 3, (48, 1))] * 3, axis=-1)
    rgb[::2, :, 2] += 6  # what a camera or a screen adds
    assert read_gray(save(tmp_path / "tinted.jpg", rgb, quality=85)).shape == (48, 64)
    rgb[10:13] = (255, 0, 0)  # a drawn line
    with pytest.raises(ScanError, match=r"colour.*class map"):
        read_gray(save(tmp_path / "line.png", rgb))


def test_transparency_is_refused(tmp_path):
    rgba = np.dstack([RAMP, RAMP, RAMP, np.where(RAMP > 100, 255, 0).astype(np.uint8)])
    with pytest.raises(ScanError, match="transparent"):
        read_gray(save(tmp_path / "a.png", rgba))


def test_pages_of_a_tiff_are_a_volume_in_order(tmp_path):
    pages = [Image.fromarray(RAMP + k) for k in range(3)]
    path = tmp_path / "volume.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    scans = read_scans(path)
    assert [round(float(s.image[0, 0] * 255)) for s in scans] == [10, 11, 12]
    assert [s.source.bscan_index for s in scans] == [0, 1, 2]
    with pytest.raises(ScanError, match="3 pages"):
        read_gray(path)


def test_content_decides_and_not_the_name(tmp_path):
    save(tmp_path / "a.png", RAMP)
    (tmp_path / "a.png").rename(tmp_path / "scan.jpg.backup")
    np.testing.assert_allclose(read_scans(tmp_path / "scan.jpg.backup")[0].image, RAMP / 255)


# NumPy files


def test_npy_volume(tmp_path):
    volume = np.stack([RAMP, RAMP + 3, RAMP + 9])
    np.save(tmp_path / "patient7_cube.npy", volume)
    scans = read_scans(tmp_path / "patient7_cube.npy")
    assert [round(float(s.image[0, 0] * 255)) for s in scans] == [10, 13, 19]
    assert {s.source.subject_id for s in scans} == {"patient7"}


@pytest.mark.parametrize("key", ["image", "original"])
def test_npz_brings_mask_valid_spacing_and_names(tmp_path, key):
    mask = np.zeros(RAMP.shape, np.int64)
    mask[30, 1] = 2
    valid = np.ones(RAMP.shape, bool)
    valid[:, 5] = False
    content = {"mask": mask, "valid": valid, "spacing_mm": [0.004, 0.012], "classes": ["IRF", "S"]}
    np.savez(tmp_path / "a.npz", **{key: (RAMP * 257.0 / 65535).astype(np.float32)}, **content)
    (scan,) = read_scans(tmp_path / "a.npz")
    assert scan.mask[30, 1] == 2
    assert scan.mask.sum() == 2
    np.testing.assert_array_equal(scan.valid, valid)
    assert scan.spacing_mm == (0.004, 0.012)
    assert scan.classes == ("IRF", "S")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"pixels": RAMP}, "pixels"),
        ({"image": RAMP.astype(np.float32)}, "[0, 1]"),
        ({"image": RAMP.astype(np.int64)}, "int64"),
        ({"image": RAMP, "mask": RAMP.T}, "one size"),
        ({"image": RAMP, "mask": RAMP * 0.5}, "class ids"),
        ({"image": RAMP[0]}, "(depth, width)"),
        ({"image": np.dstack([RAMP] * 3)}, "grey"),
        ({"image": RAMP, "spacing_mm": 0.1}, "axial"),
        ({"image": np.array([{"a": 1}])}, "objects"),
    ],
)
def test_npz_refuses(tmp_path, content, words):
    path = tmp_path / "odd.npz"
    np.savez(path, **content)
    with pytest.raises(ScanError) as caught:
        read_scans(path)
    assert words in str(caught.value)
    assert "odd.npz" in str(caught.value)


def claim(shape, kind="|u1"):
    """The head of an array that claims a shape."""
    file = io.BytesIO()
    about = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue()


def test_claims_of_arrays_are_checked(tmp_path):
    (tmp_path / "a.npy").write_bytes(claim((10**9, 496, 512)) + bytes(100))
    (tmp_path / "image.npy").write_bytes(claim((300, 1000, 1000)) + bytes(300 * 10**6))
    with zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "image.npy", "image.npy")
    for name in ("a.npy", "b.npz"):
        for read in (read_scans, read_headers):
            with pytest.raises(ScanError, match=rf"{name} claims to hold"):
                read(tmp_path / name)


def test_one_bscan_of_an_npy_reads_no_other(tmp_path):
    volume = np.random.default_rng(0).integers(0, 256, (200, 100, 100), np.uint8)
    np.save(tmp_path / "a.npy", volume)
    read_scans(tmp_path / "a.npy", only=[0])
    tracemalloc.start()
    (scan,) = read_scans(tmp_path / "a.npy", only=[77])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(scan.image, volume[77] / np.float32(255))
    assert scan.source.bscan_index == 77
    assert peak < 8 * 100 * 100 * 4 < volume.nbytes


def test_other_arrays_in_an_npz_are_not_read(tmp_path):
    np.savez(tmp_path / "a.npz", image=RAMP, other=np.array([{}], object), mask=RAMP > 3)
    (scan,) = read_scans(tmp_path / "a.npz")
    np.testing.assert_array_equal(scan.mask, RAMP > 3)


# Names


def test_natural_order():
    names = ["bscan_10", "bscan_2", "Bscan_1", "a", "bscan_02b", "9", "10"]
    assert sorted(names, key=natural_key) == [
        "9", "10", "a", "Bscan_1", "bscan_2", "bscan_02b", "bscan_10",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        ("subject01_bscan05.png", "subject01"),
        ("Subject_01.png", "Subject_01"),
        ("patient3/raw/patient3_raw0007.png", "patient3"),
        ("sub-01/ses-1/x.png", "sub-01"),
        ("TRAIN012/oct.png", "TRAIN012"),
        ("P_007_OD.png", "P_007"),
        ("scan_P12.png", "P12"),
        ("bscan_12.png", None),
        ("train_1.png", None),
        ("test3/img5.png", None),
        ("map12.png", None),
        ("1.png", None),
    ],
)
def test_subject_in_names(path, subject):
    from pathlib import Path

    assert subject_in(Path(path)) == subject


def test_folder_is_a_volume_in_natural_order(tmp_path):
    for k in (10, 2, 1):
        save(tmp_path / f"bscan_{k}.png", RAMP + k)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes(b"")
    scans = read_scans(tmp_path)
    assert [round(float(s.image[0, 0] * 255)) for s in scans] == [11, 12, 20]
    assert [s.source.bscan_index for s in scans] == [0, 1, 2]
    assert {s.source.volume_id for s in scans} == {tmp_path.name}
    assert len({s.source.sha256 for s in scans}) == 3


# Bad input


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (bytes(1000), "zero bytes"),
        (b"Dear colleague, ", "Dear"),
        (b"BMW is a car and no bitmap", "BMW"),
        (b"\x89PNG\r\n\x1a\n" + b"rubbish" * 30, "damaged"),
        (b"\xff\xd8\xff" + b"rubbish" * 30, "damaged"),
        (b"II*\0\xff\xff\xff\xff" + b"rubbish" * 30, "damaged"),
        (b"PK\x03\x04" + b"rubbish" * 30, "NumPy"),
        (b"\x93NUMPY" + b"rubbish" * 30, "NumPy"),
        (b"\x1f\x8b" + b"rubbish" * 30, "gzip"),
        (bytes(128) + b"DICM" + bytes(99), "DICOM"),
        (b"HSF-OCT-103" + bytes(99), "no complete header"),
        (bytes(344) + b"n+1\0" + bytes(99), "none"),
    ],
)
def test_what_is_no_picture_is_said(tmp_path, content, words):
    path = tmp_path / "scan.png"
    path.write_bytes(content)
    with pytest.raises(ScanError) as caught:
        read_scans(path)
    assert words in str(caught.value)
    assert "scan.png" in str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "npy", "npz"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_file_cut_short_is_never_read_as_something_else(tmp_path, suffix):
    array = (noise((20, 30)) * 255).astype(np.uint8)
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        np.save(path, array)
    elif suffix == "npz":
        np.savez_compressed(path, image=array)
    else:
        save(path, array)
    whole = path.read_bytes()
    expected = read_scans(path)[0].image
    for length in [*range(0, len(whole), max(len(whole) // 40, 1)), len(whole) - 1]:
        path.write_bytes(whole[:length])
        try:
            found = read_scans(path)[0].image
        except ScanError as error:
            assert path.name in str(error)  # noqa: PT017
        else:
            np.testing.assert_array_equal(found, expected)


def test_enormous_picture_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ScanError, match="larger"):
        read_scans(save(tmp_path / "a.png", np.zeros((50, 50), np.uint8)))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_devices_do_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.vol")
    for path in (tmp_path / "pipe.vol", "/dev/zero"):
        with pytest.raises(ScanError, match="pipe, device"):
            read_scans(path)
    with pytest.raises(ScanError):
        read_scans(tmp_path)


def test_wrong_paths(tmp_path):
    save(tmp_path / "bscan_07.png", RAMP)
    with pytest.raises(ScanError, match=r"does not exist.*bscan_07"):
        read_scans(tmp_path / "bscan_7.png")
    with pytest.raises(ScanError, match="null"):
        read_scans("a\0b")
    (tmp_path / "inner").mkdir()
    with pytest.raises(ScanError, match="no scans"):
        read_scans(tmp_path / "inner")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    with pytest.raises(ScanError, match=r"loop\.png"):
        read_scans(tmp_path / "loop.png")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_unreadable_file(tmp_path):
    path = save(tmp_path / "a.png", RAMP)
    path.chmod(0)
    with pytest.raises(ScanError, match="permission"):
        read_scans(path)


# Real scans


def test_duke_volume_in_order(shared_data):
    scans = read_scans(shared_data / "duke_subject01_volume")
    assert len(scans) == 61
    assert scans[9].source.path.endswith("bscan_10.png")
    assert {scan.shape for scan in scans} == {(496, 768)}


def test_pixels_that_are_no_numbers_are_counted_and_the_first_is_named(tmp_path):
    image = np.full((4, 6), 0.5, "float32")
    image[2, 3], image[3, 5] = np.nan, np.inf
    np.save(tmp_path / "one.npy", image)
    with pytest.raises(ScanError, match=r"2 of 24 pixels that are not finite .* row 2, column 3\."):
        read_scans(tmp_path / "one.npy")
    image[3, 5] = 0
    np.save(tmp_path / "many.npy", np.stack([np.zeros_like(image), image]))
    with pytest.raises(ScanError, match="B-scan 1, row 2, column 3"):
        read_scans(tmp_path / "many.npy")
    nibabel = pytest.importorskip("nibabel")
    nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), tmp_path / "one.nii")
    with pytest.raises(ScanError, match=r"1 of 24 pixels that is not finite .* index \("):
        read_scans(tmp_path / "one.nii")
