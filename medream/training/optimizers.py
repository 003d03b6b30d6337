"""The optimizer of a training: Keras' own, with a learning rate for each layer and decoupled decay."""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

if TYPE_CHECKING:
    from medream.training.config import TrainConfig

OPTIMIZERS: dict[str, type[keras.optimizers.Optimizer]] = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.Adam,  # Keras' AdamW is its Adam with decay, which is added below
    "nadam": keras.optimizers.Nadam,
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "lion": keras.optimizers.Lion,
}
_OWN_DEFAULTS: dict[str, dict[str, Any]] = {"sgd": {"momentum": 0.9, "nesterov": True}}
_DECAY = {"adamw": 0.004}

# Arguments that all optimizers of Keras have.
_SHARED = {
    name
    for kind in keras.optimizers.Optimizer.__mro__
    if "__init__" in vars(kind)
    for name in inspect.signature(kind.__init__).parameters
}

# Schedule -> the last learning rate as a share of the largest.
SCHEDULES = {"cosine": 0.01, "constant": 1.0}


def optimizer_settings(name: str) -> dict[str, Any]:
    """Return the settings of an optimizer that are its own, and their defaults.

    Examples
    --------
    >>> optimizer_settings("sgd")
    {'momentum': 0.9, 'nesterov': True}
    """
    own = inspect.signature(OPTIMIZERS[name]).parameters.values()
    known = {p.name: p.default for p in own if p.name not in _SHARED and p.default is not p.empty}
    return {**known, **_OWN_DEFAULTS.get(name, {})}


def make_optimizer(
    config: TrainConfig, variables: Sequence[keras.Variable], batches: int, precision: str
) -> keras.optimizers.Optimizer:
    """Return the optimizer of a training, built for its variables.

    Parameters
    ----------
    config : TrainConfig
    variables : sequence of keras.Variable
        What is trained; their paths begin with the names of their layers.
    batches : int
        Of an epoch.
    precision : str
        In which the network computes; the loss is scaled up for "mixed_float16".
    """
    updates = batches // config.accumulate
    rate = _PerUpdate(
        0.0 if config.warmup else config.learning_rate,
        (config.epochs - config.warmup) * updates,
        alpha=SCHEDULES[config.schedule],
        warmup_target=config.learning_rate if config.warmup else None,
        warmup_steps=config.warmup * updates,
    )
    rate.batches = config.accumulate
    known = optimizer_settings(config.optimizer)
    chosen = {name: type(known[name])(value) for name, value in config.optimizer_settings.items()}
    optimizer = _layerwise(OPTIMIZERS[config.optimizer])(
        rate,
        global_clipnorm=config.clip_norm,
        gradient_accumulation_steps=config.accumulate if config.accumulate > 1 else None,
        **{**_OWN_DEFAULTS.get(config.optimizer, {}), **chosen},
    )
    optimizer.factors = tuple(
        layer_factor(config.layer_rates, variable.path.split("/")[0]) for variable in variables
    )
    decay = config.weight_decay
    optimizer.decay = _DECAY.get(config.optimizer, 0.0) if decay is None else decay
    if precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(list(variables))
    return optimizer


def layer_factor(rates: Mapping[str, float], layer: str) -> float:
    """Return the factor of a layer's learning rate: that of the last pattern that matches, or 1.

    Examples
    --------
    >>> layer_factor({"enc*": 0.1, "enc1*": 0.01}, "enc1_conv1")
    0.01
    """
    matching = [factor for pattern, factor in rates.items() if fnmatch.fnmatchcase(layer, pattern)]
    return matching[-1] if matching else 1.0


class _PerUpdate(keras.optimizers.schedules.CosineDecay):
    """A schedule that counts updates, where Keras counts the batches that it accumulates."""

    batches = 1

    def __call__(self, step: Any) -> Any:
        return super().__call__(ops.floor_divide(step, self.batches))


def _layerwise(kind: type[keras.optimizers.Optimizer]) -> type:
    """Return an optimizer of Keras whose updates, and not its gradients, are scaled layer by layer.

    Adam and its like divide gradients by their own size, so that a factor of the gradient is lost.
    """

    class Layerwise(kind):
        factors: tuple[float, ...] = ()
        decay = 0.0

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            rate = learning_rate * self.factors[self._get_variable_index(variable)]
            if self.decay and len(variable.shape) > 1:
                lost = ops.cast(rate * self.decay, variable.dtype)
                self.assign_sub(variable, variable * lost)
            super().update_step(gradient, variable, rate)

        def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
            # TensorFlow keeps the graph of every all-reduce for ever, even that of a single replica.
            if self._distribution_strategy.num_replicas_in_sync == 1:
                return grads_and_vars
            return super()._all_reduce_sum_gradients(grads_and_vars)

    return Layerwise
