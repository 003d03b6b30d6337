"""Training on several devices or machines: the samples, the loss and the steps of a single one.

Each worker is a process that runs the same training; a replica is one device of it. The replicas share
out each batch, gather its logits before the loss, so that pooled losses such as Dice are those of the
whole batch, take batch statistics over all of it and sum their gradients. Only dropout differs from one
worker: its masks are drawn by each replica. Keras' own `fit` refuses several workers (3.15), so the loop
over batches is here; what happens around it is the same as on one device.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from medream.errors import ConfigError, TrainingError, nearest
from medream.files import RUN_FILE
from medream.losses import Loss
from medream.store import MODEL_FILE
from medream.training.config import TrainConfig
from medream.training.state import STATE_FILE

STRATEGIES = ("mirrored", "multiworker")
START_S = 600.0
"""Seconds that a worker waits for the others at the start."""
SLURM_PORT = 8888
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)


def open_strategy(name: str | tf.distribute.Strategy | None) -> tf.distribute.Strategy:
    """Return the strategy of a name; that of a single device for None.

    Parameters
    ----------
    name : {"mirrored", "multiworker"}, tf.distribute.Strategy or None
        "mirrored": all GPUs of this machine. "multiworker": the processes that `TF_CONFIG` or SLURM
        names; to be called before anything else of TensorFlow, by all of them.

    Raises
    ------
    ConfigError
        When the name is unknown, nothing names the workers, or TensorFlow is at work already.
    """
    if name is None:
        return tf.distribute.get_strategy()
    if isinstance(name, tf.distribute.Strategy):
        return name
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name != "multiworker":
        raise ConfigError(f"There is no strategy {name!r}. {nearest(name, STRATEGIES)}")
    resolver = _resolver()
    try:
        workers = resolver.cluster_spec().as_dict()
        _meet(workers, resolver.cluster_spec().task_address(resolver.task_type, resolver.task_id))
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"TF_CONFIG or SLURM describe no cluster that TensorFlow can use ({error}). Expected for each "
            'worker, as in: TF_CONFIG=\'{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": '
            '{"type": "worker", "index": 0}}\'.'
        ) from error
    except RuntimeError as error:
        raise ConfigError(
            "The workers can only be joined before TensorFlow does anything else. Call "
            "medream.training.distribution.open_strategy('multiworker') first and pass its result."
        ) from error
    except tf.errors.OpError as error:
        raise ConfigError(
            f"The workers {_listed(workers)} could not be joined ({_first_line(error)}). Start all of them, "
            "each with its own index, on addresses that reach each other."
        ) from error


def _resolver() -> tf.distribute.cluster_resolver.ClusterResolver:
    if "TF_CONFIG" in os.environ:
        return tf.distribute.cluster_resolver.TFConfigClusterResolver()
    if "SLURM_PROCID" not in os.environ:
        raise ConfigError(
            "Nothing names the workers. Set TF_CONFIG for each of them, or start them with SLURM's srun."
        )
    cluster = tf.distribute.cluster_resolver
    # It knows the hosts and tasks. Which GPUs a task sees is left to SLURM (--gpus-per-task): on machines
    # without any the resolver itself fails.
    slurm = cluster.SlurmClusterResolver(
        port_base=SLURM_PORT, gpus_per_node=1 << 16, gpus_per_task=1, auto_set_gpu=False
    )
    spec = slurm.cluster_spec()
    job, task = slurm.get_task_info()
    return cluster.SimpleClusterResolver(spec, task_type=job, task_id=task, rpc_layer="grpc")


def _meet(workers: dict[str, list[str]], mine: str) -> None:
    """Wait until all workers are there. TensorFlow itself waits for ever, deaf to any timer or key."""
    missing = {address for addresses in workers.values() for address in addresses} - {mine}
    deadline = time.monotonic() + START_S
    try:
        # Only to be found by the others: TensorFlow opens the port itself afterwards.
        here = socket.create_server(("", int(mine.rpartition(":")[2])))
    except OSError as error:
        raise ConfigError(
            f"The port of this worker's address {mine} cannot be opened: {error}. Perhaps another process "
            "has it; give the worker another port, in TF_CONFIG of all of them."
        ) from error
    with here:
        while missing := {address for address in missing if not _answers(address)}:
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"Not all of the workers {_listed(workers)} came within {START_S:g} seconds; nothing "
                    f"answers at {', '.join(sorted(missing))}. Start all of them, each with its own index, "
                    "on addresses that reach each other."
                )
            time.sleep(0.2)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except (OSError, ValueError):
        return False
    return True


def _listed(workers: dict[str, list[str]]) -> str:
    return ", ".join(address for addresses in workers.values() for address in addresses)


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def workers_of(strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """Return the number of this worker, the chief being 0, and how many there are."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.cluster_spec().as_dict():
        return 0, 1
    cluster = resolver.cluster_spec().as_dict()
    chiefs = len(cluster.get("chief", []))
    first = 0 if resolver.task_type == "chief" else chiefs
    return first + resolver.task_id, chiefs + len(cluster.get("worker", []))


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Tell whether this worker is the one that writes and speaks."""
    return workers_of(strategy)[0] == 0


@contextlib.contextmanager
def writing_folder(strategy: tf.distribute.Strategy, out: Path) -> Iterator[Path]:
    """Yield the folder that this worker writes to: `out` for the chief, for others a passing copy of it.

    So all workers do the same, and the chief alone leaves anything.
    """
    if is_chief(strategy):
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="medream-worker-") as name:
        folder = Path(name) / out.name
        folder.mkdir()
        for file in (MODEL_FILE, STATE_FILE, RUN_FILE):
            if (out / file).exists():
                shutil.copy(out / file, folder / file)
        yield folder


def add_up(strategy: tf.distribute.Strategy, counts: np.ndarray) -> np.ndarray:
    """Return the sum of what each worker counted; all of them have to call this."""
    workers = workers_of(strategy)[1]
    if workers == 1:
        return counts
    replicas = strategy.num_replicas_in_sync // workers

    def of_replica(context: tf.distribute.ValueContext) -> tf.Tensor:
        first = context.replica_id_in_sync_group % replicas == 0
        return tf.constant(counts if first else np.zeros_like(counts))

    mine = strategy.experimental_distribute_values_from_function(of_replica)
    return strategy.reduce(tf.distribute.ReduceOp.SUM, mine, axis=None).numpy()


def refuse_unequal(strategy: tf.distribute.Strategy, epochs: int, out: Path) -> None:
    """Raise when the workers would not go on from the same epoch, since they see different folders."""
    worker, workers = workers_of(strategy)
    mine = np.zeros(workers, np.int64)
    mine[worker] = epochs
    found = add_up(strategy, mine)
    if len(set(found.tolist())) > 1:
        raise ConfigError(
            f"The workers find different states in {out} (after {', '.join(map(str, found))} epochs). Name "
            "a folder with --out on a disk that all of them share."
        )


def global_loss(loss: Loss) -> Loss:
    """Return the loss of the whole batch, from the share of it that each replica has.

    Every replica computes all of it; Keras sums the gradients, of which each then holds its part.
    """

    def of_all(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        parts = []
        for part in (labels, logits):
            whole = context.all_gather(part, axis=0)
            whole.set_shape((None, *part.shape[1:]))
            parts.append(whole)
        return loss(*parts) / context.num_replicas_in_sync

    return of_all


def check_shares(strategy: tf.distribute.Strategy, config: TrainConfig) -> None:
    """Raise `ConfigError` with everything that several replicas cannot do."""
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return
    wrong = []
    if config.batch_size % replicas:
        wrong.append(f"batch_size {config.batch_size} is no multiple of their number")
    if config.accumulate > 1:
        wrong.append("accumulate is for a single one; choose a larger batch_size")
    if config.precision == "mixed_float16":
        wrong.append("mixed_float16 is for a single one; choose mixed_bfloat16 or float32")
    if wrong:
        raise ConfigError(f"{replicas} devices cannot share the training: {'; '.join(wrong)}.")


def share_out(
    strategy: tf.distribute.Strategy, batches: Callable[..., tf.data.Dataset]
) -> tf.data.Dataset:
    """Return the batches of this worker's replicas.

    `batches` takes `worker`, `workers` and `replicas` as `pipeline.training_batches` does.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return batches()
    return strategy.distribute_datasets_from_function(
        lambda context: batches(
            worker=context.input_pipeline_id,
            workers=context.num_input_pipelines,
            replicas=replicas // context.num_input_pipelines,
        )
    )


def fit(
    trainer: keras.Model,
    strategy: tf.distribute.Strategy,
    batches: tf.data.Dataset,
    steps: int,
    epochs: range,
    callback: keras.callbacks.Callback,
) -> None:
    """Do as `trainer.fit` does, on the replicas of a strategy.

    Raises
    ------
    TrainingError
        When a worker is lost.
    """

    @tf.function
    def step(iterator: Any) -> dict[str, Any]:
        return strategy.run(trainer.train_step, (next(iterator),))

    trainer.stop_training = False
    callback.set_model(trainer)
    iterator = iter(batches)
    for epoch in epochs:
        trainer.reset_metrics()
        callback.on_epoch_begin(epoch)
        for batch in range(steps):
            logs = step(iterator)
            # The loss is that of the whole batch on every replica.
            local = strategy.experimental_local_results(logs["loss"])[0]
            callback.on_train_batch_end(batch, {"loss": float(local)})
        means = {name: strategy.reduce("MEAN", value, axis=None) for name, value in logs.items()}
        callback.on_epoch_end(epoch, {name: float(value) for name, value in means.items()})
        if trainer.stop_training:
            return


@contextlib.contextmanager
def lost_workers(strategy: tf.distribute.Strategy, out: Path) -> Iterator[None]:
    """Say in words that a worker was lost."""
    try:
        yield
    except _LOST as error:
        worker, workers = workers_of(strategy)
        if workers == 1:
            raise
        raise TrainingError(
            f"Worker {worker} stops, since another of the {workers} workers was lost ({_first_line(error)}). "
            f"What was learned up to the last whole epoch is kept in {out}: start all workers again, with "
            "--resume."
        ) from error
