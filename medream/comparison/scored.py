"""The scores of a fold on disk: what `metrics.Evaluation` holds, as files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from medream.files import atomic_file
from medream.metrics import Evaluation

SCORES_FILE = "scores.csv"
_TABLES = {"volumes": "volumes.csv", "lesions": "lesions.csv"}
_PROBABILITIES = "probabilities.npz"
_TEXT = ("dataset", "subject_id", "volume_id", "scan", "file", "class", "of")


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Write the tables of a fold; `scores.csv` comes last and says that the fold is finished."""
    with atomic_file(folder / _PROBABILITIES) as temporary:
        counts = evaluation.probabilities
        np.savez_compressed(
            temporary,
            keys=np.array(json.dumps(list(counts))),
            counts=np.stack(list(counts.values())) if counts else np.zeros((0, 2, 1), np.int64),
        )
    for name, file in _TABLES.items():
        _write(getattr(evaluation, name), folder / file)
    _write(evaluation.scans, folder / SCORES_FILE)


def read_evaluation(folder: Path) -> Evaluation:
    """Read what `write_evaluation` wrote."""
    with np.load(folder / _PROBABILITIES, allow_pickle=False) as file:
        keys = [tuple(key) for key in json.loads(str(file["keys"]))]
        probabilities = dict(zip(keys, file["counts"], strict=True))
    tables = {name: _read(folder / file) for name, file in _TABLES.items()}
    return Evaluation(scans=_read(folder / SCORES_FILE), probabilities=probabilities, **tables)


def join(evaluations: Iterable[Evaluation]) -> Evaluation:
    """Join the evaluations of different subjects, such as those of all folds."""
    parts = list(evaluations)
    tables = {}
    for name in ("scans", "volumes", "lesions"):
        filled = [table for part in parts if len(table := getattr(part, name))]
        tables[name] = pd.concat(filled, ignore_index=True) if filled else getattr(parts[0], name)
    counts = {key: value for part in parts for key, value in part.probabilities.items()}
    return Evaluation(probabilities=counts, **tables)


def _write(table: pd.DataFrame, path: Path) -> None:
    with atomic_file(path) as temporary:
        table.to_csv(temporary, index=False)


def _read(path: Path) -> pd.DataFrame:
    try:
        columns = pd.read_csv(path, nrows=0).columns
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    # Pseudonyms such as "007" or "NA" are text.
    return pd.read_csv(
        path, dtype=dict.fromkeys(_TEXT, str), keep_default_na=False,
        na_values={name: [""] for name in columns if name not in _TEXT},
    )  # fmt: skip
