"""The bed: small real trainings with a fault that is known, or with none, and what the rules make of their logs."""

from __future__ import annotations

import dataclasses
import fnmatch
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from any_keras import FRAMEWORK, keras, layers

import tb_layerview as lv
from tb_layerview.format.model import USUAL_KINDS
from tb_layerview.health.finding import Finding
from tb_layerview.health.of_run import diagnose_runs

STEPS, BATCH = 24, 32


@dataclasses.dataclass(frozen=True)
class Planted:
    """What is known of a fault, by the one who planted it and from outside of the log.

    Attributes:
      rules: Each of these names it rightly. Empty: there is nothing wrong in any layer, and nothing may be found.
      layers: Patterns, as in a shell, of the layers where it is; empty: no layer is at fault, and none may be blamed.
      kinds: Of which kinds the tensors are that show it.
      first: The step at which it began; two where it came about from the one to the other, in steps of a training
        whose faults grow.
      causes: How many findings at most may follow from nothing.
    """

    rules: tuple[str, ...]
    layers: tuple[str, ...] = ()
    kinds: tuple[str, ...] = USUAL_KINDS
    first: int | tuple[int, int] = 0
    causes: int = 1

    def is_found_by(self, finding: Finding) -> bool:
        """Whether a finding names rule, layer, kind and first step, the latter to within the logging interval."""
        earliest, latest = (self.first, self.first) if isinstance(self.first, int) else self.first
        before = -1 if finding.before is None else finding.before
        if finding.rule not in self.rules or not (before < latest and earliest <= finding.first):
            return False
        if finding.tensor is None:
            return not self.layers
        where = finding.tensor
        return where.kind in self.kinds and any(fnmatch.fnmatchcase(where.layer, p) for p in self.layers)


@dataclasses.dataclass(frozen=True)
class Fault:
    """A training with a fault.

    Attributes:
      name: What it is called.
      what: What is wrong, in a sentence.
      train: Trains and logs into a folder, and returns what is known of the fault.
      missed: Why the rules do not find it yet; empty if they have to.
      behind: Why another finding comes before it; empty if it has to lead the report.
      own: What it needs that TensorFlow alone has; empty if all backends of Keras can have it.
      needs_estimator: Whether it needs TensorFlow's Estimators.
    """

    name: str
    what: str
    train: Callable[[Path], Planted]
    missed: str = ""
    behind: str = ""
    own: str = ""
    needs_estimator: bool = False


@dataclasses.dataclass(frozen=True)
class Healthy:
    """A training with nothing wrong.

    Attributes:
      name: What it is called.
      what: What is trained, in a sentence.
      train: Trains and logs into a folder, and returns the loss of its first and of its last steps.
    """

    name: str
    what: str
    train: Callable[[Path], tuple[float, float]]


FAULTS: dict[str, Fault] = {}
HEALTHY: dict[str, Healthy] = {}


def fault(
    *, missed: str = "", behind: str = "", own: str = "", needs_estimator: bool = False
) -> Callable[[Callable[[Path], Planted]], Callable[[Path], Planted]]:
    """Puts a training among the faults, by its own name and docstring; the arguments are `Fault`'s."""

    def put(train: Callable[[Path], Planted]) -> Callable[[Path], Planted]:
        FAULTS[train.__name__] = Fault(train.__name__, _what(train), train, missed, behind, own, needs_estimator)
        return train

    return put


def healthy(train: Callable[[Path], tuple[float, float]]) -> Callable[[Path], tuple[float, float]]:
    """Puts a training among the healthy ones, by its own name and docstring."""
    HEALTHY[train.__name__] = Healthy(train.__name__, _what(train), train)
    return train


def _what(train: Callable[..., Any]) -> str:
    return " ".join((inspect.getdoc(train) or "").split())


def findings(folder: Path) -> tuple[Finding, ...]:
    """What the rules find in all that a training has logged, its replays included."""
    found = {run.name: findings for run, findings in diagnose_runs(lv.LayerReader(folder).runs())}
    return found["."]


# How Keras models are trained here.


def problem(features: int = 8, steps: int = STEPS) -> tuple[np.ndarray, np.ndarray]:
    """As many examples as `steps` batches take: normal features, and a smooth function of two of them."""
    x = np.random.default_rng(0).normal(size=(steps * BATCH, features)).astype(np.float32)
    return x, np.tanh(x[:, :1] * x[:, 1:2]).astype(np.float32)


def batch_number(k: int) -> slice:
    """The examples of the k-th batch, from 0; the step that it makes is k + 1."""
    return slice(k * BATCH, (k + 1) * BATCH)


def stack(inputs: int | tuple[int, ...], *parts: Any) -> Any:
    """A sequential model; the random numbers begin anew."""
    keras.utils.set_random_seed(3)
    made = [part() if callable(part) and not isinstance(part, layers.Layer) else part for part in parts]
    return keras.Sequential([keras.Input((inputs,) if isinstance(inputs, int) else inputs), *made])


def dense(units: int, name: str, activation: Any = "relu", **options: Any) -> Callable[[], Any]:
    """A dense layer, to be made once the random numbers have begun anew."""
    return lambda: layers.Dense(units, activation=activation, name=name, **options)


def fit(
    folder: Path,
    model: Any,
    x: Any,
    y: Any,
    optimizer: Any = "sgd",
    loss: Any = "mse",
    callbacks: Sequence[Any] = (),
    batch: int = BATCH,
    schedule: int = 1,
    check: lv.Check = lv.Check(),
) -> Any:
    """Trains for one epoch, in the order of the examples; `callbacks` come before ours. Returns Keras' history."""
    model.compile(optimizer, loss)
    logging = lv.LayerViewCallback(folder, schedule=schedule, check=check)
    return model.fit(x, y, batch_size=batch, shuffle=False, verbose=0, callbacks=[*callbacks, logging])


def synchronise(model: Any) -> None:
    """While `fit` runs on JAX, a model's variables hold nothing until they are asked to, here, for what it trains."""
    if FRAMEWORK == "jax":
        model.jax_state_sync()


class At(keras.callbacks.Callback):
    """Does something right before the batch that makes step k + 1, so that step k shows it."""

    def __init__(self, k: int, action: Callable[[], Any]) -> None:
        super().__init__()
        self._k, self._action = k, action

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch == self._k:
            synchronise(self.model)
            self._action()


class FirstNonFinite(keras.callbacks.Callback):
    """Sees for itself, by `get_weights`, after which step a weight is not finite.

    Attributes:
      step: The first such step, or None.
    """

    def __init__(self) -> None:
        super().__init__()
        self.step: int | None = None

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._look(batch)

    def on_train_end(self, logs: Any = None) -> None:
        self._look(self.params["steps"])

    def _look(self, step: int) -> None:
        synchronise(self.model)
        if self.step is None and not all(np.isfinite(weight).all() for weight in self.model.get_weights()):
            self.step = step
