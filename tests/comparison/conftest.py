"""A comparison's outputs without its trainings."""

from __future__ import annotations

import pytest
from pretended import pretend

import medream as md
from medream.comparison.cohort import Cohort
from medream.comparison.cost import Cost
from medream.comparison.plan import CompareConfig, make_folds, trainings
from medream.comparison.results import read_results
from medream.comparison.tables import pooled_table, subject_table


@pytest.fixture(scope="session")
def cohort():
    return Cohort(md.phantom_scans(24, seed=2, size=(48, 64), bscans_per_subject=3))


@pytest.fixture(scope="session")
def config():
    return CompareConfig(levels=(2, 1), folds=4, seeds=2, unet={"base_filters": 2})


@pytest.fixture(scope="session")
def plan(cohort, config):
    return list(trainings(config, make_folds(cohort.loads, config.folds, 0), 1))


@pytest.fixture(scope="session")
def finished(cohort, config, plan, tmp_path_factory):
    """A folder with the scores of all trainings."""
    out = tmp_path_factory.mktemp("comparison")
    pretend(cohort, plan, config.seeds, out)
    return out


@pytest.fixture(scope="session")
def results(finished, config, plan):
    return read_results(finished, config, plan)


@pytest.fixture(scope="session")
def costs():
    return {
        f"unet{n}": Cost(500 * n, 10**9 * n, (20 * n, 20 * n), 0.01 * n, 900.0 + n, 800.0) for n in (1, 2)
    }  # fmt: skip


@pytest.fixture(scope="session")
def subjects(results):
    return subject_table(results)


@pytest.fixture(scope="session")
def pooled(results, subjects):
    return pooled_table(results, subjects)
