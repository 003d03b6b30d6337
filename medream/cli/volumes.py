"""Volumes in commands: B-scans that belong together, their file names, masks of whole volumes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any


def by_volume(scans: Iterable[Any]) -> dict[tuple[str, str], list[Any]]:
    """Return the scans of each (subject, volume), in their order."""
    found: dict[tuple[str, str], list[Any]] = {}
    for scan in scans:
        found.setdefault((scan.source.subject_id, scan.source.volume_id), []).append(scan)
    return found


def file_name(source: Any, taken: set[str]) -> str:
    """Return a file name made of pseudonyms that is not `taken` yet, and take it."""
    parts = [source.subject_id] + [source.volume_id] * (source.volume_id != source.subject_id)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", "_".join(parts)).strip(".-_") or "volume"
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name)
    return name


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


def save_masks(folder: Path, path: str, format: str, results: list[tuple[Any, Any]]) -> None:
    """Write what was found in each volume, as "nifti" or "dicom-seg".

    Parameters
    ----------
    folder : Path
    path : str
        What was segmented; its header tells the distance of the B-scans.
    format : {"nifti", "dicom-seg"}
    results : list of (Scan, Segmentation)
    """
    from medream.readers import read_headers
    from medream.writers import write_masks
    from medream.writers.dicom_seg import write_dicom_seg

    found = {id(scan): one for scan, one in results}
    distances = {(h.subject_id, h.volume_id): h.bscan_spacing_mm for h in read_headers(path)}
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
