"""The course of a training for people to watch: TensorBoard, and MLflow where it is asked for."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from medream.errors import MissingExtraError, OutputError
from medream.files import write_json

MLFLOW_FILE = "mlflow.json"
EXPERIMENT = "medream"
ARTEFACTS = ("model.keras", "model.json", "run.json", "card.md")


class Journal:
    """Writes each epoch's row; a context manager for the time of the epochs.

    Parameters
    ----------
    folder : path
        The model folder; TensorBoard's files go into its `tensorboard`.
    mlflow : str, optional
        An MLflow tracking URI, or a folder that gets an `mlflow.db`. A run there is called like the
        model folder and continued by a resumed training.
    """

    def __init__(self, folder: Path, mlflow: str | None = None) -> None:
        self.folder = folder
        self._client = None if mlflow is None else _client(mlflow)
        self._run = ""

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Begin a run in MLflow with the settings of the training, or go on with it."""
        self._tell(lambda client: self._begin(client, settings))

    def _begin(self, client: Any, settings: Mapping[str, Any]) -> None:
        note = self.folder / MLFLOW_FILE
        if note.exists():
            self._run = json.loads(note.read_text(encoding="utf-8"))["run"]
            with contextlib.suppress(Exception):  # MLflow's own: the run is of another server
                client.get_run(self._run)
                return
        found = client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT)
        # Nothing of the user or the machine: this client, unlike mlflow.start_run, adds no such tags.
        tags = {name: f"{self.folder.name}/{name}" for name in ARTEFACTS}
        run = client.create_run(experiment, tags=tags, run_name=self.folder.name)
        self._run = run.info.run_id
        for name, value in _flat({key: settings[key] for key in ("unet", "train", "freeze")}):
            client.log_param(self._run, name, value)
        write_json(note, {"run": self._run})

    def _tell(self, what: Callable[[Any], None]) -> None:
        """Speak to MLflow; when it fails, the training goes on without."""
        try:
            if self._client is not None:
                what(self._client)
        except Exception as error:  # whatever server and network raise
            self._client = None
            warnings.warn(
                f"MLflow failed ({error}); the training goes on without it.", stacklevel=3
            )

    def __enter__(self) -> Journal:
        import tensorflow as tf

        self._board = tf.summary.create_file_writer(str(self.folder / "tensorboard"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._board.close()

    def write(self, row: Mapping[str, float]) -> None:
        """Write the numbers of an epoch."""
        import tensorflow as tf

        step = int(row["epoch"])
        numbers = {name: value for name, value in row.items() if name != "epoch"}
        with self._board.as_default(step=step):
            for name, value in numbers.items():
                tf.summary.scalar(name, value)
        self._tell(lambda client: self._log(client, numbers, step))

    def end(self, results: Mapping[str, Any]) -> None:
        """Write the headline numbers of a finished training."""
        numbers = {name: value for name, value in results.items() if isinstance(value, int | float)}
        self._tell(lambda client: self._log(client, numbers, step=0))
        self._tell(lambda client: client.set_terminated(self._run))

    def _log(self, client: Any, numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            client.log_metric(self._run, name, value, step=step)


def _client(where: str) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would send what is used
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise MissingExtraError(
            "--mlflow needs the package mlflow, which is not installed. Install it with: "
            "pip install 'medream[mlflow]'"
        ) from error
    for name in ("mlflow", "alembic"):  # they tell of the tables that they make
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = where
    if "://" not in where:
        folder = Path(where).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        uri = f"sqlite:///{folder / 'mlflow.db'}"
    try:
        return MlflowClient(tracking_uri=uri)
    except Exception as error:
        raise OutputError(
            f"MLflow cannot use {where}: {error}. Give the address of a tracking server, such as "
            "http://localhost:5000, or a folder."
        ) from error


def _flat(value: Any, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [pair for key, inner in value.items() for pair in _flat(inner, f"{name}{key}.")]
    return [(name.rstrip("."), value)]
