"""Scores of a prediction against a reference mask, with every empty-mask case decided.

=================  ==================================================================================
reference, found   what is scored
=================  ==================================================================================
both hold some     everything
only reference     missed: Dice, IoU, recall, surface Dice and F1 of lesions 0; distances infinite;
                   precision undefined (NaN)
only prediction    false alarm: the same with precision 0 and recall undefined
neither            correct negative: undefined (NaN) but for specificity and accuracy, and left out of means
=================  ==================================================================================

Missed lesions and false alarms are counted, and never make a mean better. Infinite distances are left out
of the means of distances, so that these are to be read beside the two counts.

`score` and `summarize` take masks and tables; `Tally` gathers the B-scans of a data set.
"""

from medream.metrics.counts import COUNTS, OVERLAPS, confusion, overlap
from medream.metrics.detection import detection_auc, detection_scores
from medream.metrics.intervals import pooled_intervals
from medream.metrics.lesions import by_size, lesion_scores, match_lesions
from medream.metrics.pooling import summarize
from medream.metrics.probabilities import (
    average_precision,
    best_threshold,
    calibration_curve,
    count_probabilities,
    expected_calibration_error,
    precision_recall_curve,
)
from medream.metrics.scoring import score
from medream.metrics.stack import Found
from medream.metrics.surfaces import TOLERANCE_MM, hd95, surface_distances, surface_scores
from medream.metrics.tables import Evaluation
from medream.metrics.tally import Tally
from medream.metrics.volumes import measure_volumes, score_volume

__all__ = [
    "COUNTS",
    "OVERLAPS",
    "TOLERANCE_MM",
    "Evaluation",
    "Found",
    "Tally",
    "average_precision",
    "best_threshold",
    "by_size",
    "calibration_curve",
    "confusion",
    "count_probabilities",
    "detection_auc",
    "detection_scores",
    "expected_calibration_error",
    "hd95",
    "lesion_scores",
    "match_lesions",
    "measure_volumes",
    "overlap",
    "pooled_intervals",
    "precision_recall_curve",
    "score",
    "score_volume",
    "summarize",
    "surface_distances",
    "surface_scores",
]
