"""A model's own `train_step`, run on the probe: its gradients are those that reach an optimizer."""

from __future__ import annotations

import collections.abc
import contextlib
import dataclasses
import functools
import threading
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from tb_layerview.capture.keras.batch import Batch
from tb_layerview.capture.keras.own_step import METHODS, Application, application, gradients_of, is_of_call
from tb_layerview.capture.keras.python_state import PythonState, what_changed
from tb_layerview.capture.keras.torch.loss import loss_scale, smaller
from tb_layerview.capture.keras.torch.variables import tensor_of
from tb_layerview.capture.passes.calls import Call, patched
from tb_layerview.capture.torch.traced import unscaled


@dataclasses.dataclass
class _Applying:
    """What one thread notes.

    Attributes:
      executed: How many applications are carried out; those after them are only noted.
      keep: Keeps tensors before they are written to.
      found: What was noted.
      depth: Within how many applications it is.
    """

    executed: int
    keep: Callable[[Any, Sequence[Any]], None]
    found: list[Application] = dataclasses.field(default_factory=list)
    depth: int = 0


class _PerThread(threading.local):
    applying: _Applying | None = None


_this = _PerThread()


class TrainStep:
    """A model's own `train_step`, to be run on a batch.

    Attributes:
      applications: What optimizers were given when it was last run, in this order.
      logs: What it returned.
    """

    def __init__(self, model: Any) -> None:
        """Takes a model whose `train_step` `is_own`."""
        self._model = model
        self.applications: list[Application] = []
        self.logs: Any = None
        self._executed = 0

    def learn(self, run: Callable[[], Any]) -> tuple[Any, str | None]:
        """Runs a pass until it has all that optimizers are given.

        What an optimizer is given depends on what those before it have done; the last one's doing is not seen.

        Args:
          run: Runs a pass that calls `run` of this object.

        Returns:
          What `run` returned last, and why it must not be run, or does not tell the gradients; None if it does.
        """
        while True:
            state = PythonState([("self", self._model)])
            obstacle = _unrepeatable(state)
            if obstacle is not None:
                return None, obstacle
            try:
                ran = run()
            finally:
                changes = state.put_back()
            changed = [place for change in changes if change.is_users for place in what_changed(change)]
            if changed:
                return None, f"running it changes {', '.join(changed[:3])}"
            if not self.applications:
                return None, "it gives gradients to no optimizer of Keras'"
            if self._executed == len(self.applications) - 1:
                return ran, None
            self._executed = len(self.applications) - 1

    def run(self, batch: Batch, keep: Callable[[Any, Sequence[Any]], None]) -> None:
        """Runs it; `.grad` of the model's weights is afterwards what it was.

        Args:
          batch: As `fit` gives it.
          keep: Keeps what an optimizer is about to write to: its own variables and the model's.
        """
        data = (batch.x, batch.y, batch.sample_weight)[: batch.parts] if batch.parts else batch.x
        tensors = [tensor_of(variable) for variable in self._model.variables]
        gradients = [tensor.grad for tensor in tensors]
        for metric in self._model.metrics:  # so that what they tell afterwards is of the probe alone
            metric.reset_state()
        try:
            for tensor in tensors:
                tensor.grad = None
            with _applying(self._executed, keep) as applying:
                self.logs = self._model.train_step(data)
        finally:
            for tensor, gradient in zip(tensors, gradients):
                tensor.grad = gradient
        self.applications = applying.found

    def takes(self, x: Sequence[Any], calls: Sequence[Call]) -> bool:
        """Whether the first call of the model itself was given the batch's own inputs."""
        return is_of_call([seen.tensor for seen in x], self._model, calls, lambda seen: seen.tensor)

    def gradients(self) -> tuple[dict[int, torch.Tensor | None], list[str]]:
        """The gradients that reach an optimizer, unscaled, by the id of the model's variable, and notes on them."""
        return gradients_of(self._model.trainable_variables, self.applications, tensor_of, _unscaled)

    def loss(self) -> tuple[torch.Tensor | None, str]:
        """What it returned as the loss, a tensor [], and a sentence on it; None if it returned none."""
        loss: Any = self.logs.get("loss") if isinstance(self.logs, Mapping) else None
        loss = torch.as_tensor(loss) if isinstance(loss, float) else loss
        if isinstance(loss, torch.Tensor) and loss.is_floating_point():
            return loss.detach().mean(), "probe_loss is what train_step returns as 'loss'"
        return None, "this model's train_step returns no number as 'loss': probe_loss is left out"

    @property
    def largest_scale(self) -> float:
        """By what losses are scaled, at most, as the optimizers have it that were seen; 1 if they are not."""
        return max((one.scale for one in self.applications if one.scale is not None), default=1.0)

    def make_scales_smaller(self, times: int, keep: Callable[[Any, Sequence[Any]], None]) -> None:
        """Makes smaller what the optimizers scale losses by that were seen.

        Args:
          times: How often it is made smaller.
          keep: Keeps what an optimizer's variables are, to be put back.
        """
        optimizers = {id(one.optimizer): one.optimizer for one in self.applications if one.scale is not None}
        for optimizer in optimizers.values() if times else ():
            scale = getattr(optimizer, "dynamic_scale", None)
            if scale is not None:
                keep(optimizer, ())
                value = float(tensor_of(scale))
                for _ in range(times):
                    value = smaller(value)
                scale.assign(value)


def _unscaled(gradient: torch.Tensor | None, scale: float | None) -> torch.Tensor | None:
    return None if gradient is None else unscaled(gradient.detach(), scale)


def _unrepeatable(state: PythonState) -> str | None:
    """What the step may do that cannot be put back: what an iterator has given, it does not give again."""
    for one in state.reached:
        if isinstance(one, (collections.abc.Iterator, types.GeneratorType)):
            return f"it may take from an iterator ({type(one).__name__}), which would lack that afterwards"
    return None


@contextlib.contextmanager
def _applying(executed: int, keep: Callable[[Any, Sequence[Any]], None]) -> Iterator[_Applying]:
    """Notes what optimizers are given, on this thread."""
    from keras.src.optimizers.base_optimizer import BaseOptimizer

    classes = [BaseOptimizer]
    for cls in classes:
        classes += [inner for inner in cls.__subclasses__() if inner not in classes]
    before, current = _this.applying, _Applying(executed, keep)
    with contextlib.ExitStack() as stack:
        for cls in classes:
            for name in METHODS:
                if name in vars(cls):
                    stack.enter_context(patched(cls, name, _noting))
        stack.callback(register_optimizer_step_pre_hook(_refuse_to_step).remove)
        _this.applying = current
        try:
            yield current
        finally:
            _this.applying = before


def _refuse_to_step(*_: Any) -> None:
    """Is called before any optimizer of torch's own steps, whose state could not be put back."""
    if _this.applying is not None:
        raise RuntimeError("it steps an optimizer of torch's own")


def _noting(original: Any) -> Any:
    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        current = _this.applying
        if current is None or current.depth:
            return original(self, *args, **kwargs)
        args, kwargs, given = application(self, original.__name__, args, kwargs, loss_scale(self))
        if len(current.found) >= current.executed:
            current.found.append(given)
            return getattr(self, "iterations", None)
        # Optimizers change gradients in place, too.
        copied = tuple(None if one is None else one.detach().clone() for one in given.gradients)
        current.found.append(dataclasses.replace(given, gradients=copied))
        current.keep(self, given.variables)
        current.depth += 1
        try:
            return original(self, *args, **kwargs)
        finally:
            current.depth -= 1

    return method
