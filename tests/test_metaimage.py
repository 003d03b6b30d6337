"""MetaImage and NRRD: axes, spacing, one B-scan of many, pixel files that lead astray, damage."""

import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from samples import BETWEEN, BSCANS, DEPTH, IMAGES, SPACING, VOLUME, WIDTH, write_itk

from medream.errors import ScanError
from medream.readers import read_headers, read_scans

SUFFIXES = ("mhd", "mha", "nrrd", "nhdr")


def images(scans):
    return np.stack([scan.image for scan in scans])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("compress", [False, True])
def test_volume(tmp_path, suffix, compress):
    path = write_itk(tmp_path / f"a.{suffix}", compress=compress)
    scans = read_scans(path)
    np.testing.assert_array_equal(images(scans), IMAGES)
    assert {scan.spacing_mm for scan in scans} == {SPACING}
    assert [scan.source.bscan_index for scan in scans] == list(range(BSCANS))
    (header,) = read_headers(path)
    assert header.format == ("NRRD" if suffix.startswith("n") else "MetaImage")
    assert (header.bscans, header.size) == (BSCANS, (DEPTH, WIDTH))
    assert (header.spacing_mm, header.bscan_spacing_mm) == (SPACING, BETWEEN)
    np.testing.assert_array_equal(images(read_scans(path, only=[4, 1])), IMAGES[[4, 1]])
    assert [s.source.bscan_index for s in read_scans(path, only=[4, 1])] == [4, 1]


def test_header_and_one_bscan_read_no_other_pixels(tmp_path, monkeypatch):
    path = write_itk(tmp_path / "a.mhd")
    shapes = []
    original = sitk.GetArrayViewFromImage
    monkeypatch.setattr(
        sitk,
        "GetArrayViewFromImage",
        lambda image: shapes.append(image.GetSize()) or original(image),
    )
    read_headers(path)
    assert shapes == []
    read_scans(path, only=[2])
    assert shapes == [(WIDTH, DEPTH)]


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 2, 0), (0, 1, 2), (0, 2, 1), (1, 0, 2)])
def test_spacing_tells_the_axes_in_any_order(tmp_path, order):
    # GetImageFromArray counts x from the array's last axis.
    spacing = [(BETWEEN, *SPACING)[axis] for axis in reversed(order)]
    path = write_itk(tmp_path / "a.mhd", VOLUME.transpose(order), spacing=spacing)
    np.testing.assert_array_equal(images(read_scans(path)), IMAGES)
    one = read_scans(path, only=[3])[0]
    np.testing.assert_array_equal(one.image, IMAGES[3])
    assert one.spacing_mm == SPACING


def test_sizes_and_spacings_of_retouch(tmp_path):
    volume = np.zeros((12, 65, 51), np.uint16)
    volume[3, 60, 2] = 65535
    for lateral, axial, between in ((0.01174, 0.001955, 0.047), (0.0115, 0.003872, 0.12)):
        path = write_itk(tmp_path / "oct.mhd", volume, spacing=(lateral, axial, between))
        scans = read_scans(path)
        assert scans[3].image[60, 2] == 1
        assert scans[0].spacing_mm == (axial, lateral)


def test_default_spacing_is_unknown(tmp_path):
    path = write_itk(tmp_path / "a.mha", spacing=(1.0, 1.0, 1.0))
    assert read_scans(path)[0].spacing_mm is None
    np.testing.assert_array_equal(images(read_scans(path)), IMAGES)


@pytest.mark.parametrize(
    ("array", "full"),
    [(VOLUME.astype(np.uint16), 65535), (VOLUME.astype(np.int16), 255), (IMAGES, 1),
     (VOLUME.astype(np.float64), 255)],
)  # fmt: skip
def test_range_of_the_type(tmp_path, array, full):
    path = write_itk(tmp_path / "a.mhd", array)
    np.testing.assert_allclose(images(read_scans(path)), array / full, atol=1e-6)
    np.testing.assert_allclose(read_scans(path, only=[3])[0].image, array[3] / full, atol=1e-6)


def test_grey_in_colour_two_axes_and_four(tmp_path):
    path = tmp_path / "a.mha"
    colours = np.repeat(VOLUME[..., None], 3, axis=-1)
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(path))
    np.testing.assert_array_equal(images(read_scans(path)), IMAGES)
    np.testing.assert_array_equal(read_scans(path, only=[3])[0].image, IMAGES[3])
    colours[2, 5, 5, 0] += 90
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(path))
    with pytest.raises(ScanError, match=r"a\.mha is in colour"):
        read_scans(path)
    (scan,) = read_scans(write_itk(path, VOLUME[1]))
    np.testing.assert_array_equal(scan.image, IMAGES[1])
    four = sitk.GetImageFromArray(np.zeros((2, 3, 20, 30), np.uint8), isVector=False)
    sitk.WriteImage(four, str(path))
    with pytest.raises(ScanError, match="volume of three"):
        read_scans(path)


@pytest.mark.parametrize("suffix", ["mha", "nrrd"])
def test_content_decides(tmp_path, suffix):
    shutil.move(write_itk(tmp_path / f"a.{suffix}"), tmp_path / "scan.png")
    np.testing.assert_array_equal(images(read_scans(tmp_path / "scan.png")), IMAGES)


def test_folder_of_a_case(tmp_path):
    write_itk(tmp_path / "TRAIN012" / "oct.mhd") if (
        tmp_path / "TRAIN012"
    ).mkdir() is None else None
    scans = read_scans(tmp_path / "TRAIN012")
    np.testing.assert_array_equal(images(scans), IMAGES)
    assert len(read_headers(tmp_path / "TRAIN012")) == 1


# Hostile


def edited(path, old, new):
    text = path.read_bytes()
    assert old in text
    path.write_bytes(text.replace(old, new))
    return path


@pytest.mark.parametrize("suffix", ["mhd", "nhdr"])
@pytest.mark.parametrize("name", [b"../secret.raw", b"/etc/passwd", b"x/../../secret.raw",
                                  b"..\\secret.raw", b"C:\\secret.raw", b"\\\\host\\secret"])  # fmt: skip
def test_pixel_file_outside_of_the_folder(tmp_path, suffix, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.raw").write_bytes(VOLUME.tobytes())
    path = edited(write_itk(tmp_path / "in" / f"a.{suffix}"), b"a.raw", name)
    for read in (read_scans, read_headers):
        with pytest.raises(ScanError, match=rf"a\.{suffix}.*outside of its folder"):
            read(path)


@pytest.mark.parametrize("name", [b"gone.raw", b"a.mhd/x", b""])
def test_pixel_file_missing(tmp_path, name):
    path = edited(write_itk(tmp_path / "a.mhd"), b"a.raw", name)
    with pytest.raises(ScanError, match=r"a\.mhd"):
        read_headers(path)


@pytest.mark.parametrize("name", [b"LIST", b"LIST 2", b"a%02d.raw 1 5 1"])
@pytest.mark.parametrize("suffix", ["mhd", "nhdr"])
def test_lists_of_pixel_files_are_refused(tmp_path, suffix, name):
    path = edited(write_itk(tmp_path / f"a.{suffix}"), b"a.raw", name + b"\n../../etc/passwd")
    with pytest.raises(ScanError, match="one pixel file"):
        read_scans(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(
    "size",
    [b"24000 37000 50000", b"24 37 6", b"0 37 5", b"-24 37 5", b"24 37", b"x y z", b"24 37 5 1"],
)
def test_wrong_sizes(tmp_path, suffix, compress, size):
    path = edited(write_itk(tmp_path / f"a.{suffix}", compress=compress), b"24 37 5", size)
    with pytest.raises(ScanError, match=rf"a\.{suffix}") as caught:
        read_scans(path)
    if len(size) > 12:
        assert "claims to hold 24000 x 37000 x 50000" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"MET_UCHAR", b"MET_NONSENSE"),
        (b"MET_UCHAR", b"MET_DOUBLE"),
        (b"NDims = 3", b"NDims = 999999999"),
        (b"NDims = 3", b"NDims = -3"),
        (b"0.12", b"nan"),
        (b"0.12", b"0"),
        (b"0.12", b"1e400"),
        (b"0.12", b"-0.12"),
        (b"ElementSpacing", b"X"),
        (b"DimSize", b"X"),
        (b"BinaryData = True", b"BinaryData = False"),
        (b"CompressedData = False", b"CompressedData = True"),
        (b"CompressedData = False", b"HeaderSize = 99999999"),
        (b"CompressedData = False", b"ElementNumberOfChannels = 99999"),
    ],
)
def test_absurd_header(tmp_path, old, new):
    path = edited(write_itk(tmp_path / "a.mhd"), old, new)
    try:
        scans = read_scans(path)
    except ScanError as error:
        assert "a.mhd" in str(error)  # noqa: PT017
    else:
        assert old in (b"0.12", b"ElementSpacing")
        assert scans[0].spacing_mm in (None, SPACING, SPACING[::-1])


@pytest.mark.parametrize("suffix", ["mha", "nrrd"])
@pytest.mark.parametrize("compress", [False, True])
def test_cut_short(tmp_path, suffix, compress, capfd):
    whole = write_itk(tmp_path / f"whole.{suffix}", compress=compress).read_bytes()
    path = tmp_path / f"cut.{suffix}"
    for length in [*range(0, len(whole), max(1, len(whole) // 30)), len(whole) - 1]:
        path.write_bytes(whole[:length])
        try:
            scans = read_scans(path)
        except ScanError as error:
            assert path.name in str(error)  # noqa: PT017
        else:
            assert compress  # the checksum at the end may be gone
            np.testing.assert_array_equal(images(scans), IMAGES)
