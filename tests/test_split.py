"""People are split, never B-scans."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medream.errors import ConfigError
from medream.scan import Scan, Source
from medream.split import (
    LeakWarning,
    hold_out,
    leave_one_subject_out,
    split_block,
    split_subjects,
    subject_folds,
)

loads = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.integers(0, 5).map(lambda k: k * 100),
    min_size=2,
    max_size=20,
)


@given(loads, st.floats(0.05, 0.95))
def test_split_subjects_parts_people_and_lesions(by_subject, share):
    kept, held_out = split_subjects(by_subject, share)
    assert kept
    assert held_out
    assert sorted([*kept, *held_out]) == sorted(by_subject)
    assert split_subjects(by_subject, share) == (kept, held_out)
    if sum(load > 0 for load in by_subject.values()) >= 2:
        assert any(by_subject[s] for s in kept)
        assert any(by_subject[s] for s in held_out)


@given(loads)
def test_split_subjects_holds_out_about_the_share(by_subject):
    _, held_out = split_subjects(by_subject, 0.2)
    assert abs(len(held_out) - 0.2 * len(by_subject)) <= 1


def test_split_subjects_takes_the_middle():
    assert split_subjects({"a": 1, "b": 500, "c": 90, "d": 20, "e": 3}, 0.2)[1] == ["d"]
    assert split_subjects({"b": 500, "a": 1}, 0.2) == (["a"], ["b"])


def test_split_subjects_keeps_the_only_lesion_in_train():
    kept, held_out = split_subjects({"a": 0, "b": 7, "c": 0}, 0.3)
    assert "b" in kept
    assert len(held_out) == 1


@pytest.mark.parametrize(("by_subject", "share"), [({"a": 1}, 0.2), ({"a": 1, "b": 1}, 1.0)])
def test_split_subjects_refuses(by_subject, share):
    with pytest.raises(ConfigError, match="hold out"):
        split_subjects(by_subject, share)


@given(st.lists(st.integers(0, 9), min_size=2, max_size=40), st.floats(0.05, 0.95))
def test_split_block_is_a_block(bscans, share):
    block = split_block(bscans, share)
    assert 1 <= len(block) < len(bscans)
    assert block.start >= 0
    assert block.stop <= len(bscans)
    assert block.step == 1


def test_split_block_holds_its_share_of_lesion():
    assert split_block([9, 9, 9, 9, 1, 3, 0, 0, 0, 0], 0.2) == range(3, 5)
    with pytest.raises(ConfigError, match="single"):
        split_block([1], 0.2)


def test_leave_one_subject_out():
    def scan(subject, value):
        image = np.full((2, 3), value, np.float32)
        return Scan(image, source=Source(subject_id=subject))

    scans = [scan("b", 0.1), scan("a", 0.2), scan("b", 0.3)]
    folds = list(leave_one_subject_out(scans))
    assert [name for name, _, _ in folds] == ["b", "a"]
    assert [float(s.image[0, 0]) for s in folds[0][2]] == pytest.approx([0.1, 0.3])
    assert [s.source.subject_id for s in folds[0][1]] == ["a"]
    with pytest.raises(ConfigError, match="leave one"):
        list(leave_one_subject_out(scans[:1]))


def test_hold_out_parts_people_and_warns_of_a_single_one():
    def scan(subject, index):
        source = Source(subject_id=subject, bscan_index=index)
        return Scan(np.zeros((2, 3), np.float32), source=source)

    kept, held_out = hold_out([scan(subject, k) for subject in "abcde" for k in range(3)])
    assert len({s.source.subject_id for s in held_out}) == 1
    assert {s.source.subject_id for s in kept} & {s.source.subject_id for s in held_out} == set()
    assert len(kept) + len(held_out) == 15
    with pytest.warns(LeakWarning, match="share a person"):
        kept, held_out = hold_out([scan("a", k) for k in range(10)])
    indices = [s.source.bscan_index for s in held_out]
    assert indices == list(range(indices[0], indices[0] + 2))


people = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=4),
    st.one_of(st.just(0), st.integers(1, 10**6)),
    min_size=2,
    max_size=40,
)


@settings(deadline=None)  # scikit-learn takes its time to be imported
@given(people, st.integers(2, 6), st.integers(0, 5))
def test_folds_deal_everybody_once_and_lesions_evenly(by_subject, folds, seed):
    lesions = [s for s in by_subject if by_subject[s] > 0]
    if len(lesions) < folds:
        with pytest.raises(ConfigError, match="with lesions"):
            subject_folds(by_subject, folds, seed)
        return
    dealt = subject_folds(by_subject, folds, seed)
    assert sorted(s for fold in dealt for s in fold) == sorted(by_subject)
    assert all(fold == sorted(fold) for fold in dealt)
    sizes = [len(fold) for fold in dealt]
    assert max(sizes) - min(sizes) <= 1
    healthy = [sum(by_subject[s] == 0 for s in fold) for fold in dealt]
    assert max(healthy) - min(healthy) <= 1
    backwards = dict(reversed(by_subject.items()))
    assert subject_folds(backwards, folds, seed) == dealt


def test_folds_are_alike_in_load_and_differ_by_seed():
    # Four loads of different magnitude, five subjects each: every fold gets one of each.
    by_subject = {f"s{k:02d}": 10 ** (k % 4 + 1) + k for k in range(20)}
    dealt = subject_folds(by_subject, 5)
    for fold in dealt:
        assert sorted(len(str(by_subject[s])) for s in fold) == [2, 3, 4, 5]
    assert subject_folds(by_subject, 5, seed=1) != dealt
