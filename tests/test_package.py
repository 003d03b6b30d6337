"""The package: what importing costs, what is public, who imports whom."""

import contextlib
import os
import subprocess
import sys
import types
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


QUIET = """
import medream as md, numpy as np
model = md.build_unet(md.UNetConfig(levels=1, base_filters=2))
md.dream(model, np.full((16, 16), 0.5, "float32"), "dec1_conv2", steps=1, octaves=None)
md.segment(model, np.full((16, 16), 0.5, "float32"))
"""


def test_tensorflow_starts_without_a_word():
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", QUIET], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stderr == ""


@pytest.mark.parametrize("level", ["0", "3"])
def test_the_users_log_level_is_kept(monkeypatch, level):
    import medream.startup

    # Stands for TensorFlow, which is imported already in this process.
    monkeypatch.setitem(sys.modules, "tensorflow", types.ModuleType("tensorflow"))
    silenced = []

    @contextlib.contextmanager
    def no_stderr():
        silenced.append(True)
        yield

    monkeypatch.setattr(medream.startup, "_no_stderr", no_stderr)
    monkeypatch.setattr(medream.startup, "sys", types.SimpleNamespace(modules={}))
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
    medream.startup.load_tensorflow()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == level
    assert silenced == ([True] if level == "3" else [])


def test_no_address_of_a_registry_among_the_pins():
    lines = (ROOT / "constraints.txt").read_text().split("\n")
    assert all(
        "==" in line and "/" not in line for line in lines if line and not line.startswith("#")
    )
