"""`RunRecord`: what ran, on what, with which versions; the `run.json` of every output folder."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from medream.errors import OutputError
from medream.files import RUN_FILE, sha256_of, write_json
from medream.scan import Scan, sources_of

_PACKAGES = (
    "medream",
    "tensorflow",
    "keras",
    "numpy",
    "scipy",
    "scikit-image",
    "pandas",
    "matplotlib",
)


@dataclass(frozen=True)
class RunRecord:
    """A run that can be repeated.

    Parameters
    ----------
    command : str
        Name of the command, for example "dream" or "train".
    settings : dict
        Every argument and option of the command except `out`, JSON values only.
    seed : int or None
    inputs : dict of str to str
        Pseudonymous name or path of each input and the SHA-256 of what was read.
    versions, device : dict, str
        Filled in when the record is made.
    git : str or None
        Commit of the checkout that medream runs from, with "+changes" when it differs.
    started : float
        Seconds since 1970; `seconds` is set by `finished`.
    results : dict
        Headline numbers of the run.
    """

    command: str
    settings: dict[str, Any]
    seed: int | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=lambda: _versions())
    git: str | None = field(default_factory=lambda: _git_state())
    device: str = field(default_factory=lambda: f"{platform.machine()} x {os.cpu_count()}")
    started: float = field(default_factory=time.time)
    seconds: float | None = None
    results: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: str | Path, **results: Any) -> Path:
        """Write `run.json` into `folder` with the time taken and return its path.

        For an output that is a single file, give the whole name: `unet3.onnx.run.json`.
        """
        path = Path(folder)
        path = path if path.suffix == ".json" else path / RUN_FILE
        value = asdict(self)
        value["seconds"] = round(time.time() - self.started, 3)
        value["results"] = {**self.results, **results}
        write_json(path, value)
        return path


def read_record(path: str | Path) -> RunRecord:
    """Read a `run.json`, or the one of a folder.

    Raises
    ------
    OutputError
        When the file is missing or is no run record.
    """
    path = Path(path)
    if path.is_dir():
        path = path / RUN_FILE
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OutputError(
            f"Cannot read the run record {path}: {error.strerror}. Give the run.json of an output folder."
        ) from error
    except ValueError as error:
        raise OutputError(
            f"{path} is not valid JSON ({error}); expected a medream run.json."
        ) from error
    try:
        return RunRecord(**value)
    except TypeError as error:
        raise OutputError(f"{path} is not a medream run.json: {error}.") from error


def input_hashes(scans: Iterable[Scan]) -> dict[str, str]:
    """Return the SHA-256 of each scan's file under its pseudonymous name; "" without a file.

    That of a volume's file is taken here, once, since reading a volume does not take it.
    """
    hashes: dict[str, str] = {}
    files: dict[str, str] = {}
    for source in sources_of(scans):
        found = source.sha256 or files.get(source.path or "")
        if found is None:
            file = Path(source.path or "")
            found = files[str(source.path)] = sha256_of(file) if file.is_file() else ""
        hashes[source.name] = found
    return hashes


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git_state() -> str | None:
    """Return the commit of the checkout that this file lies in, or None outside of one."""
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists():
        return None
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
            timeout=5,
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
            timeout=5,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+changes" if changed else "")
