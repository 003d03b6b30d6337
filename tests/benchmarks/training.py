"""Training: what the pipeline, validation and the size of the data cost.

    python tests/benchmarks/training.py [--quick] [--only speed settings validation size] [--json FILE]

speed       Images per second of an epoch of `medream.train`, augmentation on, as a share of what Keras' own
            `fit` reaches with the same network, loss and optimizer on arrays in memory. One epoch of each in
            turn, in one process; the ratio is that of the medians. The processor time is given as well: it
            does not hang on what else the machine does.
settings    Images per second of precisions, XLA and steps per execution, as a share of the defaults.
validation  Share of an epoch that goes into everything but training: validation, the best network, the state.
            B-scans of 496 x 768 pixels, as in the Duke data, a quarter of them for validation.
size        B-scans of 256 x 256 pixels packed to disk and drawn at random: images per second without a network,
            and the largest memory of a fresh process, from 100 to 100,000. Up to 10,000 also in memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import medream as md

BATCH, SIDE = 4, 256
RATIO, VALIDATION = 0.97, 0.10  # targets
NETWORKS = {"3 levels, 16 filters": (3, 16), "3 levels, 8 filters": (3, 8)}
DUKE = (496, 768)
SIZES = (100, 1_000, 10_000, 100_000)
IN_MEMORY = 10_000
BATCHES = 200  # that are drawn for each size


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Synthetic(Sequence):
    """B-scans that cost nothing to make: one texture, moved on, with the number in the corner."""

    def __init__(self, count: int, size: tuple[int, int]) -> None:
        self.count, self.size = count, size
        rng = np.random.default_rng(0)
        self._texture = rng.gamma(4, 20, (size[0], 2 * size[1])).clip(0, 255).astype(np.uint8)
        self._mask = np.zeros(size, np.uint8)
        self._mask[size[0] // 3 : size[0] // 2, 20 : size[1] // 4] = 1
        self.sources = Sources(count)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, k: int) -> md.Scan:
        if not 0 <= k < self.count:
            raise IndexError
        start = 37 * k % self.size[1]
        image = self._texture[:, start : start + self.size[1]].astype(np.float32)
        image[0, :4] = [k >> 24 & 255, k >> 16 & 255, k >> 8 & 255, k & 255]
        mask = np.roll(self._mask, k, axis=1) if k % 2 else np.zeros_like(self._mask)
        return md.Scan(image / np.float32(255), mask, source=self.sources[k])

    def fingerprint(self) -> str:
        return f"{self.count} {self.size}"


class Sources(Sequence):
    """Eleven B-scans of each subject."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, k: int) -> md.Source:
        if not 0 <= k < self.count:
            raise IndexError
        return md.Source("synthetic", f"subject{k // 11}", bscan_index=k % 11, sha256="0" * 64)


def _watch(climb) -> tuple[list[float], list[float], list[float]]:
    """Time the epochs of a training: seconds to train, to train in processor time, and for the rest."""
    training, processor, rest = [], [], []
    begin, end = climb.on_epoch_begin, climb.on_epoch_end
    started = [0.0, 0.0]

    def on_epoch_begin(*arguments) -> None:
        begin(*arguments)
        started[:] = time.perf_counter(), cpu_seconds()

    def on_epoch_end(*arguments) -> None:
        training.append(time.perf_counter() - started[0])
        processor.append(cpu_seconds() - started[1])
        at = time.perf_counter()
        end(*arguments)
        rest.append(time.perf_counter() - at)

    climb.on_epoch_begin, climb.on_epoch_end = on_epoch_begin, on_epoch_end
    return training, processor, rest


def _climb(scans, validation, levels: int, filters: int, epochs: int, out: Path, precision="auto"):
    from medream.training.epochs import Climb
    from medream.training.journal import Journal

    out.mkdir()
    network = md.build_unet(md.UNetConfig(levels=levels, base_filters=filters))
    config = md.TrainConfig(
        epochs=epochs,
        batch_size=BATCH,
        image_size=(SIDE, SIDE),
        patience=epochs,
        precision=precision,
    )
    return Climb(network, scans, validation, config, out, False, {}, Journal(out))


def speed(quick: bool) -> list[dict]:
    rows = []
    rounds, count = (3, 32) if quick else (7, 96)
    for name, (levels, filters) in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            scans = Synthetic(count, (SIDE, SIDE))
            climb = _climb(scans, [scans[1]], levels, filters, rounds + 1, Path(folder) / "m")
            training, processor, _ = _watch(climb)
            bare, bare_processor = [], []
            fit = _bare_fit(climb, count)
            end = climb.on_epoch_end

            def in_turn(*arguments, end=end, fit=fit, bare=bare, cpu=bare_processor) -> None:
                end(*arguments)
                at, used = time.perf_counter(), cpu_seconds()
                fit()
                bare.append(time.perf_counter() - at)
                cpu.append(cpu_seconds() - used)

            climb.on_epoch_end = in_turn
            climb.run()
        # The first round traces the graphs.
        ours, theirs = training[1:], bare[1:]
        each = [b / a for a, b in zip(ours, theirs, strict=True)]
        rows.append(
            {
                "network": name,
                "images/s": count / statistics.median(ours),
                "images/s of fit": count / statistics.median(theirs),
                "ratio": statistics.median(theirs) / statistics.median(ours),
                "low": min(each),
                "high": max(each),
                "ratio of processor time": statistics.median(bare_processor[1:])
                / statistics.median(processor[1:]),
                "rounds": rounds,
            }
        )
        _told(rows[-1])
    return rows


def _bare_fit(climb, count: int):
    """Return an epoch of Keras' `fit` on arrays: the network, loss and optimizer of a training."""
    import keras

    from medream.losses import make_loss
    from medream.training.networks import make_trainer

    rng = np.random.default_rng(0)
    images = rng.random((count, SIDE, SIDE, 1), np.float32)
    labels = (images > 0.9).astype(np.int32)
    model = make_trainer(climb.network, climb.precision)
    model = keras.Model(model.input, model.output)
    model.compile(keras.optimizers.Adam(1e-3), make_loss("dice_ce"), jit_compile=False)
    return lambda: model.fit(images, labels, batch_size=BATCH, epochs=1, verbose=0)


def settings(quick: bool) -> list[dict]:
    import keras

    from medream.losses import make_loss
    from medream.training.networks import make_trainer

    rounds, count = (2, 16) if quick else (5, 32)
    rng = np.random.default_rng(0)
    images = rng.random((count, SIDE, SIDE, 1), np.float32)
    labels = (images > 0.9).astype(np.int32)
    network = md.build_unet(md.UNetConfig())
    ways = {
        (precision, jit, steps): []
        for precision in ("float32", "mixed_bfloat16")
        for jit in (False, True)
        for steps in (1, 8)
    }
    models = {}
    for precision, jit, steps in ways:
        model = make_trainer(network, precision)
        model = models[precision, jit, steps] = keras.Model(model.input, model.output)
        model.compile(
            keras.optimizers.Adam(1e-3),
            make_loss("dice_ce"),
            jit_compile=jit,
            steps_per_execution=steps,
        )
    for lap in range(rounds + 1):
        for way, seconds in ways.items():
            at = time.perf_counter()
            models[way].fit(images, labels, batch_size=BATCH, epochs=1, verbose=0)
            if lap:  # the first traces
                seconds.append(time.perf_counter() - at)
    usual = ways["float32", False, 1]
    rows = []
    for (precision, jit, steps), seconds in ways.items():
        shares = [u / s for u, s in zip(usual, seconds, strict=True)]
        row = {
            "precision": precision,
            "jit_compile": jit,
            "steps_per_execution": steps,
            "images/s": count / statistics.median(seconds),
            "share of the default": statistics.median(shares),
            "low": min(shares),
            "high": max(shares),
        }
        rows.append(row)
        _told(row)
    return rows


def validation(quick: bool) -> list[dict]:
    train, held_out, epochs = (8, 2, 2) if quick else (33, 11, 3)
    rows = []
    for name, (levels, filters) in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            climb = _climb(
                Synthetic(train, DUKE),
                list(Synthetic(held_out, DUKE)),
                levels,
                filters,
                epochs,
                Path(folder) / "m",
            )
            training, _, rest = _watch(climb)
            climb.run()
        shares = [r / (r + t) for r, t in zip(rest[1:], training[1:], strict=True)]
        rows.append(
            {
                "network": name,
                "training s": statistics.median(training[1:]),
                "rest s": statistics.median(rest[1:]),
                "share of the epoch": statistics.median(shares),
            }
        )
        _told(rows[-1])
    return rows


def size(quick: bool) -> list[dict]:
    rows = []
    cache = Path(tempfile.mkdtemp(prefix="medream-bench-"))
    try:
        for count in SIZES[: 2 if quick else None]:
            for where in ("disk", "memory"):
                if where == "memory" and count > IN_MEMORY:
                    continue
                command = [sys.executable, __file__, "--draw", str(count)]
                if where == "disk":
                    command.append(str(cache))
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                rows.append({"B-scans": count, "where": where, **json.loads(done.stdout)})
                _told(rows[-1])
            for file in cache.iterdir():
                file.unlink()
    finally:
        shutil.rmtree(cache)
    return rows


def draw(count: int, cache: str | None) -> dict:
    """Pack B-scans and draw patches from them; told by a process of its own."""
    from medream.pipeline import training_batches
    from medream.shards import pack
    from medream.training.census import take_census

    scans = Synthetic(count, (SIDE, SIDE))
    at = time.perf_counter()
    packed = pack(scans, cache)
    packing = time.perf_counter() - at
    at = time.perf_counter()
    pack(scans, cache)
    again = time.perf_counter() - at
    at = time.perf_counter()
    take_census(packed)
    counting = time.perf_counter() - at
    batches: Iterator = iter(training_batches(packed, (SIDE, SIDE), BATCH))
    for _ in range(10):
        next(batches)
    at = time.perf_counter()
    for _ in range(BATCHES):
        next(batches)
    drawing = time.perf_counter() - at
    return {
        "images/s": BATCHES * BATCH / drawing,
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "packing s": packing,
        "opening s": again if cache else None,
        "counting s": counting,
        "file MB": packed.file.stat().st_size / 1e6 if packed.file else None,
    }


def _told(row: dict) -> None:
    words = (f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
    print("  " + ", ".join(words), flush=True)


SECTIONS = {"speed": speed, "settings": settings, "validation": validation, "size": size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--draw", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.draw:
        print(json.dumps(draw(int(options.draw[0]), *[*options.draw[1:], None][:1])))
        return
    found = {}
    for name in options.only:
        print(f"== {name}", flush=True)
        found[name] = SECTIONS[name](options.quick)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    slow = [r["network"] for r in found.get("speed", []) if r["ratio"] < RATIO]
    dear = [
        r["network"] for r in found.get("validation", []) if r["share of the epoch"] > VALIDATION
    ]
    for names, what in (
        (slow, f"below {RATIO} of fit"),
        (dear, f"validation above {VALIDATION:.0%}"),
    ):
        if names:
            print(f"{what}: {', '.join(names)}")


if __name__ == "__main__":
    main()
