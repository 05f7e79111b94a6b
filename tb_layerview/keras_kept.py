"""The weights of a Keras model as values that can be kept and put back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tb_layerview.keras_state import WrittenVariable

Values = Sequence[tf.Tensor]


class ModelState:
    """All variables of a model: what is trained, moving statistics, states of random generators; not the optimizer's.

    TensorFlow copies a variable when it is assigned while somebody holds its value: keeping values costs that copy, in
    time and in device memory, and changes nothing in what is trained.

    Attributes:
      bytes: What one set of values takes.
    """

    def __init__(self, model: Any) -> None:
        """Looks up the variables of a model that is built; with several replicas, of each of them."""
        strategy = model.distribute_strategy
        found: dict[int, tf.Variable] = {}
        for variable in (*model.variables, *model.weights):
            whole = variable if isinstance(variable, tf.Variable) else variable.value
            for one in strategy.experimental_local_results(whole):
                found[id(one.handle)] = one
        self._variables = [WrittenVariable(v.handle, v.dtype) for v in found.values()]
        self._held = list(found.values())  # who holds a handle alone does not hold the variable
        self.bytes = sum(v.dtype.size * (v.shape.num_elements() or 0) for v in found.values())
        self._read = tf.function(self._read_all, autograph=False).get_concrete_function()

    def read(self) -> Values:
        """The values as they are now."""
        return self._read()  # type: ignore[no-any-return]

    def assign(self, values: Values) -> None:
        """Sets all values, to the last bit."""
        for variable, value in zip(self._variables, values):
            variable.assign(value)

    def is_finite(self, values: Values) -> bool:
        """Whether all of these values are finite."""
        floats = [value for value in values if value.dtype.is_floating]
        return all(bool(tf.reduce_all(tf.math.is_finite(value))) for value in floats)

    def cost(self) -> float:
        """Seconds that keeping one set takes, as measured now: to read them, and to copy what is held."""
        times = []
        for _ in range(4):
            began = time.perf_counter()
            copied = [tf.raw_ops.DeepCopy(x=value) for value in self.read() if value.dtype != tf.string]
            for last in copied[-1:]:
                tf.reshape(last, [-1])[:1].numpy()  # waits for the device
            times.append(time.perf_counter() - began)
        return min(times)

    def _read_all(self) -> list[tf.Tensor]:
        return [tf.raw_ops.ReadVariableOp(resource=v.handle, dtype=v.dtype) for v in self._variables]
