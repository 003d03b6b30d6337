"""The second grader of data sets that two experts annotated."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from medream.adapters.dataset import Dataset
from medream.adapters.opening import ADAPTERS, list_contents
from medream.scan import Source

Key = tuple[str, str, int]


def second_grader(dataset: Dataset) -> dict[Key, Callable[[], Any]] | None:
    """Return the second grader's masks of a data set that has two graders, to be read when called.

    Parameters
    ----------
    dataset : Dataset
        Opened with its first grader, as by default.

    Returns
    -------
    dict of (subject_id, volume_id, bscan_index) to a function, or None
        Of the B-scans that the second grader annotated; None where a data set has one grader.
    """
    if "grader" not in ADAPTERS[dataset.adapter].options:
        return None
    contents = list_contents(dataset.path, dataset.adapter, grader=2)
    return {
        key_of(item.source): partial(item.read_mask, None)
        for item in contents.items
        if item.mask is not None
    }


def key_of(source: Source) -> Key:
    """Return what tells a B-scan of a data set from its others."""
    return source.subject_id, source.volume_id, source.bscan_index
