"""`DreamConfig`: every setting of a dream, checked when it is made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from medream.errors import ConfigError, nearest

DEFAULT_OCTAVES = (-2, -1, 0, 1)
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class DreamConfig:
    """How a dream is climbed.

    Parameters
    ----------
    steps : int
        Steps of the single-scale dream; 0 gives the image back. Default 100.
    step_size : float
        Change of intensity per step and per standard deviation of the gradient, on the
        [0, 1] scale. Default 0.01.
    octaves : tuple of int, or None
        Exponents of `octave_scale`, climbed from the smallest to the largest image. None
        makes no enhanced dream. Default (-2, -1, 0, 1).
    octave_scale : float
        Ratio of the sizes of neighbouring octaves, above 1. Default 1.5.
    octave_steps : int
        Steps in each octave. Default 50.
    precision : {"auto", "float32", "bfloat16"}
        Number type of the network's arithmetic; the image itself stays float32. "auto" is
        float32. Default "auto".
    seed : int
        Seed of the control's weights. Default 0.

    Raises
    ------
    ConfigError
        When a setting is of the wrong type or out of range.

    Examples
    --------
    >>> DreamConfig(steps=20, octaves=None).steps
    20
    """

    steps: int = 100
    step_size: float = 0.01
    octaves: tuple[int, ...] | None = DEFAULT_OCTAVES
    octave_scale: float = 1.5
    octave_steps: int = 50
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "octave_steps", "seed"):
            object.__setattr__(self, name, _integer(name, getattr(self, name), least=0))
        object.__setattr__(self, "step_size", _positive("step_size", self.step_size, above=0))
        object.__setattr__(self, "octave_scale", _positive("octave_scale", self.octave_scale, 1))
        if self.octaves is not None:
            octaves = self.octaves
            if isinstance(octaves, (str, bytes)) or not hasattr(octaves, "__iter__"):
                raise ConfigError(
                    f"octaves is {octaves!r}, expected exponents such as (-2, -1, 0, 1), or None "
                    "for no enhanced dream."
                )
            exponents = tuple(_integer("an octave", octave) for octave in octaves)
            if not exponents or len(set(exponents)) != len(exponents):
                raise ConfigError(
                    f"octaves is {exponents}, expected one or more different exponents such as "
                    "(-2, -1, 0, 1); give None for no enhanced dream."
                )
            object.__setattr__(self, "octaves", tuple(sorted(exponents)))
        if self.precision not in PRECISIONS:
            raise ConfigError(
                f"precision is {self.precision!r}, expected one of {', '.join(PRECISIONS)}."
            )

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> DreamConfig:
        """Make a config of settings by name, as `to_json` gives them.

        Raises
        ------
        ConfigError
            When a name is unknown (the nearest names are told) or a value is refused.
        """
        known = [field.name for field in fields(cls)]
        for name in settings:
            if name not in known:
                raise ConfigError(f"A dream has no setting {name!r}. {nearest(name, known)}")
        return cls(**settings)


def _integer(name: str, value: Any, least: int | None = None) -> int:
    whole = not isinstance(value, bool) and hasattr(value, "__index__")
    if not whole or (least is not None and int(value) < least):
        wanted = "a whole number" + (f" of at least {least}" if least is not None else "")
        raise ConfigError(f"{name} is {value!r}, expected {wanted}.")
    return int(value)


def _positive(name: str, value: Any, above: float) -> float:
    try:
        number = math.nan if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > above):
        raise ConfigError(f"{name} is {value!r}, expected a number above {above:g}.")
    return number
