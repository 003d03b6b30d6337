"""From one device to another with few scans: how many of the new device's scans does a network need?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from medream.adapters.dataset import Dataset
from medream.errors import ConfigError
from medream.evaluation import evaluate
from medream.figures import adaptation_figure, markdown_table, save_figure
from medream.files import atomic_file, write_text
from medream.metrics import summarize
from medream.pipeline import samples_per_epoch
from medream.progress import say
from medream.scan import Scan
from medream.statistics import bootstrap_interval
from medream.store import info_of, load_model
from medream.training import TrainConfig, train
from medream.unet import UNetConfig

AS_IS, ADAPTED, SCRATCH = "as it is", "adapted", "from scratch"
SCORES = "scores.csv"


@dataclass(frozen=True, eq=False)
class Adaptation:
    """What `adapt` found.

    Parameters
    ----------
    subjects : DataFrame
        One row per way, number of scans, seed and test subject with the columns of
        `metrics.summarize`.
    curve : DataFrame
        One row per way and number of scans: `way`, `scans` that weights were trained on, `labelled`
        (these and those that chose the epoch), `dice` (mean over the test subjects, of each the
        mean over the seeds) with `low` and `high`, `method` of the interval, `subjects`.
    """

    subjects: pd.DataFrame
    curve: pd.DataFrame


def adapt(
    model: str | Path,
    target: Dataset,
    out: str | Path,
    *,
    numbers: Sequence[int] = (1, 2, 4, 8, 16),
    seeds: int = 3,
    steps: int = 300,
    learning_rate: float | None = None,
    train_config: TrainConfig | None = None,
    freeze: Sequence[str] = (),
    scratch: bool = True,
) -> Adaptation:
    """Adapt a network to another device with more and more of its scans.

    For each number n and each seed, n of the target's training scans are drawn, the first of them with a
    lesion, and more of them always contain fewer. The network goes on learning on them (`adapted`), and
    one of the same architecture starts anew (`from scratch`). As many scans again, of validation subjects,
    choose epoch and threshold, and count as labelled. Every training may take the same number
    of steps. All are scored on all of the target's test subjects, whom nothing else looks at.

    Parameters
    ----------
    model : path
        A model folder that medream trained.
    target : Dataset
        Of the other device, with masks and subjects for training, validation and test.
    out : path
        Receives a model folder for each training. What is finished in it is kept, and what was
        stopped goes on after its last whole epoch.
    numbers : sequence of int
        Training scans, at least 1. The network as it is stands for 0.
    seeds : int
        Draws of scans, of patches and (from scratch) of initial weights, for each number.
    steps : int
        Updates of the weights that each training may take; early stopping may take fewer.
    learning_rate : float, optional
        Of both ways. Default: that of `train_config` from scratch, a tenth of it adapting.
    train_config : TrainConfig
        All else but `epochs` and `patience`, which follow from `steps`, and `seed`.
    freeze : sequence of str
        Layers that adapting leaves alone, such as "enc*".
    scratch : bool
        Whether to train from scratch as well.

    Returns
    -------
    Adaptation

    Raises
    ------
    ConfigError
        When the target has too few scans or subjects, or the model was not trained by medream.
    """
    out = Path(out)
    parts = {name: target.part(name) for name in ("train", "validation", "test")}
    numbers = sorted(set(numbers))
    source = load_model(model)
    unet = info_of(source).unet
    wrong = []
    if unet is None:
        wrong.append(
            f"{model} was not trained by medream: it has no model.json with an architecture"
        )
    if not numbers or numbers[0] < 1 or seeds < 1 or steps < 1:
        wrong.append("numbers of scans, seeds and steps must be at least 1")
    if numbers and numbers[-1] > len(parts["train"]):
        wrong.append(
            f"{numbers[-1]} training scans are asked for and the target has {len(parts['train'])}"
        )
    wrong += [f"the target has no {name} scans" for name, part in parts.items() if not len(part)]
    scans = {name: list(part) for name, part in parts.items()}
    for name in ("train", "validation"):
        if scans[name] and not any(s.mask is not None and s.mask.any() for s in scans[name]):
            wrong.append(f"no {name} scan of the target holds a lesion")
    if wrong:
        raise ConfigError("Adapting cannot start: " + "; ".join(wrong) + ".")

    ways = [ADAPTED, SCRATCH] if scratch else [ADAPTED]
    tables = [_scores(out / "as-it-is", lambda: source, scans["test"], AS_IS, 0, 0, 0)]
    trainings = [(way, n, seed) for n in numbers for seed in range(seeds) for way in ways]
    for number, (way, n, seed) in enumerate(trainings, start=1):
        folder = out / way.replace(" ", "-") / f"scans{n}-seed{seed}"
        training = _first(scans["train"], n, seed)
        validation = _first(scans["validation"], n, seed)
        config = _settings(train_config or TrainConfig(), way, learning_rate, training, steps, seed)
        say(f"training {number} of {len(trainings)}: {way}, {n} scans, seed {seed}")

        def trained(
            folder: Path = folder, way: str = way, config: TrainConfig = config,
            training: list[Scan] = training, validation: list[Scan] = validation,
        ) -> keras.Model:  # fmt: skip
            adapting = way == ADAPTED
            train(
                training,
                None if adapting else UNetConfig(**unet),  # type: ignore[arg-type]
                config,
                folder,
                validation=validation,
                start_from=model if adapting else None,
                freeze=freeze if adapting else (),
                resume=True,
            )
            return load_model(folder)

        tables.append(_scores(folder, trained, scans["test"], way, n, n + len(validation), seed))
        keras.backend.clear_session()
    subjects = pd.concat(tables, ignore_index=True)
    return Adaptation(subjects, learning_curve(subjects))


def _first(scans: Sequence[Scan], count: int, seed: int) -> list[Scan]:
    """Return the first scans of an order drawn by the seed, which begins with a lesion."""
    order = np.random.default_rng(seed).permutation(len(scans)).tolist()
    lesion = next(k for k in order if (mask := scans[k].mask) is not None and mask.any())
    order.remove(lesion)
    return [scans[k] for k in [lesion, *order][:count]]


def _settings(
    config: TrainConfig,
    way: str,
    learning_rate: float | None,
    scans: Sequence[Scan],
    steps: int,
    seed: int,
) -> TrainConfig:
    """Return the settings of a training that takes so many steps, however few its scans."""
    rate = learning_rate or config.learning_rate / (10 if way == ADAPTED else 1)
    samples = samples_per_epoch(scans, config.image_size, config.batch_size)
    epochs = max(1, math.ceil(steps / (samples // config.batch_size)))
    patience = max(1, math.ceil(epochs / 3))
    return replace(config, learning_rate=rate, epochs=epochs, patience=patience, seed=seed)


def _scores(
    folder: Path,
    network: Callable[[], keras.Model],
    test: Sequence[Scan],
    way: str,
    n: int,
    labelled: int,
    seed: int,
) -> pd.DataFrame:
    """Score a network on the test subjects, once."""
    path = folder / SCORES
    if not path.exists():
        table = summarize(evaluate(network(), test), ["subject_id"])
        with atomic_file(path) as temporary:
            table.to_csv(temporary, index=False)
    table = pd.read_csv(path, dtype={"subject_id": str})
    table = table.rename(columns={"scans": "test_scans"})
    known: dict[str, Any] = {"way": way, "train_scans": n, "labelled": labelled, "seed": seed}
    for place, name in enumerate(known):
        table.insert(place, name, known[name])
    return table


def learning_curve(subjects: pd.DataFrame) -> pd.DataFrame:
    """Return the mean Dice with an interval over test subjects by way and number of scans.

    A subject's Dice is that of its pixels pooled, averaged over classes and seeds. Subjects without
    a lesion in whom nothing was found have none and are left out.
    """
    rows = []
    for (way, n, labelled), group in subjects.groupby(
        ["way", "train_scans", "labelled"], sort=False
    ):
        each = group.groupby("subject_id")["dice"].mean().dropna()
        interval = bootstrap_interval(each.to_numpy())
        rows.append(
            {
                "way": way,
                "scans": n,
                "labelled": labelled,
                "dice": interval.estimate,
                "low": interval.low,
                "high": interval.high,
                "method": interval.method,
                "subjects": interval.subjects,
                "seeds": group["seed"].nunique(),
            }
        )
    return pd.DataFrame(rows)


def write_adaptation(found: Adaptation, out: str | Path, notes: Sequence[str] = ()) -> str:
    """Write tables, figure and `summary.md`, with `notes` at its end, into a folder; return the summary."""
    out = Path(out)
    for name, table in (("subjects", found.subjects), ("curve", found.curve)):
        with atomic_file(out / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False)
    for ending in ("pdf", "png"):
        save_figure(adaptation_figure(found.curve), out / f"learning_curve.{ending}")
    summary = (
        markdown_table(found.curve) + "\n\n" + "\n".join([*conclusions(found.curve), *notes]) + "\n"
    )
    write_text(out / "summary.md", summary)
    return summary


def conclusions(curve: pd.DataFrame) -> list[str]:
    """Return what the curve says, in careful sentences."""
    rows: dict[str, list[Any]] = {}
    for row in curve.itertuples():
        rows.setdefault(str(row.way), []).append(row)
    said = [f"As it is, the network has a Dice of {_with_interval(rows[AS_IS][0])} on the target."]
    adapted = [row for row in rows.get(ADAPTED, []) if math.isfinite(row.dice)]
    if adapted:
        best = max(adapted, key=lambda row: row.dice)
        scans = f"{best.scans} training scan" + "s" * (best.scans != 1)
        found = f"{_with_interval(best)}, with {scans} ({best.labelled} labelled)"
        said.append(
            "Adapting did not help: no adapted network has a higher Dice than the network as it is. The best "
            f"of them has {found}."
            if best.dice <= rows[AS_IS][0].dice
            else f"Adapted, it has its best, {found}."
        )
    if SCRATCH in rows:
        scratch = {row.scans: row.dice for row in rows[SCRATCH]}
        ahead = [str(row.scans) for row in adapted if row.dice > scratch.get(row.scans, math.inf)]
        said.append(
            "Its mean is ahead of training from scratch with this many scans: "
            f"{', '.join(ahead) or 'none'}."
        )
    said.append(
        "Intervals resample the test subjects; they do not hold what another draw of training "
        "scans would change, for which the seeds are averaged."
    )
    return said


def _with_interval(row: Any) -> str:
    if not math.isfinite(row.low):
        return f"{row.dice:.3f} ({_subjects(row)}: no interval)"
    return f"{row.dice:.3f} [{row.low:.3f}, {row.high:.3f}] ({_subjects(row)})"


def _subjects(row: Any) -> str:
    return "1 subject" if row.subjects == 1 else f"{row.subjects} subjects"
