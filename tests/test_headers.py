"""What is told of files and folders without reading pixels, and `medream data show`."""

import gzip
import json
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from samples import BSCANS, DEPTH, IMAGES, VOLUME, WIDTH, write_all, write_dicom, write_itk
from typer.testing import CliRunner

from medream.cli import app
from medream.errors import ScanError
from medream.readers import FORMATS, list_headers, read_headers, read_scans


def show(*arguments, code=0):
    result = CliRunner().invoke(app, ["data", "show", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("samples"))


def test_every_format_tells_and_reads(samples):
    for name, path in samples.items():
        (header,) = read_headers(path)
        scans = read_scans(path)
        assert header.bscans == len(scans), name
        assert header.size == scans[0].shape == (DEPTH, WIDTH), name
        assert header.spacing_mm == scans[0].spacing_mm, name
        assert header.path == scans[0].source.path == str(path), name
        sources = {(s.source.subject_id, s.source.volume_id, s.source.device) for s in scans}
        assert sources == {(header.subject_id, header.volume_id, header.device)}, name
        assert scans[-1].image.dtype == np.float32
        if name != "jpg":
            np.testing.assert_allclose(scans[-1].image, IMAGES[len(scans) - 1], atol=1e-6)
        last = read_scans(path, only=[header.bscans - 1])[0]
        np.testing.assert_array_equal(last.image, scans[-1].image)
        assert last.source == scans[-1].source or last.source.bscan_index == header.bscans - 1
        for position in (-1, header.bscans):
            with pytest.raises(ScanError, match=f"has no B-scan {position}"):
                read_scans(path, only=[position])
        assert read_scans(path, only=[]) == []


def test_each_file_is_recognised_by_one_format(samples):
    for name, path in samples.items():
        head = path.read_bytes()[:1024]
        if head[:2] == b"\x1f\x8b":
            head = gzip.decompress(path.read_bytes())[:1024]
        found = [known.name for known in FORMATS if known.sniff(path, head)]
        assert len(found) == 1, (name, found)


def test_importing_readers_loads_no_library():
    code = (
        "import sys, medream.readers; "
        "print([m for m in ('pydicom', 'nibabel', 'SimpleITK', 'h5py', 'scipy.io', 'tensorflow') "
        "if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# Folders


def test_pictures_of_one_size_count_together(tmp_path):
    for k in (10, 9, 1):
        Image.fromarray(VOLUME[0]).save(tmp_path / f"bscan_{k}.png")
    Image.fromarray(VOLUME[0][:20]).save(tmp_path / "small.png")
    headers = read_headers(tmp_path)
    assert sorted((h.bscans, h.size) for h in headers) == [(1, (20, WIDTH)), (3, (DEPTH, WIDTH))]
    assert {h.volume_id for h in headers} == {tmp_path.name}


def test_pages_of_a_tiff(tmp_path):
    pages = [Image.fromarray(one) for one in VOLUME]
    path = tmp_path / "pages.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert read_headers(path)[0].bscans == BSCANS
    np.testing.assert_array_equal(read_scans(path, only=[3])[0].image, IMAGES[3])
    assert read_scans(path, only=[3])[0].source.bscan_index == 3


def test_bscans_of_a_folder_are_counted_over_its_files(tmp_path):
    for k in range(3):
        Image.fromarray(VOLUME[k]).save(tmp_path / f"b{k}.png")
    pages = [Image.fromarray(one) for one in VOLUME[3:]]
    pages[0].save(tmp_path / "b3.tif", save_all=True, append_images=pages[1:])
    whole = read_scans(tmp_path)
    assert [scan.source.bscan_index for scan in whole] == list(range(BSCANS))
    chosen = read_scans(tmp_path, only=[4, 0, 3])
    np.testing.assert_array_equal([s.image for s in chosen], IMAGES[[4, 0, 3]])
    assert [scan.source.bscan_index for scan in chosen] == [4, 0, 3]
    with pytest.raises(ScanError, match="from 0 to 4"):
        read_scans(tmp_path, only=[5])


def test_volumes_of_several_formats_in_one_folder(tmp_path):
    write_dicom(tmp_path / "a.dcm")
    write_itk(tmp_path / "b.mhd")
    write_itk(tmp_path / "c.nii.gz", VOLUME[:2])
    (tmp_path / "notes.txt").write_text("patient came late")
    (tmp_path / ".hidden.dcm").write_bytes(b"")
    headers = read_headers(tmp_path)
    assert sorted(h.format for h in headers) == ["DICOM", "MetaImage", "NIfTI"]
    assert {h.path for h in headers} == {str(tmp_path / n) for n in ("a.dcm", "b.mhd", "c.nii.gz")}
    scans = read_scans(tmp_path)
    assert len(scans) == 2 * BSCANS + 2
    by_volume = {}
    for scan in scans:
        by_volume.setdefault(scan.source.volume_id, []).append(scan.source.bscan_index)
    assert sorted(map(len, by_volume.values())) == [2, BSCANS, BSCANS]
    assert all(found == list(range(len(found))) for found in by_volume.values())
    position = next(k for k, s in enumerate(scans) if s.source.bscan_index == 3)
    np.testing.assert_array_equal(read_scans(tmp_path, only=[position])[0].image, IMAGES[3])


def test_pictures_beside_volumes_are_read_and_the_rest_is_said(tmp_path):
    write_dicom(tmp_path / "a.dcm")
    Image.fromarray(VOLUME[0]).save(tmp_path / "preview.png")
    with pytest.warns(UserWarning, match=r"other scans are not \(a\.dcm, 1 in all\)"):
        assert len(read_scans(tmp_path)) == 1


def test_broken_ones_are_listed_beside_the_sound(tmp_path):
    write_dicom(tmp_path / "a.dcm")
    (tmp_path / "cut.dcm").write_bytes((tmp_path / "a.dcm").read_bytes()[:-500])
    (tmp_path / "empty.vol").write_bytes(b"")
    (tmp_path / "zeros.nii").write_bytes(bytes(5000))
    headers, errors = list_headers(tmp_path)
    assert len(headers) == 1
    assert sorted(
        name for name in ("cut.dcm", "empty.vol", "zeros.nii") if name in str(errors)
    ) == [
        "cut.dcm",
        "empty.vol",
        "zeros.nii",
    ]
    for read in (read_headers, read_scans):
        with pytest.raises(ScanError):
            read(tmp_path)


def test_cyclic_links(tmp_path):
    write_dicom(tmp_path / "a.dcm")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.dcm").symlink_to(tmp_path / "self.dcm")
    headers, errors = list_headers(tmp_path)
    assert len(headers) == 1
    assert all("self.dcm" in str(error) for error in errors)
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer" / "up").symlink_to(tmp_path / "outer", target_is_directory=True)
    with pytest.raises(ScanError, match="no scans"):
        read_headers(tmp_path / "outer")


def test_only_nifti_may_be_gzipped(tmp_path, samples):
    packed = tmp_path / "a.dcm.gz"
    packed.write_bytes(gzip.compress(samples["dicom"].read_bytes()))
    with pytest.raises(ScanError, match=r"a\.dcm\.gz is a gzipped DICOM"):
        read_scans(packed)


def test_wrong_names(tmp_path, samples):
    """The name says one thing and the content another: the content counts."""
    for k, (name, path) in enumerate(samples.items()):
        if name in ("mhd", "nhdr", "nii pair"):
            continue
        disguised = tmp_path / f"{k}.jpg"
        disguised.write_bytes(path.read_bytes())
        assert read_headers(disguised)[0].format == read_headers(path)[0].format


@pytest.mark.parametrize("name", ["nii", "mha", "npy", "dicom", "mat 7.3", "mat 5", "png", "npz"])
@pytest.mark.parametrize("content", ["empty", "zeros", "half zeros", "text", "cut"])
def test_spoilt_content(tmp_path, samples, name, content):
    whole = samples[name].read_bytes()
    path = tmp_path / f"spoilt{samples[name].suffix}"
    path.write_bytes({
        "empty": b"",
        "zeros": bytes(len(whole)),
        "half zeros": bytes(600) + whole[600:],
        "text": b"Dear colleague, this is no scan. " * 99,
        "cut": whole[: len(whole) // 2],
    }[content])  # fmt: skip
    started = time.monotonic()
    with pytest.raises(ScanError, match="spoilt"):
        read_scans(path)
    with pytest.raises(ScanError, match="spoilt"):
        read_headers(path) and read_scans(path)
    assert time.monotonic() - started < 5


# The command


def test_show_a_file(tmp_path):
    told = show(write_dicom(tmp_path / "eye.dcm"))
    for word in ("DICOM", "Maker Eye 9", "OS", "5", "37 x 24", "0.0039 x 0.0117", "0.12 apart"):
        assert word in told
    assert "unknown" in show(write_itk(tmp_path / "a.nii", spacing=(1.0, 1.0, 1.0)))


def test_show_with_named_axes(tmp_path):
    path = write_itk(tmp_path / "a.nii", spacing=(1.0, 1.0, 1.0))
    with pytest.warns(UserWarning, match="spacing is unknown"):
        assert "37 x 24" in show(path)
    assert "24 x 37" in show(path, "--axes", "depth,width,bscan")
    assert "24 x 37" in show(path, "--axes", "depth,width,bscan", "--out", tmp_path / "out")


WIDE = ["a" * 50 + "END", "b" * 50 + "END"]


def test_tables_lose_nothing_in_a_pipe(capsys):
    from medream.cli.tables import print_table

    print_table(["one", "two"], [[word * 9 for word in WIDE]], "title")
    told = capsys.readouterr().out
    assert all(word * 9 in told for word in WIDE)


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_tables_lose_nothing_in_a_terminal(capsys, monkeypatch, columns):
    from medream.cli.tables import print_table

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    print_table(["one", "two"], [WIDE, ["x", "two words"]], "/a/long/path/" * 5)
    told = re.sub(r"\x1b\[[0-9;]*m|[^a-zA-Z/]", "", capsys.readouterr().out)
    assert all(word in told for word in (*WIDE, "twowords", "/a/long/path/" * 5))


def test_show_reads_no_pixels(tmp_path, monkeypatch):
    from medream.readers import nifti

    monkeypatch.setattr(nifti, "read", lambda *a: pytest.fail("read"))
    import nibabel.arrayproxy

    monkeypatch.setattr(nibabel.arrayproxy, "ArrayProxy", lambda *a: pytest.fail("read"))
    show(write_itk(tmp_path / "a.nii"))


def test_contact_sheet(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(BSCANS):
        Image.fromarray(VOLUME[k]).save(folder / f"b{k}.png")
    told = show(folder, "--out", tmp_path / "out")
    assert told.strip().endswith(str(tmp_path / "out"))
    with Image.open(tmp_path / "out" / "contact_sheet.png") as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape[1] > 5 * 240
    dark = [(pixels[:240, 4 + k * 244 : 4 + k * 244 + 200] < 250).mean() for k in range(BSCANS)]
    assert min(dark) > 0.5
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["command"] == "data show"
    assert record["results"] == {"shown": BSCANS}
    rerun = CliRunner().invoke(
        app, ["rerun", str(tmp_path / "out" / "run.json"), "--out", str(tmp_path / "again")]
    )
    assert rerun.exit_code == 0, rerun.output
    again = np.asarray(Image.open(tmp_path / "again" / "contact_sheet.png"))
    np.testing.assert_array_equal(again, pixels)


def test_show_everything_in_the_real_data(shared_data):
    """Each file is shown or refused in one paragraph; nothing else comes of it."""
    refused = []
    for path in sorted(shared_data.rglob("*")):
        if path.is_dir() or path.suffix in (".txt", ".csv", ".md") or "LICENSE" in path.name:
            continue
        if path.suffix == ".png" and not path.name.startswith(
            ("bscan_1", "subject01", "0", "NORM")
        ):
            continue
        try:
            assert read_headers(path)
        except ScanError as error:
            assert path.name in str(error)  # noqa: PT017
            refused.append(path.name)
    assert refused == [
        "OBXXXX1A_2frame.dcm",  # in colour, as the next one
        "SC_rgb.dcm",
        "emri_small_jpeg_2k_lossless_too_short.dcm",
        "liver.dcm",  # a Segmentation
        "invalid.vol",
        "squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ]
    for name in ("dicom", "spectralis_vol", "duke_subject01_volume", "nr206_layers"):
        assert "size" in show(shared_data / name)
