"""Logs a PyTorch module with one line: by what its optimizer is given, and without a word in the loop."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import torch

from tb_layerview.capture.choice import Choice
from tb_layerview.capture.given import Given, Ranks, floats
from tb_layerview.capture.recording import Recording
from tb_layerview.capture.torch.anatomy import ModuleAnatomy
from tb_layerview.capture.torch.backend import Modules, log_by_hand
from tb_layerview.capture.torch.batch import Batch, called
from tb_layerview.capture.torch.hearing import FirstCall, Hearing, compiled_around
from tb_layerview.capture.torch.modules import LossFunction
from tb_layerview.capture.torch.processes import Process, tell
from tb_layerview.capture.torch.values import copied, to_host
from tb_layerview.format.addresses import checked
from tb_layerview.health.check import Check
from tb_layerview.options import Keep, Schedule, Select
from tb_layerview.writing.guard import in_this_process

_NO_BATCH = (
    "nobody was heard calling the model in training mode before its optimizer's first steps, as where a function that "
    "calls it is compiled: compile the model itself, or give LayerRecorder a probe"
)
_NO_LOSS = "nobody tells the loss: use LayerRecorder(..., loss=...) for a replay of the batch that breaks a training"


class Watch:
    """What `watch` returns: it can be closed, and left as a context.

    Attributes:
      step: How many steps the optimizer has made.
      told: What else to log with the next step, by name.
      backend: What computes the model; None once it is closed.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        logdir: str,
        optimizer: Any,
        given: Given,
        loss: LossFunction | None = None,
        call: Callable[[Any, Any], Any] | None = None,
        step: int = 0,
        hears: bool = True,
    ) -> None:
        """Hooks itself on.

        Args:
          model: As of `watch`, and so are those that follow.
          logdir: The run's folder.
          optimizer: What trains it.
          given: The options.
          loss: Computes the loss of what the model gives, if that is known.
          call: Calls the network on the first batch, which `take` is given; by default the model is heard being called.
          step: At which step the training begins.
          hears: Whether to hear the model being called; a hook on it now would have it compiled anew, if it was.
        """
        self.step = self._began = step
        self.told: Mapping[str, Any] = {}
        self.backend: Any = Modules(model, loss, optimizer, has_applied=True, call=call or called, ranks=given.ranks)
        self._optimizers = self.backend.optimizers
        if not self._optimizers:
            raise TypeError("watch wants to know what trains the model: optimizer=..., one or several")
        self._handles: list[Any] = []
        self._first: Batch | None = None
        self._has_batch = self._skips = self._steps_by_closure = False
        self._stepped: set[int] = set()  # the optimizers that have, since a step was logged
        self._is_made = False  # whether the first one has
        self._hearing: Hearing | None = None  # until the model was called
        logdir, self._given = Process.of_this().place(logdir, given)
        self._recording: Recording | None = None
        if not self.backend.logs(model):
            return
        self._recording = Recording(self.backend.network, logdir, self._given, self.backend)
        self._check_patterns()
        if call is None and hears:
            self._hearing = Hearing([model, *compiled_around(model)], FirstCall(self))
        # Whoever compiles an optimizer's step would compile all that logs with it.
        before, after = torch.compiler.disable(self._before), torch.compiler.disable(self._after)
        for one in self._optimizers:
            self._handles += [one.register_step_pre_hook(before), one.register_step_post_hook(after)]
        # A script ends without closing what it has not asked for. Whatever holds the optimizer holds this one.
        atexit.register(in_this_process(_close), weakref.ref(self))

    def _check_patterns(self) -> None:
        """Looks whether the patterns match modules, as far as these are known before the model is called.

        Raises:
          ValueError: One matches none.
        """
        network, anatomy = self.backend.network, ModuleAnatomy(self.backend.network)
        modules = [module for module in network.modules() if module is not network]
        paths = [(anatomy.name(module), type(module).__name__) for module in modules]
        root = anatomy.root_name(network)
        self._given.select.check([("input", "Input"), (root, root), *paths])

    @property
    def is_closed(self) -> bool:
        """Whether it logs no more, or never did."""
        return self._recording is None

    @property
    def should_stop(self) -> bool:
        """Whether something was found at which the training is to stop: what `Check(stop_on=...)` asks for."""
        return self._recording is not None and self._recording.log.should_stop

    def hear(self, module: torch.nn.Module, x: Any) -> None:
        """The model is called in training mode."""
        self.take(x)

    def take(self, x: Any, kind: type[Batch] = Batch) -> None:
        """Takes the first examples of what the model is first called on in training as the probe, of this kind."""
        recording = self._recording
        if recording is None or self._has_batch or recording.is_ready:
            return
        self._has_batch = True
        with recording.log.guard("the first batch"):
            self._first = kind(x, parts=1, to_host=to_host).mapped(copied)
            self.backend.see_training()
        self._hear_no_more()

    def _hear_no_more(self) -> None:
        hearing, self._hearing = self._hearing, None
        if hearing is not None:
            hearing.close()

    def _before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """An optimizer is about to step."""
        recording = self._recording
        if recording is None or not recording.log.is_open:
            return
        with recording.log.guard("the optimizer's steps"):
            counts, has_closure = optimizer is self._optimizers[0], _has_closure(args, kwargs)
            if counts:
                self._finish(recording)
                # A `GradScaler` has an optimizer that computes in one kernel see itself whether to skip the step.
                found_inf = getattr(optimizer, "found_inf", None)
                self._skips = found_inf is not None and bool(found_inf)
                if not recording.is_ready and self._first is not None:
                    self._set_up(recording)
                self._steps_by_closure = has_closure
            if not has_closure and recording.log.due(self.step + (not self._is_made)):
                self._keep_gradients(recording, optimizer)

    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """An optimizer has stepped."""
        recording = self._recording
        if recording is None or not recording.log.is_open:
            return
        with recording.log.guard("the optimizer's steps"):
            self._stepped.add(id(optimizer))
            if optimizer is self._optimizers[0] and not self._skips:
                self.step, self._is_made = self.step + 1, True
            if _has_closure(args, kwargs) and recording.log.due(self.step + (not self._is_made)):
                self._keep_gradients(recording, optimizer)
            if len(self._stepped) == len(self._optimizers):
                self._finish(recording)

    def _keep_gradients(self, recording: Recording, optimizer: torch.optim.Optimizer) -> None:
        if "gradient" in self._given.select.kinds:
            with recording.log.ahead("keeping the gradients"):
                self.backend.engine.gradients.take(optimizer)

    def _finish(self, recording: Recording) -> None:
        """Logs the step that the first optimizer has made, once the others have made theirs, or it begins another."""
        if not self._is_made:
            return
        self._stepped, self._is_made = set(), False
        if not recording.is_ready:
            late = "the first step calls the model: the state before it is not logged"
            self._set_up(recording, [late] if self._steps_by_closure else [])
        recording.step(self.step, self._scalars)
        self.backend.engine.gradients.forget()

    def _set_up(self, recording: Recording, notes: Sequence[str] = ()) -> None:
        """Traces the pass. A model that was not called before its optimizer's first step has none."""
        is_trained = self.step > self._began
        if not self.backend.is_ready(self.backend.network, self._given, is_trained):
            return
        said = [*self.backend.notes(self.backend.network), *notes, *self._of_replay()]
        with recording.log.before_step_0("the probe"):
            first, self._first = self._first, None
            choice = Choice((), (_NO_BATCH,)) if first is None else Choice.of(first, _FIRST)
            recording.set_up(choice, False, said)
        recording.log.begin(self.step)
        if not is_trained:
            recording.step(self.step, self._scalars)

    def _of_replay(self) -> list[str]:
        if self._given.check.replay is False:
            return []
        return [f"a batch that breaks the training is not run again: {_NO_LOSS}"]

    def _scalars(self) -> Mapping[str, float]:
        return {**self.backend.scalars(), **floats(self.told)}

    def close(self) -> None:
        """Takes every hook off, logs the last step if it was not, closes the log, and says what it holds."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._hear_no_more()
        recording, self._recording = self._recording, None
        if recording is None:
            return
        with recording.log.guard("the optimizer's steps"):
            self._finish(recording)
        if self.step > self._began:
            recording.last_step(self.step, self._scalars)
            recording.hand_over()
        tell(recording.close())
        # Whoever keeps this keeps no model alive.
        self.backend = self._first = None
        self._optimizers, self.told = (), {}

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_FIRST = "the first batch that the model was called with"


def watch(
    model: torch.nn.Module,
    logdir: str | os.PathLike[str],
    optimizer: Any,
    select: Select = Select(),
    schedule: Schedule | int = Schedule(),
    keep: Keep | None = None,
    check: Check = Check(),
    ranks: Ranks = "first",
) -> Watch:
    """Logs a PyTorch module from here on: one line before the loop, and none in it.

    ```python
    lv.watch(model, "logs/run1", optimizer=optimizer)
    ```

    What the model is called with first, in training mode, is the probe: at each logged step the model is run on its
    first examples, and everything is afterwards as it was. A step is one of the optimizer's: one that a `GradScaler`
    skips is none, and several backward passes may lead to one. Logged are activations on the probe, the gradients that
    the optimizer is given, weights and updates.

    Args:
      model: The module that the loop calls.
      logdir: The run's folder, or its address: `s3://bucket/run`; the log goes into its folder `layers`.
      optimizer: What trains it, a `torch.optim.Optimizer` or several: the steps of the first one are counted.
      select: Which layers and kinds to log.
      schedule: When to log: a `Schedule`, or N for every N steps.
      keep: How much to keep of each tensor; by default `Keep()`, and statistics alone where all ranks log.
      check: What to look for, and what to do about it: `should_stop` tells what `Check(stop_on=...)` asks for.
      ranks: Of several processes that train the model the first one logs, or "all", each into its `<logdir>/rank-N`.

    Returns:
      What takes the hooks off again: by `close`, or when it is left as a context. A process that ends closes it.

    Raises:
      TypeError: An option, the model or an optimizer is not of its type.
      ValueError: An option is out of its range, the folder cannot be written to or opened by what is installed, or the
        model's weights are spread over several processes.
    """
    given = Given.of(select, schedule, keep, check, ranks)
    select.refuse_tensors()
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"watch takes a torch.nn.Module, not {model!r}; Keras' models have LayerViewCallback")
    watching = Watch(model, checked(logdir), optimizer, given)
    log_by_hand(watching.backend)
    return watching


def _has_closure(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether an optimizer's step is given what calls the model; the first argument is the optimizer itself."""
    return any(one is not None for one in args[1:]) or kwargs.get("closure") is not None


def _close(watching: weakref.ref[Watch]) -> None:
    found = watching()
    if found is not None:
        found.close()
