"""What a training leaves in its folder after each epoch, and how a resumed one goes on from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medream.errors import ConfigError, OutputError, TrainingError
from medream.files import atomic_file
from medream.record import read_record
from medream.store import MODEL_FILE

STATE_FILE = "checkpoint.npz"
HISTORY_FILE = "history.csv"

History = list[dict[str, float]]


def save_state(
    folder: Path, variables: Sequence[Any], history: History, settings: Mapping[str, Any]
) -> None:
    """Write everything that the next epoch depends on as one file."""
    state = {"history": history, "settings": settings}
    arrays = {f"v{i:04d}": variable.numpy() for i, variable in enumerate(variables)}
    with atomic_file(folder / STATE_FILE) as temporary, open(temporary, "wb") as file:
        np.savez(file, state=np.array(json.dumps(state)), **arrays)


def load_state(folder: Path, variables: Sequence[Any], settings: Mapping[str, Any]) -> History:
    """Set variables to what `save_state` wrote and return the history.

    Raises
    ------
    ConfigError
        When the state belongs to other settings.
    TrainingError
        When the file is damaged.
    """
    path = folder / STATE_FILE
    try:
        with np.load(path, allow_pickle=False) as file:
            state = json.loads(str(file["state"]))
            arrays = [file[f"v{i:04d}"] for i in range(len(file.files) - 1)]
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(
            f"{path} is damaged ({error}); delete the folder and train anew."
        ) from error
    differing = _differing(json.loads(json.dumps(settings)), state["settings"])
    if differing:
        raise ConfigError(
            f"{folder} was begun with other settings ({differ(differing)}). Resume with "
            "the same ones, or choose another folder."
            + (
                " A training has the length that it was begun with, which the course of its learning rate "
                f"follows; to train longer, begin a new one from its weights: --from {folder} --out ANOTHER."
            )
            * ("epochs" in differing)
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return state["history"]


def differ(names: Sequence[str]) -> str:
    """Say of names that they differ.

    >>> differ(["seed"]), differ(["seed", "loss"])
    ('seed differs', 'seed, loss differ')
    """
    return f"{', '.join(names)} differ" + "s" * (len(names) == 1)


def _differing(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Return the names of settings that differ, those of groups such as "train" one by one."""
    names = []
    for key in wanted:
        one, other = wanted[key], found.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            names += [name for name in {**one, **other} if one.get(name) != other.get(name)]
        elif one != other:
            names.append(key)
    return names


def save_history(folder: Path, history: History) -> None:
    """Write `history.csv`."""
    with atomic_file(folder / HISTORY_FILE) as temporary:
        pd.DataFrame(history).to_csv(temporary, index=False)


def claim(folder: Path, resume: bool) -> bool:
    """Tell whether there is a state to go on from, and remove what a kill left half written.

    Raises
    ------
    ConfigError
        When the folder holds a training that is not to be resumed.
    """
    begun = (folder / STATE_FILE).exists()
    taken = begun or ((folder / MODEL_FILE).exists() and not (resume and _unfinished(folder)))
    if taken and not (resume and begun):
        raise ConfigError(
            f"{folder} already holds a model. Pass --resume to go on with it, or choose another folder."
        )
    if resume:
        for left in folder.glob(".partial-*"):
            left.unlink(missing_ok=True)
    return begun


def _unfinished(folder: Path) -> bool:
    """Tell whether a training was stopped before its first state was written."""
    try:
        return not read_record(folder).results
    except OutputError:
        return False
