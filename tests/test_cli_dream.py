"""`medream dream` as a user runs it: every objective, many dreams, stop and go on, films."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from test_cli import run

import medream as md

QUICK = ("--steps", 2, "--octaves", "none", "--no-control")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two untrained networks, scans, a mask and a region."""
    folder = tmp_path_factory.mktemp("dreams")
    for seed, name in enumerate(("net", "other")):
        md.build_unet(md.UNetConfig(levels=1, base_filters=4), seed=seed).save(
            folder / f"{name}.keras"
        )
    (folder / "scans").mkdir()
    for scan, name in zip(md.phantom_scans(2, size=(32, 40)), "ab", strict=True):
        Image.fromarray(np.uint8(255 * scan.image)).save(folder / "scans" / f"{name}.png")
    mask = np.zeros((32, 40), "uint8")
    mask[8:20, 10:30] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    return folder


def dream(folder, out, *more, code=0, scan="scans/a.png", quick=QUICK):
    return run("dream", folder / "net.keras", folder / scan, *quick, *more, "--out", out, code=code)


def contents(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != "run.json"
    }


LAYER = ("--layer", "dec1_conv2")
OBJECTIVES = {
    "dec1_conv2 + 0.5 mid_conv2": (*LAYER, "--layer", "mid_conv2=0.5"),
    "energy of dec1_conv2": (*LAYER, "--objective", "energy"),
    "dec1_conv2[3]": (*LAYER, "--channel", 3),
    "mid_conv2[2] at (4, 7)": ("--layer", "mid_conv2", "--channel", 2, "--neuron", "4,7"),
    "class 1 in rows 4 to 9, columns 6 to 19": ("--class", 1, "--in", "4,6,10,20"),
    "class 1 in reference": ("--class", 1, "--in", "reference", "--reference", "{mask}"),
    "mid_conv2 as on another scan": ("--layer", "mid_conv2", "--match", "{b}"),
    "dec1_conv2 - functional: dec1_conv2": (*LAYER, "--against", "{other}"),
    "dec1_conv2 - 0.1 total variation - 2 L2": (
        *LAYER, "--penalty", "total_variation=0.1", "--penalty", "l2=2", "--region", "{mask}",
        "--optimizer", "adam", "--gradient", "none", "--transform", "jitter=2", "--transform", "blur",
        "--parametrization", "fourier,decay=0.5", "--bounds", "reflect", "--tile", 32,
    ),
}  # fmt: skip


@pytest.mark.parametrize("label", OBJECTIVES)
def test_every_objective_is_recorded_and_repeats_to_the_byte(folder, tmp_path, label):
    paths = {
        "mask": folder / "mask.png",
        "b": folder / "scans/b.png",
        "other": folder / "other.keras",
    }
    dream(folder, tmp_path / "one", *(str(word).format(**paths) for word in OBJECTIVES[label]))
    made = md.load_result(tmp_path / "one")
    if "--against" in OBJECTIVES[label]:
        assert made.objective_spec["of"][1]["model"] == str(folder / "other.keras")
    else:
        assert made.objective == label
    assert not np.array_equal(made.dream, made.original)
    if "--region" in OBJECTIVES[label]:
        outside = np.array(Image.open(folder / "mask.png")) == 0
        np.testing.assert_array_equal(made.dream[outside], made.original[outside])
        assert made.config.optimizer == "adam"
        assert [str(t) for t in made.config.transforms] == ["jitter=2", "blur=1.0"]
        assert made.config.parametrization == {"kind": "fourier", "decay": 0.5}
    run("rerun", tmp_path / "one" / "run.json", "--out", tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize(
    "options",
    [
        (), (*LAYER, "--channel", 0, "--channels", "all"), (*LAYER, "--channel", 0, "--objective", "energy"),
        (*LAYER, "--neuron", "1,2"), (*LAYER, "--layer", "mid_conv2", "--channel", 0), (*LAYER, *LAYER),
        (*LAYER, "--in", "reference"), ("--class", 1, "--in", "left"), ("--class", 1, "--in", "9,9,3,3"),
        ("--class", 1, "--match", "x.png"), (*LAYER, "--match-bscan", 1),
        ("--class", 1, "--against", "x"), (*LAYER, "--penalty", "tv=1"), (*LAYER, "--penalty", "l1"),
        (*LAYER, "--penalty", "l1=-1"), (*LAYER, "--channels", "3-1"), (*LAYER, "--channels", "1,1"),
        (*LAYER, "--seeds", "a"), (*LAYER, "--seeds", "0,1", "--seed", 3), (*LAYER, "--seeds", "0,1"),
        (*LAYER, "--seeds", "0,1", "--channels", "all"), (*LAYER, "--momentum", 0.5),
        (*LAYER, "--overlap", 4), (*LAYER, "--batch", 2),
        (*LAYER, "--diversity", 1), (*LAYER, "--resume", "--overwrite"), (*LAYER, "--transform", "shake=3"),
        (*LAYER, "--parametrization", "wavelet"), (*LAYER, "--step-size", -1), (*LAYER, "--bscan", "x"),
        (*LAYER, "--every", 3),
    ],
)  # fmt: skip
def test_what_makes_no_sense_together_is_a_usage_error(folder, tmp_path, options):
    dream(folder, tmp_path / "out", *options, code=2)
    assert not (tmp_path / "out").exists()


def test_a_refusal_names_the_option(folder, tmp_path):
    for options, words in {
        ("--steps", -3): "'--steps'", ("--every", 50): "--every 50 is beyond --steps 2",
    }.items():  # fmt: skip
        words_of = [
            sys.executable,
            "-m",
            "medream.cli",
            "dream",
            folder / "net.keras",
            "x.png",
            *LAYER,
        ]
        command = [*words_of, *QUICK, *options, "--out", tmp_path / "out"]
        said = subprocess.run([*map(str, command)], capture_output=True, text=True)
        assert (said.returncode, words in " ".join(said.stderr.replace("│", " ").split())) == (
            2,
            True,
        )
    said = dream(folder, tmp_path / "out", *LAYER, "--bscan", 1, code=1)
    assert "holds 1 B-scan; --bscan 1 is none of them: give 0." in said


def test_a_whole_layer(folder, tmp_path):
    out = tmp_path / "channels"
    dream(folder, out, *LAYER, "--channels", "all", "--batch", 3)
    names = [f"dec1_conv2_{k}" for k in range(4)]
    assert sorted(p.name for p in out.iterdir()) == [
        "atlas.pdf", "atlas.png", "channels.csv", *names, "run.json"
    ]  # fmt: skip
    rows = (out / "channels.csv").read_text().splitlines()
    assert rows[0] == "channel,folder,objective,start,end,gain,control_gain,dead"
    for k, (row, (label, made)) in enumerate(zip(rows[1:], md.load_results(out), strict=True)):
        assert (label, made.objective) == (str(k), f"dec1_conv2[{k}]")
        start, end, gain = map(float, row.split(",")[3:6])
        assert (start, end) == (pytest.approx(made.history[0]), pytest.approx(made.history[-1]))
        assert gain == pytest.approx(end - start, abs=1e-6)
    model, (scan,) = md.load_model(folder / "net.keras"), md.read_scans(folder / "scans/a.png")
    wanted = md.channel("dec1_conv2", 3)
    alone = md.dream(model, scan, wanted, steps=2, octaves=None, control=False)
    np.testing.assert_allclose(made.dream, alone.dream, atol=1e-6)

    # One of them again, and all of them.
    run("rerun", out / "dec1_conv2_1" / "run.json", "--out", tmp_path / "one")
    assert contents(tmp_path / "one") == contents(out / "dec1_conv2_1")
    run("rerun", out, "--out", tmp_path / "all")
    assert contents(tmp_path / "all") == contents(out)

    # Nothing is lost by accident, and what is finished is not dreamt again.
    assert "--resume" in dream(folder, out, *LAYER, "--channels", "all", "--batch", 3, code=1)
    made_at = (out / "dec1_conv2_0" / "dream.npz").stat().st_mtime_ns
    dream(folder, out, *LAYER, "--channels", "all", "--batch", 3, "--resume")
    assert (out / "dec1_conv2_0" / "dream.npz").stat().st_mtime_ns == made_at
    said = dream(
        folder,
        out,
        *LAYER,
        "--channels",
        "all",
        "--batch",
        3,
        "--resume",
        "--step-size",
        0.02,
        code=1,
    )
    assert "step_size (0.01, now 0.02)" in said
    assert "no channel 4" in dream(folder, tmp_path / "wrong", *LAYER, "--channels", "0,4", code=1)
    dream(folder, out, *LAYER, "--channels", "2", "--overwrite")
    assert [p.name for p in out.iterdir() if p.is_dir()] == ["dec1_conv2_2"]


def test_many_scans_and_many_seeds(folder, tmp_path):
    dream(folder, tmp_path / "scans", *LAYER, scan="scans")
    assert [label for label, _ in md.load_results(tmp_path / "scans")] == ["a", "b"]
    quick = ("--steps", 2, "--octaves", "none", "--transform", "noise=0.1", "--no-control")
    dream(folder, tmp_path / "seeds", *LAYER, "--seeds", "0,3", quick=quick)
    zero, three = (made for _, made in md.load_results(tmp_path / "seeds"))
    assert (zero.config.seed, three.config.seed) == (0, 3)
    assert not np.array_equal(zero.dream, three.dream)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A data set of which one scan has no fluid, and the number of its scans."""
    from medream.phantom import save_phantom

    root = tmp_path_factory.mktemp("labelled") / "set"
    scans = md.phantom_scans(12, seed=3, size=(32, 40))
    scans[1] = replace(scans[1], mask=np.zeros_like(scans[1].mask))
    save_phantom(scans, root)
    return root, sum(bool((scan.mask == 1).any()) for scan in scans)


def test_scans_without_the_class_are_left_out_by_name(folder, labelled, tmp_path):
    root, count = labelled
    command = ("dream", folder / "net.keras", root, *QUICK, "--class", 1, "--in", "reference")
    out = tmp_path / "out"
    run(*command, "--out", out)
    record = json.loads((out / "run.json").read_text())
    made = [label for label, _ in md.load_results(out)]
    assert (len(made), len(record["results"]["skipped"])) == (count, 12 - count)
    assert not {*made} & {*record["results"]["skipped"]}
    assert all("no pixel of class 1" in why for why in record["results"]["skipped"].values())
    assert not json.loads((out / made[0] / "run.json").read_text())["results"]
    run("rerun", out, "--out", tmp_path / "again")
    assert contents(tmp_path / "again") == contents(out)


def test_a_class_that_no_scan_has_leaves_no_folder(folder, tmp_path):
    words = ("--class", 1, "--in", "reference")
    said = dream(folder, tmp_path / "many", *words, scan="scans", code=1)
    assert "None of the 2 scans" in said
    assert "a.png" in said
    said = dream(folder, tmp_path / "one", *words, code=1)
    assert "a.png" in said
    said = dream(folder, tmp_path / "one", "--class", 1, "--layer", "logit", code=1)
    assert "that --layer chooses" in said
    # What is found out only on the way leaves nothing either.
    dream(folder, tmp_path / "late", "--layer", "nowhere", scan="scans", code=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "way", [(), ("--optimizer", "adam", "--parametrization", "fourier", "--transform", "jitter=2")]
)
def test_two_and_three_steps_are_five(folder, tmp_path, way):
    two = ("--octaves", "-1,0", "--octave-steps", 1, "--every", 2, *LAYER, *way)
    dream(folder, tmp_path / "five", *two, quick=("--steps", 5))
    dream(folder, tmp_path / "parts", *two, quick=("--steps", 2))
    other = dream(folder, tmp_path / "parts", *two, quick=("--steps", 5), code=1)
    assert "steps (2, now 5)" in other
    assert "--overwrite" in other
    wrong = (*two, "--resume", "--step-size", 0.02)
    assert "step_size" in dream(folder, tmp_path / "parts", *wrong, quick=("--steps", 5), code=1)
    dream(folder, tmp_path / "parts", *two, "--resume", quick=("--steps", 5))
    assert contents(tmp_path / "parts") == contents(tmp_path / "five")


def test_ctrl_c_keeps_what_is_there(folder, tmp_path, monkeypatch):
    from medream.dream import engine

    whole, out = engine.dream, tmp_path / "out"

    def interrupted(*arguments, on_step=None, **settings):
        def step(number, *rest):
            if number == 2:
                os.kill(os.getpid(), signal.SIGINT)
            return on_step(number, *rest)

        return whole(*arguments, on_step=on_step and step, **settings)

    more = (*LAYER, "--optimizer", "momentum", "--octaves", "0", "--octave-steps", 1)
    monkeypatch.setattr(engine, "dream", interrupted)
    said = dream(folder, out, *more, quick=("--steps", 5), code=130)
    assert "after 2 of 5 steps" in said
    assert "--resume" in said
    kept = md.load_result(out)
    assert (len(kept.history), kept.enhanced, kept.control) == (3, None, None)
    monkeypatch.setattr(engine, "dream", whole)
    dream(folder, out, *more, "--resume", quick=("--steps", 5))
    dream(folder, tmp_path / "whole", *more, quick=("--steps", 5))
    assert contents(out) == contents(tmp_path / "whole")
    assert "stopped_after" not in json.loads((out / "run.json").read_text())["results"]


def test_a_kill_loses_one_batch(folder, tmp_path):
    def command(out, *more):
        return [
            sys.executable, "-m", "medream.cli", "dream", str(folder / "net.keras"),
            str(folder / "scans/a.png"), *LAYER, *map(str, QUICK), "--channels", "all", "--batch", "1",
            "--quiet", "--out", str(out), *more,
        ]  # fmt: skip

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(command(killed))
    first = killed / "dec1_conv2_0" / "result.json"
    while not first.exists() and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert first.exists()
    assert not (killed / "atlas.pdf").exists()
    made_at = first.stat().st_mtime_ns
    (killed / ".dec1_conv2_1-partial-x").mkdir(exist_ok=True)  # what a kill may leave
    subprocess.run(command(killed, "--resume"), check=True, capture_output=True)
    assert first.stat().st_mtime_ns == made_at
    subprocess.run(command(whole), check=True, capture_output=True)
    assert contents(killed) == contents(whole)


def test_another_dream_is_not_replaced_by_accident(folder, tmp_path):
    out = tmp_path / "out"
    dream(folder, out, *LAYER)
    dream(folder, out, *LAYER)
    said = dream(folder, out, "--layer", "mid_conv2", code=1)
    assert "objective (dec1_conv2, now mid_conv2)" in said
    assert "--overwrite" in said
    assert md.load_result(out).objective == "dec1_conv2"
    dream(folder, out, "--layer", "mid_conv2", "--overwrite")
    assert md.load_result(out).objective == "mid_conv2"


def test_films_of_a_dream(folder, tmp_path):
    out = tmp_path / "out"
    dream(folder, out, *LAYER, "--every", 1)
    run("figure", out, "--kind", "filmstrip", "--out", tmp_path / "strip.pdf")
    run("figure", out, "--kind", "film", "--fps", 5, "--out", tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 3
    for name in ("film.png", "film"):
        run("figure", out, "--kind", "film", "--out", tmp_path / name, code=2)
        assert not (tmp_path / name).exists()
    run("figure", out, "--kind", "filmstrip", "--fps", 5, "--out", tmp_path / "x.pdf", code=2)
    assert "many dreams" in run(
        "figure", out, "--kind", "atlas", "--out", tmp_path / "x.pdf", code=1
    )
    dream(folder, tmp_path / "none", *LAYER)
    assert "--every" in run(
        "figure", tmp_path / "none", "--kind", "film", "--out", tmp_path / "x.gif", code=1
    )
