"""The outputs of a comparison: tables, figures, checklist, and one HTML file that holds them all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from medream import figures
from medream.comparison import readable, words
from medream.comparison.chance import near_chance
from medream.comparison.checklist import CLAIM, TRIPOD_AI, checklist_table
from medream.comparison.cohort import Cohort
from medream.comparison.conclusions import conclusions, limits
from medream.comparison.cost import Cost
from medream.comparison.differences import difference_table
from medream.comparison.drawings import draw
from medream.comparison.plan import CompareConfig
from medream.comparison.results import Results
from medream.comparison.tables import fold_table, pooled_table, subject_table
from medream.files import atomic_file, write_text
from medream.record import RunRecord

REPORT_FILE = "report.html"
COSTS = "costs"
_PREFILLED = (
    "Items that can be known from the run; the others are for the authors. Numbers are those of CLAIM 2024 "
    "(doi:10.1148/ryai.240300) and TRIPOD+AI (doi:10.1136/bmj-2023-078378), topics are in other words: "
    "compare with the originals."
)


def write_report(
    out: Path,
    config: CompareConfig,
    results: Results,
    costs: Mapping[str, Cost],
    cohort: Cohort,
    record: RunRecord,
) -> tuple[Path, dict[str, Any]]:
    """Write everything that a comparison has to say, and return the report's path and the main numbers."""
    subjects = subject_table(results)
    full = {
        "subjects": subjects,
        "folds": fold_table(results),
        "pooled": pooled_table(results, subjects),
        "differences": difference_table(results, subjects),
        "costs": pd.DataFrame([{"network": name, **vars(cost)} for name, cost in costs.items()]),
    }
    shown = _shown(full, results, costs)
    for name, table in full.items():
        _write_csv(table, out / "tables" / f"{name}.csv")
    for name, (caption, table) in shown.items():
        label = name.replace("_", "-")
        write_text(out / "tables" / f"{name}.md", f"{caption}\n\n{figures.markdown_table(table)}\n")
        write_text(
            out / "tables" / f"{name}.tex",
            figures.latex_table(table, caption, f"tab:{label}") + "\n",
        )
    drawn = draw(full, results, costs)
    for name, (_, figure) in drawn.items():
        for suffix in ("pdf", "png"):
            figures.save_figure(figure, out / "figures" / f"{name}.{suffix}")

    said = conclusions(full["differences"], near_chance(results))
    limited = limits(words.datasets(cohort), len(cohort.loads))
    facts = words.facts(config, results, cohort, record, full["pooled"])
    checklists = {
        "CLAIM 2024": checklist_table(CLAIM, facts),
        "TRIPOD+AI": checklist_table(TRIPOD_AI, facts),
    }
    write_text(out / "checklist.md", _checklist_text(checklists))

    depths = ", ".join(str(network.levels) for network in results.single)
    page = figures.Report(f"U-Nets of {depths} levels compared on held-out subjects")
    page.text("Research use, not for diagnosis.")
    page.heading("What may be concluded")
    alone = ["There is one depth only, so nothing is compared."]
    for paragraph in [*said, *([] if len(full["differences"]) else alone)]:
        page.text(paragraph)
    page.heading("What may not be concluded")
    for paragraph in limited:
        page.text(paragraph)
    page.heading("Scores")
    for name in (name for name in shown if name != COSTS):
        page.table(shown[name][1], shown[name][0])
    for name in (name for name in drawn if name != COSTS):
        page.figure(drawn[name][1], drawn[name][0])
    page.heading("Costs")
    page.table(shown[COSTS][1], shown[COSTS][0])
    page.figure(drawn[COSTS][1], drawn[COSTS][0])
    page.heading("Method")
    page.text(words.method(config, results, cohort))
    page.settings(
        {"training": vars(config.train), "network": config.unet, "versions": record.versions}
    )
    page.heading("Reporting checklists")
    page.text(_PREFILLED)
    for name, table in checklists.items():
        page.table(table, name, wrap=True)
    numbers = {
        score: _numbers(full["pooled"], score) for score in ("mean_subject_dice", "pooled_dice")
    }
    return page.write(out / REPORT_FILE), {**numbers, "conclusions": said}


def _shown(
    full: Mapping[str, pd.DataFrame], results: Results, costs: Mapping[str, Cost]
) -> dict[str, tuple[str, pd.DataFrame]]:
    """Return the tables for people with their captions."""
    found = {}
    for name in results.classes:
        end, of = (f"_{name}", f" of {name}") if len(results.classes) > 1 else ("", "")
        found[f"pooled{end}"] = (
            f"Scores{of} on held-out subjects: means of the subjects' own scores and Dice of all pixels "
            "pooled, with 95 % intervals over subjects.",
            readable.pooled(full["pooled"], results, name),
        )
    if len(full["differences"]):
        found["differences"] = (
            "Depths compared on the same subjects with lesions, the deeper minus the shallower network, with "
            "95 % intervals; exact signed-rank tests.",
            readable.differences(full["differences"]),
        )
    for name in results.classes:
        end, of = (f"_{name}", f" of {name}") if len(results.classes) > 1 else ("", "")
        found[f"subjects{end}"] = (
            f"Dice{of} of each subject (pixels of its B-scans pooled, mean of the seeds) by networks that "
            "never saw it.",
            readable.subjects(full["subjects"], results, name),
        )
        found[f"folds{end}"] = (
            f"Dice{of} of each fold's pooled test pixels, mean and standard deviation over the seeds.",
            readable.folds(full["folds"], results, name),
        )
    found[COSTS] = (
        "What each depth costs. FLOPs: multiplications and additions of the convolutions for one B-scan of "
        "the usual size. Receptive field: theoretical, of the output, depth x width. One training: mean of "
        "those that were not interrupted. Peak memory: of a fresh process that trains a few steps.",
        readable.costs(costs, results.single),
    )
    return found


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    with atomic_file(path) as temporary:
        table.to_csv(temporary, index=False)


def _checklist_text(checklists: Mapping[str, pd.DataFrame]) -> str:
    parts = [f"# Reporting checklists, prefilled\n\n{_PREFILLED}"]
    parts += [f"## {name}\n\n{figures.markdown_table(table)}" for name, table in checklists.items()]
    return "\n\n".join(parts) + "\n"


def _numbers(table: pd.DataFrame, score: str) -> dict[str, Any]:
    """Return estimate and interval by network and class, None for what is undefined."""
    found: dict[str, Any] = {}
    for row in table[table.score == score].to_dict("records"):
        values = [row["estimate"], row["low"], row["high"]]
        found.setdefault(row["network"], {})[row["class"]] = [
            round(value, 6) if math.isfinite(value) else None for value in values
        ]
    return found
