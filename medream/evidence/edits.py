"""Controlled edits: an object of a scan made darker, larger, deeper, and nothing else, as far as pixels allow.

An object is taken for its background times a ratio. The ratio is what is scaled, turned, moved or faded;
the background is what the layers beside it say. An edit sets one gauge of the object to a wanted
value; what else it moves by the way is measured, not assumed (`medream.evidence.naming`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from medream.evidence.features import measure

GAUGES = {
    "darkness": "intensity",
    "texture": "glcm_contrast",
    "size": "area",
    "shape": "elongation",
    "orientation": "orientation",
    "depth": "depth",
    "sharpness": "sharpness",
    "neighbour": "neighbour",
}
"""The feature of `measure` that each edit sets."""
_REACH = 5  # pixels around an object that belong to it: its blurred border
_NEAR = 14  # pixels within which a layer is looked for
_BESIDE = 6.0  # standard deviation, along the layers, of the mean that tells the background


@dataclass(frozen=True, eq=False)
class Scene:
    """An object in a scan, taken apart.

    Parameters
    ----------
    image : float array (depth, width)
    region : bool array (depth, width)
        The object.
    others : bool array (depth, width)
        Other objects, which are left alone.
    retina : (inner, outer)
        Borders from `retina_bounds`.
    background : float array (depth, width)
        What would lie there without objects, smooth.
    grain : float array (depth, width)
        Speckle of places without objects, about 1.
    weight : float array (depth, width)
        1 at the object, falling to 0 at some pixels from it.
    features : dict of str to float
        Of the object as it is.
    """

    image: np.ndarray
    region: np.ndarray
    others: np.ndarray
    retina: tuple[np.ndarray, np.ndarray]
    background: np.ndarray
    grain: np.ndarray
    weight: np.ndarray
    features: dict[str, float]


def open_scene(
    image: np.ndarray,
    region: np.ndarray,
    others: np.ndarray,
    retina: tuple[np.ndarray, np.ndarray],
) -> Scene:
    """Take an object apart; parameters as of `Scene`."""
    image = np.asarray(image, np.float64)
    taken = ndimage.binary_dilation(region | others, iterations=_REACH)
    free = (~taken).astype(float)
    spread = (0.7, _BESIDE)
    share = ndimage.gaussian_filter(free, spread)
    background = ndimage.gaussian_filter(image * free, spread) / np.maximum(share, 1e-9)
    # Where no free place is near along the layers, a wider mean serves.
    wide = ndimage.gaussian_filter(free, (1.5, 4 * _BESIDE))
    wider = ndimage.gaussian_filter(image * free, (1.5, 4 * _BESIDE)) / np.maximum(wide, 1e-9)
    background = np.maximum(np.where(share > 1e-3, background, wider), 1e-3)
    grain = _mirrored(image / background, taken)
    weight = np.clip((_REACH - ndimage.distance_transform_edt(~region)) / 3, 0, 1)
    return Scene(
        image, region, others, retina, background, grain, weight,
        measure(image, region, retina=retina),
    )  # fmt: skip


def _mirrored(grain: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Fill what is taken by what lies as far on the other side of its edge, along the layers."""
    _, (rows, edge) = ndimage.distance_transform_edt(taken, (1e3, 1.0), return_indices=True)
    columns = np.arange(taken.shape[1])
    source = 2 * edge - columns
    known = (source >= 0) & (source < taken.shape[1])
    known &= ~taken[rows, np.where(known, source, 0)]
    filled = grain[rows, np.where(known, source, edge)]
    return np.where(taken, filled, grain)


Edited = tuple[np.ndarray, np.ndarray]


def _kept(scene: Scene, image: np.ndarray) -> Edited:
    return np.clip(image, 0, 1).astype(np.float32), scene.region


def darken(scene: Scene, wanted: float) -> Edited:
    """Deepen the dip of intensity by a factor; its outline, blur and grain stay."""
    dip = (scene.background - ndimage.gaussian_filter(scene.image, 1.0)) * scene.weight
    mean = dip[scene.region].mean()
    if mean <= 0:
        return _kept(scene, scene.image)
    return _kept(scene, scene.image - dip * (scene.features["intensity"] - wanted) / mean)


def grain(scene: Scene, wanted: float) -> Edited:
    """Amplify or dampen the fine fluctuation within the object."""
    region = scene.region
    share = ndimage.gaussian_filter(region.astype(float), 1.5)
    smooth = ndimage.gaussian_filter(scene.image * region, 1.5) / np.maximum(share, 1e-9)
    fine = scene.image - smooth
    factor = np.sqrt(wanted / max(scene.features["glcm_contrast"], 0.05))
    return _kept(scene, np.where(region, smooth + factor * fine, scene.image))


def _moved(scene: Scene, matrix: np.ndarray, shift: tuple[float, float]) -> Edited | None:
    """Take the object out, change it about its centre (matrix: old offset to new), and put it back."""
    centre = np.argwhere(scene.region).mean(axis=0)
    back = np.linalg.inv(matrix)
    offset = centre - back @ (centre + np.asarray(shift))
    cleared = scene.image * (1 - scene.weight) + scene.weight * scene.background * scene.grain

    def placed(array: np.ndarray, order: int, fill: float) -> np.ndarray:
        return ndimage.affine_transform(array, back, offset, order=order, cval=fill)

    region = placed(scene.region.astype(float), 1, 0.0) >= 0.5
    inner, outer = scene.retina
    rows = np.arange(len(region))[:, None]
    outside = (rows < inner) | (rows >= outer) | scene.others
    if not region.any() or (region & outside).any():
        return None
    # The nearest pixel, not a mean of four, so that the grain is not smoothed away.
    ratio = placed(scene.image / scene.background, 0, 1.0)
    weight = placed(scene.weight, 1, 0.0) * ~scene.others
    image = cleared * (1 - weight) + weight * scene.background * ratio
    return np.clip(image, 0, 1).astype(np.float32), region


def scale(scene: Scene, wanted: float) -> Edited | None:
    """Enlarge or shrink the object."""
    return _moved(scene, np.eye(2) * np.sqrt(wanted / scene.features["area"]), (0, 0))


def _axis(scene: Scene) -> np.ndarray:
    """Return the object's principal axes as columns, the longest first."""
    offsets = np.argwhere(scene.region) - np.argwhere(scene.region).mean(axis=0)
    values, axes = np.linalg.eigh(offsets.T @ offsets)
    axes = axes[:, ::-1]
    # A round object is drawn out along the layers, as most elongated ones lie.
    return axes if values[1] > 1.3 * values[0] else np.array([[0.0, 1.0], [1.0, 0.0]])


def stretch(scene: Scene, wanted: float) -> Edited | None:
    """Draw the object out along its longest axis, or round it, at the same area."""
    ratio = np.sqrt((1 - scene.features["elongation"]) / max(1 - wanted, 0.05))
    axes = _axis(scene)
    return _moved(scene, axes @ np.diag([ratio, 1 / ratio]) @ axes.T, (0, 0))


def turn(scene: Scene, wanted: float) -> Edited | None:
    """Turn the object to another angle with the layers, the way that is nearer."""
    longest = _axis(scene)[:, 0]
    side = 1.0 if longest[0] * longest[1] >= 0 else -1.0
    angle = side * np.deg2rad(wanted - scene.features["orientation"])
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return _moved(scene, matrix, (0, 0))


def sink(scene: Scene, wanted: float) -> Edited | None:
    """Move the object along its A-scans to another depth within the retina."""
    column = int(np.argwhere(scene.region)[:, 1].mean())
    thickness = scene.retina[1][column] - scene.retina[0][column]
    shift = round((wanted - scene.features["depth"]) * thickness)
    return _moved(scene, np.eye(2), (shift, 0))


def sharpen(scene: Scene, wanted: float) -> Edited:
    """Stretch or press together the profile across the border; the mean intensity within stays."""
    region = scene.region
    far = ndimage.distance_transform_edt(~region) - ndimage.distance_transform_edt(region)
    far = far - 0.5 * np.sign(far)
    ratio = np.clip(scene.image / scene.background, 0, 2)
    near = scene.weight > 0
    places = np.arange(np.floor(far[region].min()) + 0.5, _REACH)
    means = np.array(
        [ratio[near & (np.abs(far - p) <= 0.75)].mean() if (np.abs(far - p) <= 0.75).any() else 1.0
         for p in places]
    )  # fmt: skip
    factor = wanted / max(scene.features["sharpness"], 1e-3)
    before, after = (np.interp(k * far, places, means) for k in (1.0, factor))
    lost, wish = (1 - after)[region].mean(), (1 - before)[region].mean()
    if lost > 0 and wish > 0:
        after = np.maximum(1 - (1 - after) * wish / lost, 0.05)
    changed = scene.image * np.clip(after / np.maximum(before, 0.05), 0, 4)
    return _kept(scene, scene.image + scene.weight * (changed - scene.image))


def neighbour(scene: Scene, wanted: float) -> Edited | None:
    """Draw the bright layer that lies nearest up to the object, or push it away; the object stays."""
    found = _layer(scene)
    if found is None:
        return None
    border, way, distance = found
    tried = [_drawn(scene, border, way, distance, new) for new in range(1, 10)]
    off = np.abs(np.array([_brightest_beside(image, scene.region) for image in tried]) - wanted)
    # From some pixels on the gauge sees no layer any more: as far as it was tried, or as near.
    good = np.flatnonzero(off <= off.min() + 0.02)
    return _kept(scene, tried[good[0] if wanted > scene.features["neighbour"] else good[-1]])


def _layer(scene: Scene) -> tuple[int, int, int] | None:
    """Return the object's border towards the brightest layer, its direction, and the layer's distance."""
    columns = np.flatnonzero(scene.region.any(axis=0))
    third = columns[len(columns) // 3 : max(2 * len(columns) // 3, len(columns) // 3 + 1)]
    rows = np.flatnonzero(scene.region[:, third].any(axis=1))
    profile = ndimage.gaussian_filter1d(scene.image[:, third].mean(axis=1), 0.7)
    inner, outer = (int(np.median(line[third])) for line in scene.retina)
    best = None
    for border, way in ((int(rows[-1]), 1), (int(rows[0]), -1)):
        # The retina's own borders are no layers within it.
        room = min(_NEAR, (outer - 5 - border) if way > 0 else (border - inner - 5))
        beside = profile[border + way * np.arange(1, room + 1)] if room > 2 else np.zeros(0)
        if len(beside) and (best is None or beside.max() > best[0]):
            best = float(beside.max()), border, way, int(beside.argmax()) + 1
    level = np.median(scene.image[scene.weight < 1][scene.weight[scene.weight < 1] > 0])
    return None if best is None or best[0] < 1.15 * level else best[1:]


def _drawn(scene: Scene, border: int, way: int, distance: int, new: int) -> np.ndarray:
    """Return the image with the layer at another distance, the tissue beside it stretched or pressed."""
    image = scene.image
    columns = np.flatnonzero(scene.region.any(axis=0))
    off = np.abs(np.arange(image.shape[1]) - columns.mean()) - len(columns) / 2 - 2
    share = np.clip(1 - off / 6, 0, 1)
    rows = np.arange(len(image))[:, None]
    away = way * (rows - border) * np.ones(image.shape)
    reach = max(new, distance) + _NEAR // 2
    source = np.interp(away, [0, new, reach], [0, distance, reach])
    moved = np.where((away > 0) & (away < reach), border + way * source, rows)
    places = np.round(rows + share * (moved - rows)).clip(0, len(image) - 1).astype(int)
    image = np.take_along_axis(image, places, axis=0)
    return np.where(scene.region | scene.others, scene.image, image)


def _brightest_beside(image: np.ndarray, region: np.ndarray) -> float:
    near = np.sort(image[ndimage.binary_dilation(region, iterations=3) & ~region])
    return float(near[-max(len(near) // 4, 1) :].mean()) if len(near) else float("nan")


EDITS: dict[str, Callable[[Scene, float], Edited | None]] = {
    "darkness": darken,
    "texture": grain,
    "size": scale,
    "shape": stretch,
    "orientation": turn,
    "depth": sink,
    "sharpness": sharpen,
    "neighbour": neighbour,
}
"""What sets each gauge; None where the object would leave the retina or meet another one."""
