"""Scoring a network on scans with masks, and a grader's or any other program's masks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from medream.errors import ConfigError, ModelError
from medream.metrics import TOLERANCE_MM, Evaluation, Found, Tally
from medream.progress import progress
from medream.scan import Scan, Source

if TYPE_CHECKING:
    from medream.segmentation import Models, Segmentation

ANY = "lesion"
"""Name of the union of all classes."""


def evaluate(
    model: Models,
    scans: Iterable[Scan],
    on_scan: Callable[[Scan, Segmentation], None] | None = None,
    *,
    threshold: float | None = None,
    tta: bool = False,
    union: bool = False,
    tolerance_mm: float = TOLERANCE_MM,
) -> pd.DataFrame:
    """Score a network on every scan.

    A network with one output is compared with the union of a scan's classes.

    Parameters
    ----------
    model : keras.Model or sequence of keras.Model
        Of several networks the probabilities are averaged.
    scans : iterable of Scan, all with masks
        A `Dataset` brings the distance of its B-scans along, where it is known.
    on_scan : callable, optional
        Called with each scan and what the network says of it.
    threshold, tta
        As for `segment`.
    union : bool
        Compare lesion of any class with lesion of any class, as one class "lesion".
    tolerance_mm : float
        Of the surface Dice.

    Returns
    -------
    DataFrame
        One row per scan and class: the table `Evaluation.scans`. `metrics.summarize` pools it;
        `full_evaluation` has the other tables as well.

    Raises
    ------
    ConfigError
        When a scan has no mask or its classes are not the network's.
    ModelError
        When networks do not fit together, or the output is no probability.

    Examples
    --------
    >>> import numpy as np, medream as md
    >>> model = md.build_unet(md.UNetConfig(levels=1, base_filters=2))
    >>> scan = md.Scan(np.zeros((8, 8), "float32"), np.zeros((8, 8), "uint8"))
    >>> list(evaluate(model, [scan])["class"])
    ['fluid']
    """
    found = full_evaluation(
        model, scans, on_scan, threshold=threshold, tta=tta, union=union, tolerance_mm=tolerance_mm
    )
    return found.scans


def full_evaluation(
    model: Models,
    scans: Iterable[Scan],
    on_scan: Callable[[Scan, Segmentation], None] | None = None,
    *,
    threshold: float | None = None,
    tta: bool = False,
    union: bool = False,
    tolerance_mm: float = TOLERANCE_MM,
) -> Evaluation:
    """Score a network on every scan, volume, subject and lesion; arguments and errors as for `evaluate`.

    Examples
    --------
    >>> import numpy as np, medream as md
    >>> model = md.build_unet(md.UNetConfig(levels=1, base_filters=2))
    >>> scan = md.Scan(np.zeros((8, 8), "float32"), np.ones((8, 8), "uint8"))
    >>> found = full_evaluation(model, [scan])
    >>> len(found.scans), len(found.pooled(["subject_id"])), len(found.precision_recall())
    (1, 1, 1000)
    """
    from medream.segmentation import as_models, check_threshold, segment

    models = as_models(model)
    if threshold is not None:
        check_threshold(threshold)
    known: Sequence[float | None] | None = getattr(scans, "bscan_spacings_mm", None)
    scans = list(scans) if not hasattr(scans, "__len__") else scans
    bare = [item.source for item in getattr(scans, "_items", ()) if item.mask is None]
    if bare:  # said before anything is scored
        raise _without_mask(bare, len(scans))  # type: ignore[arg-type]
    tally = Tally(tolerance_mm)
    with progress("evaluate", len(scans)) as update:  # type: ignore[arg-type]
        for position, scan in enumerate(scans):
            if scan.mask is None:
                raise _without_mask([scan.source], len(scans))  # type: ignore[arg-type]
            found = segment(models, scan, threshold, tta)
            add_scan(tally, scan, pairs(scan, found, union), known[position] if known else None)
            if on_scan is not None:
                on_scan(scan, found)
            update(1)
        if not len(scans):  # type: ignore[arg-type]
            raise ConfigError("There are no scans to evaluate.")
    return tally.evaluation()


def _without_mask(sources: Sequence[Source], total: int) -> ConfigError:
    first = sources[0].path or sources[0].name
    more = f" ({len(sources)} of {total} scans have none)" if len(sources) > 1 else ""
    return ConfigError(
        f"{first} has no mask to compare with{more}. Score a part that has references, with another --split "
        "(split=...), or put masks beside the scans."
    )


def add_scan(
    tally: Tally, scan: Scan, classes: Iterable[Found], bscan_spacing_mm: float | None = None
) -> None:
    """Count a scan's classes with its valid pixels and spacing."""
    tally.add(
        scan.source,
        classes,
        valid=scan.valid,
        spacing_mm=scan.spacing_mm,
        bscan_spacing_mm=bscan_spacing_mm,
    )


def pairs(scan: Scan, found: Segmentation, union: bool = False) -> list[Found]:
    """Pair reference and prediction of each class of a scan.

    Classes that both name go by their names, others by their numbers.

    Raises
    ------
    ConfigError
        When the classes do not correspond.
    ModelError
        When the output is no probability.
    """
    assert scan.mask is not None
    probability = _checked(found.probability, scan)
    several = probability.ndim == 3
    if len(found.classes) == 1 or union:
        named = scan.classes if len(scan.classes) == 1 else found.classes
        name = ANY if union and len({*scan.classes, *found.classes}) > 1 else named[0]
        lesion = 1 - probability[..., 0] if several else probability
        return [Found(name, scan.mask > 0, found.mask > 0, lesion)]
    return [
        Found(name, scan.mask == label, found.mask == own, probability[..., own])
        for name, label, own in matching(
            scan.classes, found.classes, scan.source.name, "the network"
        )
    ]


def matching(
    classes: Sequence[str], others: Sequence[str], where: str, other: str
) -> list[tuple[str, int, int]]:
    """Return for each class its name, and its number here and there.

    Classes that are named alike go by their names, whatever their order; where either side only counts
    its classes (class1, class2), they go by their numbers.

    Raises
    ------
    ConfigError
        When they cannot be told to be the same.

    Examples
    --------
    >>> matching(("IRF", "SRF"), ("SRF", "IRF"), "scan", "the network")
    [('IRF', 1, 2), ('SRF', 2, 1)]
    >>> matching(("IRF", "SRF"), ("class1", "class2"), "scan", "the network")
    [('IRF', 1, 1), ('SRF', 2, 2)]
    """
    if set(classes) == set(others):
        return [(name, k, others.index(name) + 1) for k, name in enumerate(classes, start=1)]
    if len(classes) == len(others) and (_only_counted(classes) or _only_counted(others)):
        named = others if _only_counted(classes) else classes
        return [(name, k, k) for k, name in enumerate(named, start=1)]
    raise ConfigError(
        f"{other[:1].upper()}{other[1:]} predicts {len(others)} classes ({', '.join(others)}), {where} has "
        f"{len(classes)} ({', '.join(classes)}): which of them belong together is not known. Compare lesion "
        "of any class with --union (union=True), or give masks and predictions of the same classes."
    )


def _only_counted(classes: Sequence[str]) -> bool:
    return all(re.fullmatch(r"class\d+", name) for name in classes)


def _checked(probability: np.ndarray, scan: Scan) -> np.ndarray:
    """Return a network's output, which must be probabilities."""
    low, high = float(probability.min()), float(probability.max())
    if not (low >= -1e-5 and high <= 1 + 1e-5):  # also NaN
        raise ModelError(
            f"The network's output for {scan.source.name} runs from {low:g} to {high:g}; expected "
            "probabilities in [0, 1]. End the network with a sigmoid or a softmax; NaN comes from weights "
            "that training has lost."
        )
    return np.clip(probability, 0, 1)
