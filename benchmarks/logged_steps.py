"""A logged step, from the probe's pass to the bytes on disk, against Keras' own histograms."""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from typing import Any

import tensorflow as tf

from benchmarks.measuring import Action, Options, Row, ratio_row, ratios
from benchmarks.models import IMAGES, LABELS, RESNET_IMAGES, RESNET_LABELS, cnn, resnet
from tb_layerview import Select
from tb_layerview.capture.given import Given
from tb_layerview.capture.keras.tf.batch import Batch
from tb_layerview.capture.keras.tf.probe import ProbePass
from tb_layerview.writing.log_files import LogFiles
from tb_layerview.writing.step import Step

EXAMPLES = 32


@dataclasses.dataclass(frozen=True)
class LoggedStep:
    """One logged step without values, and its parts.

    Attributes:
      whole: From the pass to the bytes on disk.
      written: What is measured and written of a pass; by the writing thread while the training goes on.
    """

    whole: Action
    written: Action

    @classmethod
    def of(cls, model: Any, images: Any, labels: Any, select: Select, folder: str) -> LoggedStep:
        """A step of a model that logs what is selected into a folder."""
        probe = ProbePass(model, _probe(images, labels), "", Given(select))
        log = LogFiles(folder)
        log.describe(probe.model)
        number = itertools.count()

        def write(found: Step) -> None:
            log.write(next(number), found.measurements(), scalars=found.scalars)

        found = probe.run(0, with_values=False)
        return cls(lambda: write(probe.run(0, with_values=False)), lambda: write(found))


def model_pass(model: Any, images: Any, labels: Any) -> Action:
    """What the model itself does in a logged step: forward and backward over the probe, and nothing is looked at."""
    batch = _probe(images, labels)

    @tf.function
    def run() -> Any:
        with tf.GradientTape() as tape:
            loss = model.compute_loss(batch.x, batch.y, model(batch.x, training=True))
        return tape.gradient(loss, [v.value for v in model.trainable_variables])

    return lambda: run()[0].numpy()


def _probe(images: Any, labels: Any) -> Batch:
    return Batch(tf.constant(images[:EXAMPLES]), tf.constant(labels[:EXAMPLES]))


def keras_histograms(model: Any, folder: str) -> Action:
    """What Keras' TensorBoard callback does with histogram_freq=1 at the end of an epoch."""
    callback = tf.keras.callbacks.TensorBoard(folder, histogram_freq=1, update_freq="epoch", write_graph=False)
    callback.set_model(model)
    callback.on_train_begin()
    epoch = iter(range(10**9))
    return lambda: callback._log_weights(next(epoch))  # no public name for this part alone


def rows(options: Options) -> list[Row]:
    """Weights alone, and all kinds that a pass gives, for both models, and what these consist of."""
    found = []
    models = [
        ("CNN, 3.3 million parameters", cnn(), IMAGES, LABELS, 15, {"weights": 1 / 50, "all": 1 / 10}),
        ("ResNet-50, 96 px", resnet(), RESNET_IMAGES, RESNET_LABELS, 5, {"weights": 0.015, "beyond": 1 / 10}),
    ]
    for name, model, images, labels, rounds, goals in models:
        with tempfile.TemporaryDirectory() as folder:
            weights = LoggedStep.of(model, images, labels, Select(kinds=("weight",)), f"{folder}/weights")
            kinds = Select(kinds=("weight", "activation", "gradient"))
            everything = LoggedStep.of(model, images, labels, kinds, f"{folder}/all")
            actions = {
                "keras": keras_histograms(model, f"{folder}/keras"),
                "weights": weights.whole,
                "all": everything.whole,
                "all, model": model_pass(model, images, labels),
                "all, written": everything.written,
            }
            timed = dict(zip(actions, ratios(list(actions.values()), options.rounds(rounds))))
        against = "Keras `TensorBoard(histogram_freq=1)`, its own cost for an epoch, weights alone"
        keras = timed["keras"]
        beyond = [whole - model for whole, model in zip(timed["all"], timed["all, model"])]
        kinds_in_words = f"weights, activations of {EXAMPLES} examples, gradients"
        of_weights = f"a logged step, weights, no values: {name}"
        of_all = f"a logged step, {kinds_in_words}, no values: {name}"
        of_beyond = f"of that, all but the model's own pass over these examples: {name}"
        found += [
            ratio_row(of_weights, against, timed["weights"], keras, most=goals.get("weights")),
            ratio_row(of_all, against, timed["all"], keras, most=goals.get("all")),
            ratio_row(of_beyond, against, beyond, keras, most=goals.get("beyond")),
            ratio_row("of that, what the writing thread does", against, timed["all, written"], keras),
        ]
    return found
