"""DeepDream of any Keras layer: `medream.dream(model, image, "dec1_conv2")`.

The package is callable, so `medream.dream` is the function and the place where its parts
live at once. TensorFlow is imported when a dream is made, not when this package or a saved
result is opened.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medream.dream.config import DreamConfig
    from medream.dream.engine import dream, dream_many
    from medream.dream.layers import LayerInfo, describe_layers
    from medream.dream.objectives import (
        Objective,
        channel,
        class_score,
        cosine,
        direction,
        distance,
        energy,
        high_frequencies,
        l1,
        l2,
        layer,
        match,
        neuron,
        on_model,
        total_variation,
    )
    from medream.dream.result import DreamResult, load_result
    from medream.dream.sweep import dream_into, load_results
    from medream.dream.transforms import blur, jitter, noise, rotate, scale

__all__ = [
    "DreamConfig",
    "DreamResult",
    "LayerInfo",
    "Objective",
    "blur",
    "channel",
    "class_score",
    "cosine",
    "describe_layers",
    "direction",
    "distance",
    "dream",
    "dream_into",
    "dream_many",
    "energy",
    "high_frequencies",
    "jitter",
    "l1",
    "l2",
    "layer",
    "load_result",
    "load_results",
    "match",
    "neuron",
    "noise",
    "on_model",
    "rotate",
    "scale",
    "total_variation",
]

_HOME = {
    "DreamConfig": "config",
    "DreamResult": "result",
    "LayerInfo": "layers",
    "Objective": "objectives",
    "blur": "transforms",
    "channel": "objectives",
    "class_score": "objectives",
    "cosine": "objectives",
    "describe_layers": "layers",
    "direction": "objectives",
    "distance": "objectives",
    "dream": "engine",
    "dream_into": "sweep",
    "dream_many": "engine",
    "energy": "objectives",
    "high_frequencies": "objectives",
    "jitter": "transforms",
    "l1": "objectives",
    "l2": "objectives",
    "layer": "objectives",
    "load_result": "result",
    "load_results": "sweep",
    "match": "objectives",
    "neuron": "objectives",
    "noise": "transforms",
    "on_model": "objectives",
    "rotate": "transforms",
    "scale": "transforms",
    "total_variation": "objectives",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


class _CallablePackage(ModuleType):
    """Importing any part of this package binds `medream.dream` to it; it must stay callable."""

    def __call__(self, *args: Any, **settings: Any) -> DreamResult:
        from medream.dream.engine import dream

        return dream(*args, **settings)


sys.modules[__name__].__class__ = _CallablePackage
