"""medream evidence: the panel for a layer, and feature curves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from medream.cli import app
from medream.cli.options import (
    Dataset,
    Json,
    ModelRef,
    Out,
    Quiet,
    Seed,
    absolute,
    begin,
    done,
    load_tensorflow,
)


@app.command()
def evidence(
    model: ModelRef,
    dataset: Dataset,
    layer: Annotated[str, typer.Option("--layer", help="The layer whose dreams are judged.")],
    out: Out,
    split: Annotated[
        Literal["train", "validation", "test", "all"], typer.Option(help="Which subjects.")
    ] = "test",
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="At most so many scans, evenly from all subjects."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Of each dream.")] = 100,
    stages: Annotated[
        int, typer.Option(min=0, help="Stages of the cascade of re-drawn layers.")
    ] = 3,
    shuffled: Annotated[
        str | None,
        typer.Option("--shuffled", help="A model folder trained on masks that do not belong."),
    ] = None,
    retrained: Annotated[
        list[str] | None,
        typer.Option("--retrained", help="A model folder trained from another seed; repeat."),
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=19, help="Shifts of each lesion for what chance gives.")
    ] = 999,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say what dreams of a layer are evidence of: controls, localisation, response, units.

    Writes summary.md (what is shown, and not shown, in sentences), report.html, tables and figures.
    Best run on subjects that the network was not trained on.

    Example: medream evidence runs/mine/unet3 my_scans --layer dec1_conv2 --out out/evidence
    """
    begin(quiet)
    load_tensorflow()
    settings = {
        "model": absolute(model), "dataset": absolute(dataset), "layer": layer, "split": split,
        "limit": limit, "steps": steps, "stages": stages, "rounds": rounds, "seed": seed,
        "shuffled": None if shuffled is None else absolute(shuffled),
        "retrained": [absolute(each) for each in retrained or []],
    }  # fmt: skip
    run_evidence(settings, out)
    if as_json:
        from medream.record import read_record

        typer.echo(_json(read_record(out).results))
        return
    typer.echo((Path(out) / "summary.md").read_text(encoding="utf-8"))
    done(out)


def _json(value: Any) -> str:
    import json

    return json.dumps(value, indent=2)


def run_evidence(settings: dict[str, Any], out: Path) -> Path:
    """Run `medream evidence` from its record's settings."""
    from dataclasses import asdict

    from medream.adapters import open_dataset
    from medream.evidence.panel import evidence as gather
    from medream.evidence.writing import write_panel
    from medream.files import result_folder
    from medream.record import RunRecord, input_hashes
    from medream.store import load_model

    model = load_model(settings["model"])
    shuffled = None if settings["shuffled"] is None else load_model(settings["shuffled"])
    retrained = [load_model(each) for each in settings["retrained"]]
    split = None if settings["split"] == "all" else settings["split"]
    dataset = open_dataset(settings["dataset"], split=split)
    chosen = _evenly([source.subject_id for source in dataset.sources], settings["limit"])
    scans = list(dataset.only(chosen))
    record = RunRecord("evidence", settings, seed=settings["seed"], inputs=input_hashes(scans))
    with result_folder(out, "evidence") as folder:
        panel = gather(
            model, scans, settings["layer"], shuffled=shuffled, retrained=retrained,
            stages=settings["stages"], rounds=settings["rounds"], steps=settings["steps"],
            seed=settings["seed"],
        )  # fmt: skip
        write_panel(panel, folder, scans, settings)
        record.write(folder, findings=[asdict(each) for each in panel.findings])
    return Path(out)


def _evenly(subjects: list[str], limit: int | None) -> list[int]:
    """Return positions of at most so many scans, of each subject as many as there can be."""
    if limit is None or limit >= len(subjects):
        return list(range(len(subjects)))
    groups: dict[str, list[int]] = {}
    for position, subject in enumerate(subjects):
        groups.setdefault(subject, []).append(position)
    wanted = dict.fromkeys(groups, 0)
    for _ in range(limit):
        name = min((n for n in groups if wanted[n] < len(groups[n])), key=lambda n: wanted[n])
        wanted[name] += 1
    # From the middle of each volume, where the fovea and most lesions are.
    chosen = []
    for name, positions in groups.items():
        count = wanted[name]
        chosen += [positions[(2 * k + 1) * len(positions) // (2 * count)] for k in range(count)]
    return sorted(chosen)
