"""Xplique on the benchmark's work: `python xplique_loop.py NETWORK IMAGE.npy`.

Pixels, no transforms, plain gradient steps. Xplique always starts from noise and cannot normalise
the gradient, so its steps do a little less than the others'.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
from serve import serve
from xplique.features_visualizations import Objective, optimize

model = keras.models.load_model(Path(sys.argv[1]) / "model.keras")
shape = (*np.load(sys.argv[2]).shape, 1)
sized = keras.models.clone_model(model, input_tensors=keras.Input(shape))
sized.set_weights(model.get_weights())
objective = Objective.layer(sized, "dec1_conv2", reducer="mean")


def climb(steps: int) -> None:
    optimize(
        objective,
        keras.optimizers.SGD(0.01),
        nb_steps=steps,
        use_fft=False,
        transformations=None,
        custom_shape=None,
    )


serve(climb)
