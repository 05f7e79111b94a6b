"""An Estimator that is trained and evaluated by turns, in a process of its own.

`python program_guide_estimator.py FOLDER` needs the stack that has Estimators.

Leaves the log of the training in FOLDER/estimator, that of the evaluations in FOLDER/estimator/eval, and in
FOLDER/norm.npz what the normalisation has learnt and averaged after each training.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from tb_layerview import LayerViewHook

ROUNDS, STEPS = 5, 24


def model_fn(features: dict[str, Any], labels: Any, mode: str) -> Any:
    """Convolutions, a batch normalisation with its usual momentum, and a classifier with a dropout."""
    layers = tf.compat.v1.layers
    is_training = mode == tf.estimator.ModeKeys.TRAIN
    x = layers.conv2d(features["pixels"], 16, 3, padding="same", activation=tf.nn.relu, name="conv1")
    x = layers.conv2d(x, 16, 3, padding="same", activation=tf.nn.relu, name="conv2")
    x = layers.batch_normalization(x, training=is_training, name="norm")
    x = layers.dense(layers.flatten(x), 32, activation=tf.nn.relu, name="hidden")
    x = layers.dropout(x, 0.3, training=is_training, name="dropout")
    logits = layers.dense(x, 10, name="logits")
    loss = tf.compat.v1.losses.sparse_softmax_cross_entropy(labels, logits)
    with tf.control_dependencies(tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.UPDATE_OPS)):
        optimizer = tf.compat.v1.train.AdamOptimizer(1e-3)
        train_op = optimizer.minimize(loss, global_step=tf.compat.v1.train.get_global_step())
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)


def main(folder: Path) -> None:
    warnings.filterwarnings("ignore", "`tf.layers")
    pixels, digits = load_digits(return_X_y=True)
    images = (pixels / 16).reshape(-1, 8, 8, 1).astype(np.float32)
    digits = digits.astype(np.int32)

    def input_fn(first: int, last: int) -> tf.data.Dataset:
        examples = {"pixels": images[first:last]}, digits[first:last]
        return tf.data.Dataset.from_tensor_slices(examples).repeat().batch(64)

    estimator = tf.estimator.Estimator(model_fn, str(folder / "estimator"), tf.estimator.RunConfig(tf_random_seed=1))
    found = {}
    for done in range(1, ROUNDS + 1):
        hook = LayerViewHook(estimator.model_dir, schedule=1)
        estimator.train(lambda: input_fn(300, 1500), hooks=[hook], steps=STEPS)
        hook = LayerViewHook(str(folder / "estimator" / "eval"), schedule=1)
        estimator.evaluate(lambda: input_fn(0, 300), hooks=[hook], steps=4)
        for name in ("gamma", "beta", "moving_mean", "moving_variance"):
            found[f"{name}_{done * STEPS}"] = estimator.get_variable_value(f"norm/{name}")
    np.savez(folder / "norm.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
