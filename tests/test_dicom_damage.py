"""DICOM: what names people stays behind, damage, packed and scrambled files, real ones."""

import struct

import numpy as np
import pytest
from samples import (
    BSCANS,
    IMAGES,
    PRIVATE,
    SPACING,
    UIDS,
    VOLUME,
    dicom_dataset,
    jpeg2000,
    write_dicom,
)
from test_dicom import RLE, images

from medream.errors import ScanError
from medream.readers import dicom, read_headers, read_scans
from medream.readers.pseudonym import pseudonym

# Secrets


def test_nothing_identifying_comes_through(tmp_path, recwarn):
    path = write_dicom(tmp_path / "scan.dcm", PatientComments="Mustermann", StudyID="PID-778899")
    scans = read_scans(path)
    told = repr([scan.source for scan in scans]) + repr(read_headers(path))
    told += repr([str(w.message) for w in recwarn.list])
    for secret in (*PRIVATE, *UIDS, "Mustermann", "Erika", "778899", "Sommer"):
        assert secret not in told
    other = write_dicom(tmp_path / "other.dcm", SeriesInstanceUID="1.2.3", SOPInstanceUID="1.2.4")
    third = write_dicom(tmp_path / "third.dcm", PatientID="PID-778898")
    subjects = [read_headers(p)[0].subject_id for p in (path, other, third)]
    assert subjects[0] == subjects[1] != subjects[2]
    assert read_headers(other)[0].volume_id != read_headers(path)[0].volume_id


def test_salt_of_ones_own(tmp_path, monkeypatch):
    path = write_dicom(tmp_path / "scan.dcm")
    before = read_headers(path)[0].subject_id
    monkeypatch.setenv("MEDREAM_SALT", "secret of this study")
    assert read_headers(path)[0].subject_id != before


def test_pydicoms_warnings_do_not_leak(tmp_path, recwarn):
    path = write_dicom(tmp_path / "scan.dcm")
    raw = path.read_bytes().replace(b"19620312", b"Erika!!!").replace(b"1.2.826", b"Erika.6")
    path.write_bytes(raw)
    try:
        told = repr(read_headers(path))
    except ScanError as error:
        told = str(error)
    assert "Erika" not in told + repr([str(w.message) for w in recwarn.list])


def test_unknown_character_set_is_not_quoted(tmp_path, recwarn):
    ds = dicom_dataset(VOLUME, PatientID="")
    ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    raw = (tmp_path / "a.dcm").read_bytes()
    at = raw.index(b"\x08\0\x16\0")  # before the SOP class
    planted = struct.pack("<HH2sH", 8, 5, b"CS", 16) + b"Mustermann Erika"
    (tmp_path / "a.dcm").write_bytes(raw[:at] + planted + raw[at:])
    told = repr(read_headers(tmp_path / "a.dcm"))
    assert "Muster" not in told + repr([str(w.message) for w in recwarn.list])


def test_nameless_files_are_named_by_a_pseudonym_of_their_path(tmp_path):
    path = write_dicom(
        tmp_path / "Mustermann_Anna_1952.dcm", PatientID="", PatientName="", SeriesInstanceUID=""
    )
    for source in (read_headers(path)[0], read_scans(path)[0].source):
        assert source.subject_id == pseudonym("subject", "Mustermann_Anna_1952")
        assert source.volume_id.startswith("volume-")
        assert "Muster" not in source.subject_id + source.volume_id


def test_a_segmentation_is_no_scan(tmp_path):
    path = write_dicom(tmp_path / "seg.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4")
    with pytest.raises(ScanError, match=r"seg\.dcm is a DICOM Segmentation"):
        read_scans(path)
    write_dicom(tmp_path / "scan.dcm", SOPInstanceUID="1.2.3.4")
    with pytest.warns(UserWarning, match=r"seg\.dcm is a DICOM Segmentation.*left out"):
        assert len(read_scans(tmp_path)) == BSCANS


def test_other_modalities_are_noted(tmp_path):
    assert read_headers(write_dicom(tmp_path / "a.dcm"))[0].note is None
    photograph = "1.2.840.10008.5.1.4.1.1.77.1.5.1"
    path = write_dicom(tmp_path / "fundus.dcm", SOPClassUID=photograph, Modality="OP")
    assert "modality OP (Ophthalmic Photography 8 Bit Image" in read_headers(path)[0].note


def test_the_same_image_twice_is_read_once(tmp_path):
    first = write_dicom(tmp_path / "a.dcm")
    (tmp_path / "b.dcm").write_bytes(first.read_bytes())
    with pytest.warns(UserWarning, match=r"b\.dcm is a copy of .*a\.dcm"):
        assert len(read_scans(tmp_path)) == BSCANS
    write_dicom(tmp_path / "b.dcm", PatientSex="F")  # other bytes, but the same image
    with pytest.warns(UserWarning, match=r"b\.dcm is the same image as .*a\.dcm"):
        assert len(read_scans(tmp_path)) == BSCANS


# Damage


@pytest.mark.parametrize("write", [write_dicom, jpeg2000])
def test_cut_short(tmp_path, write):
    whole = write(tmp_path / "whole.dcm").read_bytes()
    path = tmp_path / "cut.dcm"
    for length in [*range(0, len(whole), max(1, len(whole) // 60)), len(whole) - 1]:
        path.write_bytes(whole[:length])
        try:
            scans = read_scans(path)
        except ScanError as error:
            assert "cut.dcm" in str(error)  # noqa: PT017
        else:
            assert len(whole) - length < 3  # only padding is gone
            np.testing.assert_array_equal(images(scans), IMAGES)


@pytest.mark.parametrize("frames", ["1000000000", "6", "4", "-3", "many"])
def test_wrong_number_of_frames(tmp_path, frames):
    for compress in (None, RLE):
        ds = dicom_dataset(VOLUME)
        if compress:
            ds.compress(compress)
        ds._dict.pop(0x00280008)
        from pydicom.dataelem import DataElement

        ds[0x00280008] = DataElement(0x00280008, "SH", frames)
        ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
        for read in (read_scans, read_headers):
            with pytest.raises(ScanError, match=r"a\.dcm"):
                read(tmp_path / "a.dcm")


def test_fewer_pieces_than_frames(tmp_path):
    from pydicom.encaps import encapsulate, generate_frames

    ds = __import__("pydicom").dcmread(jpeg2000(tmp_path / "a.dcm"))
    frames = list(generate_frames(ds.PixelData, number_of_frames=BSCANS))
    ds.PixelData = encapsulate(frames[:-1], has_bot=False)
    ds.save_as(tmp_path / "a.dcm")
    for read in (read_scans, read_headers):
        with pytest.raises(ScanError, match=r"a\.dcm says that it has 5 frames, but holds 4"):
            read(tmp_path / "a.dcm")


@pytest.mark.parametrize(
    "about",
    [
        {"Rows": 0},
        {"Rows": 60000, "Columns": 60000},
        {"Rows": None},
        {"BitsAllocated": 32, "BitsStored": 32},
        {"BitsStored": 0, "BitsAllocated": 0},
        {"PixelData": None},
        {"RescaleSlope": 0},
        {"SamplesPerPixel": 5},
        {"PhotometricInterpretation": "NONSENSE", "BitsAllocated": 64},
    ],
)
def test_absurd_attributes(tmp_path, about):
    ds = dicom_dataset(VOLUME)
    for keyword, value in about.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(ScanError, match=r"a\.dcm"):
        read_scans(tmp_path / "a.dcm")


def test_floating_point_pixels_are_refused(tmp_path):
    ds = dicom_dataset(VOLUME)
    del ds.PixelData
    ds.FloatPixelData = IMAGES.tobytes()
    ds.BitsAllocated = 32
    ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(ScanError, match=r"a\.dcm"):
        read_scans(tmp_path / "a.dcm")


def test_scrambled_zeiss(tmp_path):
    path = jpeg2000(tmp_path / "a.dcm")
    ds = __import__("pydicom").dcmread(path)
    ds.Manufacturer = "Carl Zeiss Meditec"
    ds.PixelData = ds.PixelData.replace(b"\xff\x4f\xff\x51", b"\xa5\x15\xa5\x0b")
    ds.save_as(path)
    for read in (read_scans, read_headers):
        with pytest.raises(ScanError, match=r"a\.dcm.*Zeiss.*scrambled"):
            read(path)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.57"])
def test_missing_decoder_names_the_extra(tmp_path, syntax, monkeypatch):
    from pydicom.pixels import get_decoder

    monkeypatch.setattr(get_decoder(syntax), "_available", {})
    path = jpeg2000(tmp_path / "a.dcm")
    ds = __import__("pydicom").dcmread(path)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(path)
    with pytest.raises(ScanError, match=r"a\.dcm.*medream\[dicom\]"):
        read_scans(path)


def test_video_is_refused(tmp_path):
    path = jpeg2000(tmp_path / "a.dcm")
    ds = __import__("pydicom").dcmread(path)
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"  # MPEG-4
    ds.save_as(path)
    with pytest.raises(ScanError, match=r"a\.dcm.*transfer syntax"):
        read_scans(path)


def deflated(path, **attributes):
    """As pydicom packs it."""
    ds = dicom_dataset(VOLUME, **attributes)
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    ds.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("head", [1 << 25, 2000])
def test_deflated(tmp_path, monkeypatch, head):
    monkeypatch.setattr(dicom, "_HEAD", head)  # the pixels begin within it
    path = deflated(tmp_path / "a.dcm")
    scans = read_scans(path)
    np.testing.assert_array_equal(images(scans), IMAGES)
    np.testing.assert_array_equal(images(read_scans(path, only=[3, 0])), IMAGES[[3, 0]])
    (header,) = read_headers(path)
    assert (header.laterality, header.spacing_mm, header.bscans) == ("OS", SPACING, BSCANS)
    assert scans[0].source.path == str(path)
    whole = path.read_bytes()
    for length in range(400, len(whole) - 2, 37):
        path.write_bytes(whole[:length])
        with pytest.raises(ScanError, match=r"a\.dcm"):
            read_scans(path)


def test_deflated_bomb(tmp_path, monkeypatch):
    import tracemalloc

    monkeypatch.setattr(dicom, "_HEAD", 1 << 20)
    path = deflated(tmp_path / "a.dcm", Rows=9)  # fewer rows than there are
    ds = dicom_dataset(VOLUME)
    ds.PixelData = bytes(200 << 20)
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    ds.save_as(path, enforce_file_format=True)
    tracemalloc.start()
    with pytest.raises(ScanError, match=r"a\.dcm"):
        read_scans(path)
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


def test_deep_nesting_is_no_crash(tmp_path):
    head = bytes(128) + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, 0)
    item = struct.pack("<HH2sHI", 0x5200, 0x9229, b"SQ", 0, 0xFFFFFFFF)
    item += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    (tmp_path / "a.dcm").write_bytes(head + item * 20000)
    with pytest.raises(ScanError, match=r"a\.dcm"):
        read_headers(tmp_path / "a.dcm")


# Real files


def test_real_files(shared_data):
    folder = shared_data / "dicom"
    plain, packed = (read_scans(folder / f"emri_small{kind}.dcm") for kind in ("", "_RLE"))
    assert len(plain) == 10
    np.testing.assert_array_equal(images(plain), images(packed))
    import pydicom

    stored = pydicom.dcmread(folder / "emri_small.dcm").pixel_array
    np.testing.assert_allclose(images(plain), stored / 4095, atol=1e-6)
    with pytest.raises(ScanError, match="cut short"):
        read_scans(folder / "emri_small_jpeg_2k_lossless_too_short.dcm")
    (knee,) = read_scans(folder / "MR2_J2KI.dcm")
    assert knee.shape == (1024, 1024)
    assert knee.spacing_mm == (0.195313, 0.195313)
    assert 0.1 < knee.image.mean() < 0.3  # the window was applied
    for name in ("SC_rgb", "OBXXXX1A_2frame"):
        for read in (read_headers, read_scans):
            with pytest.raises(ScanError, match="in colour"):
                read(folder / f"{name}.dcm")
