"""Feature curves of a data set: what grows, how far, and what that comes to in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd
from scipy import ndimage

from medream.errors import ConfigError, ScanError
from medream.evidence.curves import curves, feature_curves
from medream.evidence.features import FEATURES
from medream.evidence.movements import MARGIN, VERDICTS, movements, natural_spread
from medream.scan import Scan

REGIONS = {"fixed": "In the region that was ascended", "predicted": "Where the network sees the class"}
LEAST_PX = 8
"""Smaller lesions have no shape to measure."""
LEAST_LESIONS = 5
"""From so many on the spread between lesions is the unit of movements."""


@dataclass(frozen=True, eq=False)
class Growth:
    """What grew.

    Parameters
    ----------
    model : str
    index : int
        The class.
    table : DataFrame
        Of `feature_curves`.
    means : DataFrame
        Of `curves`, over subjects.
    moved : DataFrame
        Of `movements`, over subjects.
    unit : str
        What movements are measured in, in words.
    scans, subjects : int
    left_out : dict of str to str
        Scans without a place for a region, and why.
    notes : tuple of str
        What else a reader must know.
    """

    model: str
    index: int
    table: pd.DataFrame
    means: pd.DataFrame
    moved: pd.DataFrame
    unit: str
    scans: int
    subjects: int
    left_out: dict[str, str]
    notes: tuple[str, ...] = ()

    def verdicts(self, region: str = "fixed") -> dict[str, str]:
        """Return the verdict of each feature of a kind of region that could be measured."""
        known = self.moved[(self.moved.region == region) & (self.moved.verdict != "not measurable")]
        return dict(zip(known.feature, known.verdict, strict=True))

    def summary(self) -> str:
        """Return what moved and what did not as Markdown."""
        who = f"{self.scans} scans of {self.subjects} subject{'s' * (self.subjects != 1)}"
        lines = [f"# What grows when class {self.index} of {self.model} is ascended ({who})", ""]
        lines += [line for note in self.notes for line in (f"**Note:** {note}", "")]
        for region, heading in REGIONS.items():
            lines += [f"## {heading}", "", *self._said(self.moved[self.moved.region == region])]
        lines += [
            "Movements are means over subjects with 95 % intervals, beyond those on re-drawn weights, in "
            f"{self.unit}. A feature did not move where the interval lies within {MARGIN:g} of 0. Exact "
            "signed-rank tests over subjects, corrected for the number of features (Holm); none where so few "
            "subjects could not be significant. Not measurable: the feature had no value, or does not vary.", "",
            "**Not shown by this:** that the network needs the feature, or that it is the only one; an ascent "
            "changes what is easiest to change. A feature that is not on the list is not found.", "",
            *(f"- {name}: {FEATURES[name]}" for name in dict.fromkeys(self.moved.feature)), "",
        ]  # fmt: skip
        if self.left_out:
            count = len(self.left_out)
            lines += [
                f"Left out, {count} scan{'s' * (count != 1)}: {', '.join(self.left_out)}. "
                + next(iter(self.left_out.values())),
                "",
            ]
        lines.append("Research use, not for diagnosis.")
        return "\n".join(lines) + "\n"

    def _said(self, known: pd.DataFrame) -> list[str]:
        lines: list[str] = []
        for verdict in VERDICTS:
            rows: list[Any] = list(known[known.verdict == verdict].itertuples())
            if verdict == "moved" and not rows:
                lines += ["**Moved:** nothing was shown to move.", ""]
            elif rows:
                said = [
                    row.feature if verdict == "not measurable"
                    else f"{row.feature} {row.moved:+.2f} [{row.low:+.2f}, {row.high:+.2f}]"
                    for row in rows
                ]  # fmt: skip
                lines += [f"**{verdict.capitalize()}:** {', '.join(said)}.", ""]
        return lines


def grow(
    model: keras.Model,
    scans: Sequence[Scan],
    index: int = 1,
    starts: Sequence[str] = ("scan",),
    seeds: Sequence[int] = (0, 1, 2),
    size: tuple[int, int] = (24, 24),
    **settings: Any,
) -> Growth:
    """Ascend a class in scans, measure what grows and judge it.

    Parameters
    ----------
    model, scans, index, starts, seeds, size, **settings
        As for `feature_curves`. Scans without a place for a region are left out.

    Returns
    -------
    Growth

    Raises
    ------
    ConfigError
        When no scan has a place for a region, or the network has no such class.

    Examples
    --------
    >>> import medream as md
    >>> image = keras.Input((None, None, 1))
    >>> dark = keras.layers.Conv2D(1, 1, kernel_initializer=keras.initializers.Constant(-1), name="logits")
    >>> model = keras.Model(image, keras.layers.Activation("sigmoid", name="probabilities")(dark(image)))
    >>> scans = md.phantom_scans(2, size=(96, 96))
    >>> found = grow(model, scans, seeds=(0,), size=(5, 5), steps=2, every=1)
    >>> int(found.means.step.max()), bool(found.moved.moved.iloc[0] < 0)
    (2, True)
    """
    classes = max(model.output_shape[-1] - 1, 1)
    if not 0 <= index <= classes:
        raise ConfigError(
            f"{model.name} has no class {index}; expected 0 (background) to {classes}."
        )
    left_out: dict[str, str] = {}

    def skip(scan: Scan, error: ScanError) -> None:
        left_out[scan.source.name] = str(error)

    table = feature_curves(model, scans, index, starts, seeds, size, on_skip=skip, **settings)
    if not len(table):
        raise ConfigError(
            f"None of the {len(scans)} scans has a place for a region of {size[0]} x {size[1]} pixels. "
            f"{next(iter(left_out.values()), '')}"
        )
    spread, unit = _spread(scans, index, table)
    return Growth(
        model.name, index, table, curves(table), movements(table, spread), unit,
        table.scan.nunique(), table.subject.nunique(), left_out,
    )  # fmt: skip


def _spread(scans: Sequence[Scan], index: int, table: pd.DataFrame) -> tuple[dict[str, float], str]:
    """Return the unit of each feature, and what it is in words."""
    found: list[tuple[np.ndarray, np.ndarray, tuple[float, float] | None]] = []
    for scan in scans:
        if scan.mask is None:
            continue
        labels, count = ndimage.label(scan.mask == index, np.ones((3, 3)))
        found += [
            (scan.image, labels == k, scan.spacing_mm)
            for k in range(1, count + 1)
            if np.count_nonzero(labels == k) >= LEAST_PX
        ]
    if len(found) >= LEAST_LESIONS:
        images, regions, spacings = zip(*found, strict=True)
        spread = natural_spread(images, regions, spacings)
        return spread, f"standard deviations between the {len(found)} lesions of the scans"
    begun = table[(table.step == 0) & (table.region == "fixed") & (table.network == "trained")]
    deviation = begun.groupby("feature")["value"].std()
    return (
        {name: float(deviation.get(name, np.nan)) for name in FEATURES},
        "standard deviations between the regions before the ascent",
    )
