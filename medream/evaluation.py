"""Scoring a network on scans with masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import keras
import numpy as np
import pandas as pd

from medream.errors import ConfigError
from medream.metrics import score
from medream.progress import progress
from medream.scan import Scan
from medream.segmentation import Segmentation, segment


def evaluate(
    model: keras.Model,
    scans: Iterable[Scan],
    on_scan: Callable[[Scan, Segmentation], None] | None = None,
) -> pd.DataFrame:
    """Score a network on every scan.

    A network with one output is compared with the union of a scan's classes.

    Parameters
    ----------
    model : keras.Model
    scans : iterable of Scan, all with masks
    on_scan : callable, optional
        Called with each scan and what the network says of it.

    Returns
    -------
    DataFrame
        One row per scan and class: dataset, subject_id, volume_id, bscan_index, scan (its
        pseudonymous name), file (of a single picture), class, and the columns
        of `metrics.score`. `metrics.summarize` pools them.

    Raises
    ------
    ConfigError
        When a scan has no mask or its classes are not the network's.

    Examples
    --------
    >>> import numpy as np, medream as md
    >>> model = md.build_unet(md.UNetConfig(levels=1, base_filters=2))
    >>> scan = md.Scan(np.zeros((8, 8), "float32"), np.zeros((8, 8), "uint8"))
    >>> list(evaluate(model, [scan])["class"])
    ['fluid']
    """
    scans = list(scans) if not hasattr(scans, "__len__") else scans
    rows = []
    with progress("evaluate", len(scans)) as update:  # type: ignore[arg-type]
        for scan in scans:
            if scan.mask is None:
                raise ConfigError(
                    f"{scan.source.path or scan.source.name} has no mask to compare with."
                )
            found = segment(model, scan)
            for name, reference, prediction in _classes(scan, found):
                rows.append(
                    {
                        "dataset": scan.source.dataset,
                        "subject_id": scan.source.subject_id,
                        "volume_id": scan.source.volume_id,
                        "bscan_index": scan.source.bscan_index,
                        "scan": scan.source.name,
                        "file": scan.source.picture,
                        "class": name,
                        **score(reference, prediction, scan.valid, scan.spacing_mm),
                    }
                )
            if on_scan is not None:
                on_scan(scan, found)
            update(1)
    if not rows:
        raise ConfigError("There are no scans to evaluate.")
    return pd.DataFrame(rows)


def _classes(scan: Scan, found: Segmentation) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Pair reference and prediction of each class."""
    assert scan.mask is not None
    if len(found.classes) == 1:
        name = scan.classes[0] if len(scan.classes) == 1 else found.classes[0]
        return [(name, scan.mask > 0, found.mask > 0)]
    if len(scan.classes) != len(found.classes):
        raise ConfigError(
            f"The network predicts {len(found.classes)} classes ({', '.join(found.classes)}), "
            f"{scan.source.name} has {len(scan.classes)} ({', '.join(scan.classes)})."
        )
    return [
        (name, scan.mask == label, found.mask == label)
        for label, name in enumerate(scan.classes, start=1)
    ]
