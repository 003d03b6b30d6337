"""Scans that a model has been trained on, told from the record in its folder."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def warn_of_seen(
    models: Sequence[str],
    scans: Any,
    hashes: Mapping[str, str],
    consequence: str = "these scores flatter the model",
) -> list[str]:
    """Warn of subjects among the scans that a model was trained on, or whose epoch they chose.

    They are told by the data set's path and their names, or by the bytes of their files.

    Returns
    -------
    list of str
        What was said.
    """
    seen: set[str] = set()
    for ref in models:
        folder = Path(ref)
        for file in (folder / "run.json", *folder.glob("fold*-seed*/run.json")):
            seen |= _seen(file, scans, hashes)
    if not seen:
        return []
    everybody = {source.subject_id for source in scans.sources}
    shown = ", ".join(sorted(seen)[:6]) + (", ..." if len(seen) > 6 else "")
    note = (
        f"Of {len(everybody)} subjects, {len(seen)} took part in training or chose the epoch ({shown}): "
        f"{consequence}."
    )
    warnings.warn(note, stacklevel=2)
    return [note]


def _seen(record: Path, scans: Any, hashes: Mapping[str, str]) -> set[str]:
    from medream.errors import OutputError
    from medream.record import read_record

    if not record.is_file():
        return set()
    try:
        run = read_record(record)
    except OutputError:  # somebody's folder; nothing is known of it
        return set()
    known = {digest for digest in run.inputs.values() if digest}
    found = {s.subject_id for s in scans.sources if hashes.get(s.name) in known}
    people = run.results.get("subjects")
    if run.settings.get("dataset") == str(Path(scans.path).resolve()) and isinstance(people, dict):
        named = {subject for part in people.values() for subject in part}
        found |= {s.subject_id for s in scans.sources} & named
    return found
