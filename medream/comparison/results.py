"""What a finished comparison left on disk, read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from medream.comparison.plan import CompareConfig, Fold, Training
from medream.comparison.scored import join, read_evaluation
from medream.metrics import Evaluation, average_precision, expected_calibration_error
from medream.record import read_record
from medream.training.state import HISTORY_FILE

ENSEMBLE = "ensemble"


@dataclass(frozen=True, eq=False)
class Run:
    """One network on all folds with one seed, or the ensemble of all seeds: each subject is scored once."""

    seed: str
    folds: dict[str, Evaluation]

    @cached_property
    def evaluation(self) -> Evaluation:
        return join(self.folds.values())

    @cached_property
    def subjects(self) -> pd.DataFrame:
        """One row per subject and class, its pixels pooled."""
        return self.evaluation.pooled(["subject_id"])

    def counts(self, name: str) -> np.ndarray:
        """Pixels per bin of probability of one class, all subjects together, (2, bins)."""
        found = self.evaluation.probabilities
        return np.sum([counts for key, counts in found.items() if key[-1] == name], axis=0)


@dataclass(frozen=True, eq=False)
class Network:
    """One depth, or its ensemble over the seeds, with a run for each seed.

    Parameters
    ----------
    name : str
        "unet3", "unet3-ensemble".
    levels : int
    runs : list of Run
    members : int
        Seeds of an ensemble; 1 for single networks.
    histories : list of DataFrame
        Epoch, loss and validation Dice of each training.
    training_seconds : list of float
        Of the trainings that were not interrupted.
    """

    name: str
    levels: int
    runs: list[Run]
    members: int = 1
    histories: list[pd.DataFrame] = field(default_factory=list)
    training_seconds: list[float] = field(default_factory=list)

    @property
    def label(self) -> str:
        """For people: "3 levels", "3 levels, ensemble of 3"."""
        depth = "1 level" if self.levels == 1 else f"{self.levels} levels"
        return depth if self.members == 1 else f"{depth}, ensemble of {self.members}"

    def counts(self, name: str, subjects: Sequence[str]) -> np.ndarray:
        """True positives, false positives and false negatives of one class, (subjects, runs, 3)."""
        parts = []
        for run in self.runs:
            own = run.subjects[run.subjects["class"] == name].set_index("subject_id")
            parts.append(own.loc[list(subjects), ["tp", "fp", "fn"]].to_numpy(float))
        return np.stack(parts, axis=1)

    def pixels(self, name: str) -> np.ndarray:
        """Pixels per bin of probability of one class, all runs together, (2, bins)."""
        return np.sum([run.counts(name) for run in self.runs], axis=0)

    def average_precision(self, name: str) -> float:
        """Of all held-out pixels pooled, averaged over the runs, whose probabilities are not of one scale."""
        return float(np.mean([average_precision(run.counts(name)) for run in self.runs]))

    def calibration_error(self, name: str) -> float:
        """Of all held-out pixels of all runs pooled."""
        return expected_calibration_error(self.pixels(name))


@dataclass(frozen=True, eq=False)
class Results:
    """All networks of a comparison, shallow before deep, single ones before ensembles."""

    networks: list[Network]
    folds: list[Fold]

    @property
    def single(self) -> list[Network]:
        return [network for network in self.networks if network.members == 1]

    @property
    def classes(self) -> list[str]:
        return sorted(self.networks[0].runs[0].evaluation.scans["class"].unique())

    def lesion_share(self, name: str) -> float:
        """Share of lesion among the valid pixels: the average precision of a guess."""
        counts = self.networks[0].runs[0].counts(name)
        return float(counts[1].sum() / counts.sum())

    def fold_of(self, subject: str) -> str:
        return next(fold.name for fold in self.folds if subject in fold.test)


def ensemble_folder(training: Training, members: int) -> str:
    """Return the folder of the scores of so many seeds of a training's network and fold."""
    return f"{training.network}/{training.fold.name}-{ENSEMBLE}{members}"


def read_results(out: Path, config: CompareConfig, plan: Sequence[Training]) -> Results:
    """Read the scores of all trainings of a comparison."""
    singles, ensembles = [], []
    for levels in sorted(config.levels):
        own = [training for training in plan if training.unet.levels == levels]
        runs: dict[str, dict[str, Evaluation]] = {}
        for training in own:
            evaluation = read_evaluation(out / training.folder)
            runs.setdefault(str(training.train.seed), {})[training.fold.name] = evaluation
        seconds = [read_record(out / t.folder).results.get("training_seconds") for t in own]
        singles.append(
            Network(
                own[0].network, levels, [Run(seed, parts) for seed, parts in runs.items()],
                histories=[pd.read_csv(out / t.folder / HISTORY_FILE) for t in own],
                training_seconds=[s for s in seconds if s is not None],
            )
        )  # fmt: skip
        if config.seeds > 1:
            folders = {t.fold.name: out / ensemble_folder(t, config.seeds) for t in own}
            parts = {fold: read_evaluation(folder) for fold, folder in folders.items()}
            name = f"{own[0].network}-{ENSEMBLE}"
            ensembles.append(Network(name, levels, [Run(ENSEMBLE, parts)], members=config.seeds))
    folds = {training.fold.name: training.fold for training in plan}
    return Results([*singles, *ensembles], list(folds.values()))
