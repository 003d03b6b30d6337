"""What keeps a training from starting: people on both sides, and settings that do not fit the scans."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medream.errors import ConfigError, nearest
from medream.scan import Scan, sources_of
from medream.training.census import Census, take_census
from medream.training.config import TrainConfig
from medream.training.optimizers import layer_factor
from medream.unet import UNetConfig, build_unet


def refuse_shared_subjects(dataset: Any) -> None:
    """Raise when a data set's own folders put a subject on both sides of its parts.

    Only the part that is to be trained on is looked at: all of a data set, or scans in a list, have no
    other side. Where no name tells people apart, opening the data set has warned already.

    Parameters
    ----------
    dataset : Dataset, or any sequence of Scan

    Raises
    ------
    ConfigError
        Naming the subjects and their parts.
    """
    if getattr(dataset, "split", None) == "train":
        _refuse(dataset.shared_subjects, f"{dataset.path}")


def refuse_shared_validation(scans: Sequence[Scan], validation: Sequence[Scan]) -> None:
    """Raise when a subject of the validation scans is trained on, too.

    B-scans of one subject alone may be parted, since there is nobody else to hold out. Subjects that
    bear the name of their data set or device stand for people that nothing tells apart.
    """
    people, others = ({s.subject_id: s for s in sources_of(part)} for part in (scans, validation))
    named = {
        subject: ["train", "validation"]
        for subject, source in people.items()
        if subject in others and subject not in ("unknown", source.dataset, source.device)
    }
    if len(people) > 1:
        _refuse(named, "The scans")


def _refuse(shared: Mapping[str, Sequence[str]], where: str) -> None:
    if not shared:
        return
    listed = [f"{subject} in {' and '.join(parts)}" for subject, parts in list(shared.items())[:5]]
    more = f", and {len(shared) - 5} more" if len(shared) > 5 else ""
    raise ConfigError(
        f"{where}: people lie on both sides of the split ({'; '.join(listed)}{more}), so that scores would "
        "flatter the network. Move all of a subject's scans to one side, or put all scans into one folder "
        "without train and test: then whole subjects are held out. 'medream data check' lists the files."
    )


def check_settings(
    scans: Sequence[Scan],
    validation: Sequence[Scan],
    config: UNetConfig | Sequence[UNetConfig],
    train_config: TrainConfig,
    freeze: Sequence[str] = (),
) -> None:
    """Raise `ConfigError` with everything that scans and settings of one training or several have wrong."""
    check_censuses(take_census(scans), take_census(validation), config, train_config, freeze)


def check_censuses(
    training: Census,
    validation: Census,
    config: UNetConfig | Sequence[UNetConfig],
    train_config: TrainConfig,
    freeze: Sequence[str] = (),
) -> None:
    """Do as `check_settings` with scans that are counted already."""
    configs = [config] if isinstance(config, UNetConfig) else config
    wrong = [*_wrong_scans(training, "training"), *_wrong_scans(validation, "validation")]
    for one in configs:
        wrong += _wrong_classes(training, validation, one, train_config)
        wrong += _wrong_sizes(training, validation, one, train_config)
        wrong += _wrong_layers(one, train_config, freeze)
    if wrong:
        raise ConfigError("Training cannot start: " + "; ".join(dict.fromkeys(wrong)) + ".")


def _wrong_scans(census: Census, name: str) -> Iterator[str]:
    if not census.scans:
        yield f"there are no {name} scans"
        return
    for names, what in (
        (census.bare, "have no mask"),
        (census.damaged, "hold pixels that are no finite numbers"),
    ):
        if names:
            yield f"{len(names)} {name} scans {what} ({_some(names)})"
    if not census.bare and not census.lesion_scans:
        yield f"no {name} scan holds a lesion, so Dice is undefined"


def _wrong_classes(
    training: Census, validation: Census, config: UNetConfig, train_config: TrainConfig
) -> Iterator[str]:
    names = training.classes | validation.classes
    if len(names) > 1:
        yield f"scans name different classes: {', '.join(map(str, sorted(names)))}"
    elif names:
        (classes,) = names
        outputs = 1 if len(classes) == 1 else len(classes) + 1
        if config.classes != outputs:
            yield (
                f"the scans have {len(classes)} classes ({', '.join(classes)}), which takes "
                f"UNetConfig(classes={outputs}) instead of {config.classes}"
            )
    if training.lesion_scans and training.lacking and not training.bare:
        yield (
            f"no training scan holds {' or '.join(training.lacking)}, which the scans name as "
            f"class{'es' * (len(training.lacking) > 1)}; leave such classes out of the data set's names"
        )
    if config.classes > 1 and train_config.threshold != "validation":
        yield (
            f"threshold {train_config.threshold} is for networks with one output; of {config.classes} "
            "the largest probability decides"
        )


def _wrong_sizes(
    training: Census, validation: Census, config: UNetConfig, train_config: TrainConfig
) -> Iterator[str]:
    if config.in_channels != 1:
        yield f"scans are grey, so UNetConfig(in_channels=1) instead of {config.in_channels}"
    size, stride = train_config.image_size, config.stride
    network = f"{stride}, the stride of a network with {config.levels} levels"
    if min(size) < stride:
        yield f"image_size {size} is smaller than {network}"
    elif any(side % stride for side in size):
        yield f"image_size {size} is no multiple of {network}"
    for census, name in ((training, "training"), (validation, "validation")):
        if census.scans and min(census.smallest) < stride:
            depth, width = census.smallest
            yield f"{name} scans have only {depth} rows or {width} columns, fewer than {network}"
    patches = training.patches(size)
    wanted = train_config.batch_size * train_config.accumulate
    if training.scans and wanted > patches:
        product = f" times accumulate {train_config.accumulate}" * (train_config.accumulate > 1)
        yield (
            f"batch_size {train_config.batch_size}{product} is more than the {patches} patches that cover "
            "the training scans once"
        )


def _wrong_layers(
    config: UNetConfig, train_config: TrainConfig, freeze: Sequence[str]
) -> Iterator[str]:
    if not (freeze or train_config.layer_rates):
        return
    names = [layer.name for layer in build_unet(config).layers if layer.weights]
    for what, patterns in (("freeze", freeze), ("layer_rates", train_config.layer_rates)):
        for pattern in patterns:
            if not fnmatch.filter(names, pattern):
                near = nearest(pattern, names).rstrip(".")
                yield f"{what}: no layer with weights is called {pattern!r} ({near})"
    if all(
        any(fnmatch.fnmatchcase(name, pattern) for pattern in freeze)
        or not layer_factor(train_config.layer_rates, name)
        for name in names
    ):
        told = [*freeze, *train_config.layer_rates]
        yield f"{', '.join(told)} leave no weight to train"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
