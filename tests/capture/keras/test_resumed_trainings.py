"""A training that goes on from what was saved: its steps are the optimizer's, whoever restores it, and wherever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from two_layers import logged  # noqa: E402

from tb_layerview import Keep, LayerReader, LayerViewCallback  # noqa: E402

keras = tf.keras
layers = keras.layers
EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6)

rng = np.random.default_rng(4)
X = rng.normal(size=(32, 6)).astype(np.float32)
Y = rng.normal(size=(32, 3)).astype(np.float32)


def two_layers() -> Any:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6,))
    hidden = layers.Dense(5, activation="tanh", name="hidden")(inputs)
    model = keras.Model(inputs, layers.Dense(3, name="scores")(hidden))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


class Crashed(Exception):  # noqa: N818
    pass


class Remember(keras.callbacks.Callback):  # type: ignore[misc,name-defined]
    """The kernel after each step, by the optimizer's count; ends the training with an error after one of them."""

    def __init__(self, kernels: dict[int, Any], crash_after: int = -1) -> None:
        super().__init__()
        self._kernels, self._crash_after = kernels, crash_after

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        step = int(self.model.optimizer.iterations)
        self._kernels[step] = self.model.get_layer("hidden").get_weights()[0]
        if step == self._crash_after:
            raise Crashed


class Restore(keras.callbacks.Callback):  # type: ignore[misc,name-defined]
    """Restores a checkpoint by hand, once, at one of the hooks."""

    def __init__(self, path: str, hook: str) -> None:
        super().__init__()
        self._path: str | None = path
        setattr(self, hook, self._restore)

    def _restore(self, *_: Any, **__: Any) -> None:
        if self._path is not None:
            tf.train.Checkpoint(model=self.model, optimizer=self.model.optimizer).restore(self._path)
        self._path = None


def fit(model: Any, callbacks: list[Any], epochs: int = 3) -> None:
    model.fit(X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)


def assert_logged(folder: Path, kernels: dict[int, Any], last: int) -> None:
    run = LayerReader(folder).run()
    assert list(run.steps) == list(range(last + 1))
    for step in range(1, last + 1):
        np.testing.assert_array_equal(logged(run, ("hidden", "weight", "kernel"), step), kernels[step])


@pytest.mark.parametrize(
    ("save_freq", "is_behind", "is_new"),
    [
        pytest.param("epoch", True, True, id="behind ours, at an epoch's end, a new process"),
        pytest.param("epoch", False, True, id="before ours, at an epoch's end, a new process"),
        pytest.param(3, True, True, id="behind ours, within an epoch, a new process"),
        pytest.param(3, True, False, id="behind ours, within an epoch, the same model and callback"),
        pytest.param(3, False, False, id="before ours, within an epoch, the same model and callback"),
    ],
)
@pytest.mark.core(
    "before ours, at an epoch's end, a new process", "behind ours, within an epoch, the same model and callback"
)
def test_what_a_backup_has_restored_goes_on_with_its_own_steps(
    save_freq: Any, is_behind: bool, is_new: bool, tmp_path: Path
) -> None:
    kernels: dict[int, Any] = {}
    model, ours = two_layers(), LayerViewCallback(tmp_path / "run", schedule=1, keep=EXACT)

    def callbacks(crash_after: int) -> list[Any]:
        backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"), save_freq=save_freq)
        return [*([ours, backup] if is_behind else [backup, ours]), Remember(kernels, crash_after)]

    with pytest.raises(Crashed):
        fit(model, callbacks(7))
    before = dict(kernels)
    if is_new:
        model, ours = two_layers(), LayerViewCallback(tmp_path / "run", schedule=1, keep=EXACT)
    kernels.clear()
    fit(model, callbacks(-1))
    restored, last = min(kernels) - 1, max(kernels)
    assert restored == (4 if save_freq == "epoch" else 6) and last == int(model.optimizer.iterations) > restored
    assert_logged(tmp_path / "run", {**before, **kernels}, last)
    # Keras 3 begins with the epoch that it has restored from then on, whatever `fit` says. Keras 2 misses what its
    # callback has taken away.
    if not hasattr(model, "_training_state"):
        model._training_state = None
    fit(model, [ours, Remember(kernels)], epochs=1 + (getattr(model, "_initial_epoch", None) or 0))
    assert_logged(tmp_path / "run", {**before, **kernels}, last + 4)


@pytest.mark.parametrize("hook", ["on_train_begin", "on_epoch_begin", "on_train_batch_begin"])
def test_what_is_restored_by_hand_goes_on_with_its_own_steps(hook: str, tmp_path: Path) -> None:
    kernels: dict[int, Any] = {}
    model = two_layers()
    ours = LayerViewCallback(tmp_path / "run", schedule=1, keep=EXACT)
    fit(model, [ours, Remember(kernels)], epochs=1)
    path = tf.train.Checkpoint(model=model, optimizer=model.optimizer).save(str(tmp_path / "ckpt"))
    fit(model, [ours, Remember(kernels)], epochs=1)
    for callback in (ours, LayerViewCallback(tmp_path / "run", schedule=1, keep=EXACT)):
        # The same callback after a step back, and a new one of a model that has counted nothing yet.
        model = model if callback is ours else two_layers()
        model.optimizer.build(model.trainable_variables)
        fit(model, [callback, Restore(path, hook), Remember(kernels)], epochs=3)
        assert int(model.optimizer.iterations) == 16 == max(kernels)
        assert_logged(tmp_path / "run", kernels, 16)
