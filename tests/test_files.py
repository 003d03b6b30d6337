"""Writing without halves, and run records."""

import json

import pytest

from medream.errors import OutputError
from medream.files import atomic_file, claim_folder, result_folder, write_json
from medream.record import RunRecord, read_record


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_result_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), result_folder(tmp_path / "out", "dream") as folder:
        (folder / "half.txt").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_only_results_of_the_same_command_are_replaced(tmp_path):
    out = tmp_path / "out"
    for text in ("first", "second"):
        with result_folder(out, "dream") as folder:
            (folder / f"{text}.txt").write_text(text)
            RunRecord("dream", {}).write(folder)
    assert sorted(p.name for p in out.iterdir()) == ["run.json", "second.txt"]
    for make in (
        lambda: claim_folder(out, "train"),
        lambda: result_folder(out, "train").__enter__(),
    ):
        with pytest.raises(OutputError, match="not empty"):
            make()
    assert (out / "second.txt").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        claim_folder(tmp_path / "file", "demo")


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match="Cannot write"),
        result_folder(tmp_path / "file" / "x", "dream"),
    ):
        pass


def test_records_survive_and_damage_is_told(tmp_path):
    path = RunRecord("dream", {"steps": 3}, seed=7).write(tmp_path, dice=0.5)
    record = read_record(tmp_path)
    assert (record.command, record.settings, record.seed) == ("dream", {"steps": 3}, 7)
    assert record.results == {"dice": 0.5}
    assert record.versions["tensorflow"]
    assert record.seconds >= 0
    path.write_text("{")
    with pytest.raises(OutputError, match="not valid JSON"):
        read_record(path)
    path.write_text('{"command": "dream", "unknown": 1}')
    with pytest.raises(OutputError, match="not a medream run"):
        read_record(path)
    with pytest.raises(OutputError, match="Cannot read"):
        read_record(tmp_path / "absent.json")
