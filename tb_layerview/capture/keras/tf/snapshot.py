"""The weights of a Keras model as values that can be kept and put back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tb_layerview.capture.keras.tf.finite import all_finite
from tb_layerview.capture.keras.tf.traced import Traced
from tb_layerview.capture.keras.tf.variables import WrittenVariable, tf_variable
from tb_layerview.measure.seconds import least_seconds

Values = Sequence[tf.Tensor]
_SAMPLE = 1 << 22  # floats of which a copy is timed


class ModelState:
    """All variables of a model: what is trained, moving statistics, states of random generators; not the optimizer's.

    TensorFlow copies a variable when it is assigned while somebody holds its value: keeping values costs that copy, in
    time and in device memory, and changes nothing in what is trained.

    Attributes:
      bytes: What one set of values takes.
      read_seconds: What reading them took when `cost` measured it.
    """

    def __init__(self, model: Any) -> None:
        """Looks up the variables of a model that is built; with several replicas, of each of them."""
        strategy = model.distribute_strategy
        found: dict[int, tf.Variable] = {}
        for variable in (*model.variables, *model.weights):
            for one in strategy.experimental_local_results(tf_variable(variable)):
                found[id(one.handle)] = one
        self._variables = [WrittenVariable(v.handle, v.dtype) for v in found.values()]
        self._held = list(found.values())  # who holds a handle alone does not hold the variable
        # Keras 2 counts those of a model's own metrics among its weights, and resets them.
        of_metrics = [tf_variable(variable) for metric in model.metrics for variable in metric.variables]
        handles = {id(one.handle) for whole in of_metrics for one in strategy.experimental_local_results(whole)}
        self._is_metric = [handle in handles for handle in found]
        self.bytes = int(sum(v.dtype.size * (v.shape.num_elements() or 0) for v in found.values()))
        self.read_seconds = 0.0
        self._read = Traced(self._read_all)

    def read(self) -> Values:
        """The values as they are now."""
        return self._read()  # type: ignore[no-any-return]

    def assign(self, values: Values) -> None:
        """Sets all values, to the last bit."""
        for variable, value in zip(self._variables, values):
            variable.assign(value)

    def differ(self, one: Values, other: Values) -> bool:
        """Whether two sets of values differ by a bit, apart from those of metrics."""
        pairs = [pair for *pair, is_metric in zip(one, other, self._is_metric) if not is_metric]
        return any(not bool(tf.reduce_all(tf.equal(_bits(a), _bits(b)))) for a, b in pairs)

    def is_finite(self, values: Values) -> bool:
        """Whether all of these values are finite."""
        return bool(all_finite(value for value in values if value.dtype.is_floating))

    def wait(self) -> None:
        """Reading waits for nothing: what is read is computed when the device comes to it."""

    def cost(self) -> float:
        """Seconds that keeping one set takes at each step: to read it, and to copy what is held, measured now."""
        sample = int(min(max(self.bytes // 4, 1), _SAMPLE))
        variable, nothing = tf.Variable(tf.zeros(sample), trainable=False), tf.zeros(sample)

        def train(is_held: bool) -> None:
            held = [variable.read_value()] if is_held else []
            tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=0.0, delta=nothing)
            variable[:1].numpy()  # waits for the device
            held.clear()

        copy = least_seconds(lambda: train(True)) - least_seconds(lambda: train(False))
        self.read_seconds = least_seconds(self.read)
        return self.read_seconds + max(0.0, copy) * self.bytes / (4 * sample)

    def _read_all(self) -> list[tf.Tensor]:
        return [tf.raw_ops.ReadVariableOp(resource=v.handle, dtype=v.dtype) for v in self._variables]


def _bits(value: tf.Tensor) -> tf.Tensor:
    """What is equal to itself, as NaN is not."""
    return tf.bitcast(value, tf.uint8) if value.dtype.is_floating or value.dtype.is_complex else value


def spared_seconds(model: Any) -> float:
    """What a step takes less than with Keras' own function: Keras 3 looks into an optional that holds the logs."""
    if model.run_eagerly or not hasattr(model, "_make_function"):
        return 0.0
    optional = tf.experimental.Optional.from_value({"loss": tf.zeros([])})
    return least_seconds(lambda: optional.has_value() and optional.get_value())
