"""A short run of the fuzzer; `make fuzz` is the long one."""

import multiprocessing

import pytest
from fuzz import fuzz


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_broken_files_are_read_or_refused():
    counts, crashes = fuzz(400, seed=20240229)
    assert crashes == []
    assert sum(counts.values()) == 400
    assert {outcome for _, outcome in counts} == {"read", "refused"}
