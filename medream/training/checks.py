"""What keeps a training from starting: people on both sides, and settings that do not fit the scans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medream.errors import ConfigError
from medream.scan import Scan
from medream.training.config import TrainConfig
from medream.unet import UNetConfig


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
    contents = getattr(dataset, "_contents", None)
    if contents is not None and dataset.split == "train":
        _refuse(contents.known_on_both_sides, f"{dataset.path}")


def refuse_shared_validation(scans: Sequence[Scan], validation: Sequence[Scan]) -> None:
    """Raise when a subject of the validation scans is trained on, too.

    B-scans of one subject alone may be parted, since there is nobody else to hold out. Subjects that
    bear the name of their data set or device stand for people that nothing tells apart.
    """
    people, others = ({s.source.subject_id: s.source for s in part} for part in (scans, validation))
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
    scans: Sequence[Scan], validation: Sequence[Scan], config: UNetConfig, train_config: TrainConfig
) -> None:
    """Raise `ConfigError` with everything that scans and settings of a training have wrong."""
    wrong = []
    for part, name in ((scans, "training"), (validation, "validation")):
        if not part:
            wrong.append(f"there are no {name} scans")
            continue
        bare = [s.source.name for s in part if s.mask is None]
        if bare:
            wrong.append(f"{len(bare)} {name} scans have no mask ({', '.join(bare[:3])}, ...)")
        elif not any(bool(s.mask.any()) for s in part):  # type: ignore[union-attr]
            wrong.append(f"no {name} scan holds a lesion, so Dice is undefined")
    names = {s.classes for s in [*scans, *validation]}
    if len(names) > 1:
        wrong.append(f"scans name different classes: {', '.join(map(str, sorted(names)))}")
    elif names:
        (classes,) = names
        outputs = 1 if len(classes) == 1 else len(classes) + 1
        if config.classes != outputs:
            wrong.append(
                f"the scans have {len(classes)} classes ({', '.join(classes)}), which takes "
                f"UNetConfig(classes={outputs}) instead of {config.classes}"
            )
    if config.in_channels != 1:
        wrong.append(
            f"scans are grey, so UNetConfig(in_channels=1) instead of {config.in_channels}"
        )
    if any(side % config.stride for side in train_config.image_size):
        wrong.append(
            f"image_size {train_config.image_size} is no multiple of {config.stride}, the stride of a "
            f"network with {config.levels} levels"
        )
    if wrong:
        raise ConfigError("Training cannot start: " + "; ".join(wrong) + ".")
