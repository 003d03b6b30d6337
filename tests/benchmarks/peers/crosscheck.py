"""medream and a second implementation in PyTorch, written by us, on the same weights, in float32.

    python tests/benchmarks/peers/crosscheck.py [--peers .bench]

Nets of 2, 3 and 4 levels trained on the phantom, three comparisons each:

- `step`: one step from each image of medream's dream of 256 x 256; the share of pixels that differ by more
  than 1e-4, beside that of PyTorch's own float32 and float64 (at most twice as many may, or 0.1 %);
- `crops`: twenty steps on crops of 16 x 16; the median over the crops of the largest difference of the
  dreams (at most 1e-4), and how many crops are within 1e-4;
- `scan`: twenty steps on 256 x 256; the difference of the objectives reached (at most 2 %) and of the
  dreams, beside that of PyTorch's own float32 and float64.

A network of ReLUs and poolings has kinks: of millions of units some are so close to one that the last bit
decides, and the gradient jumps. From there on two float32 dreams part, so that a large scan's pixels cannot
agree after twenty steps: those of PyTorch in float32 and in float64 do not either. A crop has few units,
and most crops meet no kink.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

LEVELS = (2, 3, 4)
STEPS = 20
TOLERANCE = 1e-4
CROP = 16


def _share(difference: np.ndarray) -> float:
    return float((np.abs(difference) > TOLERANCE).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers", type=Path, default=Path(".bench"), help="their environments")
    options = parser.parse_args()
    networks = options.peers / "networks"
    names = [f"check{levels}" for levels in LEVELS]
    subprocess.run([sys.executable, HERE.parent / "networks.py", networks, *names], check=True)

    import ways

    import medream as md

    def ours(image: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Return the images of a dream from its start on, and their objectives."""
        images = [image]
        found = md.dream(
            model,
            image,
            ways.LAYER,
            steps=STEPS,
            octaves=None,
            control=False,
            precision="float32",
            on_step=lambda step, value, image: images.append(image),
        )
        assert np.array_equal(images[-1], found.dream)
        return images, found.history

    def objective(image: np.ndarray) -> float:
        found = md.dream(model, image, ways.LAYER, steps=0, octaves=None, control=False,
                         precision="float32")  # fmt: skip
        return float(found.history[0])

    def theirs(images: list[np.ndarray], steps: int, precision: str = "float32") -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            np.save(Path(folder) / "images.npy", images)
            subprocess.run(
                [options.peers / "torch" / "bin" / "python", HERE / "torch_loop.py",
                 networks / name, Path(folder) / "images.npy", "--precision", precision,
                 "--steps", str(steps), "--write", Path(folder) / "dreams.npy"],
                check=True,
            )  # fmt: skip
            return np.load(Path(folder) / "dreams.npy")

    scan = np.load(networks / "scan.npy")
    crops = [
        np.ascontiguousarray(scan[row : row + CROP, column : column + CROP])
        for row in range(80, 176, 32)
        for column in range(16, 240, 32)
    ]
    print(f"medream and PyTorch, float32, {ways.LAYER}, up to {STEPS} steps\n"
          f"{'':9}{'step: pixels over 1e-4 (PyTorch 32/64)':>40}{'crops: median (within 1e-4)':>32}"
          f"{'scan: objective, largest (PyTorch 32/64)':>44}{'tutorial loop':>16}")  # fmt: skip
    missed = []
    for name in names:
        model = md.load_model(networks / name)
        images, history = ours(scan)
        single = theirs(images[:-1], 1)
        share = _share(np.array(images[1:]) - single)
        own = _share(theirs(images[:-1], 1, "float64") - single)
        apart = np.abs(np.array([ours(crop)[0][-1] for crop in crops]) - theirs(crops, STEPS))
        largest = apart.max(axis=(1, 2))
        single, double = theirs([scan], STEPS)[0], theirs([scan], STEPS, "float64")[0]
        reached = abs(objective(single) / float(history[-1]) - 1)
        loop = ways.loop(model, scan)(STEPS)[0, :, :, 0]
        print(f"{name[-1]} levels {f'{share:.3%} ({own:.3%})':>40}"
              f"{f'{np.median(largest):.0e} ({(largest <= TOLERANCE).sum()} of {len(crops)})':>32}"
              f"{f'{reached:.2%}, {np.abs(images[-1] - single).max():.2f} ':>33}"
              f"({np.abs(single - double).max():.2f}){np.abs(images[-1] - loop).max():21.0e}",
              flush=True)  # fmt: skip
        if share > max(2 * own, 0.001) or np.median(largest) > TOLERANCE or reached > 0.02:
            missed.append(name)
    if missed:
        sys.exit(f"above the tolerance: {', '.join(missed)}")


if __name__ == "__main__":
    main()
