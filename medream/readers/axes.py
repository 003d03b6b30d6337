"""Which axis of a stored array is what, for the containers that do not say: NIfTI, MetaImage, NRRD.

Axes are counted as the file stores them, x (fastest), y, z. The order on disk decides and the signs
of the directions are ignored: they turn between the conventions of the programs (LPS, RAS), and
a picture must not be mirrored by that. The rules, the first that applies:

1. A spacing tells. OCT is finest along depth: the axis with the smallest spacing, if it is the
   only one, is the depth. The axis with the largest spacing is that of the B-scans, again if it
   is the only one.
2. A first axis of 1, 3 or 4 before two long ones is that of the channels of one B-scan, saved by
   NumPy as (channel, depth, width).
3. A first axis shorter than the last one is that of the B-scans: (bscan, depth, width), as
   NumPy has it.
4. Else (x, y, z) is (width, depth, bscan), as SimpleITK writes a NumPy volume.

A spacing of exactly 1 along every axis is a default and no measurement: it tells nothing, and the
scan's spacing is unknown. Rules 2 to 4 are then assumptions, and a warning says which one was made.
Whoever knows better names the axes, and no rule applies.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medream.errors import ConfigError, ScanError
from medream.readers.intensity import grey, linear

NAMES = ("depth", "width", "bscan", "channel")
_CHANNELS = (3, 4)
_LONG = 16  # the shortest side of a picture before whose axes a channel axis is looked for
_CLEAR = 1.02  # spacings differ when one is this much larger


@dataclass(frozen=True)
class Axes:
    """Axis numbers and what they measure; `bscan` and `channel` may be missing."""

    depth: int
    width: int
    bscan: int | None
    channel: int | None
    shape: tuple[int, ...]
    spacing_mm: tuple[float, float] | None
    bscan_spacing_mm: float | None

    @property
    def bscans(self) -> int:
        return 1 if self.bscan is None else self.shape[self.bscan]

    @property
    def size(self) -> tuple[int, int]:
        return self.shape[self.depth], self.shape[self.width]

    def index(self, position: int) -> tuple[int | slice, ...]:
        """Return the index of a B-scan in the stored array."""
        axes = range(len(self.shape))
        return tuple(position if axis == self.bscan else slice(None) for axis in axes)

    def upright(self, stored: np.ndarray) -> np.ndarray:
        """Return a B-scan as stored with the axes (depth, width), or (depth, width, channel)."""
        kept = [axis for axis in range(len(self.shape)) if axis != self.bscan]
        wanted = [self.depth, self.width] + ([] if self.channel is None else [self.channel])
        return stored.transpose([kept.index(axis) for axis in wanted])

    def in_order(self, stored: np.ndarray, path: Path) -> np.ndarray:
        """Return an array as stored with the axes (bscan, depth, width)."""
        if self.channel is not None or stored.dtype.names is not None:
            raise ScanError(f"{path} is in colour; expected one number in each pixel of a mask.")
        upright = [self.depth, self.width]
        if self.bscan is None:
            return stored.transpose(upright)[None]
        return stored.transpose([self.bscan, *upright])

    def draw(self, stored: np.ndarray, full: float, path: Path, out: np.ndarray) -> None:
        """Write a B-scan as stored into float32 (depth, width); `full` becomes 1."""
        upright = self.upright(stored)
        if stored.dtype.names is not None:  # red, green, blue
            upright = np.stack([upright[name] for name in stored.dtype.names[:3]], axis=-1)
        if upright.ndim == 2:
            linear(upright, 0, full, out)
        else:
            out[:] = grey(linear(upright[..., :3], 0, full), path)


def find_axes(
    shape: Sequence[int],
    spacing_mm: Sequence[float],
    path: Path,
    names: Sequence[str] | None = None,
) -> Axes:
    """Tell the axes of an array (x, y) or (x, y, z) by the rules above.

    Parameters
    ----------
    shape, spacing_mm : one number for each axis
    names : sequence of {"depth", "width", "bscan", "channel"}, optional
        What the axes are, as the file stores them; then no rule applies.

    Raises
    ------
    ScanError
        When there are more than three axes longer than 1, or not as many as names.

    Examples
    --------
    >>> find_axes((512, 1024, 128), (0.012, 0.002, 0.047), Path("a.mhd")).size
    (1024, 512)
    >>> find_axes((496, 768, 61), (0.004, 0.011, 0.12), Path("a.nii")).size
    (496, 768)
    >>> axes = find_axes((49, 496, 512), (1, 1, 1), Path("a.nii"))
    >>> axes.bscans, axes.size, axes.spacing_mm
    (49, (496, 512), None)
    >>> find_axes((496, 512, 49), (1, 1, 1), Path("a.nii"), ("depth", "width", "bscan")).size
    (496, 512)
    """
    lengths, steps = list(shape), [abs(float(step)) for step in spacing_mm]
    while len(lengths) > max(2, len(names or ())) and lengths[-1] == 1:
        del lengths[-1], steps[-1]
    if len(lengths) not in (2, 3) or min(lengths) < 1:
        raise ScanError(
            f"{path} has the shape {' x '.join(str(n) for n in shape)}; expected a B-scan of two "
            "axes or a volume of three. Save each volume or channel as a file of its own."
        )
    known = all(np.isfinite(step) and step > 0 for step in steps)
    told = steps if known else [1.0] * len(steps)
    depth, bscan, channel = _roles(lengths, told) if names is None else _named(names, lengths, path)
    (width,) = set(range(len(lengths))) - {depth, bscan, channel}
    plane = steps[depth], steps[width]
    measured = known and plane != (1.0, 1.0)
    if names is None and max(told) <= _CLEAR * min(told):
        _warn_of_assumption({depth: "depth", width: "width", bscan: "bscan", channel: "channel"},
                            lengths, path)  # fmt: skip
    return Axes(
        depth=depth,
        width=width,
        bscan=bscan,
        channel=channel,
        shape=tuple(lengths),
        spacing_mm=plane if measured else None,
        bscan_spacing_mm=steps[bscan] if measured and bscan is not None else None,
    )


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of axes that a user gave, or raise ConfigError.

    >>> check_names(["width", "depth", "bscan"])
    ('width', 'depth', 'bscan')
    """
    names = tuple(names)
    both = {"bscan", "channel"} <= set(names)
    if not {"depth", "width"} <= set(names) <= set(NAMES) or len(set(names)) < len(names) or both:
        raise ConfigError(
            f"axes is {', '.join(map(str, names)) or 'empty'}; expected depth and width, and beside "
            "them bscan or channel, in the order in which the file stores them, such as "
            "'depth,width,bscan'."
        )
    return names


def _named(
    names: Sequence[str], lengths: list[int], path: Path
) -> tuple[int, int | None, int | None]:
    names = check_names(names)
    if len(names) > len(lengths):  # a single B-scan
        names = tuple(name for name in names if name != "bscan")
    if len(names) != len(lengths):
        raise ScanError(
            f"{path} has the shape {' x '.join(map(str, lengths))}, but the axes given are "
            f"{', '.join(names)}; expected a name for each axis longer than 1."
        )
    places = {name: axis for axis, name in enumerate(names)}
    return places["depth"], places.get("bscan"), places.get("channel")


def _warn_of_assumption(found: dict[int | None, str], lengths: list[int], path: Path) -> None:
    order = ", ".join(found[axis] for axis in range(len(lengths)))
    warnings.warn(
        f"{path}: its spacing is unknown, so nothing tells its axes; its "
        f"{' x '.join(map(str, lengths))} pixels are taken for ({order}). If they are not, say "
        "which is which, once and for all with 'medream data convert IN OUT --axes "
        "depth,width,bscan', or with read_scans(path, axes=...).",
        stacklevel=2,
    )


def _roles(lengths: list[int], steps: list[float]) -> tuple[int, int | None, int | None]:
    """Return the axes of depth, B-scans and channels."""
    ranked = sorted(range(len(steps)), key=lambda axis: steps[axis])
    finest = ranked[0] if steps[ranked[1]] > _CLEAR * steps[ranked[0]] else None
    if len(lengths) == 2:
        return (1 if finest is None else finest), None, None
    coarsest = ranked[2] if steps[ranked[2]] > _CLEAR * steps[ranked[1]] else None
    if finest is not None and coarsest is not None:
        return finest, coarsest, None
    if finest is not None:
        # Two axes of one spacing: the B-scans are the outer one, away from the depth if it is.
        return finest, (0 if finest == 2 else 2), None
    if lengths[0] in _CHANNELS and min(lengths[1:]) >= _LONG:
        return 1, None, 0
    if coarsest is None:
        coarsest = 0 if lengths[0] < lengths[2] else 2
    return (0 if coarsest == 1 else 1), coarsest, None
