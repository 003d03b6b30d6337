"""Cards of the public data sets: what each holds and where it comes from, and whether a download does.

A card is a folder of `datasets/` in the repository, `medream/_datasets/` in an installed package,
with a `card.toml` for programs and a `card.md` for people.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from medream.adapters.check import Looked, Problem, by_severity, find_problems, look_at
from medream.adapters.dataset import Contents
from medream.adapters.opening import ADAPTERS, list_contents
from medream.errors import ConfigError, ScanError, nearest

_PACKAGE = Path(__file__).resolve().parents[1]
_PLACES = (_PACKAGE / "_datasets", _PACKAGE.parent / "datasets")
_NEAR = 0.01  # relative difference of spacings that rounding explains


@dataclass(frozen=True)
class Part:
    """What a card says about some of a data set's B-scans; None where it says nothing.

    Parameters
    ----------
    name : str
        For messages.
    device, split, subject : str, optional
        Which B-scans belong to it: those of a device, of a part on disk, or whose subject fits a
        regular expression.
    optional : bool
        Whether a download may lack it.
    subjects, volumes, bscans : int, optional
    bscans_per_volume : list of int, optional
    sizes : list of (depth, width), optional
    axial_mm, lateral_mm : (least, most), optional
    """

    name: str
    device: str | None = None
    split: str | None = None
    subject: str | None = None
    optional: bool = False
    subjects: int | None = None
    volumes: int | None = None
    bscans: int | None = None
    bscans_per_volume: tuple[int, ...] | None = None
    sizes: tuple[tuple[int, int], ...] | None = None
    axial_mm: tuple[float, float] | None = None
    lateral_mm: tuple[float, float] | None = None


@dataclass(frozen=True)
class Card:
    """A data set's card; texts are empty where nothing certain is known.

    Parameters
    ----------
    name, title, adapter : str
    about, layout, licence, obtain, url, citation, doi : str
    classes : tuple of str
        As `Dataset.classes`; empty for scans without masks.
    labels : {value or colour in the files: meaning}
    parts : tuple of Part
    defects : tuple of str
        What to beware of.
    verified : str
        How far the facts and the adapter could be verified.
    """

    name: str
    title: str
    adapter: str
    about: str = ""
    layout: str = ""
    licence: str = ""
    obtain: str = ""
    url: str = ""
    citation: str = ""
    doi: str = ""
    classes: tuple[str, ...] = ()
    labels: dict[str, str] | None = None
    parts: tuple[Part, ...] = ()
    defects: tuple[str, ...] = ()
    verified: str = ""

    @property
    def bscans(self) -> int | None:
        """Number of B-scans that a full download holds, None when a part does not say."""
        counts = [part.bscans for part in self.parts if not part.optional]
        return sum(c for c in counts if c) if counts and all(counts) else None

    @property
    def subjects(self) -> int | None:
        counts = [part.subjects for part in self.parts if not part.optional]
        return sum(c for c in counts if c) if counts and all(counts) else None


@cache
def cards() -> dict[str, Card]:
    """Return the cards of all public data sets that medream knows, by name.

    Raises
    ------
    ScanError
        When a card is damaged.

    Examples
    --------
    >>> cards()["retouch"].classes
    ('IRF', 'SRF', 'PED')
    """
    for place in _PLACES:
        files = sorted(place.glob("*/card.toml"))
        if files:
            return {card.name: card for card in map(read_card, files)}
    return {}


def find_card(name: str) -> Card:
    """Return the card of a data set, or raise ConfigError with the nearest names."""
    known = cards()
    if name not in known:
        raise ConfigError(f"There is no card of a data set {name!r}. {nearest(name, known)}")
    return known[name]


def read_card(path: Path) -> Card:
    """Read a card.toml.

    Raises
    ------
    ScanError
        When it is no TOML, or has entries that a card does not.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        parts = tuple(_made(Part, entry) for entry in content.pop("part", []))
        card = _made(Card, {**content, "parts": parts})
    except (OSError, ValueError, TypeError) as error:
        raise ScanError(f"{path} is no card of a data set: {error}.") from error
    if card.adapter not in ADAPTERS:
        raise ScanError(
            f"{path}: unknown adapter {card.adapter!r}. {nearest(card.adapter, ADAPTERS)}"
        )
    return card


def _made(kind: Any, entries: dict[str, Any]) -> Any:
    known = {field.name for field in fields(kind)}
    for name in entries:
        if name not in known:
            raise ValueError(f"{name!r} is no entry of it. {nearest(name, known)}")
    return kind(**{name: _tuples(value) for name, value in entries.items()})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def compare_with_card(card: Card, root: str | Path) -> list[Problem]:
    """Read a whole download and list every difference from its card, the gravest first.

    Compares subjects, volumes, B-scans, sizes, spacing, classes and label values, and lists what
    cannot be read. Leaks between parts are found by `check_dataset`.

    Parameters
    ----------
    card : Card
    root : path of the data set's folder

    Returns
    -------
    list of Problem
        Empty when the download is as the card says.
    """
    if not Path(root).is_dir():
        list_contents(root)  # raises what is the matter with the path
    try:
        contents = list_contents(root, card.adapter)
    except ScanError as error:
        return [Problem("error", str(error), (str(root),), "")]
    looked = look_at(contents)
    damage = [p for p in find_problems(contents, looked, of_files=True) if p.severity != "note"]
    return by_severity([*damage, *_differences(card, contents, looked)])


def _differences(card: Card, contents: Contents, looked: Sequence[Looked]) -> Iterator[Problem]:
    if card.classes and contents.classes != card.classes:
        yield _wrong("classes", [contents.classes], [card.classes])
    seen = {label for one in looked for label in one.labels or ()}
    for number, name in enumerate(contents.classes if card.classes else (), start=1):
        if number not in seen:
            yield Problem(
                "warning", f"no B-scan holds {name}", (), "References may be missing or of others."
            )
    for part in card.parts:
        own = [one for one in looked if _belongs(one, part)]
        if own or not part.optional:
            yield from _differences_of(part, own)


def _belongs(one: Looked, part: Part) -> bool:
    source = one.item.source
    return (
        (part.device is None or part.device == source.device)
        and (part.split is None or part.split == one.item.split)
        and (part.subject is None or re.search(part.subject, source.subject_id) is not None)
    )


def _differences_of(part: Part, own: Sequence[Looked]) -> Iterator[Problem]:
    volumes: dict[tuple[str, str], list[Looked]] = {}
    for one in own:
        source = one.item.source
        volumes.setdefault((source.subject_id, source.volume_id), []).append(one)
    counts = (
        ("subjects", len({subject for subject, _ in volumes}), part.subjects),
        ("volumes", len(volumes), part.volumes),
        ("B-scans", len(own), part.bscans),
    )
    for what, found, expected in counts:
        if expected is not None and found < expected:
            yield Problem(
                "error", f"{part.name}: {found} of {expected} {what}", (), "Download it again."
            )
        elif expected is not None and found > expected:
            yield Problem(
                "warning",
                f"{part.name}: {found} {what} instead of {expected}",
                (),
                "It may be another release, or hold copies.",
            )
    if part.bscans_per_volume is not None:
        odd = {key: v for key, v in volumes.items() if len(v) not in part.bscans_per_volume}
        if odd:
            found_counts = sorted({len(v) for v in odd.values()})
            yield _wrong(
                f"{part.name}: B-scans in a volume", found_counts, part.bscans_per_volume,
                [v[0] for v in odd.values()],
            )  # fmt: skip
    if part.sizes is not None:
        wrong = [one for one in own if one.shape and one.shape not in part.sizes]
        if wrong:
            shapes = sorted({one.shape for one in wrong if one.shape})
            yield _wrong(f"{part.name}: size (depth, width)", shapes, part.sizes, wrong)
    for what, axis, limits in (("axial", 0, part.axial_mm), ("lateral", 1, part.lateral_mm)):
        if limits is not None:
            yield from _spacing(f"{part.name}: {what} spacing in mm", axis, limits, own)


def _spacing(
    what: str, axis: int, limits: tuple[float, float], own: Sequence[Looked]
) -> Iterator[Problem]:
    least, most = limits[0] * (1 - _NEAR), limits[1] * (1 + _NEAR)
    wrong = [
        one
        for one in own
        if one.item.spacing_mm is None or not least <= one.item.spacing_mm[axis] <= most
    ]
    if wrong:
        found = {one.item.spacing_mm and round(one.item.spacing_mm[axis], 6) for one in wrong}
        expected = [limits[0]] if limits[0] == limits[1] else [f"{limits[0]} to {limits[1]}"]
        yield _wrong(what, sorted(found, key=str), expected, wrong)


def _wrong(
    what: str, found: Iterable[Any], expected: Iterable[Any], where: Sequence[Looked] = ()
) -> Problem:
    files = tuple(dict.fromkeys(str(one.item.image) for one in where))
    return Problem(
        "error",
        f"{what}: {', '.join(map(str, found))}; the card says {', '.join(map(str, expected))}",
        files,
        "It may be damaged, or another release.",
    )
