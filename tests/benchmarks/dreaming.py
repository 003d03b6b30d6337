"""Dreaming against the TensorFlow tutorial's loop: time, memory, fidelity, and how the cost grows.

    python tests/benchmarks/dreaming.py [--only steps first ...] [--quick] [--out DIR]

Every way of climbing is a process of its own (`ways.py`, `peers/`). A step is (t(k + 1) - t(1)) / k, t(n)
being the seconds of a call of n steps after two warming calls, so neither compilation nor what a call
costs once is in it; for batches it is per scan. Each row runs in turn with the tutorial's loop, and its
ratio is the median over the rounds of the loop's step over the row's step in the same round: above 1 is
faster than the loop. "cpu" is the same ratio of the processor's seconds, of all threads: it tells little
about idle cores, but other programs disturb it less. "first" is how much longer the process's first call
takes than its second (tracing, compiling); "peak" is the whole process's greatest resident memory.

The sections: `steps` (the table; with the peers that `make bench-peers` installed), `first` (the first
picture of the command line, from process start to files written), `large` (2048 x 4096 pixels in tiles),
`growth` (fitted exponents of the cost in pixels, steps and scans, and a figure), `fidelity` (bfloat16
against float32 on a trained network).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
LAYER = "dec1_conv2"
SECTIONS = ("steps", "first", "large", "growth", "fidelity")
NETWORKS = {
    "original4": "original U-Net of 4 levels, 31,047,557 parameters, 256 x 256 x 1",
    "small": "U-Net of 3 levels and 16 filters, 256 x 256 x 1",
}
STEPS = {"original4": 4, "small": 30}  # k
LIMIT_S = 600.0  # for one answer of a process

# label, way of ways.py, whether it needs bfloat16 units to be worth its time
OURS = (
    ("bare forward + backward", "bare", False),
    ("loop, 4 scans a batch", "loop-4", False),
    ("loop, mixed_bfloat16 policy", "policy", True),
    ("loop, mixed_bfloat16, 4 scans", "policy-4", True),
    ("loop, grappler's mixed precision", "amp", False),
    ("medream float32", "float32", False),
    ("medream auto", "auto", False),
    ("medream bfloat16", "bfloat16", True),
    ("medream float32, batches of 4", "float32-4", False),
    ("medream auto, 4 scans, own batch", "auto-4", False),
)
# label, environment, command, whether it needs bfloat16 units
PEERS = (
    ("tf-keras-vis 0.8.7", "keras", ("tf_keras_vis_loop.py",), False),
    ("Xplique 2.0.2", "keras", ("xplique_loop.py",), False),
    ("PyTorch 2.13 float32, channels last", "torch", ("torch_loop.py",), False),
    ("PyTorch 2.13 bfloat16", "torch", ("torch_loop.py", "--precision", "bfloat16"), True),
)


class Unable(Exception):
    """A way that cannot run here."""


class Worker:
    """A way of climbing in its own process."""

    def __init__(self, command: Sequence[str | Path], log: Path) -> None:
        self.log = log
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
        try:
            self.ready = self._answer()
        except Unable:
            self.close()
            raise
        self.scans = int(self.ready["scans"])
        self.peak = self.ready["peak"]

    def _answer(self) -> dict[str, float]:
        timer = threading.Timer(LIMIT_S, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        late = not timer.is_alive()
        timer.cancel()
        if not line:
            reason = f"no answer in {LIMIT_S:.0f} s" if late else f"ended, see {self.log}"
            raise Unable(reason)
        answer = json.loads(line)
        if "unable" in answer:
            raise Unable(answer["unable"])
        return answer

    def climb(self, steps: int) -> np.ndarray:
        """Return the seconds of a call of so many steps, and the processor's."""
        print(steps, file=self.process.stdin, flush=True)
        answer = self._answer()
        self.peak = answer["peak"]
        return np.array([answer["seconds"], answer["processor"]])

    def step(self, k: int) -> np.ndarray:
        """Return the same of a step in the steady state, per scan."""
        return (self.climb(k + 1) - self.climb(1)) / k / self.scans

    def close(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True)
class Row:
    """What was measured of one way beside the tutorial's loop."""

    label: str
    seconds: float
    ratio: float
    lowest: float
    highest: float
    processor: float
    first: float
    peak: float
    peak_ratio: float
    rounds: int

    def __str__(self) -> str:
        return (
            f"{self.label:36}{1e3 * self.seconds:10.1f}{self.ratio:8.2f}"
            f"{f'{self.lowest:.2f}-{self.highest:.2f}':>12}{self.processor:6.2f}{self.first:9.1f}"
            f"{self.peak / 2**20:8.0f}{self.peak_ratio:8.2f}{self.rounds:7}"
        )


HEADER = (
    f"{'':36}{'ms a step':>10}{'ratio':>8}{'low-high':>12}{'cpu':>6}{'first s':>9}"
    f"{'peak M':>8}{'x loop':>8}{'rounds':>7}"
)


def beside(label: str, worker: Worker, loop: Worker, k: int, rounds: int) -> Row:
    """Measure a way and the loop in turn; the order changes from round to round."""
    slow = worker.climb(1)[0] / worker.scans / loop.climb(1)[0]
    if slow > 20:  # emulated arithmetic: a rough number is enough
        k, rounds = 1, 1
    fewer = max(1, round(k / max(1.0, slow / 2, worker.scans)))
    seconds, base = [], []
    for number in range(rounds):
        for who in (loop, worker) if number % 2 else (worker, loop):
            if who is worker:
                seconds.append(worker.step(fewer))
            else:
                base.append(loop.step(k))
    ratios, worked = np.divide(base, seconds).T
    return Row(
        label,
        seconds=float(np.median(seconds, axis=0)[0]),
        ratio=float(np.median(ratios)),
        lowest=float(ratios.min()),
        highest=float(ratios.max()),
        processor=float(np.median(worked)),
        first=worker.ready["first"],
        peak=worker.peak,
        peak_ratio=worker.peak / loop.peak,
        rounds=rounds,
    )


def commands(peers: Path, emulated: bool, name: str) -> list[tuple[str, list[str | Path], bool]]:
    """Return label, command and whether to skip it, of each row."""
    skip = not emulated and not has_bfloat16()
    rows: list[tuple[str, list[str | Path], bool]] = [
        (label, [sys.executable, HERE / "ways.py", way], needs and skip)
        for label, way, needs in OURS
    ]
    for label, environment, (script, *more), needs in PEERS:
        python = peers / environment / "bin" / "python"
        rows.append((label, [python, HERE / "peers" / script, *more], needs and skip))
    return rows


def steps_section(options: argparse.Namespace, networks: Path) -> dict[str, list[dict[str, Any]]]:
    told: dict[str, list[dict[str, Any]]] = {}
    for name in options.networks:
        k = max(2, STEPS[name] // 4) if options.quick else STEPS[name]
        picture = networks / "scan.npy"
        print(f"\n{NETWORKS[name]}; target {LAYER}, batch 1, k = {k}\n{HEADER}")
        ends: list[str | Path] = [networks / name, picture]
        log = options.out / f"{name}-loop.log"
        loop = Worker([sys.executable, HERE / "ways.py", "loop", *ends], log)
        rows = []
        for label, command, skip in commands(options.peers, options.emulated, name):
            if options.rows and not any(word in label for word in options.rows):
                continue
            if skip:
                print(f"{label:36}  not measured: this processor has no bfloat16 units", flush=True)
                continue
            if not Path(command[0]).exists():
                print(f"{label:36}  not installed: make bench-peers", flush=True)
                continue
            try:
                log = options.out / f"{name}-{label.replace(' ', '_')}.log"
                worker = Worker([*command[:2], *ends, *command[2:]]
                                if "peers" in str(command[1]) else [*command, *ends], log)  # fmt: skip
            except Unable as error:
                print(f"{label:36}  cannot: {error}", flush=True)
                continue
            try:
                rows.append(beside(label, worker, loop, k, options.rounds))
                print(rows[-1], flush=True)
            except Unable as error:
                print(f"{label:36}  cannot: {error}", flush=True)
            finally:
                worker.close()
        seconds = statistics.median(loop.step(k)[0] for _ in range(options.rounds))
        first = loop.ready["first"]
        rows.append(
            Row("the tutorial's loop", seconds, 1, 1, 1, 1, first, loop.peak, 1, options.rounds)
        )
        print(rows[-1], flush=True)
        loop.close()
        told[name] = [asdict(row) for row in rows]
    return told


def first_section(options: argparse.Namespace, networks: Path) -> dict[str, float]:
    """Time the command line from process start to files written."""
    print(
        "\nfirst picture: medream dream, 256 x 256, 3 levels, 16 filters, 100 steps + 4 octaves of 50"
    )
    told = {}
    for label, more, target in (
        ("without control", ["--no-control"], 18),
        ("with control", [], 30),
    ):
        taken, worked = [], []
        for number in range(1 if options.quick else options.rounds):
            out = options.out / "first" / f"{label.replace(' ', '_')}{number}"
            started, before = time.perf_counter(), children_seconds()
            subprocess.run(
                [sys.executable, "-P", "-m", "medream.cli", "dream", networks / "small",
                 networks / "scan.png", "--layer", LAYER, "--out", out, *more],
                check=True, capture_output=True,
            )  # fmt: skip
            taken.append(time.perf_counter() - started)
            worked.append(children_seconds() - before)
        told[label] = statistics.median(taken)
        print(f"  {label:16} {told[label]:6.1f} s ({min(taken):.1f}-{max(taken):.1f}, "
              f"{len(taken)} runs; the processor's {statistics.median(worked):.1f} s; "
              f"target {target} s)", flush=True)  # fmt: skip
    return told


def children_seconds() -> float:
    """Return the processor's seconds of the processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def large_section(options: argparse.Namespace, networks: Path) -> dict[str, float]:
    """Dream on 2048 x 4096 pixels in tiles."""
    print("\n2048 x 4096 pixels in tiles of 512, 3 levels, 16 filters")
    image = np.tile(np.load(networks / "scan.npy"), (8, 16))
    np.save(options.out / "large.npy", image)
    command = [sys.executable, HERE / "ways.py", "tiles", networks / "small"]
    try:
        worker = Worker([*command, options.out / "large.npy"], options.out / "large.log")
    except Unable as error:
        print(f"  cannot: {error}", flush=True)
        return {}
    worker.close()
    seconds = worker.ready["seconds"]
    print(
        f"  {seconds:.1f} s for a dream of one step (two passes), peak {worker.peak / 2**30:.2f} GiB (target 3)",
        flush=True,
    )
    return {"seconds": seconds, "peak": worker.peak}


def growth_section(options: argparse.Namespace, networks: Path) -> dict[str, Any]:
    """Fit the exponents of the cost in pixels, steps and scans, and draw them."""
    import medream as md

    model = md.load_model(networks / "small")
    scan = np.load(networks / "scan.npy")

    def call(image: np.ndarray, steps: int) -> float:
        started = time.perf_counter()
        md.dream(model, image, LAYER, steps=steps, octaves=None, control=False)
        return time.perf_counter() - started

    def in_pixels(side: float) -> float:
        image = np.tile(scan, (4, 4))[: int(side), : int(side)]
        call(image, 1)
        return median(lambda: (call(image, 5) - call(image, 1)) / 4)

    def median(measure: Callable[[], float]) -> float:
        return statistics.median(measure() for _ in range(1 if options.quick else options.rounds))

    most = 512 if options.quick else 1024
    sides = [side for side in (128, 256, 512, 1024) if side <= most]
    steps = [5, 10, 20, 40] if options.quick else [10, 20, 40, 80, 160]
    scans = [1, 2, 4, 8]
    call(scan, 1)
    found = {
        "pixels": ([side**2 for side in sides], [in_pixels(side) for side in sides]),
        "steps": (steps, [median(lambda n=n: call(scan, n)) for n in steps]),
        "scans": (scans, [median(lambda n=n: sum(call(np.roll(scan, 9 * i, 1), 5) for i in range(n)))
                          for n in scans]),
    }  # fmt: skip
    exponents = {
        name: float(np.polyfit(np.log(x), np.log(y), 1)[0]) for name, (x, y) in found.items()
    }
    print("\ngrowth of the cost, medream auto, 3 levels, 16 filters (1 is linear)")
    for name, exponent in exponents.items():
        x, y = found[name]
        values = ", ".join(f"{a:,}: {b:.3g} s" for a, b in zip(x, y, strict=True))
        print(f"  {name:8} exponent {exponent:.2f}   ({values})", flush=True)
    draw_growth(found, exponents, options.out / "growth.png")
    print(f"  figure: {options.out / 'growth.png'}")
    return {"exponents": exponents, "measured": found}


def draw_growth(found: dict[str, Any], exponents: dict[str, float], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(found), figsize=(7.2, 2.4), layout="constrained")
    for axis, (name, (x, y)) in zip(axes, found.items(), strict=True):
        axis.loglog(x, y, "o-", color="black", markersize=3, linewidth=1)
        axis.loglog(x, [y[-1] * a / x[-1] for a in x], ":", color="grey", linewidth=1)
        axis.set_xticks(x, [f"{a:,}" for a in x], fontsize=6)
        axis.set_xticks([], minor=True)
        axis.set(xlabel=name, title=f"exponent {exponents[name]:.2f}")
    axes[0].set_ylabel("seconds a step")
    axes[1].set_ylabel("seconds a call")
    axes[2].set_ylabel("seconds in all")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def fidelity_section(options: argparse.Namespace, networks: Path) -> dict[str, Any]:
    """Compare dreams in bfloat16 and auto with float32's on a trained network."""
    from skimage.metrics import structural_similarity

    import medream as md

    model = md.load_model(networks / "small")
    image = np.load(networks / "scan.npy")
    if not has_bfloat16():
        image = np.ascontiguousarray(image[64:192, 64:192])  # emulated, 30 times slower
    steps = 20 if options.quick else 100

    def dream(picture: np.ndarray, steps: int, precision: str) -> Any:
        return md.dream(
            model, picture, LAYER, steps=steps, octaves=None, control=False, precision=precision
        )

    def objective(picture: np.ndarray) -> float:
        return float(dream(picture, 0, "float32").history[0])

    base = dream(image, steps, "float32").dream
    reached = objective(base)
    shape = " x ".join(map(str, image.shape))
    print(f"\nfidelity after {steps} steps on a trained network, {shape} (targets: 1 %, SSIM 0.98)")
    print(f"  {'float32':22} objective {objective(image):.4f} -> {reached:.4f}")
    told = {}
    # What float32 itself leaves open: a last bit decides at kinks (peers/crosscheck.py).
    noise = np.random.default_rng(0).uniform(-1e-6, 1e-6, image.shape).astype(np.float32)
    dreams = {
        "float32, start + 1e-6": lambda: dream(np.clip(image + noise, 0, 1), steps, "float32"),
        "bfloat16": lambda: dream(image, steps, "bfloat16"),
        "auto": lambda: dream(image, steps, "auto"),
    }
    for label, make in dreams.items():
        other = make().dream
        found = objective(other)
        similarity = float(structural_similarity(base, other, data_range=1.0))
        told[label] = {"objective": found / reached, "ssim": similarity}
        print(
            f"  {label:22} objective {found:.4f} ({100 * (found / reached - 1):+.2f} %), "
            f"SSIM {similarity:.4f}, largest difference {np.abs(base - other).max():.3f}",
            flush=True,
        )
    return told


def has_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16 itself."""
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def say_machine() -> None:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":")[1].strip() for line in lines if "model name" in line), "?")
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    units = [u for u in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if u in flags]
    print(f"{name}, {len(os.sched_getaffinity(0))} cores, {' '.join(units)}; "
          f"load {os.getloadavg()[0]:.1f} before")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--rows", nargs="+", help="only rows whose label has one of these words")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="fewer steps: for a first look")
    parser.add_argument(
        "--emulated", action="store_true", help="bfloat16 rows on processors without its units too"
    )
    parser.add_argument("--peers", type=Path, default=Path(".bench"), help="their environments")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    networks = options.peers / "networks"
    needed = {"small", *(options.networks if "steps" in options.only else ())}
    subprocess.run([sys.executable, HERE / "networks.py", networks, *sorted(needed)], check=True)
    say_machine()
    sections = {
        "steps": steps_section,
        "first": first_section,
        "large": large_section,
        "growth": growth_section,
        "fidelity": fidelity_section,
    }
    told = {}
    for name in SECTIONS:
        if name in options.only:
            told[name] = sections[name](options, networks)
            (options.out / "dreaming.json").write_text(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
