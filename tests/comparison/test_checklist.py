"""Checklists hold every item once, and answers only where a run knows them."""

import inspect
import re

from medream.comparison import words
from medream.comparison.checklist import CLAIM, OPEN, TRIPOD_AI, checklist_table
from medream.record import RunRecord

# As printed in TRIPOD+AI, table 1.
LETTERS = {
    3: "abc", 5: "ab", 6: "abc", 8: "abc", 9: "abc", 12: "abcdefg", 18: "abcdef", 20: "abc",
    23: "ab", 27: "abc",
}  # fmt: skip


def test_all_items_are_there():
    assert [number for number, _, _ in CLAIM] == list(range(1, 45))
    expected = [f"{n}{letter}" for n in range(1, 28) for letter in LETTERS.get(n, [""])]
    assert [number for number, _, _ in TRIPOD_AI] == expected


def test_every_fact_is_answered_and_every_answer_asked_for(config, results, cohort, pooled):
    facts = words.facts(config, results, cohort, RunRecord("compare", {}), pooled)
    asked = {fact for items in (CLAIM, TRIPOD_AI) for _, _, fact in items if fact}
    assert asked == set(facts)
    table = checklist_table(CLAIM, facts)
    answers = dict(zip(table.Item, table["From this run"], strict=True))
    assert answers["20"] == "Subject."
    assert answers["44"] == OPEN
    assert "8 subjects" in answers["35"]
    assert "4 stratified folds" in answers["19"]
    assert "seeds 0 to 1" in answers["24"]
    assert re.search(r"2 levels \(fluid\) 0\.\d{3} \[", answers["37"])


def test_the_method_says_what_was_done(config, results, cohort):
    text = words.method(config, results, cohort)
    for part in ("1 and 2 levels", "24 B-scans of 8 subjects", "4 folds", "twice, with other random seeds",
                 "Holm's correction for 1 comparison,", "fewer than 6 subjects", "at most 40 epochs"):  # fmt: skip
        assert part in text, part
    assert not inspect.cleandoc(text).count("  ")
