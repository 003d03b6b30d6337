"""medream data convert: scans from any format that is read into one that is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from medream.cli.data import Axes, group, split_names
from medream.cli.options import Quiet, absolute, begin, done
from medream.cli.volumes import SkipBad, file_name, gathered, is_dataset, spread


@group.command()
def convert(
    path: Annotated[Path, typer.Argument(help="A scan, a volume, a folder of them or a data set.")],
    out: Annotated[
        Path, typer.Argument(help="File to write (.nii.gz, .nii, .mha, .npz), or a folder.")
    ],
    format: Annotated[
        Literal["nifti", "metaimage", "npz", "png"] | None,
        typer.Option(help="Format of the files.", show_default="by OUT's suffix, or png"),
    ] = None,
    bits: Annotated[int, typer.Option(help="8 or 16; [0, 1] becomes the full range.")] = 16,
    axes: Axes = None,
    skip_bad: SkipBad = False,
    quiet: Quiet = False,
) -> None:
    """Convert scans, keeping spacing, order, eye, masks, parts and pseudonymous subjects.

    Several volumes need a folder as OUT, in which each becomes a file or, as png, a folder; masks of nifti
    and metaimage are files called X_mask beside X. Names, numbers and dates of patients stay behind, but
    names of files other than DICOM are kept, and a folder's run.json holds the full path of PATH, which
    'medream rerun' needs. A single file carries its description inside and nothing beside it. Earlier
    outputs of this command are replaced, nothing else is.

    Example: medream data convert eye.vol eye.nii.gz
    """
    from medream.errors import ConfigError

    begin(quiet)
    try:
        _format(out, format)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from None
    settings = {
        "path": absolute(path), "format": format, "bits": bits, "axes": split_names(axes),
        "skip_bad": skip_bad,
    }  # fmt: skip
    done(run_convert(settings, out))


def run_convert(settings: dict[str, Any], out: Path) -> Path:
    """Run `medream data convert` from its record's settings."""
    from medream.errors import OutputError, ScanError
    from medream.files import result_folder
    from medream.progress import progress
    from medream.record import RunRecord
    from medream.writers import FORMATS, format_of, write_scans

    out, path = Path(out), Path(settings["path"])
    record = RunRecord("data convert", settings)
    format = _format(out, settings["format"])
    _refuse_source(path, out)
    if format_of(out):
        _refuse_foreign_file(out)
    errors: list[ScanError] = []
    volumes, count = _volumes(
        path, settings.get("axes"), bool(settings.get("skip_bad")), errors.append
    )
    if format_of(out):
        if count > 1:
            raise OutputError(
                f"{settings['path']} holds {count} volumes, which do not fit into the file "
                f"{out}. Name a folder, and the format with --format."
            )
        scans, between, split = next(volumes, ([], None, None))
        gathered(errors, path, bool(settings.get("skip_bad") and scans))
        _remove_mask(out)
        return write_scans(
            scans, out, format, bits=settings["bits"], bscan_spacing_mm=between, split=split
        )
    with result_folder(out, "data convert") as folder, progress("convert", count) as update:
        taken: set[str] = set()
        written = bscans = 0
        for scans, between, split in volumes:
            name = file_name(scans[0].source, taken)
            single_folder = format == "png" and count == 1
            file = (
                folder if single_folder else folder / (name + "".join(FORMATS[format].suffixes[:1]))
            )
            write_scans(
                scans, file, format, bits=settings["bits"], bscan_spacing_mm=between, split=split
            )
            written, bscans = written + 1, bscans + len(scans)
            update()
        left_out = gathered(errors, path, bool(settings.get("skip_bad") and written))
        record.write(folder, volumes=written, bscans=bscans, left_out=left_out)
    return out


_Volume = tuple[list[Any], float | None, str | None]  # B-scans, their distance, their part

_OTHER_SUFFIXES = (
    ".mhd", ".raw", ".nrrd", ".nhdr", ".hdr", ".img", ".dcm", ".vol", ".e2e", ".fda", ".fds", ".oct",
    ".mat", ".npy", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gz", ".zip", ".h5",
)  # fmt: skip


def _format(out: Path, format: str | None) -> str:
    """Return the format to write, or raise ConfigError where OUT's name asks for another one."""
    from medream.errors import ConfigError
    from medream.writers import FORMATS, format_of

    asked = format_of(out)
    if format is not None and asked not in (None, format):
        raise ConfigError(
            f"{out} is called as a {asked} file, but --format is {format}. Leave one out."
        )
    if asked is None and out.suffix.lower() in _OTHER_SUFFIXES and not out.is_dir():
        written = ", ".join(suffix for known in FORMATS.values() for suffix in known.suffixes)
        raise ConfigError(
            f"{out} ends in {out.suffix}, which is not written; expected {written}, or a folder without "
            "such an ending (for png a folder of pictures)."
        )
    return format or asked or "png"


def _refuse_source(path: Path, out: Path) -> None:
    """Raise when writing `out` would destroy what is read, also by way of links."""
    from medream.errors import OutputError

    if not (path.exists() and out.exists()):
        return
    source, target = path.resolve(), out.resolve()
    if path.samefile(out) or target in source.parents:
        raise OutputError(
            f"{out} is what is to be converted, or holds it; nothing is written over its source. Choose "
            "another OUT."
        )


def _refuse_foreign_file(out: Path) -> None:
    """Raise when `out` or its mask is there and was not written by medream."""
    from medream.errors import OutputError

    for file in (out, _mask_of(out)):
        if file.exists() and not _is_ours(file):
            raise OutputError(
                f"{file} is there already and is no file as 'medream data convert' writes it. Choose "
                "another name, or remove it."
            )


def _mask_of(out: Path) -> Path:
    suffix = ".nii.gz" if out.name.lower().endswith(".nii.gz") else out.suffix
    end = len(out.name) - len(suffix)
    return out.with_name(f"{out.name[:end]}_mask{out.name[end:]}")


def _is_ours(file: Path) -> bool:
    import zipfile
    import zlib

    from medream.errors import ScanError
    from medream.readers.described import describes

    try:
        return file.is_file() and describes(file)
    except (ScanError, OSError, EOFError, zlib.error, zipfile.BadZipFile):
        return False


def _remove_mask(out: Path) -> None:
    """Remove the mask of an earlier result, which would be taken for that of the new one."""
    _mask_of(out).unlink(missing_ok=True)


def _volumes(
    path: Path, axes: list[str] | None, skip_bad: bool, on_error: Callable[[Any], object]
) -> tuple[Iterator[_Volume], int]:
    """Return the volumes, one after the other, and how many there are."""
    from medream.readers import list_headers, read_volumes

    if is_dataset(path):
        return _volumes_of_dataset(path, skip_bad, on_error)
    headers, errors = list_headers(path, axes=axes)
    if errors and not (skip_bad and headers):
        gathered(errors, path, False)  # before anything is read
    between = {(h.subject_id, h.volume_id): h.bscan_spacing_mm for h in headers}
    splits = {(h.subject_id, h.volume_id): h.split for h in headers}

    def one(scans: list[Any]) -> _Volume:
        key = scans[0].source.subject_id, scans[0].source.volume_id
        return scans, between.get(key), splits.get(key)

    count = len({(h.path, h.subject_id, h.volume_id) for h in headers})
    return map(one, read_volumes(path, axes=axes, on_error=on_error)), count


def _volumes_of_dataset(
    path: Path, skip_bad: bool, on_error: Callable[[Any], object]
) -> tuple[Iterator[_Volume], int]:
    from medream.cli.volumes import dataset_at

    dataset, errors = dataset_at(path, skip_bad)
    for error in errors:
        on_error(error)
    volumes: dict[tuple[str | None, str, str], list[int]] = {}
    splits, distances = dataset.splits, dataset.bscan_spacings_mm
    for position, source in enumerate(dataset.sources):
        key = splits[position], source.subject_id, source.volume_id
        volumes.setdefault(key, []).append(position)

    def each() -> Iterator[_Volume]:
        for (split, *_), members in volumes.items():
            if scans := list(spread(dataset, members, on_error)):
                yield scans, distances[members[0]], split

    return each(), len(volumes)
