"""Work on a cluster: done once each, done again when its worker is lost, refused when it cannot be."""

import builtins
import functools
import os
import signal
import time
from itertools import pairwise

import pytest

from medream import cluster
from medream.cluster import check_cluster, run_all
from medream.errors import ConfigError, MissingExtraError, TrainingError


def note(folder, job):
    """Write who did a job, and the threads that TensorFlow would take."""
    started = time.time()
    time.sleep(0.3)
    text = f"{os.getpid()} {started} {time.time()} {os.environ.get('TF_NUM_INTRAOP_THREADS')}"
    (folder / f"job{job}").write_text(text)


def die_once(folder, job):
    """Lose the worker in the middle of job 2, the first time."""
    begun = folder / "begun"
    if job == 2 and not begun.exists():
        begun.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    note(folder, job)


def die(folder, job):
    os.kill(os.getpid(), signal.SIGKILL)


def fail(job):
    raise TrainingError(f"The loss of {job} became nan.")


def test_without_a_cluster_work_is_done_here_in_order():
    done = []
    assert list(run_all(done.append, [3, 1, 2])) == done == [3, 1, 2]


@pytest.mark.parametrize(
    "name", ["", "Local", "local:0", "local:", "pbs", "tcp:", "slurm:x", "host:8786"]
)
def test_unknown_clusters_are_refused(name):
    with pytest.raises(ConfigError, match="tcp://host:8786"):
        check_cluster(name)


@pytest.mark.parametrize(
    ("name", "package"), [("local", "distributed"), ("slurm:3", "dask_jobqueue")]
)
def test_a_missing_extra_is_named(name, package, monkeypatch):
    load = builtins.__import__

    def without(module, *arguments, **settings):
        if module == package:
            raise ImportError("no such package", name=package)
        return load(module, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=rf"{package}.*medream\[cluster\]"):
        check_cluster(name)


def test_a_scheduler_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(cluster, "_ANSWER_S", 1)
    with pytest.raises(ConfigError, match="dask scheduler"):
        list(run_all(print, [1], "tcp://127.0.0.1:9"))


def test_a_lost_worker_has_its_work_done_again(tmp_path):
    done = list(run_all(functools.partial(die_once, tmp_path), [1, 2, 3, 4], "local:2"))
    assert sorted(done) == [1, 2, 3, 4]
    notes = {k: (tmp_path / f"job{k}").read_text().split() for k in done}
    assert notes[2][0] != (tmp_path / "begun").read_text()
    assert str(os.getpid()) not in {pid for pid, *_ in notes.values()}
    # One job at a time on each worker, and the cores are divided.
    spans = sorted((pid, float(start), float(end)) for pid, start, end, _ in notes.values())
    for (pid, _, end), (other, start, _) in pairwise(spans):
        assert pid != other or end <= start
    cores = len(os.sched_getaffinity(0))
    assert {threads for *_, threads in notes.values()} == {str(max(cores // 2, 1))}


@pytest.mark.slow
def test_work_that_kills_every_worker_ends_with_words(tmp_path):
    with pytest.raises(TrainingError, match="lost 4 times"):
        list(run_all(functools.partial(die, tmp_path), [1], "local:1"))


@pytest.mark.slow
def test_an_error_of_the_work_comes_back_as_it_is():
    with pytest.raises(TrainingError, match="loss of 7 became nan"):
        list(run_all(fail, [7], "local:1"))


SBATCH = """#!/bin/bash
# A queue of this machine: runs the job's script at once.
cp "${@: -1}" "$FAKE_QUEUE/job.sh"
setsid bash "$FAKE_QUEUE/job.sh" > "$FAKE_QUEUE/log" 2>&1 &
echo $! > "$FAKE_QUEUE/pid"
echo "Submitted batch job 7"
"""


@pytest.mark.slow
def test_slurm_jobs_do_the_work(tmp_path, monkeypatch):
    import dask

    for name, text in (
        ("sbatch", SBATCH),
        ("scancel", "#!/bin/bash\nkill -- -$(cat $FAKE_QUEUE/pid)\n"),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_QUEUE", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(__file__))
    with pytest.raises(ConfigError, match=r"cores.*jobqueue\.yaml"):
        list(run_all(print, [1], "slurm"))
    wanted = {"cores": 4, "memory": "2GB", "walltime": "00:10:00", "local-directory": str(tmp_path)}
    settings = {f"jobqueue.slurm.{name}": value for name, value in wanted.items()}
    with dask.config.set(settings):
        assert sorted(run_all(functools.partial(note, tmp_path), [1, 2], "slurm:1")) == [1, 2]
    one, two = ((tmp_path / f"job{k}").read_text().split() for k in (1, 2))
    assert one[0] == two[0] != str(os.getpid())
    assert float(one[2]) <= float(two[1]) or float(two[2]) <= float(one[1])
