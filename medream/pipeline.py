"""Scans to training batches: a `tf.data.Dataset` that is a function of seed and sample number.

Each sample is one patch cut from one scan by a single affine map that holds the crop and the whole
geometric augmentation, the same for image, mask and `valid`. What sample number n looks like depends
on the seed and on n alone, so a resumed training sees exactly the samples it would have seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from medream.losses import IGNORE
from medream.scan import Scan


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


def stack_scans(scans: Sequence[Scan]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stack scans of any sizes.

    Returns
    -------
    images : float32 (scans, depth, width)
    labels : uint8 (scans, depth, width)
        Mask values, `IGNORE` where not valid and beyond a smaller scan's own size.
    sizes : int32 (scans, 2)
        Each scan's own depth and width.
    """
    sizes = np.array([scan.shape for scan in scans], np.int32)
    depth, width = sizes.max(0)
    images = np.zeros((len(scans), depth, width), np.float32)
    labels = np.full((len(scans), depth, width), IGNORE, np.uint8)
    for i, scan in enumerate(scans):
        assert scan.mask is not None
        h, w = scan.shape
        images[i, :h, :w] = scan.image
        labels[i, :h, :w] = (
            scan.mask if scan.valid is None else np.where(scan.valid, scan.mask, IGNORE)
        )
    return images, labels, sizes


def samples_per_epoch(scans: Sequence[Scan], size: tuple[int, int], batch_size: int) -> int:
    """Number of patches that cover the area of all scans once, in whole batches."""
    patches = sum(max(1.0, scan.image.size / (size[0] * size[1])) for scan in scans)
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


def _centre(
    seed: tf.Tensor, lesion: tf.Tensor, extent: tf.Tensor, size: tf.Tensor, share: float
) -> tf.Tensor:
    """Draw the patch centre (y, x): on a lesion pixel for some, else anywhere the patch fits.

    `lesion` holds (y, x, class); each class that the scan has is as likely as the others.
    """
    low = tf.minimum(size, extent) / 2.0
    high = extent - low
    anywhere = low + tf.random.stateless_uniform((2,), seed + [0, 1]) * (high - low)
    wanted = tf.random.stateless_uniform((), seed + [0, 2]) < share

    def somewhere(key: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_uniform((), key, maxval=count, dtype=tf.int32)

    def on_lesion() -> tf.Tensor:
        present, _ = tf.unique(lesion[:, 2])
        drawn = present[somewhere(seed + [0, 4], tf.size(present))]
        spots = tf.boolean_mask(lesion[:, :2], lesion[:, 2] == drawn)
        return tf.cast(spots[somewhere(seed + [0, 3], tf.shape(spots)[0])], tf.float32)

    spot = tf.cond((tf.shape(lesion)[0] > 0) & wanted, on_lesion, lambda: anywhere)
    return tf.clip_by_value(spot, low, high)


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
        image = tf.pow(image, tf.exp(draw[0] * math.log1p(augment.gamma)))
    if augment.contrast or augment.brightness:
        mean = tf.reduce_mean(image)
        image = mean + (image - mean) * (1.0 + draw[1] * augment.contrast)
        image += draw[2] * augment.brightness
    if augment.noise:
        noise = tf.random.stateless_normal(tf.shape(image), seed + [1, 2])
        image += noise * augment.noise * tf.abs(draw[3])
    return tf.clip_by_value(image, 0.0, 1.0)


def _lesion_pixels(labels: np.ndarray) -> tf.RaggedTensor:
    """Return (y, x, class) of the lesion pixels of each scan, int32 (scans, None, 3)."""
    scan, y, x = np.nonzero((labels > 0) & (labels != IGNORE))
    return tf.RaggedTensor.from_row_lengths(
        np.stack([y, x, labels[scan, y, x]], axis=1).astype(np.int32),
        np.bincount(scan, minlength=len(labels)),
    )


def training_batches(
    scans: Sequence[Scan],
    size: tuple[int, int],
    batch_size: int,
    augment: Augmentation | None = None,
    seed: int = 0,
    first_sample: int = 0,
    lesion_scans: float | None = None,
    lesion_patches: float = 0.5,
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

    Returns
    -------
    tf.data.Dataset
        Pairs of images, float32 (batch, depth, width, 1) in [0, 1], and labels,
        int32 (batch, depth, width, 1) with `IGNORE` where the pixel does not count.
    """
    augment = augment or Augmentation()
    images, labels, sizes = (tf.constant(array) for array in stack_scans(scans))
    lesions = _lesion_pixels(labels.numpy())
    scan_of = _scan_order(lesions.row_lengths().numpy() > 0, lesion_scans, seed)
    half = (np.array(size[::-1], np.float32) - 1.0) / 2.0

    def sample(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        index = scan_of(number)
        key = tf.cast(tf.stack([tf.cast(seed, tf.int64), number * 8]), tf.int32)
        draw = tf.random.stateless_uniform((6,), key, -1.0, 1.0)
        extent = tf.cast(sizes[index], tf.float32)
        wanted = tf.constant(size, tf.float32)
        centre = _centre(key, lesions[index], extent, wanted, lesion_patches)[::-1] - 0.5
        centre += draw[4:] * augment.shift * wanted[::-1]
        matrix = _affine(draw, augment)
        offset = centre - tf.linalg.matvec(matrix, half)
        depth, width = sizes[index][0], sizes[index][1]
        image = _cut(images[index, :depth, :width], matrix, offset, size, "BILINEAR")
        label = _cut(labels[index, :depth, :width], matrix, offset, size, "NEAREST")
        return _recolour(image, key, augment)[..., None], tf.cast(label, tf.int32)[..., None]

    numbers = tf.data.Dataset.range(first_sample, np.iinfo(np.int64).max // 16)
    batches = numbers.map(sample, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return batches.batch(batch_size, drop_remainder=True).prefetch(2)
