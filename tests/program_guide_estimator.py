"""An Estimator that is trained and evaluated by turns: `python program_guide_estimator.py FOLDER`.

Leaves the log of the training in FOLDER/model, that of the evaluations in FOLDER/model/eval, and in FOLDER/norm.npz the
gamma and beta of the normalisation after each training.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from tb_layerview import LayerViewHook
from tb_layerview.demo_estimator import model_fn

ROUNDS, STEPS = 5, 24


def main(folder: Path) -> None:
    warnings.filterwarnings("ignore", "`tf.layers")
    pixels, digits = load_digits(return_X_y=True)
    images = (pixels / 16).reshape(-1, 8, 8, 1).astype(np.float32)
    digits = digits.astype(np.int32)

    def input_fn(first: int, last: int) -> tf.data.Dataset:
        examples = {"pixels": images[first:last]}, digits[first:last]
        return tf.data.Dataset.from_tensor_slices(examples).repeat().batch(64)

    estimator = tf.estimator.Estimator(model_fn, str(folder / "model"), tf.estimator.RunConfig(tf_random_seed=1))
    found = {}
    for done in range(1, ROUNDS + 1):
        hook = LayerViewHook(estimator.model_dir, schedule=1)
        estimator.train(lambda: input_fn(300, 1500), hooks=[hook], steps=STEPS)
        hook = LayerViewHook(str(folder / "model" / "eval"), schedule=1)
        estimator.evaluate(lambda: input_fn(0, 300), hooks=[hook], steps=4)
        for name in ("gamma", "beta"):
            found[f"{name}_{done * STEPS}"] = estimator.get_variable_value(f"norm/{name}")
    np.savez(folder / "norm.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
