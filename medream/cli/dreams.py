"""medream dream, figure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from medream.cli import app, wanted
from medream.cli.dreaming import run_dream
from medream.cli.options import ModelRef, Quiet, Seed, absolute, begin, done, load_tensorflow
from medream.cli.wanted import refuse

Reference = Annotated[
    Path | None, typer.Option("--reference", help="The expert's mask of the scan.")
]
_WHAT, _MANY, _HOW, _ROBUST, _KEEP = (
    "What to excite", "Many at once", "How to climb", "Robustness, size, variety", "What is kept",
)  # fmt: skip


def _what(name: str, help: str, **settings: Any) -> Any:
    return typer.Option(name, help=help, rich_help_panel=_WHAT, **settings)


def _many(name: str, help: str, **settings: Any) -> Any:
    return typer.Option(name, help=help, rich_help_panel=_MANY, **settings)


def _how(name: str, help: str, **settings: Any) -> Any:
    return typer.Option(name, help=help, rich_help_panel=_HOW, **settings)


def _robust(name: str, help: str, **settings: Any) -> Any:
    return typer.Option(name, help=help, rich_help_panel=_ROBUST, **settings)


def _keep(name: str, help: str, **settings: Any) -> Any:
    return typer.Option(name, help=help, rich_help_panel=_KEEP, **settings)


@app.command()
def dream(
    context: typer.Context,
    model: ModelRef,
    path: Annotated[Path, typer.Argument(help="The scan to dream on, or a folder of scans.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    layer: Annotated[
        list[str] | None,
        _what(
            "--layer",
            "Layer to excite; repeat for several, NAME=WEIGHT to weigh. With --class: the layer of "
            "the logits, default logits.",
        ),
    ] = None,
    objective: Annotated[
        Literal["mean", "energy"] | None,
        _what("--objective", "Mean activation or mean square of it.", show_default="mean"),
    ] = None,
    channel: Annotated[int | None, _what("--channel", "One channel of the layer, from 0.")] = None,
    neuron: Annotated[
        str | None, _what("--neuron", "ROW,COLUMN of the channel on the layer's own grid.")
    ] = None,
    class_index: Annotated[
        int | None,
        _what(
            "--class",
            "Logit of a class of a segmentation network; --layer then names the layer of the logits, "
            "default logits.",
        ),
    ] = None,
    within: Annotated[
        str | None,
        _what(
            "--in",
            "Where: reference, prediction, ROW0,COL0,ROW1,COL1 or ROW,COL.",
            show_default="everywhere",
        ),
    ] = None,
    match: Annotated[
        Path | None, _what("--match", "Be like this other scan, as the layer sees it.")
    ] = None,
    match_bscan: Annotated[
        int | None, _what("--match-bscan", "Which B-scan of --match, from 0.")
    ] = None,
    against: Annotated[
        str | None,
        _what("--against", "Another model: what this one's layer sees and that one's does not."),
    ] = None,
    penalty: Annotated[
        list[str] | None,
        _what(
            "--penalty",
            "Subtracted, NAME=WEIGHT; repeat: total_variation, l1, l2, distance, high_frequencies",
        ),
    ] = None,
    region: Annotated[
        Path | None, _what("--region", "A mask of the scan's size; black pixels never change.")
    ] = None,
    bscan: Annotated[
        str | None,
        _many(
            "--bscan", "Of a volume: a number from 0, 3,5-9 or all.", show_default="the only one"
        ),
    ] = None,
    channels: Annotated[
        str | None, _many("--channels", "One dream for each channel of the layer: all, or 0,3,5-9.")
    ] = None,
    seeds: Annotated[str | None, _many("--seeds", "One dream for each seed: 0,1,2 or 0-7.")] = None,
    batch: Annotated[
        int | None,
        _many(
            "--batch",
            "Dreams climbed at once; memory grows with it.",
            min=1,
            show_default="4 where that is faster, else 1",
        ),
    ] = None,
    steps: Annotated[int, _how("--steps", "Of the single-scale dream.", min=0)] = 100,
    step_size: Annotated[float, _how("--step-size", "In the scan's intensities, 0 to 1.")] = 0.01,
    octaves: Annotated[
        str, _how("--octaves", "Exponents of the enhanced dream's scales, or none.")
    ] = "-2,-1,0,1",
    octave_scale: Annotated[
        float, _how("--octave-scale", "Ratio of one octave to the next.")
    ] = 1.5,
    octave_steps: Annotated[int, _how("--octave-steps", "Steps in each octave.", min=0)] = 50,
    gradient: Annotated[
        Literal["std", "standardize", "l2", "rms", "sign", "none"],
        _how("--gradient", "What a gradient is divided by."),
    ] = "std",
    optimizer: Annotated[
        Literal["plain", "momentum", "adam"], _how("--optimizer", "What makes steps of gradients.")
    ] = "plain",
    momentum: Annotated[float, _how("--momentum", "Of --optimizer momentum, below 1.")] = 0.9,
    schedule: Annotated[
        Literal["constant", "linear", "cosine"], _how("--schedule", "How the step size falls to 0.")
    ] = "constant",
    patience: Annotated[
        int | None,
        _how("--patience", "Stop after so many steps without a better objective.", min=1),
    ] = None,
    bounds: Annotated[
        Literal["clip", "reflect"], _how("--bounds", "What happens to intensities beyond 0 and 1.")
    ] = "clip",
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], _how("--precision", "Of the network.")
    ] = "auto",
    transform: Annotated[
        list[str] | None,
        _robust(
            "--transform",
            "At every step; repeat: jitter=8, rotate=5, scale=0.9:1.1, blur=1, noise=0.02.",
        ),
    ] = None,
    parametrization: Annotated[
        str,
        _robust(
            "--parametrization", "pixels, fourier, maco, laplacian or lowrank; fourier,decay=1.5."
        ),
    ] = "pixels",
    diversity: Annotated[
        float, _robust("--diversity", "Weight that drives dreams climbed together apart.")
    ] = 0.0,
    tile: Annotated[
        int | None,
        _robust("--tile", "Longest side given to the network at once, for large scans.", min=1),
    ] = None,
    overlap: Annotated[
        int | None,
        _robust("--overlap", "Pixels that tiles share.", min=0, show_default="receptive field"),
    ] = None,
    seed: Seed = 0,
    control: Annotated[
        bool, _keep("--control/--no-control", "The same dream on re-drawn weights.")
    ] = True,
    reference: Annotated[
        Path | None, _keep("--reference", "The expert's mask of the scan.")
    ] = None,
    every: Annotated[
        int | None, _keep("--every", "Keep the image of every so many steps, for a film.", min=1)
    ] = None,
    resume: Annotated[
        bool, _keep("--resume", "Go on where a stopped run left off, or with more --steps.")
    ] = False,
    overwrite: Annotated[
        bool, _keep("--overwrite", "Replace an earlier dream of other settings in --out.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """DeepDream on a scan: gradient ascent on the pixels for what a layer responds to.

    Of --channels, --seeds, several B-scans or a folder of scans: many dreams.

    Example: medream dream runs/mine/unet3 scan.png --layer dec1_conv2 --out out/dream

    Example: medream dream runs/mine/unet3 scan.png --layer mid_conv2 --channels all --out out/channels
    """
    given = {
        name for name in context.params
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    }  # fmt: skip
    asked = wanted.Wanted(
        layers=wanted.weights("--layer", layer or []),
        objective=objective,
        channel=channel,
        channels=None if channels is None else wanted.numbers("--channels", channels, all_=True),
        neuron=None if neuron is None else tuple(wanted.place("--neuron", neuron)),  # type: ignore[arg-type]
        class_index=class_index,
        region=None if within is None else wanted.region(within),
        match=None if match is None else absolute(match),
        match_bscan=match_bscan,
        against=None if against is None else absolute(against),
        penalties=wanted.penalties(penalty or []),
    )
    asked.check()
    drawn = None if seeds is None else wanted.numbers("--seeds", seeds)
    chosen = None if bscan is None else wanted.numbers("--bscan", bscan, all_=True)
    if bscan is not None and bscan.strip().isdecimal():
        chosen = int(bscan)  # type: ignore[assignment]
    several = channels is not None or seeds is not None or isinstance(chosen, (str, list))
    _check_together(given, several or path.is_dir(), optimizer, control, transform, parametrization)
    if every is not None and every > steps:
        refuse(
            f"--every {every} is beyond --steps {steps}, so that no step would be kept: give at most "
            f"{steps}."
            if steps
            else f"--every {every} keeps steps, and --steps is 0."
        )
    settings = {
        "model": absolute(model),
        "path": absolute(path),
        "bscan": chosen,
        "objective": None,
        "channels": asked.channels,
        "seeds": drawn,
        "batch": batch,
        "dream": _config({
            "steps": steps, "step_size": step_size, "octaves": wanted.octaves(octaves),
            "octave_scale": octave_scale, "octave_steps": octave_steps, "precision": precision, "seed": seed,
            "gradient": gradient, "optimizer": optimizer, "momentum": momentum, "schedule": schedule,
            "patience": patience, "bounds": bounds, "transforms": transform or [],
            "parametrization": wanted.parametrization(parametrization), "diversity": diversity,
            "tile": tile, "overlap": overlap, "every": every,
        }),
        "control": control,
        "reference": None if reference is None else absolute(reference),
        "region": None if region is None else absolute(region),
        "predictions": True,
    }  # fmt: skip
    begin(quiet)
    load_tensorflow()
    from medream.store import load_model

    settings["objective"] = asked.make(load_model).spec
    done(run_dream(settings, out, resume, overwrite))


def _check_together(
    given: set[str], many: bool, optimizer: str, control: bool,
    transform: list[str] | None, parametrization: str,
) -> None:  # fmt: skip
    """Refuse settings that would change nothing, or that contradict each other."""
    draws = control or bool(transform) or parametrization.startswith("lowrank")
    senseless = {
        "--channels and --seeds: dream the channels of one seed, or the seeds of one channel.":
            {"channels", "seeds"} <= given,
        "--seed beside --seeds: give every seed in one place.": {"seed", "seeds"} <= given,
        "--seeds changes nothing without a control, a transform or the parametrization lowrank.":
            "seeds" in given and not draws,
        "--momentum is of --optimizer momentum.": "momentum" in given and optimizer != "momentum",
        "--overlap is that of tiles: add --tile.": "overlap" in given and "tile" not in given,
        "--batch is how many dreams climb at once: add --channels, --seeds or --bscan all, or give a folder.":
            "batch" in given and not many,
        "--diversity drives several dreams apart: add --seeds or --channels.":
            "diversity" in given and not many,
        "--resume goes on with what --overwrite would delete: choose one of them.":
            {"resume", "overwrite"} <= given,
    }  # fmt: skip
    for message, present in senseless.items():
        if present:
            refuse(message)


def _config(settings: dict[str, Any]) -> dict[str, Any]:
    """Return a dream's settings as they are recorded, checked."""
    from medream.dream.config import DreamConfig
    from medream.errors import ConfigError

    try:
        return DreamConfig.from_json(settings).to_json()
    except ConfigError as error:
        refuse(str(error))


@app.command()
def figure(
    result: Annotated[Path, typer.Argument(help="The folder that 'medream dream' wrote.")],
    out: Annotated[Path, typer.Option("--out", help="File to write.")],
    kind: Annotated[
        str, typer.Option(help="triptych, overlay, grid, history, filmstrip, film or atlas.")
    ] = "triptych",
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
            help="The difference's colours run from -LIMIT to LIMIT, the same for several figures.",
            show_default="its own greatest value",
        ),
    ] = None,
    reference: Reference = None,
    fps: Annotated[
        float | None, typer.Option("--fps", help="Pictures a second of a film.", show_default="10")
    ] = None,
) -> None:
    r"""Draw a figure from a saved dream: PDF, SVG, PNG or TIFF by the name of --out.

    --difference, --control and --limit are for triptych; grid is a triptych with both. filmstrip and
    film show the dreams of --every; a film is .gif or .mp4 (pip install medream\[video]). atlas is of a
    folder of many dreams.

    Example: medream figure out/dream --kind triptych --out figure.pdf
    """
    from medream.dream import load_result
    from medream.errors import ConfigError
    from medream.figures import atlas, check_options, save_figure, write_animation
    from medream.figures import figure as draw
    from medream.readers import read_labels

    asked = {
        "difference": difference, "control": control, "limit": limit, "reference": reference, "fps": fps,
    }  # fmt: skip
    given = [name for name, value in asked.items() if value not in (None, False)]
    if limit is not None and kind == "triptych" and not difference:
        raise typer.BadParameter("--limit is that of the difference: add --difference.")
    try:
        check_options(kind, given)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    if kind == "film":
        if out.suffix.lower() not in (".gif", ".mp4"):
            raise typer.BadParameter(
                f"--out {out.name}: a film ends in .gif or .mp4. The ascent as one picture is --kind "
                "filmstrip."
            )
        write_animation(load_result(result), out, fps=10 if fps is None else fps, style=style)
    elif kind == "atlas":
        from medream.dream.sweep import load_results

        save_figure(atlas(load_results(result), style=style), out, style=style)
    else:
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
