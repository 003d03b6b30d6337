"""`DreamResult`: everything that a dream gave, as a folder and back. Needs no TensorFlow."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from medream.dream.config import DreamConfig
from medream.errors import ConfigError, OutputError
from medream.files import result_folder, write_json, write_text
from medream.record import RunRecord

_PICTURES = ("original", "dream", "enhanced", "control")
_ARRAYS = (
    *_PICTURES, "history", "valid", "reference", "control_history", "frames", "frame_steps",
)  # fmt: skip
_PREDICTION, _STATE = "prediction_", "state_"
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, ConfigError)
_FORMAT = "medream dream 1"


@dataclass(frozen=True, eq=False)
class DreamResult:
    """A dream, its control and what made them.

    Parameters
    ----------
    original, dream : ndarray, float32, the input's shape
        In [0, 1].
    enhanced : ndarray, float32, the input's shape, or None
        The multi-octave dream; None when octaves were off.
    control : ndarray, float32, the input's shape, or None
        The dream on re-drawn weights; None when the control was off.
    history : ndarray, float32, shape (steps + 1,)
        Objective of the single-scale dream, before each step and after the last.
    objective : str
        Label of the objective.
    config : DreamConfig
    objective_spec : dict or None
        The objective in JSON values; None when it was a Python function of one's own.
    spacing_mm : (axial, lateral) or None
    valid : ndarray, bool, shape (depth, width), or None
        Pixels where False were never changed.
    control_seed : int or None
        Seed of the control's weights: the config's, or a later one when the layer was dead on
        the weights drawn with that.
    reference : ndarray, uint8, shape (depth, width), or None
        Expert mask of the scan.
    predictions : dict of str to ndarray, uint8, shape (depth, width)
        Masks predicted on "original", "dream", "enhanced".
    model : str or None
        What `load_model` opens to get the network again.
    control_history : ndarray, float32, shape (steps + 1,), or None
        Objective of the control, on its own weights.
    precision : {"float32", "bfloat16"}
        What the network computed in.
    frames, frame_steps : ndarray of (n, *image shape) and of (n,), or None
        The dream at every so many steps, where the config asked for it.
    state : tuple of ndarray or None
        What the ascent needs beside the dream to go on: parametrization and optimiser.

    Examples
    --------
    >>> import tempfile
    >>> grey = np.full((4, 6), 0.5, "float32")
    >>> result = DreamResult(grey, grey, None, None, np.zeros(1, "float32"), "mid", DreamConfig())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load_result(result.save(folder)) == result
    True
    """

    original: np.ndarray
    dream: np.ndarray
    enhanced: np.ndarray | None
    control: np.ndarray | None
    history: np.ndarray
    objective: str
    config: DreamConfig
    objective_spec: dict[str, Any] | None = None
    spacing_mm: tuple[float, float] | None = None
    valid: np.ndarray | None = None
    control_seed: int | None = None
    reference: np.ndarray | None = None
    predictions: dict[str, np.ndarray] = field(default_factory=dict)
    model: str | None = None
    control_history: np.ndarray | None = None
    precision: str = "float32"
    frames: np.ndarray | None = None
    frame_steps: np.ndarray | None = None
    state: tuple[np.ndarray, ...] | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DreamResult):
            return NotImplemented
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    __hash__ = None  # type: ignore[assignment]

    def save(self, folder: str | Path, record: RunRecord | None = None) -> Path:
        """Write the result as a folder, as a whole or not at all.

        `dream.npz` holds every array, `result.json` the rest; pictures are 8-bit PNG (`delta`
        is 0.5 + 0.5 (dream - original)), `history.csv` the objective per step. The same dream
        gives the same bytes, except in `run.json`.

        Parameters
        ----------
        folder : path
            An earlier dream there is replaced; any other folder that is not empty is refused.
        record : RunRecord, optional
            The run to be recorded; default: one made here.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputError
            When the folder holds something else or cannot be written.
        """
        arrays = {name: getattr(self, name) for name in _ARRAYS if getattr(self, name) is not None}
        arrays |= {_PREDICTION + name: mask for name, mask in self.predictions.items()}
        arrays |= {f"{_STATE}{k:03d}": array for k, array in enumerate(self.state or ())}
        settings = {
            "objective": self.objective,
            "objective_spec": self.objective_spec,
            "config": self.config.to_json(),
            "spacing_mm": list(self.spacing_mm) if self.spacing_mm else None,
            "control_seed": self.control_seed,
            "model": self.model,
            "precision": self.precision,
        }
        if record is None:
            # A dream made from Python starts again from the original that lies beside its record.
            again = {
                "model": self.model,
                "path": ".",
                "bscan": None,
                "objective": self.objective_spec,
                "dream": self.config.to_json(),
                "control": self.control is not None,
                "reference": None,
                "predictions": bool(self.predictions),
            }
            record = RunRecord("dream", again, seed=self.config.seed)
        with result_folder(folder, "dream") as staging:
            np.savez_compressed(staging / "dream.npz", **arrays)
            for name, picture in self._pictures().items():
                _write_png(staging / f"{name}.png", picture)
            rows = [f"{step},{value}" for step, value in enumerate(self.history)]
            write_text(staging / "history.csv", "\n".join(["step,objective", *rows]) + "\n")
            write_json(staging / "result.json", {"format": _FORMAT, **settings})
            record.write(staging)
        return Path(folder)

    def _pictures(self) -> dict[str, np.ndarray]:
        if self.original.ndim == 3 and self.original.shape[2] not in (1, 3):
            return {}  # a PNG has one channel or three
        pictures = {n: getattr(self, n) for n in _PICTURES if getattr(self, n) is not None}
        return {**pictures, "delta": 0.5 + 0.5 * (self.dream - self.original)}


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b


def _write_png(path: Path, image: np.ndarray) -> None:
    from PIL import Image

    grey = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    Image.fromarray(np.round(255 * grey).astype(np.uint8)).save(path)


def load_result(folder: str | Path) -> DreamResult:
    """Open a dream that `DreamResult.save` or `medream dream` wrote.

    Parameters
    ----------
    folder : path

    Raises
    ------
    OutputError
        When the folder is missing, holds no dream, or is damaged.
    """
    folder = Path(folder)
    path = folder / "result.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(settings, dict) or settings.get("format") != _FORMAT:
            raise ValueError("result.json is not that of a dream")
        path = folder / "dream.npz"
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
        spacing = settings["spacing_mm"]
        predictions = {
            name.removeprefix(_PREDICTION): array
            for name, array in arrays.items()
            if name.startswith(_PREDICTION)
        }
        if len({arrays[n].shape for n in _PICTURES if n in arrays}) != 1:
            raise ValueError("its images differ in size")
        return DreamResult(
            original=arrays["original"],
            dream=arrays["dream"],
            enhanced=arrays.get("enhanced"),
            control=arrays.get("control"),
            history=arrays["history"],
            valid=arrays.get("valid"),
            reference=arrays.get("reference"),
            objective=settings["objective"],
            config=DreamConfig.from_json(settings["config"]),
            objective_spec=settings["objective_spec"],
            spacing_mm=tuple(spacing) if spacing else None,
            control_seed=settings["control_seed"],
            predictions=predictions,
            model=settings["model"],
            control_history=arrays.get("control_history"),
            precision=settings.get("precision", "float32"),
            frames=arrays.get("frames"),
            frame_steps=arrays.get("frame_steps"),
            state=tuple(arrays[n] for n in sorted(arrays) if n.startswith(_STATE)) or None,
        )
    except FileNotFoundError as error:
        raise OutputError(
            f"{folder} holds no dream: {path.name} is missing. Give a folder that "
            "'medream dream' or result.save(folder) wrote."
        ) from error
    except _DAMAGE as error:
        raise OutputError(
            f"The dream in {folder} cannot be read: {path.name} is damaged or of another kind "
            f"({error}). Make it again, for example with 'medream rerun'."
        ) from error
