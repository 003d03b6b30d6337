"""Volumes in commands: B-scans that belong together, their file names, masks of whole volumes."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

Distances = dict[tuple[str, str], float | None]


def scans_at(path: str | Path) -> tuple[list[Any], Distances]:
    """Return the scans of a file, a folder or a data set, and the distance of each volume's B-scans.

    Pictures are numbered within their subject and volume, also where one folder holds several.
    """
    from medream.adapters import open_dataset
    from medream.errors import ScanError
    from medream.readers import read_headers, read_scans
    from medream.split import LeakWarning

    try:
        headers = read_headers(path)
        scans = read_scans(path)
    except ScanError as error:
        if not Path(path).is_dir():
            raise
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", LeakWarning)  # nothing is split here
                return list(open_dataset(path)), {}
        except ScanError:
            raise error from None
    distances = {(h.subject_id, h.volume_id): h.bscan_spacing_mm for h in headers}
    return _numbered(scans), distances


def _numbered(scans: Iterable[Any]) -> list[Any]:
    counts: Counter[tuple[str, str]] = Counter()
    numbered = []
    for scan in scans:
        source = scan.source
        if source.picture is not None:
            volume = (source.subject_id, source.volume_id)
            scan = scan.with_source(replace(source, bscan_index=counts[volume]))
            counts[volume] += 1
        numbered.append(scan)
    return numbered


def picture_names(sources: Sequence[Any]) -> list[str]:
    """Return a file name without suffix for each scan, all different.

    A scan that is one picture keeps its name. Where several are called alike, subject and volume go
    before it; B-scans of a volume bear their pseudonyms, since the file's name may tell a person.

    Examples
    --------
    >>> from medream.scan import Source
    >>> one = Source(subject_id="subject01", path="a/subject01_bscan05.png")
    >>> two, three = (Source(subject_id=s, path=f"{s}/7.png") for s in ("P1", "P2"))
    >>> picture_names([one, two, three, Source(subject_id="P3", path="eye.vol", bscan_index=4)])
    ['subject01_bscan05', 'P1_7', 'P2_7', 'P3_bscan004']
    """
    own = [_stem(source) or source.name for source in sources]
    alike = Counter(name.casefold() for name in own)
    taken: set[str] = set()
    return [
        _untaken(
            name if alike[name.casefold()] == 1 else "_".join([*_pseudonyms(source), name]), taken
        )
        for source, name in zip(sources, own, strict=True)
    ]


def _stem(source: Any) -> str | None:
    return source.picture and source.picture.rpartition(".")[0]


def _pseudonyms(source: Any) -> list[str]:
    """Return subject and volume, where they differ and are known."""
    parts = [source.subject_id]
    return parts + [source.volume_id] * (source.volume_id not in (source.subject_id, "unknown"))


def by_volume(scans: Iterable[Any]) -> dict[tuple[str, str], list[Any]]:
    """Return the scans of each (subject, volume), in their order."""
    found: dict[tuple[str, str], list[Any]] = {}
    for scan in scans:
        found.setdefault((scan.source.subject_id, scan.source.volume_id), []).append(scan)
    return found


def file_name(source: Any, taken: set[str]) -> str:
    """Return a file name made of pseudonyms that is not `taken` yet, and take it."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", "_".join(_pseudonyms(source))).strip(".-_")
    return _untaken(stem or "volume", taken)


def _untaken(name: str, taken: set[str]) -> str:
    """Return the name, numbered when it is `taken` already, and take it; upper and lower case are alike."""
    found, number = name, 1
    while found.casefold() in taken:
        number += 1
        found = f"{name}-{number}"
    taken.add(found.casefold())
    return found


def dicom_frames(scans: Iterable[Any]) -> list[tuple[Path, int]]:
    """Return the file and the frame number of each scan, checked for a DICOM Segmentation."""
    from medream.readers.dicom import frame_numbers
    from medream.writers.dicom_seg import check_sources

    scans = list(scans)
    files = list(dict.fromkeys(Path(scan.source.path) for scan in scans))
    check_sources(files)
    numbers = {file: frame_numbers(file) for file in files}
    found = []
    for scan in scans:
        file = Path(scan.source.path)
        several = len(numbers[file]) > 1
        found.append((file, numbers[file][scan.source.bscan_index] if several else 0))
    return found


def save_masks(
    folder: Path, distances: Distances, format: str, results: list[tuple[Any, Any]]
) -> None:
    """Write what was found in each volume, as "nifti" or "dicom-seg".

    Parameters
    ----------
    folder : Path
    distances : {(subject, volume): mm between B-scans, or None}
    format : {"nifti", "dicom-seg"}
    results : list of (Scan, Segmentation)
    """
    from medream.writers import write_masks
    from medream.writers.dicom_seg import write_dicom_seg

    found = {id(scan): one for scan, one in results}
    taken: set[str] = set()
    for key, scans in by_volume(scan for scan, _ in results).items():
        name = file_name(scans[0].source, taken)
        ours = [found[id(scan)] for scan in scans]
        classes = ours[0].classes
        if format == "nifti":
            masked = [
                replace(scan, mask=one.mask, classes=classes)
                for scan, one in zip(scans, ours, strict=True)
            ]
            write_masks(masked, folder / f"{name}_mask.nii.gz", bscan_spacing_mm=distances.get(key))
            continue
        frames = dicom_frames(scans)
        # A network with several outputs gives the background first.
        likely = [p if p.ndim == 2 else p[..., 1:] for p in (one.probability for one in ours)]
        masks = [one.mask for one in ours]
        write_dicom_seg(frames, masks, classes, folder / f"{name}_masks.dcm")
        write_dicom_seg(frames, likely, classes, folder / f"{name}_probabilities.dcm")
