"""medream data: look at scans, check data sets, make phantoms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from medream.cli import app
from medream.cli.options import Json, Out, Quiet, Seed, absolute, begin, done
from medream.cli.tables import print_table

group = typer.Typer(no_args_is_help=True)
app.add_typer(group, name="data", help="Look at scans, check data sets, make synthetic ones.")


_SHOWN = 24  # pictures on a contact sheet

Axes = Annotated[
    str | None,
    typer.Option(
        help="What the axes of a NIfTI, MetaImage or NRRD file are, x first, such as depth,width,bscan.",
        show_default="found out",
    ),
]


def split_names(axes: str | None) -> list[str] | None:
    """Return the names in an option of --axes."""
    return None if axes is None else [name.strip() for name in axes.split(",")]


@group.command()
def show(
    path: Annotated[Path, typer.Argument(help="A scan, a volume, a folder of them or a data set.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write a contact sheet into.")
    ] = None,
    axes: Axes = None,
) -> None:
    """Print what is found at PATH: format, device, eye, spacing, B-scans, size; of a data set its masks.

    Of a folder all that can be read in it and in the folders below is listed, and what cannot be read.

    Example: medream data show scan.png
    """
    if out is not None:
        done(run_show({"path": absolute(path), "axes": split_names(axes)}, out))
        return
    _print_table(path, split_names(axes))


def run_show(settings: dict[str, Any], out: Path) -> Path:
    """Run `medream data show --out` from its record's settings."""
    from medream.figures.contact_sheet import contact_sheet
    from medream.files import result_folder
    from medream.record import RunRecord

    path = Path(settings["path"])
    record = RunRecord("data show", settings)
    with result_folder(out, "data show") as folder:
        scans = _some(path, settings.get("axes"))
        contact_sheet(scans).save(folder / "contact_sheet.png")
        _print_table(path, settings.get("axes"))
        record.write(folder, shown=len(scans))
    return out


def _some(path: Path, axes: list[str] | None) -> list[Any]:
    """Read the scans of a contact sheet, evenly spread over all there are."""
    import warnings

    from medream.cli.volumes import dataset_at, is_dataset
    from medream.errors import ScanError
    from medream.readers import list_headers, read_scans

    if is_dataset(path):
        dataset, _ = dataset_at(path, skip_bad=True)
        return [dataset[k] for k in _spread(len(dataset), _SHOWN)]
    headers, broken = list_headers(path, axes=axes)
    scans, errors = [], []
    for place in dict.fromkeys(header.path or str(path) for header in headers):
        bscans = sum(header.bscans for header in headers if (header.path or str(path)) == place)
        try:
            chosen = _spread(bscans, max(_SHOWN // len(headers), 1))
            scans += read_scans(place, only=chosen, axes=axes)
        except ScanError as problem:
            errors.append(problem)
    if not scans:
        raise (errors + broken)[0]
    for error in errors:  # the broken ones are told with the table
        warnings.warn(str(error), stacklevel=2)
    return scans


def _spread(count: int, most: int) -> list[int]:
    if count <= most:
        return list(range(count))
    return [round((k + 0.5) * count / most - 0.5) for k in range(most)]


def _print_table(path: Path, axes: list[str] | None) -> None:
    import warnings

    from medream.cli.volumes import dataset_at, is_dataset
    from medream.errors import ScanError
    from medream.readers import list_below, list_headers

    columns, rows = _HEADER_COLUMNS, None
    if is_dataset(path):
        dataset, errors = dataset_at(path, skip_bad=True)
        headers, _ = list_below(path, axes=axes)
        kinds = {header.format for header in headers}
        if (
            dataset.adapter == "folder"
            and "picture" in kinds
            and len(kinds - {"picture folder"}) > 1
        ):
            errors = []  # pictures and volumes: all of them are shown, as they are
        else:
            try:
                columns, rows = _VOLUME_COLUMNS, _volumes(dataset)
                _warn_of_spacings(dataset.sources, dataset.spacings_mm)
            except ScanError as problem:  # a mask, perhaps: the scans can still be shown
                errors = [*errors, problem]
    if rows is None:
        headers, own = (list_below if path.is_dir() else list_headers)(path, axes=axes)
        if not headers:
            raise own[0]
        errors = own + (errors if columns is _HEADER_COLUMNS and is_dataset(path) else [])
        rows = [_row(header) for header in headers]
        for header in headers:
            if header.note:
                warnings.warn(f"{header.path} is {header.note}.", stacklevel=2)
        _warn_of_spacings(headers, [header.spacing_mm for header in headers])
    for message in dict.fromkeys(map(str, errors)):
        warnings.warn(message, stacklevel=2)
    print_table(columns, rows, str(path))


def _warn_of_spacings(origins: Sequence[Any], spacings: Sequence[Any]) -> None:
    import warnings

    from medream.adapters.check import absurd

    found = {spacing: origin for origin, spacing in zip(origins, spacings, strict=True)}
    for spacing, origin in found.items():
        if spacing is not None and absurd(spacing):
            warnings.warn(
                f"{origin.path}: a spacing of {spacing[0]:g} x {spacing[1]:g} mm is none of OCT (about 0.002 "
                "to 0.03). It may be in micrometres, or of another kind of image.",
                stacklevel=3,
            )


_HEADER_COLUMNS = [
    "format",
    "device",
    "eye",
    "B-scans",
    "size",
    "spacing (mm)",
    "subject",
    "volume",
    "masks",
]
_VOLUME_COLUMNS = [
    "subject",
    "volume",
    "B-scans",
    "size",
    "spacing (mm)",
    "eye",
    "device",
    "classes",
    "masks",
]


def _row(header: Any) -> list[str]:
    spacing = "unknown"
    if header.spacing_mm is not None:
        spacing = "{:.4g} x {:.4g}".format(*header.spacing_mm)
        if header.bscan_spacing_mm is not None:
            spacing += f", B-scans {header.bscan_spacing_mm:.4g} apart"
    return [
        header.format, header.device or "unknown", header.laterality or "unknown", str(header.bscans),
        "{} x {}".format(*header.size), spacing, header.subject_id, header.volume_id,
        "yes" if header.masks else "no",
    ]  # fmt: skip


def _volumes(scans: Any) -> list[list[str]]:
    volumes: dict[tuple[str, str], list[Any]] = {}
    for scan in scans:
        volumes.setdefault((scan.source.subject_id, scan.source.volume_id), []).append(scan)
    rows = []
    for (subject, volume), members in volumes.items():
        sizes = sorted({f"{s.shape[0]} x {s.shape[1]}" for s in members})
        spacings = sorted(
            {
                "unknown" if s.spacing_mm is None else "{:.4g} x {:.4g}".format(*s.spacing_mm)
                for s in members
            }
        )
        first = members[0]
        rows.append([
            subject, volume, str(len(members)), ", ".join(sizes), ", ".join(spacings),
            first.source.laterality or "unknown", first.source.device or "unknown",
            ", ".join(first.classes), str(sum(s.mask is not None for s in members)),
        ])  # fmt: skip
    return rows


@group.command()
def check(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH|NAME", help="The data set's folder, or a name of 'data list'."
        ),
    ],
    root: Annotated[
        Path | None,
        typer.Option("--root", help="Folder of the download to compare with the card of NAME."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List every problem of a data set at once; exit code 1 when one of them is an error.

    Every B-scan and mask is read, of pictures as of volumes: what cannot be read, masks that are missing or do
    not fit, the same picture twice, people on both sides of a split, spacing that is none of OCT.

    Example: medream data check my_scans, or medream data check retouch --root downloads/RETOUCH
    """
    import json
    import warnings
    from dataclasses import asdict

    from medream.adapters import check_dataset, open_dataset
    from medream.adapters.cards import cards
    from medream.cli.datasets import check_card
    from medream.split import LeakWarning

    by_name = root is not None or (path in cards() and not Path(path).exists())
    problems, summary = check_card(path, root) if by_name else (check_dataset(path), "")
    errors = sum(problem.severity == "error" for problem in problems)
    if as_json:
        typer.echo(json.dumps([asdict(p) for p in problems], indent=2, default=str))
    else:
        for problem in problems:
            typer.echo(str(problem))
        if not errors and not by_name:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", LeakWarning)  # is among the problems
                dataset = open_dataset(path)
            summary = (
                f"{path}: adapter {dataset.adapter}, {len(dataset)} B-scans of "
                f"{len({s.subject_id for s in dataset.sources})} subjects."
            )
        if summary:
            typer.echo(summary)
        typer.echo(f"{errors} errors, {len(problems) - errors} warnings and notes.")
    raise typer.Exit(1 if errors else 0)


@group.command()
def phantom(
    out: Out,
    n: Annotated[int, typer.Option("--n", min=1, help="Number of B-scans.")] = 48,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Write a synthetic data set of B-scans with exact fluid masks.

    Example: medream data phantom --n 48 --out phantom
    """
    begin(quiet)
    done(run_phantom({"n": n, "seed": seed}, out))


def run_phantom(settings: dict[str, Any], out: Path) -> Path:
    """Run `medream data phantom` from its record's settings."""
    from medream.files import result_folder
    from medream.phantom import phantom_scans, save_phantom
    from medream.record import RunRecord

    record = RunRecord("data phantom", settings, seed=settings["seed"])
    with result_folder(out, "data phantom") as folder:
        save_phantom(phantom_scans(settings["n"], seed=settings["seed"]), folder)
        record.write(folder)
    return out
