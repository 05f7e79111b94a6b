"""A logged step, from the probe's pass to the bytes on disk, against Keras' own histograms."""

from __future__ import annotations

import dataclasses
import itertools
import math
import tempfile
from typing import Any

import tensorflow as tf

from benchmarks.digests import codes, count
from benchmarks.measuring import Action, Options, Row, ratio_row, ratios
from benchmarks.models import IMAGES, LABELS, RESNET_IMAGES, RESNET_LABELS, cnn, resnet
from tb_layerview import Select
from tb_layerview.capture.given import Given
from tb_layerview.capture.keras.tf.batch import Batch
from tb_layerview.capture.keras.tf.probe import ProbePass
from tb_layerview.measure.tf.on_device import SMALL
from tb_layerview.writing.log_files import LogFiles
from tb_layerview.writing.step import Step

EXAMPLES = 32
_BLOCK = 1 << 18


@dataclasses.dataclass(frozen=True)
class LoggedStep:
    """One logged step without values, and its parts.

    Attributes:
      whole: From the pass to the bytes on disk.
      on_device: The pass and the digests, up to what they leave for the host.
      on_host: What is made of that, and written; by the writing thread while the training goes on.
      least: TensorFlow's count and its cast to float64 alone, over as many elements that lie in the cache.
    """

    whole: Action
    on_device: Action
    on_host: Action
    least: Action

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
        sizes = [math.prod(tensor.shape) for tensor in probe.model.tensors]
        return cls(
            lambda: write(probe.run(0, with_values=False)),
            lambda: probe.run(0, with_values=False),
            lambda: write(found),
            _least(sum(size for size in sizes if size > SMALL)),
        )


def _least(elements: int) -> Action:
    block = tf.random.normal([_BLOCK])
    counted = codes(block)

    def run() -> None:
        for _ in range(round(elements / _BLOCK)):
            count(counted).numpy()
            tf.cast(block, tf.float64)

    return run


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


_LEAST = "TensorFlow's `Bincount` and its cast to float64 alone, over as many elements that lie in the cache"


def rows(options: Options) -> list[Row]:
    """Weights alone, and all kinds that a pass gives, for both models, and what these consist of."""
    found = []
    models = [
        ("CNN, 3.3 million parameters", cnn(), IMAGES, LABELS, 15),
        ("ResNet-50, 96 px", resnet(), RESNET_IMAGES, RESNET_LABELS, 5),
    ]
    for name, model, images, labels, rounds in models:
        with tempfile.TemporaryDirectory() as folder:
            weights = LoggedStep.of(model, images, labels, Select(kinds=("weight",)), f"{folder}/weights")
            kinds = Select(kinds=("weight", "activation", "gradient"))
            everything = LoggedStep.of(model, images, labels, kinds, f"{folder}/all")
            actions = {
                "keras": keras_histograms(model, f"{folder}/keras"),
                "weights": weights.whole,
                "weights, least": weights.least,
                "weights, host": weights.on_host,
                "all": everything.whole,
                "all, device": everything.on_device,
                "all, model": model_pass(model, images, labels),
                "all, least": everything.least,
                "all, host": everything.on_host,
            }
            timed = dict(zip(actions, ratios(list(actions.values()), options.rounds(rounds))))
        against = "Keras `TensorBoard(histogram_freq=1)`, its own cost for an epoch, weights alone"
        keras, device = timed["keras"], timed["all, device"]
        digests = [whole - model for whole, model in zip(device, timed["all, model"])]
        kinds_in_words = f"weights, activations of {EXAMPLES} examples, gradients"
        found += [
            ratio_row(f"a logged step, weights, no values: {name}", against, timed["weights"], keras, most=1 / 50),
            ratio_row(f"of that, {_LEAST}", against, timed["weights, least"], keras),
            ratio_row("of that, what the writing thread does", against, timed["weights, host"], keras),
            ratio_row(f"a logged step, {kinds_in_words}, no values: {name}", against, timed["all"], keras, most=1 / 10),
            ratio_row("of that, the model's own pass over these examples", against, timed["all, model"], keras),
            ratio_row("of that, digests on the device: all of the pass but the model's own", against, digests, keras),
            ratio_row(f"of these, {_LEAST}", against, timed["all, least"], keras),
            ratio_row("of that, what the writing thread does", against, timed["all, host"], keras),
        ]
    return found
