"""The package: what importing costs, what is public, who imports whom."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import medream as md

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("tensorflow", "keras")
LIGHT_ROOMS = (
    "medream", "medream.scan", "medream.readers", "medream.adapters", "medream.phantom", "medream.split",
    "medream.metrics", "medream.figures", "medream.record", "medream.cli", "medream.dream",
)  # fmt: skip


def modules_after(code):
    command = f"import sys\n{code}\nprint(*[m for m in {HEAVY} if m in sys.modules])"
    return subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    ).stdout.split()


@pytest.mark.parametrize("room", LIGHT_ROOMS)
def test_importing_leaves_tensorflow_alone(room):
    assert modules_after(f"import {room}") == []


def test_help_loads_no_tensorflow_and_no_numpy():
    code = "sys.argv = ['medream', '--help']\nfrom medream.cli import main\ntry: main()\nexcept SystemExit: pass"
    assert modules_after(code + "\nassert 'numpy' not in sys.modules")[-1] != "tensorflow"


def test_a_saved_result_opens_without_tensorflow():
    assert (
        modules_after("import medream as md\nmd.load_result, md.figures.triptych, md.DreamConfig")
        == []
    )


def test_every_public_name_exists_and_is_documented():
    for name in md.__all__:
        if name != "__version__":
            assert getattr(md, name).__doc__, name
    assert md.__version__ == metadata.version("medream")
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = md.nothing_such


def test_dream_is_callable_whatever_was_imported_first():
    check = "assert callable(md.dream)"
    code = f"import medream as md, medream.dream.config\n{check}\nmd.load_result\n{check}"
    assert modules_after(code) == []


def test_no_address_of_a_registry_among_the_pins():
    lines = (ROOT / "constraints.txt").read_text().split("\n")
    assert all(
        "==" in line and "/" not in line for line in lines if line and not line.startswith("#")
    )
