"""Which number type a network computes in while it is trained, and that it does so the same way each time."""

from __future__ import annotations

import tensorflow as tf

from medream.dream.precision import has_bfloat16_units

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")

# From NVIDIA's Ampere on, tensor cores multiply bfloat16.
_LEAST_CAPABILITY = (8, 0)


def settle_precision(wanted: str) -> str:
    """Return the precision to train in: what was asked, or what "auto" stands for on this machine.

    "auto" is "mixed_bfloat16" on GPUs with units for bfloat16 and on processors with them (Intel AMX),
    else "float32". bfloat16 has the range of float32, so that no loss needs scaling; where there are no
    units it is emulated and slow.
    """
    if wanted != "auto":
        return wanted
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        able = all(d.get("compute_capability", (0, 0)) >= _LEAST_CAPABILITY for d in details)
    else:
        able = has_bfloat16_units()
    return "mixed_bfloat16" if able else "float32"


def be_deterministic() -> None:
    """Have TensorFlow give the same bits each time, for the rest of the process.

    On the CPU training does so anyway (a test holds that), so that nothing is changed there. On a GPU
    operations that have no such version are refused by TensorFlow with an error that names them.
    """
    if tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()
