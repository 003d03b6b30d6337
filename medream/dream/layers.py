"""What a model is made of: one row per layer, with its stride and receptive field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from medream.dream.graph import open_network
from medream.dream.receptive_field import receptive_fields, strides

_KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("input", ("InputLayer",)),
    ("normalisation", ("Normalization", "Rescaling")),
    ("upsampling", ("UpSampling", "Transpose")),
    ("convolution", ("Conv",)),
    ("pooling", ("Pooling",)),
    ("concatenation", ("Concatenate",)),
    ("merge", ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Dot")),
    ("dropout", ("Dropout", "Noise")),
    ("activation", ("Activation", "ReLU", "Relu", "ELU", "Elu", "Softmax", "Sigmoid", "Silu")),
    ("padding", ("Padding", "Cropping")),
    ("dense", ("Dense",)),
    ("reshape", ("Flatten", "Reshape", "Permute")),
)


@dataclass(frozen=True)
class LayerInfo:
    """One layer of a model.

    Parameters
    ----------
    name : str
        The name that objectives take.
    kind : str
        convolution, pooling, normalisation, activation, concatenation, upsampling, merge,
        dropout, padding, dense, reshape, input, output or other.
    type : str
        Class of the layer.
    output_shape : tuple of int or None
        Without the batch axis; None where any size goes.
    parameters : int
        Number of weights.
    stride : (depth, width) or None
        Image pixels from one position to the next, below 1 beyond full resolution. None
        behind layers that mix all positions.
    receptive_field : (depth, width) or None
        Image pixels that one position can see at most; None for the whole image.
    inputs : tuple of str
        Names of the layers that feed it.
    """

    name: str
    kind: str
    type: str
    output_shape: tuple[int | None, ...]
    parameters: int
    stride: tuple[float, float] | None
    receptive_field: tuple[int, int] | None
    inputs: tuple[str, ...]


def describe_layers(model: keras.Model) -> list[LayerInfo]:
    """Describe every layer of a model, from the image to the output.

    The receptive field is the theoretical one, exact for convolutions (dilated, strided,
    separable, transposed), poolings and upsamplings, as the largest over all paths.

    Parameters
    ----------
    model : keras.Model
        Functional or Sequential, with one image input; nested models are unfolded.

    Returns
    -------
    list of LayerInfo

    Raises
    ------
    ModelError
        When the model has no graph of layers, several inputs or no image input.

    References
    ----------
    Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks",
    Distill 2019, https://doi.org/10.23915/distill.00021

    Examples
    --------
    >>> import keras
    >>> image = keras.Input((None, None, 1))
    >>> x = keras.layers.Conv2D(4, 3, padding="same", name="first")(image)
    >>> x = keras.layers.MaxPooling2D(name="pool")(x)
    >>> model = keras.Model(image, keras.layers.Conv2D(4, 3, padding="same", name="second")(x))
    >>> [(row.name, row.receptive_field) for row in describe_layers(model)[1:]]
    [('first', (3, 3)), ('pool', (4, 4)), ('second', (8, 8))]
    """
    network = open_network(model)
    stride = strides(network)
    field = receptive_fields(network)
    names = {number: call.name for call in network.calls for number in call.outputs}
    rows = []
    for call in network.calls:
        number = call.outputs[0]
        step = stride[number]
        rows.append(
            LayerInfo(
                name=call.name,
                kind="output" if number in network.outputs else _kind(call.operation),
                type=type(call.operation).__name__,
                output_shape=call.output_shape[1:],
                parameters=call.operation.count_params()
                if isinstance(call.operation, keras.layers.Layer)
                else 0,
                stride=None if step is None else (float(step[0]), float(step[1])),
                receptive_field=field[number],
                inputs=tuple(names[number] for number in call.inputs),
            )
        )
    return rows


def _kind(operation: Any) -> str:
    name = type(operation).__name__
    return next((kind for kind, parts in _KINDS if any(part in name for part in parts)), "other")
