"""The main job on synthetic scans: data, three U-Nets, their scores, their dreams, a report."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from medream import figures
from medream.adapters import open_dataset
from medream.dream import DreamConfig, DreamResult, describe_layers, dream
from medream.evaluation import evaluate
from medream.files import atomic_file, claim_folder
from medream.metrics import summarize
from medream.phantom import phantom_scans, save_phantom
from medream.progress import say
from medream.record import RunRecord, read_record
from medream.scan import Scan, Source
from medream.segmentation import segment
from medream.store import load_model
from medream.training import TrainConfig, train
from medream.unet import UNetConfig

LEVELS = (2, 3, 4)
LAYER = "dec1_conv2"
SCANS = 60
SIZE = (128, 192)
BASE_FILTERS = 8
EPOCHS = 24
OCTAVE_STEPS = 25

NOT_SHOWN = (
    "What this does not show: the scans are synthetic, the networks small and briefly trained, the test "
    "subjects few. A dream is what raises a layer's mean activation from this scan with this method; it is "
    "no explanation of a single prediction, and where it resembles its control it shows the method rather "
    "than what the network learned. Research use, not for diagnosis."
)


def demo(out: str | Path = "out/demo", seed: int = 0) -> Path:
    """Run the demo and return the path of its report.

    Parameters
    ----------
    out : path
        Receives `report.html`, `metrics.csv`, the figures as PDF and PNG, the data set, the model folders
        `unet2`, `unet3`, `unet4`, their dreams, and `run.json`. An earlier demo there is replaced.
    seed : int

    Returns
    -------
    Path of `report.html`

    Examples
    --------
    >>> demo("out/demo")  # doctest: +SKIP
    """
    out = Path(out)
    record = RunRecord("demo", {"seed": seed}, seed=seed)
    claim_folder(out, "demo")
    record.write(out)

    say(f"demo: making {SCANS} synthetic B-scans")
    data = out / "data"
    data.mkdir()
    save_phantom(phantom_scans(SCANS, seed=seed, size=SIZE), data)
    scans, validation, test = (
        list(open_dataset(data, split=s)) for s in ("train", "validation", "test")
    )
    scan = max(test, key=lambda s: int(s.mask.sum()))  # type: ignore[union-attr]

    scores, rows, results = {}, [], {}
    for levels in LEVELS:
        folder = train(
            scans,
            UNetConfig(levels=levels, base_filters=BASE_FILTERS),
            TrainConfig(epochs=EPOCHS, image_size=(128, 128), seed=seed),
            out / f"unet{levels}",
            validation=validation,
        )
        model = load_model(folder)
        scores[levels] = evaluate(model, test)
        result = _dream(model, scan, seed)
        result.save(out / "dreams" / folder.name)
        rows.append(_row(levels, scan, result))
        results[levels] = result
    triptychs = _triptychs(results)
    for suffix in ("pdf", "png"):
        for levels, drawn in triptychs.items():
            figures.save_figure(drawn, out / f"triptych_unet{levels}.{suffix}")
        figures.save_figure(figures.comparison(rows), out / f"comparison.{suffix}")

    table = pd.concat([s.assign(levels=n) for n, s in scores.items()], ignore_index=True)
    table = table[["levels", *table.columns.drop("levels")]]
    with atomic_file(out / "metrics.csv") as temporary:
        table.to_csv(temporary, index=False)
    report = _report(out, rows, results, triptychs, table, scan.source)
    record.write(out, dice={n: float(summarize(s).dice.iloc[0]) for n, s in scores.items()})
    return report


def _dream(model: Any, scan: Scan, seed: int) -> DreamResult:
    result = dream(model, scan, LAYER, config=DreamConfig(octave_steps=OCTAVE_STEPS, seed=seed))
    pictures = {"original": result.original, "dream": result.dream, "enhanced": result.enhanced}
    predictions = {
        name: segment(model, replace(scan, image=picture)).mask
        for name, picture in pictures.items()
        if picture is not None
    }
    return replace(result, reference=scan.mask, predictions=predictions)


def _triptychs(results: dict[int, DreamResult]) -> dict[int, figures.PaperFigure]:
    """Draw the triptychs with one colour scale of the difference."""
    limit = figures.difference_limit(results.values())
    return {
        levels: figures.triptych(result, difference=True, control=True, limit=limit)
        for levels, result in results.items()
    }


def _row(levels: int, scan: Scan, result: DreamResult) -> figures.ComparisonRow:
    return figures.ComparisonRow(
        label=f"{levels} levels",
        image=scan.image,
        reference=scan.mask,
        prediction=result.predictions["original"],
        dream=result.dream,
        enhanced=result.enhanced,
        control=result.control,
        spacing_mm=scan.spacing_mm,
    )


def _report(
    out: Path,
    rows: list[figures.ComparisonRow],
    results: dict[int, DreamResult],
    triptychs: dict[int, figures.PaperFigure],
    table: pd.DataFrame,
    source: Source,
) -> Path:
    name = source.picture or source.name
    depths = pd.DataFrame([_depth(out, levels) for levels in LEVELS])
    pooled = pd.concat(
        [summarize(part).assign(levels=n) for n, part in table.groupby("levels")], ignore_index=True
    )
    subjects = pd.concat(
        [summarize(part, ["subject_id"]).assign(levels=n) for n, part in table.groupby("levels")],
        ignore_index=True,
    )
    dice = subjects.groupby("levels").dice.agg(["mean", "min", "max"]).reset_index()
    dice.columns = ["levels", "mean Dice of subjects", "lowest", "highest"]
    columns = ["levels", "scans", "lesion_scans", "missed", "false_alarms", "dice", "iou", "precision",
               "recall", "accuracy", "mean_hd95_mm"]  # fmt: skip
    report = figures.Report("medream demo: three U-Nets on synthetic OCT, and what they dream")
    report.text(
        f"U-Nets of {', '.join(map(str, LEVELS))} levels were trained on a synthetic retina whose fluid is "
        f"known exactly, scored on subjects that training never saw, and dreamt: the layer {LAYER} of each "
        f"network was excited by gradient ascent on the same held-out scan, {name}."
    )
    report.text(NOT_SHOWN)
    report.figure(
        figures.comparison(rows),
        "Rows: levels of the U-Net. Columns: scan, reference, prediction, dream (one scale), enhanced dream "
        "(octaves), and the control: the same dream on re-drawn weights.",
    )
    report.table(
        pooled[columns], "All test scans pooled. Dice beside precision and recall, never alone."
    )
    report.table(dice, "Spread over test subjects (each subject's pixels pooled).")
    report.table(
        depths, "The networks. Receptive field of the bottom: theoretical, depth by width, pixels."
    )
    for levels, result in results.items():
        report.figure(
            triptychs[levels],
            f"{levels} levels, {LAYER}, dreamt on {name}: objective {result.history[0]:.3g} to "
            f"{result.history[-1]:.3g}. The colours of the difference are on one scale for all networks. Second "
            "row: reference contour, and what the network segments in each picture. Where its prediction "
            "vanishes on a dream, exciting this layer has moved the scan away from what it calls fluid.",
        )
    report.figure(
        figures.history_figure({f"{n} levels": r.history for n, r in results.items()}),
        "Objective (mean activation of the layer) along the single-scale ascent.",
    )
    report.settings(
        {
            "data": {"scans": SCANS, "size (depth, width)": SIZE},
            "network": {"base filters": BASE_FILTERS},
            "training": read_record(out / f"unet{LEVELS[0]}").settings["train"],
            "dream": {"scan": name, **asdict(results[LEVELS[0]].config)},
            "versions": read_record(out).versions,
        }
    )
    return report.write(out / "report.html")


def _depth(out: Path, levels: int) -> dict[str, Any]:
    model, results = load_model(out / f"unet{levels}"), read_record(out / f"unet{levels}").results
    bottom = {layer.name: layer for layer in describe_layers(model)}["mid_conv2"]
    return {
        "levels": levels,
        "parameters": model.count_params(),
        "stride": 2**levels,
        "receptive field": "{} x {}".format(*bottom.receptive_field or ("all", "all")),
        "best epoch": results["best_epoch"],
        "validation Dice": results["validation_dice"],
    }
