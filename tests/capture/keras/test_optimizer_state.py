"""The kind `optimizer` where TensorFlow computes: both Keras, what runs again, what the rules make of it.

`backends/test_optimizer_state.py` tests what is the same for all frameworks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from optimizers_by_hand import WEIGHTS, gradients, moments, told_apart, variables_of  # noqa: E402
from two_layers import logged  # noqa: E402

from tb_layerview import Keep, LayerReader, LayerRecorder, LayerViewCallback, Schedule, Select  # noqa: E402
from tb_layerview.capture.choice import Examples  # noqa: E402
from tb_layerview.capture.given import Given  # noqa: E402
from tb_layerview.capture.keras.slots import are_made, optimizers_of, slots_of  # noqa: E402
from tb_layerview.capture.keras.tf.backend import TensorFlow  # noqa: E402
from tb_layerview.format.model import KINDS, Kind  # noqa: E402
from tb_layerview.health.of_run import diagnose_run  # noqa: E402
from tb_layerview.reading.run import Run  # noqa: E402

keras = tf.keras
layers = keras.layers
KERAS_3 = keras.version() >= "3" if hasattr(keras, "version") else False
EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6)
EVERYTHING = Select(kinds=KINDS)
BATCH, STEPS = 8, 6

rng = np.random.default_rng(8)
X = rng.normal(size=(BATCH * STEPS, 6)).astype(np.float32)
Y = rng.normal(size=(BATCH * STEPS, 3)).astype(np.float32)

ADAM = ("momentum", "velocity")
#: What each optimizer of Keras 2 keeps of a kernel.
KEPT_BY_KERAS_2: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "SGD": ({}, ("momentum",)),  # it keeps one even where it has none
    "Adam": ({}, ADAM),
    "Adam ": ({"amsgrad": True, "use_ema": True}, ("average", *ADAM, "velocity_hat")),
    "AdamW": ({}, ADAM),
    "Adamax": ({}, ("momentum", "norm")),
    "Nadam": ({}, ADAM),
    "RMSprop": ({"momentum": 0.9, "centered": True}, ("velocity", "momentum", "average_gradient")),
    "Adagrad": ({}, ("accumulator",)),
    "Adadelta": ({}, ("accumulated_grad", "accumulated_delta_var")),
    "Adafactor": ({}, ("r", "c", "velocity")),
    "Ftrl": ({}, ("accumulator", "linear")),
    "Lion": ({}, ("momentum",)),
    "legacy.SGD": ({}, ()),
    "legacy.SGD ": ({"momentum": 0.9}, ("momentum",)),
    "legacy.Adam": ({"amsgrad": True}, (*ADAM, "velocity_hat")),
    "legacy.Adamax": ({}, ("momentum", "norm")),
    "legacy.Nadam": ({}, ADAM),
    "legacy.RMSprop": ({"momentum": 0.9, "centered": True}, ("velocity", "momentum", "average_gradient")),
    "legacy.Adagrad": ({}, ("accumulator",)),
    "legacy.Adadelta": ({}, ("accumulated_grad", "accumulated_delta_var")),
    "legacy.Ftrl": ({}, ("accumulator", "linear")),
}


def keras_2() -> Any:
    """Keras 2, by whatever name."""
    return pytest.importorskip("tf_keras") if KERAS_3 else keras


def two_layers(of: Any = keras, **options: Any) -> Any:
    of.utils.set_random_seed(1)
    inputs = of.Input((6,))
    hidden = of.layers.Dense(5, activation="tanh", name="hidden")(inputs)
    model = of.Model(inputs, of.layers.Dense(3, name="scores")(hidden))
    model.compile(options.pop("optimizer", None) or of.optimizers.Adam(0.01), "mse", **options)
    return model


def fit(model: Any, *callbacks: Any, **options: Any) -> dict[str, Any]:
    options = {"batch_size": BATCH, "shuffle": False, "verbose": 0, **options}
    return dict(model.fit(X, Y, callbacks=list(callbacks), **options).history)


def ours(folder: Path, schedule: Any = 1, kinds: tuple[Kind, ...] = KINDS) -> Any:
    return LayerViewCallback(folder, select=Select(kinds=kinds), schedule=schedule, keep=EXACT)


def names(run: Run) -> set[str]:
    return {f"{tensor.layer}/{tensor.name}" for tensor in run.tensors if tensor.kind == "optimizer"}


class Weights(keras.callbacks.Callback):  # type: ignore[name-defined]
    """The weights before the first step and after each."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[list[np.ndarray]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.at.append(self.model.get_weights())

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.at.append(self.model.get_weights())


@pytest.mark.covers("What and when: kind optimizer, callback")
@pytest.mark.parametrize("name", KEPT_BY_KERAS_2)
def test_what_an_optimizer_of_keras_2_keeps_is_found_by_its_weight(name: str) -> None:
    of = keras_2()
    options, expected = KEPT_BY_KERAS_2[name]
    cls = of.optimizers
    for part in name.strip().split("."):
        cls = getattr(cls, part)

    def weights() -> list[Any]:
        return list(two_layers(of).trainable_variables)

    model = two_layers(of, optimizer=cls(**options))
    optimizer = model.optimizer
    assert not are_made(model)
    zeros = [tf.zeros_like(v) for v in model.trainable_variables]
    optimizer.apply_gradients(zip(zeros, model.trainable_variables))
    assert are_made(model)
    slots = slots_of(model)
    of_kernel = slots.get(id(model.trainable_variables[0]), ())
    assert sorted(slot.name for slot in of_kernel) == sorted(expected)
    variables = variables_of(optimizer)
    places = {id(variable): i for i, variable in enumerate(variables)}

    def applied(made: Any, of_weights: list[np.ndarray], trained: list[Any]) -> list[np.ndarray]:
        made.apply_gradients(zip(map(tf.constant, of_weights), trained))
        return [variable.numpy() for variable in variables_of(made)]

    changed = told_apart(lambda: cls(**options), weights, applied)
    for weight, of_gradient in zip(model.trainable_variables, changed):
        own = {places[id(slot.variable)] for slot in slots.get(id(weight), ())}
        of_gradient = {i for i in of_gradient if variables[i].shape.rank}
        assert of_gradient <= own
        assert bool(of_gradient) == bool(own) or name == "SGD"  # which never writes to it


@pytest.mark.covers("What and when: kind optimizer, callback")
def test_adams_moments_are_what_numpy_makes_of_gradients_by_hand(tmp_path: Path) -> None:
    seen = Weights()
    fit(two_layers(), seen)
    model = two_layers()
    fit(model, ours(tmp_path))
    batches = [slice(BATCH * i, BATCH * (i + 1)) for i in range(STEPS)]
    of_steps = [gradients(weights, X[batch], Y[batch]) for weights, batch in zip(seen.at, batches)]
    run = LayerReader(tmp_path).run()
    assert list(run.steps) == list(range(STEPS + 1))
    for step, (first, second) in enumerate(moments(of_steps), start=1):
        for (layer, weight), m, v in zip(WEIGHTS, first, second):
            for name, truth, small in (("momentum", m, 1e-7), ("velocity", v, 1e-9)):
                found = logged(run, (layer, "optimizer", f"{weight}/{name}"), step)
                np.testing.assert_allclose(found, truth, rtol=1e-4, atol=small, err_msg=f"{step} {layer} {name}")
    for (layer, weight), variable in zip(WEIGHTS, model.optimizer._velocities):
        np.testing.assert_array_equal(logged(run, (layer, "optimizer", f"{weight}/velocity"), STEPS), variable.numpy())


class Adversaries(keras.Model):  # type: ignore[name-defined]
    """Two networks with an optimizer each, and a `train_step` of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.maker, self.judge = layers.Dense(6, name="maker"), layers.Dense(1, name="judge")
        self.by_part = {"maker": keras.optimizers.Adam(0.01), "judge": keras.optimizers.SGD(0.01, momentum=0.9)}

    def call(self, x: Any) -> Any:
        return self.judge(self.maker(x))

    def train_step(self, data: Any) -> dict[str, Any]:
        x, _ = data
        with tf.GradientTape(persistent=True) as tape:
            made = self.maker(x)
            real, false = self.judge(x), self.judge(made)
            losses = {"maker": tf.reduce_mean((false - 1) ** 2), "judge": tf.reduce_mean((real - 1) ** 2 + false**2)}
        for name, part in (("maker", self.maker), ("judge", self.judge)):
            variables = part.trainable_variables
            self.by_part[name].apply_gradients(zip(tape.gradient(losses[name], variables), variables))
        return losses


def adversaries() -> Any:
    keras.utils.set_random_seed(1)
    model = Adversaries()
    model(X[:1])
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    return model


def in_float16() -> Any:
    keras.utils.set_random_seed(1)
    policy = keras.mixed_precision.global_policy() if not KERAS_3 else keras.config.dtype_policy()
    choose = keras.mixed_precision.set_global_policy if not KERAS_3 else keras.config.set_dtype_policy
    choose("mixed_float16")
    try:
        return two_layers()
    finally:
        choose(policy)


def noisy() -> Any:
    keras.utils.set_random_seed(1)
    parts = [layers.Dense(5, name="hidden"), layers.BatchNormalization(), layers.Dropout(0.3), layers.Dense(3)]
    model = keras.Sequential([keras.Input((6,)), *parts])
    model.compile(keras.optimizers.RMSprop(0.01, momentum=0.9), "mse")
    return model


@pytest.mark.parametrize(
    "make",
    [two_layers, noisy, in_float16, adversaries, lambda: two_layers(jit_compile=True)],
    ids=["Adam", "Dropout and BatchNorm", "float16", "two optimizers", "XLA"],
)
def test_a_training_is_the_same_to_the_last_bit(tmp_path: Path, make: Callable[[], Any]) -> None:
    plain = make()
    without = fit(plain, epochs=2)
    other = make()
    assert fit(other, ours(tmp_path, 2), epochs=2) == without
    for one, two in zip(_state(plain), _state(other), strict=True):
        np.testing.assert_array_equal(one, two)
    run = LayerReader(tmp_path).run()
    assert len(names(run)) == (6 if make is adversaries else 8 if make is not noisy else 12)
    for tensor in run.tensors:
        if tensor.kind == "optimizer":
            assert np.isfinite(run.statistics("rms")[tensor.index]).all(), tensor


def _state(model: Any) -> list[np.ndarray]:
    """Weights and all that optimizers have."""
    of_optimizers = [v for optimizer in optimizers_of(model) for v in variables_of(optimizer)]
    return [*model.get_weights(), *(np.asarray(v) for v in of_optimizers)]


def test_of_two_optimizers_each_weight_has_what_its_own_keeps(tmp_path: Path) -> None:
    model = adversaries()
    fit(model, ours(tmp_path))
    run = LayerReader(tmp_path).run()
    assert names(run) == {
        *(f"maker/{weight}/{name}" for weight in ("kernel", "bias") for name in ADAM),
        *(f"judge/{weight}/momentum" for weight in ("kernel", "bias")),
    }
    # At the first step none has anything: what the pass of the probe does to them is seen by nobody.
    assert not logged(run, ("maker", "optimizer", "kernel/momentum"), 0).any()
    kept = model.by_part["maker"]._momentums[0].numpy()
    np.testing.assert_array_equal(logged(run, ("maker", "optimizer", "kernel/momentum"), STEPS), kept)


def test_without_being_named_nothing_of_an_optimizer_is_read() -> None:
    model = two_layers()
    fit(model)
    backend = TensorFlow()
    examples = Examples(backend.given_batch((X[:8], Y[:8])), "a batch")

    def read(given: Given) -> set[Any]:
        variables = backend.probe(model, examples, given, training=True)._variables
        return {v.handle._id for v in variables}

    of_optimizer = {v.value.handle._id if KERAS_3 else v.handle._id for v in model.optimizer._momentums}
    assert not read(Given()) & of_optimizer
    assert read(Given(EVERYTHING)) >= of_optimizer


def test_a_recorder_logs_it_once_the_optimizer_has_made_it(tmp_path: Path) -> None:
    for is_built, expected in ((False, set()), (True, {f"{layer}/{w}/{n}" for layer, w in WEIGHTS for n in ADAM})):
        model, folder = two_layers(), tmp_path / str(is_built)
        if is_built:
            model.optimizer.build(model.trainable_variables)
        with LayerRecorder(model, folder, (X[:8], Y[:8]), select=EVERYTHING, schedule=1, keep=EXACT) as recorder:
            recorder.record(0)
            for step in range(3):
                model.train_on_batch(X[:8], Y[:8])
                recorder.record(step + 1)
        run = LayerReader(folder).run()
        assert names(run) == expected
        said = [note for note in run.model.notes if note.startswith("no optimizer state of Adam is logged: it was not")]
        assert bool(said) != is_built
        if is_built:
            kept = model.optimizer._momentums[0].numpy()
            np.testing.assert_array_equal(logged(run, ("hidden", "optimizer", "kernel/momentum"), 3), kept)


def test_of_a_model_without_an_optimizer_the_notes_say_so(tmp_path: Path) -> None:
    model = two_layers()
    bare = keras.Model(model.inputs, model.outputs)
    with LayerRecorder(bare, tmp_path, X[:8], select=EVERYTHING, schedule=1) as recorder:
        recorder.record(0)
    (said,) = (note for note in LayerReader(tmp_path).run().model.notes if "optimizer" in note)
    assert said == "no optimizer state is logged: the model has no optimizer. Compile it with the one that trains it"


class Spoiling(keras.callbacks.Callback):  # type: ignore[name-defined]
    """Writes an infinity into what the optimizer keeps of the first kernel."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch == 3:
            variable = self.model.optimizer._velocities[0]
            variable.assign(np.full(variable.shape, np.inf, np.float32))


def test_an_infinity_in_it_is_found_and_named(tmp_path: Path) -> None:
    # It makes the kernel's updates zero, and nothing else infinite.
    fit(two_layers(optimizer=keras.optimizers.RMSprop(0.01)), Spoiling(), ours(tmp_path))
    found = diagnose_run(LayerReader(tmp_path).run(), None)
    (first,) = (finding for finding in found if finding.rule == "non_finite")
    assert first.tensor is not None
    assert (first.tensor.layer, first.tensor.kind, first.tensor.name) == ("hidden", "optimizer", "kernel/velocity")
    assert first.first == 4


@pytest.mark.parametrize("rate", [0.01, 0.0, 50.0], ids=["healthy", "a rate of zero", "a rate of 50"])
def test_the_rules_find_the_same_with_and_without_it(tmp_path: Path, rate: float) -> None:
    found = []
    for kinds in (KINDS[:4], KINDS):
        folder = tmp_path / str(len(kinds))
        model = two_layers(optimizer=keras.optimizers.SGD(rate, momentum=0.9))
        fit(model, ours(folder, kinds=kinds), epochs=4)
        diagnosis = diagnose_run(LayerReader(folder).run(), None)
        of_others = [f for f in diagnosis if f.tensor is None or f.tensor.kind != "optimizer"]
        found.append([(f.rule, f.severity, f.first, f.last, f.words) for f in of_others])
        assert {f.rule for f in diagnosis} == {f.rule for f in of_others}
    assert found[0] == found[1]
    assert bool(found[0]) == (rate != 0.01)


def test_what_is_run_again_has_nothing_of_an_optimizer(tmp_path: Path) -> None:
    broken = X.copy()
    broken[BATCH * 4 + 1] = np.nan
    model = two_layers()
    callback = ours(tmp_path, Schedule(steps=(0, 6)))
    model.fit(broken, Y, BATCH, verbose=0, shuffle=False, callbacks=[callback])
    run, replay = LayerReader(tmp_path).run(), LayerReader(tmp_path).run("replay")
    assert "optimizer" not in {tensor.kind for tensor in replay.tensors}
    # The steps before the broken one were logged in the end, with weights of then; an optimizer's are those of now.
    assert set(run.steps) > {0, 6}
    rms, weight = run.statistics("rms"), run.tensor("hidden", kind="weight", name="kernel")
    kept = run.tensor("hidden", kind="optimizer", name="kernel/momentum")
    for step, of_weight, of_kept in zip(run.steps, rms[weight.index], rms[kept.index]):
        assert np.isfinite(of_weight) == (step < 5)
        assert np.isnan(of_kept) == (step != 0), step
    seen = run.statistics("size")[kept.index]
    assert [bool(size > 0) for size in seen] == [step in (0, 6) for step in run.steps]
