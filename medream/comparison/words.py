"""What a comparison did, in words: its method, and the answers that checklists ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from medream.comparison.cohort import Cohort
from medream.comparison.plan import VALIDATION_SHARE, CompareConfig
from medream.comparison.results import Results
from medream.figures.tables import in_words
from medream.record import RunRecord
from medream.statistics import RESAMPLES, enough_subjects


def method(config: CompareConfig, results: Results, cohort: Cohort) -> str:
    """Return the method as paragraphs that the authors can shorten."""
    return "\n\n".join([_design(config, cohort), _training(config), _statistics(results)])


def _design(config: CompareConfig, cohort: Cohort) -> str:
    loads = cohort.loads
    lesions = sum(load > 0 for load in loads.values())
    dealing = (
        "each subject was left out once"
        if config.folds is None
        else f"subjects were dealt into {config.folds} folds, stratified by presence and load of lesions"
    )
    times = "once" if config.seeds == 1 else f"{_times(config.seeds)}, with other random seeds"
    return (
        f"U-Nets with {depths(config)} levels (poolings) were compared on {len(cohort.sources)} B-scans of "
        f"{len(loads)} subjects ({lesions} with lesions) of {_data(cohort)}. The unit of every split, mean, "
        f"interval and test is the subject: {dealing}, the same for all depths. Each depth was trained on "
        f"each fold {times}. In each fold about {100 * VALIDATION_SHARE:.0f} % of the other subjects were "
        "held out of training; they chose epoch and threshold by Dice. The fold's test subjects were "
        "scored after that, once. A data set's own division into training and test was not used."
    )


def _training(config: CompareConfig) -> str:
    train = config.train
    ensembles = (
        " The ensemble of the seeds averages their probabilities for held-out subjects and uses the mean "
        "of their thresholds."
    )
    return (
        f"Networks were trained for at most {train.epochs} epochs (stopped after {train.patience} without a "
        f"better validation Dice) with {train.optimizer}, a learning rate of {train.learning_rate:g}, "
        f"batches of {train.batch_size} patches of {train.image_size[0]} x {train.image_size[1]} pixels and "
        f"the loss {train.loss}. Scans were never resized; pixels that are not valid counted nowhere."
        + (ensembles if config.seeds > 1 else "")
    )


def _statistics(results: Results) -> str:
    tests = len(results.single) * (len(results.single) - 1) // 2 * len(results.classes)
    tested = (
        "Depths were compared on the same subjects by exact two-sided Wilcoxon signed-rank tests (zeros by "
        f"Pratt, ties by mean ranks) with Holm's correction for {tests} comparison{'s' * (tests > 1)}, the "
        "matched-pairs rank-biserial correlation and the Hodges-Lehmann estimate. No test is made with "
        f"fewer than {enough_subjects(max(tests, 1))} subjects, with which none could be significant."
    )
    return (
        "The main score is the Dice of a subject: the pixels of its B-scans pooled, averaged over the "
        "seeds. Its mean is over the subjects with lesions; false alarms in the others are counted. "
        f"Intervals are 95 % bootstrap intervals ({RESAMPLES} resamples of subjects with all of their "
        "B-scans; bias-corrected and "
        "accelerated where that is defined, percentile otherwise). " + (tested if tests else "")
    )


def facts(
    config: CompareConfig, results: Results, cohort: Cohort, record: RunRecord, pooled: pd.DataFrame
) -> dict[str, str]:
    """Return what a run knows of the items of checklists."""
    return {
        **_facts_of_data(config, results, cohort),
        **_facts_of_training(config, results, record),
        **_facts_of_results(config, results, pooled),
    }


def _facts_of_data(config: CompareConfig, results: Results, cohort: Cohort) -> dict[str, str]:
    scans, loads = len(cohort.sources), cohort.loads
    first = results.folds[0]
    dealing = (
        "Leave one subject out" if config.folds is None else f"{config.folds} stratified folds"
    )
    return {
        "aim": f"Comparison of U-Nets with {depths(config)} levels.",
        "data": f"{scans} B-scans of {len(loads)} subjects of {_data(cohort)}. SHA-256 of the files: "
        "run.json.",
        "preprocessing": "Intensities in [0, 1] by the full range of the file's type, standardised by mean "
        "and SD of the training subjects in the network's first layer. No resizing. Pixels that are not "
        "valid are left out.",
        "subset": "The subjects in folds.json; who was left out before is for the authors.",
        "pseudonyms": "Subjects appear by the ids in folds.json; names, dates and numbers in headers of "
        "files are not carried into outputs.",
        "missing": "B-scans without a reference are refused. Scores that are undefined are left out of "
        "means, and counted.",
        "acquisition": _acquisition(cohort),
        "partitions": f"{dealing} (folds.json); in {first.name} {len(first.training)} subjects train, "
        f"{len(first.validation)} choose epoch and threshold, {len(first.test)} test.",
        "disjoint": "Subject.",
        "sample": f"{len(loads)} subjects were at hand; no sample size was worked out by the program.",
        "included": f"{len(loads)} subjects, {sum(v > 0 for v in loads.values())} of them with lesions; "
        f"{scans} B-scans, {int((cohort.packed.table['lesion'] > 0).sum())} with lesions. The program "
        "excluded none.",
        "external": "None: all subjects are of the data that the networks were developed on.",
        "outcome": f"Pixels of {_and(results.classes)} in the reference masks.",
        "predictors": "The pixels of one B-scan.",
    }


def _facts_of_training(
    config: CompareConfig, results: Results, record: RunRecord
) -> dict[str, str]:
    train, last = config.train, config.train.seed + config.seeds - 1
    several = config.seeds > 1
    sensitivity = "Score against the size of the lesion"
    return {
        "method": "Deep learning (U-Nets, supervised segmentation).",
        "model": f"U-Nets with {depths(config)} levels; other settings: {in_words(dict(config.unet))}. All "
        "layers are in the model folders.",
        "software": f"{in_words(record.versions).replace('; ', ', ').replace(': ', ' ')}.",
        "initialisation": "He normal, no pre-trained weights; random seed"
        + (f"s {train.seed} to {last}." if several else f" {train.seed}."),
        "training": f"{in_words(asdict(train))}.",
        "selection": "Epoch and threshold with the best Dice on the fold's validation subjects.",
        "ensembles": f"Mean probability of {config.seeds} seeds, beside the single networks."
        if several
        else "None.",
        "measures": "Dice, IoU, precision, recall, distances, detection of lesions and of B-scans with "
        "lesions, calibration; per B-scan, subject and pooled.",
        "statistics": "95 % bootstrap intervals over subjects; exact Wilcoxon signed-rank tests with "
        "Holm's correction.",
        "robustness": f"{sensitivity}; spread over {config.seeds} seeds."
        if several
        else f"{sensitivity}.",
        "internal": "Cross-validation: each subject was scored by networks that never saw it.",
        "predictions": "Probability of each pixel; lesion from the threshold on that the validation "
        "subjects chose.",
        "output": "Probability of each pixel, and a mask.",
        "imbalance": f"Of the patches from B-scans with lesions, {100 * train.lesion_patches:g} % are "
        "centred on a lesion.",
        "updating": "Not done.",
        "details": "run.json and the model folders hold every setting; 'medream rerun' repeats the run.",
        "availability": "medream is open source (Apache-2.0); networks and data are for the authors.",
    }


def _facts_of_results(
    config: CompareConfig, results: Results, pooled: pd.DataFrame
) -> dict[str, str]:
    named = {network.name: network.label for network in results.networks}
    dice = pooled[pooled.score == "mean_subject_dice"].to_dict("records")
    missed = pooled[pooled.score == "total_missed"].to_dict("records")
    return {
        "performance": "Mean Dice of the subjects: "
        + "; ".join(
            f"{named[row['network']]} ({row['class']}) {row['estimate']:.3f} [{row['low']:.3f}, "
            f"{row['high']:.3f}]"
            for row in dice
        )
        + ". Other scores: tables/pooled.csv.",
        "detection": "Detection of B-scans with lesions: tables/subjects.csv, tables/folds.csv.",
        "failures": "B-scans with lesions of which nothing was found (mean of the seeds): "
        + "; ".join(
            f"{named[row['network']]} ({row['class']}) {row['estimate']:.3g}" for row in missed
        )
        + ".",
        "limits": "In part: the report's 'What may not be concluded'.",
    }


def _acquisition(cohort: Cohort) -> str:
    devices = sorted({s.device for s in cohort.sources if s.device})
    depth, width = cohort.usual_shape
    spacings = {tuple(s) for s in cohort.packed.table["spacing_mm"].tolist()}
    known = sorted(s for s in spacings if s[0] == s[0])
    sizes = ", ".join(f"{axial:.4g} x {lateral:.4g} mm" for axial, lateral in known[:3])
    more = f" and {len(known) - 3} other sizes" if len(known) > 3 else ""
    return (
        f"Devices: {', '.join(devices) or 'not named'}. Most B-scans have {depth} x {width} pixels; axial x "
        f"lateral size of a pixel: {sizes + more if known else 'unknown'}. The protocol is for the authors."
    )


def datasets(cohort: Cohort) -> list[str]:
    """Return the names of the data sets that the scans are of."""
    return sorted({source.dataset for source in cohort.sources})


def depths(config: CompareConfig) -> str:
    """Return the levels in words: "2, 3 and 4"."""
    return _and([str(levels) for levels in sorted(config.levels)])


def _data(cohort: Cohort) -> str:
    names = datasets(cohort)
    return f"the data set{'s' * (len(names) > 1)} {_and(names)}"


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[:-1] else list(words))


def _times(count: int) -> str:
    return {2: "twice", 3: "three times"}.get(count, f"{count} times")
