"""tf-keras-vis on the benchmark's work: `python tf_keras_vis_loop.py NETWORK IMAGE.npy`.

The same ascent, set up with the library's own means: plain gradient steps, the gradient divided by
its standard deviation, no regularizers and no transforms.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from serve import serve
from tf_keras_vis.activation_maximization import ActivationMaximization

model = keras.models.load_model(Path(sys.argv[1]) / "model.keras")
part = keras.Model(model.inputs, model.get_layer("dec1_conv2").output)
image = np.load(sys.argv[2])[None, :, :, None]
maximize = ActivationMaximization(part)


def climb(steps: int) -> np.ndarray:
    return maximize(
        lambda output: tf.reduce_mean(output, axis=(1, 2, 3)),
        seed_input=tf.constant(image),
        input_range=(0.0, 1.0),
        input_modifiers=[],
        regularizers=[],
        steps=steps,
        optimizer=keras.optimizers.SGD(0.01),
        gradient_modifier=lambda gradient: gradient / (tf.math.reduce_std(gradient) + 1e-8),
    )


serve(climb)
