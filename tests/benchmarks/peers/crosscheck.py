"""medream and a second implementation in PyTorch, written by us, on the same weights.

    python tests/benchmarks/peers/crosscheck.py [--peers .bench]

Twenty float32 steps on nets of 2, 3 and 4 levels trained on the phantom; prints the largest difference of
the two dreams over the pixels, and that to the tutorial's loop. Fails above 1e-4.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers", type=Path, default=Path(".bench"), help="their environments")
    options = parser.parse_args()
    networks = options.peers / "networks"
    names = [f"check{levels}" for levels in LEVELS]
    subprocess.run([sys.executable, HERE.parent / "networks.py", networks, *names], check=True)

    import ways

    import medream as md

    image = np.load(networks / "scan.npy")
    print(f"largest difference of the dreams after {STEPS} steps, float32, {ways.LAYER}")
    worst = 0.0
    for name in names:
        model = md.load_model(networks / name)
        ours = md.dream(
            model, image, ways.LAYER, steps=STEPS, octaves=None, control=False, precision="float32"
        )
        loop = ways.loop(model, image)(STEPS)[0, :, :, 0]
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(
                [options.peers / "torch" / "bin" / "python", HERE / "torch_loop.py",
                 networks / name, networks / "scan.npy",
                 "--steps", str(STEPS), "--write", Path(folder) / "dream.npy"],
                check=True,
            )  # fmt: skip
            theirs = np.load(Path(folder) / "dream.npy")
        difference = float(np.abs(ours.dream - theirs).max())
        worst = max(worst, difference)
        print(
            f"  {name[-1]} levels: PyTorch {difference:.1e}, tutorial's loop "
            f"{np.abs(ours.dream - loop).max():.1e} (the dream itself moved "
            f"{np.abs(ours.dream - image).max():.2f}; objective {ours.history[0]:.4f} -> "
            f"{ours.history[-1]:.4f})",
            flush=True,
        )
    if worst > TOLERANCE:
        sys.exit(f"{worst:.1e} is above {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
