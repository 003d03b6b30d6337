"""Models on disk: the model folder, and opening networks from elsewhere without running their code.

A model folder holds `model.keras` (plain Keras layers), `model.json` (`ModelInfo`), `run.json`,
`history.csv` and `card.md`.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import keras

from medream.errors import ModelError, nearest
from medream.files import RUN_FILE, atomic_file, write_json
from medream.record import read_record

MODEL_FILE = "model.keras"
INFO_FILE = "model.json"
KERAS_PREFIX = "keras:"
FOLDS = "fold*-seed*"


@dataclass(frozen=True)
class ModelInfo:
    """What medream knows of a model beside its layers.

    Parameters
    ----------
    ref : str
        What it was loaded from.
    classes : tuple of str
        Names of the mask values 1, 2, ... that it predicts; empty for a network from elsewhere.
    spacing_mm : (axial, lateral) of the training scans, or None when unknown or mixed
    unet, train : dict or None
        Settings of `UNetConfig` and `TrainConfig`; None for a network from elsewhere.
    threshold : float
        Probability from which on a pixel of a binary network counts as lesion; chosen on validation
        scans by `train`, 0.5 where nothing chose it.
    """

    ref: str = "memory"
    classes: tuple[str, ...] = ()
    spacing_mm: tuple[float, float] | None = None
    unet: dict[str, Any] | None = None
    train: dict[str, Any] | None = None
    threshold: float = 0.5


def info_of(model: keras.Model) -> ModelInfo:
    """Return what `load_model` knew of a model; an empty `ModelInfo` for a model built in memory."""
    return getattr(model, "_medream_info", ModelInfo())


def _attach(model: keras.Model, info: ModelInfo) -> keras.Model:
    # Past Keras' tracking of attributes. The reference also goes into the record of dreams.
    object.__setattr__(model, "_medream_info", info)
    object.__setattr__(model, "medream_ref", info.ref)
    return model


_SAVED = (1980, 1, 1, 0, 0, 0)  # the first date that a zip file knows


def save_keras(model: keras.Model, path: Path) -> None:
    """Write a `.keras` file atomically; the same network gives the same bytes whenever it is saved."""
    with atomic_file(path) as temporary:
        model.save(temporary, include_optimizer=False)
        with zipfile.ZipFile(temporary) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        metadata = json.loads(parts["metadata.json"])
        metadata["date_saved"] = "{}-{:02}-{:02}@{:02}:{:02}:{:02}".format(*_SAVED)
        parts["metadata.json"] = json.dumps(metadata).encode()
        config, numbers = json.loads(parts["config.json"]), dict[int, int]()
        for node in _nodes(config):  # Keras writes addresses in memory
            if (address := node.get("shared_object_id")) is not None:
                node["shared_object_id"] = numbers.setdefault(address, len(numbers))
        parts["config.json"] = json.dumps(config).encode()
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, content in parts.items():
                archive.writestr(zipfile.ZipInfo(name, _SAVED), content)


def save_info(info: ModelInfo, folder: Path) -> None:
    """Write `model.json`."""
    value = asdict(info)
    del value["ref"]
    write_json(folder / INFO_FILE, value)


def load_model(
    ref: str | Path, weights: str | Path | None = None, trust: bool = False
) -> keras.Model:
    """Open a network.

    Parameters
    ----------
    ref : str or path
        A model folder, a `.keras` or legacy `.h5` file, or a Keras Applications network by name, such
        as "keras:VGG19".
    weights : None, "imagenet" or path
        Weights of a Keras Applications network: random, downloaded by Keras, or a `.h5` file.
    trust : bool
        Open files that hold Python code (Lambda layers) or classes from outside Keras.

    Returns
    -------
    keras.Model

    Raises
    ------
    ModelError
        When there is no such file, it holds no model, or opening it would run code from it.

    Examples
    --------
    >>> load_model("keras:MobileNetV2").name
    'mobilenetv2_1.00_224'
    """
    text = str(ref)
    if text.startswith(KERAS_PREFIX):
        return _attach(_keras_application(text[len(KERAS_PREFIX) :], weights), ModelInfo(text))
    if weights is not None:
        raise ModelError(
            f"{text}: weights are chosen for 'keras:' networks only; a file has its own."
        )
    path = Path(text)
    if not path.exists():
        raise ModelError(
            f"There is no model at {path}. Expected a model folder (as 'medream train' writes), a "
            ".keras or .h5 file, or a name such as keras:VGG19."
        )
    if not path.is_dir():
        return _attach(_open_file(path, trust), ModelInfo(str(path.resolve())))
    file = path / MODEL_FILE
    if not file.exists():
        inside = sorted(p.parent.name for p in path.glob(f"*/{MODEL_FILE}"))
        hint = f" It holds the model folders {', '.join(inside)}." if inside else ""
        raise ModelError(f"{path} is no model folder: it has no {MODEL_FILE}.{hint}")
    return _attach(_open_file(file, trust), _read_info(path))


def load_ensemble(ref: str | Path) -> list[keras.Model]:
    """Open the networks behind one name: all folds and seeds of a comparison's network, or a single one.

    Parameters
    ----------
    ref : str or path
        A folder whose subfolders `fold*-seed*` are model folders, as `medream compare` writes one for
        each network, such as `out/depth/unet3`; or whatever `load_model` opens.

    Returns
    -------
    list of keras.Model
        `segment` and `evaluate` average their probabilities.

    Raises
    ------
    ModelError
        As `load_model`, and when the training of a fold was not finished.

    Examples
    --------
    >>> [model.name for model in load_ensemble("keras:MobileNetV2")]
    ['mobilenetv2_1.00_224']
    """
    folder = Path(ref)
    folds = sorted(file.parent for file in folder.glob(f"{FOLDS}/{MODEL_FILE}"))
    if not folds or (folder / MODEL_FILE).exists():
        return [load_model(ref)]
    unfinished = [fold.name for fold in folds if not _is_finished(fold)]
    if unfinished:
        raise ModelError(
            f"{folder}: the training of {', '.join(unfinished)} was not finished. Finish the comparison with "
            "the same command, or give single model folders."
        )
    return [load_model(fold) for fold in folds]


def _is_finished(folder: Path) -> bool:
    """Tell whether training came to its end; a network without a record is somebody's finished one."""
    return not (folder / RUN_FILE).exists() or bool(read_record(folder).results)


def _read_info(folder: Path) -> ModelInfo:
    path = folder / INFO_FILE
    if not path.exists():
        return ModelInfo(str(folder.resolve()))
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        spacing = value["spacing_mm"]
        return ModelInfo(
            ref=str(folder.resolve()),
            classes=tuple(value["classes"]),
            spacing_mm=tuple(spacing) if spacing else None,
            unet=value["unet"],
            train=value["train"],
            threshold=float(value.get("threshold", 0.5)),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path} is damaged ({error}); expected the file written by training."
        ) from error


def _open_file(path: Path, trust: bool) -> keras.Model:
    if not trust:
        _refuse_code(path)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=not trust)
    except Exception as error:  # Keras raises many kinds for damaged files
        reason = (
            str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        )
        raise ModelError(
            f"{path} cannot be opened as a Keras model: {reason}. Expected a complete .keras or .h5 file."
        ) from error
    if not isinstance(model, keras.Model):
        raise ModelError(f"{path} holds a {type(model).__name__}, expected a Keras model.")
    return model


def _refuse_code(path: Path) -> None:
    """Raise when a model file names Lambda layers or classes that are not Keras' own."""
    for node in _nodes(_read_config(path)):
        kind = node.get("class_name")
        module = node.get("module") or ""
        registered = node.get("registered_name") or ""
        foreign = module.split(".")[0] not in ("", "keras", "builtins") or ">" in registered
        if kind in ("Lambda", "__lambda__") or foreign:
            raise ModelError(
                f"{path} holds {'Python code' if not foreign else 'a class from outside Keras'} "
                f"({module + '.' if module else ''}{kind}). Opening it would run that code; pass "
                "trust=True (--trust) only when you trust whoever made the file."
            )


def _read_config(path: Path) -> Any:
    """Return the architecture stored in a `.keras` or `.h5` file as JSON values."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return json.loads(archive.read("config.json"))
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                return json.loads(file.attrs["model_config"])
    except KeyError as error:
        raise ModelError(
            f"{path} holds no architecture (weights only?); expected a whole model saved by Keras."
        ) from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} is damaged: {error}.") from error
    with open(path, "rb") as start:
        if start.read(2) == b"PK":
            raise ModelError(f"{path} is damaged: a .keras file that is cut short. Copy it again.")
    raise ModelError(
        f"{path} is neither a .keras nor a .h5 file: its first bytes say something else."
    )


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from _nodes(part)
    elif isinstance(value, list):
        for part in value:
            yield from _nodes(part)


def _keras_application(name: str, weights: str | Path | None) -> keras.Model:
    known = {
        key: value
        for key, value in vars(keras.applications).items()
        if callable(value) and key[0].isupper()
    }
    if name not in known:
        raise ModelError(f"Keras has no application {name!r}. {nearest(name, known)}")
    if weights not in (None, "imagenet") and not Path(weights).exists():
        raise ModelError(f"There is no weights file {weights}.")
    try:
        return known[name](weights=None if weights is None else str(weights))
    except Exception as error:
        raise ModelError(
            f"keras:{name} with weights {weights} cannot be built: {error}. Without a network "
            "connection, give the weights as a file or leave them out (random weights)."
        ) from error
