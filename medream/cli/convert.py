"""medream data convert: scans from any format that is read into one that is written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from medream.cli.data import group
from medream.cli.options import Quiet, absolute, begin, done
from medream.cli.volumes import by_volume, file_name


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
    quiet: Quiet = False,
) -> None:
    """Convert scans, keeping spacing, order, eye, masks and pseudonymous subjects.

    Several volumes need a folder as OUT, in which each becomes a file or, as png, a folder. Names,
    numbers and dates of patients stay behind.

    Example: medream data convert eye.vol eye.nii.gz
    """
    begin(quiet)
    settings = {"path": absolute(path), "format": format, "bits": bits}
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
    volumes = _volumes(Path(settings["path"]))
    if format_of(out):
        if len(volumes) > 1:
            raise OutputError(
                f"{settings['path']} holds {len(volumes)} volumes, which do not fit into the file "
                f"{out}. Name a folder, and the format with --format."
            )
        scans, between = volumes[0]
        return write_scans(scans, out, format, bits=settings["bits"], bscan_spacing_mm=between)
    with (
        result_folder(out, "data convert") as folder,
        progress("convert", len(volumes)) as update,
    ):
        taken: set[str] = set()
        for scans, between in volumes:
            name = file_name(scans[0].source, taken)
            single_folder = format == "png" and len(volumes) == 1
            file = (
                folder if single_folder else folder / (name + "".join(FORMATS[format].suffixes[:1]))
            )
            write_scans(scans, file, format, bits=settings["bits"], bscan_spacing_mm=between)
            update()
        record.write(folder, volumes=len(volumes), bscans=sum(len(s) for s, _ in volumes))
    return out


def _volumes(path: Path) -> list[tuple[list[Any], float | None]]:
    """Return the B-scans of each volume and their distance."""
    from medream.adapters import open_dataset
    from medream.errors import ScanError
    from medream.readers import read_headers, read_scans

    distances: dict[tuple[str, str], float | None] = {}
    try:
        for header in read_headers(path):
            distances[header.subject_id, header.volume_id] = header.bscan_spacing_mm
        scans = read_scans(path)
    except ScanError as error:
        if not path.is_dir():
            raise
        try:
            scans = list(open_dataset(path))
        except ScanError:
            raise error from None
    return [(members, distances.get(key)) for key, members in by_volume(scans).items()]
