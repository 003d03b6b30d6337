"""What a finished training says of itself: the results in `run.json`, and `card.md`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from medream.files import write_text
from medream.training.census import Census
from medream.training.config import TrainConfig
from medream.training.validation import best_epoch
from medream.unet import UNetConfig


def results_of(
    history: pd.DataFrame, training: Census, validation: Census, config: TrainConfig
) -> dict[str, Any]:
    """Return the headline numbers of a training, and what its patches were drawn from."""
    best = history.iloc[best_epoch(history.validation_dice.tolist())]
    scans = training.shares()["scans with a lesion"]
    return {
        "validation_dice": round(float(best.validation_dice), 6),
        "best_epoch": int(best.epoch),
        "epochs": len(history),
        "subjects": {
            "training": sorted(training.subjects),
            "validation": sorted(validation.subjects),
        },
        "sampling": {
            "in the scans": _rounded(training.shares()),
            "in the patches": _rounded(
                {
                    "cut from scans with a lesion": (
                        scans
                        if config.lesion_scans is None or scans in (0, 1)
                        else config.lesion_scans
                    ),
                    "patches with a lesion": float(history.lesion_patches.mean()),
                    "lesion pixels": float(history.lesion_pixels.mean()),
                }
            ),
        },
    }


def threshold_words(results: Mapping[str, Any]) -> str:
    """Say in a sentence which threshold the network uses and where it is from."""
    threshold = results["threshold"]
    if threshold["chosen_on"] is None:
        return f"{threshold['value']:g}, as it was asked for."
    return (
        f"{threshold['value']:.3f}, the one with the best Dice on the validation scans (pooled pixels): "
        f"{threshold['dice']:.3f}, against {threshold['dice_at_half']:.3f} at 0.5. No test scan had a part in it."
    )


def nothing_learned(results: Mapping[str, Any]) -> str:
    """Say so when no epoch found anything in the validation scans; otherwise nothing."""
    if results["validation_dice"] > 0:
        return ""
    return (
        "No epoch found any lesion of the validation scans (Dice 0 throughout; the last epoch was kept): the "
        "network has learned nothing that can be used. Train longer, with another learning rate, or with more "
        "patches of lesions (lesion_scans, lesion_patches)."
    )


def write_card(
    folder: Path,
    model: keras.Model,
    config: UNetConfig,
    train_config: TrainConfig,
    training: Census,
    validation: Census,
    results: Mapping[str, Any],
) -> None:
    """Write `card.md`."""
    (classes,) = training.classes
    scans, patches = results["sampling"].values()
    lines = [
        f"# {model.name}: U-Net with {_count(config.levels, 'level')}, {model.count_params():,} parameters",
        "",
        f"- Segments: {', '.join(classes)}",
        f"- Trained on: {_count(training.scans, 'B-scan')} of {_count(len(training.subjects), 'subject')} of "
        f"{', '.join(sorted(training.datasets))}",
        f"- Epoch chosen on: {_count(validation.scans, 'B-scan')} of "
        f"{_count(len(validation.subjects), 'other subject')}",
        f"- Validation Dice (pooled pixels): {results['validation_dice']:.3f} at epoch "
        f"{results['best_epoch']}",
    ]
    if nothing := nothing_learned(results):
        lines.append(f"- {nothing}")
    if validation.lacking:
        lines.append(
            f"- Without {' and '.join(validation.lacking)}, which no validation scan holds"
        )
    if "threshold" in results:
        lines.append(f"- Threshold of probability: {threshold_words(results)}")
    lines += [
        f"- The scans: {_listed(scans)}",
        f"- What training saw: {_listed(patches)}",
        f"- Loss {train_config.loss}, optimizer {train_config.optimizer}, computed in {results['precision']}",
        "- Settings: `run.json`; course of training: `history.csv`",
        "",
        "Research use, not for diagnosis. The validation Dice chose the epoch and flatters the network;",
        "`medream evaluate` on subjects that training never saw gives the number to report. Scans of other",
        "devices, diseases or pixel sizes were not tried.",
    ]
    write_text(folder / "card.md", "\n".join(lines) + "\n")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)


def _rounded(shares: Mapping[str, float]) -> dict[str, float]:
    return {name: round(share, 6) for name, share in shares.items()}


def _listed(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {100 * share:.2g} %" for name, share in shares.items())
