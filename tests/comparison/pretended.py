"""What networks would leave behind, without their training: predictions drawn from the references."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import ndimage

from medream.comparison.results import ensemble_folder
from medream.comparison.scored import write_evaluation
from medream.evaluation import add_scan
from medream.metrics import Found, Tally
from medream.record import RunRecord


def seen(scan, blur, shift):
    """Return a probability map that resembles the reference the less, the more it is blurred and moved."""
    soft = ndimage.gaussian_filter((scan.mask > 0).astype(np.float32), blur)
    return np.clip(np.roll(soft, shift, axis=1) * 1.2, 0, 1).astype(np.float32)


def evaluation_of(scans, blur, shift):
    tally = Tally()
    for scan in scans:
        probability = seen(scan, blur, shift)
        found = [
            Found(name, scan.mask == k, (probability >= 0.5) & (scan.mask != 3 - k), probability)
            for k, name in enumerate(scan.classes, start=1)
        ]
        add_scan(tally, scan, found)
    return tally.evaluation()


def pretend(cohort, plan, seeds, out):
    """Write what trainings would leave: deeper networks blur less, other seeds move otherwise."""
    for training in plan:
        folder = out / training.folder
        test = list(cohort.of(training.fold.test))
        blur, seed = 4.0 / training.unet.levels, training.train.seed
        folder.mkdir(parents=True)
        RunRecord(
            "compare fold", {}, seed=seed, results={"training_seconds": 60.0 * training.unet.levels}
        ).write(folder)
        epochs = np.arange(1, 5 + seed)
        history = pd.DataFrame(
            {"epoch": epochs, "loss": 1 / epochs, "validation_dice": 1 - 1 / epochs}
        )
        history.to_csv(folder / "history.csv", index=False)
        write_evaluation(folder, evaluation_of(test, blur, seed))
        if seeds > 1 and seed == 0:
            together = out / ensemble_folder(training, seeds)
            together.mkdir()
            write_evaluation(together, evaluation_of(test, blur, 0))
