"""A logged step, from the probe's pass to the bytes on disk, against Keras' own histograms."""

from __future__ import annotations

import tempfile
from typing import Any

import tensorflow as tf

from benchmarks.measuring import Action, Options, Row, ratio_row, ratios
from benchmarks.models import IMAGES, LABELS, RESNET_IMAGES, RESNET_LABELS, cnn, resnet
from tb_layerview import Keep, Select
from tb_layerview.keras_probe import Batch, ProbePass
from tb_layerview.log import Log

EXAMPLES = 32


def logged_step(model: Any, images: Any, labels: Any, select: Select, folder: str) -> Action:
    """One logged step without values."""
    probe = ProbePass(model, Batch(tf.constant(images[:EXAMPLES]), tf.constant(labels[:EXAMPLES])), "", select, Keep())
    log = Log(folder)
    log.describe(probe.model)
    step = iter(range(10**9))

    def run() -> None:
        fetched, scalars = probe.run(with_values=False)
        log.write(next(step), probe.measurements(fetched), scalars=scalars)

    return run


def keras_histograms(model: Any, folder: str) -> Action:
    """What Keras' TensorBoard callback does with histogram_freq=1 at the end of an epoch."""
    callback = tf.keras.callbacks.TensorBoard(folder, histogram_freq=1, update_freq="epoch", write_graph=False)
    callback.set_model(model)
    callback.on_train_begin()
    epoch = iter(range(10**9))
    return lambda: callback._log_weights(next(epoch))  # no public name for this part alone


def rows(options: Options) -> list[Row]:
    """Weights alone, and all kinds that a pass gives, for both models."""
    found = []
    models = [
        ("CNN, 3.3 million parameters", cnn(), IMAGES, LABELS, 15),
        ("ResNet-50, 96 px", resnet(), RESNET_IMAGES, RESNET_LABELS, 5),
    ]
    for name, model, images, labels, rounds in models:
        with tempfile.TemporaryDirectory() as folder:
            actions = [
                keras_histograms(model, f"{folder}/keras"),
                logged_step(model, images, labels, Select(kinds=("weight",)), f"{folder}/weights"),
                logged_step(model, images, labels, Select(kinds=("weight", "activation", "gradient")), f"{folder}/all"),
            ]
            keras, weights, everything = ratios(actions, options.rounds(rounds))
        against = "Keras `TensorBoard(histogram_freq=1)`, its own cost for an epoch, weights alone"
        found += [
            ratio_row(f"a logged step, weights, no values: {name}", against, weights, keras, most=1 / 50),
            ratio_row(
                f"a logged step, weights, activations of {EXAMPLES} examples, gradients, no values: {name}",
                against,
                everything,
                keras,
                most=1 / 10,
            ),
        ]
    return found
