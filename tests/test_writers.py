"""What is written can be read: pixels, masks, spacing, order, eye, subject; whole or not at all."""

import gzip
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from medream.description import describe
from medream.errors import ConfigError, OutputError, ScanError
from medream.readers import read_headers, read_scans
from medream.scan import Scan, Source
from medream.split import LeakWarning
from medream.writers import FORMATS, write_scans

NAMES = {"nifti": "eye.nii.gz", "metaimage": "eye.mha", "npz": "eye.npz", "png": "eye"}
SOURCE = Source(
    dataset="clinic", subject_id="subject-1", volume_id="volume-9", laterality="OS", device="X 1"
)


@st.composite
def volumes(draw):
    # Pictures narrower than five pixels could be colours or lists of them.
    shape = draw(st.tuples(st.integers(1, 4), st.integers(5, 9), st.integers(5, 9)))
    images = draw(hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=32)))
    classes = draw(st.sampled_from([("fluid",), ("IRF", "SRF", "PED")]))
    masks = draw(st.none() | hnp.arrays(np.uint8, shape, elements=st.integers(0, len(classes))))
    length = st.floats(1e-4, 0.5)
    spacing = draw(st.none() | st.tuples(length, length))
    source = replace(SOURCE, laterality=draw(st.sampled_from([None, "OD", "OS"])))
    scans = [
        Scan(image, mask=None if masks is None else masks[k], classes=classes,
             spacing_mm=spacing, source=replace(source, bscan_index=k))
        for k, image in enumerate(images)
    ]  # fmt: skip
    return scans, draw(st.none() | length)


def masks_of(path, format):
    """Read the masks by the libraries that others would use."""
    if format == "nifti":
        import nibabel

        return np.asarray(nibabel.load(path.with_name("eye_mask.nii.gz")).dataobj).T
    itk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    return itk.GetArrayFromImage(itk.ReadImage(str(path.with_name("eye_mask.mha"))))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("format", FORMATS)
@given(volumes())
@settings(max_examples=12, deadline=None)
def test_round_trip(tmp_path_factory, format, bits, volume):
    scans, between = volume
    path = tmp_path_factory.mktemp(format) / NAMES[format]
    write_scans(scans, path, format, bits=bits, bscan_spacing_mm=between)
    again = read_scans(path)
    assert len(again) == len(scans)
    half_a_step = 0.5 / (2**bits - 1) + 1e-6
    for k, (old, new) in enumerate(zip(scans, again, strict=True)):
        np.testing.assert_allclose(new.image, old.image, atol=half_a_step)
        assert new.spacing_mm == old.spacing_mm
        assert new.source.bscan_index == k
        assert new.source.laterality == old.source.laterality
        assert new.source.subject_id == "subject-1"
        assert (new.source.volume_id, new.source.device) == ("volume-9", "X 1")
        if old.mask is not None and format in ("npz", "png"):
            np.testing.assert_array_equal(new.mask, old.mask)
            assert new.classes == old.classes
    if scans[0].mask is not None and format in ("nifti", "metaimage"):
        np.testing.assert_array_equal(masks_of(path, format), [s.mask for s in scans])
    (header,) = read_headers(path)
    assert (header.bscans, header.size) == (len(scans), scans[0].shape)
    assert (header.spacing_mm, header.bscan_spacing_mm) == (scans[0].spacing_mm, between)
    assert header.laterality == scans[0].source.laterality


def some(bscans=3, shape=(6, 8), **changes):
    ramp = np.linspace(0, 1, bscans * shape[0] * shape[1], dtype=np.float32)
    fields = {"spacing_mm": (0.004, 0.011), "source": SOURCE, **changes}
    return [Scan(image, **fields) for image in ramp.reshape(bscans, *shape)]


def test_nifti_as_nibabel_sees_it(tmp_path):
    import nibabel

    scans = some()
    write_scans(scans, tmp_path / "eye.nii.gz", bscan_spacing_mm=0.12)
    image = nibabel.load(tmp_path / "eye.nii.gz")
    assert image.shape == (8, 6, 3)
    assert image.header.get_zooms() == pytest.approx((0.011, 0.004, 0.12))
    assert image.header.get_xyzt_units()[0] == "mm"
    assert np.asarray(image.dataobj)[7, 5, 2] == 65535
    assert np.asarray(image.dataobj)[1, 0, 0] == round(65535 / 143)
    plain = some(spacing_mm=None)
    write_scans(plain, tmp_path / "plain.nii")
    assert nibabel.load(tmp_path / "plain.nii").header.get_xyzt_units()[0] == "unknown"


def test_metaimage_as_itk_sees_it(tmp_path):
    itk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    scans = some()
    write_scans(scans, tmp_path / "eye.mha", bits=8, bscan_spacing_mm=0.12)
    image = itk.ReadImage(str(tmp_path / "eye.mha"))
    assert image.GetSpacing() == pytest.approx((0.011, 0.004, 0.12))
    np.testing.assert_array_equal(
        itk.GetArrayFromImage(image), np.rint([s.image * 255 for s in scans])
    )


def test_nifti_and_metaimage_of_itk_agree(tmp_path):
    itk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    for name in ("eye.nii.gz", "eye.mha"):
        write_scans(some(), tmp_path / name, bscan_spacing_mm=0.12)
    one, other = (itk.ReadImage(str(tmp_path / n)) for n in ("eye.nii.gz", "eye.mha"))
    np.testing.assert_array_equal(itk.GetArrayFromImage(one), itk.GetArrayFromImage(other))
    assert one.GetDirection() == pytest.approx(other.GetDirection())
    assert one.GetSpacing() == pytest.approx(other.GetSpacing())


def test_valid_pixels_survive(tmp_path):
    valid = np.ones((6, 8), bool)
    valid[0, :3] = False
    scans = some()
    scans[1] = replace(scans[1], valid=valid)
    for name, format in (("eye.npz", "npz"), ("eye", "png")):
        again = read_scans(write_scans(scans, tmp_path / name, format))
        np.testing.assert_array_equal(again[1].valid, valid)
        assert again[0].valid is None or again[0].valid.all()


def test_picture_folder_is_a_data_set(tmp_path):
    from medream.adapters import open_dataset

    mask = np.zeros((6, 8), np.uint8)
    mask[2, 3:7] = 2
    scans = some(mask=mask, classes=("IRF", "SRF"))
    write_scans(scans, tmp_path / "eye", "png")
    found = open_dataset(tmp_path / "eye")
    assert found.classes == ("IRF", "SRF")
    assert [scan.source.subject_id for scan in found] == ["subject-1"] * 3
    assert found[0].spacing_mm == (0.004, 0.011)
    np.testing.assert_array_equal(found[2].mask, mask)


def test_a_mask_of_one_class_is_white(tmp_path):
    mask = np.zeros((6, 8), np.uint8)
    mask[2, 3:7] = 1
    write_scans(some(mask=mask), tmp_path / "eye", "png")
    (first, *_) = sorted((tmp_path / "eye" / "masks").iterdir())
    np.testing.assert_array_equal(np.asarray(Image.open(first)), mask * 255)


def test_pictures_may_differ_in_size_but_volumes_not(tmp_path):
    scans = [*some(1), *some(1, (7, 9))]
    again = read_scans(write_scans(scans, tmp_path / "eye", "png"))
    assert [scan.shape for scan in again] == [(6, 8), (7, 9)]
    for format in ("nifti", "metaimage", "npz"):
        with pytest.raises(OutputError, match="has one size"):
            write_scans(scans, tmp_path / NAMES[format], format)


def test_a_missing_mask_is_not_an_empty_one(tmp_path):
    scans = some()
    scans[1] = replace(scans[1], mask=np.ones((6, 8), np.uint8))
    again = read_scans(write_scans(scans, tmp_path / "eye", "png"))
    assert [scan.mask is None for scan in again] == [True, False, True]
    for format in ("nifti", "metaimage", "npz"):
        with pytest.raises(OutputError, match="1 of 3 B-scans have a mask"):
            write_scans(scans, tmp_path / NAMES[format], format)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"spacing_mm": (0.1, 0.1)}, "spacing_mm"),
        ({"source": replace(SOURCE, laterality="OD")}, "laterality"),
        ({"source": replace(SOURCE, subject_id="other")}, "subject_id"),
    ],
)
def test_scans_of_two_volumes_are_refused(tmp_path, changes, words):
    with pytest.raises(OutputError, match=words):
        write_scans([*some(2), *some(1, **changes)], tmp_path / "eye.npz")
    assert not any(tmp_path.iterdir())


def test_arguments_that_make_no_sense(tmp_path):
    with pytest.raises(ConfigError, match="no suffix"):
        write_scans(some(), tmp_path / "eye")
    with pytest.raises(ConfigError, match="nifti"):
        write_scans(some(), tmp_path / "eye.nii", "nifty")
    with pytest.raises(ConfigError, match=r"ends in \.npz"):
        write_scans(some(), tmp_path / "eye.nii", "npz")
    with pytest.raises(ConfigError, match="8 or 16"):
        write_scans(some(), tmp_path / "eye.npz", bits=12)
    with pytest.raises(OutputError, match="no scans"):
        write_scans([], tmp_path / "eye.npz")


@pytest.mark.parametrize("format", FORMATS)
def test_a_failed_write_leaves_nothing(tmp_path, format, monkeypatch):
    write = FORMATS[format].write.__globals__
    place = tmp_path / "place"
    place.mkdir()

    def broken(*args, **kwargs):
        raise OSError(28, "No space left on device")

    import nibabel.nifti1

    monkeypatch.setattr(nibabel.nifti1.Nifti1Image, "to_stream", broken)
    monkeypatch.setattr(np, "savez_compressed", broken)
    if format == "metaimage":
        monkeypatch.setitem(write, "open", broken)
    if format == "png":
        monkeypatch.setattr("PIL.Image.Image.save", broken)
    with pytest.raises(OutputError, match="No space left"):
        write_scans(some(), place / NAMES[format], format)
    assert not any(place.iterdir())


def test_equal_scans_give_equal_files(tmp_path):
    one, two = (write_scans(some(), tmp_path / f"{n}.nii.gz") for n in "ab")
    assert one.read_bytes() == two.read_bytes()
    assert b"partial" not in gzip.decompress(one.read_bytes())


def test_no_path_is_written(tmp_path):
    scans = [replace(s, source=replace(SOURCE, path="/home/Mustermann/a.vol")) for s in some()]
    for format, name in NAMES.items():
        write_scans(scans, tmp_path / name, format)
    for file in tmp_path.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            content = gzip.decompress(content) if file.suffix == ".gz" else content
            assert b"Mustermann" not in content
    with np.load(tmp_path / "eye.npz") as content:
        assert "Mustermann" not in str(content["description"])


@pytest.mark.parametrize(
    "change",
    [
        {"spacing_mm": [1]}, {"spacing_mm": "wide"}, {"spacing_mm": [-1, 2]}, {"classes": []},
        {"classes": [1]}, {"laterality": 5}, {"bscan_spacing_mm": "far"}, {"subject_id": ["x"]},
    ],
)  # fmt: skip
def test_a_damaged_description_is_said(tmp_path, change):
    write_scans(some(), tmp_path / "eye", "png")
    path = tmp_path / "eye" / "scans.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ScanError, match="description"):
        read_scans(tmp_path / "eye")


@pytest.mark.parametrize("name", ["../secret.png", "/etc/secret.png", "a/../../b.png", "..\\b", 5])
def test_a_list_that_leads_outside_is_refused(tmp_path, name):
    write_scans(some(), tmp_path / "eye", "png")
    path = tmp_path / "eye" / "scans.json"
    content = json.loads(path.read_text())
    content["bscans"][1]["image"] = name
    path.write_text(json.dumps(content))
    with pytest.raises(ScanError, match="below its own folder"):
        read_scans(path)
    content["bscans"] = []
    path.write_text(json.dumps(content))
    with pytest.raises(ScanError, match="lists no B-scans"):
        read_scans(path)


def test_description_of_another_kind_is_ignored(tmp_path):
    content = {"image": np.zeros((2, 6, 8), np.uint8), "description": np.array("hello")}
    np.savez(tmp_path / "a.npz", **content)
    assert len(read_scans(tmp_path / "a.npz")) == 2
    assert describe(some())["subject_id"] == "subject-1"


# medream data convert


def convert(*arguments, code=0):
    from typer.testing import CliRunner

    from medream.cli import app

    result = CliRunner().invoke(app, ["data", "convert", *map(str, arguments)])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


def test_convert_to_a_file_and_on(tmp_path):
    source = write_scans(some(), tmp_path / "a.npz", bscan_spacing_mm=0.12)
    last = source
    for name in ("b.nii.gz", "c.mha", "d"):
        assert convert(last, tmp_path / name).output.splitlines()[-1] == str(tmp_path / name)
        last = tmp_path / name
    convert(last, tmp_path / "e.npz")
    with np.load(source) as old, np.load(tmp_path / "e.npz") as new:
        np.testing.assert_array_equal(old["image"], new["image"])
    assert read_headers(tmp_path / "e.npz")[0].bscan_spacing_mm == 0.12
    assert read_scans(tmp_path / "e.npz")[2].source.laterality == "OS"
    record = json.loads((tmp_path / "d" / "run.json").read_text())
    assert (record["command"], record["results"]["bscans"]) == ("data convert", 3)


def test_convert_runs_again_from_its_record(tmp_path):
    from medream.cli.runs import RUNNERS

    source = write_scans(some(), tmp_path / "a.npz")
    convert(source, tmp_path / "out", "--bits", 8)
    settings = json.loads((tmp_path / "out" / "run.json").read_text())["settings"]
    RUNNERS["data convert"](settings, tmp_path / "again")
    files = [f.relative_to(tmp_path / "out") for f in (tmp_path / "out").rglob("*.png")]
    assert len(files) == 3
    for file in files:
        assert (tmp_path / "out" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def test_convert_several_volumes(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for k in (1, 2):
        source = replace(SOURCE, subject_id=f"subject-{k}", volume_id=f"volume-{k}")
        write_scans(some(source=source), folder / f"{k}.npz")
    assert "do not fit" in str(convert(folder, tmp_path / "one.mha", code=1).exception)
    convert(folder, tmp_path / "out", "--format", "nifti")
    files = sorted(path.name for path in (tmp_path / "out").glob("*.nii.gz"))
    assert files == ["subject-1_volume-1.nii.gz", "subject-2_volume-2.nii.gz"]
    assert read_scans(tmp_path / "out" / files[1])[0].source.subject_id == "subject-2"


def test_convert_keeps_files_of_one_name_apart(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    np.save(folder / "eye.npy", np.zeros((2, 40, 60), "uint8"))
    np.savez(folder / "eye.npz", image=np.ones((3, 40, 60), "uint8"))
    assert "2 volumes" in str(convert(folder, tmp_path / "one.mha", code=1).exception)
    convert(folder, tmp_path / "out", "--format", "npz")
    assert [len(read_scans(f)) for f in sorted((tmp_path / "out").glob("*.npz"))] in (
        [2, 3],
        [3, 2],
    )


def test_convert_holds_one_volume_at_a_time(tmp_path):
    import tracemalloc

    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(8):
        np.save(folder / f"eye{k}.npy", np.full((4, 256, 256), k, "uint8"))
    convert(folder / "eye0.npy", tmp_path / "warm", "--format", "metaimage")
    tracemalloc.start()
    convert(folder, tmp_path / "out", "--format", "metaimage")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * (4 * 256 * 256 * 4)  # all eight would be twice as much


def test_convert_with_named_axes(tmp_path):
    import nibabel

    volume = np.random.default_rng(0).integers(0, 256, (37, 24, 5)).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "a.nii")
    convert(tmp_path / "a.nii", tmp_path / "b.nii", "--axes", "depth, width,bscan", "--bits", 8)
    found = read_scans(tmp_path / "b.nii")
    np.testing.assert_array_equal([s.image * 255 for s in found], volume.transpose(2, 0, 1))


def test_folder_of_pictures_keeps_the_eye_as_a_data_set(tmp_path):
    from medream.adapters import open_dataset

    write_scans(some(), tmp_path / "d", "png")
    with pytest.warns(LeakWarning):
        sources = open_dataset(tmp_path / "d").sources
    assert {source.laterality for source in sources} == {"OS"}
    text = (tmp_path / "d" / "dataset.toml").read_text()
    (tmp_path / "d" / "dataset.toml").write_text(text.replace('"OS"', '"left"'))
    with pytest.raises(ScanError, match=r"dataset\.toml: laterality is 'left'"):
        open_dataset(tmp_path / "d")


def test_convert_a_data_set_with_masks(tmp_path):
    from medream.phantom import phantom_scans, save_phantom

    save_phantom(phantom_scans(4, size=(48, 64), bscans_per_subject=2), tmp_path / "set")
    with warnings.catch_warnings():
        warnings.simplefilter("error", LeakWarning)  # nothing is split here
        convert(tmp_path / "set", tmp_path / "out", "--format", "npz")
    found = [s for f in sorted((tmp_path / "out").glob("*.npz")) for s in read_scans(f)]
    assert len(found) == 4
    assert all(scan.mask is not None for scan in found)
    assert {scan.source.subject_id for scan in found} == {"phantom001", "phantom002"}


def test_convert_says_what_is_wrong(tmp_path):
    assert "does not exist" in str(convert(tmp_path / "a.vol", tmp_path / "b", code=1).exception)
    source = write_scans(some(), tmp_path / "a.npz")
    assert "8 or 16" in str(convert(source, tmp_path / "b", "--bits", 3, code=1).exception)
    assert not (tmp_path / "b").exists()
