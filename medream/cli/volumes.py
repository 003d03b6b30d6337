"""Volumes in commands: B-scans that belong together, their file names, masks of whole volumes."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

Distances = dict[tuple[str, str], float | None]


SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad",
        help="Leave out files that cannot be read, with a warning; else nothing is done when there is one.",
    ),
]


def is_dataset(path: Path) -> bool:
    """Tell a data set, of folders or with a description, from scans lying in one folder."""
    from medream.errors import ScanError
    from medream.readers import list_headers

    if not path.is_dir():
        return False
    if (path / "dataset.toml").exists() and not (path / "scans.json").exists():
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # given again where the scans are read
            list_headers(path)
    except ScanError:
        return True
    return False


def dataset_at(path: Path, skip_bad: bool) -> tuple[Any, list[Any]]:
    """Return a folder's data set without warnings of splits, and the errors of files to be left out."""
    from medream.adapters.dataset import Dataset
    from medream.adapters.opening import list_contents, open_dataset
    from medream.errors import ScanError
    from medream.readers import list_headers
    from medream.split import LeakWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeakWarning)  # nothing is split here
        try:
            contents = list_contents(path)
            if skip_bad and contents.items and contents.broken:
                return Dataset(replace(contents, broken=())), list(contents.broken)
            return open_dataset(path), []
        except ScanError as error:
            if not (path / "dataset.toml").exists():
                try:
                    list_headers(path)
                except ScanError as own:  # says more of what lies there
                    if "holds no B-scans" in str(error):
                        raise own from None
            raise


def spread(
    dataset: Any, positions: Iterable[int], on_error: Callable[[Any], object]
) -> Iterator[Any]:
    """Yield the scans of a data set at some positions; errors of the others go to `on_error`."""
    from medream.errors import ScanError

    for position in positions:
        try:
            yield dataset[position]
        except ScanError as error:
            on_error(error)


def gathered(errors: Sequence[Any], path: Path, skip_bad: bool) -> list[str]:
    """Raise one error of all files that cannot be read, or warn of them and return what was said."""
    from medream.adapters.opening import all_of
    from medream.errors import ScanError

    if errors and not skip_bad:
        error = all_of(list(errors), path)
        raise ScanError(f"{error} Leave them out with --skip-bad." if path.is_dir() else str(error))
    told = list(dict.fromkeys(str(error) for error in errors))
    for message in told:
        warnings.warn(f"Left out: {message}", stacklevel=3)
    return told


def scans_at(path: str | Path, skip_bad: bool = False) -> tuple[list[Any], Distances, list[str]]:
    """Return the scans of a file, a folder or a data set, the distance of each volume's B-scans, and
    what was said of files that are left out.

    Pictures are numbered within their subject and volume, also where one folder holds several.
    """
    from medream.readers import list_headers, read_volumes

    path = Path(path)
    errors: list[Any] = []
    if is_dataset(path):
        dataset, errors = dataset_at(path, skip_bad)
        scans = list(spread(dataset, range(len(dataset)), errors.append))
        left_out = gathered(errors, path, skip_bad and bool(scans))
        known = zip(dataset.sources, dataset.bscan_spacings_mm, strict=True)
        return scans, {(s.subject_id, s.volume_id): mm for s, mm in known}, left_out
    headers, _ = list_headers(path)
    scans = [scan for volume in read_volumes(path, on_error=errors.append) for scan in volume]
    left_out = gathered(errors, path, skip_bad and bool(scans))
    distances = {(h.subject_id, h.volume_id): h.bscan_spacing_mm for h in headers}
    return _numbered(scans), distances, left_out


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
