"""medream runs list, show, best."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from medream.cli import app
from medream.cli.options import Json
from medream.cli.tables import print_table

runs_app = typer.Typer(help="Look over a folder of runs.", no_args_is_help=True)
app.add_typer(runs_app, name="runs")

Folder = Annotated[Path, typer.Argument(help="A folder with runs in it, at any depth.")]


@runs_app.command("list")
def list_runs(
    folder: Folder = Path("."),
    command: Annotated[
        str | None, typer.Option("--command", help="Only runs of this command, such as train.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the runs below a folder with what came of them.

    Example: medream runs list out --command train
    """
    from medream.runs import find_runs, numbers_of, runs_table

    runs = find_runs(folder, command)
    table = runs_table(runs, folder)
    if as_json:
        typer.echo(table.to_json(orient="records", indent=2))
        return
    rows = []
    for (_, record), row in zip(runs, table.to_dict("records"), strict=True):
        numbers = [f"{name} {value:.4g}" for name, value in list(numbers_of(record).items())[:3]]
        took = "" if record.seconds is None else f"{record.seconds:.0f} s"
        rows.append(
            [row["run"], row["command"], row["started"], took if row["finished"] else "unfinished",
             ", ".join(numbers)]
        )  # fmt: skip
    print_table(["run", "command", "started (UTC)", "took", "results"], rows, f"{len(rows)} runs")


@runs_app.command()
def show(
    run: Annotated[Path, typer.Argument(help="An output folder or its run.json.")],
    as_json: Json = False,
) -> None:
    """Show one run: its settings, what it read, what came of it, and with which versions.

    Example: medream runs show out/unet3
    """
    from medream.record import read_record

    record = read_record(run)
    value = asdict(record)
    if as_json:
        typer.echo(json.dumps(value, indent=2))
        return
    files = len(value.pop("inputs"))
    for name in ("command", "seed", "seconds", "device", "git"):
        typer.echo(f"{name}: {value[name]}")
    typer.echo(f"inputs: {files} files, with their SHA-256 in the record")
    for name in ("settings", "results", "versions"):
        typer.echo(f"{name}: {json.dumps(value[name], indent=2)}")
    typer.echo(f"again: medream rerun {run} --out FOLDER")


@runs_app.command()
def best(
    folder: Folder = Path("."),
    by: Annotated[
        str, typer.Option("--by", help="A number among the results, as 'runs list --json' has it.")
    ] = "validation_dice",
    smallest: Annotated[
        bool, typer.Option("--smallest", help="The smallest is best, as of a loss.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the folder of the run whose number is best.

    Example: medream runs best out --by validation_dice
    """
    from medream.files import RUN_FILE
    from medream.runs import best_run

    path, record, value = best_run(folder, by, smallest)
    place = path.parent if path.name == RUN_FILE else path
    if as_json:
        typer.echo(json.dumps({"run": str(place), "command": record.command, by: value}))
        return
    typer.echo(f"{by} {value:.6g} ({record.command})")
    typer.echo(str(place))
