"""What is to be trained: every depth on every fold with every seed, decided before anything starts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from medream.errors import ConfigError
from medream.split import split_subjects, subject_folds
from medream.training import TrainConfig
from medream.training.config import train_config
from medream.unet import UNetConfig

VALIDATION_SHARE = 0.2
PARTS = ("training", "validation", "test")


@dataclass(frozen=True)
class CompareConfig:
    """What a comparison trains.

    Parameters
    ----------
    levels : tuple of int
        Depths to compare.
    folds : int or None
        Folds of subjects; None leaves each subject out once.
    seeds : int
        Trainings of each depth on each fold, with the seeds `train.seed`, `train.seed + 1`, ... Folds are
        the same for all of them.
    unet : dict
        Settings of `UNetConfig` other than its levels, such as {"base_filters": 8}.
    train : TrainConfig

    Raises
    ------
    ConfigError
        Listing everything that is wrong.

    Examples
    --------
    >>> config = CompareConfig(levels=(2, 3), folds=4, unet={"base_filters": 8})
    >>> CompareConfig(**config.to_json()) == config
    True
    """

    levels: tuple[int, ...] = (2, 3, 4)
    folds: int | None = 5
    seeds: int = 3
    unet: Mapping[str, Any] = field(default_factory=dict)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(dict.fromkeys(self.levels)))
        wrong = []
        if not self.levels:
            wrong.append("there are no levels; give one depth or more")
        if self.folds is not None and (not isinstance(self.folds, int) or self.folds < 2):
            wrong.append(
                f"folds is {self.folds!r}, expected 2 or more, or None to leave each subject out"
            )
        if not isinstance(self.seeds, int) or self.seeds < 1:
            wrong.append(f"seeds is {self.seeds!r}, expected 1 or more")
        try:
            if isinstance(self.train, Mapping):
                object.__setattr__(self, "train", train_config(self.train))
        except ConfigError as error:
            wrong.append(str(error).rstrip("."))
        for levels in self.levels:
            try:
                UNetConfig(levels=levels, **self.unet)
            except ConfigError as error:
                wrong.append(f"{levels} levels: {str(error).rstrip('.')}")
            except TypeError as error:
                wrong.append(f"unet: {error}")
                break
        if wrong:
            raise ConfigError("The comparison cannot start: " + "; ".join(wrong) + ".")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values; `CompareConfig(**settings)` gives them back."""
        return json.loads(json.dumps({**asdict(self), "unet": dict(self.unet)}))


@dataclass(frozen=True)
class Fold:
    """Who trains, who chooses epoch and threshold, and who is scored; subjects by their pseudonyms."""

    name: str
    training: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {key: value if key == "name" else list(value) for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Fold:
        return cls(value["name"], *(tuple(value[part]) for part in PARTS))


@dataclass(frozen=True)
class Training:
    """One network on one fold with one seed."""

    unet: UNetConfig
    train: TrainConfig
    fold: Fold

    @property
    def network(self) -> str:
        return f"unet{self.unet.levels}"

    @property
    def folder(self) -> str:
        """Of its results, below that of the comparison."""
        return f"{self.network}/{self.fold.name}-seed{self.train.seed}"


def make_folds(loads: Mapping[str, float], folds: int | None, seed: int) -> list[Fold]:
    """Deal subjects with their lesion loads into folds, and part each fold's others into training and validation.

    Validation takes about a fifth of the others (`medream.split.split_subjects`). It depends on the fold only,
    so that all depths and seeds see the same people.

    Raises
    ------
    ConfigError
        When there are too few subjects, or too few of them with lesions.
    """
    lesions = sum(load > 0 for load in loads.values())
    wanted = len(loads) if folds is None else folds
    wrong = []
    if len(loads) < 3:
        wrong.append(
            f"there {_are(len(loads), 'subject')}; training, validation and test take at least one each"
        )
    elif len(loads) < wanted:
        wrong.append(f"there {_are(len(loads), 'subject')} for {wanted} folds")
    if folds is not None and lesions < wanted:
        wrong.append(
            f"there {_are(lesions, 'subject')} with lesions for {wanted} folds, so that a fold would hold "
            "no lesion"
        )
    elif lesions < 3:
        wrong.append(
            f"there {_are(lesions, 'subject')} with lesions; training, validation and test need one each"
        )
    if wrong:
        raise ConfigError(
            f"The comparison cannot start: {'; '.join(wrong)}. Take fewer folds, or add subjects. Subjects "
            "are told apart by the names of files and folders: 'medream data check' lists them."
        )
    held_out = [[s] for s in sorted(loads)] if folds is None else subject_folds(loads, folds, seed)
    found = []
    for number, test in enumerate(held_out, start=1):
        others = {s: load for s, load in sorted(loads.items()) if s not in test}
        training, validation = split_subjects(others, VALIDATION_SHARE)
        found.append(Fold(f"fold{number}", tuple(training), tuple(validation), tuple(test)))
    return found


def _are(count: int, noun: str) -> str:
    return f"is 1 {noun}" if count == 1 else f"are {count} {noun}s"


def trainings(config: CompareConfig, folds: Sequence[Fold], classes: int) -> Iterator[Training]:
    """Yield every training: the depths of a fold and seed follow each other, so that a comparison that
    is stopped early has compared them on whole folds."""
    for fold in folds:
        for number in range(config.seeds):
            for levels in config.levels:
                unet = UNetConfig(
                    levels=levels, **{"classes": 1 if classes == 1 else classes + 1, **config.unet}
                )
                yield Training(unet, replace(config.train, seed=config.train.seed + number), fold)
