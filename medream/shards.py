"""Packed scans on disk: built once, opened again by the next training, read with constant memory.

They are an HDF5 file with one checksummed chunk for each B-scan. Sample number n has to be a function
of the seed and n, so any B-scan must be at hand: HDF5 reads one of 256 x 256 pixels with its checksum
in 0.05 ms where Zarr 3.1 takes 0.6 ms or more; TFRecord has no random access. The file is named by all that
goes into it and appears when it is complete.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import h5py
import numpy as np

from medream.errors import OutputError
from medream.files import atomic_file
from medream.packed import Memory, Names, Packed, fill, packed
from medream.progress import say
from medream.scan import Scan

MEMORY_SHARE = 0.25
"""Share of the machine's memory that packed scans may take before they go to disk."""
_LAYOUT = 1
_ROOM = 256  # B-scans by which a file grows
_STALE_S = 3600.0
_PARTS = ("images", "labels")


def pack(scans: Sequence[Scan], cache: str | Path | None = None) -> Packed:
    """Decode scans once, into memory or a file.

    Parameters
    ----------
    scans : sequence of Scan
        Read one by one, so that a lazy sequence is never in memory as a whole.
    cache : path
        Folder for a file of packed scans, which the next training on the same scans opens again.
        Default: memory; when that would take more than `MEMORY_SHARE` of it, the user's cache
        (`~/.cache/medream`, or below `$XDG_CACHE_HOME`).

    Returns
    -------
    Packed
        Of packed scans, these themselves.

    Raises
    ------
    OutputError
        When the file cannot be written, for example on a full disk.

    Examples
    --------
    >>> import medream as md
    >>> pack(md.phantom_scans(2, size=(48, 64))).shapes.tolist()
    [[48, 64], [48, 64]]
    """
    if isinstance(scans, Packed):
        return scans
    if cache is None and (not len(scans) or _size_of(scans) <= MEMORY_SHARE * memory_bytes()):
        memory = Memory()
        table, names, sources = fill(memory, scans)
        return Packed(table, memory, names, sources)
    folder = user_cache() if cache is None else Path(cache)
    path = folder / f"{fingerprint(scans)}.h5"
    found = _open(path, scans) if path.exists() else None
    if found is None:
        _build(path, scans)
        found = _open(path, scans)
    if found is None:
        raise OutputError(
            f"{path} cannot be read back. Name a folder on another disk with --cache-dir."
        )
    return found


def user_cache() -> Path:
    """Return the folder that packed scans go to when nobody names one."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "medream"


def memory_bytes() -> int:
    """Return the memory that this process may use: the machine's, or its control group's limit."""
    try:
        found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        found = [8 << 30]
    for file in _group_limits(Path("/proc/self/cgroup")):
        with contextlib.suppress(OSError, ValueError):  # "max" is none
            found.append(int(file.read_text()))
    return min(found)


def _group_limits(told: Path) -> Iterator[Path]:
    """Yield the files that may limit the memory of this process and of what holds it, such as a job."""
    try:
        lines = told.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds == "":
            place, name = Path("/sys/fs/cgroup"), "memory.max"
        elif "memory" in kinds.split(","):
            place, name = Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"
        else:
            continue
        group = place / path.strip("/")
        yield from (folder / name for folder in (group, *group.parents))


def fingerprint(scans: Sequence[Scan]) -> str:
    """Return a name for what packing these scans gives: a hash of all that goes into it.

    For a `Dataset` that is its files, which are not decoded; for other scans their pixels.
    """
    digest = hashlib.sha256(f"{_LAYOUT} {metadata.version('medream')}".encode())
    if hasattr(scans, "fingerprint"):
        digest.update(scans.fingerprint().encode())
    else:
        for scan in scans:
            digest.update(repr((scan.shape, scan.classes, scan.spacing_mm)).encode())
            for array in (scan.image, scan.mask, scan.valid):
                digest.update(b"-" if array is None else np.ascontiguousarray(array).data)
    return digest.hexdigest()[:32]


class _File:
    """An open HDF5 file: a group for each type and size of image, in it "images" and "labels"."""

    def __init__(self, path: Path, file: h5py.File):
        self.file: Path | None = path
        self._open = file
        self._names: list[str] = json.loads(file.attrs.get("groups", "[]"))
        self._groups = [[file[name][part] for part in _PARTS] for name in self._names]
        self._filled: list[int] = []

    def add(self, pixels: np.ndarray, labels: np.ndarray) -> tuple[int, int]:
        name = f"{pixels.dtype}_{pixels.shape[0]}x{pixels.shape[1]}"
        if name not in self._names:
            self._names.append(name)
            self._groups.append([self._room_for(name, pixels, None)])
            # Labels are nearly all zeros; speckle does not get smaller.
            self._groups[-1].append(self._room_for(name, labels, "lzf"))
            self._filled.append(0)
        group = self._names.index(name)
        row = self._filled[group]
        for stored, array in zip(self._groups[group], (pixels, labels), strict=True):
            if row == len(stored):
                stored.resize(row + _ROOM, 0)
            stored[row] = array
        self._filled[group] += 1
        return group, row

    def _room_for(self, name: str, array: np.ndarray, packing: str | None) -> h5py.Dataset:
        part = _PARTS[packing is not None]
        return self._open.create_dataset(
            f"{name}/{part}", (0, *array.shape), array.dtype, maxshape=(None, *array.shape),
            chunks=(1, *array.shape), fletcher32=True, compression=packing,
        )  # fmt: skip

    def finish(self, table: np.ndarray, names: Names) -> None:
        for group, filled in zip(self._groups, self._filled, strict=True):
            for stored in group:
                stored.resize(filled, 0)
        self._open.attrs["groups"] = json.dumps(self._names)
        self._open.attrs["classes"] = json.dumps(names)
        self._open.create_dataset("table", data=table, chunks=(len(table),), fletcher32=True)

    def read(self, entry: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        try:
            images, labels = self._groups[entry["group"]]
            return images[entry["row"]], labels[entry["row"]]
        except (OSError, ValueError, IndexError) as error:
            assert self.file is not None
            self.file.unlink(missing_ok=True)
            raise OutputError(
                f"{self.file} is damaged ({error}) and was removed. Run the same command again, with "
                "--resume: the scans are packed anew."
            ) from error


def _open(path: Path, scans: Sequence[Scan]) -> Packed | None:
    """Return the scans of a file, or None when it is damaged."""
    try:
        # Locks fail on many network disks, and a complete file is never written to.
        file = h5py.File(path, "r", locking=False)
        table = file["table"][:]
        names = [tuple(entry) for entry in json.loads(file.attrs["classes"])]
        store = _File(path, file)
    except (OSError, KeyError, ValueError) as error:  # cut short, or not by medream
        say(f"{path} is damaged ({error}); the scans are packed anew.")
        return None
    sources = getattr(scans, "sources", None)
    if sources is None:
        sources = [scan.source for scan in scans]
    return Packed(table, store, names, sources)


def _build(path: Path, scans: Sequence[Scan]) -> None:
    folder, size = path.parent, _size_of(scans)
    say(f"Packing {len(scans)} B-scans, up to {size / 1e9:.1f} GB, into {path}")
    advice = f"Name a folder on a disk with {size / 1e9:.1f} GB free with --cache-dir."
    for left in folder.glob(".partial-*.h5"):  # of killed trainings; one at work wrote recently
        if time.time() - left.stat().st_mtime > _STALE_S:
            left.unlink(missing_ok=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise OutputError(f"Cannot write {folder}: {error.strerror}. {advice}") from error
    if free < size / 2:
        raise OutputError(
            f"{folder} has {free / 1e9:.1f} GB left, too little for {len(scans)} packed B-scans. {advice}"
        )
    try:
        with atomic_file(path) as temporary, h5py.File(temporary, "w", libver="latest") as file:
            store = _File(path, file)
            table, names, _ = fill(store, scans)
            store.finish(table, names)
    except (OutputError, RuntimeError) as error:  # HDF5 meets a full disk with either
        raise OutputError(f"Packing the scans failed ({error}). {advice}") from error


def _size_of(scans: Sequence[Scan]) -> float:
    """Return the bytes that the scans take packed, judged by some of them."""
    some = [scans[int(k)].image for k in np.linspace(0, len(scans) - 1, min(len(scans), 5))]
    return float(np.mean([image.size + packed(image).nbytes for image in some])) * len(scans)
