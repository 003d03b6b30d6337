"""The networks of the dream benchmarks, each a folder that Keras and PyTorch can both read.

    python tests/benchmarks/networks.py FOLDER NAME ...

`original4` is as built (what a step costs does not hang on the weights); the others are trained for some
minutes on the phantom. Each folder holds model.keras, unet.json and weights.npz; beside them lies scan.npy,
and its picture scan.png. What is there already is kept.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

import medream as md
from medream.phantom import phantom_scans
from medream.unet import UNetConfig

SMALL = UNetConfig(levels=3, base_filters=16)
TRAINED = {
    "small": SMALL,
    # The original architectures, dilations too, with a quarter of their filters.
    **{f"check{n}": replace(UNetConfig.original(n), base_filters=16) for n in (2, 3, 4)},
}
NAMES = ("original4", *TRAINED)


def make(name: str, folder: Path) -> None:
    """Make one network, unless it is there."""
    place = folder / name
    if (place / "weights.npz").exists():
        return
    if name == "original4":
        config = UNetConfig.original(4)
        place.mkdir(parents=True, exist_ok=True)
        md.build_unet(config).save(place / "model.keras")
    else:
        config = TRAINED[name]
        side, count, epochs = (256, 64, 8) if name == "small" else (128, 24, 4)
        scans = phantom_scans(count, seed=1, size=(side, side))
        settings = md.TrainConfig(epochs=epochs, batch_size=2, image_size=(side, side))
        md.train(scans, config, settings, place, resume=True)
    model = md.load_model(place)
    trained = (
        json.loads(path.read_text())["unet"] if (path := place / "model.json").exists() else {}
    )
    (place / "unet.json").write_text(json.dumps({**config.to_json(), **trained}))
    weights = {
        f"{layer.name}/{weight.name}": np.asarray(weight.value, np.float32)
        for layer in model.layers
        for weight in layer.weights
        if "seed" not in weight.name
    }
    np.savez(place / "weights.npz", **weights)


def make_scan(folder: Path) -> None:
    """Write a phantom scan with fluid that no network was trained on."""
    scans = phantom_scans(8, seed=2)
    image = max(scans, key=lambda scan: int(scan.mask.sum())).image
    np.save(folder / "scan.npy", image)
    Image.fromarray(np.round(image * 255).astype(np.uint8)).save(folder / "scan.png")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    make_scan(target)
    for wanted in sys.argv[2:]:
        make(wanted, target)
