"""Cards: readable, in step with their texts, and compared with downloads."""

import json
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import trees

from medream.adapters import cards as cards_module
from medream.adapters.cards import Part, cards, compare_with_card, find_card, read_card
from medream.adapters.opening import ADAPTERS, open_dataset
from medream.errors import ConfigError, ScanError

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.filterwarnings("ignore::medream.split.LeakWarning")


def test_every_adapter_has_a_card_and_every_card_an_adapter():
    assert {card.adapter for card in cards().values()} == set(ADAPTERS)
    assert {path.parent.name for path in (ROOT / "datasets").glob("*/card.toml")} == set(cards())


@pytest.mark.parametrize("card", cards().values(), ids=cards())
def test_the_text_says_what_the_table_says(card):
    text = (ROOT / "datasets" / card.name / "card.md").read_text(encoding="utf-8")
    for words in (card.title, card.about, card.licence, card.doi, card.url, card.verified, *card.defects):
        assert words in text
    for part in card.parts:
        for count in (part.subjects, part.volumes, part.bscans):
            assert count is None or str(count) in text
    assert f"medream data check {card.name} " in text


def test_cards_are_in_the_wheel_and_found_there(tmp_path, monkeypatch):
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"datasets": "medream/_datasets"}
    installed = tmp_path / "medream" / "_datasets" / "mine"
    installed.mkdir(parents=True)
    (installed / "card.toml").write_text('name = "mine"\ntitle = "Mine"\nadapter = "folder"\n')
    monkeypatch.setattr(cards_module, "_PLACES", (installed.parent, ROOT / "datasets"))
    cards.cache_clear()
    try:
        assert set(cards()) == {"mine"}
    finally:
        cards.cache_clear()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = 3 3", "no card"),
        ('name = "x"\ntitle = "x"\nadapter = "folder"\nlisence = "y"', "licence"),
        ('name = "x"\ntitle = "x"\nadapter = "foldr"', "folder"),
        ('name = "x"', "title"),
        ('name = "x"\ntitle = "x"\nadapter = "folder"\n[[part]]\nname = "p"\nscans = 3', "bscans"),
    ],
)
def test_wrong_cards(tmp_path, text, words):
    (tmp_path / "card.toml").write_text(text)
    with pytest.raises(ScanError, match=words):
        read_card(tmp_path / "card.toml")


def test_unknown_card():
    with pytest.raises(ConfigError, match="retouch"):
        find_card("retuch")


# Comparing


def small_card():
    """RETOUCH's card for the tree that the tests write."""
    whole = find_card("retouch")
    parts = (
        Part("Cirrus", device="Cirrus", split="train", subjects=2, volumes=2, bscans=6,
             bscans_per_volume=(3,), sizes=((10, 14),), axial_mm=(0.001955, 0.001955),
             lateral_mm=(0.01174, 0.01174)),
        Part("Spectralis", device="Spectralis", subjects=1, bscans=3),
        Part("test", split="test", optional=True, volumes=1, bscans_per_volume=(2,)),
    )  # fmt: skip
    return replace(whole, parts=parts)


def said(problems, severity="error"):
    return "\n".join(str(problem) for problem in problems if problem.severity == severity)


def test_a_download_as_the_card_says(tmp_path):
    assert compare_with_card(small_card(), trees.retouch(tmp_path)) == []


def test_all_differences_are_listed_at_once(tmp_path):
    trees.retouch(tmp_path)
    cirrus, spectralis, test = small_card().parts
    card = replace(
        small_card(),
        classes=("IRF", "PED"),
        parts=(
            replace(cirrus, subjects=3, bscans=7, bscans_per_volume=(4,), sizes=((14, 10),),
                    axial_mm=(0.002, 0.003), lateral_mm=(0.0118, 0.02)),
            replace(spectralis, bscans=2),
            Part("Topcon, training", device="Topcon", split="train", volumes=22),
            replace(test, bscans_per_volume=(1,)),
        ),
    )  # fmt: skip
    (tmp_path / "RETOUCH-TrainingSet-Cirrus" / "TRAIN002" / "reference.raw").write_bytes(b"x" * 20)
    problems = compare_with_card(card, tmp_path)
    errors = said(problems)
    for words in (
        "('IRF', 'SRF', 'PED'); the card says ('IRF', 'PED')",
        "Cirrus: 2 of 3 subjects",
        "Cirrus: 6 of 7 B-scans",
        "Cirrus: B-scans in a volume: 3; the card says 4",
        "Cirrus: size (depth, width): (10, 14); the card says (14, 10)",
        "Cirrus: axial spacing in mm: 0.001955; the card says 0.002 to 0.003",
        "Topcon, training: 0 of 22 volumes",
        "test: B-scans in a volume: 2; the card says 1",
        "reference.mhd claims to hold",
    ):
        assert words in errors, words
    assert "lateral spacing" not in errors  # within rounding
    assert "Spectralis: 3 B-scans instead of 2" in said(problems, "warning")
    severities = [problem.severity for problem in problems]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)


def test_other_values_and_missing_classes(tmp_path):
    trees.aroi(tmp_path, values=(5, 6, 0))
    problems = compare_with_card(find_card("aroi"), tmp_path)
    assert "no B-scan holds IRF" in said(problems, "warning")
    assert "3 of 1136 B-scans" in said(problems)
    trees.aroi(tmp_path, values=(9, 6, 7))
    assert "values 9" in said(compare_with_card(find_card("aroi"), tmp_path))
    problems = compare_with_card(find_card("retouch"), tmp_path)
    assert "retouch" in said(problems)
    with pytest.raises(ScanError, match="does not exist"):
        compare_with_card(find_card("retouch"), tmp_path / "nowhere")


def test_an_optional_part_may_be_missing(tmp_path):
    root = trees.retouch(tmp_path)
    (root / "RETOUCH-TestSet-Topcon").rename(tmp_path.parent / f"{tmp_path.name}-kept")
    assert compare_with_card(small_card(), root) == []


# The command line


def run(*arguments, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "medream.cli", *map(str, arguments)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_list_names_every_card():
    listed = {card["name"]: card for card in json.loads(run("data", "list", "--json"))}
    assert set(listed) == set(cards())
    assert listed["retouch"]["parts"][0]["sizes"] == [[1024, 512]]
    assert all(name in run("data", "list") for name in ("retouch", "amd_sd", "octave"))


def test_check_by_name_and_by_path(tmp_path):
    trees.aroi(tmp_path)
    printed = run("data", "check", "aroi", "--root", tmp_path, code=1)
    assert "2 of 24 subjects" in printed
    assert "size (depth, width)" in printed
    assert "adapter aroi" in run("data", "check", tmp_path)
    problems = json.loads(run("data", "check", "aroi", "--root", tmp_path, "--json", code=1))
    assert {problem["severity"] for problem in problems} == {"error"}
    assert "--root DIR" in run("data", "check", "aroi", code=1)
    assert "nearest" in run("data", "check", "arroi", "--root", tmp_path, code=1)


def test_duke_as_pictures_opens_as_a_folder(shared_data):
    assert open_dataset(shared_data / "duke_dme").adapter == "folder"
