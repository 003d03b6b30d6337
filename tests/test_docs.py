"""The examples in docstrings run, and the README names what exists."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest
from typer.main import get_command

import medream

ROOT = Path(__file__).resolve().parents[1]
MODULES = [
    m.name for m in pkgutil.walk_packages(medream.__path__, "medream.") if "__main__" not in m.name
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


def test_readme_names_only_commands_and_options_that_exist():
    from medream.cli import app

    commands = get_command(app).commands
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    lines = re.findall(r"^medream (.+)$", "\n".join(blocks), re.MULTILINE)
    assert len(lines) >= 8
    for line in lines:
        words = line.split("#")[0].split()
        command = commands[words[0]]
        if words[0] == "data":
            command = command.commands[words[1]]
        known = {name for option in command.params for name in option.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


def test_readme_names_every_command():
    from medream.cli import app

    text = (ROOT / "README.md").read_text()
    commands = get_command(app).commands
    names = [name for name in commands if name != "data"]
    names += [f"data {name}" for name in commands["data"].commands]
    assert [name for name in names if f"medream {name}" not in text] == []
