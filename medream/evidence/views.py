"""What figures of the panel show beside its tables: fields, single units, layers of several networks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
import pandas as pd

from medream.dream import DreamConfig, channel, dream
from medream.dream.layers import describe_layers
from medream.errors import MedreamError
from medream.evidence.activations import activate, maps_by_energy
from medream.evidence.concepts import is_lesion
from medream.evidence.dissection import TOP_SHARES, dissect
from medream.evidence.findings import Units
from medream.evidence.lesion_sizes import lesion_extents
from medream.progress import progress
from medream.scan import Scan

HIGHEST, LOWEST = 3, 2
"""Units of the largest and of the smallest overlap with lesions whose dreams are shown."""
TOP_SCANS = 3
_DECODER = re.compile(r"(mid|dec\d+)_conv2")


@dataclass(frozen=True, eq=False)
class UnitView:
    """A unit: its dream, and the scans on which it is largest.

    Parameters
    ----------
    unit : int
    concept : str
        Empty for a unit without a name.
    iou : float
        With the lesions.
    dream : float32 array (depth, width)
        Of the unit, from the first of the scans.
    scans : tuple of Scan
    areas : tuple of bool arrays
        Where the unit is above its threshold.
    """

    unit: int
    concept: str
    iou: float
    dream: np.ndarray
    scans: tuple[Scan, ...]
    areas: tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class Views:
    """What is drawn.

    Parameters
    ----------
    scan : Scan
        The one with the most lesion pixels, on which single pictures are made.
    maps : (maps, units, energies)
        Of `maps_by_energy` on that scan.
    layers : {network: {layer: dream}}
        Of that scan.
    fields : {network: effective field}
    lesions : DataFrame
        Of `lesion_extents`.
    units : tuple of UnitView
    named : {network: DataFrame}
        Of `Dissection.named`.
    """

    scan: Scan
    maps: tuple[np.ndarray, np.ndarray, np.ndarray]
    layers: dict[str, dict[str, np.ndarray]]
    fields: dict[str, np.ndarray]
    lesions: pd.DataFrame
    units: tuple[UnitView, ...]
    named: dict[str, pd.DataFrame]


def look_closer(
    models: Mapping[str, keras.Model],
    layer: str,
    scans: Sequence[Scan],
    config: DreamConfig,
    fields: Mapping[str, np.ndarray],
    units: Units | None,
) -> Views:
    """Gather what figures show of a layer in some networks, the first of which is the one in question."""
    own = next(iter(models.values()))
    config = replace(config, octaves=None, every=None)
    scan = max(scans, key=lambda each: 0 if each.mask is None else np.count_nonzero(each.mask))
    known = {name: [row.name for row in describe_layers(model)] for name, model in models.items()}
    wanted = {
        name: list(dict.fromkeys([*filter(_DECODER.fullmatch, layers), layer]))
        if layer in layers
        else []
        for name, layers in known.items()
    }
    dreams: dict[str, dict[str, np.ndarray]] = {name: {} for name in models}
    with progress("dreams of layers", sum(map(len, wanted.values()))) as update:
        for name, model in models.items():
            for each in wanted[name]:
                found = dream(model, scan, each, config=config, control=False)
                dreams[name][each] = np.squeeze(found.dream)
                update(1)
    named = {} if units is None else {next(iter(models)): units.named}
    for name, model in models.items():
        if name not in named and layer in known[name]:
            dissection = dissect(model, layer, scans)
            named[name] = dissection.named("iou_fitted" if len(dissection.subjects) > 1 else "iou")
    return Views(
        scan, maps_by_energy(own, layer, scan), dreams, dict(fields), lesion_extents(scans),
        () if units is None else _unit_views(own, layer, scans, config, units), named,
    )  # fmt: skip


def _unit_views(
    model: keras.Model, layer: str, scans: Sequence[Scan], config: DreamConfig, units: Units
) -> tuple[UnitView, ...]:
    """Return the units that overlap lesions most and least, dead ones left out."""
    lesions = {name for scan in scans if scan.mask is not None for name in scan.classes}
    table = units.dissection.table().dropna(subset="iou")
    table = table[table.concept.isin(filter(is_lesion, lesions))]
    best = table.groupby("unit").iou.max().drop(units.survey.dead(), errors="ignore")
    order = best.sort_values(ascending=False, kind="stable").index.tolist()
    chosen = order[:HIGHEST] + order[HIGHEST:][-LOWEST:]
    concepts = units.named.set_index("unit").concept
    views = []
    with progress("dreams of units", len(chosen)) as update:
        for unit in chosen:
            row = table[table.unit == unit].nlargest(1, "iou").iloc[0]
            # Where the unit is above the threshold that suits the lesion best.
            share = TOP_SHARES.index(row.top_share)
            threshold = units.dissection.thresholds[share, unit]
            top = [scans[k] for k in units.survey.top_scans(unit, TOP_SCANS).position]
            try:
                found = dream(model, top[0], channel(layer, unit), config=config, control=False)
            except MedreamError:
                continue  # a unit without a gradient on this scan
            areas = [activate(model, layer, each).upsampled([unit])[..., 0] for each in top]
            views.append(
                UnitView(
                    unit, concepts[unit], float(row.iou), np.squeeze(found.dream), tuple(top),
                    tuple(area > threshold for area in areas),
                )
            )  # fmt: skip
            update(1)
    return tuple(views)
