"""Networks to compare with: weights re-drawn layer by layer, or learned from masks that do not belong."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np

from medream.dream.control import redraw_weights
from medream.dream.graph import needed_part, open_network
from medream.errors import ConfigError, ModelError
from medream.record import RunRecord
from medream.scan import Scan
from medream.training import TrainConfig, train
from medream.unet import UNetConfig


class Redrawn:
    """A copy of a network, some of whose layers carry the weights of the control.

    Parameters
    ----------
    model : keras.Model
        It is not changed.

    Raises
    ------
    ModelError
        When Keras cannot copy the network, or it is channels-first.

    Examples
    --------
    >>> import medream as md
    >>> copy = Redrawn(md.build_unet(md.UNetConfig(levels=1, base_filters=2)))
    >>> [name for name, _ in copy.cascade(["dec1_conv2"])][:3]
    ['dec1_conv2', 'dec1_conv1', 'dec1_up']
    """

    def __init__(self, model: keras.Model) -> None:
        self._source = open_network(model)
        own = {id(variable) for variable in model.variables}
        if not {id(variable) for variable in self._source.variables} <= own:
            raise ModelError(
                f"The model {model.name!r} is channels-first; its weights cannot be re-drawn in a copy. Rebuild "
                "it with data_format='channels_last'."
            )
        try:
            self.model = keras.models.clone_model(model)
        except Exception as error:
            reason = f"{error}".strip().split("\n")[0]
            raise ModelError(f"Keras cannot copy the model {model.name!r}: {reason}") from error
        self._target = open_network(self.model)
        self._drawn: dict[int, list[np.ndarray]] = {}

    def draw(self, seed: int, layers: Collection[int] | None = None) -> keras.Model:
        """Return the copy with re-drawn weights in some layers and the model's own in the others.

        Parameters
        ----------
        seed : int
            That of a control gives its very weights.
        layers : collection of int, optional
            Layers by their place in `Network.layers`, as `cascade` gives them. Default: all.
        """
        if seed not in self._drawn:
            self._drawn = {seed: redraw_weights(self._source.layers, seed)}
        drawn = iter(self._drawn[seed])
        targets = iter(self._target.variables)
        for place, layer in enumerate(self._source.layers):
            for variable in layer.weights:
                value = next(drawn)
                chosen = layers is None or place in layers
                next(targets).assign(value if chosen else variable.value)
        return self.model

    def cascade(self, names: Sequence[str]) -> list[tuple[str, tuple[int, ...]]]:
        """Return the stages of re-drawing from some layers down to the image.

        Parameters
        ----------
        names : sequence of str
            Layers that a dream climbs. What lies above them has no part in it, so that the cascade of a
            layer in the decoder starts at that layer and not at the output.

        Returns
        -------
        list of (name, layers)
            A stage for each layer with a kernel, and all layers re-drawn so far; a normalisation goes with the
            kernel before it.

        Raises
        ------
        LayerError
            When there is no such layer.
        ConfigError
            When the layers have no weights before them.
        """
        part = needed_part(self._source, names)
        called = {id(call.operation): call.name for call in reversed(part.calls)}
        place = {id(layer): k for k, layer in enumerate(self._source.layers)}
        stages: list[tuple[str, tuple[int, ...]]] = []
        reached: tuple[int, ...] = ()
        for layer in reversed(part.layers):
            if not layer.weights or isinstance(layer, keras.layers.Normalization):
                continue
            reached = (*reached, place[id(layer)])
            if any(len(variable.shape) >= 2 for variable in layer.weights):
                stages.append((called[id(layer)], reached))
        if not stages:
            raise ConfigError(
                f"Nothing before {', '.join(names)} has weights that could be re-drawn; choose a later layer."
            )
        return [*stages[:-1], (stages[-1][0], reached)]


def shuffle_masks(scans: Sequence[Scan], seed: int = 0) -> list[Scan]:
    """Give every scan the mask of another one of its size and classes.

    It is another subject's mask unless one subject has more than half of such scans.

    Parameters
    ----------
    scans : sequence of Scan, all with masks
    seed : int

    Returns
    -------
    list of Scan
        In the same order.

    Raises
    ------
    ConfigError
        When a scan has no mask, or no other one has its size and classes.

    Examples
    --------
    >>> masks = [np.full((2, 2), k, np.uint8) for k in (0, 1)]
    >>> scans = [Scan(np.zeros((2, 2), np.float32), mask) for mask in masks]
    >>> [int(scan.mask[0, 0]) for scan in shuffle_masks(scans)]
    [1, 0]
    """
    rng = np.random.default_rng(seed)
    alike: dict[tuple[tuple[int, int], tuple[str, ...]], dict[str, list[int]]] = {}
    scans = list(scans)
    for k, scan in enumerate(scans):
        if scan.mask is None:
            raise ConfigError(f"{scan.source.path or scan.source.name} has no mask to shuffle.")
        people = alike.setdefault((scan.shape, scan.classes), {})
        people.setdefault(scan.source.subject_id, []).append(k)
    shuffled = list(scans)
    for (shape, _), people in alike.items():
        subjects = [list(people)[k] for k in rng.permutation(len(people))]
        order = [int(k) for subject in subjects for k in rng.permutation(people[subject])]
        if len(order) < 2:
            raise ConfigError(
                f"{scans[order[0]].source.name} is the only scan of {shape[0]} x {shape[1]} pixels with its "
                "classes, so that there is no mask to change it for; leave it out, or give scans of one size."
            )
        # Moved on by the largest block of one subject, so that no block meets itself.
        step = max(len(own) for own in people.values())
        step = step if step < len(order) else int(rng.integers(1, len(order)))
        for k, own in enumerate(order):
            mask = scans[order[(k + step) % len(order)]].mask
            valid = scans[own].valid
            assert mask is not None
            mask = mask if valid is None else np.where(valid, mask, 0).astype(np.uint8)
            shuffled[own] = replace(scans[own], mask=mask)
    return shuffled


def train_on_shuffled(
    scans: Sequence[Scan],
    config: UNetConfig | None = None,
    train_config: TrainConfig | None = None,
    out: str | Path = "model-shuffled",
    seed: int = 0,
) -> Path:
    """Train a network whose masks do not belong to its scans, for `control_study`.

    Part of the scans is held out by subject as for any training, with masks that are shuffled, too; no
    epoch is too many, since the validation score means nothing here.

    Parameters
    ----------
    scans : sequence of Scan, all with masks
        Those that the network in question was trained on.
    config, train_config, out
        As for `medream.train`; best those of the network in question.
    seed : int
        Of the shuffling.

    Returns
    -------
    Path
        The model folder.

    Raises
    ------
    ConfigError
        As `shuffle_masks` and `medream.train`.

    Notes
    -----
    Masks still lie where masks usually lie, so that the network learns the prior of place and what a
    retina is. What its dreams share with those of the true network is not shown to be of the lesions; what
    they do not share need not be of the lesions either.

    Examples
    --------
    >>> train_on_shuffled(md.open_dataset("duke_dme", split="train"), out="runs/shuffled")  # doctest: +SKIP
    """
    train_config = train_config or TrainConfig()
    train_config = replace(train_config, patience=train_config.epochs)
    shuffled = shuffle_masks(scans, seed)
    settings = {
        "dataset": str(path) if (path := getattr(scans, "path", None)) else None,
        "unet": None if config is None else config.to_json(),
        "train": asdict(train_config),
        "shuffle_seed": seed,
    }
    record = RunRecord("train on shuffled masks", settings, seed=train_config.seed)
    return train(shuffled, config, train_config, out, record=record)
