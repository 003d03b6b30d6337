"""Scores on disk are the scores that were written."""

import numpy as np
import pandas as pd
from pretended import evaluation_of

import medream as md
from medream.comparison.scored import join, read_evaluation, write_evaluation
from medream.evaluation import add_scan
from medream.metrics import Found, Tally


def test_what_was_written_is_read(tmp_path):
    scans = md.phantom_scans(4, seed=3, size=(48, 64))
    found = evaluation_of(scans, 1.0, 1)
    write_evaluation(tmp_path, found)
    again = read_evaluation(tmp_path)
    pd.testing.assert_frame_equal(
        again.pooled(["subject_id"]), found.pooled(["subject_id"]), check_dtype=False
    )
    pd.testing.assert_frame_equal(again.lesions, found.lesions, check_dtype=False)
    assert list(again.probabilities) == list(found.probabilities)
    for key, counts in found.probabilities.items():
        assert np.array_equal(again.probabilities[key], counts)


def test_pseudonyms_stay_text_and_infinities_infinite(tmp_path):
    tally = Tally()
    for subject in ("007", "NA"):
        scan = md.Scan(
            np.zeros((4, 4), np.float32), np.ones((4, 4), np.uint8), spacing_mm=(0.1, 0.1),
            source=md.Source(subject_id=subject),
        )  # fmt: skip
        add_scan(tally, scan, [Found("fluid", scan.mask > 0, np.zeros((4, 4), bool))])
    write_evaluation(tmp_path, tally.evaluation())
    scans = read_evaluation(tmp_path).scans
    assert scans.subject_id.tolist() == ["007", "NA"]
    assert np.isinf(scans.hd95_mm).all()
    assert scans.precision.isna().all()
    assert read_evaluation(tmp_path).volumes.empty


def test_folds_join_to_all_subjects():
    scans = md.phantom_scans(8, seed=3, size=(48, 64))
    both = join([evaluation_of(scans[:4], 1.0, 0), evaluation_of(scans[4:], 1.0, 0)])
    whole = evaluation_of(scans, 1.0, 0)
    pd.testing.assert_frame_equal(both.pooled(), whole.pooled())
