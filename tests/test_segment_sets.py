"""`medream segment` on data sets, on folders with bad files, and on scans of one name."""

import json

import numpy as np
import pytest
from PIL import Image
from test_cli import run

import medream as md
from medream.phantom import save_phantom
from medream.writers import write_scans


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "small.keras"
    md.build_unet(md.UNetConfig(levels=1, base_filters=2)).save(path)
    return path


@pytest.fixture(scope="module")
def scans():
    return list(md.phantom_scans(4, size=(32, 48), bscans_per_subject=2))


def test_the_data_set_that_one_trains_on(model, scans, tmp_path):
    save_phantom(scans, tmp_path / "set")
    run("segment", tmp_path / "set", "--model", model, "--out", tmp_path / "out")
    assert len(list((tmp_path / "out" / "predictions").iterdir())) == 4


def test_a_folder_of_volumes_for_each_person(model, scans, tmp_path):
    for person, own in (("a", scans[:2]), ("b", scans[2:])):
        (tmp_path / "set" / person).mkdir(parents=True)
        write_scans(own, tmp_path / "set" / person / "scan.nii.gz", bscan_spacing_mm=0.12)
    run(
        "segment",
        tmp_path / "set",
        "--model",
        model,
        "--format",
        "nifti",
        "--out",
        tmp_path / "out",
    )
    assert len(list((tmp_path / "out").glob("*_mask.nii.gz"))) == 2
    assert len(list((tmp_path / "out" / "predictions").iterdir())) == 4


def test_bad_files_are_told_before_anything_is_segmented(model, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(3):
        pixels = np.random.default_rng(k).integers(0, 255, (32, 48)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
    for k in (0, 2):
        (folder / f"{k}.png").write_bytes((folder / f"{k}.png").read_bytes()[:600])
    said = run("segment", folder, "--model", model, "--out", tmp_path / "out", code=1)
    assert "0.png" in said
    assert "2.png" in said
    assert "--skip-bad" in said
    assert not (tmp_path / "out").exists()
    with pytest.warns(UserWarning, match=r"Left out: .*0\.png"):
        run("segment", folder, "--model", model, "--skip-bad", "--out", tmp_path / "out")
    assert [p.name for p in (tmp_path / "out" / "predictions").iterdir()] == ["1.png"]
    assert len(json.loads((tmp_path / "out" / "run.json").read_text())["results"]["left_out"]) == 2
