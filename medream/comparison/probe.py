"""Measures one network in a process of its own: settings on stdin, numbers as JSON on stdout."""

from __future__ import annotations

import json
import re
import resource
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medream.scan import Scan

STEPS, REPEATS = 6, 5
_UNIT = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, others KiB


def probe(asked: dict[str, Any]) -> dict[str, Any]:
    """Train a few steps, segment a few B-scans, and return what it took (`cost.Cost`)."""
    from medream.startup import load_tensorflow

    load_tensorflow()
    import tensorflow as tf

    from medream.comparison.cost import count_flops
    from medream.comparison.plan import train_config
    from medream.dream import describe_layers
    from medream.segmentation import segment
    from medream.store import load_model
    from medream.training import train
    from medream.unet import UNetConfig

    config = UNetConfig(**asked["unet"])
    settings = {**asked["train"], "epochs": 1, "warmup": 0}
    scans = _scans(
        settings["image_size"], STEPS * settings["batch_size"], max(config.classes - 1, 1)
    )
    base = _peak_mib()
    with tempfile.TemporaryDirectory() as folder:
        trained = train(
            scans[1:], config, train_config(settings), Path(folder) / "model", validation=scans[:1]
        )
        model = load_model(trained)
    peak = _peak_mib()

    depth, width = asked["bscan"]
    times = []
    for _ in range(REPEATS + 1):  # the first one builds the graph
        started = time.perf_counter()
        segment(model, np.zeros((depth, width), np.float32))
        times.append(time.perf_counter() - started)
    gpu = bool(tf.config.list_physical_devices("GPU"))
    fields = {row.name: row.receptive_field for row in describe_layers(model)}
    return {
        "parameters": model.count_params(),
        "flops": count_flops(model, (_up(depth, config.stride), _up(width, config.stride))),
        "receptive_field": fields["logits"],
        "bscan_seconds": statistics.median(times[1:]),
        "peak_mib": peak,
        "base_mib": base,
        "device_mib": tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
        if gpu
        else None,
    }


def _scans(size: tuple[int, int], count: int, classes: int) -> list[Scan]:
    """Return a scan to validate and as many as `count` to train on, with every class in each lesion."""
    from medream.phantom import phantom_scans

    depth, width = (max(side, 32) for side in size)
    scans = phantom_scans(2 * count + 12, size=(depth, width), bscans_per_subject=1)
    scans = [scan for scan in scans if scan.mask is not None and scan.mask.any()]
    scans = [scans[k % len(scans)] for k in range(count + 1)]
    if classes == 1:
        return scans
    label = 1 + (np.add.outer(np.arange(depth), np.arange(width)) % classes).astype(np.uint8)
    names = tuple(f"class{k}" for k in range(1, classes + 1))
    return [replace(scan, mask=label * (scan.mask != 0), classes=names) for scan in scans]


def _peak_mib() -> float:
    """Return the most memory that this process has held."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return round(int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024, 1)
    except (OSError, IndexError):
        # Only where there is no /proc: on Linux a process inherits this number from its parent.
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _UNIT, 1)


def _up(side: int, stride: int) -> int:
    return -(-side // stride) * stride


if __name__ == "__main__":
    print(json.dumps(probe(json.load(sys.stdin))))
