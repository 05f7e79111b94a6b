"""What a Keras model's layers do in training and in inference mode: measured, and found where it differs much."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tb_layerview import Keep, LayerReader, LayerViewCallback
from tb_layerview.format.model import Layer, Model, Tensor
from tb_layerview.format.statistics import SUMMARIES
from tb_layerview.health.diagnosis import diagnose
from tb_layerview.health.finding import Finding
from tb_layerview.health.of_run import evidence_of
from tb_layerview.health.rules.modes import TrainInferenceShift
from tb_layerview.health.watch import Watch
from tb_layerview.measure.host import measure
from tb_layerview.measure.measurement import Measurement
from tb_layerview.measure.summary import summarise
from tb_layerview.writing import log_files

tf = pytest.importorskip("tensorflow")
layers = tf.keras.layers

EXACT = Keep(activations=10**6, examples=10**4, precision="float32")


def shift_by_hand(training: np.ndarray, inference: np.ndarray, is_random: bool) -> float:
    """The 2-Wasserstein distance of each unit's normal distributions, all together, by the smaller size.

    Of what is random by design, of the means alone.
    """
    one, other = (a.reshape(-1, a.shape[-1]).astype(np.float64) for a in (training, inference))
    apart = ((one.mean(axis=0) - other.mean(axis=0)) ** 2).sum()
    apart += 0 if is_random else ((one.std(axis=0) - other.std(axis=0)) ** 2).sum()
    size = min((one**2).mean(axis=0).sum(), (other**2).mean(axis=0).sum())
    return float(np.sqrt(apart / size))


def small_network() -> Any:
    tf.keras.utils.set_random_seed(5)
    given = tf.keras.Input((8, 8, 3), name="given")
    x = layers.Conv2D(6, 3, name="conv")(given)
    x = layers.BatchNormalization(momentum=0.9, name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(0.5, seed=3, name="dropout")(x)
    x = layers.Dense(300, activation="tanh", name="dense")(x)
    x = layers.BatchNormalization(name="wide_norm")(x)
    model = tf.keras.Model(given, layers.Dense(1, name="score")(x))
    model.compile(tf.keras.optimizers.Adam(1e-3), "mse")
    return model


RNG = np.random.default_rng(2)
IMAGES = (3 + 2 * RNG.normal(size=(96, 8, 8, 3))).astype(np.float32)
TARGETS = IMAGES.mean(axis=(1, 2, 3))[:, None]


def test_shift_is_the_distance_of_what_a_layer_gives_by_hand_in_both_modes(tmp_path: Path) -> None:
    model = small_network()
    callback = LayerViewCallback(tmp_path, probe=(IMAGES[:32], TARGETS[:32]), schedule=1, keep=EXACT)
    model.fit(IMAGES, TARGETS, batch_size=16, verbose=0, callbacks=[callback])
    run = LayerReader(tmp_path).run()
    shift, last = run.statistics("shift"), int(run.steps[-1])
    has = {run.tensors[i].layer for i in np.flatnonzero(~np.isnan(shift[:, -1]))}
    assert has == {"norm", "dropout", "wide_norm"}  # those that do something else themselves
    for name in sorted(has):
        tensor = run.tensor(name, kind="activation")
        by_hand = tf.keras.Model(model.input, model.get_layer(name).output)(IMAGES[:32], training=False).numpy()
        truth = shift_by_hand(run.values(tensor, last).array, by_hand, name == "dropout")
        assert shift[tensor, -1] == pytest.approx(truth, rel=1e-3)
    norm = run.tensor("norm", kind="activation")
    in_training = tf.keras.Model(model.input, model.get_layer("norm").output)(IMAGES[:32], training=True).numpy()
    np.testing.assert_allclose(run.values(norm, last).array, in_training, atol=1e-4)


def test_a_training_that_is_run_in_both_modes_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    def train(callbacks: list[Any]) -> list[np.ndarray]:
        model = small_network()
        model.fit(IMAGES, TARGETS, batch_size=16, epochs=2, verbose=0, callbacks=callbacks)
        return list(model.get_weights())

    bare = train([])
    logged = train([LayerViewCallback(tmp_path, schedule=1)])
    assert not np.isnan(LayerReader(tmp_path).run().statistics("shift")).all()
    for one, other in zip(bare, logged, strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_is_measured_where_values_are_kept_and_units_are_measured(tmp_path: Path) -> None:
    from tb_layerview.capture.given import Given
    from tb_layerview.capture.keras.tf.batch import Batch
    from tb_layerview.capture.keras.tf.probe import ProbePass
    from tb_layerview.options import Select

    model = small_network()
    batch = Batch(tf.constant(IMAGES[:8]), tf.constant(TARGETS[:8]))

    def measured(probe: Any, with_values: bool) -> set[str]:
        found = probe.run(0, with_values).measurements()
        return {probe.model.layers[probe.model.tensors[i].layer].path for i, m in found.items() if "shift" in m.sparse}

    whole = ProbePass(model, batch, "by hand", Given())
    assert measured(whole, with_values=True) == {"norm", "dropout", "wide_norm"}
    assert measured(whole, with_values=False) == set()
    selected = ProbePass(model, batch, "by hand", Given(Select(include=("norm", "dense"))))
    assert measured(selected, with_values=True) == {"norm"}
    without_units = ProbePass(model, batch, "by hand", Given(keep=Keep(units=False)))
    assert measured(without_units, with_values=True) == set()
    plain = tf.keras.Sequential([tf.keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(1)])
    plain.compile("sgd", "mse")
    probe = ProbePass(plain, batch, "by hand", Given())
    assert measured(probe, with_values=True) == set()
    assert probe._inference is None


def test_a_model_that_fails_in_inference_mode_is_logged_all_the_same(tmp_path: Path) -> None:
    class TrainsOnly(tf.keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(1, name="dense")

        def call(self, x: Any, training: bool = False) -> Any:
            if not training:
                raise RuntimeError("I only train")
            return self.dense(x)

    model = TrainsOnly()
    model.compile("sgd", "mse")
    x = RNG.normal(size=(32, 3)).astype(np.float32)
    model(x, training=True)
    model.fit(x, x[:, :1], verbose=0, callbacks=[LayerViewCallback(tmp_path, schedule=1)])
    run = LayerReader(tmp_path).run()
    assert (
        "the model cannot be run in inference mode (RuntimeError: I only train): shift is left out" in run.model.notes
    )
    rms = run.statistics("rms")[[tensor.index for tensor in run.tensors if tensor.kind == "activation"]]
    assert not np.isnan(rms).any() and np.isnan(run.statistics("shift")).all()


def of_shift(logdir: Path) -> list[Finding]:
    found = diagnose(evidence_of(LayerReader(logdir).run()))
    return [finding for finding in found if finding.rule == TrainInferenceShift.name]


def train_norm(
    folder: Path, x: np.ndarray, batch: int, steps: int, hidden: tuple[Any, ...], optimizer: str = "adam"
) -> None:
    """Trains on the mean of what is given; every fourth step is logged, with values."""
    tf.keras.utils.set_random_seed(4)
    model = tf.keras.Sequential([tf.keras.Input(x.shape[1:]), *hidden, layers.Flatten(), layers.Dense(1, name="mean")])
    model.compile(optimizer, "mse")
    y = x.reshape(len(x), -1).mean(axis=1)
    y = ((y - y.mean()) / y.std())[:, None]
    repeated = -(-steps * batch // len(x))
    callback = LayerViewCallback(folder, probe=(x[:32], y[:32]), schedule=4, keep=Keep(activations=100))
    model.fit(x, y, batch_size=batch, epochs=repeated, verbose=0, callbacks=[callback])


UNSCALED = (100 + 30 * RNG.normal(size=(512, 12))).astype(np.float32)


def test_moving_statistics_that_hardly_move_are_found(tmp_path: Path) -> None:
    norm = layers.BatchNormalization(momentum=0.9999, name="norm")
    hidden = (layers.Dense(16, activation="relu", name="dense"), norm, layers.Dropout(0.5, name="dropout"))
    train_norm(tmp_path, UNSCALED, 16, 320, hidden)
    (found,) = of_shift(tmp_path)
    assert found.tensor is not None and found.tensor.layer == "norm"
    assert found.severity == "warning" and found.last >= 300
    assert "in inference mode on the probe" in found.words


def test_batches_of_two_that_are_unlike_each_other_are_found(tmp_path: Path) -> None:
    # Each example has a level of its own, and both of a batch the same: no batch knows how much levels differ.
    levels = np.repeat(10 * RNG.normal(size=(256, 1, 1, 1)), 2, axis=0)
    images = (levels + RNG.normal(size=(512, 4, 4, 2))).astype(np.float32)
    tf.keras.utils.set_random_seed(4)
    model = tf.keras.Sequential(
        [tf.keras.Input((4, 4, 2)), layers.BatchNormalization(name="norm"), layers.Flatten(), layers.Dense(1)]
    )
    model.compile("adam", "mse")
    callback = LayerViewCallback(tmp_path, probe=(images[::16], levels[::16, 0, 0]), schedule=4)
    model.fit(images, levels[:, 0, 0], batch_size=2, epochs=2, shuffle=False, verbose=0, callbacks=[callback])
    (found,) = of_shift(tmp_path)
    assert found.tensor is not None and found.tensor.layer == "norm"


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e2])
@pytest.mark.core("1.0")
def test_moving_statistics_that_are_on_their_way_and_dropout_are_not(scale: float, tmp_path: Path) -> None:
    tf.keras.utils.set_random_seed(4)  # layers draw the seeds of their initializers as they are made
    hidden = (
        layers.Dense(16, name="dense"),
        layers.BatchNormalization(name="norm"),
        layers.ReLU(),
        layers.Dropout(0.5, name="dropout"),
        layers.Dense(16, name="again"),
        layers.BatchNormalization(name="norm_again"),
        layers.ReLU(),
        layers.Dropout(0.9, name="more_dropout"),
    )
    train_norm(tmp_path, scale * UNSCALED, 16, 640, hidden)
    assert of_shift(tmp_path) == []
    shift = LayerReader(tmp_path).run().statistics("shift")
    if scale == 1e2:
        assert np.nanmax(shift[:, :10]) > 3  # so that there was something to pass over


def written(folder: Path, shift: dict[int, float]) -> tuple[list[Finding], list[str]]:
    """What is found in a log of 401 steps with this `shift`, in all of it and step by step."""
    tensor = Tensor(0, "activation", "output", (4, 5), "float32", axes=("example", "unit"))
    model = Model((Layer("norm"),), (tensor,))
    out, watch, told = log_files.LogFiles(folder), Watch(model), []
    out.describe(model)
    plain = measure(RNG.normal(size=(4, 5)), units=True)
    for step in range(401):
        sparse = {"shift": shift[step]} if step in shift else {}
        of = {0: Measurement(plain.digest, plain.cells, units=plain.units, sparse=sparse)}
        summaries = summarise(of)
        out.write(step, of, summaries=summaries)
        told += watch.see(step, {0: plain.digest}, {}, summaries)
    out.close()
    assert len(SUMMARIES) == len(summaries)
    return of_shift(folder), [finding.words for finding in told]


@pytest.mark.parametrize("every", [1, 7])
def test_the_rule_asks_that_it_does_not_shrink_and_looks_back_over_half_the_training(
    every: int, tmp_path: Path
) -> None:
    steps = np.arange(0, 401, every)
    stays = dict(zip(steps.tolist(), np.full(len(steps), 4.0)))
    (found,), words = written(tmp_path / "stays", stays)
    # The third that is a sixteenth apart, from 50 on.
    assert 50 <= found.first <= 75 and found.measured["shift"] == found.measured["at_half"] == 4
    assert words == [found.words.replace("on the probe", "on this batch")]
    shrinks = {n: 4 + 1000 * 0.95**n for n in steps.tolist()}
    (late,), words = written(tmp_path / "shrinks", shrinks)
    assert late.first > 200 and words == [late.words]
    small = dict.fromkeys(steps.tolist(), 2.9)
    assert written(tmp_path / "small", small) == ([], [])
    now_and_then = {n: 2.0 if n % 120 == 0 else 40.0 for n in range(0, 401, 40)}
    assert written(tmp_path / "now and then", now_and_then) == ([], [])
