"""What the values and colours of a reference mean: fluids by name, everything else background."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medream.adapters.listing import read_manifest
from medream.errors import ScanError
from medream.readers.raster import ClassMap, check_class_map, read_values

FLUIDS = ("IRF", "SRF", "PED", "fluid")

Values = dict[str, tuple[int, ...]]
"""Name of a class and the values of its pixels."""

Colour = tuple[int, int, int]

_FLUID_NAMES = (
    ("IRF", r"irf|ircs?|intra[ -]?retinal (cystoid )?(fluid|cysts?)"),
    ("SRF", r"srf|sub[ -]?retinal fluid"),
    ("PED", r"s?ped|(serous )?pigment epitheli(al|um) detachment"),
    ("fluid", r"flu|fluids?|(retinal )?fluid( ?/ ?cysts?)?|retinal ?/ ?subretinal fluid"),
)
_STRAY = 0.01  # share of pixels of no named colour that smoothed borders may have


def fluid_of(label: str) -> str | None:
    """Return which of IRF, SRF, PED and "fluid" a label's name means, None for anything else.

    >>> [fluid_of(name) for name in ("Subretinal fluid (SRF)", "irf", "Fluid/cyst", "SRM")]
    ['SRF', 'IRF', 'fluid', None]
    """
    text = label.strip().casefold().replace("_", " ")
    whole, _, short = text.removesuffix(")").partition("(")
    for candidate in (text, whole.strip(), short.strip()):
        for name, pattern in _FLUID_NAMES:
            if re.fullmatch(pattern, candidate):
                return name
    return None


def fluids_among(labels: Mapping[str, int], where: Path) -> Values:
    """Return the values of the fluids among named labels, in the order IRF, SRF, PED, fluid.

    Raises
    ------
    ScanError
        When none of the labels is a fluid.
    """
    found: dict[str, tuple[int, ...]] = {}
    for name in FLUIDS:
        values = tuple(value for label, value in labels.items() if fluid_of(label) == name)
        if values:
            found[name] = values
    if not found:
        raise ScanError(
            f"{where} names no fluid (IRF, SRF, PED or fluid) among its labels: "
            f"{', '.join(f'{n} = {v}' for n, v in labels.items())}. Give class_map, such as "
            "class_map={'lesion': 3}, to say which of them are the classes."
        )
    return found


def chosen_values(class_map: ClassMap | None, default: Values, where: str) -> Values:
    """Return the classes of the user's class map, or the data set's own when there is none."""
    if class_map is None:
        return default
    check_class_map(class_map, where)
    chosen: Values = {}
    for name, value in class_map.items():
        if isinstance(value, Sequence):
            raise ScanError(
                f"{where}: class {name!r} has a colour, but this data set's references hold "
                "numbers; give class_map={'name': number}."
            )
        if name != "background":
            chosen[name] = (value,)
    return chosen


def chosen_colours(
    class_map: ClassMap | None, default: dict[str, Colour], where: str
) -> dict[str, Colour]:
    """Return the colours of the user's class map, or the data set's own when there is none."""
    if class_map is None:
        return default
    check_class_map(class_map, where)
    chosen: dict[str, Colour] = {}
    for name, value in class_map.items():
        if not isinstance(value, Sequence):
            raise ScanError(
                f"{where}: class {name!r} has the value {value}, but this data set's references "
                "are drawn in colours; give class_map={'name': (red, green, blue)}."
            )
        if name != "background":
            chosen[name] = (value[0], value[1], value[2])
    return chosen


def labels_of(
    values: np.ndarray, classes: Values, known: Collection[int], where: Path
) -> np.ndarray:
    """Turn the values of a reference into labels.

    Parameters
    ----------
    values : integer array
    classes : {name: values}
        The first name becomes 1, the second 2 and so on.
    known : collection of int
        All values that the data set defines; those of no class become background.
    where : Path
        Named when there are other values.

    Returns
    -------
    uint8 array

    Raises
    ------
    ScanError
        When there are values that the data set does not define.
    """
    if not np.array_equal(values, np.floor(values)):  # NaN differs from itself
        raise ScanError(f"{where} holds fractions or NaN; expected a reference of whole numbers.")
    defined = sorted({*known, *(value for own in classes.values() for value in own)})
    if values.min() < 0 or values.max() > defined[-1]:
        strange = [v for v in np.unique(values).tolist() if v not in defined]
    else:
        values = values.astype(np.int64)
        strange = sorted(set(np.flatnonzero(np.bincount(values.ravel())).tolist()) - set(defined))
    if strange:
        raise ScanError(
            f"{where} holds the values {', '.join(f'{v:g}' for v in strange[:12])}, which this "
            f"data set does not define (it has {', '.join(map(str, defined))}). It may be another "
            "release with other values, or a mask of another data set."
        )
    table = np.zeros(defined[-1] + 1, np.uint8)
    for number, own in enumerate(classes.values(), start=1):
        table[list(own)] = number
    return table[values]


def labels_of_picture(path: Path, classes: Values, known: Collection[int]) -> np.ndarray:
    """Read a picture of numbers and turn it into labels, as `labels_of`."""
    return labels_of(read_values(path), classes, known, path)


def labels_of_colours(
    colours: np.ndarray, classes: Mapping[str, Colour], known: Collection[Colour], where: Path
) -> np.ndarray:
    """Turn a reference in pure colours (each channel low or high) into labels, as `labels_of`.

    Each channel is cut at 128; up to one pixel in a hundred may be of another colour, as the
    smoothed borders of drawings are, and becomes background.
    """
    named = [tuple(colour) for colour in classes.values()]
    bits = np.array([4, 2, 1])
    code = (colours >= 128) @ bits
    labels = np.zeros(code.shape, np.uint8)
    for number, colour in enumerate(named, start=1):
        labels[code == (np.array(colour) >= 128) @ bits] = number
    expected = {int((np.array(c) >= 128) @ bits) for c in [*named, *known, (0, 0, 0)]}
    stray = ~np.isin(code, list(expected))
    if stray.mean() > _STRAY:
        found = np.unique(colours[stray].reshape(-1, 3), axis=0)[:6]
        raise ScanError(
            f"{where}: {stray.mean():.1%} of the reference has colours that this data set does "
            f"not define, such as {', '.join(str(tuple(c)) for c in found.tolist())}. It may be "
            "another release, or no picture of scan and reference side by side."
        )
    return labels


def read_json(path: Path) -> Any:
    """Read a JSON file that comes with a data set, or raise ScanError."""
    try:
        return json.loads(read_manifest(path))
    except (ValueError, RecursionError) as error:
        raise ScanError(f"{path} is no JSON: {error}. Copy it again.") from error


def read_info(path: Path) -> dict[str, int]:
    """Read an INFO.json: `{"1": {"value": 127, "label": "SRF"}, ...}` -> {label: value}.

    Raises
    ------
    ScanError
        When it is not of this form.
    """
    content = read_json(path)
    try:
        labels = {str(entry["label"]): entry["value"] for entry in content.values()}
    except (AttributeError, KeyError, TypeError):
        labels = {}
    if not labels or not all(type(v) is int and 0 <= v <= 65535 for v in labels.values()):
        raise ScanError(
            f"{path} does not say what the values of the masks mean; expected "
            '{"1": {"value": 127, "label": "SRF"}, ...}.'
        )
    return labels
