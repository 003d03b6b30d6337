"""Masks in two folders, predictions and references, paired by name: anybody's, without scans or model.

A file may hold the mask of one B-scan or of a volume: PNG and other pictures (0/1, 0/255 or class ids),
NIfTI, MetaImage, NRRD, `.npy`, and `.npz` with an array `mask` (and `probability`), as `medream segment
--format npz` writes it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from medream.adapters.mask_files import NPZ
from medream.errors import ScanError
from medream.readers import masks
from medream.readers.names import RASTER_SUFFIXES, files_in, subject_in

_ROLE = r"masks?|labels?|gt|seg|segmentation|segmented|pred|predictions?|reference|ref|manual|expert|grader\d*"
# nnU-Net marks the channel of an image with _0000.
_ENDING = re.compile(rf"[_\-. ](?:{_ROLE}|0000)$", re.IGNORECASE)
_ONLY_ROLE = re.compile(_ROLE, re.IGNORECASE)
_SHOWN = 8


@dataclass(frozen=True)
class MaskFile:
    """A file of masks, and what its place says of whom it is of."""

    path: Path
    key: str
    folders: tuple[str, ...]
    root: str

    @property
    def names(self) -> tuple[str, str]:
        """Subject and volume, as readers and data sets tell them from names."""
        folders = "_".join(self.folders)
        named = subject_in(Path(*self.folders, self.key))
        if self.path.suffix.lower() in RASTER_SUFFIXES:  # a B-scan among those of its folder
            subject = named or folders or self.root
            return subject, folders or subject
        return named or self.key, self.key


def pair_masks(predictions: str | Path, references: str | Path) -> list[tuple[MaskFile, MaskFile]]:
    """Pair the files of two folders (or two single files) by name.

    Suffixes do not count, nor endings such as `_mask`, `_seg`, `_pred`, `_gt` and `_0000`; a file that is
    called by such a word alone (`TRAIN001/reference.mhd`) goes by its folder. Where names repeat in
    different folders, the folders below the two given must agree. A scan that lies beside its own
    `X_mask` is left out.

    Returns
    -------
    list of (prediction, reference)
        In natural order of the references.

    Raises
    ------
    ScanError
        Listing the files without counterpart, or those that go by one name.
    """
    predictions, references = Path(predictions), Path(references)
    if predictions.is_file() and references.is_file():
        return [
            (_mask_file(predictions, predictions.parent), _mask_file(references, references.parent))
        ]
    ours, theirs = _files(predictions), _files(references)
    for by_folder in (False, True):
        found, wanted = _by_key(ours, by_folder), _by_key(theirs, by_folder)
        alike = [group for group in (*found.values(), *wanted.values()) if len(group) > 1]
        if not alike:
            break
    if alike:
        raise ScanError(
            f"Several masks go by one name: {_listed(f'{a.path} and {b.path}' for a, b, *_ in alike)}. Give "
            "folders that hold one mask for each scan, and no scans or overlays beside them."
        )
    without = [
        f"{one.path} has no {kind}"
        for kind, own, other in (("prediction", wanted, found), ("reference", found, wanted))
        for key, (one,) in own.items()
        if key not in other
    ]
    if without:
        raise ScanError(
            f"{len(without)} of {len(found) + len(wanted)} masks have no counterpart of their name: "
            f"{_listed(without)}. Suffixes and endings such as _mask, _seg, _pred or _0000 do not count. "
            "Name them alike, or move those away that are not to be scored."
        )
    return [(found[key][0], one) for key, (one,) in wanted.items()]


def _files(folder: Path) -> list[MaskFile]:
    files = [
        file
        for file in files_in(folder, recursive=True)
        if masks.split_name(file)[1] in (*masks.SUFFIXES, NPZ)
    ]
    scans = set()
    for inside in {file.parent for file in files}:
        scans |= set(masks.masks_among(file for file in files if file.parent == inside))
    found = [_mask_file(file, folder) for file in files if file not in scans]
    if not found:
        raise ScanError(
            f"{folder} holds no masks; expected {', '.join(sorted((*masks.SUFFIXES, NPZ)))}."
        )
    return found


def _mask_file(path: Path, root: Path) -> MaskFile:
    folders = path.relative_to(root).parts[:-1]
    key = masks.split_name(path)[0]
    while (shorter := _ENDING.sub("", key)) != key:
        key = shorter
    if _ONLY_ROLE.fullmatch(key) and folders:
        *folders, key = folders  # type: ignore[assignment]
    return MaskFile(path, key, tuple(folders), root.resolve().name)


def _by_key(files: Iterable[MaskFile], by_folder: bool) -> dict[tuple[str, ...], list[MaskFile]]:
    found = defaultdict(list)
    for file in files:
        parts = (*file.folders, file.key) if by_folder else (file.key,)
        found[tuple(part.casefold() for part in parts)].append(file)
    return dict(found)


def _listed(texts: Iterable[str]) -> str:
    texts = list(texts)
    more = f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more
