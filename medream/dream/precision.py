"""Which number type a dream's network computes in."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np

from medream.progress import say

# A dream follows its gradient for hundreds of steps: where the first step in bfloat16 points
# this much as in float32, and the objective is this near, so do the dreams after 100 steps
# (tests/benchmarks/dreaming.py measures it).
_LEAST_COSINE = 0.99
_FARTHEST = 0.01

# Precision -> how each image of the batch changes in one step, and the objectives before it.
OneStep = Callable[[str], tuple[np.ndarray, np.ndarray]]


@lru_cache(maxsize=1)
def has_bfloat16_units() -> bool:
    """Tell whether the processor multiplies matrices of bfloat16 (Intel AMX)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return "amx_bf16" in flags.split()


def gains_from_batches(precision: str) -> bool:
    """Tell whether several images at once take less time here than one after the other."""
    import tensorflow as tf

    has_units = precision != "float32" and has_bfloat16_units()
    return has_units or bool(tf.config.list_physical_devices("GPU"))


def settle_precision(wanted: str, one_step: OneStep) -> str:
    """Return "float32" or "bfloat16" for what was wanted.

    "auto" is bfloat16 on a processor with units for it, where the first step of every image
    in bfloat16 agrees with that in float32; else it says so and stays in float32.
    """
    if wanted != "auto":
        return wanted
    if not has_bfloat16_units():
        return "float32"
    exact, quick = one_step("float32"), one_step("bfloat16")
    for moved, rounded, value, near in zip(*exact[:1], *quick[:1], exact[1], quick[1], strict=True):
        length = float(np.linalg.norm(moved) * np.linalg.norm(rounded))
        cosine = float(np.sum(moved * rounded, dtype=np.float64)) / length if length else 0.0
        if cosine < _LEAST_COSINE or abs(near - value) > _FARTHEST * abs(value):
            say(
                f"bfloat16 is too coarse for this network here (first step {cosine:.3f} alike, "
                f"objective {near:.4g} for {value:.4g}): dreaming in float32."
            )
            return "float32"
    return "bfloat16"
