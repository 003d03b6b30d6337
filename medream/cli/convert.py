"""medream data convert: scans from any format that is read into one that is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from medream.cli.data import Axes, group, split_names
from medream.cli.options import Quiet, absolute, begin, done
from medream.cli.volumes import file_name


@group.command()
def convert(
    path: Annotated[Path, typer.Argument(help="A scan, a volume, a folder of them or a data set.")],
    out: Annotated[
        Path, typer.Argument(help="File to write (.nii.gz, .nii, .mha, .npz), or a folder.")
    ],
    format: Annotated[
        Literal["nifti", "metaimage", "npz", "png"] | None,
        typer.Option(help="Format of the files. [default: by OUT's suffix, or png]"),
    ] = None,
    bits: Annotated[int, typer.Option(help="8 or 16; [0, 1] becomes the full range.")] = 16,
    axes: Axes = None,
    quiet: Quiet = False,
) -> None:
    """Convert scans, keeping spacing, order, eye, masks and pseudonymous subjects.

    Several volumes need a folder as OUT, in which each becomes a file or, as png, a folder. Names,
    numbers and dates of patients stay behind. A folder gets a run.json; a single file carries its
    description inside and nothing beside it.

    Example: medream data convert eye.vol eye.nii.gz
    """
    begin(quiet)
    settings = {"path": absolute(path), "format": format, "bits": bits, "axes": split_names(axes)}
    done(run_convert(settings, out))


def run_convert(settings: dict[str, Any], out: Path) -> Path:
    """Run `medream data convert` from its record's settings."""
    from medream.errors import OutputError
    from medream.files import result_folder
    from medream.progress import progress
    from medream.record import RunRecord
    from medream.writers import FORMATS, format_of, write_scans

    out = Path(out)
    record = RunRecord("data convert", settings)
    format = settings["format"] or format_of(out) or "png"
    volumes, count = _volumes(Path(settings["path"]), settings.get("axes"))
    if format_of(out):
        if count > 1:
            raise OutputError(
                f"{settings['path']} holds {count} volumes, which do not fit into the file "
                f"{out}. Name a folder, and the format with --format."
            )
        scans, between = next(volumes)
        return write_scans(scans, out, format, bits=settings["bits"], bscan_spacing_mm=between)
    with result_folder(out, "data convert") as folder, progress("convert", count) as update:
        taken: set[str] = set()
        bscans = 0
        for scans, between in volumes:
            name = file_name(scans[0].source, taken)
            single_folder = format == "png" and count == 1
            file = (
                folder if single_folder else folder / (name + "".join(FORMATS[format].suffixes[:1]))
            )
            write_scans(scans, file, format, bits=settings["bits"], bscan_spacing_mm=between)
            bscans += len(scans)
            update()
        record.write(folder, volumes=count, bscans=bscans)
    return out


def _volumes(
    path: Path, axes: list[str] | None
) -> tuple[Iterator[tuple[list[Any], float | None]], int]:
    """Return the B-scans of each volume with their distance, one after the other, and how many there are."""
    from medream.adapters import open_dataset
    from medream.errors import ScanError
    from medream.readers import read_headers, read_volumes

    try:
        headers = read_headers(path, axes=axes)
    except ScanError as error:
        if not path.is_dir():
            raise
        try:
            dataset = open_dataset(path)
        except ScanError:
            raise error from None
        volumes: dict[tuple[str, str], list[int]] = {}
        for position, source in enumerate(dataset.sources):
            volumes.setdefault((source.subject_id, source.volume_id), []).append(position)
        each = (([dataset[k] for k in members], None) for members in volumes.values())
        return each, len(volumes)
    between = {(h.subject_id, h.volume_id): h.bscan_spacing_mm for h in headers}

    def with_distance(scans: list[Any]) -> tuple[list[Any], float | None]:
        return scans, between.get((scans[0].source.subject_id, scans[0].source.volume_id))

    count = len({(h.path, h.subject_id, h.volume_id) for h in headers})
    return map(with_distance, read_volumes(path, axes=axes)), count
