"""Many runs in a folder: which there are, what came of them, which is best."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from medream.errors import OutputError
from medream.files import RUN_FILE
from medream.record import RunRecord, read_record


def find_runs(folder: str | Path, command: str | None = None) -> list[tuple[Path, RunRecord]]:
    """Return the runs at any depth of a folder, the oldest first.

    Files that are no record are passed over, and so are links and hidden folders.

    Parameters
    ----------
    folder : path
    command : str, optional
        Only the runs of this command, such as "train".

    Returns
    -------
    list of (path of the run.json, RunRecord)

    Raises
    ------
    OutputError
        When there is no such folder, or no run in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise OutputError(f"There is no folder {folder}; expected one with runs of medream in it.")
    found = []
    for here, below, files in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in files:
            if name == RUN_FILE or name.endswith(f".{RUN_FILE}"):
                try:
                    record = read_record(Path(here) / name)
                except OutputError:
                    continue
                if command is None or record.command == command:
                    found.append((Path(here) / name, record))
    if not found:
        which = f"run of 'medream {command}'" if command else "run of medream"
        raise OutputError(f"There is no {which} in {folder}: no {RUN_FILE} at any depth.")
    return sorted(found, key=lambda run: (run[1].started, str(run[0])))


def numbers_of(record: RunRecord) -> dict[str, float]:
    """Return the numbers among a run's results; those in tables under names such as "pooled.dice".

    Examples
    --------
    >>> numbers_of(RunRecord("train", {}, results={"validation_dice": 0.5, "cost": {"epochs": 3}}))
    {'validation_dice': 0.5, 'cost.epochs': 3.0}
    """
    found: dict[str, float] = {}

    def collect(value: Any, name: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                collect(inner, f"{name}.{key}" if name else str(key))
        elif isinstance(value, list) and len(value) == 1:
            collect(value[0], name)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found[name] = float(value)

    collect(record.results, "")
    return found


def runs_table(runs: list[tuple[Path, RunRecord]], folder: str | Path) -> pd.DataFrame:
    """Return one row per run: where, command, start, seconds, seed, finished, and the numbers that came of it.

    A run without results was stopped or is still going on.
    """
    rows = []
    for path, record in runs:
        place = path.parent if path.name == RUN_FILE else path
        rows.append(
            {
                "run": os.path.relpath(place, folder),
                "command": record.command,
                "started": pd.Timestamp(record.started, unit="s").strftime("%Y-%m-%d %H:%M:%S"),
                "seconds": record.seconds,
                "seed": record.seed,
                "finished": bool(record.results),
                **numbers_of(record),
            }
        )
    return pd.DataFrame(rows)


def best_run(
    folder: str | Path, by: str = "validation_dice", smallest: bool = False
) -> tuple[Path, RunRecord, float]:
    """Return the run with the largest value of a number among its results.

    Parameters
    ----------
    folder : path
    by : str
        Name as in `runs_table`. Default "validation_dice".
    smallest : bool
        The smallest value instead: of a loss or a distance.

    Returns
    -------
    path of the run.json, RunRecord, value

    Raises
    ------
    OutputError
        When no run has such a number; the names that there are are told, the nearest first.
    """
    runs = find_runs(folder)
    values = [(numbers_of(record).get(by, math.nan), path, record) for path, record in runs]
    known = [each for each in values if math.isfinite(each[0])]
    if not known:
        names = sorted({name for _, record in runs for name in numbers_of(record)})
        raise OutputError(f"No run in {folder} has a number {by!r}. {_listed(names, by)}")
    value, path, record = (min if smallest else max)(known, key=lambda each: each[0])
    return path, record, value


def _listed(names: Sequence[str], wanted: str) -> str:
    if not names:
        return "None of them has a number."
    near = difflib.get_close_matches(wanted, names, n=5, cutoff=0.5)
    plain_first = sorted(names, key=lambda name: (name.count("."), name))
    ordered = [*near, *(name for name in plain_first if name not in near)]
    more = f", ... ({len(names)} in all: 'medream runs list --json')" if len(names) > 20 else ""
    return f"The names are: {', '.join(ordered[:20])}{more}."
