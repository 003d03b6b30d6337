"""What a layer holds of a scan: the maps of its units.

A unit is a channel of a layer. Scans go in as `segment` takes them: mirrored up to the network's
stride, or resized for a network that was built for one size.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from medream.dream.graph import Network, find_layers, needed_part, open_network, run, size_rule
from medream.dream.sight import fit
from medream.errors import LayerError, ScanError
from medream.scan import Scan


@dataclass(frozen=True, eq=False)
class Activation:
    """A layer's activations on a scan.

    Parameters
    ----------
    full : float32 array (rows, columns, units)
        On the image as the network took it in.
    entered : (depth, width)
        Of that image; `shape` is the scan's own.
    resized : bool
        Whether the scan was resized to it; else it was mirrored up.
    """

    full: np.ndarray
    entered: tuple[int, int]
    shape: tuple[int, int]
    resized: bool

    @property
    def maps(self) -> np.ndarray:
        """The positions that look at the scan and not at its mirrored margin."""
        if self.resized:
            return self.full
        kept = [
            -(-length * count // entered)
            for length, count, entered in zip(
                self.shape, self.full.shape[:2], self.entered, strict=True
            )
        ]
        return self.full[: kept[0], : kept[1]]

    def upsampled(self, units: slice | Sequence[int] = slice(None)) -> np.ndarray:
        """Return units' maps at the scan's size, bilinearly, float32 (depth, width, units)."""
        target = self.shape if self.resized else self.entered
        chosen = self.full[..., units]
        if chosen.shape[:2] != target:
            chosen = tf.image.resize(chosen, target).numpy()
        return chosen[: self.shape[0], : self.shape[1]]

    def counted(self, valid: np.ndarray | None) -> np.ndarray:
        """Return which positions of `maps` look at valid pixels for the most part, bool."""
        rows, columns = self.full.shape[:2]
        if valid is None:
            return np.ones(self.maps.shape[:2], bool)
        mask = np.asarray(valid, np.float32)
        if not self.resized:
            below, beside = (e - s for e, s in zip(self.entered, self.shape, strict=True))
            mask = np.pad(mask, ((0, below), (0, beside)), mode="edge")
        share = tf.image.resize(mask[..., None], (rows, columns), antialias=True)[..., 0].numpy()
        kept = self.maps.shape
        return share[: kept[0], : kept[1]] >= 0.5


class Eye:
    """A network's layers as functions of a scan; compiled once for each size of scan."""

    def __init__(self, model: keras.Model, layers: Sequence[str]) -> None:
        whole = open_network(model)
        for call in find_layers(whole, layers).values():
            if len(call.output_shape) != 4:
                raise LayerError(
                    f"Layer {call.name!r} gives {call.output_shape[1:]} and no map (rows, columns, units). "
                    "Choose a layer before the image is flattened or pooled away."
                )
        self.network: Network = needed_part(whole, layers)
        self.size = None if None in whole.size else whole.size
        self.rule = size_rule(whole)
        self._layers = tuple(layers)
        self._run = tf.function(self._look, autograph=False)

    def _look(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        seen = run(self.network, image, self._layers)
        return {name: tf.cast(value, tf.float32) for name, value in seen.items()}

    def enter(self, image: np.ndarray) -> tf.Tensor:
        """Return an image (depth, width) as the network takes it, (1, depth, width, channels)."""
        x = tf.convert_to_tensor(image, tf.float32)[None, ..., None]
        x = (
            fit(x, *self.rule)
            if self.size is None
            else tf.image.resize(x, self.size, antialias=True)
        )
        return tf.repeat(x, self.network.channels or 1, axis=-1)

    def tensors(self, scan: Scan | np.ndarray) -> dict[str, tf.Tensor]:
        """Return each layer's activations (1, rows, columns, units) on a scan."""
        return self._run(self.enter(grey(scan)))

    def __call__(self, scan: Scan | np.ndarray) -> dict[str, Activation]:
        """Return each layer's activations on a scan."""
        image = grey(scan)
        entered = self.enter(image)
        depth, width = entered.shape[1:3]
        return {
            name: Activation(value[0].numpy(), (depth, width), image.shape, self.size is not None)
            for name, value in self._run(entered).items()
        }


_eyes: weakref.WeakKeyDictionary[keras.Model, dict[tuple[str, ...], Eye]] = (
    weakref.WeakKeyDictionary()
)


def eye(model: keras.Model, layers: Sequence[str]) -> Eye:
    """Return the layers of a network as a function of scans; kept with the network."""
    known = _eyes.setdefault(model, {}) if isinstance(model, keras.Model) else {}
    key = tuple(layers)
    if key not in known:
        known[key] = Eye(model, key)
    return known[key]


def grey(scan: Scan | np.ndarray) -> np.ndarray:
    """Return the image (depth, width) of a scan."""
    image = scan.image if isinstance(scan, Scan) else np.asarray(scan, np.float32)
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    if image.ndim != 2 or 0 in image.shape:
        raise ScanError(f"A grey image (depth, width) is needed, not one of shape {image.shape}.")
    return image


def activate(model: keras.Model, layer: str, scan: Scan | np.ndarray) -> Activation:
    """Return a layer's activations on a scan.

    Parameters
    ----------
    model : keras.Model
    layer : str
    scan : Scan or float array (depth, width) in [0, 1]

    Returns
    -------
    Activation
        Shows what a layer holds, not what the network makes of it: a unit may be loud and ignored.

    Raises
    ------
    LayerError
        When there is no such layer, or it gives no map.

    Examples
    --------
    >>> import medream as md
    >>> model = md.build_unet(md.UNetConfig(levels=2, base_filters=2))
    >>> found = activate(model, "mid_conv2", np.zeros((30, 22), "float32"))
    >>> found.maps.shape, found.upsampled().shape
    ((8, 6, 8), (30, 22, 8))
    """
    return eye(model, [layer])(scan)[layer]


def maps_by_energy(
    model: keras.Model, layer: str, scan: Scan | np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the maps of a layer's units on a scan, the strongest first, for a grid.

    A strong map is not an important one; see `medream.evidence.ablation` for that.

    Parameters
    ----------
    model, layer, scan
        As for `activate`.

    Returns
    -------
    maps : float32 array (units, rows, columns)
    units : int array (units,)
        Channel of each map.
    energies : float array (units,)
        Mean square over the valid pixels, falling.

    Examples
    --------
    >>> import medream as md
    >>> model = md.build_unet(md.UNetConfig(levels=1, base_filters=2))
    >>> maps, units, energies = maps_by_energy(model, "enc1_conv1", np.ones((8, 8), "float32"))
    >>> maps.shape, sorted(units.tolist()), bool(energies[0] >= energies[1])
    ((2, 8, 8), [0, 1], True)
    """
    found = activate(model, layer, scan)
    counted = found.counted(scan.valid if isinstance(scan, Scan) else None)
    energies = np.square(found.maps[counted], dtype=np.float64).mean(axis=0)
    order = np.argsort(-energies, kind="stable")
    return np.moveaxis(found.maps, -1, 0)[order], order, energies[order]
