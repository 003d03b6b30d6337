"""Run the benchmarks one after the other: `make bench`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHMARKS = ("reading.py", "training.py", "dreaming.py")


def main() -> None:
    here = Path(__file__).resolve().parent
    for name in BENCHMARKS:
        print(f"== {name}", flush=True)
        subprocess.run([sys.executable, str(here / name)], check=True)


if __name__ == "__main__":
    main()
