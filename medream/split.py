"""Train, validation and test by subject: people are split, never B-scans."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence

from medream.errors import ConfigError
from medream.scan import Scan

SPLITS = ("train", "validation", "test")


class LeakWarning(UserWarning):
    """Parts of a data set may share a person, so scores on one flatter the other."""


def split_subjects(loads: Mapping[str, float], share: float) -> tuple[list[str], list[str]]:
    """Divide subjects into those kept and those held out, alike in lesion load.

    Subjects with lesions and subjects without are each ordered by load, and evenly spaced
    ones are held out, a single one from the middle. Where two subjects hold lesions, both
    sides get one. The same input always gives the same answer.

    Parameters
    ----------
    loads : {subject: lesion load}
        Any measure of how much lesion a subject has, such as the pixels of its masks.
    share : float in (0, 1)
        Share of the subjects to hold out; at least one, and at least one stays.

    Returns
    -------
    kept, held_out : list of str
        In the order of `loads`.

    Raises
    ------
    ConfigError
        With fewer than two subjects, or a share outside (0, 1).

    Examples
    --------
    >>> split_subjects({"a": 0, "b": 90, "c": 10, "d": 40, "e": 0}, share=0.2)
    (['a', 'b', 'c', 'e'], ['d'])
    """
    if len(loads) < 2 or not 0 < share < 1:
        raise ConfigError(
            f"Cannot hold out a share of {share} of {len(loads)} subjects; expected two subjects "
            "or more and a share between 0 and 1."
        )
    ordered = sorted(loads, key=lambda subject: loads[subject])
    with_lesion = [subject for subject in ordered if loads[subject] > 0]
    without = [subject for subject in ordered if not loads[subject] > 0]
    count = min(max(round(share * len(loads)), 1), len(loads) - 1)
    from_lesion = 0
    if len(with_lesion) > 1:
        from_lesion = min(max(round(share * len(with_lesion)), 1), len(with_lesion) - 1, count)
    from_rest = min(count - from_lesion, len(without) - (not with_lesion))
    held_out = {*_spaced(with_lesion, from_lesion), *_spaced(without, max(from_rest, 0))}
    return [s for s in loads if s not in held_out], [s for s in loads if s in held_out]


def _spaced(ordered: list[str], count: int) -> list[str]:
    return [ordered[(2 * k + 1) * len(ordered) // (2 * count)] for k in range(count)]


def split_block(loads: Sequence[float], share: float) -> range:
    """Choose the contiguous block of one volume's B-scans to hold out.

    The block's part of the lesion load comes as close to `share` as it can.

    Parameters
    ----------
    loads : sequence of float
        Lesion load of each B-scan, in order.
    share : float in (0, 1)

    Returns
    -------
    range
        Positions held out; at least one, and at least one stays.

    Raises
    ------
    ConfigError
        With fewer than two B-scans.

    Examples
    --------
    >>> split_block([0, 0, 5, 5, 10, 10, 5, 5, 0, 0], share=0.2)
    range(2, 4)
    """
    if len(loads) < 2:
        raise ConfigError("Cannot split a single B-scan; expected two or more.")
    size = min(max(round(share * len(loads)), 1), len(loads) - 1)
    total = sum(loads) or 1.0

    def unlike(start: int) -> float:
        return abs(sum(loads[start : start + size]) / total - share)

    start = min(range(len(loads) - size + 1), key=unlike)
    return range(start, start + size)


def hold_out(scans: Sequence[Scan], share: float = 0.2) -> tuple[Sequence[Scan], Sequence[Scan]]:
    """Divide scans by subject into those kept and those held out.

    With a single subject a contiguous block of its B-scans is held out, with a `LeakWarning`.

    Parameters
    ----------
    scans : sequence of Scan
    share : float in (0, 1)
        Share of the subjects to hold out.

    Returns
    -------
    kept, held_out : list of Scan
        Of `Packed` scans these are `Packed`, too.

    Raises
    ------
    ConfigError
        With fewer than two scans.
    """
    loads: dict[str, float] = {}
    lesion: list[float] = []
    people: list[str] = []
    for scan in scans:  # once, since they may be read one by one
        lesion.append(0.0 if scan.mask is None else float((scan.mask > 0).sum()))
        people.append(scan.source.subject_id)
        loads[people[-1]] = loads.get(people[-1], 0.0) + lesion[-1]
    if len(loads) > 1:
        _, subjects = split_subjects(loads, share)
        held = [person in subjects for person in people]
    else:
        block = split_block(lesion, share)
        held = [k in block for k in range(len(scans))]
        warnings.warn(
            "All scans are of one subject, so training and validation share a person and the "
            "validation score flatters the model. Name the subjects, or add another one.",
            LeakWarning,
            stacklevel=2,
        )
    kept, out = ([k for k, one in enumerate(held) if one == side] for side in (False, True))
    if hasattr(scans, "subset"):
        return scans.subset(kept), scans.subset(out)
    return [scans[k] for k in kept], [scans[k] for k in out]


def leave_one_subject_out(
    scans: Sequence[Scan],
) -> Iterator[tuple[str, list[Scan], list[Scan]]]:
    """Yield (subject, scans of all others, scans of the subject) for each subject in order.

    Raises
    ------
    ConfigError
        When the scans come from fewer than two subjects.
    """
    scans = list(scans)
    subjects = list(dict.fromkeys(scan.source.subject_id for scan in scans))
    if len(subjects) < 2:
        raise ConfigError(
            f"Cannot leave one subject out of {len(subjects)}; expected scans of two or more."
        )
    for subject in subjects:
        test = [scan for scan in scans if scan.source.subject_id == subject]
        yield subject, [scan for scan in scans if scan.source.subject_id != subject], test


def subject_folds(loads: Mapping[str, float], folds: int, seed: int = 0) -> list[list[str]]:
    """Deal subjects into folds that are alike in lesion load.

    Subjects without lesion make one stratum; those with lesions are ordered by load and make as many
    strata as can give every fold a member. Each stratum is dealt out evenly (scikit-learn's
    `StratifiedKFold` with one row a subject, so that nobody's B-scans are ever parted). The order of
    `loads` does not matter.

    Parameters
    ----------
    loads : {subject: lesion load}
        Any measure of how much lesion a subject has, such as the pixels of its masks.
    folds : int, at least 2
    seed : int
        Of the dealing within the strata.

    Returns
    -------
    list of list of str
        The subjects held out in each fold: each subject once, sorted by name.

    Raises
    ------
    ConfigError
        When there are fewer subjects with lesions than folds, so that a fold could not be scored.

    Examples
    --------
    >>> subject_folds({"a": 0, "b": 90, "c": 10, "d": 40, "e": 0, "f": 70}, folds=2)
    [['b', 'c', 'e'], ['a', 'd', 'f']]
    """
    subjects = sorted(loads)
    lesion = sorted((s for s in subjects if loads[s] > 0), key=lambda s: loads[s])
    if folds < 2 or len(lesion) < folds:
        raise ConfigError(
            f"Cannot deal {len(subjects)} subjects, {len(lesion)} of them with lesions, into {folds} "
            "folds; expected two folds or more, and a subject with lesions for each."
        )
    from sklearn.model_selection import StratifiedKFold  # a second to import

    size = len(lesion) / (len(lesion) // folds)
    strata = {subject: 1 + int(rank / size) for rank, subject in enumerate(lesion)}
    labels = [strata.get(subject, 0) for subject in subjects]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fewer healthy subjects than folds
        deal = StratifiedKFold(folds, shuffle=True, random_state=seed).split(subjects, labels)
        return [[subjects[k] for k in held_out] for _, held_out in deal]
