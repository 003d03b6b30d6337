"""`TrainConfig`: how a network is trained."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from medream.errors import ConfigError, nearest
from medream.losses import LOSSES, loss_settings
from medream.training.optimizers import OPTIMIZERS, SCHEDULES, optimizer_settings
from medream.training.precision import PRECISIONS


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained.

    Parameters
    ----------
    epochs : int
        At most this many; an epoch sees patches that together cover the area of all scans once.
    batch_size : int
        Patches that the network takes at a time.
    learning_rate : float
        The largest of the training; see `schedule` and `warmup`.
    loss : {"dice_ce", "dice", "ce", "focal", "tversky", "generalized_dice", "boundary"}
        See `medream.losses`.
    image_size : (depth, width)
        Size of the training patches in the scans' own pixels. Scans are never resized, so that
        prediction and dreams see what training saw; smaller scans are mirrored up.
    augment : bool
        Flip, rotation, shift, shear, zoom and intensity changes (`pipeline.Augmentation`).
    patience : int
        Stop after this many epochs without a better validation Dice; those before the first that is
        not 0 do not count.
    seed : int
        Of initial weights, patches, augmentation and dropout.
    loss_settings : {name: number}
        Other than the loss' defaults, such as {"gamma": 3} for "focal".
    lesion_scans : float in [0, 1], optional
        Share of the patches that are cut from scans with a lesion. Default: as many as there are.
    lesion_patches : float in [0, 1]
        Share of the patches of such scans that are centred on a lesion pixel; of several classes, each
        that the scan has is as likely.
    optimizer : {"adam", "adamw", "nadam", "sgd", "rmsprop", "lion"}
        Of Keras. "sgd" has Nesterov's momentum of 0.9.
    optimizer_settings : {name: number}
        Other than Keras' defaults, such as {"momentum": 0.99} for "sgd".
    schedule : {"cosine", "constant"}
        "cosine": the learning rate falls along a cosine to a hundredth of it.
    warmup : int
        Epochs over which the learning rate rises from 0 before that.
    weight_decay : float, optional
        Decoupled, times the learning rate, of kernels and not of biases and norms. Default: 0.004 for
        "adamw", none for the others.
    clip_norm : float, optional
        Gradients of all weights together are scaled down to this norm.
    ema : float in (0, 1), optional
        Validate and keep a moving average of the weights with this decay at each update, less in the
        first (`networks.Averages`). Default: the weights themselves.
    accumulate : int
        Batches whose gradients are averaged for one update.
    layer_rates : {pattern: factor}
        Factors of the learning rate of layers, such as {"enc*": 0.1}; of several patterns that match, the
        last counts.
    precision : {"auto", "float32", "mixed_bfloat16", "mixed_float16"}
        In which the network computes while it is trained; weights, validation and the saved network are
        float32. "auto" is "mixed_bfloat16" where the hardware has units for it (`precision`).
    deterministic : bool
        The same weights from the same settings on the same machine, also on a GPU.
    threshold : float in (0, 1) or "validation"
        Probability from which on `segment` counts a pixel as lesion, for a network with one output.
        "validation": that with the best Dice on the validation scans, chosen after the last epoch.

    Raises
    ------
    ConfigError
        Listing everything that is wrong.

    Examples
    --------
    >>> TrainConfig(epochs=5).image_size
    (256, 256)
    """

    epochs: int = 40
    batch_size: int = 4
    learning_rate: float = 2e-3
    loss: str = "dice_ce"
    image_size: tuple[int, int] = (256, 256)
    augment: bool = True
    patience: int = 15
    seed: int = 0
    loss_settings: Mapping[str, float] = field(default_factory=dict)
    lesion_scans: float | None = None
    lesion_patches: float = 0.5
    optimizer: str = "adam"
    optimizer_settings: Mapping[str, float] = field(default_factory=dict)
    schedule: str = "cosine"
    warmup: int = 0
    weight_decay: float | None = None
    clip_norm: float | None = None
    ema: float | None = None
    accumulate: int = 1
    layer_rates: Mapping[str, float] = field(default_factory=dict)
    precision: str = "auto"
    deterministic: bool = True
    threshold: float | str = "validation"

    def __post_init__(self) -> None:
        if isinstance(self.image_size, Iterable):
            object.__setattr__(self, "image_size", tuple(self.image_size))
        if wrong := _wrong(self):
            raise ConfigError("TrainConfig: " + "; ".join(wrong) + ".")


def train_config(settings: Mapping[str, Any]) -> TrainConfig:
    """Return the `TrainConfig` of a dictionary; unknown names are refused with all else that is wrong."""
    known = TrainConfig.__dataclass_fields__
    wrong = [
        f"there is no setting {name!r} ({nearest(name, known).rstrip('.')})"
        for name in settings
        if name not in known
    ]
    try:
        config = TrainConfig(**{name: settings[name] for name in settings if name in known})
    except ConfigError as error:
        wrong.append(str(error).removeprefix("TrainConfig: ").rstrip("."))
    if wrong:
        raise ConfigError("TrainConfig: " + "; ".join(wrong) + ".")
    return config


def _wrong(config: TrainConfig) -> list[str]:
    wrong = []

    def expect(name: str, words: str, fits: bool) -> None:
        if not fits:
            wrong.append(f"{name} is {getattr(config, name)!r}, expected {words}")

    def whole(value: Any, least: int) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= least

    def number(value: Any, low: float, high: float = math.inf) -> bool:
        return isinstance(value, int | float) and math.isfinite(value) and low <= value <= high

    def positive(value: Any, below: float = math.inf) -> bool:
        return number(value, 0) and 0 < value < below

    for name in ("epochs", "batch_size", "patience", "accumulate"):
        expect(name, "a whole number of at least 1", whole(getattr(config, name), 1))
    for name, known in (
        ("loss", LOSSES),
        ("optimizer", OPTIMIZERS),
        ("schedule", SCHEDULES),
        ("precision", PRECISIONS),
    ):
        given = getattr(config, name)
        expect(name, f"one of {', '.join(known)}", isinstance(given, str) and given in known)
    for name in ("augment", "deterministic"):
        expect(name, "true or false", isinstance(getattr(config, name), bool))
    for name, owner, owners, settings, example in (
        ("loss_settings", config.loss, LOSSES, loss_settings, '{"gamma": 2}'),
        (
            "optimizer_settings",
            config.optimizer,
            OPTIMIZERS,
            optimizer_settings,
            '{"momentum": 0.5}',
        ),
    ):
        given = getattr(config, name)
        if not isinstance(given, Mapping):
            expect(name, f"names with numbers, as in: --set '{name}={example}'", False)
            continue
        names = list(settings(owner) if isinstance(owner, str) and owner in owners else given)
        if unknown := [key for key in given if key not in names]:
            offers = ", ".join(names) or "no settings"
            wrong.append(f"{name} names {', '.join(unknown)}, but {owner} has {offers}")
        fits = all(number(value, 0) for value in given.values())
        expect(name, "finite numbers of at least 0", fits)
    size = config.image_size
    fits = isinstance(size, tuple) and len(size) == 2 and all(whole(side, 1) for side in size)
    expect("image_size", "(depth, width) in pixels", fits)
    expect("seed", "0 to 2**31 - 1", whole(config.seed, 0) and config.seed < 2**31)
    expect("learning_rate", "a positive number", positive(config.learning_rate))
    short = not config.warmup or (
        whole(config.warmup, 0) and number(config.epochs, config.warmup + 1)
    )
    expect("warmup", "fewer epochs than epochs, at least 0", whole(config.warmup, 0) and short)
    expect("lesion_patches", "a share from 0 to 1", number(config.lesion_patches, 0, 1))
    expect("lesion_scans", "a share from 0 to 1, or None",
           config.lesion_scans is None or number(config.lesion_scans, 0, 1))  # fmt: skip
    expect("weight_decay", "a number of at least 0, or None",
           config.weight_decay is None or number(config.weight_decay, 0))  # fmt: skip
    expect("clip_norm", "a positive number, or None",
           config.clip_norm is None or positive(config.clip_norm))  # fmt: skip
    expect("ema", "a decay between 0 and 1, or None",
           config.ema is None or positive(config.ema, below=1))  # fmt: skip
    rates = config.layer_rates
    expect("layer_rates", "{layer or pattern: factor of at least 0}",
           isinstance(rates, Mapping) and all(number(factor, 0) for factor in rates.values()))  # fmt: skip
    expect("threshold", 'a probability between 0 and 1, or "validation"',
           config.threshold == "validation" or positive(config.threshold, below=1))  # fmt: skip
    return wrong
