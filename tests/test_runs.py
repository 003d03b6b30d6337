"""A folder of runs."""

import json

import pytest
from typer.testing import CliRunner

from medream.cli import app
from medream.errors import OutputError
from medream.record import RunRecord
from medream.runs import best_run, find_runs, numbers_of, runs_table


@pytest.fixture
def folder(tmp_path):
    for name, started, results in (
        ("a/unet2", 10.0, {"validation_dice": 0.5, "best_epoch": 3}),
        ("a/unet3", 20.0, {"validation_dice": 0.7, "best_epoch": 9}),
        ("b", 5.0, {}),
        ("c", 30.0, {"pooled": [{"dice": 0.4, "class": "fluid"}]}),
    ):
        (tmp_path / name).mkdir(parents=True)
        command = "evaluate" if name == "c" else "train"
        RunRecord(command, {"x": 1}, seed=0, started=started).write(tmp_path / name, **results)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "run.json").write_text("{}")
    return tmp_path


def test_runs_are_found_at_any_depth_the_oldest_first(folder):
    table = runs_table(find_runs(folder), folder)
    assert table.run.tolist() == ["b", "a/unet2", "a/unet3", "c"]
    assert table.finished.tolist() == [False, True, True, True]
    assert table["pooled.dice"].tolist()[-1] == 0.4
    assert len(find_runs(folder, "train")) == 3


def test_best_is_the_largest_or_the_smallest(folder):
    assert best_run(folder)[0].parent.name == "unet3"
    assert best_run(folder, "best_epoch", smallest=True)[2] == 3


def test_refusals(folder, tmp_path):
    with pytest.raises(OutputError, match="validation_dice"):
        best_run(folder, "validation_dise")
    with pytest.raises(OutputError) as caught:
        best_run(folder, "nonsense")
    assert str(caught.value).endswith("The names are: best_epoch, validation_dice, pooled.dice.")
    with pytest.raises(OutputError, match="no folder"):
        find_runs(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(OutputError, match="no run"):
        find_runs(tmp_path / "empty")


def test_numbers_are_numbers_only():
    record = RunRecord("x", {}, results={"a": True, "b": "text", "c": None, "d": [1, 2], "e": 2})
    assert numbers_of(record) == {"e": 2.0}


def test_commands(folder):
    run = CliRunner().invoke
    listed = run(app, ["runs", "list", str(folder)])
    assert listed.exit_code == 0
    assert "unfinished" in listed.output
    rows = json.loads(run(app, ["runs", "list", str(folder), "--json"]).output)
    assert rows[2]["validation_dice"] == 0.7
    assert run(app, ["runs", "best", str(folder)]).output.splitlines()[-1].endswith("unet3")
    shown = run(app, ["runs", "show", str(folder / "c")])
    assert "evaluate" in shown.output
    assert "medream rerun" in shown.output
