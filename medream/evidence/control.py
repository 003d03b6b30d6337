"""Is it the trained network that a dream shows? The same dream on networks that have not learned the task.

A similarity of dream and control means little by itself: a hundred steps of ascent can carry two
images that differ by nothing visible far apart. So the dream of the scan with a noise of 1e-4 is
measured as well: what two dreams of one network agree in is the ceiling for all comparisons.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pandas as pd

from medream.dream.algebra import Objective
from medream.dream.config import DreamConfig, settle
from medream.dream.engine import dream
from medream.dream.graph import IMAGE
from medream.dream.objectives import as_objective
from medream.dream.result import DreamResult
from medream.errors import ConfigError
from medream.evidence.redrawn import Redrawn
from medream.evidence.similarity import MEASURES, similarity
from medream.evidence.subjects import RESAMPLES, over_subjects, who
from medream.progress import progress
from medream.scan import Scan
from medream.statistics import paired_test

CONTROLS = {
    "redrawn": "the same network with all weights re-drawn",
    "cascade": "weights re-drawn from the dreamt layer down to the named one (Adebayo et al. 2018)",
    "shuffled": "a network trained on masks that belong to other scans",
}
"""Kinds of control, in words; a dream that shows the network is unlike these."""
CEILINGS = {
    "noise": "the scan with a noise that cannot be seen",
    "seed": "the same dream with other draws of its transforms",
    "retrained": "another network trained in the same way",
}
"""Kinds of repetition; no dream can be more like a control than it is like these."""
NOISE = 1e-4

Wanted = str | list[str] | Mapping[str, float] | Objective
Stages = Sequence[tuple[str, tuple[int, ...]]]
OnDream = Callable[[Scan, str, str, DreamResult], Any]


def control_study(
    model: keras.Model,
    scans: Sequence[Scan],
    objective: Wanted,
    *,
    shuffled: keras.Model | None = None,
    retrained: Sequence[keras.Model] = (),
    stages: int | None = None,
    noise: float = NOISE,
    config: DreamConfig | None = None,
    on_dream: OnDream | None = None,
    **settings: Any,
) -> pd.DataFrame:
    """Compare a layer's dreams of scans with the same dreams on other networks and other starts.

    Reference: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018, arXiv:1810.03292.

    Parameters
    ----------
    model : keras.Model
    scans : sequence of Scan
    objective : str, list of str, dict of str to float, or Objective
        As for `medream.dream`.
    shuffled : keras.Model, optional
        Trained on shuffled masks (`train_on_shuffled`), with the same layers.
    retrained : sequence of keras.Model
        Trained as the model was with other seeds.
    stages : int, optional
        Stages of the cascade, spread evenly from its first to its last; 0 for none. Default: one for each
        layer with a kernel from the dreamt layer down. What lies above the dreamt layer has no part
        in the dream and is not re-drawn.
    noise : float
        Standard deviation of the noise of the ceiling, on the [0, 1] scale; 0 for no such ceiling.
    config, **settings
        As for `medream.dream`; octaves are left out.
    on_dream : callable, optional
        Called with (scan, kind, stage, result) for every dream that is made, "dream" being the model's own.

    Returns
    -------
    DataFrame
        One row per scan, kind (`CONTROLS`, `CEILINGS`), stage and measure (`similarity.MEASURES`):
        `subject`, `scan`, `kind`, `stage` (of a cascade: the layer last re-drawn), `layers` (how many
        are), `measure`, `value`. NaN where either dream changed nothing, as on weights that leave the
        layer dead.

        A dream that is unlike its controls hangs on what was learned. That does not make it right, nor
        about lesions: see `localization` for where it lies and `response` for what the network says of it.

    Raises
    ------
    LayerError
        When a network has no such layer.
    ConfigError
        When there are no scans, or the objective asks no layer.

    Examples
    --------
    >>> import medream as md
    >>> model = md.build_unet(md.UNetConfig(levels=1, base_filters=2))
    >>> scans = md.phantom_scans(1, size=(32, 32))
    >>> found = control_study(model, scans, "dec1_conv2", stages=2, steps=2)
    >>> found[["kind", "stage"]].drop_duplicates().values.tolist()
    [['redrawn', ''], ['cascade', 'dec1_conv2'], ['cascade', 'enc1_conv1'], ['noise', '']]
    """
    config = replace(settle(config, settings), octaves=None, every=None)
    wanted = as_objective(objective)
    names = [name for name in wanted.layers if name != IMAGE]
    if not names or not len(scans):
        raise ConfigError(
            "A study of controls needs an objective on a layer, and scans to dream on."
        )
    copy = Redrawn(model)
    study = _Study(
        model,
        wanted,
        config,
        copy,
        copy.cascade(names),
        shuffled,
        stages,
        retrained,
        noise,
        on_dream,
    )
    rows: list[dict[str, Any]] = []
    with progress("controls", len(scans)) as update:
        for scan in scans:
            rows += study.rows(scan)
            update(1)
    return pd.DataFrame(rows)


class _Study:
    def __init__(
        self, model: keras.Model, wanted: Objective, config: DreamConfig, copy: Redrawn,
        cascade: Stages, shuffled: keras.Model | None,
        stages: int | None, retrained: Sequence[keras.Model], noise: float, on_dream: OnDream | None,
    ) -> None:  # fmt: skip
        self.model, self.wanted, self.config, self.copy = model, wanted, config, copy
        self.cascade, self.everything = _spread(cascade, stages), len(cascade[-1][1])
        self.shuffled, self.retrained = shuffled, retrained
        self.noise, self.on_dream = noise, on_dream

    def rows(self, scan: Scan) -> Iterator[dict[str, Any]]:
        """Yield the rows of a scan, dream by dream."""
        own = dream(self.model, scan, self.wanted, config=self.config)
        # One precision for all, whatever each network would choose by itself.
        settings = replace(self.config, precision=own.precision)
        self._tell(scan, "dream", "", own)
        assert own.control is not None
        assert own.control_seed is not None
        yield from self._compared(scan, own, "redrawn", "", own.control, self.everything)
        for stage, layers in self.cascade:
            network = self.copy.draw(own.control_seed, layers)
            other = self._dream(scan, "cascade", stage, network, settings)
            yield from self._compared(scan, own, "cascade", stage, other, len(layers))
        if self.shuffled is not None:
            other = self._dream(scan, "shuffled", "", self.shuffled, settings)
            yield from self._compared(scan, own, "shuffled", "", other)
        if self.noise:
            noisy = _noisy(scan, self.noise, self.config.seed)
            other = self._dream(noisy, "noise", "", self.model, settings)
            # The noise itself is no part of what the dream changed.
            other = other - noisy.image + scan.image
            yield from self._compared(scan, own, "noise", "", other)
        if self.config.transforms or self.config.parametrization != "pixels":
            again = replace(settings, seed=settings.seed + 1)
            other = self._dream(scan, "seed", "", self.model, again)
            yield from self._compared(scan, own, "seed", "", other)
        for number, network in enumerate(self.retrained, start=1):
            other = self._dream(scan, "retrained", str(number), network, settings)
            yield from self._compared(scan, own, "retrained", str(number), other)

    def _dream(
        self, scan: Scan, kind: str, stage: str, network: keras.Model, config: DreamConfig
    ) -> np.ndarray:
        with warnings.catch_warnings():
            # A layer that is dead on other weights is a row of NaN, and no news.
            warnings.filterwarnings("ignore", "The gradient of")
            warnings.filterwarnings("ignore", ".* did not rise")
            result = dream(network, scan, self.wanted, control=False, config=config)
        self._tell(scan, kind, stage, result)
        return result.dream

    def _tell(self, scan: Scan, kind: str, stage: str, result: DreamResult) -> None:
        if self.on_dream is not None:
            self.on_dream(scan, kind, stage, result)

    def _compared(
        self,
        scan: Scan,
        own: DreamResult,
        kind: str,
        stage: str,
        other: np.ndarray,
        layers: int = 0,
    ) -> Iterator[dict[str, Any]]:
        found = similarity(scan.image, own.dream, other, scan.valid)
        place = {**who(scan), "kind": kind, "stage": stage, "layers": layers}
        yield from ({**place, "measure": name, "value": value} for name, value in found.items())


def _spread(cascade: Stages, count: int | None) -> Stages:
    """Return so many stages from the first to the last; of one, the last."""
    if count is None:
        return cascade
    if count < 0:
        raise ConfigError(f"stages is {count}, expected a whole number of at least 0.")
    places = np.linspace(len(cascade) - 1, 0, min(count, len(cascade)))[::-1]
    return [cascade[int(k)] for k in places.round()]


def _noisy(scan: Scan, noise: float, seed: int) -> Scan:
    drawn = np.random.default_rng(seed).standard_normal(scan.shape, np.float32)
    image = np.clip(scan.image + np.float32(noise) * drawn, 0.0, 1.0)
    return replace(
        scan, image=image if scan.valid is None else np.where(scan.valid, image, scan.image)
    )


def summarize_controls(table: pd.DataFrame, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Average the similarities over subjects, and set them against the ceiling.

    Parameters
    ----------
    table : DataFrame
        Of `control_study`.
    resamples : int

    Returns
    -------
    DataFrame
        One row per kind, stage and measure with the columns of `over_subjects`. Where the ceiling "noise" was
        measured also `below`, the mean over subjects of ceiling less similarity, with `below_low` and
        `below_high` of 95 %, `p` of the signed-rank test that it is 0 and `p_note`, why there is none. `p` is
        not corrected for the number of rows.

        A value near its ceiling says that the dream is as like the control as it is like itself. A low
        value whose ceiling is as low says that dreams of this length repeat badly, and nothing of the
        network: take fewer steps.

    Examples
    --------
    >>> rows = [("a", k, m, v) for k, v in (("redrawn", 0.1), ("noise", 0.6)) for m in MEASURES]
    >>> table = pd.DataFrame(rows, columns=["subject", "kind", "measure", "value"])
    >>> table = table.assign(scan="a1", stage="", layers=0)
    >>> summarize_controls(table).query("measure == 'ssim'")[["kind", "below"]].values.tolist()
    [['redrawn', 0.5], ['noise', nan]]
    """
    place = ["subject", "scan", "kind", "stage", "layers"]
    order = list(dict.fromkeys(zip(table.kind, table.stage, strict=True)))
    # Several scans may bear one name, so that rows are told apart by their number.
    numbered = table.assign(row=table.groupby([*place, "measure"], sort=False).cumcount())
    wide = numbered.pivot(index=[*place, "row"], columns="measure", values="value").reset_index()
    by = ["kind", "stage", "layers"]
    summary = over_subjects(wide, by, MEASURES, resamples)
    summary["place"] = [order.index(key) for key in zip(summary.kind, summary.stage, strict=True)]
    summary = summary.sort_values("place", kind="stable").drop(columns="place")
    ceiling = wide[wide.kind == "noise"]
    if len(ceiling):
        summary = summary.merge(_below(wide, ceiling, by, resamples), "left", [*by, "measure"])
    return summary.reset_index(drop=True)


def _below(
    wide: pd.DataFrame, ceiling: pd.DataFrame, by: Sequence[str], resamples: int
) -> pd.DataFrame:
    """Return how far each kind lies below the ceiling of the same scans."""
    keys = ["subject", "scan", "row"]
    both = wide[wide.kind != "noise"].merge(
        ceiling[[*keys, *MEASURES]], "left", keys, suffixes=("", "_top")
    )
    for name in MEASURES:
        both[name] = both[f"{name}_top"] - both[name]
    found = over_subjects(both, by, MEASURES, resamples)
    found = found.rename(columns={"estimate": "below", "low": "below_low", "high": "below_high"})
    tests = []
    for key, name in zip(
        found[list(by)].itertuples(index=False, name=None), found.measure, strict=True
    ):
        own = both[(both[list(by)] == list(key)).all(axis=1)]
        tests.append(paired_test(own.groupby("subject")[name].mean().dropna().to_numpy()))
    found["p"] = [test.p_value for test in tests]
    found["p_note"] = [test.note for test in tests]
    return found[[*by, "measure", "below", "below_low", "below_high", "p", "p_note"]]
