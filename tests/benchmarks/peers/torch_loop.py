"""The same U-Net and the same ascent in PyTorch, written by us. Needs neither TensorFlow nor medream.

    python torch_loop.py NETWORK IMAGE.npy [--precision bfloat16] [--steps 20 --write DREAM.npy]

NETWORK is a folder of `networks.py`: unet.json and weights.npz. Without --write it serves the benchmark;
with it, IMAGE.npy may hold several images, and each is dreamt on by itself.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from serve import serve
from torch import Tensor
from torch.nn import functional

EPSILON = 1e-3  # Keras' BatchNormalization


class UNet:
    """`medream.build_unet` up to dec1_conv2 with batch normalisation and nearest upsampling."""

    def __init__(self, folder: Path, number_type: torch.dtype) -> None:
        self.config = json.loads((folder / "unet.json").read_text())
        assert self.config["norm"] == "batch"
        assert self.config["up"] == "nearest"
        assert not self.config["decoder_norm"]
        self.number_type = number_type
        self.weights = {}
        for name, array in np.load(folder / "weights.npz").items():
            weight = torch.from_numpy(array)
            if weight.ndim == 4:  # (height, width, in, out) in Keras
                weight = weight.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
            half = number_type == torch.bfloat16 and "norm" in name  # statistics stay float32
            self.weights[name] = weight if half else weight.to(number_type)

    def conv(self, x: Tensor, name: str, dilation: int = 1) -> Tensor:
        kernel, bias = self.weights[f"{name}/kernel"], self.weights[f"{name}/bias"]
        if kernel.shape[-1] == 2:  # "same" puts the odd row and column at the end
            return functional.conv2d(functional.pad(x, (0, 1, 0, 1)), kernel, bias).relu()
        return functional.conv2d(x, kernel, bias, padding=dilation, dilation=dilation).relu()

    def norm(self, x: Tensor, name: str) -> Tensor:
        names = ("moving_mean", "moving_variance", "gamma", "beta")
        return functional.batch_norm(x, *(self.weights[f"{name}/{n}"] for n in names), eps=EPSILON)

    def encode(self, x: Tensor, block: str, dilation: int) -> Tensor:
        for i in (1, 2):
            x = self.norm(self.conv(x, f"{block}_conv{i}", dilation), f"{block}_norm{i}")
        return x

    def __call__(self, image: Tensor) -> Tensor:
        levels = self.config["levels"]
        dilations = self.config["dilations"] or [1] * (levels + 1)
        x = (image - self.config["input_mean"]) / self.config["input_std"]
        x = x.to(self.number_type, memory_format=torch.channels_last)
        skips = []
        for level in range(1, levels + 1):
            x = self.encode(x, f"enc{level}", dilations[level - 1])
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.encode(x, "mid", dilations[-1])
        for level in range(levels, 0, -1):
            x = self.conv(functional.interpolate(x, scale_factor=2), f"dec{level}_up")
            x = torch.cat([skips[level - 1], x], 1)
            x = self.conv(self.conv(x, f"dec{level}_conv1"), f"dec{level}_conv2")
        return x


def dream(network: UNet, image: np.ndarray, steps: int, step_size: float = 0.01) -> np.ndarray:
    """Climb the mean of dec1_conv2 from an image (depth, width)."""
    current = torch.from_numpy(image[None, None])
    if network.number_type == torch.float64:
        current = current.double()
    for _ in range(steps):
        current.requires_grad_()
        activations = network(current)
        score = (activations if current.dtype == torch.float64 else activations.float()).mean()
        (gradient,) = torch.autograd.grad(score, current)
        with torch.no_grad():
            deviation = gradient.std(unbiased=False)
            current = (current + gradient / (deviation + 1e-8) * step_size).clamp(0, 1)
    return current.detach().numpy()[0, 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("network", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument(
        "--precision", choices=("float64", "float32", "bfloat16"), default="float32"
    )
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    network = UNet(options.network, getattr(torch, options.precision))
    image = np.load(options.image)
    if options.write:
        images = image if image.ndim == 3 else image[None]
        np.save(options.write, [dream(network, one, options.steps) for one in images])
    else:
        serve(lambda steps: dream(network, image, steps))


if __name__ == "__main__":
    main()
