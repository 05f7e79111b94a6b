"""Logs a Keras model from a training loop of one's own, with a `GradientTape`.

    python examples/own_loop.py [LOGDIR]    # logs/own_loop if none is given
    tensorboard --logdir logs               # then open the Layers tab

Needs TensorFlow, and scikit-learn for its 1,797 handwritten digits.
"""

from __future__ import annotations

import sys

import tensorflow as tf
from sklearn.datasets import load_digits

import tb_layerview as lv

BATCH = 64


def main(logdir: str = "logs/own_loop") -> None:
    """Trains for two epochs and logs every layer."""
    tf.keras.utils.set_random_seed(0)
    digits = load_digits()
    pixels, labels = (digits.data / 16).astype("float32"), digits.target
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [tf.keras.Input((64,)), layers.Dense(32, activation="relu", name="hidden"), layers.Dense(10, name="logits")]
    )
    loss_of = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = tf.keras.optimizers.Adam()
    model.compile(optimizer, loss_of)  # tells the recorder of which loss the gradients are

    @tf.function
    def train(batch: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = loss_of(targets, model(batch, training=True))
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return loss

    data = tf.data.Dataset.from_tensor_slices((pixels, labels)).shuffle(len(labels), seed=0).batch(BATCH).repeat(2)
    with lv.LayerRecorder(model, logdir, probe=(pixels[:32], labels[:32])) as recorder:
        recorder.record(0)
        for step, batch in enumerate(data, start=1):
            loss = train(*batch)
            # With its batch, a step that breaks the training can be run again, and the layer is named.
            recorder.record(step, {"loss": loss}, batch=batch)
    print(f"{step} steps, loss {float(loss):.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
