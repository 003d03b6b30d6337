"""What a dream is to excite, as the options of `medream dream` say it, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import typer

PENALTIES = ("total_variation", "l1", "l2", "distance", "high_frequencies")


def refuse(message: str) -> NoReturn:
    """Stop as a usage error."""
    raise typer.BadParameter(message)


@dataclass(frozen=True)
class Wanted:
    """The options that make the objective; `check` refuses those that contradict each other.

    `channels` are numbers, or "all"; the objective is then made for the first of them and
    `with_channel` puts each of the others in its place.
    """

    layers: Mapping[str, float]
    objective: str | None = None
    channel: int | None = None
    channels: str | list[int] | None = None
    neuron: tuple[int, int] | None = None
    class_index: int | None = None
    region: str | list[int] | None = None
    match: str | None = None
    match_bscan: int | None = None
    against: str | None = None
    penalties: Mapping[str, float] | None = None

    def check(self) -> None:
        """Refuse options that make no sense together."""
        kinds = {
            "--objective energy": self.objective == "energy",
            "--objective mean": self.objective == "mean" and self._of_a_channel,
            "--channel": self.channel is not None,
            "--channels": self.channels is not None,
            "--class": self.class_index is not None,
            "--match": self.match is not None,
        }
        given = [name for name, present in kinds.items() if present]
        if len(given) > 1:
            refuse(f"{given[0]} and {given[1]} are different objectives: choose one of them.")
        if not self.layers and self.class_index is None:
            refuse("Give --layer NAME, the layer to excite ('medream layers MODEL' lists them).")
        if self.neuron is not None and not self._of_a_channel:
            refuse("--neuron is a place in one channel: add --channel K or --channels.")
        if self._of_a_channel and len(self.layers) != 1:
            refuse(f"{given[0]} is of one layer, {len(self.layers)} were given.")
        if self.class_index is not None and len(self.layers) > 1:
            refuse("--class is read from one layer, the logits: give one --layer or none.")
        if self.region is not None and self.class_index is None:
            refuse("--in says where a class is wanted: add --class K.")
        if self.match_bscan is not None and self.match is None:
            refuse("--match-bscan chooses a B-scan of --match SCAN, which is missing.")
        if self.against is not None:
            for name, present in (("--class", self.class_index is not None),
                                  ("--match", self.match is not None),
                                  ("--neuron", self.neuron is not None)):  # fmt: skip
                if present:
                    refuse(f"--against compares whole layers or channels; leave {name} out.")

    @property
    def _of_a_channel(self) -> bool:
        return self.channel is not None or self.channels is not None

    def make(self, load: Callable[[str], Any]) -> Any:
        """Return the `Objective`; `load` opens the model of --against."""
        from medream.dream import objectives as known

        total: Any = None
        for name, weight in (self.layers or {"logits": 1.0}).items():
            one = self._of_layer(name)
            term = one if weight == 1 else weight * one
            total = term if total is None else total + term
        if self.against is not None:
            total = total - known.on_model(load(self.against), total)
        for name, weight in (self.penalties or {}).items():
            total = total - weight * getattr(known, name)()
        return total

    def _of_layer(self, name: str) -> Any:
        from medream.dream import objectives as known

        if self._of_a_channel:
            of_several = self.channels[0] if isinstance(self.channels, list) else 0
            index = of_several if self.channel is None else self.channel
            if self.neuron is not None:
                return known.neuron(name, index, self.neuron)
            return known.channel(name, index)
        if self.class_index is not None:
            return known.class_score(self.class_index, self.region, name)
        if self.match is not None:
            return known.match(name, _picture(self.match, self.match_bscan))
        return known.energy(name) if self.objective == "energy" else known.layer(name)


def _picture(path: str, index: int | None) -> Any:
    from medream.errors import ScanError
    from medream.readers import read_scans

    scans = read_scans(path)
    if (index is None and len(scans) > 1) or (index or 0) >= len(scans):
        raise ScanError(
            f"{path} holds {counted(len(scans), 'B-scan')}: choose the one to match with --match-bscan "
            f"{up_to(len(scans))}."
        )
    return scans[index or 0].image


def counted(count: int, what: str) -> str:
    """Say how many.

    >>> counted(1, "B-scan"), counted(3, "B-scan")
    ('1 B-scan', '3 B-scans')
    """
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def up_to(count: int) -> str:
    """Say which numbers from 0 there are.

    >>> up_to(1), up_to(2), up_to(9)
    ('0', '0 or 1', '0 to 8')
    """
    return ("0", "0 or 1")[count - 1] if count in (1, 2) else f"0 to {count - 1}"


def with_channel(spec: Any, index: int) -> Any:
    """Return an objective's spec with another channel in place of its own.

    >>> with_channel({"kind": "sum", "of": [{"kind": "channel", "layer": "a", "index": 0}]}, 3)
    {'kind': 'sum', 'of': [{'kind': 'channel', 'layer': 'a', 'index': 3}]}
    """
    if isinstance(spec, list):
        return [with_channel(part, index) for part in spec]
    if not isinstance(spec, Mapping):
        return spec
    if spec.get("kind") in ("channel", "neuron"):
        return {**spec, "index": index}
    return {key: with_channel(value, index) for key, value in spec.items()}


def found_in(spec: Any, kinds: tuple[str, ...]) -> list[Mapping[str, Any]]:
    """Return the parts of an objective's spec that are of some kinds."""
    if isinstance(spec, list):
        return [part for each in spec for part in found_in(each, kinds)]
    if not isinstance(spec, Mapping):
        return []
    own = [spec] if spec.get("kind") in kinds else []
    return own + [part for value in spec.values() for part in found_in(value, kinds)]


def weights(option: str, texts: list[str], needed: bool = False) -> dict[str, float]:
    """Read NAME=WEIGHT, several times.

    >>> weights("--layer", ["enc1_conv2", "mid_conv2=0.5"])
    {'enc1_conv2': 1.0, 'mid_conv2': 0.5}
    """
    found: dict[str, float] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        try:
            weight = float(number) if equals else 1.0
        except ValueError:
            weight = math.nan
        if not math.isfinite(weight):
            refuse(f"{option} {text!r}: the weight after '=' must be a number.")
        if needed and not equals:
            refuse(f"{option} {text!r}: give its weight, as in {name}=0.1.")
        if name in found:
            refuse(f"{option} {name} is given twice.")
        found[name] = weight
    return found


def penalties(texts: list[str]) -> dict[str, float]:
    """Read --penalty NAME=WEIGHT."""
    from medream.errors import nearest

    found = weights("--penalty", texts, needed=True)
    for name, weight in found.items():
        if name not in PENALTIES:
            refuse(f"There is no penalty {name!r}. {nearest(name, PENALTIES)}")
        if weight < 0:
            refuse(
                f"--penalty {name}={weight:g}: penalties are subtracted, so weights are positive."
            )
    return found


def numbers(option: str, text: str, all_: bool = False) -> str | list[int]:
    """Read whole numbers and ranges such as 0,3,5-9; "all" where that is allowed.

    >>> numbers("--channels", "0,3,5-7")
    [0, 3, 5, 6, 7]
    """
    if all_ and text.strip().lower() == "all":
        return "all"
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            wanted = "'all', or numbers" if all_ else "numbers"
            refuse(f"{option} {text!r}: expected {wanted} and ranges such as 0,3,5-9.")
        low, high = int(first), int(last) if dash else int(first)
        if high < low or high - low >= 100_000:
            refuse(f"{option} {text!r}: the range {part.strip()} is empty or too long.")
        found += range(low, high + 1)
    twice = [n for n in found if found.count(n) > 1] if len(found) < 1000 else []
    if twice or len(set(found)) != len(found):
        refuse(f"{option} {text!r} names a number twice.")
    return found


def place(option: str, text: str, counts: tuple[int, ...] = (2,)) -> list[int]:
    """Read ROW,COLUMN, or a box where `counts` holds 4.

    >>> place("--neuron", "4,7")
    [4, 7]
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) not in counts or not all(part.isdecimal() for part in parts):
        box = ", or a box ROW0,COL0,ROW1,COL1" if 4 in counts else ""
        refuse(f"{option} {text!r}: expected ROW,COLUMN{box} in whole numbers.")
    found = [int(part) for part in parts]
    if len(found) == 4 and not (found[0] < found[2] and found[1] < found[3]):
        refuse(
            f"{option} {text!r}: the box ends at row {found[2]}, column {found[3]}, before it begins."
        )
    return found


def region(text: str) -> str | list[int]:
    """Read --in: reference, prediction, a point or a box."""
    if text.lower() in ("reference", "prediction"):
        return text.lower()
    if not text[:1].isdecimal():
        refuse(
            f"--in {text!r}: expected reference, prediction, a point ROW,COLUMN or a box "
            "ROW0,COL0,ROW1,COL1."
        )
    return place("--in", text, (2, 4))


def parametrization(text: str) -> str | dict[str, Any]:
    """Read NAME, or NAME,SETTING=NUMBER.

    >>> parametrization("fourier,decay=1.5")
    {'kind': 'fourier', 'decay': 1.5}
    """
    name, *settings = (part.strip() for part in text.split(","))
    spec: dict[str, Any] = {"kind": name}
    for setting in settings:
        key, _, value = setting.partition("=")
        try:
            spec[key] = int(value) if value.isdecimal() else float(value)
        except ValueError:
            refuse(f"--parametrization {text!r}: expected NAME or NAME,SETTING=NUMBER.")
    return spec if settings else name


def octaves(text: str) -> list[int] | None:
    """Read --octaves: exponents, or none."""
    if text.strip().lower() == "none":
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        refuse(f"--octaves {text!r}: expected whole numbers such as -2,-1,0,1, or none.")
