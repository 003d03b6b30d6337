"""Which pixels mattered for a segmentation: attributions, beside which a dream can be judged.

Each takes the score of one class, the sum of its logits over a region (the prediction by default), and
gives a map (depth, width). They answer another question than a dream: not what a network would
like to see, but what it used here.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from scipy import ndimage

from medream.dream.graph import Network, find_layers, needed_part, open_network, run, size_rule
from medream.dream.sight import fit, fitted
from medream.errors import ConfigError
from medream.segmentation import segment


class Score:
    """The score of a class over a region, as a function of the image.

    Parameters
    ----------
    model : keras.Model
    region : bool array (depth, width)
    index : int
        Class, 0 is the background; a network of one output has classes 0 and 1. Default 1.
    logits : str
        Layer before sigmoid or softmax. Default "logits".

    Raises
    ------
    ConfigError
        When the region is empty.
    LayerError
        When the network has no such layer.
    """

    def __init__(
        self, model: keras.Model, region: np.ndarray, index: int = 1, logits: str = "logits"
    ) -> None:
        self.region = tf.constant(np.asarray(region, bool))
        if np.ndim(region) != 2 or not np.any(region):
            raise ConfigError(
                "The region whose score is to be explained is empty, or no mask (depth, width)."
            )
        known = _looks.setdefault(model, {})
        if (index, logits) not in known:
            known[index, logits] = _Look(needed_part(open_network(model), [logits]), index, logits)
        self._look: _Look = known[index, logits]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the score of images (n, depth, width), float64 (n,)."""
        found = [self._look.score(one[None], self.region).numpy() for one in _batch(images)]
        return np.concatenate(found).astype(float)

    def gradient(self, images: np.ndarray) -> np.ndarray:
        """Return the score's gradient by the pixels of images (n, depth, width), of their shape."""
        found = [self._look.gradient(one[None], self.region).numpy() for one in _batch(images)]
        return np.concatenate(found)

    def at(self, layer: str, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return a layer's activations and the score's gradient by them, (depth, width, channels)."""
        find_layers(self._look.network, [layer])
        activation, gradient = self._look.at(layer, _batch(image)[:1], self.region)
        return activation[0].numpy(), gradient[0].numpy()

    def fitted(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return the size to which an image is mirrored up for the network."""
        return fitted(shape, *self._look.rule)


class _Look:
    """The compiled functions of a network: one graph for each size, whatever the region."""

    def __init__(self, network: Network, index: int, logits: str) -> None:
        self.network, self.index, self.logits = network, index, logits
        self.rule = size_rule(network)
        self.score = tf.function(self._score, autograph=False)
        self.gradient = tf.function(self._gradient, autograph=False)
        self.at = tf.function(self._at, autograph=False)

    def _seen(self, image: tf.Tensor, names: Sequence[str]) -> dict[str, tf.Tensor]:
        x = fit(tf.cast(image, tf.float32)[..., None], *self.rule)
        if self.network.channels == 3:
            x = tf.repeat(x, 3, axis=-1)
        return run(self.network, x, names)

    def _total(self, logits: tf.Tensor, region: tf.Tensor) -> tf.Tensor:
        depth, width = region.shape
        here = tf.cast(logits, tf.float32)[:, :depth, :width]
        if here.shape[3] == 1:
            sign = 1.0 if self.index else -1.0
            here, index = sign * here, 0
        else:
            index = self.index
        return tf.reduce_sum(tf.where(region, here[..., index], 0.0), [1, 2])

    def _score(self, image: tf.Tensor, region: tf.Tensor) -> tf.Tensor:
        return self._total(self._seen(image, [self.logits])[self.logits], region)

    def _gradient(self, image: tf.Tensor, region: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(image)
            score = self._score(image, region)
        return tape.gradient(score, image)

    def _at(self, layer: str, image: tf.Tensor, region: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(image)
            seen = self._seen(image, [layer, self.logits])
            score = self._total(seen[self.logits], region)
        return seen[layer], tape.gradient(score, seen[layer], unconnected_gradients="zero")


_looks: weakref.WeakKeyDictionary[keras.Model, dict[tuple[int, str], _Look]] = (
    weakref.WeakKeyDictionary()
)


def _batch(images: np.ndarray) -> tf.Tensor:
    tensor = tf.convert_to_tensor(np.asarray(images), tf.float32)
    return tensor[None] if len(tensor.shape) == 2 else tensor


def score_of_prediction(model: keras.Model, image: np.ndarray, index: int = 1) -> Score:
    """Return the score of a class over the pixels that the network gives it.

    Raises
    ------
    ConfigError
        When it gives it none.
    """
    region = segment(model, image).mask == index
    if not region.any():
        raise ConfigError(
            f"The network gives class {index} no pixel of this scan; name a region, such as the reference."
        )
    return Score(model, region, index)


def gradient_times_input(score: Score, image: np.ndarray) -> np.ndarray:
    """Return gradient x input (Shrikumar et al. 2017, arXiv:1605.01713), signed, (depth, width)."""
    return score.gradient(image)[0] * np.asarray(image, np.float32)


def smooth_grad(
    score: Score, image: np.ndarray, samples: int = 25, noise: float = 0.1, seed: int = 0
) -> np.ndarray:
    """Return the mean gradient over noisy copies of the image (Smilkov et al. 2017, arXiv:1706.03825).

    Parameters
    ----------
    score : Score
    image : float array (depth, width) in [0, 1]
    samples : int
        Default 25.
    noise : float
        Standard deviation of the noise as a share of the image's range. Default 0.1.
    seed : int

    Returns
    -------
    float32 array (depth, width), signed
    """
    image = np.asarray(image, np.float32)
    rng = np.random.default_rng(seed)
    scale = noise * float(np.ptp(image))
    total = np.zeros(image.shape)
    for _ in range(samples):
        total += score.gradient(image + scale * rng.standard_normal(image.shape, np.float32))[0]
    return (total / samples).astype(np.float32)


def integrated_gradients(
    score: Score, image: np.ndarray, baseline: np.ndarray | float = 0.0, steps: int = 50
) -> tuple[np.ndarray, float]:
    """Return integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365) and what they miss.

    Parameters
    ----------
    score : Score
    image : float array (depth, width) in [0, 1]
    baseline : float or array (depth, width)
        The image that says nothing. Default 0, black; vitreous is black too, so that a
        blurred scan is worth a second look.
    steps : int
        Points on the way (Gauss-Legendre). Default 50.

    Returns
    -------
    attribution : float32 array (depth, width), signed
    missing : float
        Distance of the attribution's sum from the rise of the score, as a share of that rise: 0 is
        complete. Networks of ReLUs bend on the way, and more steps bring it down.

    Examples
    --------
    >>> layers = keras.layers
    >>> image = keras.Input((None, None, 1))
    >>> model = keras.Model(image, layers.Conv2D(1, 1, name="logits")(image))
    >>> scan = np.random.default_rng(0).random((8, 8), "float32")
    >>> score = Score(model, scan > 0.5)
    >>> bool(integrated_gradients(score, scan)[1] < 1e-5)
    True
    """
    image = np.asarray(image, np.float32)
    start = np.broadcast_to(np.asarray(baseline, np.float32), image.shape)
    places, weights = np.polynomial.legendre.leggauss(steps)
    total = np.zeros(image.shape)
    for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
        total += weight * score.gradient(start + np.float32(place) * (image - start))[0]
    attribution = total * (image - start)
    rise = float(score(image)[0] - score(start)[0])
    missing = abs(attribution.sum() - rise) / max(abs(rise), 1e-12)
    return attribution.astype(np.float32), float(missing)


def seg_grad_cam(score: Score, image: np.ndarray, layer: str) -> np.ndarray:
    """Return Seg-Grad-CAM of a layer (Vinogradova et al. 2020, doi:10.1609/aaai.v34i10.7244).

    Channels are weighted by the mean gradient of the score, summed and cut at 0; the map is brought to
    the image's size by bilinear interpolation.

    Returns
    -------
    float32 array (depth, width), not negative
    """
    activation, gradient = score.at(layer, image)
    weights = gradient.mean(axis=(0, 1))
    cam = np.maximum(activation @ weights, 0.0)
    full = tf.image.resize(cam[None, ..., None], score.fitted(np.shape(image)))[0, ..., 0].numpy()
    return full[: np.shape(image)[0], : np.shape(image)[1]]


def occlusion(
    score: Score,
    image: np.ndarray,
    window: int = 16,
    step: int | None = None,
    fill: float | None = None,
) -> np.ndarray:
    """Return how far the score falls when a window of the image is covered.

    Reference: Zeiler and Fergus, ECCV 2014, doi:10.1007/978-3-319-10590-1_53.

    Parameters
    ----------
    score : Score
    image : float array (depth, width) in [0, 1]
    window : int
        Side in pixels. Default 16.
    step : int, optional
        Pixels from one window to the next. Default half a window.
    fill : float, optional
        What covers it. Default the image's mean.

    Returns
    -------
    float32 array (depth, width)
        Mean fall of the score over the windows that cover each pixel, signed.
    """
    image = np.asarray(image, np.float32)
    step = step or max(window // 2, 1)
    cover = float(image.mean()) if fill is None else fill
    depth, width = image.shape
    before = score(image)[0]
    fall, count = np.zeros(image.shape), np.zeros(image.shape)
    for top in _places(depth, window, step):
        for left in _places(width, window, step):
            here = slice(top, top + window), slice(left, left + window)
            covered = image.copy()
            covered[here] = cover
            fall[here] += before - score(covered)[0]
            count[here] += 1
    return (fall / count).astype(np.float32)


def _places(length: int, window: int, step: int) -> list[int]:
    last = max(length - window, 0)
    return [*range(0, last, step), last]


def deletion_insertion(
    score: Score,
    image: np.ndarray,
    attribution: np.ndarray,
    steps: int = 20,
    blank: np.ndarray | float | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how a score falls when the pixels that mattered most are taken away, and rises when they come.

    Reference: Petsiuk et al., BMVC 2018, arXiv:1806.07421, with the score of a segmentation in place of a
    classifier's probability.

    Parameters
    ----------
    score : Score
    image : float array (depth, width) in [0, 1]
    attribution : float array (depth, width)
        The largest first.
    steps : int
        Shares of the pixels. Default 20.
    blank : float or array (depth, width), optional
        What stands where pixels are missing. Default the image blurred by 8 pixels.

    Returns
    -------
    shares, deletion, insertion : float arrays (steps + 1,)
        Share of the pixels taken away or put in; the scores, scaled so that the image has 1 and the
        blank one 0. A good attribution has a small area under `deletion` and a large one
        under `insertion`.

    Raises
    ------
    ConfigError
        When the score of the blank image is that of the image, so that there is nothing to take away.
    """
    image = np.asarray(image, np.float32)
    if blank is None:
        blank = ndimage.gaussian_filter(image, 8.0)
    empty = np.broadcast_to(np.asarray(blank, np.float32), image.shape)
    top, bottom = score(image)[0], score(empty)[0]
    if abs(top - bottom) < 1e-9:
        raise ConfigError("The blank image has the score of the scan itself; choose another blank.")
    order = np.argsort(-np.asarray(attribution).ravel(), kind="stable")
    shares = np.linspace(0.0, 1.0, steps + 1)
    deletion, insertion = np.empty(steps + 1), np.empty(steps + 1)
    for k, share in enumerate(shares):
        chosen = np.zeros(image.shape, bool)
        chosen.flat[order[: round(share * image.size)]] = True
        deletion[k] = score(np.where(chosen, empty, image))[0]
        insertion[k] = score(np.where(chosen, image, empty))[0]
    return shares, (deletion - bottom) / (top - bottom), (insertion - bottom) / (top - bottom)
