"""The B-scans of one volume, kept until it is complete and can be scored in three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medream.metrics.volumes import is_contiguous, score_volume


@dataclass(frozen=True, eq=False)
class Found:
    """One class of one B-scan: what the reference holds and what was predicted.

    Parameters
    ----------
    name : str
        Of the class.
    reference, prediction : bool arrays (depth, width)
    probability : float array (depth, width) in [0, 1], or None where there are only masks
    """

    name: str
    reference: np.ndarray
    prediction: np.ndarray
    probability: np.ndarray | None = None


@dataclass(eq=False)
class Stack:
    """The B-scans of one volume, as long as they follow each other."""

    key: tuple[str, str, str]
    indices: list[int] = field(default_factory=list)
    spacing_mm: tuple[float, float, float] | None = None
    masks: dict[str, list[tuple[np.ndarray, np.ndarray]]] = field(default_factory=dict)
    broken: bool = False

    def add(
        self,
        index: int,
        classes: Sequence[Found],
        valid: np.ndarray | None,
        spacing_mm: tuple[float, float, float] | None,
    ) -> None:
        first = not self.indices
        fits = spacing_mm is not None and (first or index == self.indices[-1] + 1)
        self.spacing_mm = spacing_mm if first else self.spacing_mm
        self.broken = self.broken or not fits or spacing_mm != self.spacing_mm
        self.indices.append(index)
        for one in classes:
            pair = tuple(
                np.asarray(mask, bool) if valid is None else np.asarray(mask, bool) & valid
                for mask in (one.reference, one.prediction)
            )
            known = self.masks.setdefault(one.name, [])
            self.broken = self.broken or bool(known and known[0][0].shape != pair[0].shape)
            known.append((pair[0], pair[1]))
        if self.broken:
            self.masks.clear()

    def rows(self, tolerance_mm: float) -> list[dict[str, Any]]:
        if self.broken or self.spacing_mm is None or not is_contiguous(self.indices):
            return []
        return [
            {"class": name, **score_volume(*_stacked(pairs), self.spacing_mm, tolerance_mm)}
            for name, pairs in self.masks.items()
        ]


def _stacked(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    return np.stack([reference for reference, _ in pairs]), np.stack([found for _, found in pairs])
