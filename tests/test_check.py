"""`check_dataset` lists every problem at once."""

import numpy as np
import pytest
from PIL import Image

from medream.adapters import check_dataset
from medream.errors import ScanError
from medream.phantom import phantom_scans, save_phantom


@pytest.fixture
def sound(tmp_path):
    """Train: phantom001 to 004, test: 005 and 006, two B-scans each, nothing wrong."""
    save_phantom(phantom_scans(12, size=(64, 64), bscans_per_subject=2), tmp_path)
    return tmp_path


def found(path, severity, words, **options):
    return [
        problem
        for problem in check_dataset(path, **options)
        if problem.severity == severity and words in str(problem)
    ]


def test_a_sound_data_set_has_notes_at_most(sound):
    assert {problem.severity for problem in check_dataset(sound)} <= {"note"}


def test_everything_is_found_in_one_go(sound):
    train, test = sound / "train", sound / "test"
    (train / "GT" / "phantom001_bscan01.png").unlink()
    (train / "GT" / "phantom001_bscan02.png").rename(train / "GT" / "phantom00l_bscan02.png")
    (train / "Image" / "phantom002_bscan01.png").write_bytes(b"")
    (train / "GT" / "phantom002_bscan02.png").write_bytes(b"rubbish")
    Image.fromarray(np.zeros((32, 64), np.uint8)).save(train / "GT" / "phantom003_bscan01.png")
    odd = np.arange(64 * 64).reshape(64, 64).astype(np.uint8)
    Image.fromarray(odd).save(train / "GT" / "phantom003_bscan02.png")
    copied = train / "Image" / "phantom004_bscan01.png"
    Image.open(copied).save(test / "Image" / "phantom009_bscan01.bmp")  # same pixels, other bytes
    (test / "Image" / "phantom004_bscan02.png").write_bytes(
        (test / "Image" / "phantom005_bscan01.png").read_bytes()
    )

    problems = check_dataset(sound)
    errors = [str(problem) for problem in problems if problem.severity == "error"]
    text = "\n".join(errors)
    for words in (
        "4 of 14 images have no mask",
        "1 masks have no image",
        "phantom002_bscan01.png is empty",
        "GT/phantom002_bscan02.png begins with",
        "32 x 64",
        "cannot tell the classes",
        "the same picture lies in test and train",
        "subject phantom004 is in train and test",
    ):
        assert words in text, words
    assert any("phantom00l_bscan02.png" in f for p in problems for f in p.where)
    assert [p.severity for p in problems] == sorted(
        [p.severity for p in problems], key=["error", "warning", "note"].index
    )
    within = [str(p) for p in problems if p.severity == "warning"]
    assert any("2 times" in words for words in within)


def test_same_picture_twice_on_one_side(sound):
    folder = sound / "train" / "Image"
    (folder / "phantom001_bscan09.png").write_bytes(
        (folder / "phantom001_bscan01.png").read_bytes()
    )
    assert found(sound, "warning", "2 times")
    assert not found(sound, "error", "same picture")


def test_empty_masks_are_counted(sound):
    for file in (sound / "test" / "GT").iterdir():
        Image.fromarray(np.zeros((64, 64), np.uint8)).save(file)
    (note,) = found(sound, "note", "masks are empty")
    assert len(note.where) >= 4
    assert note.what.startswith(str(len(note.where)))


def test_one_subject_on_both_sides_is_a_warning(tmp_path):
    scans = phantom_scans(6, size=(64, 64))
    for k, scan in enumerate(scans):
        folder = tmp_path / "cirrus_3" / ("train" if k < 4 else "test") / "Image"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.round(scan.image * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"bscan_{k}.png")
    assert found(tmp_path / "cirrus_3", "warning", "train and test may share a person")
    assert found(tmp_path / "cirrus_3", "note", "no masks")
    assert found(tmp_path / "cirrus_3", "note", "spacing")
    assert not found(tmp_path / "cirrus_3", "error", "")


def test_mixed_sizes_and_unused_pictures_are_noted(sound):
    image, mask = (sound / "test" / kind / "phantom006_bscan02.png" for kind in ("Image", "GT"))
    for file in (image, mask):
        Image.open(file).crop((0, 0, 64, 50)).save(file)
    Image.open(image).save(sound / "overview.png")
    assert found(sound, "note", "50 x 64, 64 x 64")
    (note,) = found(sound, "note", "not used")
    assert note.where == (str(sound / "overview.png"),)


def test_masks_without_image_and_two_masks(sound):
    folder = sound / "train" / "GT"
    Image.open(folder / "phantom001_bscan01.png").save(folder / "phantom001_bscan01_mask.tif")
    assert found(sound, "error", "2 masks match one image")


def test_what_cannot_be_listed_is_a_problem_and_a_wrong_path_an_error(sound, tmp_path):
    (sound / "dataset.toml").write_text("spacing_mm = 7")
    (problem,) = check_dataset(sound)
    assert problem.severity == "error"
    assert "spacing_mm" in str(problem)
    with pytest.raises(ScanError, match="does not exist"):
        check_dataset(tmp_path / "nowhere")


def test_duke_has_no_errors(shared_data):
    problems = check_dataset(shared_data / "duke_dme")
    assert not [problem for problem in problems if problem.severity != "note"]
    (note,) = [problem for problem in problems if "empty" in problem.what]
    assert note.what.startswith("24 of 66")
