"""The panel: what it says, and that it says no more than it measured."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import medream as md
from medream.cli import app
from medream.cli.evidence import _evenly
from medream.evidence.findings import Draft, Finding, settled
from medream.evidence.panel import Panel
from medream.phantom import phantom_scans, save_phantom


def test_tests_are_corrected_for_their_number():
    drafts = [Draft("a", "{p}", "x", 0.02, True), Draft("b", "{p}", "x", 0.03, True)]
    found = settled(drafts)
    assert [each.sentence for each in found] == ["p = 0.040", "p = 0.040"]
    assert [each.present for each in found] == [True, True]
    found = settled([*drafts, Draft("c", "{p}", "x", 0.9, True)])
    assert [each.present for each in found] == [False, False, False]


def test_without_a_test_nothing_is_called_shown():
    (found,) = settled([Draft("a", "lower ({p})", "x", None, True)])
    assert (found.present, found.verdict) == (False, "Not tested")
    assert found.sentence == "lower (no test: too few subjects)"


def test_a_significant_difference_in_the_wrong_direction_is_not_shown():
    (found,) = settled([Draft("a", "{p}", "x", 0.001, False)])
    assert found.present is False


def test_what_only_describes_is_neither():
    (found,) = settled([Draft("a", "3 units", "x")])
    assert found.present is None


def test_summary_says_what_is_not_shown_and_what_failed():
    panel = Panel(
        "unet", "mid", 2, 1, (Finding("Control", "SSIM 0.1", "right", False),), {}, {}, {}, {"Field": "no"}
    )  # fmt: skip
    summary = panel.summary()
    assert "(2 scans of 1 subject)" in summary
    assert "**Control. Not shown:** SSIM 0.1" in summary
    assert "**Not shown by this:** right" in summary
    assert "**Field. Not measured:** no" in summary


def test_a_limit_takes_from_all_subjects_alike():
    subjects = list("aaaaabb")
    assert _evenly(subjects, None) == list(range(7))
    assert _evenly(subjects, 2) == [2, 6]
    assert [subjects[k] for k in _evenly(subjects, 4)] == list("aabb")
    assert len(_evenly(subjects, 6)) == 6
    assert _evenly(subjects, 99) == list(range(7))


@pytest.mark.slow
def test_command_writes_everything_and_repeats(tmp_path):
    save_phantom(phantom_scans(6, seed=1, size=(48, 64), bscans_per_subject=1), tmp_path / "scans")
    model = md.build_unet(md.UNetConfig(levels=1, base_filters=2))
    model.save(tmp_path / "unet.keras")
    out = tmp_path / "out"
    arguments = ["--layer", "dec1_conv2", "--steps", "2", "--stages", "1", "--rounds", "19",
                 "--split", "all", "--limit", "3", "--quiet",
                 "--beside", str(tmp_path / "unet.keras")]  # fmt: skip
    given = [str(tmp_path / "unet.keras"), str(tmp_path / "scans"), "--out", str(out), *arguments]
    ran = CliRunner().invoke(app, ["evidence", *given])
    assert ran.exit_code == 0, ran.output
    assert ran.output.splitlines()[-1] == str(out)
    topics = [
        each["topic"] for each in json.loads((out / "run.json").read_text())["results"]["findings"]
    ]
    assert topics[:2] == ["Control", "Localisation beyond the control"]
    assert {"Response", "Receptive field", "Units", "Dissection"} <= set(topics)
    assert "Deletion and insertion" in topics
    assert "Adebayo" in (out / "methods.txt").read_text()
    assert "Not shown by this" in (out / "report.html").read_text()
    captions = (out / "caption.txt").read_text()
    for name in ("controls", "control_panel", "localization", "response", "dissection", "layers",
                 "activation", "field", "units"):  # fmt: skip
        assert f"{name}.pdf: " in captions
        assert (out / "figures" / f"{name}.pdf").stat().st_size > 1000
    again = tmp_path / "again"
    ran = CliRunner().invoke(app, ["rerun", str(out), "--out", str(again), "--quiet"])
    assert ran.exit_code == 0, ran.output
    for table in sorted((out / "tables").iterdir()):
        assert table.read_bytes() == (again / "tables" / table.name).read_bytes(), table.name
    assert np.array_equal((out / "summary.md").read_bytes(), (again / "summary.md").read_bytes())
