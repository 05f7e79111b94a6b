"""The callback in a loop of one's own: each step has its number, whatever the loop tells of itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from two_layers import logged  # noqa: E402

from tb_layerview import Keep, LayerReader, LayerViewCallback, Schedule  # noqa: E402
from tb_layerview.capture.keras.tf.last_batch import kerass  # noqa: E402

keras = tf.keras
layers = keras.layers
EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6)
EPOCHS, STEPS = 2, 4

rng = np.random.default_rng(3)
X = rng.normal(size=(32, 6)).astype(np.float32)
Y = rng.normal(size=(32, 3)).astype(np.float32)

Train = Callable[[int], None]


def two_layers(**options: Any) -> Any:
    inputs = keras.Input((6,))
    hidden = layers.Dense(5, activation="tanh", name="hidden")(inputs)
    model = keras.Model(inputs, layers.Dense(3, name="scores")(layers.Dropout(0.2)(hidden)))
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"], **options)
    return model


def told_of_all(callbacks: Any, train: Train) -> None:
    callbacks.on_train_begin()
    for epoch in range(EPOCHS):
        callbacks.on_epoch_begin(epoch)
        for batch in range(STEPS):
            callbacks.on_train_batch_begin(batch)
            train(batch)
            callbacks.on_train_batch_end(batch)
        callbacks.on_epoch_end(epoch)
    callbacks.on_train_end()


def with_batches_that_go_on(callbacks: Any, train: Train) -> None:
    callbacks.on_train_begin()
    for epoch in range(EPOCHS):
        callbacks.on_epoch_begin(epoch)
        for batch in range(STEPS):
            callbacks.on_train_batch_begin(epoch * STEPS + batch)
            train(batch)
        callbacks.on_epoch_end(epoch)
    callbacks.on_train_end()


def without_epochs(callbacks: Any, train: Train) -> None:
    callbacks.on_train_begin()
    for _ in range(EPOCHS):
        for batch in range(STEPS):
            callbacks.on_train_batch_begin(batch)
            train(batch)
            callbacks.on_train_batch_end(batch)
    callbacks.on_train_end()


def told_of_ends_alone(callbacks: Any, train: Train) -> None:
    callbacks.on_train_begin()
    for epoch in range(EPOCHS):
        for batch in range(STEPS):
            train(batch)
            for callback in callbacks.callbacks:  # the list of Keras 2 wants to be told of the batch's begin
                callback.on_train_batch_end(batch)
        callbacks.on_epoch_end(epoch)
    callbacks.on_train_end()


def told_of_epochs_alone(callbacks: Any, train: Train) -> None:
    callbacks.on_train_begin()
    for epoch in range(EPOCHS):
        callbacks.on_epoch_begin(epoch)
        for batch in range(STEPS):
            train(batch)
        callbacks.on_epoch_end(epoch, {"loss": 1.0})
    callbacks.on_train_end()


def told_of_begin_and_end_alone(callbacks: Any, train: Train) -> None:
    callbacks.on_train_begin()
    for batch in [*range(STEPS)] * EPOCHS:
        train(batch)
    callbacks.on_train_end()


def with_two_trainings_a_batch(callbacks: Any, train: Train) -> None:
    callbacks.on_train_begin()
    for batch in range(EPOCHS * STEPS // 2):
        callbacks.on_train_batch_begin(batch)
        train(2 * batch % STEPS)
        train((2 * batch + 1) % STEPS)
        callbacks.on_train_batch_end(batch)
    callbacks.on_train_end()


def that_does_not_say_that_it_begins(callbacks: Any, train: Train) -> None:
    for epoch in range(EPOCHS):
        callbacks.on_epoch_begin(epoch)
        for batch in range(STEPS):
            callbacks.on_train_batch_begin(batch)
            train(batch)
            callbacks.on_train_batch_end(batch)
        callbacks.on_epoch_end(epoch)
    callbacks.callbacks[0].on_train_end()  # Keras 3's list of callbacks asks for the begin


def told_of_all_and_of_params(callbacks: Any, train: Train) -> None:
    told_of_all(callbacks, train)


LOOPS = [
    told_of_all,
    told_of_all_and_of_params,
    with_batches_that_go_on,
    without_epochs,
    told_of_ends_alone,
    told_of_epochs_alone,
    told_of_begin_and_end_alone,
    with_two_trainings_a_batch,
    that_does_not_say_that_it_begins,
]


# What Keras itself tells its callbacks of a training; a list of callbacks of one's own need not be given it.
WITH_PARAMS = [told_of_all_and_of_params, with_batches_that_go_on, told_of_epochs_alone]


def train_on_batches(
    loop: Callable[[Any, Train], None], callbacks: list[Any], params: dict[str, Any]
) -> tuple[dict[int, Any], list[Any]]:
    """What `get_weights()` returns after each step, and what `train_on_batch` returned and is left at the end."""
    keras.utils.set_random_seed(1)
    model = two_layers()
    kernels, results = {0: model.get_layer("hidden").get_weights()[0]}, []

    def train(batch: int) -> None:
        rows = slice(8 * batch, 8 * batch + 8)
        results.append(np.array(model.train_on_batch(X[rows], Y[rows])))
        kernels[len(kernels)] = model.get_layer("hidden").get_weights()[0]

    loop(keras.callbacks.CallbackList(callbacks, model=model, **params), train)
    return kernels, [*results, *model.get_weights(), float(tf.random.uniform([]))]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.core(
    "told_of_all", "told_of_ends_alone", "with_batches_that_go_on", "with_two_trainings_a_batch", "without_epochs"
)
def test_each_step_of_a_loop_of_ones_own_has_its_number(loop: Callable[[Any, Train], None], tmp_path: Path) -> None:
    params = {"epochs": EPOCHS, "steps": STEPS} if loop in WITH_PARAMS else {}
    bare = train_on_batches(loop, [keras.callbacks.Callback()], params)
    kernels, results = train_on_batches(loop, [LayerViewCallback(tmp_path, schedule=1, keep=EXACT)], params)
    assert all(np.array_equal(one, other) for one, other in zip(bare[1], results, strict=True))
    run = LayerReader(tmp_path).run()
    assert list(run.steps) == list(kernels) == list(range(EPOCHS * STEPS + 1))
    for step, kernel in kernels.items():
        np.testing.assert_array_equal(logged(run, ("hidden", "weight", "kernel"), step), kernel)
        if step:
            update = logged(run, ("hidden", "update", "kernel"), step)
            np.testing.assert_array_equal(update, kernel - kernels[step - 1])
    if loop is not told_of_epochs_alone:  # which gives an epoch's end a loss of its own
        assert run.scalars["loss"][1:] == pytest.approx([np.ravel(result)[0] for result in results[:8]])


def with_a_tape(model: Any) -> Train:
    optimizer = keras.optimizers.SGD(0.1)

    def train(batch: int) -> None:
        rows = slice(8 * batch, 8 * batch + 8)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(X[rows], training=True) - Y[rows]) ** 2)
        variables = model.trainable_variables
        raw = [v if isinstance(v, tf.Variable) else v.value for v in variables]
        optimizer.apply_gradients(zip(tape.gradient(loss, raw), variables))

    return train


@pytest.mark.parametrize("loop", [told_of_all, without_epochs, told_of_epochs_alone])
def test_a_loop_with_a_tape_is_told_of_the_recorder_as_soon_as_it_is_known(
    loop: Callable[[Any, Train], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "tb_layerview")
    model = two_layers()
    train, warned = with_a_tape(model), []

    def train_and_look(batch: int) -> None:
        train(batch)
        warned.append(len(caplog.messages))

    loop(keras.callbacks.CallbackList([LayerViewCallback(tmp_path)], model=model), train_and_look)
    (message,) = caplog.messages
    assert "In a loop of your own: LayerRecorder" in message
    assert warned[STEPS] == 1, "it is known before the second epoch"
    if loop is not told_of_epochs_alone:
        assert warned[:2] == [0, 1], "it is known at the second batch"


def test_nothing_is_said_of_a_fit_of_no_epochs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    two_layers().fit(X, Y, epochs=0, verbose=0, callbacks=[LayerViewCallback(tmp_path)])
    assert caplog.messages == []


def test_what_a_callback_trains_between_two_steps_is_counted_as_the_optimizer_counts_it(tmp_path: Path) -> None:
    class Again(keras.callbacks.Callback):  # type: ignore[misc,name-defined]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.train_on_batch(X[:8], Y[:8])

    model = two_layers()
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[LayerViewCallback(tmp_path, schedule=1), Again()])
    assert list(LayerReader(tmp_path).run().steps) == list(range(int(model.optimizer.iterations) + 1))
    assert int(model.optimizer.iterations) == 16


def test_a_function_that_was_made_anew_within_a_training_is_the_one_that_trains_and_is_logged(tmp_path: Path) -> None:
    class Freeze(keras.callbacks.Callback):  # type: ignore[misc,name-defined]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                self.model.get_layer("hidden").trainable = False
                self.model.make_train_function(force=True)

    kept = []
    for callbacks in ([], [LayerViewCallback(tmp_path, schedule=1, keep=EXACT)]):
        keras.utils.set_random_seed(1)
        model = two_layers()
        history = model.fit(X, Y, batch_size=8, epochs=3, verbose=0, callbacks=[Freeze(), *callbacks]).history
        kept.append((history, model.get_weights(), model.train_function))
    assert kept[0][0] == kept[1][0]
    assert all(np.array_equal(one, other) for one, other in zip(kept[0][1], kept[1][1]))
    # But what the random numbers of Keras 2's Dropout go on with.
    assert type(kept[0][2]) is type(kerass(kept[1][2])), "nothing stands in for it any more"
    run = LayerReader(tmp_path).run()
    assert list(run.steps) == list(range(13))
    last = logged(run, ("scores", "weight", "kernel"), 12)
    np.testing.assert_array_equal(last, model.get_layer("scores").get_weights()[0])
    np.testing.assert_array_equal(
        logged(run, ("hidden", "update", "kernel"), 12), 0 * logged(run, ("hidden", "weight", "kernel"), 12)
    )
    assert np.any(logged(run, ("hidden", "update", "kernel"), 4)), "it trained before"


def test_several_steps_per_execution_are_counted_whatever_the_loop_gives_the_function(tmp_path: Path) -> None:
    model = two_layers(steps_per_execution=3)
    callback = LayerViewCallback(tmp_path, schedule=Schedule(every=1))
    model.fit(X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[callback])
    assert list(LayerReader(tmp_path).run().steps) == [0, 3, 6, 8, 11, 14, 16]
