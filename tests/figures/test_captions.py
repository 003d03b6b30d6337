"""Captions, methods and metadata: every setting is said, nothing private is."""

from dataclasses import fields, replace

import pytest
from PIL import Image

import medream.figures as figures
from medream.dream.config import DreamConfig
from medream.dream.parametrization import PARAMETRIZATIONS
from medream.errors import ConfigError
from medream.figures.captions import CAPTIONS
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
    }
    parts = {"localization": {"count": 999}, "curves": curves, "activation": {}}
    said = text(DreamConfig(), parts=parts, resamples=2000)
    for words in ("999 random", "24 x 30 pixels", "scan and noise", "seeds 0, 1 and 2", "2000 times", "keras 3.9",
                  "12 scans of 3 subjects"):  # fmt: skip
        assert words in said
    with pytest.raises(ConfigError, match="count"):
        text(DreamConfig(), parts={"localization": {}})
    with pytest.raises(ConfigError, match="localization"):
        text(DreamConfig(), parts={"localisation": {}})
    with pytest.raises(ConfigError, match="'patience'"):
        figures.methods_text({}, **GIVEN, versions=VERSIONS)
    assert set(PARTS) <= {*CAPTIONS, "field"}


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
    said = " ".join([*CAPTIONS.values(), *PARTS.values()])
    assert "- " not in said
    assert "  " not in said
