"""The control: the same dream on re-drawn weights, which shows what the method alone does.

Every tensor keeps its own scale: kernels are drawn anew from a normal distribution with the
trained kernel's root mean square, vectors (bias, normalisation) are shuffled. What was
learned is gone, the size of the activations is not (cf. Adebayo et al., "Sanity Checks for
Saliency Maps", NeurIPS 2018, arXiv:1810.03292).
"""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf


def redraw_weights(layers: Iterable[keras.layers.Layer], seed: int) -> list[np.ndarray]:
    """Return re-drawn values for the weights of some layers; the layers stay as they are.

    The statistics of an input normalisation (`keras.layers.Normalization`) are no learned
    weights and are kept.

    Parameters
    ----------
    layers : iterable of keras.layers.Layer
        For example `model.layers`.
    seed : int
        The same seed and layers give the same values.

    Returns
    -------
    list of ndarray
        In the order of the layers' `weights`.

    Examples
    --------
    >>> dense = keras.layers.Dense(3)
    >>> dense.build((None, 2))
    >>> [value.shape for value in redraw_weights([dense], seed=0)]
    [(2, 3), (3,)]
    """
    drawn = []
    for position, layer in enumerate(layers):
        # A generator for each layer: what is drawn for it hangs on its place and shape alone.
        generator = np.random.default_rng([seed, position])
        kept = isinstance(layer, keras.layers.Normalization)
        for variable in layer.weights:
            value = tf.convert_to_tensor(variable.value).numpy()
            if kept or "float" not in variable.dtype:
                drawn.append(value)
                continue
            value = value.astype(np.float32)
            if value.ndim >= 2:
                scale = float(np.sqrt(np.mean(np.square(value, dtype=np.float64))))
                value = generator.standard_normal(value.shape, np.float32) * np.float32(scale)
            else:
                value = generator.permutation(value) if value.ndim else value
            drawn.append(value)
    return drawn
