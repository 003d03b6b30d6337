"""medream dream, figure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from medream.cli import app
from medream.cli.models import ModelRef
from medream.cli.options import Out, Quiet, Seed, absolute, begin, done, load_tensorflow

Reference = Annotated[
    Path | None, typer.Option("--reference", help="The expert's mask of the scan.")
]


@app.command()
def dream(
    model: ModelRef,
    path: Annotated[Path, typer.Argument(help="The scan to dream on.")],
    out: Out,
    layer: Annotated[
        list[str],
        typer.Option("--layer", help="Layer to excite; repeat for several, NAME=WEIGHT to weigh."),
    ],
    bscan: Annotated[
        int | None, typer.Option(min=0, help="Which B-scan of a volume, from 0.")
    ] = None,
    steps: Annotated[int, typer.Option(min=0, help="Of the single-scale dream.")] = 100,
    step_size: Annotated[float, typer.Option(help="In the scan's intensities, 0 to 1.")] = 0.01,
    octaves: Annotated[
        str, typer.Option(help="Exponents of the enhanced dream's scales, or 'none'.")
    ] = "-2,-1,0,1",
    octave_scale: Annotated[float, typer.Option(help="Ratio of one octave to the next.")] = 1.5,
    octave_steps: Annotated[int, typer.Option(min=0, help="Steps in each octave.")] = 50,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], typer.Option(help="Of the network.")
    ] = "auto",
    control: Annotated[bool, typer.Option(help="The same dream on re-drawn weights.")] = True,
    reference: Reference = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """DeepDream on a scan: gradient ascent on the pixels for what a layer responds to.

    Example: medream dream runs/mine/unet3 scan.png --layer dec1_conv2 --out out/dream
    """
    begin(quiet)
    load_tensorflow()
    from medream.dream.objectives import as_objective

    settings = {
        "model": absolute(model),
        "path": absolute(path),
        "bscan": bscan,
        "objective": as_objective(_weights(layer)).spec,
        "dream": {
            "steps": steps, "step_size": step_size, "octaves": _octaves(octaves),
            "octave_scale": octave_scale, "octave_steps": octave_steps, "precision": precision, "seed": seed,
        },
        "control": control,
        "reference": None if reference is None else absolute(reference),
        "predictions": True,
    }  # fmt: skip
    done(run_dream(settings, out))


def _weights(layers: list[str]) -> dict[str, float]:
    weights = {}
    for text in layers:
        name, _, weight = text.partition("=")
        try:
            weights[name] = float(weight) if weight else 1.0
        except ValueError as error:
            raise typer.BadParameter(f"{text!r}: the weight after '=' must be a number.") from error
    return weights


def _octaves(text: str) -> list[int] | None:
    if text.strip().lower() == "none":
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(
            f"--octaves {text!r}: expected whole numbers such as -2,-1,0,1."
        ) from error


def run_dream(settings: dict[str, Any], out: Path) -> Path:
    """Run `medream dream` from its record's settings."""
    from dataclasses import replace

    from medream.dream import DreamConfig, dream
    from medream.dream.objectives import objective_from_spec
    from medream.errors import ModelError
    from medream.files import sha256_of
    from medream.readers import read_labels
    from medream.record import RunRecord, input_hashes
    from medream.segmentation import is_segmentation, segment
    from medream.store import load_model

    if settings["model"] is None:
        raise ModelError("This dream was made of a model in memory, which no file can bring back.")
    scan = choose_bscan(settings["path"], settings["bscan"])
    reference = scan.mask
    if settings["reference"] is not None:
        reference = _same_size(read_labels(settings["reference"]), scan, settings)
    model = load_model(settings["model"])
    config = DreamConfig.from_json(settings["dream"])
    inputs = {settings["path"]: input_hashes([scan])[scan.source.name]}
    file = Path(settings["model"]) / "model.keras"
    if file.exists():
        inputs[str(file)] = sha256_of(file)
    record = RunRecord("dream", settings, seed=config.seed, inputs=inputs)
    check_writable(out)
    objective = objective_from_spec(settings["objective"])
    result = dream(model, scan, objective, config=config, control=settings["control"])
    predictions = {}
    if settings["predictions"] and is_segmentation(model):
        pictures = {"original": result.original, "dream": result.dream, "enhanced": result.enhanced}
        predictions = {
            name: segment(model, replace(scan, image=picture)).mask
            for name, picture in pictures.items()
            if picture is not None
        }
    replace(result, reference=reference, predictions=predictions).save(out, record)
    return Path(out)


def choose_bscan(path: str, index: int | None) -> Any:
    """Return the one B-scan of a file, the chosen one of a volume, or the original of a saved dream."""
    from medream.errors import ScanError
    from medream.readers import read_scans

    if (Path(path) / "result.json").exists():
        from medream.dream import load_result
        from medream.scan import Scan

        saved = load_result(path)
        labels = 1 if saved.reference is None else max(int(saved.reference.max()), 1)
        return Scan(
            saved.original,
            saved.reference,
            classes=tuple(f"class{k}" for k in range(1, labels + 1)),
            valid=saved.valid,
            spacing_mm=saved.spacing_mm,
        )
    scans = read_scans(path)
    if index is None and len(scans) > 1:
        raise ScanError(
            f"{path} holds {len(scans)} B-scans. Choose one with --bscan 0 to {len(scans) - 1}."
        )
    if index is not None and index >= len(scans):
        raise ScanError(f"{path} holds {len(scans)} B-scans, so --bscan is 0 to {len(scans) - 1}.")
    return scans[index or 0]


def _same_size(reference: Any, scan: Any, settings: dict[str, Any]) -> Any:
    from medream.errors import ScanError

    if reference.shape != scan.shape:
        raise ScanError(
            f"The mask {settings['reference']} has size {reference.shape}, the scan {scan.shape}; "
            "they must be the same."
        )
    return reference


def check_writable(out: Path) -> None:
    """Fail before the long work when the result could not be written after it."""
    from medream.files import result_folder

    class _Enough(Exception):
        pass

    try:
        with result_folder(out, "dream"):
            raise _Enough
    except _Enough:
        pass


@app.command()
def figure(
    result: Annotated[Path, typer.Argument(help="The folder that 'medream dream' wrote.")],
    out: Out,
    kind: Annotated[str, typer.Option(help="triptych, overlay, grid or history.")] = "triptych",
    style: Annotated[
        Literal["nature", "ieee", "elsevier", "slide"], typer.Option(help="Journal preset.")
    ] = "nature",
    difference: Annotated[
        bool, typer.Option("--difference", help="Add the signed difference.")
    ] = False,
    control: Annotated[bool, typer.Option("--control", help="Add the control.")] = False,
    limit: Annotated[
        float | None,
        typer.Option(
            help="The difference's colours run from -LIMIT to LIMIT, the same for several figures. "
            "[default: its own greatest value]"
        ),
    ] = None,
    reference: Reference = None,
) -> None:
    """Draw a figure from a saved dream: PDF, SVG, PNG or TIFF by the name of --out.

    --difference, --control and --limit are for triptych; grid is a triptych with both.

    Example: medream figure out/dream --kind triptych --out figure.pdf
    """
    from medream.dream import load_result
    from medream.errors import ConfigError
    from medream.figures import check_options, save_figure
    from medream.figures import figure as draw
    from medream.readers import read_labels

    asked = {"difference": difference, "control": control, "limit": limit, "reference": reference}
    given = [name for name, value in asked.items() if value not in (None, False)]
    if limit is not None and kind == "triptych" and not difference:
        raise typer.BadParameter("--limit is that of the difference: add --difference.")
    try:
        check_options(kind, given)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    mask = None if reference is None else read_labels(reference)
    drawn = draw(
        load_result(result),
        kind,
        reference=mask,
        style=style,
        difference=difference,
        control=control,
        limit=limit,
    )
    save_figure(drawn, out, style=style)
    done(out)
