"""The U-Net builder: 1 to 6 levels with published layer names.

A level is one pooling: a network of `levels` L has L poolings and stride 2**L. Level 1 is full
resolution. Reference: Ronneberger, Fischer and Brox, MICCAI 2015, doi:10.1007/978-3-319-24574-4_28.
"""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from medream.errors import ConfigError

if TYPE_CHECKING:
    import keras

MAX_LEVELS = 6
NORMS = ("batch", "group", "none")
UPSAMPLINGS = ("bilinear", "nearest", "transposed")


@dataclass(frozen=True)
class UNetConfig:
    """Architecture of a U-Net.

    Parameters
    ----------
    levels : int, 1 to 6
        Number of poolings; the stride is `2 ** levels`.
    base_filters : int
        Filters at level 1; they double with every level.
    classes : int
        Output channels: 1 gives a sigmoid (lesion or not); n >= 2 a softmax over the mask values
        0 (background), 1, ..., n - 1.
    in_channels : int
        1 for grey scans, 3 for colour.
    norm : {"batch", "group", "none"}
        Normalisation after each convolution of the encoder and the bottom.
    decoder_norm : bool
        The same normalisation in the decoder.
    dropout : float
        Rate at the last encoder level and at the bottom.
    up : {"bilinear", "nearest", "transposed"}
        How the decoder doubles the size. The interpolations are followed by a 2 x 2 convolution.
        With "bilinear", Keras' own `model.predict` takes images of one size only.
    dilations : tuple of int, or None
        Dilation of the convolutions of encoder levels 1 to `levels` and of the bottom; None means 1.
    head_filters : int or None
        Filters of one more 3 x 3 ReLU convolution before the output, None for none.
    input_mean, input_std : float
        The first layer computes `(image - input_mean) / input_std`. Training sets them from its
        scans, so that images stay in [0, 1] everywhere outside the network.

    Raises
    ------
    ConfigError
        Listing everything that is wrong.

    Examples
    --------
    >>> UNetConfig(levels=2, base_filters=8).stride
    4
    """

    levels: int = 3
    base_filters: int = 16
    classes: int = 1
    in_channels: int = 1
    norm: str = "batch"
    decoder_norm: bool = False
    dropout: float = 0.1
    up: str = "nearest"
    dilations: tuple[int, ...] | None = None
    head_filters: int | None = None
    input_mean: float = 0.0
    input_std: float = 1.0

    def __post_init__(self) -> None:
        wrong = []
        for name in ("levels", "base_filters", "classes", "in_channels"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                wrong.append(f"{name} is {value!r}, expected a whole number of at least 1")
        if isinstance(self.levels, int) and self.levels > MAX_LEVELS:
            wrong.append(f"levels is {self.levels}, expected 1 to {MAX_LEVELS}")
        if self.norm not in NORMS:
            wrong.append(f"norm is {self.norm!r}, expected one of {', '.join(NORMS)}")
        if self.up not in UPSAMPLINGS:
            wrong.append(f"up is {self.up!r}, expected one of {', '.join(UPSAMPLINGS)}")
        if not 0.0 <= self.dropout < 1.0:
            wrong.append(f"dropout is {self.dropout!r}, expected 0 to below 1")
        if not self.input_std > 0.0:
            wrong.append(f"input_std is {self.input_std!r}, expected a positive number")
        if self.head_filters is not None and self.head_filters < 1:
            wrong.append(f"head_filters is {self.head_filters!r}, expected at least 1 or None")
        if self.dilations is not None:
            object.__setattr__(self, "dilations", tuple(self.dilations))
            if len(self.dilations) != self.levels + 1 or min(self.dilations) < 1:
                wrong.append(
                    f"dilations is {self.dilations}, expected {self.levels + 1} numbers of at least "
                    "1 (encoder levels, then the bottom)"
                )
        if wrong:
            raise ConfigError("UNetConfig: " + "; ".join(wrong) + ".")

    @property
    def stride(self) -> int:
        """Ratio of the input's size to that of the coarsest layer."""
        return 2**self.levels

    @classmethod
    def original(cls, levels: int) -> UNetConfig:
        """Return one of the three networks that medream began with (for 256 x 256 x 1).

        >>> [build_unet(UNetConfig.original(n)).count_params() for n in (2,)]
        [1866373]
        """
        dilations = {2: (1, 2, 2), 3: (1, 2, 1, 2), 4: (1, 1, 1, 1, 1)}
        if levels not in dilations:
            raise ConfigError(f"The original networks have 2, 3 or 4 levels, not {levels!r}.")
        return cls(
            levels=levels,
            base_filters=64,
            dropout=0.5,
            dilations=dilations[levels],
            head_filters=2,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values; `UNetConfig(**settings)` gives them back."""
        return asdict(self)


def build_unet(config: UNetConfig, seed: int = 0) -> keras.Model:
    """Build a U-Net of plain Keras layers.

    Layer names are public: `enc1_conv1` ... `encL_conv2`, `mid_conv1`, `mid_conv2`,
    `decL_up`, `decL_conv1`, `decL_conv2` ... `dec1_conv2`, `logits`, `probabilities`; beside them
    `normalize`, `encL_norm1`, `encL_pool`, `encL_dropout`, `decL_concat`, `decL_norm1`.

    Parameters
    ----------
    config : UNetConfig
    seed : int
        Seed of the initial weights and of dropout. The global random state is left alone.

    Returns
    -------
    keras.Model
        (batch, depth, width, in_channels) in [0, 1] to (batch, depth, width, classes). Depth and
        width are free; both must be multiples of `config.stride` (`segment` pads and crops).

    Examples
    --------
    >>> model = build_unet(UNetConfig(levels=2, base_filters=4))
    >>> model.get_layer("dec1_conv2").output.shape
    (None, None, None, 4)
    """
    from keras import Input, Model, initializers, layers

    def seed_of(name: str) -> int:
        return (zlib.crc32(name.encode()) + seed) % 2**31

    def conv(x: Any, filters: int, name: str, size: int = 3, dilation: int = 1) -> Any:
        return layers.Conv2D(
            filters,
            size,
            padding="same",
            activation="relu",
            dilation_rate=dilation,
            kernel_initializer=initializers.HeNormal(seed_of(name)),
            name=name,
        )(x)

    def norm(x: Any, filters: int, name: str, wanted: bool = True) -> Any:
        if config.norm == "batch" and wanted:
            return layers.BatchNormalization(momentum=0.9, name=name)(x)
        if config.norm == "group" and wanted:
            groups = next(g for g in (8, 4, 2, 1) if filters % g == 0)
            return layers.GroupNormalization(groups, name=name)(x)
        return x

    def dropout(x: Any, name: str) -> Any:
        if config.dropout == 0.0:
            return x
        return layers.Dropout(config.dropout, seed=seed_of(name), name=name)(x)

    def encode(x: Any, filters: int, block: str, dilation: int, drop: bool) -> Any:
        for i in (1, 2):
            x = conv(x, filters, f"{block}_conv{i}", dilation=dilation)
            x = norm(x, filters, f"{block}_norm{i}")
        return dropout(x, f"{block}_dropout") if drop else x

    def enlarge(x: Any, filters: int, block: str) -> Any:
        if config.up == "transposed":
            return layers.Conv2DTranspose(
                filters,
                2,
                strides=2,
                activation="relu",
                kernel_initializer=initializers.HeNormal(seed_of(f"{block}_up")),
                name=f"{block}_up",
            )(x)
        x = layers.UpSampling2D(2, interpolation=config.up, name=f"{block}_upsample")(x)
        return conv(x, filters, f"{block}_up", size=2)

    dilations = config.dilations or (1,) * (config.levels + 1)
    inputs = Input((None, None, config.in_channels), name="input")
    x = layers.Rescaling(
        1.0 / config.input_std, -config.input_mean / config.input_std, name="normalize"
    )(inputs)
    skips = []
    for level in range(1, config.levels + 1):
        filters = config.base_filters * 2 ** (level - 1)
        last = level == config.levels
        x = encode(x, filters, f"enc{level}", dilations[level - 1], drop=last)
        skips.append(x)
        x = layers.MaxPooling2D(2, name=f"enc{level}_pool")(x)
    x = encode(x, config.base_filters * 2**config.levels, "mid", dilations[-1], drop=True)
    for level in range(config.levels, 0, -1):
        filters = config.base_filters * 2 ** (level - 1)
        block = f"dec{level}"
        x = enlarge(x, filters, block)
        x = layers.Concatenate(name=f"{block}_concat")([skips[level - 1], x])
        for i in (1, 2):
            x = conv(x, filters, f"{block}_conv{i}")
            x = norm(x, filters, f"{block}_norm{i}", config.decoder_norm)
    if config.head_filters:
        x = conv(x, config.head_filters, "head_conv")
    x = layers.Conv2D(
        config.classes,
        1,
        kernel_initializer=initializers.GlorotUniform(seed_of("logits")),
        name="logits",
    )(x)
    activation = "sigmoid" if config.classes == 1 else "softmax"
    outputs = layers.Activation(activation, name="probabilities")(x)
    return Model(inputs, outputs, name=f"unet{config.levels}")
