"""The command line as a user runs it: the main job, and every kind of bad input."""

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import medream as md
from medream.cli import main
from medream.phantom import save_phantom

TRAIN = ("--epochs", "1", "--base-filters", "2", "--image-size", "32", "32", "--batch-size", "2")


def run(*arguments, code=0, listed=False, columns=200, stdout=io.StringIO):
    """Run a command as the shell would, in this process to spare TensorFlow's start; return its output."""
    out, err = stdout(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as left,
    ):
        patch.setattr(sys, "argv", ["medream", *map(str, arguments)])
        patch.setenv("COLUMNS", str(columns))
        main()
        sys.exit(0)
    assert (left.value.code or 0) == code, out.getvalue() + err.getvalue()
    if code == 1 and not listed:
        # One paragraph; warnings may stand before it.
        assert err.getvalue().strip().splitlines()[-1].startswith("Error: "), err.getvalue()
    return err.getvalue() if code in (1, 130) and not listed else out.getvalue()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom")
    save_phantom(md.phantom_scans(12, seed=3, size=(48, 64)), folder)
    return folder


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "mine"
    printed = run("train", data, "--levels", 1, "--levels", 2, *TRAIN, "--out", out)
    assert printed.splitlines()[-1] == str(out)
    return out


@pytest.fixture(scope="module")
def scan(data):
    return sorted((data / "test" / "Image").iterdir())[0]


def dream(trained, scan, out, *more, code=0):
    return run("dream", trained / "unet2", scan, "--layer", "dec1_conv2", "--steps", 3, "--octave-steps", 2,
               *more, "--out", out, code=code)  # fmt: skip


def contents(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name != "run.json"}


def test_training_makes_one_folder_per_level(trained):
    assert sorted(p.name for p in trained.iterdir()) == ["run.json", "unet1", "unet2"]
    assert md.load_model(trained / "unet2").name == "unet2"


def test_check_and_show(data, tmp_path):
    assert "0 errors" in run("data", "check", data)
    shutil.copytree(data, tmp_path / "leak")
    copied = tmp_path / "leak"
    one = sorted((copied / "test" / "Image").iterdir())[0]
    for part in ("Image", "GT"):
        shutil.copy(copied / "test" / part / one.name, copied / "train" / part / one.name)
    assert one.name in run("data", "check", copied, "--json", code=1, listed=True)
    assert "phantom" in run("data", "show", data)


def test_evaluation_agrees_with_masks_counted_by_hand(trained, data, tmp_path):
    out = tmp_path / "evaluation"
    printed = run("evaluate", trained / "unet2", data, "--split", "test", "--json", "--out", out)
    pooled = json.loads(printed)["pooled"][0]
    tp = fp = fn = 0
    for scan in md.open_dataset(data, split="test"):
        predicted = np.array(Image.open(out / "predictions" / scan.source.picture)) > 0
        valid = np.ones(scan.shape, bool) if scan.valid is None else scan.valid
        reference = scan.mask > 0
        tp += int((reference & predicted & valid).sum())
        fp += int((~reference & predicted & valid).sum())
        fn += int((reference & ~predicted & valid).sum())
    assert (pooled["tp"], pooled["fp"], pooled["fn"]) == (tp, fp, fn)
    assert len(pd.read_csv(out / "metrics.csv")) == len(list((out / "overlays").iterdir()))
    assert (out / "run.json").exists()


def test_segmentation_of_one_scan(trained, scan, tmp_path):
    run("segment", scan, "--model", trained / "unet2", "--format", "npz", "--out", tmp_path / "seg")
    (mask,) = (tmp_path / "seg" / "predictions").iterdir()
    assert np.array(Image.open(mask)).shape == (48, 64)
    (stored,) = (tmp_path / "seg").glob("*.npz")
    assert np.load(stored)["probability"].dtype == np.float32


@pytest.fixture(scope="module")
def subjects(tmp_path_factory):
    """A folder of two subjects whose B-scans count from 1."""
    folder = tmp_path_factory.mktemp("clinic") / "mixed"
    folder.mkdir()
    picture = Image.fromarray(np.full((32, 40), 90, "uint8"))
    for subject in ("subject01", "subject02"):
        for k in (1, 2, 3):
            picture.save(folder / f"{subject}_bscan{k:02d}.png")
    return folder


def test_a_folder_of_several_subjects_is_several_volumes(trained, subjects, tmp_path):
    nibabel = pytest.importorskip("nibabel")
    out = tmp_path / "seg"
    run("segment", subjects, "--model", trained / "unet2", "--format", "nifti", "--out", out)
    volumes = sorted(out.glob("*.nii.gz"))
    assert [v.name for v in volumes] == [f"subject0{k}_mixed_mask.nii.gz" for k in (1, 2)]
    assert [nibabel.load(v).shape[-1] for v in volumes] == [3, 3]
    areas = pd.read_csv(out / "areas.csv")
    numbers = [f"{s}_mixed_bscan0{k}" for s in ("subject01", "subject02") for k in (1, 2, 3)]
    assert list(areas.scan) == numbers
    # Pictures are called as the files, which count from 1.
    files = sorted(file.name for file in subjects.iterdir())
    for place in ("predictions", "overlays"):
        assert sorted(p.name for p in (out / place).iterdir()) == files
    assert list(areas.picture) == list(areas.file) == files


def test_folders_of_subjects_with_equal_names_lose_no_picture(trained, tmp_path):
    for subject in ("subject1", "subject2"):
        (tmp_path / "in" / subject).mkdir(parents=True)
        for name in ("1.png", "1.bmp"):
            Image.fromarray(np.full((32, 40), 90, "uint8")).save(tmp_path / "in" / subject / name)
    out = tmp_path / "seg"
    run("segment", tmp_path / "in", "--model", trained / "unet2", "--out", out)
    names = ["subject1_1-2.png", "subject1_1.png", "subject2_1-2.png", "subject2_1.png"]
    assert sorted(p.name for p in (out / "predictions").iterdir()) == names
    assert sorted(pd.read_csv(out / "areas.csv").picture) == names


def test_layers_as_table_json_and_drawing(trained, tmp_path):
    assert "dec1_conv2" in run("layers", trained / "unet2")
    rows = {row["name"]: row for row in json.loads(run("layers", trained / "unet2", "--json"))}
    assert rows["mid_conv2"]["stride"] == [4.0, 4.0]
    assert rows["enc1_conv2"]["receptive_field"] == [5, 5]
    printed = run("layers", trained / "unet2", "--diagram", tmp_path / "net.svg")
    assert printed.splitlines()[-1] == str(tmp_path / "net.svg")
    assert "<svg" in (tmp_path / "net.svg").read_text()


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("terminal", [False, True])
def test_the_table_of_layers_is_never_cut(trained, terminal):
    rows = json.loads(run("layers", trained / "unet2", "--json"))
    shown = run(
        "layers", trained / "unet2", columns=50, stdout=Terminal if terminal else io.StringIO
    )
    shown = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert "…" not in shown
    assert all(row["name"] in shown and row["kind"] in shown for row in rows)
    table = shown.splitlines()[:-1]
    if terminal:
        assert max(map(len, table)) <= 50
    else:
        assert max(map(len, table)) > 50  # a row is a line


def test_ctrl_c_says_how_to_go_on(data, trained, scan, tmp_path, monkeypatch):
    import medream.segmentation
    from medream.training import epochs

    dice, calls = epochs.validation_dice, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return dice(*arguments)

    command = ("train", data, "--levels", 1, *TRAIN, "--epochs", 3, "--out", tmp_path / "m")
    monkeypatch.setattr(epochs, "validation_dice", interrupted)
    assert "--resume" in run(*command, code=130)
    assert run(*command, "--resume").splitlines()[-1] == str(tmp_path / "m")
    assert len(pd.read_csv(tmp_path / "m" / "unet1" / "history.csv")) == 3

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(medream.segmentation, "predict", stop)
    out = tmp_path / "segmented"
    said = run("segment", scan, "--model", trained / "unet2", "--out", out, code=130)
    assert "Stopped by Ctrl-C" in said
    assert "--resume" not in said
    assert not out.exists()


def test_a_dream_repeats_to_the_byte(trained, scan, tmp_path):
    printed = dream(trained, scan, tmp_path / "dream")
    assert printed.splitlines()[-1] == str(tmp_path / "dream")
    run("rerun", tmp_path / "dream" / "run.json", "--out", tmp_path / "again")
    assert contents(tmp_path / "dream") == contents(tmp_path / "again")
    result = md.load_result(tmp_path / "dream")
    assert result.predictions.keys() == {"original", "dream", "enhanced"}
    assert result.control is not None


def test_a_dream_from_python_repeats_to_the_byte(trained, scan, tmp_path):
    model = md.load_model(trained / "unet2")
    image = md.read_scans(scan)[0].image
    md.dream(model, image, {"dec1_conv2": 1.0, "mid_conv2": 0.5}, steps=3, octaves=None).save(
        tmp_path / "one"
    )
    run("rerun", tmp_path / "one" / "run.json", "--out", tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_training_repeats_to_the_weight(trained, tmp_path):
    run("rerun", trained / "unet2" / "run.json", "--out", tmp_path / "again")
    first, again = (md.load_model(f / "unet2").get_weights() for f in (trained, tmp_path / "again"))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("suffix", ["pdf", "svg", "png"])
def test_figures_from_a_saved_dream(trained, scan, tmp_path, suffix):
    dream(trained, scan, tmp_path / "dream", "--octaves", "none", "--no-control")
    for kind in ("triptych", "overlay", "grid", "history"):
        run("figure", tmp_path / "dream", "--kind", kind, "--out", tmp_path / f"{kind}.{suffix}")
        assert (tmp_path / f"{kind}.{suffix}").stat().st_size > 1000


def test_transfer_from_the_command_line(trained, data, tmp_path):
    run(
        "train",
        data,
        "--from",
        trained / "unet2",
        "--freeze",
        "enc*",
        *TRAIN,
        "--out",
        tmp_path / "moved",
    )
    record = json.loads((tmp_path / "moved" / "unet2" / "run.json").read_text())
    assert record["settings"]["freeze"] == ["enc*"]


def test_quiet_prints_the_path_only(trained, scan, tmp_path):
    out = tmp_path / "seg"
    done = subprocess.run(
        [sys.executable, "-m", "medream.cli", "segment", str(scan), "--model", str(trained / "unet2"),
         "--quiet", "--out", str(out)], capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(out)
    assert done.stderr == ""


def test_wrong_paths_names_and_files(trained, scan, data, tmp_path):
    out = tmp_path / "out"
    assert "enc1_conv2" in dream(trained, scan, out, "--layer", "enc1_conv22", code=1)
    assert "absent.png" in dream(trained, tmp_path / "absent.png", out, code=1)
    (tmp_path / "empty.png").write_bytes(b"")
    assert "empty" in dream(trained, tmp_path / "empty.png", out, code=1)
    small = tmp_path / "small.png"
    Image.fromarray(np.zeros((4, 4), "uint8")).save(small)
    assert "must be the same" in dream(trained, scan, out, "--reference", small, code=1)
    assert "no model at" in run("evaluate", tmp_path / "nothing", data, "--out", out, code=1)
    assert "unet1, unet2" in run("layers", trained, code=1)
    assert "Error" in run("layers", scan, code=1)
    assert "Error" in run("train", tmp_path, *TRAIN, "--out", out, code=1)
    assert "not empty" in dream(trained, scan, data, code=1)
    assert "already holds a model" in run(
        "train", data, "--levels", 2, *TRAIN, "--out", trained, code=1
    )
    assert "holds no dream" in run("figure", data, "--out", tmp_path / "f.pdf", code=1)
    assert "smaller than 64" in run("train", data, "--levels", 6, *TRAIN, "--out", out, code=1)
    assert "Cannot write" in dream(trained, scan, small / "below", code=1)
    assert not list(out.rglob("*.*"))
    assert not [p for p in tmp_path.iterdir() if "partial" in p.name]


def test_usage_errors_exit_with_two(trained, scan, tmp_path):
    run("dream", trained / "unet2", scan, "--out", tmp_path / "out", code=2)
    dream(trained, scan, tmp_path / "out", "--octaves", "many", code=2)
    dream(trained, scan, tmp_path / "out", "--layer", "mid_conv1=heavy", code=2)
    run("dreams", code=2)
    for wrong in (
        ("overlay", "--control"), ("overlay", "--difference"), ("history", "--reference", scan),
        ("triptych", "--limit", 0.1), ("tryptich",),
    ):  # fmt: skip
        run("figure", tmp_path, "--kind", *wrong, "--out", tmp_path / "f.png", code=2)
        assert not (tmp_path / "f.png").exists()


def test_every_command_has_help_with_an_example():
    from typer.main import get_command

    from medream.cli import app

    commands = get_command(app).commands
    inner = [*commands.pop("data").commands.values(), *commands.pop("runs").commands.values()]
    inner += commands["evidence"].commands.values()
    for command in [*commands.values(), *inner]:
        assert "xample" in command.help, command.name
        for option in command.params:
            assert option.name == "help" or getattr(option, "help", None), (
                command.name,
                option.name,
            )
