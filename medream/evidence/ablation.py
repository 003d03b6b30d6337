"""What a network loses without some of its units."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from medream.dream.graph import Call, Network, find_layers, needed_part, open_network, run
from medream.errors import ConfigError, LayerError, nearest
from medream.evaluation import pairs
from medream.evidence.activations import eye, grey
from medream.evidence.subjects import RESAMPLES, bounds
from medream.evidence.units import survey
from medream.metrics import COUNTS, confusion, overlap
from medream.progress import progress
from medream.scan import Scan
from medream.segmentation import Segmentation, classes_of, threshold_of
from medream.statistics import Interval, bootstrap_interval

DRAWS = 99
Units = tuple[int, ...]


def ablate(
    model: keras.Model,
    scan: Scan | np.ndarray,
    layer: str,
    units: Sequence[int],
    fill: float | np.ndarray = 0.0,
) -> Segmentation:
    """Segment a scan with some units of a layer held at a constant.

    Parameters
    ----------
    model : keras.Model
        A segmentation network, as `segment` takes it; it is not changed.
    scan : Scan or float array (depth, width) in [0, 1]
    layer : str
    units : sequence of int
        Channels of the layer; none of them gives the network's own segmentation.
    fill : float or array (units of the layer,)
        What they are held at. Default 0, which is "off" behind a ReLU. A unit's mean (`survey`) takes away
        where it fires and leaves what it adds everywhere, so that the layers behind see nothing unusual.

    Returns
    -------
    Segmentation
        A loss says that the network used the units here. No loss does not say that they are idle: others may
        stand in for them.

    Raises
    ------
    LayerError
        When there is no such layer, it gives no map, or the output does not depend on it.
    ConfigError
        When the layer has no such unit.

    Examples
    --------
    >>> import medream as md
    >>> model = md.build_unet(md.UNetConfig(levels=1, base_filters=2))
    >>> ablate(model, np.zeros((9, 8), "float32"), "dec1_conv2", [0]).mask.shape
    (9, 8)
    """
    surgery = _surgery(model, layer)
    return surgery.without(surgery.opened(scan), units, fill)


@dataclass(frozen=True, eq=False)
class _Opened:
    """A scan with all that the layers behind the cut read of it."""

    scan: Scan | np.ndarray
    image: tf.Tensor
    tensors: dict[str, tf.Tensor]


class _Surgery:
    """A network cut at a layer: what lies before it runs once a scan, what lies behind for every choice."""

    def __init__(self, model: keras.Model, layer: str) -> None:
        whole = open_network(model)
        find_layers(whole, [layer])
        self.layer = layer
        self.output = next(c.name for c in whole.calls if whole.outputs[0] in c.outputs)
        part = needed_part(whole, [self.output])
        self.behind, entering = _behind(part, layer)
        if not self.behind.calls:
            raise LayerError(
                f"The output of {whole.name!r} does not depend on {layer!r} through any layer, so that there is "
                "nothing to take units from. Choose a layer before the output."
            )
        self.numbers = {call.name: call.outputs[0] for call in entering}
        self.before = eye(model, list(self.numbers))
        self.threshold, self.classes = threshold_of([model]), classes_of([model])
        self._run = tf.function(self._rest, autograph=False)

    def _rest(
        self, image: tf.Tensor, tensors: dict[str, tf.Tensor], kept: tf.Tensor, fill: tf.Tensor
    ) -> tf.Tensor:
        known = {self.numbers[name]: tensor for name, tensor in tensors.items()}
        known[self.numbers[self.layer]] = tf.where(kept, tensors[self.layer], fill)
        found = run(self.behind, image, [self.output], known=known)[self.output]
        return tf.cast(found, tf.float32)[0]

    def opened(self, scan: Scan | np.ndarray) -> _Opened:
        return _Opened(scan, self.before.enter(grey(scan)), self.before.tensors(scan))

    def without(
        self, opened: _Opened, units: Sequence[int], fill: float | np.ndarray
    ) -> Segmentation:
        """Return the segmentation with some units held; decided as `segment` decides."""
        count = opened.tensors[self.layer].shape[-1]
        chosen = np.asarray(units, int).ravel()
        if len(chosen) and not (chosen.min() >= 0 and chosen.max() < count):
            raise ConfigError(
                f"Layer {self.layer!r} has units 0 to {count - 1}, not {chosen.tolist()}."
            )
        kept = np.ones(count, bool)
        kept[chosen] = False
        held = np.broadcast_to(np.asarray(fill, np.float32), (count,))
        found = self._run(opened.image, opened.tensors, tf.constant(kept), tf.constant(held))
        depth, width = grey(opened.scan).shape
        if self.before.size is not None:
            found = tf.image.resize(found, (depth, width))
        probability = found[:depth, :width].numpy()
        if probability.shape[-1] == 1:
            probability = probability[..., 0]
            mask = (probability >= self.threshold).astype(np.uint8)
        else:
            mask = probability.argmax(-1).astype(np.uint8)
        if isinstance(opened.scan, Scan) and opened.scan.valid is not None:
            mask[~opened.scan.valid] = 0
        return Segmentation(mask, probability, self.classes)


_known: weakref.WeakKeyDictionary[keras.Model, dict[str, _Surgery]] = weakref.WeakKeyDictionary()


def _surgery(model: keras.Model, layer: str) -> _Surgery:
    known = _known.setdefault(model, {})
    if layer not in known:
        known[layer] = _Surgery(model, layer)
    return known[layer]


def _behind(network: Network, layer: str) -> tuple[Network, list[Call]]:
    """Return the calls that depend on a layer, and those before them whose tensors they read."""
    reached = {n for call in network.calls if call.name == layer for n in call.outputs}
    behind = []
    for call in network.calls:
        if reached.intersection(call.inputs):
            behind.append(call)
            reached.update(call.outputs)
    read = {number for call in behind for number in call.inputs}
    entering = [
        call
        for call in network.calls
        if call not in behind and read.intersection(call.outputs) and call.arguments is not None
    ]
    return replace(network, calls=tuple(behind)), entering


def ablation_test(
    model: keras.Model,
    layer: str,
    scans: Sequence[Scan],
    named: Mapping[str, Sequence[int]],
    draws: int = DRAWS,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """Test whether a class suffers more without the units named after it than without others.

    Units are held at their mean over the scans. They are compared with random choices of as many units
    of the layer that are not dead, all choices alike; p is the share of choices, the named one among
    them, that cost the class at least as much (Phipson and Smyth 2010, doi:10.2202/1544-6115.1585), counted over
    all of them where there are no more than `draws`. Dice is of all pixels of a subject.

    Parameters
    ----------
    model : keras.Model
    layer : str
    scans : sequence of Scan, all with masks
        Other ones than the units were named on, or the test is partly circular.
    named : {class: units}
        Classes as the network predicts them.
    draws : int
        Random choices for each class.
    seed : int
    resamples : int

    Returns
    -------
    DataFrame
        One row per class: `class`, `units`, `living`; `dice` of the whole network; `fall` of Dice without
        the named units, `fall_random`, the mean over the random choices, both means over subjects; their
        `difference` with `low` and `high` of 95 % over `subjects`; `choices`, `p`; `note` says why there is no p.

        The interval is about other people, p about other units: a difference that nobody lacks may still be one
        that every second choice of units makes.

        It shows that the network uses the named units for the class more than it uses others of the layer.
        It does not show that the name is right: units that are strong for any reason cost
        more, too, so that the other classes' rows belong beside it.

    Raises
    ------
    LayerError
        As for `ablate`.
    ConfigError
        When a scan has no mask, classes do not correspond, or there are no scans.

    Examples
    --------
    >>> import medream as md
    >>> model = md.build_unet(md.UNetConfig(levels=1, base_filters=4))
    >>> scans = md.phantom_scans(2, size=(32, 32), bscans_per_subject=1)
    >>> found = ablation_test(model, "dec1_conv2", scans, {"fluid": [0]}, draws=3)
    >>> found[["class", "units"]].values.tolist()
    [['fluid', 1]]
    """
    if not len(scans):
        raise ConfigError("There are no scans to test an ablation on.")
    surgery = _surgery(model, layer)
    if unknown := [name for name in named if name not in surgery.classes]:
        raise ConfigError(
            f"The network predicts no class {unknown[0]!r}. {nearest(unknown[0], surgery.classes)}"
        )
    found = survey(model, layer, scans)
    living = [k for k in range(len(found.mean)) if k not in found.dead()]
    sizes = {len(units) for units in named.values() if len(units)}
    drawn = {size: _choices(living, size, draws, seed) for size in sorted(sizes)}
    everything: list[Units] = [(), *(tuple(units) for units in named.values())]
    everything += [choice for choices in drawn.values() for choice in choices]
    wanted = list(dict.fromkeys(everything))
    dice = _dice(surgery, scans, wanted, found.mean.astype(np.float32))
    rows = []
    for name, units in named.items():
        falls = {
            choice: dice[name][:, 0] - own for choice, own in zip(wanted, dice[name].T, strict=True)
        }
        own = tuple(units)
        others = [falls[c] for c in drawn.get(len(own), []) if c != tuple(sorted(own))]
        row = {"class": name, "units": len(own), "living": len(living)}
        row["dice"] = float(dice[name][:, 0].mean()) if len(dice[name]) else math.nan
        rows.append(row | _compared(falls[own], others, bool(own), resamples))
    return pd.DataFrame(rows)


def _choices(living: Sequence[int], size: int, draws: int, seed: int) -> list[Units]:
    """Return all choices of so many units, or random ones."""
    if size > len(living):
        return []
    if math.comb(len(living), size) <= draws:
        return list(combinations(living, size))
    rng = np.random.default_rng([seed, size])
    return [tuple(sorted(rng.choice(living, size, replace=False).tolist())) for _ in range(draws)]


def _dice(
    surgery: _Surgery, scans: Sequence[Scan], wanted: Sequence[Units], fill: np.ndarray
) -> dict[str, np.ndarray]:
    """Return for each class the Dice without each choice of units, (subjects that have it, choices)."""
    counts: dict[tuple[str, str], np.ndarray] = {}
    with progress(f"ablation of {surgery.layer}", len(scans) * len(wanted)) as update:
        for scan in scans:
            if scan.mask is None:
                raise ConfigError(
                    f"{scan.source.path or scan.source.name} has no mask to compare with."
                )
            opened = surgery.opened(scan)
            for k, units in enumerate(wanted):
                for each in pairs(scan, surgery.without(opened, units, fill)):
                    # A network of one output is compared with the union of a scan's classes.
                    name = each.name if len(surgery.classes) > 1 else surgery.classes[0]
                    key = name, scan.source.subject_id
                    pixels = confusion(each.reference, each.prediction, scan.valid)
                    total = counts.setdefault(key, np.zeros((len(wanted), 4), np.int64))
                    total[k] += [pixels[count] for count in COUNTS]
                update(1)
    dice: dict[str, list[list[float]]] = {name: [] for name in surgery.classes}
    for (name, _), own in counts.items():
        scores = [overlap(*row) for row in own.tolist()]
        if not math.isnan(scores[0]["recall"]):
            dice[name].append([score["dice"] for score in scores])
    return {name: np.array(rows).reshape(-1, len(wanted)) for name, rows in dice.items()}


def _compared(
    fall: np.ndarray, others: Sequence[np.ndarray], named: bool, resamples: int
) -> dict[str, Any]:
    """Compare the subjects' falls of Dice without the named units with those of other choices."""
    reasons = {
        "no subject has this class": not len(fall),
        "no unit is named after this class": not named,
        "there are no other living units to compare with": not others,
    }
    found = Interval(math.nan, math.nan, math.nan, "none", len(fall))
    row = {"fall": math.nan, "fall_random": math.nan, "choices": len(others), "p": math.nan}
    note = next((reason for reason, holds in reasons.items() if holds), "")
    if not note:
        random = np.stack(others)
        as_large = np.count_nonzero(random.mean(axis=1) >= fall.mean() - 1e-12)
        row |= {"fall": float(fall.mean()), "fall_random": float(random.mean())}
        row["p"] = (1 + as_large) / (1 + len(others))
        found = bootstrap_interval((fall - random.mean(axis=0)).tolist(), resamples=resamples)
    return {**row, **bounds(found, "difference"), "note": note or found.note}
