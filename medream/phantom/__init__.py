"""A synthetic retina with fluid, for demonstrations and tests: made, not measured.

`anatomy` says where the layers lie, `pathology` adds fluid, `optics` makes the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from medream.errors import ConfigError, OutputError
from medream.phantom import optics, pathology
from medream.phantom.anatomy import FIELD_MM, NAMES, draw_boundaries, draw_subject
from medream.readers import valid_mask
from medream.scan import Scan, Source

__all__ = ["phantom_scans", "save_phantom"]

WITHOUT_FLUID, WITH_WEDGE, WITH_SRF = 0.25, 0.35, 0.4
_RPE = NAMES.index("RPE")


def phantom_scans(
    n: int, seed: int = 0, size: tuple[int, int] = (256, 256), bscans_per_subject: int = 4
) -> list[Scan]:
    """Draw synthetic B-scans with exact masks of their fluid.

    A subject's anatomy and device settings stay the same over its B-scans. About a quarter of
    the B-scans hold no fluid; shadows, pockets of dark vitreous and vessels of the choroid are
    as dark as fluid and are none. The first scans do not depend on `n`.

    Parameters
    ----------
    n : int
        Number of B-scans.
    seed : int
    size : (depth, width)
        In pixels, at least 32 each; a frame of 1.5 x 6 mm at any size.
    bscans_per_subject : int

    Returns
    -------
    list of Scan
        Class "fluid"; subjects `phantom001`, `phantom002`, ...; image values are whole 255ths,
        so that they survive being saved as 8 bit.

    Raises
    ------
    ConfigError
        When a number is too small.

    Examples
    --------
    >>> scans = phantom_scans(2, seed=7, size=(64, 96))
    >>> scans[1].shape, scans[1].source.name, scans[1].classes
    ((64, 96), 'phantom001_bscan001', ('fluid',))
    """
    if n < 1 or bscans_per_subject < 1 or min(size) < 32 or seed < 0:
        raise ConfigError(
            f"Cannot draw {n} B-scans of {size[0]} x {size[1]} pixels, {bscans_per_subject} a "
            f"subject, with seed {seed}; expected at least 1, 32 x 32, 1, and a seed from 0."
        )
    return [_draw_scan(seed, *divmod(k, bscans_per_subject), size) for k in range(n)]


def _draw_scan(seed: int, subject_index: int, bscan: int, size: tuple[int, int]) -> Scan:
    subject = draw_subject(np.random.default_rng([seed, subject_index]))
    rng = np.random.default_rng([seed, subject_index, bscan + 1])
    spacing = FIELD_MM[0] / size[0], FIELD_MM[1] / size[1]
    depth = (np.arange(size[0]) + 0.5) * spacing[0]

    boundaries = draw_boundaries(subject, rng.uniform(-1.2, 1.2), size[1], rng)
    fluid = np.zeros(size, bool)
    if rng.random() >= WITHOUT_FLUID:
        centres = pathology.draw_centres(subject, rng)
        boundaries = pathology.swell(boundaries, centres, subject, rng)
        lens = np.zeros(size[1])
        if rng.random() < WITH_SRF:
            boundaries, lens = pathology.lift(boundaries, centres[0], rng)
        fluid = pathology.draw_cysts(depth, boundaries, centres, subject, rng)
        top = boundaries[_RPE] - lens
        fluid |= (depth[:, None] >= top) & (depth[:, None] < boundaries[_RPE])

    light = optics.scatter(depth, boundaries, fluid, subject, rng)
    image = optics.develop(light * optics.shadows(depth, boundaries, rng), subject, rng)
    if rng.random() < WITH_WEDGE:
        outside = optics.wedge(size, rng)
        image[outside] = 1.0
        fluid &= ~outside
    image = (np.round(255 * image) / 255).astype(np.float32)
    name = f"phantom{subject_index + 1:03d}"
    return Scan(
        image,
        mask=fluid.astype(np.uint8),
        valid=valid_mask(image),
        spacing_mm=spacing,
        source=Source(
            dataset="phantom",
            subject_id=name,
            volume_id=name,
            bscan_index=bscan,
            laterality=subject.laterality,
            device="phantom",
        ),
    )


def save_phantom(scans: Sequence[Scan], folder: str | Path) -> None:
    """Write scans as `{train,test}/{Image,GT}/phantom001_bscan01.png` and a `dataset.toml`.

    The last third of the subjects becomes the test part. `open_dataset` reads the same images
    and masks back.

    Parameters
    ----------
    scans : sequence of Scan
        As `phantom_scans` gives them.
    folder : path
        An empty or new folder.

    Raises
    ------
    OutputError
        When the folder cannot be written.
    """
    folder = Path(folder)
    subjects = list(dict.fromkeys(scan.source.subject_id for scan in scans))
    train = set(subjects[: max(len(subjects) - round(len(subjects) / 3), 1)])
    axial, lateral = scans[0].spacing_mm or (None, None)
    try:
        for scan in scans:
            split = "train" if scan.source.subject_id in train else "test"
            name = f"{scan.source.subject_id}_bscan{scan.source.bscan_index + 1:02d}.png"
            mask = np.zeros(scan.shape, np.uint8) if scan.mask is None else 255 * scan.mask
            pixels = np.round(255 * scan.image).astype(np.uint8)
            for kind, array in (("Image", pixels), ("GT", mask)):
                (folder / split / kind).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(folder / split / kind / name)
        text = f'name = "phantom"\ndevice = "phantom"\nspacing_mm = [{axial}, {lateral}]\n'
        (folder / "dataset.toml").write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"Cannot write the phantom to {folder}: {error.strerror or error}. Choose a folder "
            "with free space that you may write to."
        ) from error
