"""What keeps a comparison from starting: everything wrong with any of its trainings, at once."""

from __future__ import annotations

from collections.abc import Sequence

from medream.comparison.cohort import Cohort
from medream.comparison.plan import Training
from medream.errors import ConfigError
from medream.training.census import take_census
from medream.training.checks import check_censuses


def check_trainings(cohort: Cohort, plan: Sequence[Training]) -> None:
    """Raise when scans and settings do not fit together in any fold of any depth.

    Raises
    ------
    ConfigError
        Listing every reason once, with the networks and folds that it holds for.
    """
    networks = {training.network: training for training in plan}  # seeds change nothing here
    places: dict[str, list[str]] = {}
    for fold in {training.fold.name: training.fold for training in plan}.values():
        training_part = take_census(cohort.of(fold.training))
        validation_part = take_census(cohort.of(fold.validation))
        for name, training in networks.items():
            try:
                check_censuses(training_part, validation_part, training.unet, training.train)
            except ConfigError as error:
                listed = str(error).removeprefix("Training cannot start: ").rstrip(".")
                for reason in listed.split("; "):
                    places.setdefault(reason, []).append(f"{name} {fold.name}")
    everywhere = len({(training.network, training.fold.name) for training in plan})
    wrong = [f"{reason} ({_listed(where, everywhere)})" for reason, where in places.items()]
    masked = cohort.packed.table["masked"]
    bare = [source.name for source, has in zip(cohort.sources, masked, strict=True) if not has]
    if bare and not wrong:  # in a test fold only
        wrong.append(f"{len(bare)} scans have no mask to be scored with ({', '.join(bare[:3])})")
    if wrong:
        raise ConfigError("The comparison cannot start: " + "; ".join(wrong) + ".")


def _listed(places: Sequence[str], everywhere: int) -> str:
    if len(places) == everywhere:
        return "every network and fold"
    more = f" and {len(places) - 4} more" if len(places) > 4 else ""
    return ", ".join(places[:4]) + more
