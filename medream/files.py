"""Writing without halves: everything is written beside its place and renamed into it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medream.errors import OutputError

RUN_FILE = "run.json"


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as hexadecimal text."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"Cannot write {path}: {error.strerror or error}. Choose a folder with free space that "
        "you may write to."
    )


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path with the same suffix; rename it to `path` when the block succeeds.

    Raises
    ------
    OutputError
        When the file cannot be written. Nothing is left behind in that case.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".partial-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        mode = 0o666 & ~_umask()
        temporary.chmod(mode)
        os.replace(temporary, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=False) + "\n", encoding="utf-8")


def write_text(path: str | Path, text: str) -> None:
    """Write text as UTF-8, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _command_of(folder: Path) -> str | None:
    """Return the command that wrote a folder, or None when medream did not write it."""
    try:
        return json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))["command"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _refuse_foreign(out: Path, command: str) -> None:
    """Raise when `out` holds anything but an earlier result of the same command."""
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputError(f"{out} is a file; --out names a folder. Choose another name.")
    if any(out.iterdir()) and _command_of(out) != command:
        raise OutputError(
            f"{out} is not empty and holds no earlier result of 'medream {command}'. "
            "Choose another folder, or empty this one."
        )


def open_folder(out: str | Path, command: str) -> None:
    """Make `out` a folder that `command` may add to; what lies there stays.

    Raises
    ------
    OutputError
        When `out` is a file, holds the result of another command, or cannot be made.
    """
    out = Path(out)
    if _command_of(out) not in (None, command):
        raise OutputError(
            f"{out} holds the result of 'medream {_command_of(out)}'. Choose another folder."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise _cannot_write(out, error) from error


def claim_folder(out: Path, command: str) -> None:
    """Make `out` an empty folder, replacing an earlier result of the same command.

    Raises
    ------
    OutputError
        When `out` holds something else, or the place cannot be written to.
    """
    _refuse_foreign(out, command)
    try:
        if out.exists():
            shutil.rmtree(out)
        out.mkdir(parents=True)
    except OSError as error:
        raise _cannot_write(out, error) from error


@contextlib.contextmanager
def result_folder(out: str | Path, command: str) -> Iterator[Path]:
    """Yield a staging folder beside `out` that becomes `out` when the block succeeds.

    An earlier result of the same command is replaced as a whole; any other folder that is
    not empty is refused, so that nothing of the user's is ever deleted.

    Parameters
    ----------
    out : path
        The folder to be written.
    command : str
        Name of the command, as its `run.json` records it.

    Raises
    ------
    OutputError
        When `out` holds something else, or the place cannot be written to.
    """
    out = Path(out)
    _refuse_foreign(out, command)
    staging = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{out.name}-partial-", dir=out.parent))
        staging.chmod(0o777 & ~_umask())
        yield staging
        if out.exists():
            shutil.rmtree(out)
        os.replace(staging, out)
    except OSError as error:
        raise _cannot_write(out, error) from error
    finally:
        if staging is not None and staging.exists():
            shutil.rmtree(staging, ignore_errors=True)
