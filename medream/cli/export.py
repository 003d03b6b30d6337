"""medream export."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from medream.cli import app
from medream.cli.options import Json, ModelRef, Quiet, absolute, begin, done, load_tensorflow


@app.command()
def export(
    model: ModelRef,
    out: Annotated[Path, typer.Option("--out", help="File to write; a folder for saved_model.")],
    format: Annotated[
        Literal["onnx", "saved_model", "litert"], typer.Option(help="What to write.")
    ] = "onnx",
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(
            help="Depth and width of the images. Default any; litert and bilinear networks: 256 256."
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a network as ONNX, SavedModel or LiteRT, and compare its output with Keras' at once.

    Images in [0, 1] go in, as everywhere; what normalises them is part of the network. The record is
    beside the file: OUT.run.json.

    Example: medream export runs/mine/unet3 --format onnx --out unet3.onnx
    """
    begin(quiet)
    load_tensorflow()
    from medream.record import read_record

    settings = {
        "model": absolute(model), "format": format, "size": None if size is None else list(size),
    }  # fmt: skip
    run_export(settings, out)
    parity = read_record(_record_of(out)).results["parity"]
    if as_json:
        typer.echo(json.dumps(parity))
        return
    tried = " and ".join(f"{depth} x {width}" for depth, width in parity["shapes"])
    which = "images of any size" if parity["any_size"] else "images of this size only"
    typer.echo(
        f"Largest difference from Keras' output: {parity['largest']:.2g}, on {tried} pixels; "
        f"the file takes {which}."
    )
    done(out)


def _record_of(out: Path) -> Path:
    from medream.files import RUN_FILE

    return out if out.is_dir() else out.with_name(f"{out.name}.{RUN_FILE}")


def run_export(settings: dict[str, Any], out: Path) -> Path:
    """Run `medream export` from its record's settings."""
    from medream.export import export_model
    from medream.record import RunRecord
    from medream.store import load_model

    size = settings.get("size")
    record = RunRecord("export", settings)
    parity = export_model(
        load_model(settings["model"]), settings["format"], out, tuple(size) if size else None
    )
    record.write(_record_of(Path(out)), parity=asdict(parity))
    return Path(out)
