"""A training of a Keras model that JAX computes is bit for bit the same with a pass of the model run at every step."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import numpy as np
import pytest
from models_jax import CASES, assert_equal, make, variables

from tb_layerview.capture.keras.batch import Batch
from tb_layerview.capture.keras.jax.engine import JaxEngine


class Deputy:
    """Trains in place of Keras' function, and looks at the model at every step in every way that there is."""

    def __init__(self, model: Any) -> None:
        self.model, self.engine, self.traced = model, JaxEngine(), None
        self.function = model.train_function
        self.losses: list[float] = []
        self.weights: list[list[np.ndarray]] = []

    def __call__(self, state: Any, iterator: Any) -> Any:
        model, live = self.model, self.engine.live
        live.called(model, state)
        if self.traced is None:
            batch = next(iterator)
            iterator = itertools.chain([batch], iterator)
            self.traced = self.engine.trace(model, Batch.of(batch).mapped(self.engine.as_tensor).first(8), True, True)
            outputs = [node for call in self.traced.calls for node in call.outputs]
            gradients = [node for node in (self.traced.gradients or {}).values() if node is not None]
            self.traced.choose([*outputs, *gradients, self.traced.loss], [outputs])
            self.look()
        found = self.function(state, iterator)
        live.returned(found[1])
        self.look()
        return found

    def look(self) -> None:
        arrays, _ = self.traced.run()  # type: ignore[attr-defined]
        self.losses.append(float(arrays[-1]))
        self.weights.append(self.engine.read(self.model.variables))
        self.engine.write(self.model.variables, self.weights[-1])
        self.engine.wait(self.model)


def train(name: str, is_looked_at: bool) -> tuple[Any, dict[str, list[float]], Any]:
    case = make(name)
    model, deputy = case.model, None
    model.make_train_function()
    if is_looked_at:
        deputy = model.train_function = Deputy(model)
    history = model.fit(case.x, case.y, batch_size=8, epochs=3, verbose=0, validation_data=(case.x, case.y))
    return model, history.history, deputy


@pytest.mark.core("cnn", "nested", "spectral", "own")
@pytest.mark.parametrize("name", list(CASES))
def test_a_training_is_the_same_to_the_last_bit(name: str) -> None:
    bare, expected, _ = train(name, is_looked_at=False)
    before = variables(bare)
    looked_at, history, deputy = train(name, is_looked_at=True)
    assert history == expected
    after = variables(looked_at)
    assert_equal(after, before)
    steps = 6 if name == "several_steps" else 15
    assert len(deputy.losses) == steps + 1
    assert len(set(deputy.losses)) > 3  # the model was another one each time
    assert np.isfinite(deputy.losses).all()
    for value, variable in zip(deputy.weights[-1], looked_at.variables, strict=True):
        np.testing.assert_array_equal(value, variable)


def test_what_was_read_stays_what_it_was() -> None:
    _, _, deputy = train("cnn", is_looked_at=True)
    assert all(array.flags.owndata for weights in deputy.weights for array in weights)
    kernels = [weights[0] for weights in deputy.weights]
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels)


def test_reading_does_not_keep_a_step_from_writing_in_place() -> None:
    """A view of numpy's would: the step then writes to other memory, and twice as much is taken."""
    step = jax.jit(lambda x: x + 1, donate_argnums=0)

    class Variable:
        path = "x"
        _value: Any = jax.numpy.zeros((1 << 16,))

    jax.block_until_ready(Variable._value)
    engine = JaxEngine()
    for _ in range(3):
        before = Variable._value.unsafe_buffer_pointer()
        (read,) = engine.read([Variable])
        Variable._value = jax.block_until_ready(step(Variable._value))
        assert Variable._value.unsafe_buffer_pointer() == before
        assert read[0] + 1 == Variable._value[0]
