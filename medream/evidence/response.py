"""What the network says of its own dream along the ascent, and of the control.

A dream that excites a layer need not look like a lesion to the network. Here the trained network
segments every recorded image of the ascent, and as well those of the ascent on re-drawn weights:
what any picture of that kind would do to it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pandas as pd

from medream.dream.config import DreamConfig, settle
from medream.dream.engine import dream
from medream.dream.objectives import as_objective
from medream.dream.result import DreamResult
from medream.errors import ConfigError
from medream.evidence.control import Wanted
from medream.evidence.redrawn import Redrawn
from medream.evidence.subjects import RESAMPLES, over_subjects, who
from medream.metrics import confusion, overlap
from medream.progress import progress
from medream.scan import Scan
from medream.segmentation import Segmentation, segment

MEASURES = {
    "area_px": "pixels that the network gives the class",
    "area_mm2": "their area in mm²; NaN without spacing",
    "dice_first": "Dice with what it said of the scan; NaN when both are empty",
    "probability_inside": "mean probability of the class where it first saw it",
    "probability_outside": "the same elsewhere",
    "entropy_inside": "mean entropy over all classes in bits, where it first saw the class",
    "entropy_outside": "the same elsewhere",
}
"""What is measured of each image, in words."""
EVERY = 10
_DRAWS = 8


def judge(model: keras.Model, scan: Scan, images: Sequence[np.ndarray]) -> Iterator[dict[str, Any]]:
    """Say what a network makes of images, against what it made of the first.

    Parameters
    ----------
    model : keras.Model
        A segmentation network, as `segment` takes it.
    scan : Scan
        Whose valid pixels and spacing hold.
    images : sequence of float arrays (depth, width) in [0, 1]

    Yields
    ------
    dict
        For each image and class `image` (its number), `class` and `MEASURES`. They say how sure the network
        is, not whether it is right.

    Examples
    --------
    >>> import medream as md
    >>> model = md.build_unet(md.UNetConfig(levels=1, base_filters=2))
    >>> scan = md.phantom_scans(1, size=(32, 32))[0]
    >>> [row["image"] for row in judge(model, scan, [scan.image, 1 - scan.image])]
    [0, 1]
    """
    valid = np.ones(scan.shape, bool) if scan.valid is None else scan.valid
    first: Segmentation | None = None
    for number, image in enumerate(images):
        found = segment(model, replace(scan, image=image))
        first = first or found
        probability = _by_class(found.probability)
        entropy = -(probability * np.log2(np.maximum(probability, 1e-12))).sum(axis=-1)
        for k, name in enumerate(found.classes, start=1):
            here = found.mask == k
            inside = (first.mask == k) & valid
            outside = ~inside & valid
            pixels = int(np.count_nonzero(here))
            values = {
                "area_px": pixels,
                "area_mm2": pixels * float(np.prod(scan.spacing_mm)) if scan.spacing_mm else np.nan,
                "dice_first": overlap(**confusion(inside, here, valid))["dice"],
                "probability_inside": _mean(probability[..., k], inside),
                "probability_outside": _mean(probability[..., k], outside),
                "entropy_inside": _mean(entropy, inside),
                "entropy_outside": _mean(entropy, outside),
            }
            yield {"image": number, "class": name, **values}


def _by_class(probability: np.ndarray) -> np.ndarray:
    """Return probabilities of background and classes, (depth, width, classes + 1)."""
    if probability.ndim == 3:
        return probability
    return np.stack([1 - probability, probability], axis=-1)


def _mean(values: np.ndarray, where: np.ndarray) -> float:
    return float(values[where].mean()) if where.any() else float("nan")


def response_study(
    model: keras.Model,
    scans: Sequence[Scan],
    objective: Wanted,
    *,
    control: bool = True,
    config: DreamConfig | None = None,
    **settings: Any,
) -> pd.DataFrame:
    """Dream on scans and let the network segment the dreams along the ascent.

    Parameters
    ----------
    model : keras.Model
        A segmentation network.
    scans : sequence of Scan
        Masks are not needed: the reference is the network's first prediction.
    objective : str, list of str, dict of str to float, or Objective
        As for `medream.dream`.
    control : bool
        Whether to do the same with the dream on re-drawn weights, segmented by the trained network.
    config, **settings
        As for `medream.dream`; octaves are left out, and `every` is 10 where it is not given.

    Returns
    -------
    DataFrame
        One row per scan, ascent ("dream" or "control"), step and class: `subject`, `scan`, `ascent`,
        `step`, `class` and `MEASURES`.

        It shows what the dream does to the network that it was made for, which is its adversary: that the
        network calls it a lesion does not make it look like one to anybody else.

    Raises
    ------
    LayerError, ModelError
        When the network has no such layer or does not segment.
    ConfigError
        When there are no scans.

    Examples
    --------
    >>> import medream as md
    >>> model = md.build_unet(md.UNetConfig(levels=1, base_filters=2))
    >>> found = response_study(model, md.phantom_scans(1, size=(32, 32)), "logits", steps=4, every=2)
    >>> found[["ascent", "step"]].values.tolist()
    [['dream', 0], ['dream', 2], ['dream', 4], ['control', 0], ['control', 2], ['control', 4]]
    """
    if not len(scans):
        raise ConfigError("There are no scans to dream on.")
    config = settle(config, settings)
    config = replace(config, octaves=None, every=config.every or EVERY)
    wanted = as_objective(objective)
    copy = Redrawn(model) if control else None
    rows: list[dict[str, Any]] = []
    with progress("response", len(scans)) as update:
        for scan in scans:
            result = dream(model, scan, wanted, control=False, config=config)
            ascents = {"dream": result}
            if copy is not None:
                same = replace(config, precision=result.precision)
                ascents["control"] = _control(copy, scan, wanted, same)
            for name, ascent in ascents.items():
                steps, images = _images(ascent)
                for row in judge(model, scan, images):
                    step = steps[row.pop("image")]
                    rows.append({**who(scan), "ascent": name, "step": step, **row})
            update(1)
    return pd.DataFrame(rows)


def _control(copy: Redrawn, scan: Scan, wanted: Any, config: DreamConfig) -> DreamResult:
    """Return the control of a dream with its frames; on other weights where the layer is dead."""
    for attempt in range(_DRAWS):
        network = copy.draw(config.seed + attempt)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The gradient of")
            warnings.filterwarnings("ignore", ".* did not rise")
            result = dream(network, scan, wanted, control=False, config=config)
        if not np.array_equal(result.dream, result.original):
            break
    return result


def _images(result: DreamResult) -> tuple[list[int], list[np.ndarray]]:
    """Return the recorded images and their steps, the last image among them."""
    assert result.frames is not None
    assert result.frame_steps is not None
    steps, images = result.frame_steps.tolist(), list(result.frames)
    last = len(result.history) - 1
    return ([*steps, last], [*images, result.dream]) if steps[-1] != last else (steps, images)


def summarize_response(table: pd.DataFrame, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Average the responses over subjects at every step, with the difference of dream and control.

    Parameters
    ----------
    table : DataFrame
        Of `response_study`.
    resamples : int

    Returns
    -------
    DataFrame
        One row per ascent, step, class and measure with the columns of `over_subjects`; the ascent
        "dream - control" holds the differences of the same scans. A change that the control brings
        about as well is no sign of what was learned.

    Examples
    --------
    >>> table = pd.DataFrame({"subject": "a", "scan": "a1", "ascent": ["dream", "control"], "step": 9,
    ...     "class": "fluid", **dict.fromkeys(MEASURES, [5.0, 2.0])})
    >>> summarize_response(table).query("measure == 'area_px'").estimate.tolist()
    [5.0, 2.0, 3.0]
    """
    keys = ["subject", "scan", "row", "step", "class"]
    # Several scans may bear one name, so that rows are told apart by their number.
    groups = table.groupby(["subject", "scan", "ascent", "step", "class"], sort=False)
    table = table.assign(row=groups.cumcount())
    parts = [table]
    if (table.ascent == "control").any():
        own, other = (table[table.ascent == name].set_index(keys) for name in ("dream", "control"))
        apart = own[list(MEASURES)] - other[list(MEASURES)]
        parts.append(apart.reset_index().assign(ascent="dream - control"))
    return over_subjects(pd.concat(parts), ["ascent", "step", "class"], list(MEASURES), resamples)
