"""medream adapt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from medream.cli import app
from medream.cli.options import Json, ModelRef, Out, Quiet, absolute, begin, done, load_tensorflow


@app.command()
def adapt(
    model: ModelRef,
    target: Annotated[Path, typer.Argument(help="The other device's data set, with masks.")],
    out: Out,
    scans: Annotated[
        list[int] | None,
        typer.Option(
            "--scans", min=1, help="Training scans; repeat.", show_default="1, 2, 4, 8, 16"
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Draws of the scans for each number.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Updates that each training may take.")] = 300,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Of both ways.", show_default="0.0002 adapting, 0.002 from scratch"),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Patches a step.")] = 4,
    image_size: Annotated[
        tuple[int, int] | None,
        typer.Option(
            help="Depth and width of the patches.", show_default="as the model's training"
        ),
    ] = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option("--freeze", help="Layers that adapting leaves alone, such as 'enc*'; repeat."),
    ] = None,
    scratch: Annotated[
        bool, typer.Option(help="Train from scratch on the same scans as well.")
    ] = True,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Adapt a network to another device with few scans: Dice against the number of scans.

    The network goes on learning on 1, 2, 4, ... scans of the target, drawn several times, beside one
    that starts anew on the same scans and beside itself as it is; all are scored on the target's test
    subjects. As many scans again choose the epoch. The same command goes on where it was stopped.

    Example: medream adapt runs/cirrus/unet3 nidek_scans --scans 1 --scans 4 --out out/adapt
    """
    begin(quiet)
    load_tensorflow()
    settings = {
        "model": absolute(model), "target": absolute(target), "scans": scans or [1, 2, 4, 8, 16],
        "seeds": seeds, "steps": steps, "learning_rate": learning_rate, "batch_size": batch_size,
        "image_size": None if image_size is None else list(image_size), "freeze": freeze or [],
        "scratch": scratch,
    }  # fmt: skip
    try:
        run_adapt(settings, out)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"Stopped by Ctrl-C. What was trained is kept in {out}: the same command goes on from there."
        ) from None
    if as_json:
        from medream.record import read_record

        typer.echo(json.dumps(read_record(out).results, indent=2))
        return
    typer.echo((out / "summary.md").read_text(encoding="utf-8"))
    done(out)


def run_adapt(settings: dict[str, Any], out: Path) -> Path:
    """Run `medream adapt` from its record's settings."""
    from medream.adaptation import adapt, write_adaptation
    from medream.adapters import open_dataset
    from medream.cli.seen import warn_of_seen
    from medream.errors import ConfigError
    from medream.files import RUN_FILE, open_folder
    from medream.record import RunRecord, input_hashes, read_record
    from medream.store import info_of, load_model
    from medream.training import TrainConfig
    from medream.training.state import differ

    out = Path(out)
    given = {"batch_size": settings["batch_size"]}
    size = settings["image_size"] or (info_of(load_model(settings["model"])).train or {}).get(
        "image_size"
    )
    given |= {} if size is None else {"image_size": tuple(size)}
    target = open_dataset(settings["target"])
    record = RunRecord("adapt", settings)
    if (out / RUN_FILE).exists():
        begun = read_record(out)
        if begun.command == "adapt" and begun.settings != settings:
            changed = [k for k in settings if begun.settings.get(k) != settings[k]]
            if set(changed) - {"scans", "seeds"}:
                raise ConfigError(
                    f"{out} was begun with other settings ({differ(changed)}). Go on with the "
                    "same ones, or choose another folder."
                )
    open_folder(out, "adapt")
    record.write(out)
    inputs = input_hashes(target)
    notes = warn_of_seen([settings["model"]], target, inputs)
    found = adapt(
        settings["model"], target, out, numbers=settings["scans"], seeds=settings["seeds"],
        steps=settings["steps"], learning_rate=settings["learning_rate"],
        train_config=TrainConfig(**given), freeze=settings["freeze"], scratch=settings["scratch"],
    )  # fmt: skip
    write_adaptation(found, out, notes)
    curve = json.loads(found.curve.to_json(orient="records"))
    RunRecord("adapt", settings, inputs=inputs).write(out, curve=curve, notes=notes)
    return out
