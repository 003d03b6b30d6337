"""Captions, methods and metadata: every setting is said, nothing private is."""

from dataclasses import fields, replace

import pytest
from PIL import Image

import medream.figures as figures
from medream.dream.config import DreamConfig
from medream.dream.parametrization import PARAMETRIZATIONS
from medream.errors import ConfigError
from medream.figures.captions import CAPTIONS, HELD
from medream.figures.methods import PARTS
from medream.record import RunRecord

GIVEN = {"objective": "dec1_conv2", "network": "a U-Net of 3 levels", "scans": 12, "subjects": 3}
VERSIONS = {"medream": "1.0", "keras": "3.9"}
# Each setting beside those without which it says nothing.
CHANGES = {
    "steps": ({}, 7), "step_size": ({}, 0.037), "octaves": ({}, (-1, 0)), "octave_scale": ({}, 1.37),
    "octave_steps": ({}, 37), "precision": ({}, "bfloat16"), "seed": ({}, 4711), "gradient": ({}, "rms"),
    "optimizer": ({}, "adam"), "momentum": ({"optimizer": "momentum"}, 0.37), "schedule": ({}, "cosine"),
    "patience": ({}, 17), "bounds": ({}, "reflect"), "transforms": ({}, ("jitter=13", "rotate=7", "blur=2")),
    "parametrization": ({}, {"kind": "fourier", "decay": 1.7}), "diversity": ({}, 0.37), "tile": ({}, 137),
    "overlap": ({"tile": 256}, 37), "every": ({}, 3),
}  # fmt: skip


def text(config, **changes):
    return figures.methods_text(config.to_json(), **{**GIVEN, "versions": VERSIONS, **changes})


@pytest.mark.parametrize("name", [field.name for field in fields(DreamConfig)])
def test_every_setting_of_a_dream_is_in_the_methods(name):
    others, value = CHANGES[name]  # a setting that is new must be said, too
    base = DreamConfig(**others)
    said = text(replace(base, **{name: value}))
    assert said != text(base)
    if isinstance(value, (int, float)):
        assert f"{value:g}" in said
    assert "{" not in said


def test_transforms_and_parametrizations_have_words():
    every = ("jitter=13", "rotate=7", "scale=0.7:1.3", "blur=2.5", "noise=0.05")
    said = text(DreamConfig(transforms=every))
    for words in ("up to 13 pixels", "7 degrees", "0.7 to 1.3", "2.5 pixels", "deviation 0.05"):
        assert words in said
    for name in PARAMETRIZATIONS:
        assert "parametrised by" in text(DreamConfig(parametrization=name))
    assert "Fourier coefficients (decay 1.7)" in text(
        DreamConfig(parametrization={"kind": "fourier", "decay": 1.7})
    )


def test_the_parts_are_said_with_their_settings():
    curves = {
        "size": (24, 30),
        "starts": ["scan", "noise"],
        "seeds": [0, 1, 2],
        "every": 10,
        "steps": 60,
        "features": {"Depth": "place between the borders"},
        "unit": "spreads between lesions",
        "margin": 0.7,
        "alpha": 0.04,
        "draws": 9999,
    }
    tests = {"which": ["dreams differ", "areas differ"], "alpha": 0.03}
    parts = {"localization": {"count": 999}, "curves": curves, "activation": {}, "tests": tests}
    said = text(DreamConfig(), parts=parts, resamples=2000)
    for words in ("999 random", "24 x 30 pixels", "the scan itself and noise", "(seeds 0, 1 and 2)", "2000 times",
                  "keras 3.9", "12 scans of 3 subjects", "at the start and every 10 steps up to step 60",
                  "Depth (place between the borders)", "in spreads between lesions", "within 0.7 of 0", "p < 0.04",
                  "9999 times", "signed-rank", "Holm", "dreams differ and areas differ", "p < 0.03"):  # fmt: skip
        assert words in said
    one = text(
        DreamConfig(),
        parts={"curves": {**curves, "seeds": [4], "every": 1}, "response": {"every": 1}},
    )
    assert "(seed 4)" in one
    assert one.count("after every step") == 2
    assert "every 10 steps along the ascent" in text(
        DreamConfig(), parts={"response": {"every": 10}}
    )


def test_stages_of_the_cascade_are_said_as_they_were():
    said = [
        text(DreamConfig(), parts={"control": {"stages": n, "noise": 1e-4}})
        for n in (0, 1, 3, None)
    ]
    assert "cascading" not in said[0]
    for words, each in zip(
        ("in 1 stage,", "in 3 stages,", "in a stage for each layer,"), said[1:], strict=True
    ):
        assert words in each


def test_parts_without_their_settings_are_refused():
    with pytest.raises(ConfigError, match="count"):
        text(DreamConfig(), parts={"localization": {}})
    with pytest.raises(ConfigError, match="localization"):
        text(DreamConfig(), parts={"localisation": {}})
    with pytest.raises(ConfigError, match="'patience'"):
        figures.methods_text({}, **GIVEN, versions=VERSIONS)


@pytest.mark.parametrize("kind", CAPTIONS)
def test_captions_name_the_objective_and_the_numbers(kind):
    said = figures.caption(
        kind, objective="class 1", scans=12, subjects=3, steps=40, scale_bar=True
    )
    assert "class 1" in said
    assert said.endswith(
        "Scale bar in micrometres of tissue; pixels are drawn square. 40 steps. n = 12 scans of 3 subjects."
    )
    assert "{" not in said
    with pytest.raises(ConfigError, match=kind):
        figures.caption(kind + "x", objective="", scans=1, subjects=1)


@pytest.mark.parametrize(
    ("kind", "holds", "said", "unsaid"),
    [
        (
            "control",
            ["redrawn", "noise"],
            "all weights re-drawn. Open",
            ("shuffled", "cascade", "n/a", "retrained"),
        ),
        (
            "control",
            ["shuffled", "n/a"],
            "networks trained on shuffled masks.",
            ("Open points", "all weights"),
        ),
        (
            "control_panel",
            ["dream", "noise"],
            "trained network and of the trained",
            ("shuffled", "pointed"),
        ),
        ("curves", ["fixed"], "cannot change", ("network itself sees",)),
        ("curves", ["predicted"], "begin at the step from which on", ("cannot change",)),
        ("activation", ["positive"], "from 0 (dark)", ("blue",)),
        ("layers", ["networks"], "columns: layers", ("no such layer", "left of the first")),
        ("localization", ["means"], "black ones means", ("Bottom", "lower edge")),
        ("localization", [], "subjects. Axes", ("Bottom", "black")),
        ("units", ["references"], "the reference masks of the scan", ("dreams beside",)),
    ],
)
def test_captions_name_only_what_a_figure_holds(kind, holds, said, unsaid):
    given = {"objective": "dec1_conv2", "scans": 1, "subjects": 1}
    short = figures.caption(kind, holds=holds, **given)
    full = figures.caption(kind, **given)
    assert said in short
    for words in unsaid:
        assert words not in short
        assert words in full or words in ("cascade", "retrained")
    assert "  " not in short
    assert " ." not in short
    noted = figures.caption(kind, holds=holds, note="Chosen by hand.", **given)
    assert "Chosen by hand. n = 1 scan" in noted


def test_files_say_the_run_and_nothing_of_people_or_folders(tmp_path):
    settings = {"model": "/home/maria/nets/unet3.keras", "steps": 20}
    record = RunRecord(
        "dream", settings, 3, {"/home/maria/scans/mustermann.tif": "ab12"}, VERSIONS, "c0ffee"
    )
    line = figures.provenance_line(
        record, "dec1_conv2 of /home/maria/nets/unet3.keras", DreamConfig().to_json()
    )
    assert f"run {figures.run_id(record)}" in line
    for words in (
        'gradient "std"',
        "steps 100",
        "keras 3.9",
        "commit c0ffee",
        "dec1_conv2 of unet3.keras",
    ):
        assert words in line
    assert "maria" not in line
    assert "mustermann" not in line
    drawn = figures.history_figure({"dec1_conv2": [0.0, 0.5]})
    drawn.provenance = line
    with Image.open(figures.save_figure(drawn, tmp_path / "a.png")) as picture:
        assert picture.info["Description"] == line
    assert b"c0ffee" in figures.save_figure(drawn, tmp_path / "a.svg").read_bytes()


def test_a_run_is_named_by_what_it_did():
    def named(**changes):
        own = {
            "settings": {"steps": 20},
            "inputs": {"a": "ab12"},
            "versions": VERSIONS,
            "git": None,
        }
        return figures.run_id(RunRecord("dream", **{**own, **changes}))

    assert named() == named(inputs={"b": "ab12"}, started=5.0, device="another", results={"x": 1})
    assert (
        len(
            {
                named(),
                named(settings={}),
                named(inputs={"a": "cd"}),
                named(versions={}),
                named(git="1"),
            }
        )
        == 5
    )


def test_texts_are_written_beside_the_figures(tmp_path):
    caption, methods = figures.write_texts(
        tmp_path / "out", {"a.pdf": "One.", "b.pdf": "Two."}, "Made so."
    )
    assert caption.read_text() == "a.pdf: One.\n\nb.pdf: Two.\n"
    assert methods.read_text() == "Made so.\n"


def test_no_word_is_torn():
    held = [words for slots in HELD.values() for _, own in slots.values() for words in own.values()]
    said = "/".join([*CAPTIONS.values(), *PARTS.values(), *held])
    assert "- " not in said
    assert "  " not in said
