"""Topcon .fda/.fds and Bioptigen .OCT, on synthetic files that oct-converter reads alike."""

import io
import struct
import time

import numpy as np
import pytest
from PIL import Image, features

from medream.errors import ScanError
from medream.readers import read_headers, read_scans

DEPTH, WIDTH, BSCANS = 36, 40, 3
VOLUME = (np.arange(BSCANS * DEPTH * WIDTH).reshape(BSCANS, DEPTH, WIDTH) * 13 + 7) % 65536
VOLUME = VOLUME.astype(np.uint16)
PATIENT, NAME = "PAT-4711", "Mustermann"

needs_jpeg_2000 = pytest.mark.skipif(
    not features.check("jpg_2000"), reason="this Pillow was built without JPEG 2000"
)


def chunk(name, content):
    return bytes([len(name)]) + name.encode() + struct.pack("<I", len(content)) + content


def raw_pixels(volume=VOLUME, mode=2, bits=16):
    bscans, depth, width = volume.shape
    head = struct.pack("<BIIIIBI", mode, width, depth, bits, bscans, 0, volume.nbytes)
    return head + volume.astype("<u2").tobytes()


def compressed(volume, mode=2):
    bscans, depth, width = volume.shape
    content = struct.pack("<BIIIIII", mode, 0, 0, width, depth, bscans, 0)
    for bscan in volume:
        file = io.BytesIO()
        Image.fromarray(bscan).save(file, "JPEG2000", irreversible=False)
        content += struct.pack("<I", len(file.getvalue())) + file.getvalue()
    return content


def topcon(pixels_name="@IMG_MOT_COMP_03", pixels=None, eye=1):
    date = struct.pack("<6H", 2011, 2, 3, 4, 5, 6)
    return (
        b"FOCTFDA" + struct.pack("<II", 2, 1000)
        + chunk("@CAPTURE_INFO_02", bytes([eye, 2]) + struct.pack("<I100s", 1, b"") + date)
        + chunk("@PATIENT_INFO_02", struct.pack("<32s32s32s8s", PATIENT.encode(), b"Erika",
                                                NAME.encode(), b"") + b"\2" + bytes(500))
        + chunk("@HW_INFO_03", b"3DOCT-2000".ljust(100, b"\0"))
        + chunk("@PARAM_SCAN_04", struct.pack("<III5dBB", 0, 0, 0, 6.0, 4.5, 2.6, 0, 0, 0, 0))
        + chunk(pixels_name, raw_pixels() if pixels is None else pixels)
        + chunk("@THUMBNAIL", bytes(4))
        + b"\0"
    )  # fmt: skip


@pytest.fixture
def fda(tmp_path):
    path = tmp_path / "a.fda"
    path.write_bytes(topcon())
    return path


@pytest.mark.parametrize("name", ["@IMG_MOT_COMP_03", "@IMG_SCAN_03"])
def test_topcon_raw(tmp_path, name):
    path = tmp_path / "a.fda"
    path.write_bytes(topcon(name))
    scans = read_scans(path)
    np.testing.assert_allclose([s.image for s in scans], VOLUME / 65535, atol=1e-6)
    assert [s.source.bscan_index for s in scans] == [0, 1, 2]
    assert scans[0].spacing_mm == pytest.approx((0.0026, 6 / WIDTH))
    assert (scans[0].source.laterality, scans[0].source.device) == ("OS", "Topcon 3DOCT-2000")
    (header,) = read_headers(path)
    assert (header.bscans, header.size) == (BSCANS, (DEPTH, WIDTH))
    assert header.bscan_spacing_mm == pytest.approx(1.5)
    (last,) = read_scans(path, only=[2])
    np.testing.assert_array_equal(last.image, scans[2].image)
    for secret in (PATIENT, NAME, "Erika", "2011"):
        assert secret not in f"{scans}{header}"


@needs_jpeg_2000
def test_topcon_jpeg_2000(tmp_path):
    volume = (VOLUME % 251).astype(np.uint8)
    path = tmp_path / "a.fda"
    path.write_bytes(topcon("@IMG_JPEG", compressed(volume), eye=0))
    scans = read_scans(path)
    np.testing.assert_allclose([s.image for s in scans], volume / 255, atol=1e-6)
    assert scans[0].source.laterality == "OD"
    (last,) = read_scans(path, only=[2])
    np.testing.assert_array_equal(last.image, scans[2].image)


def test_topcon_agrees_with_oct_converter(fda, monkeypatch):
    readers = pytest.importorskip(
        "oct_converter.readers", reason="oct-converter is not installed", exc_type=ImportError
    )
    # oct-converter 0.7 uses what NumPy 2.3 took away.
    monkeypatch.setattr(np, "fromstring", np.frombuffer)
    theirs = readers.FDA(fda).read_oct_volume()
    scans = read_scans(fda)
    np.testing.assert_array_equal(np.round([s.image * 65535.0 for s in scans]), theirs.volume)
    lateral, between, axial = theirs.pixel_spacing
    assert scans[0].spacing_mm == pytest.approx((axial, lateral))
    assert read_headers(fda)[0].bscan_spacing_mm == pytest.approx(between)
    assert (theirs.laterality, theirs.patient_id, theirs.surname) == ("L", PATIENT, NAME)


def test_radial_topcon_has_no_distance_between_bscans(tmp_path):
    (tmp_path / "a.fda").write_bytes(topcon(pixels=raw_pixels(mode=3)))
    assert read_headers(tmp_path / "a.fda")[0].bscan_spacing_mm is None


def refused(path, content, words):
    path.write_bytes(content)
    started = time.monotonic()
    with pytest.raises(ScanError, match=words):
        read_scans(path)
    assert time.monotonic() - started < 2


def test_topcon_that_is_broken(tmp_path):
    path = tmp_path / "a.fda"
    whole = topcon()
    for size in (4, 15, 20, 300, len(whole) // 2, len(whole) - 1):
        refused(path, whole[:size], "cut short")
    refused(path, whole[:15] + chunk("@X", b"") * 10_000 + b"\0", "cut short")
    refused(path, whole[:15] + b"\0", "no B-scans")
    refused(path, whole[:15] + bytes(400), "no B-scans")
    for width, bscans in ((40000, 60000), (2**32 - 1, 1), (0, 3)):
        head = struct.pack("<BIIIIBI", 2, width, DEPTH, 16, bscans, 0, 0)
        refused(path, topcon(pixels=head), "says it holds")
        head = struct.pack("<BIIIIII", 2, 0, 0, width, DEPTH, bscans, 0)
        refused(path, topcon("@IMG_JPEG", head), "says it holds")
    refused(path, topcon("@IMG_JPEG", struct.pack("<BIIIIIII", 2, 0, 0, 5, 5, 1, 0, 3) + b"abc"),
            "B-scan 0 is damaged")  # fmt: skip


# Bioptigen


def field(name, content):
    return struct.pack("<I", len(name)) + name.encode() + struct.pack("<I", len(content)) + content


def bioptigen(volume=VOLUME, frames=None):
    bscans, depth, width = volume.shape

    def number(value):
        return struct.pack("<I", value)

    real = struct.pack("<d", 6.7)
    content = struct.pack("<IH", 0x01010101, 0x0102) + field("FRAMEHEADER", b"")
    for name, value in (
        ("FRAMECOUNT", number(bscans if frames is None else frames)), ("LINECOUNT", number(width)),
        ("LINELENGTH", number(depth)), ("SAMPLEFORMAT", number(2)), ("DESCRIPTION", b"Erika"),
        ("XMIN", real), ("XMAX", real), ("XCAPTION", b"mm"), ("YMIN", real), ("YMAX", real),
        ("YCAPTION", b"mm"), ("SCANTYPE", number(1)), ("SCANDEPTH", real), ("SCANLENGTH", real),
        ("AZSCANLENGTH", real), ("ELSCANLENGTH", real), ("OBJECTDISTANCE", real),
        ("SCANANGLE", real), ("SCANS", number(bscans)), ("FRAMES", number(1)),
        ("DOPPLERFLAG", number(0)), ("CONFIG", bytes(9)),
    ):  # fmt: skip
        content += field(name, value)
    content += number(0)
    for bscan in volume:
        content += field("FRAMEDATA", b"")
        content += field("FRAMEDATETIME", struct.pack("<8H", 2011, 2, 4, 3, 4, 5, 6, 7))
        content += field("FRAMETIMESTAMP", real) + field("FRAMELINES", number(width))
        content += field("FRAMESAMPLES", bscan.T.astype("<u2").tobytes()) + number(0)
    return content


def test_bioptigen(tmp_path):
    path = tmp_path / "a.OCT"
    path.write_bytes(bioptigen())
    scans = read_scans(path)
    np.testing.assert_allclose([s.image for s in scans], VOLUME / 65535, atol=1e-6)
    assert scans[0].spacing_mm is None
    (header,) = read_headers(path)
    assert (header.bscans, header.size, header.laterality) == (BSCANS, (DEPTH, WIDTH), None)
    (last,) = read_scans(path, only=[2])
    np.testing.assert_array_equal(last.image, scans[2].image)
    assert "Erika" not in f"{scans}{header}"


def test_bioptigen_agrees_with_oct_converter(tmp_path):
    readers = pytest.importorskip(
        "oct_converter.readers", reason="oct-converter is not installed", exc_type=ImportError
    )
    path = tmp_path / "a.OCT"
    path.write_bytes(bioptigen())
    (theirs,) = readers.BOCT(path).read_oct_volume()
    # It gives A-scans as rows.
    ours = np.round([s.image * 65535.0 for s in read_scans(path)])
    np.testing.assert_array_equal(ours, np.swapaxes(theirs.volume, 1, 2))


def test_bioptigen_that_is_broken(tmp_path):
    path = tmp_path / "a.OCT"
    whole = bioptigen()
    for size in (30, 60, 400, len(whole) // 2, len(whole) - 5):
        refused(path, whole[:size], "cut short|does not say|A-scans")
    refused(path, bioptigen(frames=4), "cut short")
    refused(path, bioptigen(frames=10**9), "which no device")
    refused(path, whole[:21] + bytes(4000), "does not say")
    at = whole.index(b"FRAMESAMPLES") + 12
    refused(path, whole[:at] + b"\xff\xff\xff\xff" + whole[at + 4 :], "cut short")
