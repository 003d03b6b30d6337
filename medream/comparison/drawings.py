"""The figures of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from medream import figures
from medream.comparison.cost import Cost
from medream.comparison.results import Network, Results
from medream.metrics import calibration_curve, precision_recall_curve

Drawn = dict[str, tuple[str, figures.PaperFigure]]


def draw(tables: Mapping[str, pd.DataFrame], results: Results, costs: Mapping[str, Cost]) -> Drawn:
    """Return every figure by its file's name, with its caption."""
    found: Drawn = {}
    for name in results.classes:
        end, of = (f"_{name}", f" of {name}") if len(results.classes) > 1 else ("", "")
        own = _of_class(tables, results, name, of)
        found.update({key + end: value for key, value in own.items()})
    histories = {network.label: network.histories for network in results.single}
    found["learning"] = (
        "Training loss (a) and validation Dice (b). Lines: mean over folds and seeds; bands: their middle "
        "80 %. Curves end where less than half of the trainings went on. The validation Dice chose the "
        "epoch and is no result.",
        figures.learning_figure(histories),
    )
    found["costs"] = (
        "Mean Dice of the held-out subjects (95 % interval) beside what each depth costs.",
        _costs(tables["pooled"], results, costs),
    )
    return found


def _of_class(tables: Mapping[str, pd.DataFrame], results: Results, name: str, of: str) -> Drawn:
    subjects = tables["subjects"][tables["subjects"]["class"] == name]
    lesion = subjects[subjects.tp + subjects.fn > 0]
    found: Drawn = {}
    scores = {
        network.label: dict(zip(own.subject_id, own.dice, strict=True))
        for network in results.networks
        for own in [lesion[lesion.network == network.name]]
    }
    found["dice"] = (
        f"Dice{of} of each held-out subject with lesions (a point; mean of the seeds), joined over the "
        "networks. Boxes: middle half and median; whiskers: furthest score within one and a half times the "
        "box's height.",
        figures.score_figure(scores, label="Dice of the subject"),
    )
    found["precision_recall"] = (
        f"Precision and recall{of} of all held-out pixels at every threshold; single networks: mean over "
        "the seeds, whose probabilities are not of one scale. Pooled AP: average precision of these pixels, "
        "likewise; that of the table of scores is a mean over subjects. Dotted: a guess, the share of lesion "
        "pixels.",
        figures.precision_recall_figure(
            {n.label: _mean_curve([run.counts(name) for run in n.runs]) for n in results.networks},
            areas={n.label: n.average_precision(name) for n in results.networks},
            area_name="pooled AP",
            prevalence=results.lesion_share(name),
        ),
    )
    found["calibration"] = (
        f"Predicted probability{of} against the frequency of lesion, all held-out pixels. Below the "
        "diagonal a network is too sure. The larger the point, the more pixels; most are easy background. "
        "Pooled ECE: expected calibration error of these pixels; that of the table of scores is a mean over "
        "subjects.",
        figures.calibration_figure(
            {n.label: calibration_curve(n.pixels(name)) for n in results.networks},
            errors={n.label: n.calibration_error(name) for n in results.networks},
            error_name="pooled ECE",
        ),
    )
    sizes, unit = _sizes(results.single, name)
    found["lesion_size"] = (
        f"Dice{of} of each held-out B-scan with lesion (mean of the seeds) against the area of its lesions. "
        "Lines: medians of groups of equal number.",
        figures.lesion_size_figure(sizes, unit=unit),
    )
    return found


def _mean_curve(counts: Sequence[np.ndarray]) -> pd.DataFrame:
    """Return the mean precision of several runs at each recall, in the steps that average precision sums.

    Pixels of several runs put into one order by probability would be the curve of a network that nobody has.
    """
    recall = np.linspace(0.0, 1.0, 201)
    each = []
    for one in counts:
        # Of equal recalls the highest threshold counts. Thresholds above which no lesion pixel lies have
        # a recall and a precision of 0, which no part of the area belongs to.
        curve = precision_recall_curve(one).dropna().query("recall > 0")
        curve = curve.drop_duplicates("recall", keep="last").sort_values("recall")
        reached = np.searchsorted(curve.recall, recall - 1e-12)
        each.append(curve.precision.to_numpy()[reached])
    return pd.DataFrame({"recall": recall, "precision": np.mean(each, axis=0)})


def _sizes(networks: list[Network], name: str) -> tuple[dict[str, pd.DataFrame], str]:
    """Return area and score of each B-scan with lesion, in mm² where all spacings are known."""
    found, unit = {}, "mm²"
    for network in networks:
        table = pd.concat([run.evaluation.scans for run in network.runs])
        table = table[(table["class"] == name) & (table.tp + table.fn > 0)]
        if table.reference_mm2.isna().any():
            unit = "px"
        table = table.assign(pixels=table.tp + table.fn)
        keys = ["dataset", "subject_id", "volume_id", "bscan_index"]
        found[network.label] = table.groupby(keys)[["reference_mm2", "pixels", "dice"]].mean()
    column = "pixels" if unit == "px" else "reference_mm2"
    return {
        label: pd.DataFrame({"area": table[column].to_numpy(), "score": table.dice.to_numpy()})
        for label, table in found.items()
    }, unit


def _costs(
    pooled: pd.DataFrame, results: Results, costs: Mapping[str, Cost]
) -> figures.PaperFigure:
    rows = []
    score = pooled[(pooled.score == "mean_subject_dice") & (pooled["class"] == results.classes[0])]
    for network in results.single:
        cost, seconds = costs[network.name], network.training_seconds
        own = score[score.network == network.name].iloc[0]
        rows.append(
            {
                "network": network.label, "score": own.estimate, "low": own.low, "high": own.high,
                "parameters": cost.parameters, "flops": cost.flops / 1e9, "field": max(cost.receptive_field),
                "minutes": np.mean(seconds) / 60 if seconds else np.nan,
                "memory": cost.peak_mib, "milliseconds": 1000 * cost.bscan_seconds,
            }
        )  # fmt: skip
    names = {
        "parameters": "Parameters", "flops": "GFLOPs of a B-scan", "field": "Receptive field (px)",
        "minutes": "One training (min)", "memory": "Peak memory (MiB)",
        "milliseconds": "Segmenting a B-scan (ms)",
    }  # fmt: skip
    return figures.cost_figure(pd.DataFrame(rows), names)
