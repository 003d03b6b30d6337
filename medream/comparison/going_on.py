"""Going on with a comparison that was begun earlier, and refusing another one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medream.comparison.plan import VALIDATION_SHARE, Fold
from medream.errors import OutputError
from medream.files import open_folder, write_json
from medream.record import RunRecord, read_record
from medream.training.state import differ

FOLDS_FILE = "folds.json"
_MAY_DIFFER = ("levels", "seeds")


def known_folds(out: Path, record: RunRecord) -> list[Fold]:
    """Return the folds that a comparison was begun with; none when there is no earlier one.

    Raises
    ------
    OutputError
        When the folder holds a comparison of other scans or with other settings.
    """
    if not (out / FOLDS_FILE).exists():
        return []
    earlier = read_record(out)
    if earlier.command != record.command:
        return []  # refused by `open_folder`
    then, now = (_settings(each) for each in (earlier, record))
    differing = [name for name in now if now[name] != then.get(name)]
    if differing:
        raise OutputError(
            f"{out} holds a comparison with other settings: {differ(differing)}. Choose another "
            f"folder, or the same settings; only {' and '.join(_MAY_DIFFER)} may be changed."
        )
    if earlier.inputs != record.inputs:
        raise OutputError(f"{out} holds a comparison on other scans. Choose another folder.")
    value = json.loads((out / FOLDS_FILE).read_text(encoding="utf-8"))
    return [Fold.from_json(fold) for fold in value["folds"]]


def _settings(record: RunRecord) -> dict[str, Any]:
    config = record.settings["config"]
    found = {k: v for k, v in config.items() if k not in ("train", "unet", *_MAY_DIFFER)}
    for part in ("unet", "train"):
        found.update({f"{part} {name}": value for name, value in config[part].items()})
    return found


def go_on(out: Path, record: RunRecord, folds: list[Fold]) -> None:
    """Make the folder of a comparison and say in it what will be done and who is where."""
    open_folder(out, record.command)
    write_json(
        out / FOLDS_FILE,
        {
            "unit": "subject",
            "dealing": "leave one subject out"
            if record.settings["config"]["folds"] is None
            else "stratified by lesion and lesion load, by seed",
            "seed": record.seed,
            "validation": f"about {VALIDATION_SHARE:g} of a fold's other subjects",
            "folds": [fold.to_json() for fold in folds],
        },
    )
    record.write(out)
