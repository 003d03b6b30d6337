"""Several devices and processes: the loss curve of a single one, and what happens when one is lost."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import medream as md
from medream.errors import ConfigError
from medream.phantom import save_phantom
from medream.pipeline import training_batches
from medream.training import distribution
from medream.training.distribution import add_up, open_strategy, workers_of

JOB = """
import sys, json, tensorflow as tf, medream as md
from medream.training.distribution import open_strategy
kind, out, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
strategy = None
if kind == "mirrored":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
elif kind == "multiworker":
    strategy = open_strategy(kind)
# Without dropout, whose masks are drawn by each device.
config = md.UNetConfig(levels=1, base_filters=4, dropout=0.0)
settings = {"epochs": 3, "batch_size": 4, "image_size": (32, 32), "learning_rate": 1e-3, **settings}
md.train(md.phantom_scans(12, seed=3, size=(64, 64)), config, md.TrainConfig(**settings), out, strategy=strategy)
"""


def environment(worker=None, ports=(), **more):
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    config = {"cluster": cluster, "task": {"type": "worker", "index": worker}}
    told = {} if worker is None else {"TF_CONFIG": json.dumps(config)}
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **told, **more}


def free_ports(count):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def start(arguments, environment):
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def end(processes, timeout=600):
    """Wait for all and return what they said; whoever is left is stopped."""
    try:
        said = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(p.returncode, *told) for p, told in zip(processes, said, strict=True)]


def train(kind, out, **settings):
    ports = free_ports(2) if kind == "multiworker" else (None,)
    workers = [
        start(["-c", JOB, kind, out, json.dumps(settings)],
              environment(k, ports) if kind == "multiworker" else environment())
        for k in range(len(ports))
    ]  # fmt: skip
    for code, _, error in end(workers):
        assert code == 0, error
    return pd.read_csv(out / "history.csv")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mirrored", "multiworker"])
def test_the_loss_curve_is_that_of_one_worker(tmp_path, kind):
    alone, shared = (train(k, tmp_path / k) for k in ("alone", kind))
    pd.testing.assert_frame_equal(alone, shared, rtol=1e-4)
    assert {file.name for file in (tmp_path / kind).iterdir()} == {
        file.name for file in (tmp_path / "alone").iterdir()
    }
    assert len(list((tmp_path / kind / "tensorboard").iterdir())) == 1  # of the chief
    one, other = (md.load_model(tmp_path / k) for k in ("alone", kind))
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)
    assert not one.get_layer("enc1_norm1").synchronized
    assert not other.get_layer("enc1_norm1").synchronized  # so that any Keras opens it


@pytest.mark.slow
def test_averages_and_other_losses_and_optimizers_are_shared_too(tmp_path):
    settings = {"ema": 0.9, "loss": "boundary", "optimizer": "sgd", "clip_norm": 1.0}
    alone, shared = (train(k, tmp_path / k, **settings) for k in ("alone", "mirrored"))
    pd.testing.assert_frame_equal(alone, shared, rtol=1e-4)


def command(data, out, *more):
    return ["-m", "medream.cli", "train", data, "--levels", 1, "--base-filters", 4, "--epochs", 6,
            "--image-size", 32, 32, "--strategy", "multiworker", "--out", out, *more]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    save_phantom(md.phantom_scans(24, seed=3, size=(64, 64)), folder)
    return folder


def start_all(data, out, *more):
    ports = free_ports(2)
    return [start(command(data, out, *more), environment(k, ports)) for k in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_lost_worker_ends_the_job_which_resumes(data, tmp_path, victim):
    for code, _, error in end(start_all(data, tmp_path / "whole")):
        assert code == 0, error
    history = tmp_path / "broken" / "unet1" / "history.csv"
    workers = start_all(data, tmp_path / "broken")
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not (history.exists() and len(pd.read_csv(history)) > 1):
        time.sleep(0.02)
    workers[victim].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    _, said = workers[victim].wait(), end([workers[1 - victim]], timeout=150)
    code, _, error = said[0]
    assert code == 1
    assert "was lost" in error
    assert "--resume" in error
    assert "Traceback" not in error
    assert time.monotonic() - killed < 120
    assert len(pd.read_csv(history)) < 6, "the kill came too late to test anything"
    for code, _, error in end(start_all(data, tmp_path / "broken", "--resume")):
        assert code == 0, error
    whole, broken = (md.load_model(tmp_path / n / "unet1") for n in ("whole", "broken"))
    for a, b in zip(whole.get_weights(), broken.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


LATE = """
import sys
from medream.training import distribution
distribution.START_S = 5.0
distribution.open_strategy("multiworker")
"""


@pytest.mark.slow
@pytest.mark.parametrize("worker", [0, 1])
def test_a_worker_whose_others_do_not_come_says_so(worker):
    ports = free_ports(2)
    ((code, _, error),) = end([start(["-c", LATE], environment(worker, ports))], timeout=120)
    assert code == 1
    assert f"localhost:{ports[1 - worker]}" in error


def test_workers_and_devices_share_out_each_batch():
    scans = md.phantom_scans(5, seed=3, size=(64, 64))
    settings = {"size": (32, 32), "batch_size": 8, "seed": 2, "first_sample": 16}
    whole = [images.numpy() for images, _ in training_batches(scans, **settings).take(2)]
    for workers, replicas in ((2, 1), (1, 2), (2, 2), (1, 8)):
        streams = [
            iter(training_batches(scans, worker=k, workers=workers, replicas=replicas, **settings))
            for k in range(workers)
        ]
        for step in whole:
            parts = [next(stream)[0].numpy() for stream in streams for _ in range(replicas)]
            np.testing.assert_array_equal(np.concatenate(parts), step)


def test_what_names_no_workers_is_refused(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    with pytest.raises(ConfigError, match=r"'mirored'.*mirrored"):
        open_strategy("mirored")
    with pytest.raises(ConfigError, match="TF_CONFIG"):
        open_strategy("multiworker")
    for config in ("no json", '{"cluster": {"worker": []}, "task": {"type": "worker"}}'):
        monkeypatch.setenv("TF_CONFIG", config)
        with pytest.raises(ConfigError, match="TF_CONFIG or SLURM"):
            open_strategy("multiworker")


def test_what_several_devices_cannot_do_is_refused_before_anything():
    config = md.TrainConfig(batch_size=4, accumulate=2, precision="mixed_float16")
    distribution.check_shares(SimpleNamespace(num_replicas_in_sync=1), config)
    with pytest.raises(ConfigError, match=r"3 devices.*batch_size 4.*accumulate.*mixed_float16"):
        distribution.check_shares(SimpleNamespace(num_replicas_in_sync=3), config)


def test_slurm_names_hosts_and_tasks(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    told = {"PROCID": "2", "STEP_NUM_TASKS": "3", "STEP_NODELIST": "gpu[07-08]"}
    for name, value in {**told, "STEP_TASKS_PER_NODE": "2,1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    resolver = distribution._resolver()
    assert resolver.cluster_spec().as_dict() == {
        "worker": ["gpu07:8888", "gpu07:8889", "gpu08:8888"]
    }
    assert workers_of(SimpleNamespace(cluster_resolver=resolver)) == (2, 3)


def test_one_worker_has_nothing_to_add():
    counts = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(add_up(tf.distribute.get_strategy(), counts), counts)
    assert workers_of(tf.distribute.get_strategy()) == (0, 1)
