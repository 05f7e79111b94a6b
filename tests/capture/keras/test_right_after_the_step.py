"""What is logged of a step is what was right after it, whatever other callbacks change, and wherever they stand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from two_layers import logged  # noqa: E402

from tb_layerview import Check, Keep, LayerReader, LayerViewCallback, Schedule  # noqa: E402
from tb_layerview.reading.run import Run  # noqa: E402

keras = tf.keras
layers = keras.layers
KERAS_3 = keras.version() >= "3" if hasattr(keras, "version") else False
Callback = keras.callbacks.Callback
EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6)
ORDERS = pytest.mark.parametrize("is_behind", [True, False], ids=["behind ours", "before ours"])
KERNEL = ("hidden", "weight", "kernel")
LEFT = "the weights that the training left are not those of step"

rng = np.random.default_rng(6)
X = rng.normal(size=(32, 6)).astype(np.float32)
Y = rng.normal(size=(32, 3)).astype(np.float32)


def two_layers(**options: Any) -> Any:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6,))
    hidden = layers.Dense(5, activation="tanh", name="hidden")(inputs)
    model = keras.Model(inputs, layers.Dense(3, name="scores")(hidden))
    model.compile(options.pop("optimizer", None) or keras.optimizers.SGD(0.5), "mse", metrics=["mae"], **options)
    return model


def kernel_of(model: Any) -> Any:
    return model.get_layer("hidden").get_weights()[0]


class Seen:
    """The kernel right before each step and right after it: callbacks to stand last in the list, and first."""

    def __init__(self) -> None:
        self.after: dict[int, Any] = {}
        self.before: dict[int, Any] = {}

    def first(self) -> Any:
        seen = self

        class First(Callback):  # type: ignore[misc,name-defined]
            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                seen.after[len(seen.after) + 1] = kernel_of(self.model)

        return First()

    def last(self) -> Any:
        seen = self

        class Last(Callback):  # type: ignore[misc,name-defined]
            def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
                seen.before[len(seen.after) + 1] = kernel_of(self.model)

        return Last()


def fit(
    folder: Path, before: list[Any], behind: list[Any], data: dict[str, Any], schedule: Any = 1, **options: Any
) -> tuple[Run, Seen, Any]:
    """A training with callbacks that change weights: the same with ours between them as without it; what it logged."""
    results = []
    for is_logged in (False, True):
        model, seen = two_layers(**options), Seen()
        ours = [LayerViewCallback(folder, schedule=schedule, keep=EXACT)] if is_logged else []
        several = [*(make() for make in before), *ours, *(make() for make in behind)]
        history = model.fit(
            **data, epochs=3, shuffle=False, verbose=0, callbacks=[seen.first(), *several, seen.last()]
        ).history
        results.append((history, model.get_weights()))
    assert results[0][0] == results[1][0]
    assert all(np.array_equal(one, other) for one, other in zip(results[0][1], results[1][1]))
    return LayerReader(folder).run(), seen, model


def assert_right_after(run: Run, seen: Seen, steps: list[int]) -> None:
    """Weights and updates of these steps are those from right before and after the training's function."""
    for step in steps:
        np.testing.assert_array_equal(logged(run, KERNEL, step), seen.after[step])
        update = logged(run, ("hidden", "update", "kernel"), step)
        np.testing.assert_array_equal(update, seen.after[step] - seen.before[step])


ARRAYS = {"x": X, "y": Y, "batch_size": 8}


def _generated() -> Any:
    signature = (tf.TensorSpec((None, 6)), tf.TensorSpec((None, 3)))
    batches = lambda: ((X[i : i + 8], Y[i : i + 8]) for i in range(0, 32, 8))  # noqa: E731
    return tf.data.Dataset.from_generator(batches, output_signature=signature)


def _change(callback: Any) -> None:
    weights = callback.model.get_weights()
    callback.model.set_weights([weight * np.float32(1.5) + np.float32(0.1) for weight in weights])


def changing_at(*hooks: str) -> Callable[[], Any]:
    def make() -> Any:
        callback = Callback()
        for hook in hooks:
            setattr(callback, hook, lambda *_, **__: _change(callback))
        return callback

    return make


@pytest.mark.parametrize("data", [ARRAYS, {"x": _generated()}], ids=["known length", "unknown length"])
@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "on_train_batch_end"])
@pytest.mark.core("on_train_batch_*-known length", "on_epoch_end-unknown length")
def test_what_callbacks_before_and_behind_change_is_in_no_step(hook: str, data: dict[str, Any], tmp_path: Path) -> None:
    run, seen, model = fit(tmp_path, [changing_at(hook)], [changing_at(hook)], data)
    assert list(run.steps) == list(range(13))
    assert_right_after(run, seen, list(range(1, 13)))
    # Keras 3 tells of a batch where there is none any more, in each epoch.
    is_changed = hook.endswith("_end") or (hook == "on_train_batch_begin" and KERAS_3 and data is not ARRAYS)
    assert any(f"{LEFT} 12" in note for note in run.model.notes) == is_changed
    assert np.array_equal(kernel_of(model), seen.after[12]) != is_changed


@ORDERS
@pytest.mark.parametrize("schedule", [1, Schedule(steps=(0,))], ids=["every step", "the last one only"])
@pytest.mark.core("every step-behind ours", "the last one only-before ours")
def test_the_last_step_is_not_what_early_stopping_restores(schedule: Any, is_behind: bool, tmp_path: Path) -> None:
    class Best(keras.callbacks.EarlyStopping):  # type: ignore[misc,name-defined]
        """Each epoch but the first is worse."""

        def __init__(self) -> None:
            super().__init__(monitor="epoch", mode="min", patience=2, restore_best_weights=True)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            super().on_epoch_end(epoch, {"epoch": epoch})

    run, seen, model = fit(tmp_path, *([[], [Best]] if is_behind else [[Best], []]), ARRAYS, schedule)
    np.testing.assert_array_equal(kernel_of(model), seen.after[4])
    assert run.steps[-1] == 12
    np.testing.assert_array_equal(logged(run, KERNEL, 12), seen.after[12])
    if not is_behind:  # who changes the weights behind our last hook does so unseen
        assert any(f"{LEFT} 12" in note for note in run.model.notes)
    if schedule == 1:
        assert_right_after(run, seen, list(range(1, 13)))


class StopAfter(Callback):  # type: ignore[misc,name-defined]
    """Ends the training within an epoch, and changes the weights at its end."""

    def __init__(self, hook: str) -> None:
        super().__init__()
        self._hook = hook

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.stop_training |= self._hook == "on_train_batch_begin" and batch == 2

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.model.stop_training |= self._hook == "on_train_batch_end" and batch >= 2

    def on_train_end(self, logs: Any = None) -> None:
        _change(self)


@ORDERS
@pytest.mark.parametrize("hook", ["on_train_batch_begin", "on_train_batch_end"])
@pytest.mark.core("on_train_batch_begin-before ours", "on_train_batch_end-behind ours")
def test_the_last_step_of_a_training_that_is_stopped_within_an_epoch(
    hook: str, is_behind: bool, tmp_path: Path
) -> None:
    several = [lambda: StopAfter(hook)]
    run, seen, _ = fit(tmp_path, *([[], several] if is_behind else [several, []]), ARRAYS, Schedule(steps=(0,)))
    assert list(run.steps) == [0, 3] and len(seen.after) == 3
    np.testing.assert_array_equal(logged(run, KERNEL, 3), seen.after[3])
    assert any(f"{LEFT} 3" in note for note in run.model.notes) != is_behind
    # Only where it was known before the step is it certain that nobody had changed anything.
    is_late = any("nothing told that step 3 would be the last" in note for note in run.model.notes)
    assert is_late == (hook == "on_train_batch_end")


def test_a_training_that_stops_at_a_finding_logs_the_step_it_stops_after(tmp_path: Path) -> None:
    model, seen = two_layers(), Seen()
    x = np.concatenate([X, X, np.full((8, 6), np.nan, np.float32), X])
    y = np.concatenate([Y, Y, Y[:8], Y])
    ours = LayerViewCallback(tmp_path, schedule=1, keep=EXACT, check=Check(stop_on="error", replay=False))

    class Wait(Callback):  # type: ignore[misc,name-defined]
        """Until the rules have looked at the step that was handed over."""

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            assert ours._training is not None
            ours._training.recording.log.flush()

    model.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0, callbacks=[seen.first(), ours, Wait()])
    run = LayerReader(tmp_path).run()
    assert model.stop_training and len(seen.after) == 10, "the batch of step 9 is not finite"
    assert list(run.steps) == list(range(11))
    np.testing.assert_array_equal(logged(run, KERNEL, 10), seen.after[10])
    assert not any("nothing told" in note for note in run.model.notes)


@pytest.mark.skipif(not KERAS_3, reason="Keras 2 has other ways to average weights")
def test_the_average_that_an_optimizer_leaves_is_not_the_last_step(tmp_path: Path) -> None:
    optimizer = lambda: keras.optimizers.SGD(0.5, use_ema=True)  # noqa: E731
    model, seen = two_layers(optimizer=optimizer()), Seen()
    callbacks = [seen.first(), LayerViewCallback(tmp_path, schedule=Schedule(steps=(0,)), keep=EXACT)]
    model.fit(**ARRAYS, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
    run = LayerReader(tmp_path).run()
    np.testing.assert_array_equal(logged(run, KERNEL, 8), seen.after[8])
    assert not np.array_equal(kernel_of(model), seen.after[8])
    assert any(f"{LEFT} 8" in note for note in run.model.notes)


def test_scalars_of_a_step_are_its_own_and_those_of_one_that_ends_an_epoch_the_epochs(tmp_path: Path) -> None:
    losses: list[float] = []

    class Told(Callback):  # type: ignore[misc,name-defined]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            losses.append(logs["loss"])

    class Grow(Callback):  # type: ignore[misc,name-defined]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.optimizer.learning_rate = 0.1 * (epoch + 1)

    model = two_layers()
    history = model.fit(
        **ARRAYS,
        epochs=2,
        validation_data=(X[:8], Y[:8]),
        verbose=0,
        callbacks=[Told(), Grow(), LayerViewCallback(tmp_path, schedule=1)],
    ).history
    run = LayerReader(tmp_path).run()
    assert run.scalars["loss"][1:] == pytest.approx(losses)
    assert run.scalars["val_loss"][[4, 8]] == pytest.approx(history["val_loss"])
    assert np.isnan(run.scalars["val_loss"][[0, 1, 2, 3, 5, 6, 7]]).all()
    assert run.scalars["learning_rate"] == pytest.approx([0.1] * 4 + [0.2] * 5)


# Evaluations.


class Swap(Callback):  # type: ignore[misc,name-defined]
    """Has other weights evaluated than are trained."""

    def on_test_begin(self, logs: Any = None) -> None:
        self._own = self.model.get_weights()
        self.model.set_weights([weight * np.float32(0.5) + np.float32(0.25) for weight in self._own])

    def on_test_end(self, logs: Any = None) -> None:
        self.model.set_weights(self._own)

    on_predict_begin, on_predict_end = on_test_begin, on_test_end


class Evaluated(Callback):  # type: ignore[misc,name-defined]
    """The kernel that each evaluation was made with."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: list[Any] = []

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 0 or not self.kernels:
            self.kernels.append(kernel_of(self.model))

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        self.on_test_batch_end(batch)


def swapping_averages() -> Any:
    return keras.callbacks.SwapEMAWeights()


@ORDERS
@pytest.mark.parametrize("make", [Swap, *([swapping_averages] if KERAS_3 else [])])
def test_a_validation_is_logged_as_what_was_evaluated(make: Callable[[], Any], is_behind: bool, tmp_path: Path) -> None:
    averages = {"optimizer": keras.optimizers.SGD(0.5, use_ema=True)} if make is swapping_averages else {}
    evaluated, other = Evaluated(), make()
    ours = LayerViewCallback(tmp_path, schedule=1, keep=EXACT)
    model = two_layers(**averages)
    history = model.fit(
        **ARRAYS,
        validation_data=(X[:8], Y[:8]),
        epochs=3,
        verbose=0,
        callbacks=[*([ours, other] if is_behind else [other, ours]), evaluated],
    ).history
    run = LayerReader(tmp_path / "evaluate").run()
    assert list(run.steps) == [4, 8, 12]
    for step, kernel in zip(run.steps, evaluated.kernels, strict=True):
        np.testing.assert_array_equal(logged(run, KERNEL, step), kernel)
        assert not np.array_equal(kernel, logged(LayerReader(tmp_path).run(), KERNEL, step))
    assert run.scalars["loss"] == pytest.approx(history["val_loss"])


@ORDERS
@pytest.mark.parametrize("mode", ["evaluate", "predict"])
@pytest.mark.core("evaluate-behind ours", "predict-before ours")
def test_an_evaluation_and_a_prediction_are_logged_as_what_was_run(mode: str, is_behind: bool, tmp_path: Path) -> None:
    model, evaluated = two_layers(), Evaluated()
    ours = LayerViewCallback(tmp_path, keep=EXACT)
    callbacks = [*([ours, Swap()] if is_behind else [Swap(), ours]), evaluated]
    trained = kernel_of(model)
    for _ in range(2):
        data = (X[:8], Y[:8]) if mode == "evaluate" else (X[:8],)
        getattr(model, mode)(*data, verbose=0, callbacks=callbacks)
        run = LayerReader(tmp_path / mode).run()
        np.testing.assert_array_equal(logged(run, KERNEL, 0), evaluated.kernels[-1])
        np.testing.assert_array_equal(logged(run, ("input", "activation", "output"), 0), X[:8])
    assert np.array_equal(kernel_of(model), trained) and not np.array_equal(trained, evaluated.kernels[0])
    assert all(not type(function).__module__.startswith("tb_layerview") for function in vars(model).values())
