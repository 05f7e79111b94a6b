"""A model's own `train_step`, traced on the probe: its gradients are those that reach an optimizer."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tb_layerview.capture.keras.own_step import METHODS, Application, application, gradients_of, is_of_call
from tb_layerview.capture.keras.python_state import PythonState, what_changed
from tb_layerview.capture.keras.tf.loss import unscaled
from tb_layerview.capture.keras.tf.tracing import values_of
from tb_layerview.capture.passes.calls import Call, patched

# Operations with a state that stays in TensorFlow's variables, which are put back, or that only a kernel has.
_HARMLESS = re.compile(
    r"(ReadVariableOp|VarHandleOp|VarIsInitializedOp|VariableShape|Assign\w*VariableOp|Resource(Gather|Scatter|Apply|"
    r"Sparse|Strided)\w*|\w*Random\w*|\w*Rng\w*|\w*TruncatedNormal\w*|Stateful(Uniform|StandardNormal)\w*|Multinomial|"
    r"NonDeterministicInts|StatefulPartitionedCall|If|While|Case|Assert|CheckNumerics\w*|CudnnRNN\w*|"
    r"LookupTable(Find|Size|Export)\w*|TensorArray\w*|Stack\w*|PlaceholderWithDefault|_?XlaRun|_?XlaCompile)$"
)


@dataclasses.dataclass
class _Applying:
    """What one thread notes.

    Attributes:
      graph: In which it does.
      executed: How many applications are carried out; those after them are only noted.
      found: What was noted.
      is_elsewhere: Whether something was applied in another graph, of a function, a loop or a branch.
      depth: Within how many applications it is.
    """

    graph: tf.Graph
    executed: int
    found: list[Application] = dataclasses.field(default_factory=list)
    is_elsewhere: bool = False
    depth: int = 0


class _PerThread(threading.local):
    applying: _Applying | None = None


_this = _PerThread()


class TrainStep:
    """A model's own `train_step`, to be traced.

    Attributes:
      applications: What optimizers were given when it was traced, in this order.
      logs: What it returned.
      changed: What it has changed in Python beside what Keras itself does, as one would write it.
      scales: The variables by which optimizers scale losses in float16.
    """

    def __init__(self, model: Any) -> None:
        """Takes a model whose `train_step` `is_own`."""
        self._model = model
        self.applications: list[Application] = []
        self.logs: Any = None
        self.changed: list[str] = []
        self.scales: list[tf.Variable] = []
        self._is_elsewhere = False
        self._optimizers: list[Any] = []

    def traced(self, trace: Callable[[int], Any], held: list[Any]) -> Any:
        """Traces a pass until it has all that optimizers are given.

        What an optimizer is given depends on what those before it have done; the last one's doing is not seen.

        Args:
          trace: Traces a pass that calls `trace` with so many applications to carry out.
          held: Gets what was taken back of what tracing has changed.
        """
        executed = 0
        while True:
            with self.unchanged(held):
                function = trace(executed)
            if executed >= len(self.applications) - 1:
                return function
            executed = len(self.applications) - 1

    @contextlib.contextmanager
    def unchanged(self, held: list[Any]) -> Iterator[None]:
        """Puts back what Python holds of the model and of what its methods name; `held` gets what was taken back."""
        # A counter of calls, say, or a list: graphs and variables are none of its.
        state = PythonState([("self", self._model)])
        # Not a model that has a method of that name.
        self._optimizers = [
            one for one in state.reached if hasattr(type(one), "apply_gradients") and hasattr(type(one), "iterations")
        ]
        try:
            yield
        finally:
            changes = state.put_back()
            held += [change.after for change in changes]
            self.changed = [place for change in changes if change.is_users for place in what_changed(change)]

    def trace(self, data: Any, executed: int) -> None:
        """Traces it in the graph that is being built.

        Args:
          data: The batch, as `fit` gives it.
          executed: How many of its applications of gradients are carried out.
        """
        step = self._model.train_step
        step = getattr(step, "python_function", step)  # of one that is a tf.function itself
        if hasattr(self._model, "_make_function"):  # Keras 3 leaves autograph out
            step = tf.autograph.experimental.do_not_convert(step)
        else:
            autograph = tf.__internal__.autograph
            step = autograph.tf_convert(step, autograph.control_status_ctx())
        with _applying(self._optimizers, executed) as applying:
            self.logs = step(data)
        self.applications, self._is_elsewhere = applying.found, applying.is_elsewhere
        scales = [_dynamic_scale(optimizer) for optimizer in self._optimizers]
        self.scales = list({id(scale): scale for scale in scales if scale is not None}.values())

    def takes(self, x: Any, calls: Sequence[Call]) -> bool:
        """Whether the first call of the model itself was given the batch's own inputs."""
        return is_of_call(map(values_of, tf.nest.flatten(x)), self._model, calls, lambda tensor: tensor)

    def gradients(self) -> tuple[dict[int, Any], list[str]]:
        """The gradients that reach an optimizer, unscaled, by the id of the model's variable, and notes on them."""
        variables = self._model.trainable_variables
        return gradients_of(variables, self.applications, lambda one: getattr(one, "value", one), unscaled)

    def loss(self) -> tuple[tf.Tensor | None, str]:
        """What it returned as the loss, float32 [], and a sentence on it; None if it returned none."""
        loss: Any = self.logs.get("loss") if isinstance(self.logs, Mapping) else None
        graph = tf.compat.v1.get_default_graph()
        if tf.is_tensor(loss) and getattr(loss, "graph", None) is graph and loss.dtype.is_floating:
            return tf.cast(tf.reduce_mean(loss), tf.float32), "probe_loss is what train_step returns as 'loss'"
        return None, "this model's train_step returns no tensor as 'loss': probe_loss is left out"

    def obstacle(self, function: Any) -> str | None:
        """Why what was traced must not be run, or does not tell the gradients; None if it does."""
        if self.changed:
            return f"tracing it changes {', '.join(self.changed[:3])}"
        if self._is_elsewhere:
            return "it applies gradients inside a tf.function, a loop or a branch"
        if not self.applications:
            return "it gives gradients to no optimizer that can be found from the model"
        effects = side_effects(function)
        return f"it does what must not be done again ({', '.join(effects)})" if effects else None


def side_effects(function: Any) -> list[str]:
    """The types of the operations of a traced function that do more than variables and random numbers can show."""
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for called in graph.library.function for node in called.node_def)]
    return sorted({node.op for node in nodes if _is_stateful(node.op) and not _HARMLESS.match(node.op)})


def _dynamic_scale(optimizer: Any) -> tf.Variable | None:
    """The variable by which an optimizer scales losses, if there is one: Keras 3's, then Keras 2's."""
    scale = getattr(optimizer, "dynamic_scale", None)
    scale = getattr(getattr(optimizer, "_loss_scale", None), "_current_loss_scale", None) if scale is None else scale
    return scale if isinstance(scale, tf.Variable) else getattr(scale, "value", None)


@functools.cache
def _is_stateful(op_type: str) -> bool:
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(op_type)
    return definition is None or bool(definition.is_stateful)


@contextlib.contextmanager
def _applying(optimizers: list[Any], executed: int) -> Iterator[_Applying]:
    """Notes what optimizers are given, on this thread."""
    owners = {
        (cls, name): None
        for optimizer in optimizers
        for cls in type(optimizer).__mro__
        for name in METHODS
        if name in vars(cls)
    }
    before, current = _this.applying, _Applying(tf.compat.v1.get_default_graph(), executed)
    with contextlib.ExitStack() as stack:
        for cls, name in owners:
            stack.enter_context(patched(cls, name, _noting))
        _this.applying = current
        try:
            yield current
        finally:
            _this.applying = before


def _noting(original: Any) -> Any:
    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        # A method of a user's own class may hold conditions that autograph has to convert.
        autograph = tf.__internal__.autograph
        applied = autograph.tf_convert(original, autograph.control_status_ctx())
        current = _this.applying
        if current is None or current.depth:
            return applied(self, *args, **kwargs)
        args, kwargs, given = application(self, original.__name__, args, kwargs, _scale(self))
        if tf.compat.v1.get_default_graph() is not current.graph:
            current.is_elsewhere = True
        else:
            current.found.append(given)
            if len(current.found) > current.executed:
                return getattr(self, "iterations", None)
        current.depth += 1
        try:
            return applied(self, *args, **kwargs)
        finally:
            current.depth -= 1

    method.autograph_info__ = {}  # type: ignore[attr-defined]  # by which autograph knows what not to convert
    return method


def _scale(optimizer: Any) -> tf.Tensor | None:
    """What an optimizer's gradients are multiplied by when it is given them, float32 []; None if they are not."""
    if not hasattr(optimizer, "scale_loss"):  # Keras 2, which unscales them before
        return None
    one = tf.constant(1.0)
    scaled = optimizer.scale_loss(one)
    return None if scaled is one else tf.cast(scaled, tf.float32)
