"""Independent work on many processes or machines (Dask), or one after the other in this process."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from medream import progress
from medream.errors import ConfigError, MedreamError, MissingExtraError, TrainingError

Job = TypeVar("Job")
_KINDS = "local, local:N, slurm, slurm:N, or the scheduler's address such as tcp://host:8786"
_RETRIES = 3
_ANSWER_S = 20


def run_all(
    work: Callable[[Job], None], jobs: Sequence[Job], cluster: str | None = None
) -> Iterator[Job]:
    """Do work for every job and yield each job when it is done.

    Parameters
    ----------
    work : callable
        Must go on where an earlier attempt stopped: with a cluster, the jobs of a lost worker are done again by
        another one, up to three times.
    jobs : sequence
        Independent of each other.
    cluster : str or None
        None: in this process, in order. "local" or "local:N": N processes on this machine, which share
        its cores. "slurm" or "slurm:N": N jobs of the queue, set up in Dask's own `jobqueue.yaml`
        (cores, memory, walltime, job_extra_directives for GPUs).
        "tcp://...": the workers of a Dask scheduler, which must see the same files. A worker does one
        job at a time.

    Raises
    ------
    ConfigError
        When there is no such cluster.
    MissingExtraError
        When Dask is not installed.
    TrainingError
        When workers were lost again and again.

    Examples
    --------
    >>> list(run_all(lambda job: None, [3, 1]))
    [3, 1]
    """
    if cluster is None:
        for job in jobs:
            work(job)
            yield job
        return
    check_cluster(cluster)
    with _client(cluster, len(jobs)) as client:
        yield from _fan_out(client, work, jobs)


def check_cluster(cluster: str | None) -> None:
    """Raise when a cluster's name cannot be understood or its packages are missing."""
    if cluster is None:
        return
    if not re.fullmatch(r"(local|slurm)(:[1-9]\d*)?|(tcp|tls|ucx)://.+", cluster):
        raise ConfigError(f"There is no cluster {cluster!r}; expected {_KINDS}.")
    try:
        import distributed  # noqa: F401

        if cluster.startswith("slurm"):
            import dask_jobqueue  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"--cluster {cluster} needs {error.name}, which is not installed. Install it with: pip install "
            "'medream[cluster]'. Without --cluster the trainings run one after the other."
        ) from error


@contextlib.contextmanager
def _client(cluster: str, jobs: int) -> Iterator[Any]:
    import dask
    from distributed import Client, LocalCluster

    kind, _, count = cluster.partition(":")
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": _RETRIES}))
        if kind == "local":
            cores = (
                len(os.sched_getaffinity(0))
                if hasattr(os, "sched_getaffinity")
                else os.cpu_count() or 1
            )
            workers = min(int(count or max(cores // 4, min(cores, 2))), jobs)
            threads = str(max(cores // workers, 1))
            address = stack.enter_context(
                LocalCluster(
                    n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None,
                    memory_limit=None,  # what a training needs is not known, and Dask would kill it
                    env={
                        "TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": "1",
                        "OMP_NUM_THREADS": threads, "TF_CPP_MIN_LOG_LEVEL": "3",
                    },
                )
            )  # fmt: skip
        elif kind == "slurm":
            address = stack.enter_context(_slurm(min(int(count or jobs), jobs)))
        else:
            address = cluster
        try:
            client = stack.enter_context(Client(address, timeout=_ANSWER_S))
        except OSError as error:
            raise ConfigError(
                f"No Dask scheduler answers at {cluster}: {error}. Start one with 'dask scheduler', and "
                "workers with 'dask worker ADDRESS --nthreads 1'."
            ) from error
        yield client


def _slurm(jobs: int) -> Any:
    from dask_jobqueue import SLURMCluster

    try:
        cluster = SLURMCluster(processes=1, worker_extra_args=["--nthreads", "1"])
    except ValueError as error:
        raise ConfigError(
            f"SLURM jobs are not set up: {error}. Write cores, memory and walltime below jobqueue: slurm: "
            "in ~/.config/dask/jobqueue.yaml."
        ) from error
    cluster.scale(jobs=jobs)
    progress.say(f"cluster: {jobs} SLURM jobs asked for; work begins with the first that starts")
    return cluster


def _fan_out(client: Any, work: Callable[[Job], None], jobs: Sequence[Job]) -> Iterator[Job]:
    from distributed import KilledWorker, as_completed

    futures = {
        client.submit(_quietly, work, job, pure=False, key=f"medream-{number:04d}"): job
        for number, job in enumerate(jobs)
    }
    try:
        for future in as_completed(futures):
            try:
                future.result()
            except KilledWorker as error:
                raise TrainingError(
                    f"Workers were lost {_RETRIES + 1} times over the same training. Perhaps they have too "
                    "little memory. What is finished is kept; the same command goes on from there."
                ) from error
            yield futures[future]
    finally:
        client.cancel(list(futures))


def _quietly(work: Callable[[Job], None], job: Job) -> None:
    """Do one job on a worker; whoever started the cluster shows the progress."""
    progress.set_mode("quiet")
    try:
        work(job)
    except MedreamError as error:
        raise type(error)(f"{error}") from None  # without what cannot be pickled
