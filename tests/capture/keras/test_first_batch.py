"""The first batch: the training has it whatever becomes of the logging, and it is the probe where it can be.

Truth is the same training without logging.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import tb_layerview.capture.keras  # noqa: E402
from tb_layerview import LayerReader, LayerViewCallback  # noqa: E402
from tb_layerview.reading.run import Run  # noqa: E402

keras = tf.keras
layers = keras.layers
KERAS_3 = keras.version() >= "3" if hasattr(keras, "version") else False
# Of a Keras that is asked to shuffle a data set, as `fit` does by default.
pytestmark = pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")

rng = np.random.default_rng(5)
X = rng.normal(size=(64, 6)).astype(np.float32)
Y = rng.normal(size=(64, 1)).astype(np.float32)
MASKED = X * (rng.random(X.shape) < 0.3)


class Bag(tf.experimental.ExtensionType):
    """What cannot be cut: nobody knows what its rows are."""

    values: tf.Tensor
    lengths: tf.Tensor


class Readings(tf.experimental.BatchableExtensionType):
    """What data sets can take apart."""

    values: tf.Tensor
    scale: tf.Tensor


Named = collections.namedtuple("Named", ["x", "y"])


def _dense(inputs: Any, outputs: Any = None) -> Any:
    model = keras.Model(inputs, layers.Dense(1, name="scores")(inputs if outputs is None else outputs))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def _plain() -> Any:
    return _dense(keras.Input((6,)))


class ByHand(keras.Model):
    """Trains on whatever its data sets are made of, in a step of its own."""

    def __init__(self, parts: Callable[[Any], Any]) -> None:
        super().__init__()
        self.dense, self.parts = layers.Dense(1, name="scores"), parts
        self.dense.build((None, 6))
        self.built = True

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs.values)

    def train_step(self, data: Any) -> Any:
        x, y = self.parts(data)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self.dense(x) - y) ** 2)
        variables = [v if isinstance(v, tf.Variable) else v.value for v in self.trainable_variables]
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), self.trainable_variables))
        return {"mine": loss}


def _by_hand(parts: Callable[[Any], Any]) -> Any:
    model = ByHand(parts)
    model.compile(keras.optimizers.SGD(0.1))
    return model


def _of_values() -> Any:
    return _by_hand(lambda data: (data[0].values, data[1]))


def _ragged_sums() -> Any:
    class Sums(layers.Layer):
        def call(self, inputs: Any) -> Any:
            return tf.reduce_sum(inputs, axis=1, keepdims=True)

    class OfRagged(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.sums, self.dense = Sums(name="sums"), layers.Dense(1, name="scores")
            self.dense.build((None, 1))
            self.built = True

        def call(self, inputs: Any) -> Any:
            return self.dense(tf.reshape(self.sums(inputs), (-1, 1)))

    model = OfRagged()
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def _slices(*parts: Any, batch: int = 48) -> Any:
    return tf.data.Dataset.from_tensor_slices(parts).batch(batch)


def _generated() -> Any:
    signature = (tf.TensorSpec((None, 6)), tf.TensorSpec((None, 1)))
    halves = [(X[:40], Y[:40]), (X[40:], Y[40:])]
    return tf.data.Dataset.from_generator(lambda: iter(halves), output_signature=signature)


#: What a training may be given: a model, and its data.
DATA: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "sparse": (
        lambda: _dense(keras.Input((6,), sparse=True)),
        lambda: _slices(tf.sparse.from_dense(MASKED), Y),
    ),
    "ragged": (_ragged_sums, lambda: _slices(tf.RaggedTensor.from_row_lengths(X.ravel()[:160], [1, 2, 3, 4] * 16), Y)),
    "an extension type that cannot be cut": (
        _of_values,
        lambda: _slices(X, Y).map(lambda x, y: (Bag(x, tf.ones([7])), y)),
    ),
    "an extension type that can": (
        _of_values,
        lambda: tf.data.Dataset.from_tensor_slices((Readings(X, Y), Y)).batch(48),
    ),
    "a named tuple": (_plain, lambda: _slices(X, Y).map(lambda x, y: Named(x, y))),
    "a dictionary of one's own": (
        lambda: _by_hand(lambda data: (data["x"], data["y"])),
        lambda: _slices(X, Y).map(lambda x, y: {"x": x, "y": y}),
    ),
    "a generator": (_plain, _generated),
    "an optional": (
        _plain,
        lambda: _slices(X, Y).map(lambda x, y: (x, y, tf.experimental.Optional.empty(tf.TensorSpec([None])))),
    ),
}
if not KERAS_3:
    del DATA["an optional"]  # which Keras 2 does not take for None


def _run(folder: Path) -> Run:
    return LayerReader(folder).run()


def _outcome(make: Callable[[], Any], data: Callable[[], Any], callbacks: list[Any], **options: Any) -> list[Any]:
    keras.utils.set_random_seed(3)
    model = make()
    history = model.fit(data(), epochs=2, verbose=0, callbacks=callbacks, **options).history
    return [history, int(model.optimizer.iterations), [w.tobytes() for w in model.get_weights()]]


@pytest.mark.parametrize("name", DATA)
def test_a_training_has_all_its_batches_whatever_they_are_made_of(name: str, tmp_path: Path) -> None:
    make, data = DATA[name]
    bare = _outcome(make, data, [])
    assert _outcome(make, data, [LayerViewCallback(tmp_path, schedule=1)]) == bare
    run = _run(tmp_path)
    assert {"weight", "update"} <= {t.kind for t in run.tensors} and len(run.steps) >= 5


@pytest.mark.parametrize("name", ["sparse", "ragged", *([] if KERAS_3 else ["an extension type that can"])])
def test_the_probe_is_cut_from_what_is_no_dense_tensor(name: str, tmp_path: Path) -> None:
    make, data = DATA[name]
    make().fit(data(), verbose=0, callbacks=[LayerViewCallback(tmp_path, schedule=1)])
    run = _run(tmp_path)
    assert run.model.probe is not None and run.model.probe.examples == 32
    scores = run.values(run.tensor("scores", kind="activation"), 0)
    assert scores.axes[0].size == 32
    weights = (run.values(run.tensor("scores", kind="weight", name=name), 0).array for name in ("kernel", "bias"))
    kernel, bias = (np.asarray(array, dtype=float) for array in weights)
    sums = np.array([part.sum() for part in np.split(X.ravel()[:160], np.cumsum([1, 2, 3, 4] * 16)[:-1])])
    x = {"sparse": MASKED, "ragged": sums[:, None], "an extension type that can": X}[name]
    truth = x[: len(scores.array)] @ kernel + bias
    np.testing.assert_allclose(scores.array[:, 0], truth[:, 0], rtol=1e-2, atol=1e-2)  # kept as float16


def test_several_steps_per_execution_have_all_their_sparse_batches(tmp_path: Path) -> None:
    def make() -> Any:
        model = _dense(keras.Input((6,), sparse=True))
        model.compile(keras.optimizers.SGD(0.1), "mse", steps_per_execution=3)
        return model

    def data() -> Any:
        return _slices(tf.sparse.from_dense(MASKED), Y, batch=10)

    assert _outcome(make, data, [LayerViewCallback(tmp_path)]) == _outcome(make, data, [])
    assert {t.kind for t in _run(tmp_path).tensors} == {"activation", "weight", "gradient"}


def test_what_the_data_raise_is_raised_as_it_is_without_logging(tmp_path: Path) -> None:
    def data() -> Any:
        return _slices(X, Y).map(lambda x, y: (tf.debugging.check_numerics(x / 0.0, "the data's own"), y))

    for callbacks in ([], [LayerViewCallback(tmp_path)]):
        model = _plain()
        with pytest.raises(tf.errors.InvalidArgumentError, match="the data's own"):
            model.fit(data(), verbose=0, callbacks=callbacks)
        assert model.get_weights()[1].tolist() == [0.0]
        assert type(model.train_function).__module__.partition(".")[0] != "tb_layerview"


# Every step of the preparation fails in turn.

#: Who catches and tells of what fails, and what is no step: a stand-in's call and values of a few fields.
_WATCHMEN = {
    f"{of}.{name}"
    for of in ("training_log.TrainingLog", "guard.Guard")
    for name in ("before_step_0", "set_up", "guard", "writing", "report")
} | {
    "guard.Guard._end",
    "guard.in_words",
    "stand_in.StandIn.__call__",
    "callback.LayerViewCallback.on_test_end",
    "callback.LayerViewCallback.on_predict_end",
    "callback.LayerViewCallback._hand_over_inference",
    "callback.LayerViewCallback._infer",
}
# What logs a Keras model, up to where the log takes over.
_CAPTURE = tuple(
    f"tb_layerview.{name}"
    for name in (
        "capture.keras.",
        "capture.passes.",
        "capture.recording",
        "capture.probing",
        "capture.held_weights",
        "capture.replay",
        "capture.choice",
        "capture.octaves",
        "measure.tf.",
        "writing.guard",
        "writing.training_log",
        "writing.log_files",
    )
)
# What is for other frameworks, which are not installed here.
_OTHERS = tuple(f"tb_layerview.capture.keras.{name}" for name in ("batch", "engine", "jax", "torch"))
Places = dict[str, list[tuple[Any, str, Any]]]


def _steps() -> Places:
    """All functions and methods of the package that log a Keras model, and where each is known, by name."""
    for module in pkgutil.walk_packages(tb_layerview.capture.keras.__path__, "tb_layerview.capture.keras."):
        if not module.name.startswith(_OTHERS):
            importlib.import_module(module.name)
    modules = [m for name, m in sys.modules.items() if name.startswith("tb_layerview.") and m is not None]
    found: Places = collections.defaultdict(list)
    for module in modules:
        for name, value in list(vars(module).items()):
            if not getattr(value, "__module__", "").startswith(_CAPTURE):
                continue
            if inspect.isfunction(value):
                found[_name(value)].append((module, name, value))
            elif inspect.isclass(value) and value.__module__ == module.__name__:
                calls = ("__call__",) if dataclasses.is_dataclass(value) else ("__call__", "__init__")
                for attribute, method in list(vars(value).items()):
                    if inspect.isfunction(method) and (attribute in calls or not attribute.startswith("__")):
                        found[_name(method)].append((value, attribute, method))
    return {name: places for name, places in found.items() if name not in _WATCHMEN and "<" not in name}


def _name(function: Any) -> str:
    return f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"


@contextlib.contextmanager
def _each_call(places: Places, told: Callable[[str], None]) -> Iterator[None]:
    """Tells of each call of these functions before it is made."""

    def telling(name: str, function: Any) -> Any:
        def told_of(*args: Any, **kwargs: Any) -> Any:
            told(name)
            return function(*args, **kwargs)

        told_of.autograph_info__ = {}  # type: ignore[attr-defined]  # autograph leaves it alone
        return told_of

    for name, (*_, first) in ((n, places[n]) for n in places):
        wrapped = telling(name, first[2])
        for owner, attribute, _ in places[name]:
            setattr(owner, attribute, wrapped)
    try:
        yield
    finally:
        for known in places.values():
            for owner, attribute, original in known:
                setattr(owner, attribute, original)


class _Trainings:
    """The same training again and again, of which nothing is traced twice."""

    def __init__(self, what: str) -> None:
        self.what, self.model = what, _plain()
        self.drawn = 0
        self.model.fit(self.data(), verbose=0)  # traced
        self._variables = [*self.model.variables, *self.model.optimizer.variables] if KERAS_3 else None
        self._state = self._values()

    def _values(self) -> list[Any]:
        held = self._variables or [*self.model.variables, *_optimizer_variables(self.model)]
        return [(v, tf.convert_to_tensor(v).numpy().copy()) for v in held]

    def data(self) -> Any:
        def numbered() -> Iterator[Any]:
            for i in range(2):
                self.drawn += 1
                yield X[:4] + i, Y[:4]

        signature = (tf.TensorSpec((None, 6)), tf.TensorSpec((None, 1)))
        return tf.data.Dataset.from_generator(numbered, output_signature=signature)

    def outcome(self, callbacks: list[Any]) -> list[Any]:
        for variable, value in self._state:
            variable.assign(value)
        self.drawn = 0
        if self.what == "fit":
            told = self.model.fit(self.data(), epochs=2, verbose=0, callbacks=callbacks).history
        elif self.what == "evaluate":
            told = self.model.evaluate(self.data(), verbose=0, callbacks=callbacks)
        else:
            told = self.model.predict(self.data().map(lambda x, _: x), verbose=0, callbacks=callbacks).tolist()
        return [told, self.drawn, [value.tobytes() for _, value in self._values()]]


def _optimizer_variables(model: Any) -> list[Any]:
    variables = model.optimizer.variables
    return list(variables() if callable(variables) else variables)


#: On the one stack each, on the other, whose `fit` differs in a few of them, some.
@pytest.mark.parametrize("every", [8, pytest.param(1 if KERAS_3 else 3, marks=pytest.mark.long)], ids=["some", "more"])
@pytest.mark.parametrize("what", ["fit", "evaluate", "predict"])
def test_whatever_step_of_the_preparation_fails_the_training_has_its_batches(
    what: str, every: int, tmp_path: Path
) -> None:
    trainings, places = _Trainings(what), _steps()
    bare = trainings.outcome([])
    assert bare[1] >= 2
    begun: list[str] = []
    watched = _Preparation(lambda name: None if name in begun else begun.append(name))
    with _each_call(places, watched):
        assert trainings.outcome([LayerViewCallback(tmp_path / "all")]) == bare
    some = {"batch.Batch.first", "probe.ProbePass.__init__", "taps.find_taps", "training_log.TrainingLog.describe"}
    if what != "predict" or not KERAS_3:  # which is given the batches themselves
        some.add("first_batch._data_set")
    assert some <= set(begun) and len(begun) > 40
    changed = []
    for i, name in enumerate(begun[::every]):
        watched = _Preparation(functools.partial(_fail, name))
        with _each_call({n: places[n] for n in {name, *_Preparation.LIMITS}}, watched):
            try:
                is_same = trainings.outcome([LayerViewCallback(tmp_path / str(i), schedule=2)]) == bare
            except RuntimeError:
                is_same = False
            if not is_same:
                changed.append(name)
    assert changed == []
    assert trainings.outcome([LayerViewCallback(tmp_path / "last")]) == bare
    assert LayerReader(tmp_path).run(f"last{'' if what == 'fit' else '/' + what}").tensors


class _Preparation:
    """Tells of what is called from the moment on at which it is found out how to take the first batch."""

    BEGIN, *ENDS = LIMITS = (
        "first_batch.taking",
        "last_batch.KeepingBatches.__call__",
        "callback.LayerViewCallback.on_train_batch_begin",
        "callback.LayerViewCallback._end_inference",
    )

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told, self._is_under_way = told, False

    def __call__(self, name: str) -> None:
        self._is_under_way = (self._is_under_way or name == self.BEGIN) and name not in self.ENDS
        if self._is_under_way:
            self._told(name)


def _fail(planted: str, name: str) -> None:
    if name == planted:
        raise RuntimeError(f"planted in {name}")


@pytest.mark.parametrize("name", ["experimental.to_variant", "experimental.from_variant"])
def test_a_batch_that_cannot_be_handed_on_in_one_way_is_in_another(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = _Trainings("fit")
    bare = trainings.outcome([])

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("planted")

    monkeypatch.setattr(f"tensorflow.data.{name}", broken)
    assert trainings.outcome([LayerViewCallback(tmp_path, schedule=1)]) == bare
    assert {t.kind for t in _run(tmp_path).tensors} == {"activation", "weight", "gradient", "update"}


@pytest.mark.parametrize(
    "name",
    [
        "first_batch.taking",
        "first_batch._data_set",
        "taps.find_taps",
        "recording.Recording.set_up",
        "training_log.TrainingLog.describe",
    ],
)
@pytest.mark.core("first_batch.taking", "recording.Recording.set_up")
def test_an_interrupt_in_the_preparation_ends_the_training_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    trainings, places = _Trainings("fit"), _steps()
    model = trainings.model
    bare = trainings.outcome([])
    base = next(c for c in layers.Dense.__mro__ if c.__name__ == "Layer" and "__call__" in vars(c))
    before = model.train_function, vars(base)["__call__"], set(vars(model))

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with _each_call({name: places[name]}, interrupt), pytest.raises(KeyboardInterrupt):
        trainings.outcome([LayerViewCallback(tmp_path)])
    assert (model.train_function, vars(base)["__call__"], set(vars(model))) == before
    assert trainings.outcome([]) == bare


# Where the first 32 examples are no smaller batch.

SEQUENCES = rng.normal(size=(128, 5, 4)).astype(np.float32)
TOTALS = SEQUENCES.sum((1, 2))[:, None]
N = 48
LINKS = (rng.random((N, N)) < 0.1).astype(np.float32)
NODES = rng.normal(size=(N, 4)).astype(np.float32)


class Sampling(layers.Layer):
    """Draws as many rows as the batches of its training have."""

    def call(self, inputs: Any) -> Any:
        return inputs + tf.random.stateless_normal((64, 20), (1, 2))


class Counting(layers.Layer):
    """Finds out how many rows there are when it is run."""

    def call(self, inputs: Any) -> Any:
        rows = tf.reduce_sum(tf.ones_like(inputs[:, 0]))
        with tf.control_dependencies([tf.debugging.assert_equal(rows, 64.0)]):
            return tf.identity(inputs)


class Spread(layers.Layer):
    """What each node hears of those that it is linked to."""

    def call(self, inputs: Any) -> Any:
        return tf.matmul(inputs[0], inputs[1])


def _recurrent(kind: str) -> Any:
    inputs = keras.Input(batch_shape=(64, 5, 4)) if KERAS_3 else keras.Input(batch_input_shape=(64, 5, 4), shape=None)
    return _dense(inputs, getattr(layers, kind)(3, stateful=True, name="recurrent")(inputs))


def _flat(*between: Any) -> Any:
    inputs = x = keras.Input((5, 4))
    for layer in (layers.Flatten(), *between):
        x = layer(x)
    return _dense(inputs, x)


def _pairs() -> Any:
    def difference(_: Any, outputs: Any) -> Any:
        pairs = tf.reshape(outputs, (32, 2, 1))
        return tf.reduce_mean((pairs[:, 0] - pairs[:, 1] - 1.0) ** 2)

    model = _flat()
    model.compile(keras.optimizers.SGD(0.1), difference)
    return model


def _linked() -> Any:
    links, nodes = keras.Input((N,)), keras.Input((4,))
    model = keras.Model([links, nodes], layers.Dense(1, name="scores")(Spread()([links, nodes])))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def _sequences() -> Any:
    return tf.data.Dataset.from_tensor_slices((SEQUENCES, TOTALS)).batch(64, drop_remainder=True)


WHOLE: dict[str, tuple[Callable[[], Any], Callable[[], Any], str]] = {
    "a stateful LSTM": (lambda: _recurrent("LSTM"), _sequences, "cannot be run on the first 32"),
    "a stateful GRU": (lambda: _recurrent("GRU"), _sequences, "cannot be run on the first 32"),
    "a sampling layer": (lambda: _flat(Sampling()), _sequences, "cannot be run on the first 32"),
    "a size found out at run time": (lambda: _flat(Counting()), _sequences, "cannot be run on the first 32"),
    "pairs within the batch": (_pairs, _sequences, "the loss cannot be computed on the first 32"),
    "a graph's rows": (
        _linked,
        lambda: tf.data.Dataset.from_tensors(((LINKS, NODES), NODES[:, :1])).repeat(2),
        "cannot be run on the first 32",
    ),
    "parts of different lengths": (
        _linked,
        lambda: tf.data.Dataset.from_tensors(((LINKS, NODES), NODES[:1, :1])).repeat(2),
        "cannot be cut into examples .*its parts have 1, 48 rows",
    ),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.core("a sampling layer", "a stateful GRU", "pairs within the batch")
def test_a_model_that_takes_no_part_of_a_batch_is_run_on_all_of_it(name: str, tmp_path: Path) -> None:
    make, data, why = WHOLE[name]
    assert _outcome(make, data, [LayerViewCallback(tmp_path, schedule=1)]) == _outcome(make, data, [])
    run, rows = _run(tmp_path), N if make is _linked else 64
    assert list(run.steps) == list(range(5))
    assert {t.kind for t in run.tensors} == {"activation", "weight", "gradient", "update"}
    assert run.model.probe is not None and run.model.probe.examples == rows
    (note,) = [note for note in run.model.notes if "the probe is the whole of the first training batch" in note]
    assert re.search(why, note)
    scores = run.tensor("scores", kind="activation")
    assert run.values(scores, 4).axes[0].size == rows
    assert not np.isnan(run.scalars["probe_loss"]).any()


def test_the_first_examples_are_the_probe_wherever_a_model_takes_them(tmp_path: Path) -> None:
    _flat().fit(_sequences(), verbose=0, callbacks=[LayerViewCallback(tmp_path)])
    run = _run(tmp_path)
    assert run.model.probe is not None and run.model.probe.examples == 32
    assert not [note for note in run.model.notes if "the probe is" in note]


@pytest.mark.parametrize("what", ["evaluate", "predict"])
def test_an_evaluation_takes_all_of_its_first_batch_where_a_part_will_not_do(what: str, tmp_path: Path) -> None:
    model = _recurrent("LSTM")
    data = _sequences() if what == "evaluate" else _sequences().map(lambda x, _: x)
    keras.utils.set_random_seed(1)
    told = []
    for callbacks in ([], [LayerViewCallback(tmp_path)]):
        model.get_layer("recurrent").reset_states() if not KERAS_3 else model.get_layer("recurrent").reset_state()
        told.append(np.asarray(getattr(model, what)(data, verbose=0, callbacks=callbacks)).tolist())
    assert told[0] == told[1]
    run = LayerReader(tmp_path).run(what)
    assert run.model.probe is not None and run.model.probe.examples == 64
    assert [t.name for t in run.tensors if t.layer == "recurrent" and t.kind == "activation"] == ["output"]


class Choosy(layers.Layer):
    """Takes no batch whose size is known when it is traced."""

    def call(self, inputs: Any) -> Any:
        if inputs.shape[0] is not None:
            raise RuntimeError(f"a batch of {inputs.shape[0]} is none of mine")
        return inputs


def test_where_no_part_of_the_first_batch_will_do_the_way_out_is_named_and_weights_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def data() -> Any:
        return tf.data.Dataset.from_tensor_slices((SEQUENCES, TOTALS)).batch(50)

    def make() -> Any:
        return _flat(Choosy())

    assert _outcome(make, data, [LayerViewCallback(tmp_path, schedule=1)]) == _outcome(make, data, [])
    (warning,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING" and "the probe" in r.getMessage()]
    assert "the first 32 examples of the first training batch (" in warning
    assert "the whole of the first training batch, 50 rows (" in warning and "a batch of 50 is none of mine" in warning
    assert warning.endswith("Give the callback a batch that the model takes: probe=(x, y).") and "\n" not in warning
    run = _run(tmp_path)
    assert {t.kind for t in run.tensors} == {"weight", "update"} and list(run.steps) == list(range(7))


def test_a_batch_too_large_to_be_kept_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tb_layerview.capture.choice.WHOLE_BYTES", 1000)
    _flat(Sampling()).fit(_sequences(), verbose=0, callbacks=[LayerViewCallback(tmp_path)])
    assert {t.kind for t in _run(tmp_path).tensors} == {"weight", "update"}
