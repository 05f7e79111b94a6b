"""The kind `optimizer`: what optimizers keep of each weight, on whatever framework computes the model.

Truth is numpy's, made of gradients that are worked out by hand, and what the optimizer's own variables hold.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from optimizers_by_hand import WEIGHTS, gradients, moments, told_apart, value_of, variables_of
from two_layers import logged

from tb_layerview import Keep, LayerReader, LayerViewCallback, Select
from tb_layerview.capture.keras.slots import are_made, slots_of, why_none
from tb_layerview.format.model import KINDS, USUAL_KINDS
from tb_layerview.reading.run import Run

EXACT = Keep(precision="float32", activations=10**6, weights=10**6, gradients=10**6)
EVERYTHING = Select(kinds=KINDS)
BATCH, STEPS = 8, 6

rng = np.random.default_rng(8)
X = rng.normal(size=(BATCH * STEPS, 6)).astype(np.float32)
Y = rng.normal(size=(BATCH * STEPS, 3)).astype(np.float32)

Optimizers = keras.optimizers
ADAM = ("momentum", "velocity")
#: What each optimizer keeps of a kernel.
KEPT: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "SGD": (lambda: Optimizers.SGD(0.1), ()),
    "SGD with momentum": (lambda: Optimizers.SGD(0.1, momentum=0.9), ("momentum",)),
    "Adam": (lambda: Optimizers.Adam(0.01), ADAM),
    "Adam with AMSGrad": (lambda: Optimizers.Adam(0.01, amsgrad=True), (*ADAM, "velocity_hat")),
    "Adam with averages": (lambda: Optimizers.Adam(0.01, use_ema=True), ("average", *ADAM)),
    "Adam, accumulating": (
        lambda: Optimizers.Adam(0.01, gradient_accumulation_steps=2),
        ("gradient_accumulator", *ADAM),
    ),
    "AdamW": (lambda: Optimizers.AdamW(0.01), ADAM),
    "Adamax": (lambda: Optimizers.Adamax(0.01), ("momentum", "norm")),
    "Nadam": (lambda: Optimizers.Nadam(0.01), ADAM),
    "RMSprop": (lambda: Optimizers.RMSprop(0.01), ("velocity",)),
    "centred RMSprop": (
        lambda: Optimizers.RMSprop(0.01, momentum=0.9, centered=True),
        ("velocity", "momentum", "average_gradient"),
    ),
    "Adagrad": (lambda: Optimizers.Adagrad(0.01), ("accumulator",)),
    "Adadelta": (lambda: Optimizers.Adadelta(0.01), ("accumulated_grad", "accumulated_delta_var")),
    "Adafactor": (lambda: Optimizers.Adafactor(0.01), ("r", "c", "velocity")),
    "Ftrl": (lambda: Optimizers.Ftrl(0.01), ("accumulator", "linear")),
    "Lion": (lambda: Optimizers.Lion(0.01), ("momentum",)),
    "Lamb": (lambda: Optimizers.Lamb(0.01), ADAM),
    "Adam under a loss scale": (lambda: Optimizers.LossScaleOptimizer(Optimizers.Adam(0.01)), ADAM),
}
for name in ("Muon", "ScheduleFreeAdamW"):  # of later versions of Keras
    if hasattr(Optimizers, name):
        KEPT[name] = (
            lambda name=name: getattr(Optimizers, name)(0.01),  # type: ignore[misc]
            ("momentum",) if name == "Muon" else ADAM,
        )


def two_layers(optimizer: Any = None) -> Any:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6,))
    hidden = layers.Dense(5, activation="tanh", name="hidden")(inputs)
    model = keras.Model(inputs, layers.Dense(3, name="scores")(hidden))
    model.compile(optimizer or Optimizers.Adam(0.01), "mse")
    return model


class Weights(keras.callbacks.Callback):
    """The weights before the first step and after each."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[list[np.ndarray]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.at.append(self.model.get_weights())

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.at.append(self.model.get_weights())


def fit(model: Any, *callbacks: Any, epochs: int = 1) -> list[float]:
    history = model.fit(X, Y, BATCH, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks))
    return [float(loss) for loss in history.history["loss"]]


def state_of(model: Any) -> list[np.ndarray]:
    """Weights and all that the optimizer has."""
    return [*model.get_weights(), *map(value_of, variables_of(model.optimizer))]


def applied(optimizer: Any, of_weights: list[np.ndarray], weights: list[Any]) -> list[np.ndarray]:
    """What an optimizer's variables hold after it was given gradients."""
    tensors = [keras.ops.convert_to_tensor(gradient) for gradient in of_weights]
    if keras.backend.backend() != "jax":
        optimizer.apply_gradients(zip(tensors, weights))
        return [np.array(value_of(variable)) for variable in variables_of(optimizer)]
    # On JAX, a LossScaleOptimizer applies nothing where it has a state: Keras raises an UnexpectedTracerError.
    optimizer.build(weights)
    values = [[v.value for v in of] for of in (variables_of(optimizer), weights)]
    return [np.asarray(value) for value in optimizer.stateless_apply(values[0], tensors, values[1])[1]]


def names(run: Run) -> dict[tuple[str, str], list[str]]:
    """What is logged of an optimizer's, by layer and weight."""
    found: dict[tuple[str, str], list[str]] = {}
    for tensor in run.tensors:
        if tensor.kind == "optimizer":
            weight, _, name = tensor.name.partition("/")
            found.setdefault((tensor.layer, weight), []).append(name)
    return found


@pytest.mark.covers("What and when: kind optimizer, callback")
def test_adams_moments_are_what_numpy_makes_of_gradients_by_hand(tmp_path: Path) -> None:
    seen = Weights()
    fit(two_layers(), seen)
    model = two_layers()
    fit(model, LayerViewCallback(tmp_path, select=EVERYTHING, schedule=1, keep=EXACT))
    batches = [slice(BATCH * i, BATCH * (i + 1)) for i in range(STEPS)]
    of_steps = [gradients(weights, X[batch], Y[batch]) for weights, batch in zip(seen.at, batches)]
    run = LayerReader(tmp_path).run()
    assert list(run.steps) == list(range(STEPS + 1))
    for step, (first, second) in enumerate(moments(of_steps), start=1):
        for (layer, weight), m, v in zip(WEIGHTS, first, second):
            for name, truth, small in (("momentum", m, 1e-7), ("velocity", v, 1e-9)):
                found = logged(run, (layer, "optimizer", f"{weight}/{name}"), step)
                np.testing.assert_allclose(found, truth, rtol=1e-4, atol=small, err_msg=f"{step} {layer} {name}")
    assert not any(logged(run, (layer, "optimizer", f"{w}/momentum"), 0).any() for layer, w in WEIGHTS)
    kept = {key: value_of(variable) for key, variable in zip(WEIGHTS, model.optimizer._momentums)}
    for (layer, weight), truth in kept.items():
        np.testing.assert_array_equal(logged(run, (layer, "optimizer", f"{weight}/momentum"), STEPS), truth)
        tensor = run.tensor(layer, kind="optimizer", name=f"{weight}/momentum")
        rms = run.statistics("rms")[tensor.index][-1]
        assert rms == pytest.approx(np.sqrt((truth.astype(float) ** 2).mean()), rel=1e-5)
        assert tensor.axes == run.tensor(layer, kind="weight", name=weight).axes


@pytest.mark.parametrize("name", ["Adam", "SGD with momentum", "centred RMSprop"])
def test_a_training_is_the_same_to_the_last_bit(tmp_path: Path, name: str) -> None:
    make, _ = KEPT[name]
    plain, other = two_layers(make()), two_layers(make())
    losses = fit(plain, epochs=2)
    assert fit(other, LayerViewCallback(tmp_path, select=EVERYTHING, schedule=2, keep=EXACT), epochs=2) == losses
    for one, two in zip(state_of(plain), state_of(other), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", KEPT)
def test_what_an_optimizer_keeps_is_found_by_the_weight_that_it_belongs_to(name: str) -> None:
    make, expected = KEPT[name]
    optimizer = make()
    model = two_layers(optimizer)
    assert not are_made(model)
    optimizer.build(model.trainable_variables)
    assert are_made(model)
    slots = slots_of(model)
    of_kernel = slots.get(id(model.trainable_variables[0]), ())
    assert sorted(slot.name for slot in of_kernel) == sorted(expected)
    assert why_none(model, slots) == ("" if expected else "no optimizer state is logged: SGD keeps nothing of a weight")
    places = {id(variable): i for i, variable in enumerate(variables_of(optimizer))}
    found = [{places[id(slot.variable)] for slot in slots.get(id(w), ())} for w in model.trainable_variables]
    changed = told_apart(make, lambda: two_layers().trainable_variables, applied)
    for own, of_gradient in zip(found, changed):
        # Numbers apart, as of Adafactor's in place of what it has of a kernel.
        of_gradient = {i for i in of_gradient if len(variables_of(optimizer)[i].shape)}
        assert of_gradient <= own and bool(of_gradient) == bool(own)


def test_what_has_another_shape_than_its_weight_has_axes_of_its_own(tmp_path: Path) -> None:
    model = two_layers(Optimizers.Adafactor(0.01))
    fit(model, LayerViewCallback(tmp_path, select=EVERYTHING, schedule=3, keep=EXACT))
    run = LayerReader(tmp_path).run()
    assert names(run)["hidden", "kernel"] == ["r", "c", "velocity"]
    assert names(run)["hidden", "bias"] == ["velocity"]
    for name, size, variable in (("r", 6, model.optimizer._r[0]), ("c", 5, model.optimizer._c[0])):
        tensor = run.tensor("hidden", kind="optimizer", name=f"kernel/{name}")
        assert (tensor.shape, tensor.axes) == ((size,), ("unit",))
        np.testing.assert_array_equal(run.values(tensor, STEPS).array, value_of(variable))


def test_what_an_optimizer_of_ones_own_keeps_in_a_mapping_is_known_by_its_name(tmp_path: Path) -> None:
    class Sums(Optimizers.Optimizer):  # type: ignore[name-defined]
        def build(self, variables: Any) -> None:
            super().build(variables)
            self.sums = {i: self.add_variable_from_reference(v, "sum_of_gradients") for i, v in enumerate(variables)}

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            self.assign_add(self.sums[self._get_variable_index(variable)], gradient)
            self.assign_sub(variable, keras.ops.multiply(gradient, keras.ops.cast(learning_rate, variable.dtype)))

    model = two_layers(Sums(0.1))
    before = model.get_weights()
    fit(model, LayerViewCallback(tmp_path, select=EVERYTHING, schedule=3, keep=EXACT))
    run = LayerReader(tmp_path).run()
    for (layer, weight), first, last in zip(WEIGHTS, before, model.get_weights()):
        found = logged(run, (layer, "optimizer", f"{weight}/sum_of_gradients"), STEPS)
        np.testing.assert_allclose(found, (first - last) / 0.1, rtol=1e-3, atol=1e-5)


def test_without_being_named_it_is_not_logged(tmp_path: Path) -> None:
    assert Select().kinds == USUAL_KINDS and "optimizer" not in USUAL_KINDS
    fit(two_layers(), LayerViewCallback(tmp_path, schedule=3))
    assert not names(LayerReader(tmp_path).run())


def test_it_can_be_logged_alone(tmp_path: Path) -> None:
    model = two_layers()
    fit(model, LayerViewCallback(tmp_path, select=Select(kinds=("optimizer",)), schedule=3, keep=EXACT))
    run = LayerReader(tmp_path).run()
    assert {tensor.kind for tensor in run.tensors} == {"optimizer"}
    found = logged(run, ("scores", "optimizer", "kernel/velocity"), STEPS)
    np.testing.assert_array_equal(found, value_of(model.optimizer._velocities[2]))


def test_where_an_optimizer_keeps_nothing_the_notes_say_so(tmp_path: Path) -> None:
    fit(two_layers(Optimizers.SGD(0.1)), LayerViewCallback(tmp_path, select=EVERYTHING, schedule=3))
    run = LayerReader(tmp_path).run()
    assert not names(run)
    assert "no optimizer state is logged: SGD keeps nothing of a weight" in run.model.notes
