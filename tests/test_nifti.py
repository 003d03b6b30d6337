"""NIfTI: which axis is what, the range of the numbers, one B-scan of many, damage."""

import gzip
import shutil
import warnings

import nibabel as nib
import numpy as np
import pytest
from samples import BETWEEN, BSCANS, DEPTH, IMAGES, SPACING, VOLUME, WIDTH, write_itk

from medream.errors import ConfigError, ScanError
from medream.readers import read_headers, read_scans, read_volumes

SUFFIXES = ("nii", "nii.gz", "img", "img.gz")


def images(scans):
    return np.stack([scan.image for scan in scans])


def save(path, array, zooms=None, units="mm", kind=nib.Nifti1Image):
    image = kind(
        array, np.diag([*(zooms or [1] * array.ndim)[:3], *[1] * (4 - min(array.ndim, 3))])
    )
    if zooms:
        image.header.set_zooms(zooms)
    image.header.set_xyzt_units(units)
    nib.save(image, path)
    return path


# Axes


@pytest.mark.parametrize("suffix", SUFFIXES[:3])
def test_volume_of_simpleitk(tmp_path, suffix):
    path = write_itk(tmp_path / f"a.{suffix}")
    scans = read_scans(path)
    np.testing.assert_array_equal(images(scans), IMAGES)
    assert {scan.spacing_mm for scan in scans} == {SPACING}
    assert [scan.source.bscan_index for scan in scans] == list(range(BSCANS))
    (header,) = read_headers(path)
    assert (header.bscans, header.size) == (BSCANS, (DEPTH, WIDTH))
    assert (header.spacing_mm, header.bscan_spacing_mm) == (SPACING, BETWEEN)
    np.testing.assert_array_equal(images(read_scans(path, only=[4, 1])), IMAGES[[4, 1]])
    assert [s.source.bscan_index for s in read_scans(path, only=[4, 1])] == [4, 1]
    with pytest.raises(ScanError, match="no B-scan 5"):
        read_scans(path, only=[5])


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (-1, 1, -1), (1, -1, -1)])
def test_signs_of_the_affine_do_not_mirror(tmp_path, signs):
    affine = np.diag([*np.multiply(signs, (SPACING[1], SPACING[0], BETWEEN)), 1])
    nib.save(nib.Nifti1Image(VOLUME.transpose(2, 1, 0), affine), tmp_path / "a.nii")
    np.testing.assert_array_equal(images(read_scans(tmp_path / "a.nii")), IMAGES)


@pytest.mark.parametrize("direction", [[1, 0, 0, 0, 1, 0, 0, 0, 1], [1, 0, 0, 0, 0, 1, 0, -1, 0]])
def test_directions_of_simpleitk_do_not_mirror(tmp_path, direction):
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(VOLUME)
    image.SetSpacing((SPACING[1], SPACING[0], BETWEEN))
    image.SetDirection(direction)
    sitk.WriteImage(image, str(tmp_path / "a.nii"))
    np.testing.assert_array_equal(images(read_scans(tmp_path / "a.nii")), IMAGES)


@pytest.mark.parametrize(
    "order", [(2, 1, 0), (1, 2, 0), (0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 0, 1)]
)
def test_spacing_tells_the_axes_in_any_order(tmp_path, order):
    zooms = [(BETWEEN, *SPACING)[axis] for axis in order]
    path = save(tmp_path / "a.nii", VOLUME.transpose(order), zooms)
    np.testing.assert_array_equal(images(read_scans(path)), IMAGES)
    assert read_scans(path, only=[3])[0].spacing_mm == SPACING
    np.testing.assert_array_equal(read_scans(path, only=[3])[0].image, IMAGES[3])


def test_square_raster_has_one_lateral_spacing(tmp_path):
    zooms = (0.012, 0.002, 0.012)
    path = save(tmp_path / "a.nii", VOLUME.transpose(2, 1, 0), zooms)
    np.testing.assert_array_equal(images(read_scans(path)), IMAGES)


def test_order_without_spacing(tmp_path):
    numpy_order = save(tmp_path / "numpy.nii", VOLUME)
    np.testing.assert_array_equal(images(read_scans(numpy_order)), IMAGES)
    itk_order = save(tmp_path / "itk.nii", VOLUME.transpose(2, 1, 0))
    np.testing.assert_array_equal(images(read_scans(itk_order)), IMAGES)
    for path in (numpy_order, itk_order):  # 1, 1, 1 is a default and no measurement
        assert {scan.spacing_mm for scan in read_scans(path)} == {None}
        assert read_headers(path)[0].bscan_spacing_mm is None


def test_guessed_axes_are_said_and_overridden(tmp_path):
    path = save(tmp_path / "a.nii", VOLUME.transpose(1, 2, 0))  # (depth, width, bscan), zooms 1
    with pytest.warns(
        UserWarning, match=r"a\.nii: its spacing is unknown.*37 x 24 x 5 .*width, dep"
    ):
        assert read_headers(path)[0].size == (WIDTH, DEPTH)
    names = ("depth", "width", "bscan")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(images(read_scans(path, axes=names)), IMAGES)
        np.testing.assert_array_equal(read_scans(path, [3], axes=list(names))[0].image, IMAGES[3])
        assert read_headers(path, axes=names)[0].size == (DEPTH, WIDTH)
        assert [len(scans) for scans in read_volumes(path, axes=names)] == [BSCANS]
        read_scans(save(tmp_path / "b.nii", VOLUME.transpose(2, 1, 0), zooms=(3, 1, 9)))
        # A B-scan of its own has no axis of B-scans.
        (scan,) = read_scans(
            save(tmp_path / "c.nii", VOLUME[0].reshape(DEPTH, WIDTH, 1)), axes=names
        )
    np.testing.assert_array_equal(scan.image, IMAGES[0])


def test_axes_that_cannot_be(tmp_path):
    path = save(tmp_path / "a.nii", VOLUME)
    for names in (("depth",), ("depth", "width", "x"), ("depth", "width", "depth"), ()):
        with pytest.raises(ConfigError, match="axes is"):
            read_scans(path, axes=names)
    with pytest.raises(ScanError, match=r"a\.nii has the shape 5 x 37 x 24, but .* depth, width;"):
        read_headers(path, axes=("depth", "width"))
    np.save(tmp_path / "a.npy", VOLUME)
    with pytest.raises(ScanError, match=r"a\.npy is a NumPy file, whose axes are known"):
        read_scans(tmp_path / "a.npy", axes=("depth", "width", "bscan"))


def test_channel_first_copy_is_one_bscan(tmp_path):
    path = save(tmp_path / "a.nii", np.stack([VOLUME[0]] * 3))
    (scan,) = read_scans(path)
    np.testing.assert_array_equal(scan.image, IMAGES[0])
    assert scan.spacing_mm is None
    assert read_headers(path)[0].bscans == 1
    with pytest.raises(ScanError, match=r"a\.nii is in colour"):
        read_scans(save(path, VOLUME[:3]))


def test_colour_type(tmp_path):
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    same = np.repeat(VOLUME.transpose(2, 1, 0)[..., None], 3, axis=-1)
    path = save(tmp_path / "a.nii", np.ascontiguousarray(same).view(kind)[..., 0])
    np.testing.assert_array_equal(images(read_scans(path)), IMAGES)
    same[:, 4, 2, 1] += 90
    with pytest.raises(ScanError, match="in colour"):
        read_scans(save(path, np.ascontiguousarray(same).view(kind)[..., 0]))


@pytest.mark.parametrize("tail", [(), (1,), (1, 1)])
def test_two_axes_and_single_last_ones(tmp_path, tail):
    path = save(tmp_path / "a.nii", VOLUME[1].T.reshape(WIDTH, DEPTH, *tail))
    (scan,) = read_scans(path)
    np.testing.assert_array_equal(scan.image, IMAGES[1])
    by_spacing = save(path, VOLUME[1].reshape(DEPTH, WIDTH, *tail), (*SPACING, *[1] * len(tail)))
    (scan,) = read_scans(by_spacing)
    np.testing.assert_array_equal(scan.image, IMAGES[1])
    assert scan.spacing_mm == SPACING


@pytest.mark.parametrize("shape", [(4, 30, 40, 2), (4, 30, 1, 2), (30,)])
def test_other_numbers_of_axes_are_refused(tmp_path, shape):
    path = save(tmp_path / "a.nii", np.zeros(shape, np.uint8))
    for read in (read_scans, read_headers):
        with pytest.raises(ScanError, match=r"a\.nii has the shape.*two axes or a volume of three"):
            read(path)


@pytest.mark.parametrize(("units", "factor"), [("micron", 1000), ("mm", 1), ("meter", 0.001)])
def test_units(tmp_path, units, factor):
    zooms = [step * factor for step in (SPACING[1], SPACING[0], BETWEEN)]
    path = save(tmp_path / "a.nii", VOLUME.transpose(2, 1, 0), zooms, units)
    assert read_scans(path)[0].spacing_mm == pytest.approx(SPACING, rel=1e-6)


# Values


@pytest.mark.parametrize(
    ("array", "full"),
    [
        (VOLUME, 255),
        (VOLUME.astype(np.uint16), 65535),
        (VOLUME.astype(">u2"), 65535),
        (VOLUME.astype(np.int16), 255),
        (VOLUME.astype(np.int16) * 17, 32767),
        (VOLUME.astype(np.float32), 255),
        (VOLUME.astype(np.float64), 255),
        (VOLUME.astype(np.int32), 255),
        (IMAGES, 1),
        (IMAGES.astype(np.float64), 1),
    ],
)
def test_range_of_the_type(tmp_path, array, full):
    path = save(tmp_path / "a.nii", array.transpose(2, 1, 0))
    wanted = array.astype(np.float64) / full
    np.testing.assert_allclose(images(read_scans(path)), wanted, atol=1e-6)
    np.testing.assert_allclose(read_scans(path, only=[2])[0].image, wanted[2], atol=1e-6)


def test_one_dark_bscan_keeps_the_range_of_its_volume(tmp_path):
    volume = VOLUME.astype(np.float32)
    volume[2] = volume[2] > 100
    path = save(tmp_path / "a.nii", volume.transpose(2, 1, 0))
    np.testing.assert_allclose(read_scans(path, only=[2])[0].image, volume[2] / 255, atol=1e-7)


def test_slope_makes_real_numbers(tmp_path):
    image = nib.Nifti1Image(IMAGES.transpose(2, 1, 0), np.eye(4))
    image.set_data_dtype(np.uint8)  # nibabel then stores a slope
    nib.save(image, tmp_path / "a.nii")
    np.testing.assert_allclose(images(read_scans(tmp_path / "a.nii")), IMAGES, atol=0.003)


@pytest.mark.parametrize(
    "array",
    [
        VOLUME.astype(np.int16) - 100,
        VOLUME.astype(np.int32) * 300,
        VOLUME.astype(np.float32) * 0.3,
        VOLUME.astype(np.float32) * 30,
        np.where(VOLUME > 128, np.nan, IMAGES),
        np.where(VOLUME > 128, np.inf, IMAGES),
        IMAGES - 0.5,
        IMAGES.astype(np.complex64),
    ],
)
def test_unknown_range_is_refused(tmp_path, array):
    path = save(tmp_path / "a.nii", array.transpose(2, 1, 0))
    with pytest.raises(ScanError, match=r"a\.nii holds"):
        read_scans(path)


# Files


@pytest.mark.parametrize("kind", [nib.Nifti2Image, nib.Nifti1Pair, nib.Nifti2Pair])
def test_other_kinds(tmp_path, kind):
    suffix = "img" if "Pair" in kind.__name__ else "nii"
    path = save(tmp_path / f"a.{suffix}", VOLUME.transpose(2, 1, 0), kind=kind)
    np.testing.assert_array_equal(images(read_scans(path)), IMAGES)
    if suffix == "img":
        np.testing.assert_array_equal(images(read_scans(path.with_suffix(".hdr"))), IMAGES)
        assert len(read_headers(tmp_path)) == 1  # the pair counts once
        path.unlink()
        with pytest.raises(ScanError, match=r"a\.img.*missing"):
            read_scans(path.with_suffix(".hdr"))


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_content_decides(tmp_path, suffix):
    path = write_itk(tmp_path / f"a.{suffix}")
    shutil.move(path, tmp_path / "scan.dcm")
    np.testing.assert_array_equal(images(read_scans(tmp_path / "scan.dcm")), IMAGES)
    assert read_headers(tmp_path / "scan.dcm")[0].format == "NIfTI"


def test_names_in_the_header_do_not_come_through(tmp_path):
    image = nib.Nifti1Image(VOLUME.transpose(2, 1, 0), np.eye(4))
    image.header["descrip"], image.header["db_name"] = b"Mustermann Erika", b"PID778899"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Mustermann"))
    nib.save(image, tmp_path / "a.nii")
    told = repr(read_scans(tmp_path / "a.nii")[0].source) + repr(read_headers(tmp_path / "a.nii"))
    assert "Muster" not in told
    assert "778899" not in told


# Damage


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_cut_short(tmp_path, suffix):
    whole = write_itk(tmp_path / f"whole.{suffix}").read_bytes()
    path = tmp_path / f"cut.{suffix}"
    for length in [*range(0, len(whole), max(1, len(whole) // 50)), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ScanError, match=r"cut\.nii"):
            read_scans(path)


@pytest.mark.parametrize("packed", [False, True])
def test_enormous_claims(tmp_path, packed):
    header = nib.load(write_itk(tmp_path / "a.nii")).header
    header.set_data_shape((32767, 32767, 30000))
    raw = header.binaryblock + bytes(2000)
    path = tmp_path / "huge.nii"
    path.write_bytes(gzip.compress(raw) if packed else raw)
    for read in (read_scans, read_headers):
        with pytest.raises(ScanError, match=r"huge\.nii claims to hold 32767 x 32767 x 30000"):
            read(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("dim", -1), ("dim", 0), ("datatype", 999), ("pixdim", np.nan), ("vox_offset", 1e9),
     ("pixdim", -3), ("scl_slope", np.inf), ("xyzt_units", 77)],
)  # fmt: skip
def test_absurd_header(tmp_path, field, value):
    whole = write_itk(tmp_path / "whole.nii").read_bytes()
    header = nib.Nifti1Header(whole[:348], check=False)
    header[field] = value
    path = tmp_path / "a.nii"
    path.write_bytes(header.binaryblock + whole[348:])
    try:
        scans = read_scans(path)
    except ScanError as error:
        assert "a.nii" in str(error)  # noqa: PT017
    else:
        assert field in ("pixdim", "scl_slope", "xyzt_units")
        assert scans[0].spacing_mm is None or min(scans[0].spacing_mm) > 0
