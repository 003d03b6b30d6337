"""medream data: look at scans, check data sets, make phantoms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from medream.cli import app
from medream.cli.options import Json, Out, Quiet, Seed, begin, done

group = typer.Typer(no_args_is_help=True)
app.add_typer(group, name="data", help="Look at scans, check data sets, make synthetic ones.")


@group.command()
def show(path: Annotated[Path, typer.Argument(help="A scan, a volume or a data set.")]) -> None:
    """Print what is found at PATH: subjects, B-scans, sizes, masks, spacing.

    Example: medream data show scan.png
    """
    from rich.console import Console
    from rich.table import Table

    from medream.adapters import open_dataset
    from medream.readers import read_scans

    scans = open_dataset(path) if path.is_dir() else read_scans(path)
    names = ("subject", "volume", "B-scans", "size", "spacing (mm)", "eye", "device", "classes", "masks")
    table = Table(*names, title=str(path))
    for row in _volumes(scans):
        table.add_row(*row)
    Console().print(table)


def _volumes(scans: Any) -> list[list[str]]:
    volumes: dict[tuple[str, str], list[Any]] = {}
    for scan in scans:
        volumes.setdefault((scan.source.subject_id, scan.source.volume_id), []).append(scan)
    rows = []
    for (subject, volume), members in volumes.items():
        sizes = sorted({f"{s.shape[0]} x {s.shape[1]}" for s in members})
        spacings = sorted({"unknown" if s.spacing_mm is None else "{:.4g} x {:.4g}".format(*s.spacing_mm)
                           for s in members})
        first = members[0]
        rows.append([
            subject, volume, str(len(members)), ", ".join(sizes), ", ".join(spacings),
            first.source.laterality or "unknown", first.source.device or "unknown",
            ", ".join(first.classes), str(sum(s.mask is not None for s in members)),
        ])  # fmt: skip
    return rows


@group.command()
def check(
    path: Annotated[Path, typer.Argument(help="The data set's folder.")], as_json: Json = False
) -> None:
    """List every problem of a data set at once; exit code 1 when one of them is an error.

    Example: medream data check my_scans
    """
    import json
    from dataclasses import asdict

    from medream.adapters import check_dataset, open_dataset

    problems = check_dataset(path)
    errors = sum(problem.severity == "error" for problem in problems)
    if as_json:
        typer.echo(json.dumps([asdict(p) for p in problems], indent=2, default=str))
    else:
        for problem in problems:
            typer.echo(str(problem))
        if not errors:
            dataset = open_dataset(path)
            typer.echo(
                f"{path}: adapter {dataset.adapter}, {len(dataset)} B-scans of "
                f"{len({s.subject_id for s in dataset.sources})} subjects."
            )
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
