"""Trainings on more than one device: the same to the last bit, and what is logged is true."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from forks import Forks

pytest.importorskip("tensorflow")

import programs_on_two_devices as program

from tb_layerview import LayerReader
from tb_layerview.reading.run import Run


@pytest.fixture(scope="module")
def trained(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder in which the program left what it trained in its own process; each way, and what is named, once."""

    @functools.cache
    def train(what: str, *names: str) -> Path:
        folder = tmp_path_factory.mktemp(what)
        _, warnings = forks.run(program.__file__, what, folder, *names, seconds=900)
        assert "Nothing is logged" not in warnings
        return folder

    return train


def logged(run: Run, layer: str, step: int, kind: str = "activation", name: str = "output") -> np.ndarray:
    return run.values(run.tensor(layer, kind=kind, name=name), step).array


def dense(run: Run, x: np.ndarray, layer: str, step: int) -> np.ndarray:
    kernel, bias = (logged(run, layer, step, "weight", name).astype(float) for name in ("kernel", "bias"))
    return x.astype(float) @ kernel + bias


def assert_close(one: np.ndarray, other: np.ndarray) -> None:
    assert one.shape == other.shape
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def gradients(run: Run, x: np.ndarray, y: np.ndarray, step: int) -> dict[tuple[str, str], np.ndarray]:
    """Of the mean squared error on a batch, by hand, with the weights that are logged at a step."""
    hidden = np.tanh(dense(run, x, "hidden", step))
    error = 2 * (dense(run, hidden, "scores", step) - y) / y.size
    before = error @ logged(run, "scores", step, "weight", "kernel").astype(float).T * (1 - hidden**2)
    return {
        ("scores", "kernel"): hidden.T @ error,
        ("scores", "bias"): error.sum(axis=0),
        ("hidden", "kernel"): x.astype(float).T @ before,
        ("hidden", "bias"): before.sum(axis=0),
    }


@pytest.mark.covers("More than one device: MirroredStrategy, Keras")
@pytest.mark.parametrize("what", [pytest.param("keras", marks=pytest.mark.once), "keras-noisy"])
@pytest.mark.parametrize("probe", ["default", "given"])
@pytest.mark.core("default-keras-noisy", "*-keras")
def test_keras_on_two_replicas_trains_to_the_same_bits(what: str, probe: str, trained: Callable[..., Path]) -> None:
    # The network without noise is trained with both probes for the test below; to train it once more tells nothing new.
    folder = trained("keras", "bare", "default", "given") if what == "keras" else trained(what, "bare", probe)
    bare, with_callback = (np.load(folder / f"{name}.npz") for name in ("bare", probe))
    assert sorted(bare.files) == sorted(with_callback.files) and {"loss", "mae"} <= set(bare.files)
    for name in bare.files:
        np.testing.assert_array_equal(bare[name], with_callback[name], err_msg=name)
    assert list(LayerReader(folder).run(probe).steps) == list(range(11))


@pytest.mark.covers("More than one device: MirroredStrategy, Keras")
@pytest.mark.parametrize(("probe", "examples"), [("default", 16), ("given", program.PROBE)])
@pytest.mark.once
def test_keras_on_two_replicas_logs_one_copy_of_what_is_true_of_the_probe(
    probe: str, examples: int, trained: Callable[..., Path]
) -> None:
    folder = trained("keras", "bare", "default", "given")
    run = LayerReader(folder).run(probe)
    # What a replay costs depends on how busy the machine is.
    assert not [note for note in run.model.notes if "of the training time" not in note]
    assert [(t.layer, t.name) for t in run.tensors if t.kind == "weight"] == [
        (layer, name) for layer in ("hidden", "scores") for name in ("kernel", "bias")
    ]
    x, y = program.X[:examples], program.Y[:examples]
    np.testing.assert_array_equal(logged(run, "input", 10), x)
    # The weights after the training are the first that the program saved.
    with np.load(folder / f"{probe}.npz") as saved:
        np.testing.assert_array_equal(logged(run, "hidden", 10, "weight", "kernel"), saved["arr_0"])
    for step in (0, 5, 10):
        hidden = np.tanh(dense(run, x, "hidden", step))
        scores = dense(run, hidden, "scores", step)
        assert_close(logged(run, "hidden", step), hidden)
        assert_close(logged(run, "scores", step), scores)
        assert run.scalars["probe_loss"][step] == pytest.approx(np.mean((scores - y) ** 2), rel=1e-5)
        for (layer, name), truth in gradients(run, x, y, step).items():
            assert_close(logged(run, layer, step, "gradient", name), truth)


@pytest.mark.covers("More than one device: MirroredStrategy, Keras", "What and when: kind optimizer, callback")
@pytest.mark.long
def test_on_two_replicas_one_copy_is_logged_of_what_the_optimizer_keeps(trained: Callable[..., Path]) -> None:
    folder = trained("optimizer")
    run = LayerReader(folder).run()
    weights = [(layer, name) for layer in ("hidden", "scores") for name in ("kernel", "bias")]
    names = [(layer, f"{weight}/{slot}") for layer, weight in weights for slot in ("momentum", "velocity")]
    assert [(t.layer, t.name) for t in run.tensors if t.kind == "optimizer"] == names
    assert list(run.steps) == list(range(6))
    with np.load(folder / program.OF_STEPS) as kept:
        assert len(kept.files) == 5 * len(names)
        for step in range(6):
            for place, (layer, weight) in enumerate(weights):
                for slot in ("momentum", "velocity"):
                    found = logged(run, layer, step, "optimizer", f"{weight}/{slot}")
                    truth = kept[f"{step}/{slot}/{place}"] if step else np.zeros_like(found)
                    assert step == 0 or truth.any()
                    np.testing.assert_array_equal(found, truth, err_msg=f"{step} {layer} {weight} {slot}")


@pytest.mark.estimator
@pytest.mark.covers("More than one device: MirroredStrategy, Estimator", "What and when: kind update, hook")
def test_an_estimator_on_two_replicas_logs_the_first_ones_activations_and_the_merged_gradients(
    trained: Callable[..., Path],
) -> None:
    import tensorflow as tf

    folder = trained("estimator")
    run = LayerReader(folder / "hook").run()
    assert list(run.steps) == list(range(1, 7))
    assert [(t.layer, t.name) for t in run.tensors if t.kind == "weight"] == [
        (layer, name) for layer in ("hidden", "scores") for name in ("kernel", "bias")
    ]
    assert len([t for t in run.tensors if t.kind == "update"]) == 4  # one copy of each weight
    for step in range(1, 7):
        before = tf.train.load_checkpoint(str(folder / "bare" / f"model.ckpt-{step - 1}"))
        bare, hooked = (tf.train.load_checkpoint(str(folder / n / f"model.ckpt-{step}")) for n in ("bare", "hook"))
        for name in bare.get_variable_to_shape_map():
            np.testing.assert_array_equal(bare.get_tensor(name), hooked.get_tensor(name), err_msg=name)
        for layer in ("hidden", "scores"):
            for name in ("kernel", "bias"):
                saved = bare.get_tensor(f"{layer}/{name}")
                np.testing.assert_array_equal(logged(run, layer, step, "weight", name), saved)
                change = saved - before.get_tensor(f"{layer}/{name}")
                np.testing.assert_array_equal(logged(run, layer, step, "update", name), change)
        assert bare.get_variable_to_shape_map() == hooked.get_variable_to_shape_map()
    for step in range(2, 7):
        # Each replica takes eight examples: the first one the first eight of the step's sixteen.
        start = 16 * (step - 1) % 64
        x, y = program.X[start : start + 16], program.Y[start : start + 16]
        hidden = np.tanh(dense(run, x[:8], "hidden", step - 1))
        assert_close(logged(run, "hidden", step), hidden)
        assert_close(logged(run, "scores", step), dense(run, hidden, "scores", step - 1))
        for (layer, name), truth in gradients(run, x, y, step - 1).items():
            gradient = logged(run, layer, step, "gradient", name)
            assert_close(gradient, truth)
            # It is the one that was applied.
            change = logged(run, layer, step, "weight", name) - logged(run, layer, step - 1, "weight", name)
            np.testing.assert_allclose(change, -program.RATE * gradient, rtol=1e-3, atol=1e-6)
