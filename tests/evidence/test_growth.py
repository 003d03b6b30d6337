"""Feature curves of a data set, on a network set by hand to look for dark; and their command."""

import json

import keras
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import medream as md
from medream.cli import app
from medream.errors import ConfigError
from medream.evidence.growth import Growth, grow
from medream.phantom import phantom_scans, save_phantom


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """Lesion wherever the mean of 5 x 5 pixels is below 0.28."""
    image = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(1, 5, padding="same", name="logits")(image)
    model = keras.Model(image, keras.layers.Activation("sigmoid", name="probabilities")(x))
    model.get_layer("logits").set_weights([np.full((5, 5, 1, 1), -60 / 25), np.array([60 * 0.28])])
    return model


def test_what_looks_for_dark_grows_darker(model):
    scans = phantom_scans(4, seed=2, size=(96, 96), bscans_per_subject=1)
    full = md.Scan(scans[0].image, np.ones((96, 96), np.uint8), source=scans[0].source)
    found = grow(model, [*scans, full], seeds=(0,), size=(5, 5), steps=20, every=10)
    assert (found.scans, found.subjects) == (4, 4)
    (why,) = found.left_out.values()
    assert "free of lesions" in why
    moved = found.moved[found.moved.region == "fixed"].set_index("feature")
    assert moved.high["intensity"] < 0  # of the interval: down
    assert "area" not in moved.index  # the region that is ascended stays the same
    means = found.means.set_index(["network", "region", "feature", "step"])["mean"]
    assert means["trained", "fixed", "intensity", 20] < means["trained", "fixed", "intensity", 0]
    assert found.unit.startswith("standard deviations between the")


def test_summary_says_what_moved_and_what_did_not():
    moved = pd.DataFrame(
        [("fixed", "intensity", -2.0, -2.5, -1.5, "moved"), ("fixed", "contrast", 0.1, -0.1, 0.2, "did not move"),
         ("predicted", "area", 9.0, 8.0, 10.0, "moved")],
        columns=["region", "feature", "moved", "low", "high", "verdict"],
    )  # fmt: skip
    empty = pd.DataFrame()
    said = Growth("unet", 1, empty, empty, moved, "spreads", 3, 2, {"b": "Too small."}).summary()
    assert "**Moved:** intensity -2.00 [-2.50, -1.50]." in said
    assert "**Did not move:** contrast +0.10 [-0.10, +0.20]." in said
    assert "**Moved:** area +9.00" in said.partition("Where the network sees")[2]
    assert "Left out, 1 scan: b. Too small." in said
    assert "**Not shown by this:**" in said
    none = Growth("unet", 1, empty, empty, moved[1:2], "spreads", 3, 2, {}).summary()
    assert "nothing was shown to move" in none


def test_refusals(model):
    scans = phantom_scans(2, seed=2, size=(48, 48))
    with pytest.raises(ConfigError, match="no class 2"):
        grow(model, scans, 2)
    with pytest.raises(ConfigError, match="None of the 2 scans has a place"):
        grow(model, scans, size=(99, 99))


@pytest.mark.slow
def test_command_writes_everything_and_repeats(model, tmp_path):
    save_phantom(phantom_scans(4, seed=1, size=(96, 96), bscans_per_subject=1), tmp_path / "scans")
    model.save(tmp_path / "dark.keras")
    out = tmp_path / "out"
    given = ["evidence", "curves", str(tmp_path / "dark.keras"), str(tmp_path / "scans"), "--out", str(out),
             "--split", "all", "--seeds", "1", "--size", "5", "5", "--steps", "4", "--every", "2",
             "--quiet"]  # fmt: skip
    ran = CliRunner().invoke(app, given)
    assert ran.exit_code == 0, ran.output
    assert ran.output.splitlines()[-1] == str(out)
    record = json.loads((out / "run.json").read_text())
    assert record["command"] == "evidence curves"
    assert {row["feature"] for row in record["results"]["movements"]} >= {"intensity", "depth"}
    assert "fixed.pdf: Features of" in (out / "caption.txt").read_text()
    assert "an elliptical region of 5 x 5 pixels" in (out / "methods.txt").read_text()
    assert (out / "figures" / "fixed.pdf").stat().st_size > 1000
    again = tmp_path / "again"
    ran = CliRunner().invoke(app, ["rerun", str(out), "--out", str(again), "--quiet"])
    assert ran.exit_code == 0, ran.output
    for table in sorted((out / "tables").iterdir()):
        assert table.read_bytes() == (again / "tables" / table.name).read_bytes(), table.name


def test_group_takes_the_panel_without_its_name():
    ran = CliRunner().invoke(app, ["evidence", "--help"])
    assert "panel" in ran.output
    assert "curves" in ran.output
    ran = CliRunner().invoke(app, ["evidence", "model", "scans"])
    assert ran.exit_code == 2
    assert "--layer" in ran.output
