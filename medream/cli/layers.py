"""medream layers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from medream.cli import app
from medream.cli.options import Json, ModelRef, done, load_tensorflow
from medream.cli.tables import print_table


@app.command()
def layers(
    model: ModelRef,
    diagram: Annotated[
        Path | None,
        typer.Option("--diagram", help="Draw the network to this SVG, PDF or PNG file."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List a network's layers: shape, parameters, stride and theoretical receptive field.

    Example: medream layers runs/mine/unet3 --diagram unet3.svg
    """
    import json
    from dataclasses import asdict

    load_tensorflow()
    from medream.dream import describe_layers
    from medream.store import info_of, load_model

    network = load_model(model)
    rows = describe_layers(network)
    spacing = info_of(network).spacing_mm
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        _print_layers(rows, spacing, network)
    if diagram is not None:
        from medream.figures import network_diagram, save_figure

        save_figure(network_diagram(rows), diagram)
        if not as_json:
            done(diagram)


def _print_layers(rows: list[Any], spacing: tuple[float, float] | None, network: Any) -> None:
    columns = ["layer", "kind", "shape", "parameters", "stride", "field (px)"]
    print_table(
        [*columns, *(["field (µm)"] if spacing else [])],
        [_layer_cells(row, spacing) for row in rows],
        network.name,
    )
    typer.echo(
        f"{network.count_params():,} parameters. Fields are depth x width, theoretical maxima."
    )


def _layer_cells(row: Any, spacing: tuple[float, float] | None) -> list[str]:
    field = row.receptive_field
    cells = [
        row.name,
        row.kind,
        " x ".join("?" if side is None else str(side) for side in row.output_shape),
        f"{row.parameters:,}",
        "" if row.stride is None else f"{row.stride[0]:g}",
        "whole image" if field is None else "{} x {}".format(*field),
    ]
    if spacing and field is None:
        cells.append("")
    elif spacing:
        cells.append(" x ".join(f"{f * s * 1000:.0f}" for f, s in zip(field, spacing, strict=True)))
    return cells
