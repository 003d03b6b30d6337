"""What a network costs: parameters, operations, receptive field; time and memory, measured by `probe`."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras

from medream.comparison.plan import Training
from medream.dream import describe_layers
from medream.errors import ModelError, TrainingError
from medream.files import write_json
from medream.progress import progress
from medream.training import TrainConfig
from medream.unet import UNetConfig

COSTS_FILE = "costs.json"


def count_flops(model: keras.Model, size: tuple[int, int]) -> int:
    """Count the floating-point operations of the convolutions for one image, forward.

    A multiplication and an addition are two operations, a bias is one more for each output value: for a
    convolution of K x K x C inputs, depth x width x filters x (2 K K C + 1). The rest (normalisation,
    activation, pooling, copying) is left out: 0.04 % of the original network with four levels, half a
    percent of small ones.

    Parameters
    ----------
    model : keras.Model
        With `Conv2D`, `Conv2DTranspose` or `Dense` layers.
    size : (depth, width)
        Of the image; a multiple of the network's stride.

    Returns
    -------
    int

    Raises
    ------
    ModelError
        When a layer of another kind holds kernels.

    Examples
    --------
    >>> import medream as md
    >>> image = keras.Input((None, None, 1))
    >>> model = keras.Model(image, keras.layers.Conv2D(4, 3, padding="same", name="conv")(image))
    >>> count_flops(model, (10, 10)) == 10 * 10 * 4 * (2 * 3 * 3 * 1 + 1)
    True
    """
    total = 0.0
    for row in describe_layers(model):
        layer = model.get_layer(row.name) if row.parameters else None
        if layer is None or all(len(weight.shape) < 2 for weight in layer.weights):
            continue  # scales and shifts of single channels
        if row.stride is None:
            positions = 1.0
        else:
            positions = math.prod(side / step for side, step in zip(size, row.stride, strict=True))
        filters = row.output_shape[-1] or 1
        if type(layer) not in (
            keras.layers.Conv2D,
            keras.layers.Conv2DTranspose,
            keras.layers.Dense,
        ):
            raise ModelError(f"The operations of {row.name} ({row.type}) cannot be counted.")
        per_value = 2 * math.prod(layer.kernel.shape) / filters
        if isinstance(layer, keras.layers.Conv2DTranspose):
            # Each input value meets the whole kernel; stride s gives s * s as many output values.
            per_value /= math.prod(layer.strides)
        total += positions * filters * (per_value + bool(layer.use_bias))
    return round(total)


@dataclass(frozen=True)
class Cost:
    """What one network costs.

    Parameters
    ----------
    parameters : int
    flops : int
        Of `count_flops`, for one B-scan padded to a multiple of the stride.
    receptive_field : (depth, width) in pixels
        Theoretical, of the output.
    bscan_seconds : float
        Of segmenting one B-scan, the median.
    peak_mib : float
        Largest memory of a process of its own that trains, and of it `base_mib` before the network was
        built.
    base_mib : float
    device_mib : float or None
        Largest memory on the GPU, None without one.
    """

    parameters: int
    flops: int
    receptive_field: tuple[int, int]
    bscan_seconds: float
    peak_mib: float
    base_mib: float
    device_mib: float | None = None


def measure_cost(unet: UNetConfig, train: TrainConfig, bscan: tuple[int, int]) -> Cost:
    """Measure a network in a fresh process that trains a few steps on synthetic scans.

    The peak memory of a process never goes down, so that only a process of its own tells the one of a
    network.

    Parameters
    ----------
    unet : UNetConfig
    train : TrainConfig
        Patch and batch size count.
    bscan : (depth, width)
        Of the B-scan to segment.
    """
    asked = {"unet": unet.to_json(), "train": asdict(train), "bscan": list(bscan)}
    done = subprocess.run(
        [sys.executable, "-m", "medream.comparison.probe"],
        input=json.dumps(asked), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise TrainingError(
            f"Measuring the cost of unet{unet.levels} failed: {last[:300]}. All "
            "trainings are kept; the same command goes on from there."
        )
    return cost_of(json.loads(done.stdout.splitlines()[-1]))


def measure_costs(out: Path, plan: Sequence[Training], bscan: tuple[int, int]) -> dict[str, Cost]:
    """Measure each network of a plan once, and keep the numbers in `costs.json`."""
    path = out / COSTS_FILE
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    networks = {training.network: training for training in plan}
    with progress("measure costs", len(networks)) as update:
        for name, training in networks.items():
            if name not in known:
                known[name] = asdict(measure_cost(training.unet, training.train, bscan))
                write_json(path, known)
            update()
    return {name: cost_of(known[name]) for name in networks}


def cost_of(value: dict[str, Any]) -> Cost:
    """Return the `Cost` of JSON values."""
    return Cost(**{**value, "receptive_field": tuple(value["receptive_field"])})
