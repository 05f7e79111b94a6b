"""The weights of a model as arrays that can be kept and put back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tb_layerview.capture.host.engine import Array, Engine
from tb_layerview.measure.seconds import least_seconds

Values = Sequence[Array]


class ModelState:
    """All variables of a model: what is trained, moving statistics, states of random generators; not the optimizer's.

    What is kept is copied at once: the training writes to the memory of its weights, or gives it away.

    Attributes:
      bytes: What one set of values takes.
      read_seconds: What reading them took when `cost` measured it.
    """

    def __init__(self, model: Any, engine: Engine) -> None:
        """Looks up the variables of a model that is built, which `engine` computes."""
        self._model, self._engine = model, engine
        variables, of_metrics = engine.variables(model)
        self._variables = list({id(variable): variable for variable in variables}.values())
        metrics = {id(variable) for variable in of_metrics}
        self._is_metric = [id(variable) in metrics for variable in self._variables]
        self.bytes = sum(array.nbytes for array in self.read())
        self.read_seconds = 0.0

    def read(self) -> Values:
        """The values as they are now."""
        return self._engine.read(self._variables)

    def assign(self, values: Values) -> None:
        """Sets all values, to the last bit."""
        self._engine.write(self._variables, values)

    def differ(self, one: Values, other: Values) -> bool:
        """Whether two sets of values differ by a bit, apart from those of metrics."""
        pairs = [pair for *pair, is_metric in zip(one, other, self._is_metric) if not is_metric]
        return any(a.shape != b.shape or a.tobytes() != b.tobytes() for a, b in pairs)

    def is_finite(self, values: Values) -> bool:
        """Whether all of these values are finite."""
        return all(is_finite(value) for value in values)

    def wait(self) -> None:
        """Returns when the device has computed them: to copy them to the host waits for that."""
        self._engine.wait(self._model)

    def cost(self) -> float:
        """Seconds that keeping one set takes at each step: to copy it, measured now."""
        self.read_seconds = least_seconds(self.read)
        return self.read_seconds


def is_finite(value: Array) -> bool:
    """Whether all elements of an array are finite, of whatever type."""
    name = value.dtype.name
    if "float" not in name:
        return True
    wide = value if name in ("float32", "float64") else value.astype(np.float32)
    return bool(np.isfinite(wide).all())
