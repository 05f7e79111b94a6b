"""Logs an Estimator with one hook: its training, and its evaluation beside it.

    python examples/estimator_train.py [MODEL_DIR]    # logs/estimator_train if none is given
    tensorboard --logdir logs                         # then open the Layers tab

Needs TensorFlow 2.15, the last one with `tf.estimator`, and scikit-learn for its 1,797 handwritten digits.
"""

from __future__ import annotations

import sys

import tensorflow as tf
from sklearn.datasets import load_digits

import tb_layerview as lv


def model_fn(features: tf.Tensor, labels: tf.Tensor, mode: str) -> tf.estimator.EstimatorSpec:
    """Two dense layers, in plain TensorFlow 1; the hook finds them in the graph."""
    hidden = tf.compat.v1.layers.dense(features, 32, activation=tf.nn.relu, name="hidden")
    logits = tf.compat.v1.layers.dense(hidden, 10, name="logits")
    loss = tf.compat.v1.losses.sparse_softmax_cross_entropy(labels, logits)
    accuracy = tf.compat.v1.metrics.accuracy(labels, tf.argmax(logits, axis=1))
    train_op = tf.compat.v1.train.AdamOptimizer().minimize(loss, tf.compat.v1.train.get_global_step())
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op, eval_metric_ops={"accuracy": accuracy})


def main(model_dir: str = "logs/estimator_train") -> None:
    """Trains for 60 steps, evaluates, and logs every layer of both."""
    digits = load_digits()
    pixels, labels = (digits.data / 16).astype("float32"), digits.target

    def training_data() -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((pixels[300:], labels[300:])).shuffle(1500, seed=0).repeat().batch(64)

    def test_data() -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((pixels[:300], labels[:300])).batch(100)

    estimator = tf.estimator.Estimator(model_fn, model_dir, tf.estimator.RunConfig(tf_random_seed=0))
    hook = lv.LayerViewHook(estimator.model_dir)
    estimator.train(training_data, hooks=[hook], steps=60)
    results = estimator.evaluate(test_data, hooks=[hook])  # logged into the run MODEL_DIR/evaluate
    print(f"{results['global_step']} steps, loss {results['loss']:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
