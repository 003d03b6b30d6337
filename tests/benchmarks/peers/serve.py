"""A way of dreaming as a process of its own, which climbs as many steps as it is told.

Each line on stdin is a number of steps; each answer on stdout is a line of JSON. So the benchmark runs
two ways in turn, in any environments, and no way's memory or threads disturb another's.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any


def serve(climb: Callable[[int], Any], scans: int = 1) -> None:
    """Climb one step twice, say how long each took, then answer until stdin closes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not look like an answer

    def timed(steps: int) -> dict[str, float]:
        started, worked = time.perf_counter(), time.process_time()
        climb(steps)
        return {
            "seconds": time.perf_counter() - started,
            "processor": time.process_time() - worked,  # of all threads
            "peak": peak(),
        }

    def answer(**values: float) -> None:
        print(json.dumps(values), file=answers, flush=True)

    try:
        first, second = timed(1), timed(1)
        answer(**second, first=first["seconds"] - second["seconds"], scans=scans)
        for line in sys.stdin:
            answer(**timed(int(line)))
    except Exception as error:
        print(json.dumps({"unable": f"{type(error).__name__}: {error}"}), file=answers, flush=True)
        raise


def peak() -> int:
    """Return this process's greatest resident memory in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
