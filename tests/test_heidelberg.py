"""Heidelberg files: .vol on real ones and against eyepy, XML and E2E on synthetic ones."""

import struct
import time

import numpy as np
import pytest
from PIL import Image

from medream.errors import ScanError
from medream.readers import read_headers, read_scans

DEPTH, WIDTH, BSCANS = 7, 5, 3
# No two pixels are alike, so that any turn, flip or shift shows.
RAW = np.linspace(0.001, 0.9, BSCANS * DEPTH * WIDTH, dtype=np.float32).reshape(
    BSCANS, DEPTH, WIDTH
)
NAME, PATIENT, BORN, SEEN = "Mustermann", "PAT-4711", 17898.0, 41234.0


def shown(raw):
    return np.clip((np.log(raw + 2.44e-4) + 8.3) / 8.285, 0, 1)


def vol_bytes(raw=RAW, eye=b"OS", pattern=3, patient=b"PAT-4711", before=320, slo=(4, 6)):
    bscans, depth, width = raw.shape
    head = struct.pack(
        "<12sIIIdddIIddId4sqiI16s16sI24sdI24sd",
        b"HSF-OCT-103", width, bscans, depth, 0.0113, 0.125, 0.0039, *slo, 0.011, 0.011, 30, -1.5,
        eye, 131286184616218310, pattern, before, b"716.0", b"", 86, patient, BORN, 12,
        b"#visit-1", SEEN,
    )  # fmt: skip
    body = b"".join(
        (struct.pack("<12sI240x", b"HSF-BS-103", before) + NAME.encode()).ljust(before, b"\0")
        + bscan.astype("<f4").tobytes()
        for bscan in raw
    )
    return head.ljust(2048, b"\0") + bytes(slo[0] * slo[1]) + body


@pytest.fixture
def vol(tmp_path):
    path = tmp_path / "eye.vol"
    path.write_bytes(vol_bytes())
    return path


# .vol


@pytest.mark.parametrize("name", ["Willis_B_716_0", "Willis_B_716_2", "Willis_B_716_4", "valid"])
def test_real_vol_agrees_with_eyepy(shared_data, name):
    reader = pytest.importorskip("eyepy.io.he.vol_reader", reason="eyepy is not installed")
    from eyepy.core.utils import from_vol_intensity

    path = shared_data / "spectralis_vol" / f"{name}.vol"
    (scan,) = read_scans(path)
    theirs = reader.HeVolReader(path).parsed_file
    raw = theirs.bscans[0].data
    np.testing.assert_allclose(scan.image * 255, from_vol_intensity(raw.copy()), atol=0.51)
    assert scan.spacing_mm == (theirs.scale_y, theirs.scale_x)
    assert scan.source.laterality == theirs.scan_position == "OD"
    assert scan.valid is None
    assert 0.05 < scan.image.mean() < 0.5
    assert scan.image.std() > 0.1
    (header,) = read_headers(path)
    assert header.size == scan.shape == (496, 768)
    assert header.bscan_spacing_mm is None  # there is one B-scan only


def test_real_empty_vol_is_refused(shared_data):
    with pytest.raises(ScanError, match=r"invalid\.vol is empty"):
        read_scans(shared_data / "spectralis_vol" / "invalid.vol")


def test_vol_pixels_order_spacing_and_eye(vol):
    scans = read_scans(vol)
    assert [s.source.bscan_index for s in scans] == [0, 1, 2]
    for scan, raw in zip(scans, RAW, strict=True):
        np.testing.assert_allclose(scan.image, shown(raw), atol=1e-6)
        assert scan.spacing_mm == (0.0039, 0.0113)
        assert scan.source.laterality == "OS"
    (header,) = read_headers(vol)
    assert (header.bscans, header.size, header.bscan_spacing_mm) == (BSCANS, (DEPTH, WIDTH), 0.125)
    assert header.subject_id == scans[0].source.subject_id


def test_vol_agrees_with_eyepy_on_a_volume(vol):
    reader = pytest.importorskip("eyepy.io.he.vol_reader", reason="eyepy is not installed")
    parsed = reader.HeVolReader(vol).parsed_file
    np.testing.assert_array_equal(np.stack([b.data for b in parsed.bscans]), RAW)
    assert (parsed.scale_x, parsed.scale_y, parsed.distance) == (0.0113, 0.0039, 0.125)
    assert (parsed.patient_id, parsed.scan_position) == (PATIENT, "OS")


def test_vol_marks_what_registration_left_empty(tmp_path):
    raw = RAW.copy()
    raw[1, 2:4, 1] = np.finfo(np.float32).max
    (tmp_path / "a.vol").write_bytes(vol_bytes(raw))
    scans = read_scans(tmp_path / "a.vol")
    assert scans[0].valid is None
    expected = np.ones((DEPTH, WIDTH), bool)
    expected[2:4, 1] = False
    np.testing.assert_array_equal(scans[1].valid, expected)
    assert (scans[1].image[2:4, 1] == 0).all()


@pytest.mark.parametrize(("eye", "expected"), [(b"OD", "OD"), (b"OS", "OS"), (b"", None)])
def test_vol_eye_that_is_not_set(tmp_path, eye, expected):
    (tmp_path / "a.vol").write_bytes(vol_bytes(eye=eye))
    assert read_scans(tmp_path / "a.vol")[0].source.laterality == expected


def test_circle_and_radial_scans_have_no_distance_between_bscans(tmp_path):
    for pattern in (2, 5):
        (tmp_path / "a.vol").write_bytes(vol_bytes(pattern=pattern))
        assert read_headers(tmp_path / "a.vol")[0].bscan_spacing_mm is None


def test_one_bscan_of_a_vol_is_read_alone(vol):
    (scan,) = read_scans(vol, only=[2])
    np.testing.assert_allclose(scan.image, shown(RAW[2]), atol=1e-6)
    assert scan.source.bscan_index == 2
    with pytest.raises(ScanError, match="no B-scan 3"):
        read_scans(vol, only=[3])


def test_vol_of_one_person_share_a_subject(tmp_path):
    for name, patient in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / f"{name}.vol").write_bytes(vol_bytes(patient=patient))
    a, b, c = (read_headers(tmp_path / f"{n}.vol")[0].subject_id for n in "abc")
    assert a == b != c


def test_nothing_of_the_patient_leaves_a_vol(vol, capsys, monkeypatch):
    from typer.testing import CliRunner

    from medream.cli import app

    out = vol.parent / "converted"
    result = CliRunner().invoke(app, ["data", "convert", str(vol), str(out), "--format", "png"])
    assert result.exit_code == 0, result.output
    shown_table = CliRunner().invoke(app, ["data", "show", str(vol)]).output
    said = [repr(read_scans(vol)[0].source), repr(read_headers(vol)), result.output, shown_table]
    written = [path for path in out.rglob("*") if path.is_file()]
    assert len(written) > BSCANS
    texts = [text.encode() for text in said] + [path.read_bytes() for path in written]
    texts += [str(path).encode() for path in written]
    for secret in (NAME, PATIENT, "4711", "visit-1", "716.0", "2016", "1949"):
        found = [text for text in texts if secret.encode() in text]
        # A run.json may say when medream ran, and pixels may hold any bytes.
        assert not found, secret


@pytest.mark.parametrize("size", [0, 8, 100, 2048, 2400, -1])
def test_vol_that_is_cut_short(tmp_path, size):
    content = vol_bytes()
    (tmp_path / "a.vol").write_bytes(content[:size])
    with pytest.raises(ScanError, match=r"a\.vol"):
        read_scans(tmp_path / "a.vol")


@pytest.mark.parametrize("at", [12, 16, 20, 48, 52, 100])
@pytest.mark.parametrize("value", [0xFFFFFFFF, 10**9])
def test_vol_with_huge_counts_is_refused_at_once(tmp_path, at, value):
    content = bytearray(vol_bytes())
    content[at : at + 4] = struct.pack("<I", value)
    (tmp_path / "a.vol").write_bytes(content)
    started = time.monotonic()
    with pytest.raises(ScanError, match="cut short"):
        read_scans(tmp_path / "a.vol")
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_vol_with_undefined_intensities(tmp_path, value):
    raw = RAW.copy()
    raw[2, 3, 4] = value
    (tmp_path / "a.vol").write_bytes(vol_bytes(raw))
    with pytest.raises(ScanError, match="undefined"):
        read_scans(tmp_path / "a.vol")


def test_vol_with_absurd_spacing_has_none(tmp_path):
    content = bytearray(vol_bytes())
    content[24:32] = struct.pack("<d", float("nan"))
    (tmp_path / "a.vol").write_bytes(content)
    assert read_scans(tmp_path / "a.vol")[0].spacing_mm is None


# XML

PICTURES = (np.arange(2 * DEPTH * WIDTH).reshape(2, DEPTH, WIDTH) + 20).astype(np.uint8)


def xml_export(folder, laterality="L", namespace="", url="file:///C:\\XMLDATA\\{}.tif", extra=""):
    image = """<Image><ID>{k}</ID><ImageType><Type>{kind}</Type></ImageType>
      <OphthalmicAcquisitionContext><Width>{width}</Width><Height>{depth}</Height>
      <ScaleX>0.0116</ScaleX><ScaleY>0.0039</ScaleY>
      <Start><Coord><X>0.5</X><Y>{y}</Y></Coord></Start>
      <End><Coord><X>5.5</X><Y>{y}</Y></Coord></End></OphthalmicAcquisitionContext>
      <ImageData><ExamURL>{url}</ExamURL></ImageData></Image>"""
    images = image.format(k=0, kind="LOCALIZER", width=9, depth=9, y=0, url=url.format("slo"))
    # Their names sort the other way round.
    for k, name in enumerate(("b", "a")):
        images += image.format(
            k=k + 1, kind="OCT", width=WIDTH, depth=DEPTH, y=1 + 0.25 * k, url=url.format(name)
        )
        Image.fromarray(PICTURES[k]).save(folder / f"{name}.tif")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(folder / "slo.tif")
    path = folder / "export.xml"
    path.write_text(
        f"""<?xml version="1.0" encoding="UTF-8"?>{extra}
        <HEDX{namespace}><BODY><SWVersion><Version>1</Version></SWVersion><Patient><ID>148</ID>
        <LastName>{NAME}</LastName><FirstNames>Erika</FirstNames><PatientID>{PATIENT}</PatientID>
        <Birthdate><Date><Year>1964</Year><Month>8</Month><Day>12</Day></Date></Birthdate>
        <Study><StudyDate><Date><Year>2011</Year><Month>2</Month><Day>3</Day></Date></StudyDate>
        <Series><ID>77</ID><ProgID>1</ProgID><Laterality>{laterality}</Laterality>{images}
        <ReferenceSeries><ID>77</ID></ReferenceSeries></Series></Study></Patient></BODY></HEDX>"""
    )
    return path


@pytest.mark.parametrize("namespace", ["", ' xmlns="http://example.org/v1"'])
def test_xml_export(tmp_path, namespace):
    path = xml_export(tmp_path, namespace=namespace)
    scans = read_scans(path)
    np.testing.assert_allclose([s.image for s in scans], PICTURES / 255, atol=1e-6)
    assert [s.source.bscan_index for s in scans] == [0, 1]
    assert scans[0].spacing_mm == (0.0039, 0.0116)
    assert scans[0].source.laterality == "OS"
    (header,) = read_headers(path)
    assert (header.bscans, header.size, header.bscan_spacing_mm) == (2, (DEPTH, WIDTH), 0.25)
    (second,) = read_scans(path, only=[1])
    np.testing.assert_array_equal(second.image, scans[1].image)
    for secret in (NAME, PATIENT, "148", "Erika", "1964"):
        assert secret not in f"{scans}{header}"


def test_xml_agrees_with_eyepy(tmp_path):
    eyepy = pytest.importorskip("eyepy", reason="eyepy is not installed")
    path = xml_export(tmp_path)
    theirs = eyepy.import_heyex_xml(path)
    scans = read_scans(path)
    np.testing.assert_allclose([s.image * 255 for s in scans], theirs.data, atol=1e-4)
    assert (theirs.scale_y, theirs.scale_x) == scans[0].spacing_mm
    assert theirs.scale_z == pytest.approx(read_headers(path)[0].bscan_spacing_mm)
    assert theirs.laterality == scans[0].source.laterality


def test_xml_that_leads_elsewhere_or_is_broken(tmp_path):
    outside = tmp_path / "outside.tif"
    Image.fromarray(PICTURES[0]).save(outside)
    inside = tmp_path / "export"
    inside.mkdir()
    path = xml_export(inside, url="../outside{:.0}.tif")
    with pytest.raises(ScanError, match=r"export/outside\.tif does not exist"):
        read_scans(path)
    path = xml_export(inside, extra='<!DOCTYPE x [<!ENTITY a "aaaa">]>')
    with pytest.raises(ScanError, match="entities"):
        read_scans(path)
    whole = xml_export(inside).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ScanError, match="damaged"):
        read_scans(path)
    path = xml_export(inside)
    (inside / "a.tif").unlink()
    with pytest.raises(ScanError, match=r"a\.tif does not exist"):
        read_scans(path)
    assert read_headers(path)[0].bscans == 2


# E2E


def e2e_bytes(codes, numbers=None, eye=b"R", kinds=None):
    """Build a file whose only directory lists patient, eye, and pictures with their positions."""
    bscans, depth, width = codes.shape
    contents = [
        (9, -1, -1, struct.pack("<31s66sI1s25s4x", b"Erika", NAME.encode(), 9, b"F",
                                PATIENT.encode())),
        (11, 3, -1, bytes(14) + eye + bytes(12)),
    ]  # fmt: skip
    for k, number in enumerate(numbers or range(bscans)):
        info = bytearray(428)
        info[4:12] = struct.pack("<II", depth, width)
        info[64:72] = struct.pack("<II", bscans, number)
        contents.append((10004, 3, 2 * k, bytes(info)))
        pixels = codes[k].astype("<u2").tobytes()
        picture = struct.pack("<IIIII", len(pixels), 35652097, depth * width, depth, width)
        contents.append((0x40000000, 3, 2 * k, picture + pixels))
    directory = 36 + 52
    at = directory + 52 + 44 * len(contents)
    entries, chunks = b"", b""
    for kind, series, piece, content in contents:
        study = -1 if series < 0 else 2
        owner = (1, study, series, piece)
        entries += struct.pack("<IIIIiiiiHHII", 90, at, len(content), 0, *owner, 1, 0, kind, 0)
        head = struct.pack("<12sIIIIIiiiiHHII", b"MDbData", 0, 90, at, len(content), 0, *owner,
                           1, 0, kind, 0)  # fmt: skip
        chunks += head + content
        at += 60 + len(content)
    listed = struct.pack("<12sI20sIIII", b"MDbDir", 100, b"", len(contents), directory, 0, 0)
    main = struct.pack("<12sI20sIIII", b"MDbMDir", 100, b"", len(contents), directory, 0, 0)
    return struct.pack("<12sI20s", b"CMDb", 100, b"") + main + listed + entries + chunks


CODES = (np.arange(BSCANS * DEPTH * WIDTH).reshape(BSCANS, DEPTH, WIDTH) * 331 + 24000) & 65535


def test_e2e(tmp_path):
    codes = CODES.copy()
    codes[1, 2, 3] = 0xFFFF
    (tmp_path / "a.e2e").write_bytes(e2e_bytes(codes, numbers=[2, 0, 1]))
    scans = read_scans(tmp_path / "a.e2e")
    expected = np.ldexp(1 + (codes & 1023) / 1024, (codes >> 10) - 63)[[1, 2, 0]]
    assert [s.source.bscan_index for s in scans] == [0, 1, 2]
    for k, scan in enumerate(scans):
        valid = expected[k] < 1.99
        np.testing.assert_allclose(scan.image[valid], shown(expected[k][valid]), atol=1e-6)
    assert (~scans[0].valid).sum() >= 1
    assert not scans[0].valid[2, 3]
    assert scans[0].source.laterality == "OD"
    assert scans[0].spacing_mm is None
    (header,) = read_headers(tmp_path / "a.e2e")
    assert (header.bscans, header.size) == (BSCANS, (DEPTH, WIDTH))
    (last,) = read_scans(tmp_path / "a.e2e", only=[2])
    np.testing.assert_array_equal(last.image, scans[2].image)
    for secret in (NAME, PATIENT, "Erika"):
        assert secret not in f"{scans}{header}"


def test_e2e_agrees_with_eyepy(tmp_path):
    module = pytest.importorskip("eyepy.io.he.e2e_reader", reason="eyepy is not installed")
    # Mantissas that read alike from both ends; eyepy reverses their bits.
    mantissas = np.array([0, 0b1000000001, 0b0100000010, 0b1111111111, 0b0010110100])
    codes = (np.arange(40, 40 + 3 * 7)[:, None] << 10 | mantissas).reshape(3, 7, 5) & 65535
    codes = np.where(codes >> 10 > 62, 0b1000000001, codes)
    path = tmp_path / "a.e2e"
    path.write_bytes(e2e_bytes(codes, numbers=[1, 0, 2], eye=b"L"))
    with module.HeE2eReader(path) as reader:
        (series,) = reader.series
        theirs = [one.get_bscan() for one in series._sorted_slices()]
        assert chr(int(series.laterality())) == "L"
        patient = reader.patients[0].folders[9][0].data
        assert (patient.patient_id, patient.surname) == (PATIENT, NAME)
    scans = read_scans(path)
    np.testing.assert_allclose([s.image for s in scans], shown(np.array(theirs)), atol=1e-6)
    assert scans[0].source.laterality == "OS"


def test_e2e_that_is_broken(tmp_path):
    whole = e2e_bytes(CODES)
    path = tmp_path / "a.e2e"

    def refused(content, words):
        path.write_bytes(content)
        started = time.monotonic()
        with pytest.raises(ScanError, match=words):
            read_scans(path)
        assert time.monotonic() - started < 2

    for size in (4, 50, 100, 200, len(whole) - 1):
        refused(whole[:size], r"a\.e2e")
    circle = bytearray(whole)
    circle[88 + 44 : 88 + 48] = struct.pack("<I", 88)
    refused(circle, "circle")
    many = bytearray(whole)
    many[88 + 36 : 88 + 40] = struct.pack("<I", 10**9)
    refused(many, "entries")
    large = bytearray(whole)
    at = whole.index(struct.pack("<I", 35652097))
    large[at + 8 : at + 16] = struct.pack("<II", 60000, 60000)
    refused(large, "60000 x 60000")
    refused(b"CMDb" + bytes(500), "directory")
