"""The demo's model: what is logged of it is what TensorFlow and numpy say."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
pytest.importorskip("sklearn")

from tb_layerview import LayerReader, Schedule  # noqa: E402
from tb_layerview.commands import demo  # noqa: E402
from tb_layerview.commands.cli import main  # noqa: E402
from tb_layerview.options import CORE, is_rung  # noqa: E402
from tb_layerview.reading.run import Run  # noqa: E402

FLOAT16 = 2.0**-10


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Run]:
    """The demo's model after two epochs, and its log."""
    folder = tmp_path_factory.mktemp("demo")
    model = demo.train(str(folder), epochs=2)
    return model, LayerReader(folder).run()


def test_every_layer_is_logged_with_all_its_kinds(trained: tuple[Any, Run]) -> None:
    _, run = trained
    logged = {(t.layer, t.kind) for t in run.tensors}
    for layer in ("block_1/conv", "block_1/norm", "block_2/conv", "block_2/norm", "hidden", "classes"):
        assert {(layer, "activation"), (layer, "weight"), (layer, "gradient")} <= logged
    for layer in ("input", "block_1/relu", "pool", "flatten", "dropout"):
        assert (layer, "activation") in logged
    assert not run.problems
    # What logging and a replay cost depends on how busy the machine is.
    assert not [note for note in run.model.notes if "of the training time" not in note]


def test_all_phases_of_the_training_are_logged_on_the_default_schedule(trained: tuple[Any, Run]) -> None:
    _, run = trained
    last = 2 * 57  # batches of 256 in 9 * 1,617 pictures
    assert run.model.schedule == Schedule().in_words()
    assert {step for step in range(last) if is_rung(step, per_octave=CORE)} | {last} <= {*run.steps.tolist()}
    assert run.steps[-1] == last


def test_moved_pictures_are_the_picture_and_its_eight_neighbours() -> None:
    picture = np.arange(1, 65, dtype=np.float32).reshape(1, 8, 8, 1)
    found = demo.moved(picture)
    assert found.shape == (9, 8, 8, 1)
    wanted = set()
    for down, right in itertools.product((-1, 0, 1), repeat=2):
        shifted = np.roll(picture, (down, right), (1, 2))
        shifted[:, {1: slice(0, 1), 0: slice(0, 0), -1: slice(7, 8)}[down]] = 0
        shifted[:, :, {1: slice(0, 1), 0: slice(0, 0), -1: slice(7, 8)}[right]] = 0
        wanted.add(shifted.tobytes())
    assert {one.tobytes() for one in found} == wanted


def test_weights_are_those_of_get_weights(trained: tuple[Any, Run]) -> None:
    model, run = trained
    step = int(run.steps[-1])
    layers = {"hidden": model.get_layer("hidden"), "block_2/conv": model.get_layer("block_2").get_layer("conv")}
    for path, layer in layers.items():
        kernel = layer.get_weights()[0]
        tensor = run.tensor(path, kind="weight", name="kernel")
        kept = run.values(tensor, step)
        truth = kernel[tuple(axis.as_slice() for axis in kept.axes)]
        np.testing.assert_allclose(kept.array, truth, rtol=FLOAT16, atol=1e-9)
        wide = kernel.astype(np.float64)
        assert run.digest(tensor, step).std == pytest.approx(wide.std(), rel=1e-5)
        assert run.digest(tensor, step).mean == pytest.approx(wide.mean(), rel=1e-5)
        assert run.digest(tensor, step).max == kernel.max()


def test_activations_are_those_of_the_layers_called_by_hand(trained: tuple[Any, Run]) -> None:
    model, run = trained
    step = int(run.steps[-1])
    images, _ = demo.digits()
    probe = run.values(run.tensor("input"), step).array
    # The probe is of the first training batch; each of its pictures is one of the digits, moved or not.
    images = demo.moved(images)
    assert all((images == picture).all(axis=(1, 2, 3)).any() for picture in probe)
    before = [np.asarray(w).copy() for w in model.get_weights()]
    first, second = model.get_layer("block_1"), model.get_layer("block_2")
    truth = np.asarray(second(first(tf.constant(probe), training=True), training=True))
    model.set_weights(before)
    tensor = run.tensor("block_2/relu", kind="activation")
    np.testing.assert_allclose(run.values(tensor, step).array, truth, rtol=2 * FLOAT16, atol=2e-3)
    assert run.digest(tensor, step).rms == pytest.approx(np.sqrt(np.mean(truth.astype(np.float64) ** 2)), rel=1e-4)


def test_the_last_layers_gradient_is_that_worked_by_hand(trained: tuple[Any, Run]) -> None:
    _, run = trained
    step = int(run.steps[-1])
    images, labels = demo.digits()
    images, labels = demo.moved(images), np.tile(labels, 9)
    probe = run.values(run.tensor("input"), step).array
    targets = labels[[int(np.flatnonzero((images == picture).all(axis=(1, 2, 3)))[0]) for picture in probe]]
    # Cross entropy of softmax: dL/dlogits = (softmax - one hot) / examples; the kernel's gradient is inputsᵀ of that.
    logits = run.values(run.tensor("classes", kind="activation"), step).array.astype(np.float64)
    inputs = run.values(run.tensor("dropout", kind="activation"), step).array.astype(np.float64)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    error = shares / shares.sum(axis=1, keepdims=True) - np.eye(10)[targets]
    gradient = inputs.T @ error / len(targets)
    digest = run.digest(run.tensor("classes", kind="gradient", name="kernel"), step)
    assert digest.rms == pytest.approx(np.sqrt(np.mean(gradient**2)), rel=2e-2)
    assert digest.max == pytest.approx(gradient.max(), rel=2e-2)


def test_the_command_trains_and_stops_where_it_is_told_not_to_serve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = demo.train
    monkeypatch.setattr(demo, "train", lambda logdir: short(logdir, epochs=1))
    assert main(["demo", "--no-serve", "--logdir", str(tmp_path / "run")]) == 0
    assert "look at them with  tensorboard --logdir" in capsys.readouterr().out
    assert LayerReader(tmp_path).run("run").steps[-1] == 57
