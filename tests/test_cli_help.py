"""The help of every command: nothing that its author wrote is lost on the way to the reader."""

import re
import subprocess
import sys

import pytest
import typer
from test_cli import run

from medream.cli import app


def _commands(command, path=()):
    """Yield the words of every command and the command."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from _commands(below, (*path, name))


COMMANDS = dict(_commands(typer.main.get_command(app)))


def _words(text):
    return re.sub(r"[\s│]+", " ", text)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_no_bracket_is_lost_in_a_help(path):
    command = COMMANDS[path]
    shown = _words(run(*path, "--help", columns=300))
    written = [command.help or "", *(getattr(p, "help", None) or "" for p in command.params)]
    for text in written:
        for part in re.findall(r"\S*\[[^\]]*\]", text.replace("\\[", "[")):
            assert _words(part) in shown, part


def test_defaults_that_are_found_later_are_shown():
    assert "[default: (3)]" in run("train", "--help")
    assert "medream[video]" in run("figure", "--help")


@pytest.mark.parametrize("command", ["dream", "figure", "train"])
def test_a_help_loads_nothing_heavy(command):
    code = (
        "import sys; from medream.cli import app\n"
        f"app([{command!r}, '--help'], standalone_mode=False)\n"
        "assert not {'numpy', 'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_class_and_its_layer_point_to_each_other():
    shown = _words(run("dream", "--help", columns=300))
    assert "With --class: the layer of the logits, default logits." in shown
    assert "--layer then names the layer of the logits" in shown
