"""Which number type a dream's network computes in."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np

from medream.progress import say

# What is asked: after 100 steps an objective within 1 % and dreams of SSIM 0.98. Networks whose
# first steps had a cosine of 0.991, 0.978, 0.961 and 0.92 to float32's came to an SSIM of 0.98,
# 0.94, 0.62 and 0.53: rounded activations tie in poolings and flip at ReLUs, and an ascent
# multiplies that. (--only fidelity of tests/benchmarks/dreaming.py measures it.)
_LEAST_COSINE = 0.992
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
