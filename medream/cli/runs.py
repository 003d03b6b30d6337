"""medream demo, rerun."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

import typer

from medream.cli import app
from medream.cli.adapt import run_adapt
from medream.cli.compare import run_compare, run_compare_fold
from medream.cli.convert import run_convert
from medream.cli.data import run_phantom, run_show
from medream.cli.dreaming import run_dream
from medream.cli.evaluate import run_evaluate
from medream.cli.evidence import run_curves, run_evidence
from medream.cli.export import run_export
from medream.cli.options import Out, Quiet, Seed, begin, done, load_tensorflow
from medream.cli.segment import run_segment
from medream.cli.train import run_train


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("out/demo"),
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Run the main job on synthetic scans: train three U-Nets, compare them, dream, write a report.

    Example: medream demo --out out/demo
    """
    begin(quiet)
    load_tensorflow()
    done(run_demo({"seed": seed}, out))


def run_demo(settings: dict[str, Any], out: Path) -> Path:
    """Run `medream demo` from its record's settings."""
    from medream.demo import demo

    return demo(out, seed=settings["seed"])


RUNNERS = {
    "data convert": run_convert,
    "data phantom": run_phantom,
    "data show": run_show,
    "train": run_train,
    "compare": run_compare,
    "compare fold": run_compare_fold,
    "evaluate": run_evaluate,
    "segment": run_segment,
    "evidence": run_evidence,
    "evidence curves": run_curves,
    "export": run_export,
    "adapt": run_adapt,
    "dream": run_dream,
    "dream many": run_dream,
    "demo": run_demo,
}


@app.command()
def rerun(
    record: Annotated[Path, typer.Argument(help="The run.json of an output folder.")],
    out: Out,
    quiet: Quiet = False,
) -> None:
    """Repeat a recorded run with the same inputs and settings.

    Example: medream rerun out/dream/run.json --out out/again
    """
    from medream.errors import OutputError
    from medream.record import read_record

    begin(quiet)
    load_tensorflow()
    run = read_record(record)
    if run.command not in RUNNERS:
        raise OutputError(
            f"{record} records {run.command!r}, which cannot be repeated from the command line."
        )
    for path, digest in run.inputs.items():
        file = Path(path)
        if digest and file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            raise OutputError(
                f"{path} has changed since {record} was written; the run cannot be repeated."
            )
    settings = dict(run.settings)
    if settings.get("path") is not None:  # relative to the record when made from Python
        settings["path"] = str((record if record.is_dir() else record.parent) / settings["path"])
    done(RUNNERS[run.command](settings, out))
