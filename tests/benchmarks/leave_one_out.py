"""Held-out scores of 2, 3 and 4 levels on real scans, each subject left out once.

    python tests/benchmarks/leave_one_out.py DATASET OUT [--epochs 10] [--base-filters 8]

The subject whose lesion load is the median of the remaining ones chooses the epoch. Interrupted, it goes on
at the next network. Writes scores.csv (one row per scan) and prints the table.
"""

import argparse
from pathlib import Path

import pandas as pd

import medream as md
from medream.files import RUN_FILE
from medream.progress import set_mode
from medream.split import leave_one_subject_out

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("dataset")
parser.add_argument("out", type=Path)
parser.add_argument("--levels", type=int, nargs="+", default=[2, 3, 4])
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--base-filters", type=int, default=8)
options = parser.parse_args()

set_mode("lines")
scans = list(md.open_dataset(options.dataset))
tables = []
for subject, others, test in leave_one_subject_out(scans):
    for levels in options.levels:
        folder = options.out / f"{subject}_unet{levels}"
        if not (folder / RUN_FILE).exists():
            md.train(
                others,
                md.UNetConfig(levels=levels, base_filters=options.base_filters),
                md.TrainConfig(epochs=options.epochs),
                folder,
                resume=True,
            )
        scores = md.evaluate(md.load_model(folder), test)
        tables.append(scores.assign(levels=levels))
        table = pd.concat(tables)
        table.to_csv(options.out / "scores.csv", index=False)
        row = md.summarize(scores).iloc[0]
        print(f"{subject} {levels} levels: Dice {row.dice:.3f}", flush=True)

subjects = pd.concat(
    md.summarize(part, ["subject_id"]).assign(levels=n) for n, part in table.groupby("levels")
)
columns = ["dice", "precision", "recall", "mean_scan_dice"]
print(subjects[["levels", "subject_id", *columns, "missed", "false_alarms"]].to_string(index=False))
print(
    subjects.groupby("levels")[columns]
    .agg(["mean", "min", "max"])
    .astype(float)
    .round(3)
    .to_string()
)
