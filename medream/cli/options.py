"""Options and last words that several commands share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from medream import progress
from medream.startup import load_tensorflow

__all__ = [
    "Dataset",
    "Json",
    "ModelRef",
    "More",
    "Out",
    "Quiet",
    "Seed",
    "Threshold",
    "Tta",
    "absolute",
    "begin",
    "done",
    "load_networks",
    "load_tensorflow",
    "setting",
]

ModelRef = Annotated[
    str, typer.Argument(help="A model folder, a .keras or .h5 file, or keras:NAME.")
]
Dataset = Annotated[Path, typer.Argument(help="The data set's folder.")]
Out = Annotated[Path, typer.Option("--out", help="Folder or file to write.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random draw.")]
Tta = Annotated[
    bool, typer.Option("--tta", help="Average with the left-right mirror image, in twice the time.")
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        min=0.0,
        max=1.0,
        help="Probability from which on a pixel is lesion, for one class.",
        show_default="the one that training chose",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar and no log lines.")]
More = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any other setting of TrainConfig, such as accumulate=2; repeat.",
    ),
]


def begin(quiet: bool) -> None:
    """Set how progress is shown for this command."""
    progress.set_mode("quiet" if quiet else "lines")


def done(path: Path) -> None:
    """Print the path written: the last line of every command that writes."""
    typer.echo(str(path))


def setting(text: str) -> tuple[str, Any]:
    """Return name and value of one `--set`; what is no JSON value is a word."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise typer.BadParameter(
            f"{text!r}: expected NAME=VALUE, such as accumulate=2.", param_hint="--set"
        )
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def absolute(path: str | Path) -> str:
    """Return a path as run records hold it; names such as keras:VGG19 stay as they are."""
    return str(path) if str(path).startswith("keras:") else str(Path(path).resolve())


def load_networks(refs: Sequence[str]) -> list[Any]:
    """Open all networks behind some models, of which each may be a folder of folds."""
    from medream.store import load_ensemble

    return [network for ref in refs for network in load_ensemble(ref)]
