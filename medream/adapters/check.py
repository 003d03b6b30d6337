"""`check_dataset`: every problem of a data set at once, each with the files and what to do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medream.adapters.dataset import Contents, Item, size_mismatch
from medream.adapters.opening import list_contents
from medream.errors import ScanError
from medream.progress import progress
from medream.readers.raster import ClassMap

SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Problem:
    """Something about a data set that its user should know.

    Parameters
    ----------
    severity : {"error", "warning", "note"}
        An error keeps scans from being read or makes scores worthless; a warning endangers
        them; a note is worth knowing.
    what, advice : str
        What is the matter, and what to do about it.
    where : tuple of str
        The files it concerns.
    """

    severity: str
    what: str
    where: tuple[str, ...]
    advice: str

    def __str__(self) -> str:
        shown = ", ".join(self.where[:3]) + (", ..." if len(self.where) > 3 else "")
        already_named = any(file in self.what for file in self.where)
        files = f" ({shown})" if shown and not already_named else ""
        return f"{self.severity}: {self.what}{files}. {self.advice}".rstrip()


@dataclass(frozen=True)
class Looked:
    """What reading an item's pixels showed; None where that could not be read."""

    item: Item
    shape: tuple[int, ...] | None
    digest: str | None
    labels: frozenset[int] | None
    errors: tuple[ScanError, ...]


def check_dataset(
    path: str | Path,
    adapter: str | None = None,
    *,
    class_map: ClassMap | None = None,
    subject_pattern: str | None = None,
    **options: Any,
) -> list[Problem]:
    """Read a whole data set and list every problem, the gravest first.

    Finds unreadable files, masks that are missing, lack an image, differ in size, or cannot be
    decoded; the same picture twice; subjects on both sides of a split; and notes empty masks,
    mixed sizes, and missing spacing.

    Parameters
    ----------
    path, adapter, class_map, subject_pattern, **options
        As for `open_dataset`.

    Returns
    -------
    list of Problem
        Empty when there is nothing to say.

    Raises
    ------
    ScanError
        When `path` is no folder.

    Examples
    --------
    >>> import tempfile
    >>> from medream.phantom import phantom_scans, save_phantom
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_phantom(phantom_scans(6, size=(64, 64), bscans_per_subject=2), folder)
    ...     problems = check_dataset(folder)
    >>> [problem.severity for problem in problems if problem.severity == "error"]
    []
    """
    if not Path(path).is_dir():
        list_contents(path)  # raises what is the matter with the path
    try:
        contents = list_contents(
            path, adapter, class_map=class_map, subject_pattern=subject_pattern, **options
        )
    except ScanError as error:
        return [_problem("error", str(error), (str(path),))]
    return by_severity(find_problems(contents, look_at(contents)))


def by_severity(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems with the gravest first."""
    return sorted(problems, key=lambda problem: SEVERITIES.index(problem.severity))


def find_problems(
    contents: Contents, looked: Sequence[Looked], of_files: bool = False
) -> list[Problem]:
    """Return what is wrong with a data set that was looked at, or with its files alone."""
    checks = _CHECKS_OF_FILES if of_files else (*_CHECKS_OF_FILES, *_CHECKS_OF_USE)
    return [problem for check in checks for problem in check(contents, looked)]


def look_at(contents: Contents) -> list[Looked]:
    """Read every B-scan and mask of a data set, and keep what it showed."""
    looked = []
    with progress("check", total=len(contents.items)) as update:
        for item in contents.items:
            looked.append(_look(item, contents.class_map))
            update()
    return looked


def _problem(severity: str, message: str, where: tuple[str, ...]) -> Problem:
    """Make a problem of an error's message, whose last sentence says what to do."""
    what, _, advice = message.rpartition(". ")
    return Problem(severity, what or advice.rstrip("."), where, advice if what else "")


def _look(item: Item, class_map: ClassMap | None) -> Looked:
    errors: list[ScanError] = []

    def attempt(read: Callable[[], np.ndarray | None]) -> np.ndarray | None:
        try:
            return read()
        except ScanError as error:
            errors.append(error)
            return None

    image = attempt(item.read_image)
    mask = attempt(lambda: item.read_mask(class_map))
    if image is not None and mask is not None and image.shape != mask.shape:
        errors.append(size_mismatch(item, image.shape, mask.shape))
    return Looked(
        item=item,
        shape=None if image is None else image.shape,
        # Of the pixels, so that the same picture saved anew is found too.
        digest=None if image is None else hashlib.sha256(image.tobytes()).hexdigest(),
        labels=None if mask is None else frozenset(np.unique(mask).tolist()),
        errors=tuple(errors),
    )


def _files(items: Iterable[Item]) -> tuple[str, ...]:
    return tuple(str(item.image) for item in items)


def _unreadable(contents: Contents, looked: Sequence[Looked]) -> Iterable[Problem]:
    for one in looked:
        for error in one.errors:
            broken = [f for f in (one.item.image, one.item.mask) if f and str(f) in str(error)]
            yield _problem("error", str(error), tuple(str(file) for file in broken))


def _broken(contents: Contents, looked: Sequence[Looked]) -> Iterable[Problem]:
    for error in contents.broken:
        yield _problem("error", str(error), ())


def _missing_masks(contents: Contents, looked: Sequence[Looked]) -> Iterable[Problem]:
    without = [item for item in contents.items if item.mask is None]
    if len(without) == len(contents.items):
        yield Problem(
            "note",
            "no masks found, only images",
            (),
            "To train and evaluate, put masks of the same names into 'GT' or 'masks'.",
        )
        without = []
    masked = {item.split for item in contents.items if item.mask is not None}
    for split in dict.fromkeys(item.split for item in without if item.split not in masked):
        yield Problem(
            "note",
            f"the {split} part has no masks",
            (),
            "It can be segmented, not scored, as the test part of a challenge.",
        )
    without = [item for item in without if item.split in masked]
    if without:
        yield Problem(
            "error",
            f"{len(without)} of {len(contents.items)} images have no mask",
            _files(without),
            "Name each mask as its image (the suffix may differ); draw an empty mask where there "
            "is no lesion.",
        )
    if contents.orphans:
        yield Problem(
            "error",
            f"{len(contents.orphans)} masks have no image",
            tuple(str(file) for file in contents.orphans),
            "Name each mask as its image, or remove it.",
        )
    for files in contents.ambiguous:
        yield Problem(
            "error",
            f"{len(files)} masks match one image",
            tuple(str(file) for file in files),
            "Keep one of them.",
        )


def _duplicates(contents: Contents, looked: Sequence[Looked]) -> Iterable[Problem]:
    parts = {item: split for split, items in contents.parts.items() for item in items}
    by_digest: dict[str, list[Item]] = {}
    for one in looked:
        if one.digest:
            by_digest.setdefault(one.digest, []).append(one.item)
    for items in by_digest.values():
        if len(items) < 2:
            continue
        splits = sorted({parts[item] for item in items})
        if len(splits) > 1:
            yield Problem(
                "error",
                f"the same picture lies in {' and '.join(splits)}",
                _files(items),
                "Remove it from one of them, or scores on it are worthless.",
            )
        else:
            yield Problem(
                "warning",
                f"the same picture is there {len(items)} times",
                _files(items),
                "Keep one of them.",
            )


def _subjects(contents: Contents, looked: Sequence[Looked]) -> Iterable[Problem]:
    for subject, splits in contents.known_on_both_sides.items():
        yield Problem(
            "error",
            f"subject {subject} is in {' and '.join(splits)}",
            _files(item for item in contents.items if item.source.subject_id == subject),
            "Move all of a subject's scans to one side.",
        )
    for message in (*contents.remarks, *contents.assumed_warnings):
        yield _problem("warning", message, ())


def _notes(contents: Contents, looked: Sequence[Looked]) -> Iterable[Problem]:
    empty = [one.item for one in looked if one.labels is not None and not one.labels - {0}]
    if empty:
        yield Problem(
            "note",
            f"{len(empty)} of {len(looked)} masks are empty",
            _files(empty),
            "Right where there is no lesion; their Dice is undefined and left out of means.",
        )
    shapes = sorted({one.shape for one in looked if one.shape})
    if len(shapes) > 1:
        yield Problem(
            "note",
            "images differ in size: " + ", ".join(f"{s[0]} x {s[1]}" for s in shapes[:6]),
            (),
            "Training cuts patches at each one's own pixel size; name one device at a time if they come "
            "from several.",
        )
    if contents.spacing_mm is None and not all(item.spacing_mm for item in contents.items):
        yield Problem(
            "note",
            "the spacing of the pixels is unknown",
            (),
            "For distances in mm and scale bars write spacing_mm = [axial, lateral] into "
            "dataset.toml.",
        )
    if contents.volumes_beside:
        yield Problem(
            "warning",
            f"{len(contents.volumes_beside)} volumes beside the pictures are not used",
            tuple(str(file) for file in contents.volumes_beside),
            "Put them into a folder of their own, or convert them to png.",
        )
    if contents.ignored:
        yield Problem(
            "note",
            f"{len(contents.ignored)} pictures outside of the image folders are not used",
            tuple(str(file) for file in contents.ignored),
            "Move them into a folder 'Image' or 'images' if they are B-scans.",
        )


_SPACINGS = (0.0001, 0.5)  # beyond these no pixel of an OCT scan is, in millimetres


def absurd(spacing_mm: tuple[float, float]) -> bool:
    """Tell whether a spacing is none of OCT, as when micrometres are taken for millimetres.

    >>> absurd((3.9, 11.5)), absurd((0.0039, 0.0115))
    (True, False)
    """
    low, high = _SPACINGS
    return not all(low <= length <= high for length in spacing_mm)


def _spacing(contents: Contents, looked: Sequence[Looked]) -> Iterable[Problem]:
    found: dict[tuple[float, float], list[Item]] = {}
    for item in contents.items:
        spacing = item.spacing_mm or contents.spacing_mm
        if spacing is not None and absurd(spacing):
            found.setdefault(spacing, []).append(item)
    for (axial, lateral), items in found.items():
        yield Problem(
            "warning",
            f"a spacing of {axial:g} x {lateral:g} mm is none of OCT",
            _files(items),
            "It may be in micrometres: write spacing_mm = [axial, lateral] in millimetres into "
            "dataset.toml, or mend the files' headers.",
        )


_CHECKS_OF_FILES = (_broken, _unreadable, _missing_masks)
_CHECKS_OF_USE = (_duplicates, _subjects, _spacing, _notes)
