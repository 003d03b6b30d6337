"""One training of a comparison and its scores; several seeds of one network as an ensemble."""

from __future__ import annotations

import functools
import gc
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import keras

from medream.cluster import run_all
from medream.comparison.cohort import Cohort
from medream.comparison.plan import Fold, Training
from medream.comparison.results import ensemble_folder
from medream.comparison.scored import SCORES_FILE, write_evaluation
from medream.errors import OutputError
from medream.evaluation import full_evaluation
from medream.progress import progress, say
from medream.record import RunRecord, read_record
from medream.scan import Scan
from medream.store import load_model
from medream.training import train
from medream.training.epochs import STATE_FILE

COMMAND = "compare"
FOLD_COMMAND = "compare fold"
# Two trainings in one process would share its cores and its graphics memory.
_one_at_a_time = threading.Lock()


def train_all(
    scans: Sequence[Scan],
    cohort: Cohort,
    plan: Sequence[Training],
    out: Path,
    dataset: str | None,
    cluster: str | None,
) -> None:
    """Do all trainings of a plan that are not finished, here or on a cluster."""
    open_jobs = [
        training for training in plan if not (out / training.folder / SCORES_FILE).exists()
    ]
    work = (
        functools.partial(_train_here, cohort, out, dataset)
        if cluster is None
        else functools.partial(_train_there, scans, scans.fingerprint(), out.resolve(), dataset)  # type: ignore[attr-defined]
    )
    done = len(plan) - len(open_jobs)
    if done:
        say(f"compare: {done} of {len(plan)} trainings were finished earlier and are kept")
    with progress("compare", len(plan), done=done) as update:
        for _ in run_all(work, open_jobs, cluster):
            update()


def _train_here(cohort: Cohort, out: Path, dataset: str | None, training: Training) -> None:
    run_training(cohort, training, out / training.folder, dataset)


def _train_there(
    scans: Sequence[Scan], fingerprint: str, out: Path, dataset: str | None, training: Training
) -> None:
    """Train on a worker, which reads the scans itself, once for all of its trainings."""
    with _one_at_a_time:
        if fingerprint not in _read:
            _read.clear()
            _read[fingerprint] = Cohort(scans)
    _train_here(_read[fingerprint], out, dataset, training)


_read: dict[str, Cohort] = {}


def score_ensembles(cohort: Cohort, plan: Sequence[Training], seeds: int, out: Path) -> None:
    """Score the mean probability of all seeds of each network and fold."""
    groups: dict[str, list[Training]] = {}
    for training in plan:
        groups.setdefault(ensemble_folder(training, seeds), []).append(training)
    with progress("ensembles", len(groups)) as update:
        for folder, members in groups.items():
            run_ensemble(cohort, [out / t.folder for t in members], members[0].fold, out / folder)
            update()


def run_training(
    cohort: Cohort, training: Training, folder: Path, dataset: str | None = None
) -> None:
    """Train one network on its fold and score it on the fold's test subjects.

    What is there already is kept: finished scores, a finished network, or the state after its last
    whole epoch.

    Parameters
    ----------
    cohort : Cohort
        All subjects.
    training : Training
    folder : path
        Becomes the model folder, with `scores.csv` beside the network.
    dataset : str, optional
        The data set's folder, for the record.
    """
    if (folder / SCORES_FILE).exists():
        return
    with _one_at_a_time:
        _run(cohort, training, folder, dataset)
        forget_networks()


def _run(cohort: Cohort, training: Training, folder: Path, dataset: str | None) -> None:
    fold = training.fold
    settings = {
        "dataset": dataset,
        "unet": training.unet.to_json(),
        "train": asdict(training.train),
        "fold": fold.to_json(),
    }
    say(f"compare: {training.folder}")
    if is_trained(folder):
        seconds = read_record(folder).results.get("training_seconds")
    else:
        begun = (folder / STATE_FILE).exists()
        started = time.monotonic()
        train(
            cohort.of(fold.training), training.unet, training.train, folder,
            validation=cohort.of(fold.validation), resume=True,
            record=RunRecord(FOLD_COMMAND, settings, seed=training.train.seed),
        )  # fmt: skip
        # The time of a training in two parts is not known.
        seconds = None if begun else round(time.monotonic() - started, 3)
    found = full_evaluation(load_model(folder), cohort.with_distances(fold.test))
    record = read_record(folder)
    record = replace(record, results={**record.results, "training_seconds": seconds})
    record.write(folder, test_subjects=list(fold.test))
    write_evaluation(folder, found)


def run_ensemble(cohort: Cohort, members: Sequence[Path], fold: Fold, folder: Path) -> None:
    """Score the mean probability of networks of one fold on the fold's test subjects.

    Legitimate, since none of them has seen these subjects, whatever its seed.
    """
    if (folder / SCORES_FILE).exists():
        return
    models = [load_model(member) for member in members]
    found = full_evaluation(models, cohort.with_distances(fold.test))
    folder.mkdir(parents=True, exist_ok=True)
    write_evaluation(folder, found)
    forget_networks()


def is_trained(folder: Path) -> bool:
    """Tell whether a model folder's training came to its end."""
    try:
        return bool(read_record(folder).results)
    except OutputError:
        return False


def forget_networks() -> None:
    """Give back what Keras keeps of networks, so that many trainings take the memory of one."""
    keras.backend.clear_session(free_memory=False)
    gc.collect()
