"""Networks of a comparison that are no better than a guess, or hardly: nothing follows from their scores."""

from __future__ import annotations

from dataclasses import dataclass

from medream.comparison.results import Results

NEAR = 0.1
"""Part of the way from a guess to a perfect network below which a network counts as near chance."""


@dataclass(frozen=True)
class NearChance:
    """A network that has found nothing, or almost nothing.

    Parameters
    ----------
    label : str
        "3 levels".
    average_precision : float
        Of all held-out pixels.
    share : float
        Of lesion pixels: the average precision of a guess.
    nothing : bool
        Whether not one lesion pixel was found.
    """

    label: str
    average_precision: float
    share: float
    nothing: bool

    def __str__(self) -> str:
        what = "nothing at its threshold" if self.nothing else "almost nothing"
        return (
            f"The network with {self.label} has found {what}: over all held-out pixels its average precision "
            f"is {self.average_precision:.3f}, where a guess has {self.share:.3f}, the share of lesion pixels. "
            "It has to be trained longer or otherwise before its depth can be judged."
        )


def near_chance(results: Results) -> dict[tuple[str, int], NearChance]:
    """Return the single networks that are near chance, by class and levels.

    That is: without one true positive, or with an average precision that covers less than `NEAR` of the way
    from the share of lesion pixels, which random scores have, to 1.
    """
    everybody = sorted({subject for fold in results.folds for subject in fold.test})
    found = {}
    for name in results.classes:
        share = results.lesion_share(name)
        for network in results.single:
            area = network.average_precision(name)
            nothing = not network.counts(name, everybody)[..., 0].any()
            if nothing or area - share < NEAR * (1 - share):
                found[name, network.levels] = NearChance(network.label, area, share, nothing)
    return found
