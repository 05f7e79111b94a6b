"""What `make demo-estimator` trains: an Estimator that knows nothing of this project, until the hook is added to it."""

from __future__ import annotations

import os
import warnings
from typing import Any

import tensorflow as tf
from sklearn.datasets import load_digits

from tb_layerview.capture.graph.hook import LayerViewHook

STEPS = 6000


def model_fn(features: dict[str, Any], labels: Any, mode: str) -> Any:
    """A small convolutional network for digits of 8 x 8 pixels."""
    layers = tf.compat.v1.layers
    is_training = mode == tf.estimator.ModeKeys.TRAIN
    x = layers.conv2d(features["pixels"], 32, 3, padding="same", activation=tf.nn.relu, name="conv1")
    x = layers.conv2d(x, 64, 3, padding="same", name="conv2")
    x = tf.nn.relu(layers.batch_normalization(x, training=is_training, name="norm"))
    x = layers.max_pooling2d(x, 2, 2, name="pool")
    x = layers.flatten(x)
    x = layers.dense(x, 64, activation=tf.nn.relu, name="hidden")
    x = layers.dropout(x, 0.3, training=is_training)
    logits = layers.dense(x, 10, name="logits")
    digits = tf.argmax(logits, axis=1)
    if mode == tf.estimator.ModeKeys.PREDICT:
        return tf.estimator.EstimatorSpec(mode, predictions={"digit": digits, "logits": logits})
    loss = tf.compat.v1.losses.sparse_softmax_cross_entropy(labels, logits)
    if mode == tf.estimator.ModeKeys.EVAL:
        accuracy = tf.compat.v1.metrics.accuracy(labels, digits)
        return tf.estimator.EstimatorSpec(mode, loss=loss, eval_metric_ops={"accuracy": accuracy})
    with tf.control_dependencies(tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.UPDATE_OPS)):
        optimizer = tf.compat.v1.train.AdamOptimizer(1e-3)
        train_op = optimizer.minimize(loss, global_step=tf.compat.v1.train.get_global_step())
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)


def train(logdir: str) -> None:
    """Trains on scikit-learn's 1,797 handwritten digits for about a minute, evaluates, and logs the layers of both.

    Args:
      logdir: The Estimator's folder; the evaluation is logged below it, in `eval`.
    """
    tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
    warnings.filterwarnings("ignore", "`tf.layers")  # they are deprecated, and what many Estimators are made of
    pixels, digits = load_digits(return_X_y=True)
    images = (pixels / 16.0).reshape(-1, 8, 8, 1).astype("float32")
    digits = digits.astype("int32")
    held_out = 297

    def training_data() -> tf.data.Dataset:
        data = tf.data.Dataset.from_tensor_slices(({"pixels": images[held_out:]}, digits[held_out:]))
        return data.shuffle(1500, seed=0).repeat().batch(64)

    def test_data() -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(({"pixels": images[:held_out]}, digits[:held_out])).batch(held_out)

    estimator = tf.estimator.Estimator(model_fn, logdir)
    hook = LayerViewHook(logdir)
    print(f"training an Estimator on {len(images) - held_out} handwritten digits: {STEPS} steps")
    estimator.train(training_data, hooks=[_Progress(), hook], steps=STEPS)
    results = estimator.evaluate(test_data, hooks=[LayerViewHook(os.path.join(logdir, "eval"))])
    print(f"{results['accuracy']:.1%} of {held_out} digits that it has not seen are read correctly")


class _Progress(tf.compat.v1.train.SessionRunHook):
    """Prints a line every tenth of the training."""

    def before_run(self, run_context: Any) -> Any:
        step = tf.compat.v1.train.get_global_step()
        loss = tf.compat.v1.losses.get_losses()[-1]
        return tf.compat.v1.train.SessionRunArgs({"step": step, "loss": loss})

    def after_run(self, run_context: Any, run_values: Any) -> None:
        step = int(run_values.results["step"])
        if step and step % (STEPS // 10) == 0:
            print(f"  step {step:5d}  loss {run_values.results['loss']:.4f}", flush=True)
