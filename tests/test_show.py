"""`data show` and `data check`: everything that is there, and what about it is odd."""

import shutil
import warnings

import numpy as np
import pytest
from PIL import Image
from samples import write_dicom
from typer.testing import CliRunner

from medream.adapters import check_dataset, open_dataset
from medream.cli import app
from medream.errors import ScanError
from medream.readers import read_gray, read_labels, read_scans
from medream.scan import Scan
from medream.writers import write_scans

RAMP = np.arange(20 * 30, dtype=np.uint8).reshape(20, 30)


def show(*arguments):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        result = CliRunner().invoke(app, ["data", "show", *map(str, arguments)])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.output, [str(warning.message) for warning in told]


def one(spacing=(0.004, 0.011)):
    return [Scan((RAMP / 255).astype(np.float32), spacing_mm=spacing)]


def test_everything_in_a_mixed_tree_is_listed(tmp_path):
    for name in ("pictures", "deep/dicom", "deep/nifti"):
        (tmp_path / name).mkdir(parents=True)
    Image.fromarray(RAMP).save(tmp_path / "pictures" / "a.png")
    write_dicom(tmp_path / "deep" / "dicom" / "x.dcm")
    write_scans(one(), tmp_path / "deep" / "nifti" / "y.nii.gz")
    np.save(tmp_path / "z.npy", RAMP)
    output, told = show(tmp_path)
    for format in ("picture", "DICOM", "NIfTI", "NumPy file"):
        assert format in output
    assert told == []


def test_folders_of_volumes_are_shown(tmp_path):
    for person in ("anna", "berta"):
        (tmp_path / person).mkdir()
        write_scans(one(), tmp_path / person / "scan.nii.gz")
    output, _ = show(tmp_path)
    assert "2" in output
    assert "anna" in output
    assert "berta" in output


def test_what_cannot_be_read_is_told_once(tmp_path):
    write_dicom(tmp_path / "x.dcm")
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:5] = (255, 0, 0)
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    path = write_dicom(
        tmp_path / "colour.dcm", pixels[None], Rows=20, Columns=30, NumberOfFrames=1,
        SOPInstanceUID="1.2.3", **colour,
    )  # fmt: skip
    write_dicom(
        tmp_path / "fundus.dcm", Modality="OP", SOPInstanceUID="1.2.4", SeriesInstanceUID="1.9"
    )
    for out in ((), ("--out", tmp_path.parent / f"{tmp_path.name}-sheet")):
        output, told = show(tmp_path, *out)
        assert sum(str(path) in message and "in colour" in message for message in told) == 1
        assert sum("modality OP" in message for message in told) == 1
        assert output.count("DICOM") == 2


def test_micrometres_are_told(tmp_path):
    write_scans(one((3.9, 11.5)), tmp_path / "a.nii.gz")
    assert any("3.9 x 11.5 mm is none of OCT" in message for message in show(tmp_path)[1])
    assert any("3.9 x 11.5 mm is none of OCT" in p.what for p in check_dataset(tmp_path))
    shutil.rmtree(tmp_path)
    write_scans(one(), tmp_path / "a.nii.gz")
    assert not any("none of OCT" in p.what for p in check_dataset(tmp_path))
    assert show(tmp_path)[1] == []


def test_a_stray_value_in_a_mask_is_told(tmp_path):
    mask = np.zeros((40, 50), np.uint8)
    mask[5:20, 5:20] = 255
    mask[30, 30] = 77
    Image.fromarray(mask).save(tmp_path / "m.png")
    with pytest.raises(ScanError, match="77"):
        read_labels(tmp_path / "m.png")


def test_a_class_map_that_is_none(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    with pytest.raises(ScanError, match=r"class_map is 'fluid'; expected names"):
        open_dataset(tmp_path, class_map="fluid")


def test_orientation_and_twelve_bits_are_told(tmp_path):
    import nibabel

    image = Image.fromarray(RAMP)
    exif = image.getexif()
    exif[274] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    with pytest.warns(UserWarning, match="EXIF orientation 6"):
        assert read_gray(tmp_path / "turned.jpg").shape == RAMP.shape
    values = (RAMP.astype(np.int16) * 16)[:, :, None].repeat(3, axis=2)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([0.004, 0.011, 0.1, 1])), tmp_path / "a.nii")
    with pytest.warns(UserWarning, match="int16 up to .* nearly black"):
        read_scans(tmp_path / "a.nii")


def test_volumes_beside_pictures_are_told(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    write_scans(one(), tmp_path / "b.nii.gz")
    (problem,) = [p for p in check_dataset(tmp_path) if "volumes beside" in p.what]
    assert problem.where == (str(tmp_path / "b.nii.gz"),)
