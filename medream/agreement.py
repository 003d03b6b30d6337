"""Masks against masks: anybody's predictions, or a second grader, beside a reference."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medream.adapters.mask_files import Masks, check_values, read_mask_file
from medream.adapters.mask_folders import MaskFile, pair_masks
from medream.errors import ConfigError, ScanError
from medream.evaluation import ANY, matching
from medream.files import sha256_of
from medream.metrics import TOLERANCE_MM, Evaluation, Found, Tally
from medream.progress import progress
from medream.scan import Scan, Source

_CLEAR = 0.02  # spacings differ when they are so far apart


def evaluate_masks(
    predictions: str | Path,
    references: str | Path,
    *,
    spacing_mm: tuple[float, float] | None = None,
    classes: Sequence[str] | None = None,
    union: bool = False,
    tolerance_mm: float = TOLERANCE_MM,
) -> Evaluation:
    """Score files of masks against files of reference masks.

    Parameters
    ----------
    predictions, references : paths of folders, or of two files
        Paired by name; see `pair_masks`. Files of volumes give a row for each B-scan.
    spacing_mm : (axial, lateral), optional
        Of all files, where the references do not tell it; without any, scores in mm are NaN.
    classes : sequence of str, optional
        Names of the labels 1, 2, ... on both sides. Default: those in the files, or numbers.
    union : bool
        Compare lesion of any class with lesion of any class, as one class "lesion".
    tolerance_mm : float
        Of the surface Dice.

    Returns
    -------
    Evaluation
        As of a network. Without probabilities there is no calibration and no detection AUC.

    Raises
    ------
    ScanError
        When files have no counterpart or another size, or cannot be read.
    ConfigError
        When the classes of both sides do not correspond, or spacings contradict each other.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("subject01_ref.npy", "subject01_pred.npy"):
    ...         np.save(f"{folder}/{name}", np.ones((4, 6), "uint8"))
    ...     found = evaluate_masks(f"{folder}/subject01_pred.npy", f"{folder}/subject01_ref.npy")
    >>> found.scans[["subject_id", "dice"]].values.tolist()
    [['subject01', 1.0]]
    """
    files = pair_masks(predictions, references)
    spacing_mm = None if spacing_mm is None else _checked_spacing(spacing_mm)
    ours, theirs = _looked_through(files, spacing_mm)
    joined = _joined(ours, theirs, classes, union)
    tally, counted = Tally(tolerance_mm), dict[tuple[str, str], int]()
    with progress("evaluate", len(files)) as update:
        for prediction, reference in files:
            wanted = read_mask_file(reference.path)
            found = read_mask_file(prediction.path, wanted.axes)
            for k in range(len(wanted.labels)):
                index = counted.get(reference.names, 0)
                counted[reference.names] = index + 1
                tally.add(
                    _source(reference, index),
                    [_found(name, own, other, wanted, found, k) for name, own, other in joined],
                    spacing_mm=wanted.spacing_mm or spacing_mm,
                    bscan_spacing_mm=wanted.bscan_spacing_mm,
                )
            update(1)
    return tally.evaluation()


def mask_hashes(predictions: str | Path, references: str | Path) -> dict[str, str]:
    """Return one SHA-256 of each pair of files, under the name of the reference's subject and volume."""
    hashes: dict[str, str] = {}
    for prediction, reference in pair_masks(predictions, references):
        both = "".join(sha256_of(one.path) for one in (prediction, reference))
        subject, volume = reference.names
        hashes[f"{subject}/{volume}/{reference.key}"] = hashlib.sha256(both.encode()).hexdigest()
    return hashes


@dataclass
class _Side:
    """What all files of one side hold together."""

    kind: str
    named: dict[tuple[str, ...], Path]
    highest: int = 0

    def add(self, masks: Masks, path: Path) -> None:
        self.highest = max(self.highest, int(masks.labels.max()))
        if masks.classes is not None:
            self.named.setdefault(masks.classes, path)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names in the files, which must agree."""
        if len(self.named) > 1:
            (a, one), (b, other) = list(self.named.items())[:2]
            raise ConfigError(
                f"{one} names the classes {', '.join(a)}, {other} {', '.join(b)}; expected one naming of all "
                f"{self.kind}. Score them apart."
            )
        return next(iter(self.named), None)


def _looked_through(
    files: Sequence[tuple[MaskFile, MaskFile]], spacing_mm: tuple[float, float] | None
) -> tuple[_Side, _Side]:
    """Read everything once, so that all that is wrong is said before anything is scored."""
    ours, theirs = _Side("predictions", {}), _Side("references", {})
    wrong: list[str] = []
    for prediction, reference in files:
        wanted = read_mask_file(reference.path)
        found = read_mask_file(prediction.path, wanted.axes)
        if found.labels.shape != wanted.labels.shape:
            wrong.append(
                f"{prediction.path} ({_size(found)}) and {reference.path} ({_size(wanted)})"
            )
        own = wanted.spacing_mm
        if own and spacing_mm and not np.allclose(own, spacing_mm, rtol=_CLEAR, atol=0):
            raise ConfigError(
                f"{reference.path} has a spacing of {own[0]:g} x {own[1]:g} mm (axial x lateral), but "
                f"{spacing_mm[0]:g} x {spacing_mm[1]:g} mm is given. Leave --spacing out, or correct the file."
            )
        ours.add(found, prediction.path)
        theirs.add(wanted, reference.path)
    if wrong:
        more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ScanError(
            f"{len(wrong)} of {len(files)} predictions are not of the size of their reference (B-scans x depth "
            f"x width): {'; '.join(wrong[:5])}{more}. Bring the predictions back to the references' pixels, "
            "by nearest neighbour."
        )
    for side in zip(*files, strict=True):
        check_values([file.path for file in side])
    return ours, theirs


def _size(masks: Masks) -> str:
    return " x ".join(map(str, masks.labels.shape))


def _joined(
    ours: _Side, theirs: _Side, classes: Sequence[str] | None, union: bool
) -> list[tuple[str, int, int]]:
    """Return of each class its name, its label in the references and in the predictions; 0 is any."""
    highest = max(ours.highest, theirs.highest)
    if union:
        return [(ANY, 0, 0)]
    if classes is not None:
        names = tuple(classes)
        if highest > len(names) or len(set(names)) < len(names):
            raise ConfigError(
                f"The masks hold class ids up to {highest}, but {len(names)} classes are named "
                f"({', '.join(names)}); expected one name for each id, all different."
            )
        return [(name, k, k) for k, name in enumerate(names, start=1)]
    named = [side.classes for side in (theirs, ours)]
    if None not in named:
        return matching(named[0] or (), named[1] or (), "the reference", "the prediction")
    known = named[0] or named[1]
    if known and highest <= len(known):
        return [(name, k, k) for k, name in enumerate(known, start=1)]
    if min(ours.highest, theirs.highest) <= 1 < highest:
        one, several = (theirs, ours) if ours.highest > 1 else (ours, theirs)
        raise ConfigError(
            f"The {several.kind} hold class ids up to {several.highest}, the {one.kind} only "
            f"{one.highest}: which of the classes is meant is not known. Compare lesion of any class with "
            "--union (union=True), or, where the ids mean the same on both sides, name all classes in order "
            "with --class (classes=...), as in --class IRF --class SRF --class PED."
        )
    if highest <= 1:
        return [((known or ("fluid",))[0], 1, 1)]
    return [(f"class{k}", k, k) for k in range(1, highest + 1)]


def _found(name: str, own: int, other: int, wanted: Masks, found: Masks, k: int) -> Found:
    reference, prediction = wanted.labels[k], found.labels[k]
    likely = None if found.probability is None else found.probability[k]
    if likely is not None and likely.ndim == 3:
        likely = likely[..., other] if other else 1 - likely[..., 0]
    return Found(
        name,
        reference == own if own else reference > 0,
        prediction == other if other else prediction > 0,
        likely,
    )


def _source(file: MaskFile, index: int) -> Source:
    subject, volume = file.names
    return Source(file.root, subject, volume, index, path=str(file.path))


def _checked_spacing(spacing_mm: tuple[float, float]) -> tuple[float, float]:
    if len(spacing_mm) != 2 or not all(np.isfinite(s) and s > 0 for s in spacing_mm):
        raise ConfigError(
            f"The spacing is {spacing_mm}; expected axial and lateral pixel size in millimetres, both "
            "positive, such as 0.0039 0.0115."
        )
    return float(spacing_mm[0]), float(spacing_mm[1])


def add_grader(tally: Tally, scan: Scan, mask: np.ndarray) -> None:
    """Count a grader's mask of a scan against the scan's own, class by class."""
    second = replace(scan, mask=mask)
    assert scan.mask is not None
    assert second.mask is not None
    tally.add(
        scan.source,
        [
            Found(name, scan.mask == label, second.mask == label)
            for label, name in enumerate(scan.classes, start=1)
        ],
        valid=scan.valid,
        spacing_mm=scan.spacing_mm,
    )
