"""DICOM: frames in order, values by type and window, spacing, eye, series, secrets, damage."""

import warnings

import numpy as np
import pytest
from samples import (
    BETWEEN,
    BSCANS,
    IMAGES,
    SPACING,
    UIDS,
    VOLUME,
    dicom_dataset,
    frame_groups,
    jpeg2000,
    write_dicom,
)

from medream.errors import ScanError
from medream.readers import read_headers, read_scans

RLE = "1.2.840.10008.1.2.5"


def images(scans):
    return np.stack([scan.image for scan in scans])


def read_image(path):
    (scan,) = read_scans(path)
    return scan.image


def test_ophthalmic_tomography(tmp_path):
    path = write_dicom(tmp_path / "scan.dcm")
    scans = read_scans(path)
    np.testing.assert_array_equal(images(scans), IMAGES)
    assert [scan.source.bscan_index for scan in scans] == list(range(BSCANS))
    assert {scan.spacing_mm for scan in scans} == {SPACING}
    assert {(s.source.laterality, s.source.device) for s in scans} == {("OS", "Maker Eye 9")}
    (header,) = read_headers(path)
    assert (header.bscans, header.size) == (BSCANS, VOLUME.shape[1:])
    assert (header.spacing_mm, header.bscan_spacing_mm) == (SPACING, BETWEEN)
    assert (header.format, header.laterality, header.device) == ("DICOM", "OS", "Maker Eye 9")
    assert header.subject_id == scans[0].source.subject_id
    assert header.volume_id == scans[0].source.volume_id


@pytest.mark.parametrize("write", [
    lambda path: write_dicom(path, compress=RLE),
    jpeg2000,
    lambda path: write_dicom(path),
])  # fmt: skip
def test_chosen_bscans_and_compression(tmp_path, write):
    path = write(tmp_path / "scan.dcm")
    np.testing.assert_array_equal(images(read_scans(path)), IMAGES)
    chosen = read_scans(path, only=[3, 1])
    np.testing.assert_array_equal(images(chosen), IMAGES[[3, 1]])
    assert [scan.source.bscan_index for scan in chosen] == [3, 1]
    for position in (-1, BSCANS):
        with pytest.raises(ScanError, match=f"from 0 to {BSCANS - 1}"):
            read_scans(path, only=[position])


def test_one_bscan_costs_one(tmp_path, monkeypatch):
    path = jpeg2000(tmp_path / "scan.dcm")
    from pydicom.pixels import get_decoder
    from pydicom.uid import JPEG2000Lossless

    decoded = []
    available = get_decoder(JPEG2000Lossless)._available
    for name, decode in list(available.items()):
        monkeypatch.setitem(available, name, lambda *a, d=decode: decoded.append(1) or d(*a))
    read_headers(path)
    assert not decoded
    read_scans(path, only=[2])
    assert len(decoded) == 1


def test_without_preamble(tmp_path):
    from pydicom import dcmwrite

    for implicit in (False, True):
        ds = dicom_dataset(VOLUME)
        del ds.file_meta
        path = tmp_path / f"{implicit}.bin"
        dcmwrite(path, ds, implicit_vr=implicit, little_endian=True)
        assert path.read_bytes()[128:132] != b"DICM"
        np.testing.assert_array_equal(images(read_scans(path)), IMAGES)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2"])
def test_implicit_and_big_endian(tmp_path, syntax):
    raw = VOLUME.astype(np.uint16) * 257
    ds = dicom_dataset(raw.astype(">u2") if syntax.endswith(".2.2") else raw)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_allclose(images(read_scans(tmp_path / "a.dcm")), IMAGES, atol=1e-7)


# Values


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_full_range_of_the_stored_bits(tmp_path, bits):
    kind = np.uint8 if bits == 8 else np.uint16
    raw = (VOLUME[0].astype(kind) * (2 ** (bits - 8))).astype(kind)
    path = write_dicom(tmp_path / "a.dcm", raw, BitsStored=bits, HighBit=bits - 1)
    np.testing.assert_allclose(read_image(path), raw / (2**bits - 1), atol=1e-7)


@pytest.mark.parametrize("bits", [12, 16])
def test_signed(tmp_path, bits):
    low = -(2 ** (bits - 1))
    raw = (VOLUME[0].astype(np.int64) * (2 ** (bits - 8)) + low).astype(np.int16)
    path = write_dicom(tmp_path / "a.dcm", raw, BitsStored=bits, HighBit=bits - 1)
    np.testing.assert_allclose(read_image(path), (raw - float(low)) / (2**bits - 1), atol=1e-6)


def test_monochrome1_and_negative_slope_turn_the_picture_round(tmp_path):
    turned = write_dicom(tmp_path / "a.dcm", VOLUME[0], PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_allclose(read_image(turned), 1 - IMAGES[0], atol=1e-6)
    slope = {"RescaleSlope": -2, "RescaleIntercept": 7}
    np.testing.assert_allclose(
        read_image(write_dicom(tmp_path / "b.dcm", VOLUME[0], **slope)), 1 - IMAGES[0], atol=1e-6
    )
    both = write_dicom(
        tmp_path / "c.dcm", VOLUME[0], PhotometricInterpretation="MONOCHROME1", **slope
    )
    np.testing.assert_allclose(read_image(both), IMAGES[0], atol=1e-6)


@pytest.mark.parametrize("function", [None, "LINEAR_EXACT"])
def test_window_after_rescale(tmp_path, function):
    raw = VOLUME[0].astype(np.uint16) * 16
    about = {"WindowCenter": 900, "WindowWidth": 600, "RescaleSlope": 0.5, "RescaleIntercept": -100}
    if function:
        about["VOILUTFunction"] = function
    path = write_dicom(tmp_path / "a.dcm", raw, BitsStored=12, HighBit=11, **about)
    value = raw * 0.5 - 100
    wanted = (value - 900) / 600 + 0.5 if function else (value - 899.5) / 599 + 0.5
    np.testing.assert_allclose(read_image(path), np.clip(wanted, 0, 1), atol=1e-5)


def test_window_agrees_with_pydicom(tmp_path):
    import pydicom
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    raw = VOLUME[0].astype(np.uint16) * 16
    about = {"WindowCenter": 2000, "WindowWidth": 1500, "RescaleSlope": 1, "RescaleIntercept": 0}
    path = write_dicom(tmp_path / "a.dcm", raw, BitsStored=12, HighBit=11, **about)
    ds = pydicom.dcmread(path)
    shown = apply_voi_lut(apply_modality_lut(ds.pixel_array, ds), ds) / 4095
    np.testing.assert_allclose(read_image(path), shown, atol=1e-5)


def test_windows_of_frames_are_one(tmp_path):
    import pydicom
    from pydicom.dataset import Dataset

    groups = []
    for k in range(BSCANS):
        voi, group = Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth, voi.VOILUTFunction = 100 + k, 100, "LINEAR_EXACT"
        group.FrameVOILUTSequence = pydicom.Sequence([voi])
        groups.append(group)
    path = write_dicom(
        tmp_path / "a.dcm", PerFrameFunctionalGroupsSequence=pydicom.Sequence(groups)
    )
    wanted = np.clip((VOLUME - 50.0) / (154 - 50), 0, 1)
    np.testing.assert_allclose(images(read_scans(path)), wanted, atol=1e-6)
    np.testing.assert_allclose(read_scans(path, only=[4])[0].image, wanted[4], atol=1e-6)


def test_voi_table(tmp_path):
    import pydicom
    from pydicom.dataset import Dataset

    table = Dataset()
    table.LUTDescriptor = [256, 0, 16]
    table.LUTData = (np.arange(256)[::-1] * 257).astype("<u2").tobytes()
    table["LUTData"].VR = "OW"
    path = write_dicom(tmp_path / "a.dcm", VOLUME[0], VOILUTSequence=pydicom.Sequence([table]))
    np.testing.assert_allclose(read_image(path), 1 - IMAGES[0], atol=1e-6)


def test_grey_in_colour_is_read_and_colour_refused(tmp_path):
    rgb = np.repeat(VOLUME[0][..., None], 3, axis=-1)

    def write(name, colours):
        ds = dicom_dataset(VOLUME[0])
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
        ds.PixelData = colours.tobytes()
        ds.save_as(tmp_path / name, enforce_file_format=True)
        return tmp_path / name

    np.testing.assert_array_equal(read_image(write("grey.dcm", rgb)), IMAGES[0])
    rgb[5:9, :, 2] = 255 - rgb[5:9, :, 2]
    with pytest.raises(ScanError, match=r"colour.dcm is in colour"):
        read_scans(write("colour.dcm", rgb))


# Order, spacing, eye


def test_stack_positions_put_frames_in_order(tmp_path):
    numbers = [3, 1, 5, 2, 4]
    groups = frame_groups("FrameContentSequence", "InStackPositionNumber", numbers)
    path = write_dicom(tmp_path / "a.dcm", PerFrameFunctionalGroupsSequence=groups)
    order = np.argsort(numbers)
    np.testing.assert_array_equal(images(read_scans(path)), IMAGES[order])
    np.testing.assert_array_equal(read_scans(path, only=[4])[0].image, IMAGES[2])


def test_positions_of_frames_give_the_distance(tmp_path):
    import pydicom
    from pydicom.dataset import Dataset

    def header(positions):
        groups = frame_groups(
            "PlanePositionSequence", "ImagePositionPatient", [[0, 0, z] for z in positions]
        )
        ds = dicom_dataset(VOLUME, PerFrameFunctionalGroupsSequence=groups)
        plane = Dataset()
        plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence = pydicom.Sequence([plane])
        ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
        return read_headers(tmp_path / "a.dcm")[0]

    assert header([0, 0.25, 0.5, 0.75, 1.0]).bscan_spacing_mm == pytest.approx(0.25)
    assert header([1.0, 0.75, 0.5, 0.25, 0]).bscan_spacing_mm == pytest.approx(0.25)
    assert header([0, 0.25, 0.5, 1.75, 2.0]).bscan_spacing_mm == BETWEEN


def test_frames_have_their_own_eye(tmp_path):
    groups = frame_groups("FrameAnatomySequence", "FrameLaterality", ["R", "R", "L", "L", "B"])
    path = write_dicom(tmp_path / "a.dcm", PerFrameFunctionalGroupsSequence=groups)
    assert [s.source.laterality for s in read_scans(path)] == ["OD", "OD", "OS", "OS", None]


@pytest.mark.parametrize(
    ("about", "eye"),
    [
        ({"ImageLaterality": "R"}, "OD"),
        ({"ImageLaterality": None, "Laterality": "R"}, "OD"),
        ({"ImageLaterality": "U"}, None),
        ({"ImageLaterality": "?"}, None),
        ({"ImageLaterality": "R", "Modality": "MR"}, None),  # a right knee
    ],
)
def test_laterality(tmp_path, about, eye):
    (header,) = read_headers(write_dicom(tmp_path / "a.dcm", **about))
    assert header.laterality == eye


@pytest.mark.parametrize("spacing", [[0, 0.01], [-0.1, 0.01], ["nan", "0.1"], [0.1], [1e9, 1]])
def test_absurd_spacing_is_left_out_and_said(tmp_path, spacing):
    ds = dicom_dataset(VOLUME)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = spacing
        ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.warns(UserWarning, match=r"a.dcm.*spacing.*impossible"):
        assert read_scans(tmp_path / "a.dcm")[0].spacing_mm is None


def test_no_spacing_is_not_invented(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", SharedFunctionalGroupsSequence=None)
    (header,) = read_headers(path)
    assert (header.spacing_mm, header.bscan_spacing_mm) == (None, None)
    top = write_dicom(tmp_path / "b.dcm", VOLUME[0], SharedFunctionalGroupsSequence=None,
                      PixelSpacing=[0.002, 0.006])  # fmt: skip
    assert read_scans(top)[0].spacing_mm == (0.002, 0.006)


# Series of single frames


def write_series(folder, order, place=True, step=0.1, series=UIDS[1]):
    """Write B-scan k at position k, under names and numbers in another order."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, k in enumerate(order):
        about = {"SOPInstanceUID": f"1.2.3.{k}", "SeriesInstanceUID": series}
        if place:
            about["ImagePositionPatient"] = [5, k * step, -3]
            about["ImageOrientationPatient"] = [1, 0, 0, 0, 0, -1]
            about["InstanceNumber"] = 100 - k
        else:
            about["InstanceNumber"] = k + 1
        write_dicom(folder / f"IM{name}", VOLUME[k], **about)
    return folder


@pytest.mark.parametrize("place", [True, False])
def test_series_is_sorted(tmp_path, place):
    folder = write_series(tmp_path / "s", [3, 0, 4, 1, 2], place)
    scans = read_scans(folder)
    np.testing.assert_array_equal(images(scans), IMAGES)
    assert [scan.source.bscan_index for scan in scans] == list(range(BSCANS))
    assert len({scan.source.volume_id for scan in scans}) == 1
    np.testing.assert_array_equal(read_scans(folder, only=[4])[0].image, IMAGES[4])
    assert read_scans(folder, only=[4])[0].source.bscan_index == 4
    (header,) = read_headers(folder)
    assert header.bscans == BSCANS
    assert header.bscan_spacing_mm == pytest.approx(0.1 if place else BETWEEN)


def test_several_series_copies_and_reports_in_folders(tmp_path):
    from pydicom.uid import BasicTextSRStorage

    write_series(tmp_path / "disc/PAT/A", [1, 0, 2])
    write_series(tmp_path / "disc/PAT/B", [4, 3], series="1.2.3.9")
    write_dicom(tmp_path / "disc/PAT/C", SOPInstanceUID="1.2.3.99")
    copy = (tmp_path / "disc/PAT/A/IM0").read_bytes()
    (tmp_path / "disc/PAT/A/IM0 (copy)").write_bytes(copy)
    report = dicom_dataset(VOLUME[0], SOPClassUID=BasicTextSRStorage)
    for keyword in ("Rows", "Columns", "PixelData"):
        delattr(report, keyword)
    report.save_as(tmp_path / "disc/PAT/report", enforce_file_format=True)
    scans = read_scans(tmp_path / "disc")
    assert sorted(h.bscans for h in read_headers(tmp_path / "disc")) == [2, 3, BSCANS]
    assert len(scans) == 2 + 3 + BSCANS
    assert len({scan.source.volume_id for scan in scans}) == 3
    with pytest.raises(ScanError, match=r"without a picture"):
        read_scans(tmp_path / "disc/PAT/report")


def test_missing_bscan_is_said(tmp_path):
    folder = write_series(tmp_path / "s", [0, 1, 3, 4])
    with pytest.warns(UserWarning, match="may be missing"):
        (header,) = read_headers(folder)
    assert header.bscan_spacing_mm == BETWEEN  # as stated, not measured


def test_other_scans_in_folders_below_are_told(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    write_dicom(tmp_path / "one" / "a.dcm")
    np.save(tmp_path / "two" / "b.npy", VOLUME)
    with pytest.warns(UserWarning, match=r"1 other scans there are not \(such as two.b\.npy\)"):
        assert [header.format for header in read_headers(tmp_path)] == ["DICOM"]
