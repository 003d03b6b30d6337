"""The tables of a comparison as papers print them: one row a network, estimates with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from medream.comparison.cost import Cost
from medream.comparison.results import Network, Results
from medream.figures import format_number
from medream.progress import duration

# Score of `tables.pooled_table`, head of the column, and whether its interval is shown.
_POOLED = (
    ("mean_subject_dice", "Mean Dice of subjects", True),
    ("pooled_dice", "Dice of pooled pixels", True),
    ("mean_subject_precision", "Precision", True),
    ("mean_subject_recall", "Recall", True),
    ("mean_subject_mean_hd95_mm", "HD95 (mm)", True),
    ("mean_subject_lesion_sensitivity", "Lesions found", True),
    ("mean_subject_average_precision", "Average precision (mean of subjects)", True),
    ("mean_subject_expected_calibration_error", "Calibration error (mean of subjects)", True),
    ("total_missed", "Missed B-scans", False),
    ("total_false_alarms", "False alarms", False),
)


def pooled(table: pd.DataFrame, results: Results, name: str) -> pd.DataFrame:
    """Return one row per network with the main scores of one class."""
    own = {
        (row["network"], row["score"]): row
        for row in table[table["class"] == name].to_dict("records")
    }
    rows = []
    for network in results.networks:
        row = {"Network": network.label}
        for score, head, interval in _POOLED:
            found = own.get((network.name, score))
            if found is None:
                continue
            if interval:
                row[head] = with_interval(found["estimate"], found["low"], found["high"])
            else:
                row[head] = f"{found['estimate']:.4g}"
        rows.append(row)
    return pd.DataFrame(rows).fillna("n/a")


def subjects(table: pd.DataFrame, results: Results, name: str) -> pd.DataFrame:
    """Return one row per subject with its Dice under each network (seeds averaged)."""
    own = table[table["class"] == name]
    first = own[own.network == results.networks[0].name].set_index("subject_id")
    found = pd.DataFrame(
        {
            "Subject": first.index, "Fold": first.fold.to_numpy(), "B-scans": first.scans.astype(int).to_numpy(),
            "with lesion": first.lesion_scans.astype(int).to_numpy(),
        }
    )  # fmt: skip
    for network in results.networks:
        dice = own[own.network == network.name].set_index("subject_id").dice
        found[network.label] = dice.reindex(first.index).to_numpy(float)
    return found


def folds(table: pd.DataFrame, results: Results, name: str) -> pd.DataFrame:
    """Return one row per fold with the Dice of its pooled test pixels, mean and SD over the seeds."""
    own = table[table["class"] == name]
    rows = []
    for fold in results.folds:
        row = {"Fold": fold.name, "Test subjects": ", ".join(fold.test)}
        for network in results.networks:
            dice = own[(own.network == network.name) & (own.fold == fold.name)].dice.astype(float)
            spread = f" (SD {dice.std():.3f})" if len(dice) > 1 else ""
            row[network.label] = format_number(float(dice.mean())) + spread
        rows.append(row)
    return pd.DataFrame(rows)


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """Return the comparisons of two depths each, deeper minus shallower."""
    found = pd.DataFrame([_difference(row) for row in table.to_dict("records")])
    empty = ["Class"] * (table["class"].nunique() < 2) + ["Note"] * (not any(found["Note"]))
    return found.drop(columns=empty)


def _difference(row: dict[Any, Any]) -> dict[str, Any]:
    return {
        "Class": row["class"],
        "Levels": f"{row['deep']} against {row['shallow']}",
        "Subjects": row["subjects"],
        "Mean difference in Dice": with_interval(row["mean_difference"], row["low"], row["high"]),
        "Hodges-Lehmann": with_interval(row["shift"], row["shift_low"], row["shift_high"]),
        "Pooled pixels": with_interval(
            row["pooled_difference"], row["pooled_low"], row["pooled_high"]
        ),
        "P": p_value(row["p_value"]),
        "P (Holm)": p_value(row["p_holm"]),
        "Rank-biserial": format_number(row["rank_biserial"]),
        "Higher, lower, equal": f"{row['higher']}, {row['lower']}, {row['equal']}",
        "Note": row["note"],
    }


def costs(found: Mapping[str, Cost], networks: list[Network]) -> pd.DataFrame:
    """Return what each depth costs."""
    rows = []
    for network in networks:
        cost = found[network.name]
        seconds = network.training_seconds
        rows.append(
            {
                "Network": network.label,
                "Parameters": f"{cost.parameters:,}",
                "GFLOPs of a B-scan": format_number(cost.flops / 1e9),
                "Receptive field (px)": "{} x {}".format(*cost.receptive_field),
                "One training": duration(sum(seconds) / len(seconds)) if seconds else "n/a",
                "Peak memory (MiB)": f"{cost.peak_mib:.0f}",
                "of it without the network": f"{cost.base_mib:.0f}",
                "on the GPU": "n/a" if cost.device_mib is None else f"{cost.device_mib:.0f}",
                "Segmenting a B-scan (ms)": format_number(1000 * cost.bscan_seconds),
            }
        )
    return pd.DataFrame(rows)


def with_interval(estimate: float, low: float, high: float) -> str:
    """Return an estimate with its interval, three digits behind the point.

    >>> with_interval(0.71234, -1e-9, 0.8), with_interval(0.5, float("nan"), float("nan"))
    ('0.712 [0.000, 0.800]', '0.500')
    """
    if not math.isfinite(estimate):
        return "n/a"
    shown = [f"{0.0 if abs(x) < 0.0005 else x:.3f}" for x in (estimate, low, high)]
    return shown[0] + (f" [{shown[1]}, {shown[2]}]" if math.isfinite(low + high) else "")


def p_value(p: float) -> str:
    """Return a p-value as papers print it; where no test was made, "no test".

    >>> [p_value(p) for p in (0.0123, 1e-9, float("nan"))]
    ['0.012', '< 0.001', 'no test']
    """
    if not math.isfinite(p):
        return "no test"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
