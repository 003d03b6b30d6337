"""Scans to training batches: a `tf.data.Dataset` that is a function of seed and sample number.

Each sample is one patch cut from one scan by a single affine map that holds the crop and the whole
geometric augmentation, the same for image, mask and `valid`. What sample number n looks like depends
on the seed and on n alone, so a resumed training sees exactly the samples it would have seen.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from medream.errors import MedreamError
from medream.losses import IGNORE
from medream.packed import Packed
from medream.scan import Scan
from medream.shards import pack


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random draw; geometric ranges act on the patch about its centre.

    Parameters
    ----------
    flip : bool
        Mirror left and right (the other eye).
    rotation : float
        Degrees either way.
    shift : float
        Share of the patch size either way, on top of the random crop.
    shear : float
        Degrees either way, along the lateral axis.
    zoom : float
        Scale between `1 - zoom` and `1 + zoom`.
    brightness : float
        Added to the intensities, either way.
    contrast : float
        Factor between `1 - contrast` and `1 + contrast` about the patch's mean.
    gamma : float
        Exponent between `1 / (1 + gamma)` and `1 + gamma`.
    noise : float
        Largest standard deviation of added Gaussian noise.
    """

    flip: bool = True
    rotation: float = 10.0
    shift: float = 0.1
    shear: float = 5.0
    zoom: float = 0.2
    brightness: float = 0.1
    contrast: float = 0.25
    gamma: float = 0.3
    noise: float = 0.03

    @classmethod
    def none(cls) -> Augmentation:
        """Random crops only."""
        return cls(False, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def samples_per_epoch(scans: Sequence[Scan], size: tuple[int, int], batch_size: int) -> int:
    """Number of patches that cover the area of all scans once, in whole batches."""
    shapes = scans.shapes.tolist() if isinstance(scans, Packed) else [s.shape for s in scans]
    patches = sum(max(1.0, depth * width / (size[0] * size[1])) for depth, width in shapes)
    return batch_size * math.ceil(patches / batch_size)


def _affine(draw: tf.Tensor, augment: Augmentation) -> tf.Tensor:
    """Return the 2 x 2 matrix from patch to scan offsets, (x, y) order, for five uniform draws."""
    angle = draw[0] * math.radians(augment.rotation)
    shear = tf.tan(draw[1] * math.radians(augment.shear))
    zoom = 1.0 + draw[2] * augment.zoom
    mirror = tf.where(draw[3] < 0.0, -1.0, 1.0) if augment.flip else tf.constant(1.0)
    cos, sin = tf.cos(angle), tf.sin(angle)
    rotation = tf.stack([tf.stack([cos, -sin]), tf.stack([sin, cos])])
    shape = tf.stack([tf.stack([mirror, shear]), tf.stack([0.0, 1.0])])
    return rotation @ shape / zoom


def _lesion_pixel(label: np.ndarray, draws: np.ndarray) -> tuple[int, int] | None:
    """Return (y, x) of a lesion pixel by two whole random numbers: one for the class, one for the place.

    Each class that the scan has is as likely as the others. None without a lesion.
    """
    # 0 and IGNORE are no lesion; subtracting 1 turns 0 into 255.
    lesion = np.flatnonzero(label - np.uint8(1) < IGNORE - 1)
    if not len(lesion):
        return None
    kinds = label.ravel()[lesion]
    present = np.flatnonzero(np.bincount(kinds))
    chosen = lesion[kinds == present[draws[0] % len(present)]]
    y, x = divmod(int(chosen[draws[1] % len(chosen)]), label.shape[1])
    return y, x


def _centre(key: tf.Tensor, spot: tf.Tensor, shape: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Return the patch centre (y, x): the lesion's pixel if there is one, else where the patch fits."""
    low = tf.minimum(size, shape) / 2.0
    high = shape - low
    anywhere = low + tf.random.stateless_uniform((2,), key + [0, 1]) * (high - low)
    return tf.clip_by_value(tf.where(spot[0] < 0.0, anywhere, spot), low, high)


def _scan_order(
    with_lesion: np.ndarray, share: float | None, seed: int
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the function from a sample's number to its scan.

    Laps of shuffled scans; with a `share`, so many of any run of samples walk through the scans with a
    lesion, the others through those without.
    """

    def walk(members: np.ndarray, step: tf.Tensor) -> tf.Tensor:
        lap, place = step // len(members), step % len(members)
        index = tf.random.experimental.index_shuffle(
            place,
            seed=tf.stack([tf.cast(seed, tf.int64), lap]),
            max_index=tf.constant(len(members) - 1, tf.int64),
        )
        return tf.gather(tf.constant(members, tf.int32), index)

    lesion, rest = np.flatnonzero(with_lesion), np.flatnonzero(~with_lesion)
    if share is None or not (len(lesion) and len(rest)):
        return lambda number: walk(np.arange(len(with_lesion)), number)

    def scan_of(number: tf.Tensor) -> tf.Tensor:
        before, after = (
            tf.cast(tf.floor(tf.cast(n, tf.float64) * share), tf.int64)
            for n in (number, number + 1)
        )
        return tf.cond(
            after > before, lambda: walk(lesion, before), lambda: walk(rest, number - before)
        )

    return scan_of


def _cut(
    image: tf.Tensor, matrix: tf.Tensor, offset: tf.Tensor, size: tuple[int, int], method: str
) -> tf.Tensor:
    """Sample (depth, width) at `matrix @ (x, y) + offset` for every patch pixel, mirrored outside."""
    zero = tf.constant(0.0)
    transform = tf.stack(
        [matrix[0, 0], matrix[0, 1], offset[0], matrix[1, 0], matrix[1, 1], offset[1], zero, zero]
    )
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None, ..., None],
        transforms=transform[None],
        output_shape=tf.constant(size, tf.int32),
        fill_value=0.0,
        interpolation=method,
        fill_mode="REFLECT",
    )[0, ..., 0]


def _recolour(image: tf.Tensor, seed: tf.Tensor, augment: Augmentation) -> tf.Tensor:
    """Change intensities within the ranges of `augment`; the result stays in [0, 1]."""
    draw = tf.random.stateless_uniform((4,), seed + [1, 1], -1.0, 1.0)
    if augment.gamma:
        # A power, in a third of the time of tf.pow; the logarithm of black is -inf, and its power black.
        image = tf.exp(tf.math.log(image) * tf.exp(draw[0] * math.log1p(augment.gamma)))
    if augment.contrast or augment.brightness:
        mean = tf.reduce_mean(image)
        image = mean + (image - mean) * (1.0 + draw[1] * augment.contrast)
        image += draw[2] * augment.brightness
    if augment.noise:
        noise = tf.random.stateless_normal(tf.shape(image), seed + [1, 2])
        image += noise * augment.noise * tf.abs(draw[3])
    return tf.clip_by_value(image, 0.0, 1.0)


@contextlib.contextmanager
def read_errors(scans: Packed) -> Iterator[None]:
    """Raise what kept a scan from being read as it was, and not as TensorFlow passes it on."""
    try:
        yield
    except tf.errors.OpError as error:
        if scans.failures:
            raise scans.failures[0] from error
        raise


def training_batches(
    scans: Sequence[Scan],
    size: tuple[int, int],
    batch_size: int,
    augment: Augmentation | None = None,
    seed: int = 0,
    first_sample: int = 0,
    lesion_scans: float | None = None,
    lesion_patches: float = 0.5,
    worker: int = 0,
    workers: int = 1,
    replicas: int = 1,
) -> tf.data.Dataset:
    """Return endless batches of augmented patches.

    Every run of `len(scans)` samples visits each scan once, in an order shuffled by the seed; with
    `lesion_scans`, each scan with a lesion and each without is visited as often as the others of its kind.

    Parameters
    ----------
    scans : sequence of Scan, all with masks
    size : (depth, width) of the patches, in pixels of the scans
    batch_size : int
    augment : Augmentation, default `Augmentation()`
    seed : int
    first_sample : int
        Number of the first sample, to go on where an interrupted training stopped.
    lesion_scans : float in [0, 1], optional
        Share of the samples that come from scans with a lesion. Default: as many as there are.
    lesion_patches : float in [0, 1]
        Share of the patches of such scans that are centred on a lesion pixel, of a class drawn among
        those present.
    worker, workers, replicas : int
        Number of this worker, of all workers, and of the devices of each. The workers share out each
        batch; a worker gets its part of it as one batch for each of its devices.

    Returns
    -------
    tf.data.Dataset
        Pairs of images, float32 (batch, depth, width, 1) in [0, 1], and labels,
        int32 (batch, depth, width, 1) with `IGNORE` where the pixel does not count.
    """
    augment = augment or Augmentation()
    packed = pack(scans)
    scan_of = _scan_order(packed.table["lesion"] > 0, lesion_scans, seed)
    half = (np.array(size[::-1], np.float32) - 1.0) / 2.0

    def read(
        index: np.ndarray, wanted: np.ndarray, draws: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return image and labels of a scan, and a pixel of its lesion, (-1, -1) for none."""
        try:
            image, label = packed.arrays(int(index))
        except MedreamError as error:
            packed.failures.append(error)
            raise
        spot = _lesion_pixel(label, draws) if wanted else None
        return image, label, np.array(spot or (-1, -1), np.float32)

    def sample(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        key = tf.cast(tf.stack([tf.cast(seed, tf.int64), number * 8]), tf.int32)
        draw = tf.random.stateless_uniform((6,), key, -1.0, 1.0)
        wanted = tf.random.stateless_uniform((), key + [0, 2]) < lesion_patches
        draws = tf.random.stateless_uniform((2,), key + [0, 3], None, None, tf.uint32)
        image, label, spot = tf.numpy_function(
            read,
            [scan_of(number), wanted, draws],
            [tf.float32, tf.uint8, tf.float32],
            stateful=False,
        )
        image.set_shape((None, None))
        label.set_shape((None, None))
        spot.set_shape((2,))
        patch = tf.constant(size, tf.float32)
        centre = _centre(key, spot, tf.cast(tf.shape(image), tf.float32), patch)[::-1] - 0.5
        centre += draw[4:] * augment.shift * patch[::-1]
        matrix = _affine(draw, augment)
        offset = centre - tf.linalg.matvec(matrix, half)
        image = _cut(image, matrix, offset, size, "BILINEAR")
        label = _cut(label, matrix, offset, size, "NEAREST")
        return _recolour(image, key, augment)[..., None], tf.cast(label, tf.int32)[..., None]

    part = batch_size // workers

    def number(place: tf.Tensor) -> tf.Tensor:
        return first_sample + place // part * batch_size + worker * part + place % part

    places = tf.data.Dataset.range(np.iinfo(np.int64).max // 16)
    samples = places.map(
        lambda place: sample(number(place)), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    return samples.batch(part // replicas, drop_remainder=True).prefetch(2)
