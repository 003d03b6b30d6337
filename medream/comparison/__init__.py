"""How deep must a U-Net be? Every depth on every fold with every seed, and what the differences are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medream.adapters.dataset import Dataset
from medream.cluster import check_cluster
from medream.comparison.checks import check_trainings
from medream.comparison.cohort import Cohort
from medream.comparison.cost import measure_costs
from medream.comparison.going_on import go_on, known_folds
from medream.comparison.plan import CompareConfig, make_folds, trainings
from medream.comparison.report import write_report
from medream.comparison.results import read_results
from medream.comparison.running import COMMAND, score_ensembles, train_all
from medream.errors import ConfigError
from medream.record import RunRecord, input_hashes
from medream.scan import Scan

__all__ = ["CompareConfig", "compare"]


def compare(
    scans: Sequence[Scan],
    config: CompareConfig | None = None,
    out: str | Path = "comparison",
    *,
    cluster: str | None = None,
    record: RunRecord | None = None,
) -> Path:
    """Train every depth on every fold with every seed, and write what the differences are worth.

    All subjects are dealt into folds, whatever parts the data set has: with few subjects nobody can be
    spared, and each is scored exactly once, by networks that never saw it. Give a part of the data set only, to
    keep the others untouched. Within each fold about a fifth of the other subjects choose epoch and
    threshold.

    What was finished earlier in `out` is kept, and a training that was stopped goes on after its last whole
    epoch, to the same weights as without the stop. More levels or seeds may be added that way.

    Parameters
    ----------
    scans : sequence of Scan
        With masks, of three subjects or more. A `Dataset` for a cluster.
    config : CompareConfig
    out : path
        Receives `report.html`, tables, figures, `folds.json`, `checklist.md`, and the model folders
        `unet2/fold1-seed0`, ...
    cluster : str, optional
        Where the trainings run, see `medream.cluster.run_all`. Default: here, one after the other.
    record : RunRecord
        Made here when None.

    Returns
    -------
    Path of `report.html`

    Raises
    ------
    ConfigError
        Before the first training, with everything that is wrong in any fold of any depth.
    OutputError
        When `out` holds another comparison, or something else.
    TrainingError
        When a training fails; what is finished is kept.

    Examples
    --------
    >>> import medream as md  # doctest: +SKIP
    >>> config = md.CompareConfig(levels=(2, 3), folds=5, seeds=3)  # doctest: +SKIP
    >>> md.compare(md.open_dataset("my_scans"), config, "out/depth")  # doctest: +SKIP
    """
    config, out = config or CompareConfig(), Path(out)
    check_cluster(cluster)
    if cluster is not None and not isinstance(scans, Dataset):
        raise ConfigError(
            "The workers of a cluster read the scans themselves: give a data set that open_dataset opened."
        )
    cohort = Cohort(scans)
    dataset = str(Path(path).resolve()) if (path := getattr(scans, "path", None)) else None
    record = record or RunRecord(
        COMMAND, {"dataset": dataset, "config": config.to_json()}, seed=config.train.seed
    )
    record = replace(record, inputs=input_hashes(cohort.packed))
    folds = known_folds(out, record) or make_folds(cohort.loads, config.folds, config.train.seed)
    plan = list(trainings(config, folds, len(cohort.packed[0].classes)))
    check_trainings(cohort, plan)
    go_on(out, record, folds)

    train_all(scans, cohort, plan, out, dataset, cluster)
    if config.seeds > 1:
        score_ensembles(cohort, plan, config.seeds, out)
    costs = measure_costs(out, plan, cohort.usual_shape)
    report, numbers = write_report(
        out, config, read_results(out, config, plan), costs, cohort, record
    )
    record.write(out, **numbers)
    return report
