"""Does the analysis name what a network looks for? Networks whose cue is known, because it was planted.

    python tests/benchmarks/planted_cues.py [--cues darkness size ...] [--seeds 0 1 2 3 4] [--quick]
        [--jobs 2] [--out DIR]

For every cue and seed a small U-Net is trained to tell lesions from decoys that differ from them by that
cue alone (`medream.phantom.cues`). A network counts where it tells them apart on held-out scans. Then each
way of `medream.evidence.naming` names what the network looks for, on scans of its own, without being told the
cue or what the objects were drawn with. "Two cues together" are scans in which another cue always goes
along with the planted one: the network is the same, but its decisions no longer tell the two apart.

What was trained and analysed is kept in the folder, and a second run goes on from there. The analysis was
settled on seeds 100 and 101; other seeds are for reporting and were looked at only then.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

from medream.startup import load_tensorflow

load_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import tensorflow as tf  # noqa: E402
from statsmodels.stats.proportion import proportion_confint  # noqa: E402

from medream.evidence.naming import (  # noqa: E402
    Edits,
    along_edits,
    associate,
    edit_objects,
    effects,
    name_cue,
    respond,
)
from medream.evidence.object_dreams import dream_objects  # noqa: E402
from medream.evidence.redrawn import Redrawn  # noqa: E402
from medream.phantom.cues import CUES, CueScan, cue_scans  # noqa: E402
from medream.unet import UNetConfig, build_unet  # noqa: E402

TRAINING, HELD_OUT = 700, 60  # scans
BATCH, MOST_STEPS, LAST_STEPS, RATE, ENOUGH = 8, 600, 60, 6e-3, 0.07
SCANS, DREAMS = 20, 20  # scans of the analysis, and how many of their objects are dreamt
WAYS = (
    "edits", "gradients", "dreams", "edits and dreams", "association",
    "edits, two cues together", "association, two cues together",
)  # fmt: skip
LEARNT = 0.9  # share of held-out objects told rightly from which a network counts


def network(seed: int) -> keras.Model:
    config = UNetConfig(
        levels=2, base_filters=8, dropout=0.0, decoder_norm=True, input_mean=0.4, input_std=0.2
    )
    return build_unet(config, seed)


def trained(cue: str, seed: int) -> tuple[keras.Model, dict[str, Any]]:
    """Train a network on a cue, and say how well it tells lesions from decoys on other scans."""
    scans = cue_scans(cue, TRAINING, seed)
    images, masks, weights = arrays(scans)
    model = network(seed)
    logits = keras.Model(model.input, model.get_layer("logits").output)
    optimizer = keras.optimizers.Adam(RATE)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(image: tf.Tensor, mask: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            raw = tf.nn.sigmoid_cross_entropy_with_logits(mask, logits(image, training=True))
            loss = tf.reduce_sum(weight * raw) / tf.reduce_sum(weight)
        found = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(found, model.trainable_variables, strict=True))
        return loss

    rng = np.random.default_rng(seed)
    losses: list[float] = []
    left = MOST_STEPS
    while left > 0:
        if left <= LAST_STEPS:
            optimizer.learning_rate = RATE * left / LAST_STEPS
        elif len(losses) >= 25 and np.mean(losses[-25:]) < ENOUGH:
            left = LAST_STEPS
        chosen = rng.choice(len(images), BATCH, replace=False)
        turn = slice(None, None, -1 if rng.random() < 0.5 else 1)
        batch = [tf.constant(a[chosen][:, :, turn]) for a in (images, masks, weights)]
        losses.append(float(step(*batch)))
        left -= 1
    return model, {"steps": len(losses), **discrimination(model, cue, seed)}


def arrays(scans: list[CueScan]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return images, masks and weights of the loss, in which objects count tenfold."""
    images = np.stack([each.scan.image for each in scans])[..., None]
    masks = np.stack([each.scan.mask for each in scans])[..., None].astype(np.float32)
    objects = np.stack([each.candidates > 0 for each in scans])[..., None]
    return images, masks, (1 + 9 * objects).astype(np.float32)


def discrimination(model: keras.Model, cue: str, seed: int) -> dict[str, float]:
    """Return Dice and the share of objects told rightly, on scans that it was not trained on."""
    scans = cue_scans(cue, HELD_OUT, 1_000_000 + seed)
    images, masks, _ = arrays(scans)
    said = model.predict(images, verbose=0)
    predicted = said >= 0.5
    right = [
        (said[k, each.candidates == number, 0].mean() >= 0.5) == lesion
        for k, each in enumerate(scans)
        for number, lesion in enumerate(each.lesion, start=1)
    ]
    dice = 2 * (predicted * masks).sum() / (predicted.sum() + masks.sum())
    return {"dice": float(dice), "told": float(np.mean(right))}


def load_or_train(cue: str, seed: int, folder: Path) -> tuple[keras.Model, dict[str, Any]]:
    path = folder / f"{cue}-{seed}"
    if path.with_suffix(".json").exists():
        model = network(seed)
        model.load_weights(path.with_suffix(".weights.h5"))
        return model, json.loads(path.with_suffix(".json").read_text())
    begun = time.perf_counter()
    model, found = trained(cue, seed)
    found["training_s"] = time.perf_counter() - begun
    folder.mkdir(parents=True, exist_ok=True)
    model.save_weights(path.with_suffix(".weights.h5"))
    path.with_suffix(".json").write_text(json.dumps(found))
    return model, found


def analysed(cue: str, seed: int, folder: Path) -> dict[str, Any]:
    """Train a network and let every way name what it looks for; none of them is told the cue."""
    path = folder / "analysed" / f"{cue}-{seed}.json"
    if path.exists():
        return json.loads(path.read_text())
    model, found = load_or_train(cue, seed, folder / "networks")
    begun = time.perf_counter()
    scans = cue_scans(cue, SCANS, 2_000_000 + seed)
    edits = candidates_edited(scans)
    few = replace(edits, scenes=edits.scenes[:DREAMS], subjects=edits.subjects[:DREAMS])
    gone = Redrawn(model).draw(seed)
    also = list(CUES)[(list(CUES).index(cue) + 1) % len(CUES)]
    mixed = candidates_edited(cue_scans(cue, SCANS, 3_000_000 + seed, confounded_with=also))
    dreams = dream_objects(
        model, few, control=False, steps=15, step_size=0.02, precision="float32"
    )  # fmt: skip
    tables = {
        "edits": (effects(respond(model, edits)), "effect"),
        "gradients": (effects(along_edits(model, edits)), "consistency"),
        "dreams": (effects(dreams), "consistency"),
        "association": (associate(model, edits), "effect"),
        "edits, re-drawn weights": (effects(respond(gone, edits)), "effect"),
        "edits, two cues together": (effects(respond(model, mixed)), "effect"),
        "association, two cues together": (associate(model, mixed), "effect"),
    }
    found["named"] = {way: name_cue(table, by) for way, (table, by) in tables.items()}
    found["named"]["edits and dreams"] = found["named"]["edits"] or found["named"]["dreams"]
    found["values"] = {
        way: {row.cue: round(float(getattr(row, by)), 3) for row in table.itertuples()}
        for way, (table, by) in tables.items()
    }
    found |= {"cue": cue, "seed": seed, "analysis_s": time.perf_counter() - begun}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))
    return found


def candidates_edited(scans: list[CueScan]) -> Edits:
    return edit_objects([each.scan for each in scans], [each.candidates for each in scans])


def confusion(results: list[dict[str, Any]], way: str) -> pd.DataFrame:
    """Return how often each planted cue (rows) was given each name (columns)."""
    planted = [each["cue"] for each in results]
    named = [each["named"][way] or "none" for each in results]
    names = [*CUES, *sorted(set(named) - set(CUES))]
    table = pd.crosstab(pd.Series(planted, name="planted"), pd.Series(named, name="named"))
    return table.reindex(index=[cue for cue in CUES if cue in planted], columns=names, fill_value=0)


def right(results: list[dict[str, Any]], way: str) -> str:
    """Return the share of networks whose cue was named, with Wilson's 95 % interval."""
    count, n = sum(each["named"][way] == each["cue"] for each in results), len(results)
    low, high = proportion_confint(count, n, method="wilson")
    return f"{count} of {n} ({count / n:.0%}, 95 % interval {low:.0%} to {high:.0%})"


def report(results: list[dict[str, Any]]) -> str:
    learnt = [each for each in results if each["told"] >= LEARNT]
    lines = [
        f"{len(results)} networks; {len(learnt)} tell at least {LEARNT:.0%} of held-out objects."
    ]
    for cue in CUES:
        of_cue = [each for each in results if each["cue"] == cue]
        if of_cue:
            dice, told = (
                f"{np.mean([each[k] for each in of_cue]):.2f} (least {min(each[k] for each in of_cue):.2f})"
                for k in ("dice", "told")
            )
            lines.append(f"  {cue:11} Dice {dice}, told {told}, {len(of_cue)} networks")
    lines += [
        f"Not learnt, not counted: {each['cue']}, seed {each['seed']}: told {each['told']:.2f}, "
        f"named {each['named']['edits']} by edits"
        for each in results
        if each not in learnt
    ]
    if not learnt:
        return "\n".join(lines)
    lines += ["", "Named rightly:"]
    for way in WAYS:
        lines.append(f"  {way:32} {right(learnt, way)}")
    gone = sum(each["named"]["edits, re-drawn weights"] is not None for each in learnt)
    lines.append(f"  {'edits, re-drawn weights':32} given any name: {gone} of {len(learnt)}")
    same = [each for each in learnt if each["named"]["edits"] == each["named"]["dreams"]]
    if same:
        lines.append(f"  where edits and dreams agree     {right(same, 'edits')}")
    for way in ("edits", "dreams", "gradients"):
        lines += [
            "",
            f"Planted (rows) and named (columns) by {way}:",
            confusion(learnt, way).to_string(),
        ]
    lines += ["", "Failures of the edits:"]
    wrong = [each for each in learnt if each["named"]["edits"] != each["cue"]]
    for each in wrong:
        first = sorted(each["values"]["edits"].items(), key=lambda item: -abs(item[1]))[:3]
        told = ", ".join(f"{name} {value:+.2f}" for name, value in first)
        lines.append(
            f"  {each['cue']}, seed {each['seed']}: named {each['named']['edits']} ({told})"
        )
    return "\n".join(lines if wrong else [*lines, "  none"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cues", nargs="+", choices=list(CUES), default=list(CUES))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--quick", action="store_true", help="the first seed only")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="networks at a time")
    parser.add_argument("--out", type=Path, default=Path("out/planted_cues"))
    args = parser.parse_args()
    seeds = args.seeds[:1] if args.quick else args.seeds
    wanted = [(cue, seed, args.out) for seed in seeds for cue in args.cues]
    results = []
    with ProcessPoolExecutor(args.jobs, multiprocessing.get_context("spawn")) as pool:
        for each in pool.map(analysed, *zip(*wanted, strict=True)):
            results.append(each)
            print(
                f"{each['cue']}, seed {each['seed']}: told {each['told']:.2f}, Dice {each['dice']:.2f}; "
                f"edits name {each['named']['edits']}, dreams {each['named']['dreams']} "
                f"({each['training_s']:.0f} + {each['analysis_s']:.0f} s)",
                flush=True,
            )
    text = report(results)
    (args.out / "report.txt").write_text(text + "\n")
    print(f"\n{text}\n\n{args.out / 'report.txt'}")


if __name__ == "__main__":
    main()
