"""The planted-cue benchmark on one trained network."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "planted_cues.py"


@pytest.mark.slow
def test_the_cue_of_a_trained_network_is_named(tmp_path):
    command = [sys.executable, BENCHMARK, "--cues", "darkness", "--seeds", "100", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "analysed" / "darkness-100.json").read_text())
    assert found["told"] >= 0.9
    assert found["named"]["edits"] == "darkness"
    assert found["named"]["edits, two cues together"] == "darkness"
    assert found["named"]["edits, re-drawn weights"] is None
    assert "1 of 1" in done.stdout
    assert done.stdout.splitlines()[-1] == str(tmp_path / "report.txt")
