"""`TrainConfig`: how a network is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

from medream.errors import ConfigError
from medream.losses import LOSSES


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained.

    Parameters
    ----------
    epochs : int
        At most this many; an epoch sees patches that together cover the area of all scans once.
    batch_size : int
        Patches a step.
    learning_rate : float
        Of Adam at the start; it falls along a cosine to a hundredth of it.
    loss : {"dice_ce", "dice", "ce"}
    image_size : (depth, width)
        Size of the training patches in the scans' own pixels. Scans are never resized, so that
        prediction and dreams see what training saw; smaller scans are mirrored up.
    augment : bool
        Flip, rotation, shift, shear, zoom and intensity changes (`pipeline.Augmentation`).
    patience : int
        Stop after this many epochs without a better validation Dice.
    seed : int
        Of initial weights, patches, augmentation and dropout.

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

    def __post_init__(self) -> None:
        wrong = [
            f"{name} is {getattr(self, name)!r}, expected a whole number of at least 1"
            for name in ("epochs", "batch_size", "patience")
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1
        ]
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            wrong.append(f"learning_rate is {self.learning_rate!r}, expected a positive number")
        if self.loss not in LOSSES:
            wrong.append(f"loss is {self.loss!r}, expected one of {', '.join(LOSSES)}")
        size = tuple(self.image_size)
        if len(size) != 2 or min(size) < 1:
            wrong.append(f"image_size is {self.image_size!r}, expected (depth, width) in pixels")
        object.__setattr__(self, "image_size", size)
        if not 0 <= self.seed < 2**31:
            wrong.append(f"seed is {self.seed!r}, expected 0 to 2**31 - 1")
        if wrong:
            raise ConfigError("TrainConfig: " + "; ".join(wrong) + ".")
