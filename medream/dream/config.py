"""`DreamConfig`: every setting of a dream, checked when it is made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from medream.dream.parametrization import parametrization_from_spec
from medream.dream.transforms import Transform, parse_transform, transform_from_spec
from medream.errors import ConfigError, nearest

DEFAULT_OCTAVES = (-2, -1, 0, 1)
_CHOICES = {
    "precision": ("auto", "float32", "bfloat16"),
    "gradient": ("std", "standardize", "l2", "rms", "sign", "none"),
    "optimizer": ("plain", "momentum", "adam"),
    "schedule": ("constant", "linear", "cosine"),
    "bounds": ("clip", "reflect"),
}


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
        bfloat16 on processors with units for it where the network's gradient on the image is
        as good, else float32. Default "auto".
    seed : int
        Seed of the control's weights and of the transforms' draws. Default 0.
    gradient : {"std", "standardize", "l2", "rms", "sign", "none"}
        What a gradient is divided by: its standard deviation, the same after its mean was
        taken off, its length, its root mean square; its sign alone; or nothing. 1e-8 is added
        to the divisor. Default "std".
    optimizer : {"plain", "momentum", "adam"}
        What turns gradients into steps. Default "plain".
    momentum : float
        Of "momentum", 0 to below 1. Default 0.9.
    schedule : {"constant", "linear", "cosine"}
        How the step size falls to 0 along the steps. Default "constant".
    patience : int or None
        Stop when the objective has not risen for so many steps. Default None, never.
    bounds : {"clip", "reflect"}
        What happens to intensities that leave [0, 1]. Default "clip".
    transforms : sequence of Transform, of their short forms ("jitter=8") or of their specs
        What the image goes through, anew at every step, before the network sees it. Default
        none.
    parametrization : str or dict
        What is climbed: "pixels", "fourier", "maco", "laplacian" or "lowrank", or its spec with
        settings such as {"kind": "fourier", "decay": 1.5}. Default "pixels".
    diversity : float
        For dreams that are climbed together: weight of the mean cosine between the Gram
        matrices of their activations, which is subtracted. Default 0, none.
    tile : int or None
        Longest side, in pixels, of what the network is given at once. Default None, the whole
        image.
    overlap : int or None
        Pixels that neighbouring tiles share. Default None: the receptive field, at most half a
        tile.
    every : int or None
        Keep the image of every so many steps of the single-scale dream. Default None, none.

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
    gradient: str = "std"
    optimizer: str = "plain"
    momentum: float = 0.9
    schedule: str = "constant"
    patience: int | None = None
    bounds: str = "clip"
    transforms: tuple[Transform, ...] = ()
    parametrization: str | dict[str, Any] = "pixels"
    diversity: float = 0.0
    tile: int | None = None
    overlap: int | None = None
    every: int | None = None

    def __post_init__(self) -> None:
        def settle(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        for name in ("steps", "octave_steps", "seed"):
            settle(name, _integer(name, getattr(self, name), least=0))
        for name, least in (("patience", 1), ("tile", 1), ("overlap", 0), ("every", 1)):
            if getattr(self, name) is not None:
                settle(name, _integer(name, getattr(self, name), least))
        settle("step_size", _number("step_size", self.step_size, above=0))
        settle("octave_scale", _number("octave_scale", self.octave_scale, above=1))
        settle("momentum", _number("momentum", self.momentum, least=0, below=1))
        settle("diversity", _number("diversity", self.diversity, least=0))
        settle("octaves", _octaves(self.octaves))
        settle("transforms", _transforms(self.transforms))
        spec = parametrization_from_spec(self.parametrization).spec
        usual = parametrization_from_spec(spec["kind"]).spec
        settle("parametrization", spec["kind"] if spec == usual else spec)
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}, expected one of {', '.join(known)}."
                )
        if self.tile is not None and self.diversity:
            raise ConfigError("diversity compares whole images; leave it or tile out.")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["transforms"] = [transform.spec for transform in self.transforms]
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

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


def settle(config: DreamConfig | None, given: Mapping[str, Any]) -> DreamConfig:
    """Return the config, or that of settings by name.

    Raises
    ------
    ConfigError
        When a setting is unknown or refused, or is given beside a config.
    """
    if config is None:
        return DreamConfig.from_json(given)
    usual = {field.name: field.default for field in fields(DreamConfig)}
    changed = [name for name, value in given.items() if value != usual.get(name)]
    unknown = [name for name in given if name not in usual]
    if unknown:
        raise ConfigError(f"A dream has no setting {unknown[0]!r}. {nearest(unknown[0], usual)}")
    if changed:
        raise ConfigError(
            f"{', '.join(changed)} given beside config; give every setting in one place: "
            "dataclasses.replace(config, ...) changes a config."
        )
    return config


def _integer(name: str, value: Any, least: int | None = None) -> int:
    whole = not isinstance(value, bool) and hasattr(value, "__index__")
    if not whole or (least is not None and int(value) < least):
        wanted = "a whole number" + (f" of at least {least}" if least is not None else "")
        raise ConfigError(f"{name} is {value!r}, expected {wanted}.")
    return int(value)


def _number(
    name: str,
    value: Any,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
) -> float:
    try:
        number = math.nan if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > above and least <= number < below):
        limits = [("above", above), ("of at least", least), ("below", below)]
        wanted = " and ".join(f"{word} {limit:g}" for word, limit in limits if math.isfinite(limit))
        raise ConfigError(f"{name} is {value!r}, expected a number {wanted}.")
    return number


def _octaves(octaves: Any) -> tuple[int, ...] | None:
    if octaves is None:
        return None
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
    return tuple(sorted(exponents))


def _transforms(given: Any) -> tuple[Transform, ...]:
    if isinstance(given, (str, Mapping, Transform)) or not hasattr(given, "__iter__"):
        raise ConfigError(
            f"transforms is {given!r}, expected several, such as ['jitter=8', 'rotate=5']."
        )
    return tuple(
        each
        if isinstance(each, Transform)
        else parse_transform(each)
        if isinstance(each, str)
        else transform_from_spec(each)
        for each in given
    )
