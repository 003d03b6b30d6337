"""medream evidence: the panel for a layer; medream evidence curves: what grows when a class is ascended."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

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

PANEL = "panel"
Split = Literal["train", "validation", "test", "all"]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="At most so many scans, evenly from all subjects."),
]
Look = Annotated[
    str, typer.Option("--style", help="Of the figures: nature, ieee, elsevier or slide.")
]


class _PanelFirst(TyperGroup):
    """A group whose own arguments are those of its first command, which need not be named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first = args[0] if args else "--help"
        # A slip in the name of a command is no model.
        slip = not Path(first).exists() and difflib.get_close_matches(first, self.commands)
        if first not in self.commands and first != "--help" and not slip:
            args = [PANEL, *args]
        return super().parse_args(ctx, args)


group = typer.Typer(
    cls=_PanelFirst, no_args_is_help=True, rich_markup_mode="rich",
    help="Say what dreams of a layer are evidence of. 'panel' need not be written; its options: medream evidence "
    "panel --help. Example: medream evidence runs/mine/unet3 my_scans --layer dec1_conv2 --out out/evidence",
)  # fmt: skip
app.add_typer(group, name="evidence")


@group.command(PANEL)
def evidence(
    model: ModelRef,
    dataset: Dataset,
    layer: Annotated[str, typer.Option("--layer", help="The layer whose dreams are judged.")],
    out: Out,
    split: Annotated[Split, typer.Option(help="Which subjects.")] = "test",
    limit: Limit = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            "--beside", help="Another model to show beside it, such as a deeper one; repeat."
        ),
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
    style: Look = "nature",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say what dreams of a layer are evidence of: controls, localisation, response, units.

    Writes summary.md (what is shown, and not shown, in sentences), report.html, tables, figures with
    their captions, and a paragraph for the methods section. Best run on subjects that the network was
    not trained on.

    Example: medream evidence runs/mine/unet3 my_scans --layer dec1_conv2 --out out/evidence
    """
    begin(quiet)
    load_tensorflow()
    settings = {
        "model": absolute(model), "dataset": absolute(dataset), "layer": layer, "split": split,
        "limit": limit, "steps": steps, "stages": stages, "rounds": rounds, "seed": seed,
        "style": style, "beside": [absolute(each) for each in beside or []],
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
    from dataclasses import asdict, replace

    from medream.evidence.panel import evidence as gather
    from medream.evidence.writing import write_panel
    from medream.figures.provenance import run_id
    from medream.figures.style import get_style
    from medream.files import result_folder
    from medream.record import RunRecord
    from medream.store import load_model

    get_style(settings["style"])  # refused before anything is computed
    model = load_model(settings["model"])
    beside = _beside(settings["beside"], model.name)
    shuffled = None if settings["shuffled"] is None else load_model(settings["shuffled"])
    retrained = [load_model(each) for each in settings["retrained"]]
    scans, hashes, notes = _scans(settings)
    record = RunRecord("evidence", settings, seed=settings["seed"], inputs=hashes)
    with result_folder(out, "evidence") as folder:
        panel = gather(
            model, scans, settings["layer"], beside=beside, shuffled=shuffled, retrained=retrained,
            stages=settings["stages"], rounds=settings["rounds"], steps=settings["steps"],
            seed=settings["seed"],
        )  # fmt: skip
        panel = replace(panel, notes=tuple(notes))
        write_panel(panel, folder, scans, record, settings["style"])
        record.write(
            folder, run_id=run_id(record), findings=[asdict(each) for each in panel.findings]
        )
    return Path(out)


def _scans(settings: dict[str, Any]) -> tuple[list[Any], dict[str, str], list[str]]:
    """Return the scans that a record's settings name, their hashes, and what is to be said of them."""
    from medream.adapters import open_dataset
    from medream.cli.seen import warn_of_seen
    from medream.record import input_hashes

    split = None if settings["split"] == "all" else settings["split"]
    dataset = open_dataset(settings["dataset"], split=split)
    chosen = _evenly([source.subject_id for source in dataset.sources], settings["limit"])
    chosen_ones = dataset.only(chosen)
    scans = list(chosen_ones)
    hashes = input_hashes(scans)
    notes = warn_of_seen(
        [settings["model"]], chosen_ones, hashes, "what is found need not hold for others"
    )
    return scans, hashes, notes


def _beside(refs: list[str], own: str) -> dict[str, Any]:
    """Open other networks, each under a name of its own."""
    from medream.store import load_model

    found: dict[str, Any] = {}
    for ref in refs:
        name = Path(ref).stem
        number = 2
        while name == own or name in found:
            name, number = f"{Path(ref).stem} ({number})", number + 1
        found[name] = load_model(ref)
    return found


@group.command()
def curves(
    model: ModelRef,
    dataset: Dataset,
    out: Out,
    index: Annotated[int, typer.Option("--class", min=0, help="The class to ascend.")] = 1,
    start: Annotated[
        list[str] | None,
        typer.Option(
            help="From a lesion-free region of each scan, or from noise; repeat for both."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Regions for each scan.")] = 3,
    size: Annotated[
        tuple[int, int], typer.Option(help="Depth and width of the region, in pixels.")
    ] = (24, 24),
    steps: Annotated[int, typer.Option(min=1, help="Of each ascent.")] = 60,
    every: Annotated[int, typer.Option(min=1, help="Steps between two measurements.")] = 10,
    split: Annotated[Split, typer.Option(help="Which subjects.")] = "test",
    limit: Limit = None,
    seed: Seed = 0,
    style: Look = "nature",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make the network see a lesion where there is none, and measure what grows.

    A feature that moves, and does not on re-drawn weights, is one that the network answers to. Writes
    summary.md, report.html, the curves as table and figure.

    Example: medream evidence curves runs/mine/unet3 my_scans --start scan --limit 10 --out out/curves
    """
    begin(quiet)
    load_tensorflow()
    settings = {
        "model": absolute(model), "dataset": absolute(dataset), "index": index,
        "starts": list(start or ["scan"]), "seeds": seeds, "size": list(size), "steps": steps,
        "every": every, "split": split, "limit": limit, "seed": seed, "style": style,
    }  # fmt: skip
    run_curves(settings, out)
    if as_json:
        from medream.record import read_record

        typer.echo(_json(read_record(out).results))
        return
    typer.echo((Path(out) / "summary.md").read_text(encoding="utf-8"))
    done(out)


def run_curves(settings: dict[str, Any], out: Path) -> Path:
    """Run `medream evidence curves` from its record's settings."""
    from dataclasses import replace

    from medream.evidence.growth import grow
    from medream.evidence.growth_report import write_growth
    from medream.figures.provenance import run_id
    from medream.figures.style import get_style
    from medream.files import result_folder
    from medream.record import RunRecord
    from medream.store import load_model

    get_style(settings["style"])
    model = load_model(settings["model"])
    scans, hashes, notes = _scans(settings)
    first = settings["seed"]
    record = RunRecord("evidence curves", settings, seed=first, inputs=hashes)
    with result_folder(out, "evidence curves") as folder:
        growth = grow(
            model, scans, settings["index"], settings["starts"],
            range(first, first + settings["seeds"]), tuple(settings["size"]),
            steps=settings["steps"], every=settings["every"],
        )  # fmt: skip
        growth = replace(growth, notes=tuple(notes))
        write_growth(growth, folder, scans, record, settings["style"])
        moved = growth.moved.astype(object).where(growth.moved.notna(), None)
        record.write(folder, run_id=run_id(record), movements=moved.to_dict("records"))
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
