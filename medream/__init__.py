"""medream: look inside the networks that segment medical images.

Research use, not for diagnosis. The names below are loaded when first used, so that
`import medream` is quick and leaves TensorFlow alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "Scan": "medream.scan",
    "Source": "medream.scan",
    "MedreamError": "medream.errors",
    "read_scans": "medream.readers",
    "open_dataset": "medream.adapters",
    "check_dataset": "medream.adapters",
    "phantom_scans": "medream.phantom",
    "UNetConfig": "medream.unet",
    "build_unet": "medream.unet",
    "load_model": "medream.store",
    "TrainConfig": "medream.training",
    "train": "medream.training",
    "segment": "medream.segmentation",
    "compare": "medream.comparison",
    "CompareConfig": "medream.comparison",
    "evaluate": "medream.evaluation",
    "full_evaluation": "medream.evaluation",
    "evaluate_masks": "medream.agreement",
    "load_ensemble": "medream.store",
    "summarize": "medream.metrics",
    "dream": "medream.dream",
    "load_result": "medream.dream",
    "load_results": "medream.dream",
    "dream_into": "medream.dream",
    "DreamConfig": "medream.dream",
    "DreamResult": "medream.dream",
    "Objective": "medream.dream",
    "layer": "medream.dream",
    "channel": "medream.dream",
    "neuron": "medream.dream",
    "total_variation": "medream.dream",
    "describe_layers": "medream.dream",
    "dream_many": "medream.dream",
    "class_score": "medream.dream",
    "cosine": "medream.dream",
    "direction": "medream.dream",
    "distance": "medream.dream",
    "energy": "medream.dream",
    "high_frequencies": "medream.dream",
    "l1": "medream.dream",
    "l2": "medream.dream",
    "match": "medream.dream",
    "on_model": "medream.dream",
    "blur": "medream.dream",
    "jitter": "medream.dream",
    "noise": "medream.dream",
    "rotate": "medream.dream",
    "scale": "medream.dream",
}
_MODULES = ("errors", "figures")
_WITH_TENSORFLOW = (
    "CompareConfig",
    "compare",
    "build_unet",
    "describe_layers",
    "load_model",
    "TrainConfig",
    "train",
    "segment",
    "evaluate",
    "full_evaluation",
    "load_ensemble",
)

__all__ = ["__version__", *_HOME, *_MODULES]

if TYPE_CHECKING:
    __version__: str
    from medream import errors, figures
    from medream.adapters import check_dataset, open_dataset
    from medream.agreement import evaluate_masks
    from medream.comparison import CompareConfig, compare
    from medream.dream import (
        DreamConfig,
        DreamResult,
        Objective,
        blur,
        channel,
        class_score,
        cosine,
        describe_layers,
        direction,
        distance,
        dream,
        dream_into,
        dream_many,
        energy,
        high_frequencies,
        jitter,
        l1,
        l2,
        layer,
        load_result,
        load_results,
        match,
        neuron,
        noise,
        on_model,
        rotate,
        scale,
        total_variation,
    )
    from medream.errors import MedreamError
    from medream.evaluation import evaluate, full_evaluation
    from medream.metrics import summarize
    from medream.phantom import phantom_scans
    from medream.readers import read_scans
    from medream.scan import Scan, Source
    from medream.segmentation import segment
    from medream.store import load_ensemble, load_model
    from medream.training import TrainConfig, train
    from medream.unet import UNetConfig, build_unet


def __getattr__(name: str) -> Any:
    value: Any
    if name == "__version__":
        from importlib.metadata import version  # a tenth of a second, which --help need not wait

        value = version("medream")
    elif name in _HOME:
        if name in _WITH_TENSORFLOW:
            from medream.startup import load_tensorflow

            load_tensorflow()  # before Keras does it aloud
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"medream.{name}")
    else:
        raise AttributeError(f"module 'medream' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
