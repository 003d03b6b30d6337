"""How much of what a unit could see it does look at, beside how large the lesions are.

The theoretical receptive field is what a unit can see at most; most of it hardly counts (Luo et al. 2016,
"Understanding the effective receptive field in deep convolutional neural networks", arXiv:1701.04128).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from medream.dream.graph import run
from medream.dream.layers import describe_layers
from medream.dream.sight import fit
from medream.errors import ConfigError, ScanError
from medream.evidence.activations import Eye, eye
from medream.evidence.lesion_sizes import lesion_extents, share_that_fits
from medream.evidence.retina import retina_bounds
from medream.evidence.subjects import RESAMPLES
from medream.progress import progress
from medream.scan import Scan

POSITIONS = 4
"""Places in each scan."""
DRAWS = 4
"""Random signs of the units at each place."""
ENERGY = 0.9545
"""Share of the energy within the field: two standard deviations of a Gaussian."""


def effective_field(
    model: keras.Model,
    layer: str,
    scans: Sequence[Scan],
    positions: int = POSITIONS,
    draws: int = DRAWS,
    seed: int = 0,
) -> np.ndarray:
    """Return how much the pixels around a unit count for it, on average.

    The magnitude of the gradient of the middle position's mean over the units, each with a random sign so that
    units do not cancel in the same way, by the pixels of a window that is wider than the theoretical
    field; averaged over places in the retina and signs.

    Parameters
    ----------
    model : keras.Model
    layer : str
    scans : sequence of Scan
    positions : int
        Places in each scan.
    draws : int
        Random signs at each place.
    seed : int

    Returns
    -------
    float64 array (depth, width)
        Sums to 1; in pixels of the network's input, the unit in the middle to half a stride. All 0 when the
        layer is dead at every place. Where the theoretical field is the whole image, the window has the size
        of the first scan; where it is larger than a scan, the scan is mirrored.

        It says which pixels a small change would be felt from, not what is looked for there, and holds for these
        scans: a unit that is off looks at nothing.

    Raises
    ------
    LayerError
        When there is no such layer, or it gives no map.
    ConfigError
        When there are no scans, or nothing to average over.

    References
    ----------
    Luo, Li, Urtasun and Zemel, NeurIPS 2016, arXiv:1701.04128.

    Examples
    --------
    >>> entry = keras.Input((None, None, 1))
    >>> ones = keras.layers.Conv2D(1, 3, padding="same", kernel_initializer="ones", name="ones")
    >>> field = effective_field(keras.Model(entry, ones(entry)), "ones", [Scan(np.ones((9, 9), "float32"))])
    >>> np.flatnonzero(field.sum(axis=0)).size, round(float(field.max()), 3)
    (3, 0.111)
    """
    if not len(scans) or positions < 1 or draws < 1:
        raise ConfigError(
            f"{len(scans)} scans, {positions} positions and {draws} draws leave no effective field to "
            "average; expected at least one of each."
        )
    look = eye(model, [layer])
    theoretical = next(row.receptive_field for row in describe_layers(model) if row.name == layer)
    rng = np.random.default_rng(seed)
    units = next(c.output_shape[3] for c in look.network.calls if c.name == layer) or 1
    total: np.ndarray = np.zeros(())
    size: tuple[int, int] | None = None
    grid = look.rule[1] if theoretical else (1, 1)
    slope = tf.function(lambda *given: _slope(look, layer, *given), autograph=False)
    with progress(f"effective field of {layer}", len(scans)) as update:
        for scan in scans:
            image = look.enter(scan.image)[..., :1]
            size = size or _window(look, theoretical, tuple(image.shape[1:3]))
            windows = [_cut(image, size, place) for place in _places(scan, look, positions, rng)]
            for _ in range(draws):
                phases = rng.integers(0, grid, (positions, 2))
                signs = rng.choice([-1.0, 1.0], (positions, units)).astype(np.float32)
                found, moved = slope(tf.concat(windows, 0), tf.constant(phases), tf.constant(signs))
                for one, pixels in zip(found.numpy(), moved.numpy().tolist(), strict=True):
                    total = total + np.roll(one.astype(np.float64), [-k for k in pixels], (0, 1))
            update(1)
    return total / (total.sum() or 1.0)


def _slope(
    look: Eye, layer: str, images: tf.Tensor, phases: tf.Tensor, signs: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return |gradient| of a position of each window by its pixels, and how far off the middle it is.

    The position lies so many pixels, `phases`, beyond the middle: what it sees hangs on where the grid of
    the poolings lies.
    """
    with tf.GradientTape() as tape:
        tape.watch(images)
        entered = tf.repeat(images, look.network.channels or 1, axis=-1)
        maps = tf.cast(run(look.network, entered, [layer])[layer], tf.float32)
        pixels = np.array(images.shape[1:3])
        counts = np.array(maps.shape[1:3])
        places = phases * counts // pixels
        seen = tf.gather_nd(maps, places + counts // 2, batch_dims=1)
        score = tf.reduce_mean(seen * signs, axis=-1)
    gradient = tape.gradient(score, images, unconnected_gradients="zero")
    return tf.abs(gradient[..., 0]), places * pixels // counts


def _window(
    look: Eye, theoretical: tuple[int, int] | None, whole: tuple[int, int]
) -> tuple[int, int]:
    """Return the size of a window that holds the field of its middle position."""
    if theoretical is None:
        return whole
    stride = look.rule[1]
    depth, width = (
        # To either side half of the field, and two strides for where the position lies and its grid.
        2 * -(-(field // 2 + 1 + 2 * unit) // unit) * unit
        for field, unit in zip(theoretical, stride, strict=True)
    )
    return depth, width


def _places(
    scan: Scan, look: Eye, count: int, rng: np.random.Generator
) -> list[tuple[float, float]]:
    """Return random places in the retina, or anywhere without one, as shares of the scan's size."""
    depth, width = scan.shape
    columns = rng.random(count)
    try:
        inner, outer = retina_bounds(scan.image, scan.valid)
    except ScanError:
        return list(zip(rng.random(count).tolist(), columns.tolist(), strict=True))
    at = (columns * width).astype(int)
    rows = inner[at] + rng.random(count) * (outer[at] - inner[at])
    # Of the image as the network takes it, which may be mirrored up.
    tall, wide = (depth, width) if look.size else look.enter(scan.image).shape[1:3]
    return [
        (r / tall, c * width / wide) for r, c in zip(rows.tolist(), columns.tolist(), strict=True)
    ]


def _cut(image: tf.Tensor, size: tuple[int, int], place: tuple[float, float]) -> tf.Tensor:
    """Return the window around a place, moved into the image where it would leave it."""
    image = fit(image, (1, 1), size)
    starts = [
        min(max(round(share * length) - wanted // 2, 0), length - wanted)
        for share, length, wanted in zip(place, image.shape[1:3], size, strict=True)
    ]
    top, left = starts
    return image[:, top : top + size[0], left : left + size[1]]


def measure_field(field: np.ndarray, share: float = ENERGY) -> dict[str, float]:
    """Measure an effective field.

    Parameters
    ----------
    field : float array (depth, width), not negative
    share : float in (0, 1)
        Of the energy within it. Default 0.9545.

    Returns
    -------
    dict
        `depth_px`, `width_px`: shortest way to say how far it reaches along each axis, the length in whose
        middle `share` of the energy lies (four standard deviations of a Gaussian);
        `area_px`: the fewest pixels with `share` of the energy; `peak_area_px`: pixels above 1 - `share`
        of the largest, and `side_px`, its square root, the size in the paper. NaN for a dead layer.

    Examples
    --------
    >>> {name: round(value, 2) for name, value in measure_field(np.ones((3, 3))).items()}
    {'depth_px': 2.86, 'width_px': 2.86, 'area_px': 9.0, 'peak_area_px': 9.0, 'side_px': 3.0}
    """
    field = np.asarray(field, np.float64)
    names = ("depth_px", "width_px", "area_px", "peak_area_px", "side_px")
    if field.ndim != 2 or not field.sum() > 0:
        return dict.fromkeys(names, float("nan"))
    lengths = [_length(field.sum(axis=axis), share) for axis in (1, 0)]
    ordered = np.sort(field.ravel())[::-1].cumsum()
    area = np.searchsorted(ordered, share * ordered[-1] * (1 - 1e-12)) + 1
    peak = np.count_nonzero(field > (1 - share) * field.max())
    return dict(zip(names, (*lengths, float(area), float(peak), float(np.sqrt(peak))), strict=True))


def _length(profile: np.ndarray, share: float) -> float:
    """Return the distance between the places that leave equal parts of the rest on both sides."""
    reached = np.concatenate([[0.0], profile.cumsum() / profile.sum()])
    rest = (1 - share) / 2
    start, stop = np.interp([rest, 1 - rest], reached, np.arange(len(reached)))
    return float(stop - start)


def field_table(
    models: Mapping[str, keras.Model],
    layers: Sequence[str],
    scans: Sequence[Scan],
    positions: int = POSITIONS,
    draws: int = DRAWS,
    seed: int = 0,
    resamples: int = RESAMPLES,
    on_field: Callable[[str, str, np.ndarray], None] | None = None,
) -> pd.DataFrame:
    """Set the fields of layers beside the lesions of a data set.

    Parameters
    ----------
    models : {name: keras.Model}
        Such as networks of 2, 3 and 4 levels.
    layers : sequence of str
        Layers of each model; those that a model does not have are left out.
    scans, positions, draws, seed
        As for `effective_field`.
    resamples : int
        Of the intervals over subjects.
    on_field : callable, optional
        Called with (model's name, layer, effective field), for a figure.

    Returns
    -------
    DataFrame
        One row per model and layer: `model`, `layer`; the theoretical field `theoretical_depth_px`,
        `theoretical_width_px` (infinite for the whole image) and in micrometres (`..._um`); `measure_field` of the
        effective one with `depth_um`, `width_um`; `lesions`, how many there are, and `fit`, the share of them
        whose box fits into the effective field, with `fit_low`, `fit_high` of 95 % over `subjects`;
        `fit_theoretical`.
        Pixels are those of the network's input. Micrometres take the median spacing of the scans.

        A lesion that does not fit may still be found, by its border or parts; one that fits may be missed.

    Raises
    ------
    LayerError
        When no model has any of the layers.
    ConfigError
        As for `effective_field`.

    Examples
    --------
    >>> import medream as md
    >>> models = {"1 level": md.build_unet(md.UNetConfig(levels=1, base_filters=2))}
    >>> found = field_table(models, ["mid_conv2"], md.phantom_scans(2, size=(48, 48)), 1, 1)
    >>> found[["model", "theoretical_depth_px"]].values.tolist()
    [['1 level', 14.0]]
    """
    lesions = lesion_extents(scans)
    spacings = [scan.spacing_mm for scan in scans if scan.spacing_mm is not None]
    spacing = 1000 * np.median(spacings, axis=0) if spacings else np.full(2, np.nan)
    rows = []
    for name, model in models.items():
        known = {row.name: row for row in describe_layers(model)}
        own = [layer for layer in layers if layer in known]
        for layer in own:
            field = effective_field(model, layer, scans, positions, draws, seed)
            if on_field is not None:
                on_field(name, layer, field)
            found = measure_field(field)
            theoretical = known[layer].receptive_field or (np.inf, np.inf)
            scale = _scales(model, scans)
            fit = share_that_fits(
                lesions, scale * [found["depth_px"], found["width_px"]], resamples
            )
            row = {
                "model": name,
                "layer": layer,
                "theoretical_depth_px": float(theoretical[0]),
                "theoretical_width_px": float(theoretical[1]),
                **found,
                "lesions": len(lesions),
                "fit": fit.estimate,
                "fit_low": fit.low,
                "fit_high": fit.high,
                "subjects": fit.subjects,
                "fit_theoretical": share_that_fits(lesions, scale * theoretical, 1).estimate,
            }
            axial, lateral = spacing * np.median(scale, axis=0)
            for axis, unit in (("depth", axial), ("width", lateral)):
                row[f"{axis}_um"] = row[f"{axis}_px"] * unit
                row[f"theoretical_{axis}_um"] = row[f"theoretical_{axis}_px"] * unit
            rows.append(row)
    if not rows:
        for model in models.values():
            eye(model, list(layers))  # says which layers there are
        raise ConfigError("There are no models or layers to measure the fields of.")
    return pd.DataFrame(rows)


def _scales(model: keras.Model, scans: Sequence[Scan]) -> np.ndarray:
    """Return how many pixels of each scan one of the network's input is, (scans, 2)."""
    size = model.input_shape[1:3]
    return np.array(
        [np.divide(scan.shape, size) if None not in size else (1.0, 1.0) for scan in scans]
    )
