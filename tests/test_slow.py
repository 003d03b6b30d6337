"""What takes minutes: the whole demo, and disks that fill up in the middle of the work."""

import json
import os
import re
import resource
import subprocess
import sys

import pandas as pd
import pytest

import medream as md
from medream.demo import LEVELS, demo
from medream.phantom import save_phantom

pytestmark = pytest.mark.slow


def test_demo_writes_a_report_that_stands_alone(tmp_path):
    report = demo(tmp_path / "demo")
    out = report.parent
    page = report.read_text()
    assert not re.findall(r'(?:src|href)\s*=\s*"(?!data:|#)', page)
    assert "<script" not in page
    for name in ("comparison", *(f"triptych_unet{n}" for n in LEVELS)):
        for suffix in ("pdf", "png"):
            assert (out / f"{name}.{suffix}").stat().st_size > 10_000
    table = pd.read_csv(out / "metrics.csv")
    assert set(table.file) & set(re.findall(r"dreamt on (\S+?):", page))
    assert "lesion_scans" not in page
    assert sorted(table.levels.unique()) == list(LEVELS)
    test = {s.subject_id for s in md.open_dataset(out / "data", split="test").sources}
    assert set(table.subject_id) == test
    for levels in LEVELS:
        record = json.loads((out / f"unet{levels}" / "run.json").read_text())
        assert not test & {s for part in record["results"]["subjects"].values() for s in part}
        assert md.load_result(out / "dreams" / f"unet{levels}").control is not None
    # All-background scores 0; the original project's networks scored below 0.5 on their scans.
    dice = json.loads((out / "run.json").read_text())["results"]["dice"]
    assert min(dice.values()) > 0.4
    assert max(dice.values()) > 0.6


def limited(*arguments, limit):
    """Run a command that may write no file beyond `limit` bytes, as on a full disk."""
    return subprocess.run(
        [sys.executable, "-m", "medream.cli", *map(str, arguments)],
        capture_output=True, text=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip


def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    data, runs = tmp_path / "data", tmp_path / "runs"
    save_phantom(md.phantom_scans(8, size=(48, 64)), data)
    train = ("train", data, "--levels", 2, "--epochs", 1, "--base-filters", 2, "--image-size", 32, 32)
    assert limited(*train, "--out", runs, limit=10**9).returncode == 0
    scan = next((data / "test" / "Image").iterdir())
    dream = ("dream", runs / "unet2", scan, "--layer", "dec1_conv2", "--steps", 2, "--octaves", "none")
    for command, out in ((dream, tmp_path / "dream"), (train, tmp_path / "other")):
        done = limited(*command, "--out", out, limit=2_000)
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        assert "Error: " in done.stderr
    assert not (tmp_path / "dream").exists()
    assert not list(tmp_path.rglob("*partial*"))
    assert not (tmp_path / "other" / "run.json").exists()
