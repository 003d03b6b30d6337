"""A network for programs without Keras: ONNX, TensorFlow SavedModel, LiteRT; checked at once."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from medream.dream.graph import open_network, size_rule
from medream.errors import ConfigError, ModelError, OutputError
from medream.files import atomic_file

FORMATS = {"onnx": "onnx", "saved_model": "tf_saved_model", "litert": "litert"}
"""Our names of the formats, and Keras'."""
TOLERANCE = 1e-4
"""Largest difference of the outputs, in units of probability for a segmentation network."""
_NEEDED = {"onnx": ("tf2onnx", "onnx", "onnxruntime")}


@dataclass(frozen=True)
class Parity:
    """How far the exported network's output is from Keras'.

    Parameters
    ----------
    format : {"onnx", "saved_model", "litert"}
    largest : float
        Largest difference of the outputs over the images tried.
    shapes : tuple of (depth, width)
        Sizes of the images tried.
    any_size : bool
        Whether the file takes images of any size, or of the one it was tried with.
    """

    format: str
    largest: float
    shapes: tuple[tuple[int, int], ...]
    any_size: bool


def export_model(
    model: keras.Model,
    format: str,
    out: str | Path,
    size: tuple[int, int] | None = None,
    seed: int = 0,
) -> Parity:
    """Write a network in another format, open the file again and compare its output with Keras'.

    Images in [0, 1] go in, as everywhere in medream: the normalisation is part of the network.

    Parameters
    ----------
    model : keras.Model
    format : {"onnx", "saved_model", "litert"}
    out : path
        A file; a folder for "saved_model". Written only when the outputs agree.
    size : (depth, width), optional
        Size of the images that the file shall take. Default any; "litert" and networks with
        bilinear upsampling need one: 256 x 256, made to fit the network's stride.
    seed : int
        Of the images that are compared. Default 0.

    Returns
    -------
    Parity

    Raises
    ------
    ConfigError
        For an unknown format, a size that does not fit, or a package that is missing.
    ModelError
        When Keras cannot write the network in this format, or the outputs differ by more than 1e-4.
    OutputError
        When there is something at `out` already.

    Examples
    --------
    >>> import medream as md
    >>> network = md.build_unet(md.UNetConfig(levels=1, base_filters=2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_model(network, "saved_model", Path(folder) / "unet").largest < 1e-4
    True
    """
    out = Path(out)
    if format not in FORMATS:
        raise ConfigError(f"The format is {format!r}, expected one of {', '.join(FORMATS)}.")
    missing = [name for name in _NEEDED.get(format, ()) if not importlib.util.find_spec(name)]
    if missing:
        raise ConfigError(
            f"Writing {format} needs {', '.join(missing)}: pip install 'medream[export]'."
        )
    if out.exists():
        raise OutputError(f"{out} exists already; choose another name.")
    fixed = _fixed_size(model, format, size)
    network = model if fixed is None else _of_size(model, fixed)
    shapes = (fixed,) if fixed else _sizes(model)
    channels = model.input_shape[-1]
    rng = np.random.default_rng(seed)
    images = [rng.random((1, *shape, channels), dtype=np.float32) for shape in shapes]
    # Keras refuses to export what was never run.
    wanted = [np.asarray(network(image, training=False), np.float32) for image in images]
    with _place(out, format) as temporary:
        try:
            with _silence():
                network.export(str(temporary), format=FORMATS[format], verbose=False)
            run = _OPENERS[format](temporary)
            found = [run(image) for image in images]
        except Exception as error:  # converters raise many kinds
            reason = f"{error}".strip().split("\n")[0][:300] or type(error).__name__
            raise ModelError(f"{model.name} cannot be written as {format}: {reason}") from error
        largest = max(float(np.abs(a - b).max()) for a, b in zip(wanted, found, strict=True))
        if not largest <= TOLERANCE:
            raise ModelError(
                f"{model.name} as {format} gives other outputs than Keras: they differ by up to "
                f"{largest:.2g}, expected at most {TOLERANCE:g}. Nothing was written."
            )
    return Parity(format, largest, tuple(shapes), fixed is None)


def _fixed_size(
    model: keras.Model, format: str, size: tuple[int, int] | None
) -> tuple[int, int] | None:
    own = model.input_shape[1:3]
    if None not in own:
        if size is not None and tuple(size) != own:
            raise ConfigError(f"{model.name} takes images of {own} only, not of {tuple(size)}.")
        return own
    network = open_network(model)
    multiple, least = size_rule(network)
    if size is None:
        if format != "litert" and not any(map(_interpolates, network.layers)):
            return None
        return tuple(max(-(-256 // m) * m, low) for m, low in zip(multiple, least, strict=True))  # type: ignore[return-value]
    if any(s < low or s % m for s, m, low in zip(size, multiple, least, strict=True)):
        raise ConfigError(
            f"{model.name} takes images whose sides are multiples of {multiple}, at least {least}; "
            f"{tuple(size)} does not fit."
        )
    return tuple(size)  # type: ignore[return-value]


def _interpolates(layer: keras.layers.Layer) -> bool:
    """Tell whether Keras can trace a layer only for a size that is known."""
    return getattr(layer, "interpolation", "nearest") != "nearest"


def _of_size(model: keras.Model, size: tuple[int, int]) -> keras.Model:
    if model.input_shape[1:3] == size:
        return model
    image = keras.Input((*size, model.input_shape[-1]), name="image")
    return keras.Model(image, model(image), name=model.name)


def _sizes(model: keras.Model) -> tuple[tuple[int, int], ...]:
    """Return two sizes that the network takes."""
    multiple, least = size_rule(open_network(model))
    first = tuple(max(-(-64 // m) * m, low) for m, low in zip(multiple, least, strict=True))
    second = first[0] + multiple[0], first[1] + 2 * multiple[1]
    return (first, second)  # type: ignore[return-value]


@contextlib.contextmanager
def _place(out: Path, format: str) -> Iterator[Path]:
    """Yield where to write; it takes its name when all went well."""
    if format != "saved_model":
        with atomic_file(out) as temporary:
            # Keras goes by the ending.
            named = temporary.with_name(
                f"{temporary.name}.{'onnx' if format == 'onnx' else 'tflite'}"
            )
            try:
                yield named
                os.replace(named, temporary)
            finally:
                named.unlink(missing_ok=True)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield folder / "model"
        os.replace(folder / "model", out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the converters' own chatter off the screen."""
    with warnings.catch_warnings(), open(os.devnull, "w") as nowhere:
        warnings.simplefilter("ignore")
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            yield


def _open_onnx(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: image})[0]


def _open_saved_model(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    served: Any = tf.saved_model.load(str(path))
    return lambda image: served.serve(image).numpy()


def _open_litert(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interpreter = tf.lite.Interpreter(str(path))
    interpreter.allocate_tensors()
    enter, leave = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(image: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(enter["index"], image)
        interpreter.invoke()
        return interpreter.get_tensor(leave["index"])

    return run


_OPENERS = {"onnx": _open_onnx, "saved_model": _open_saved_model, "litert": _open_litert}
