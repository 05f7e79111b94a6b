"""Watches what a script trains: which module an optimizer belongs to shows when one with its parameters is called."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch

from tb_layerview.capture.torch.watch import FirstCall, Watch, have_hear

#: Watches a module that these optimizers train, which share no parameters; None if it is not to be.
WatchIt = Callable[[torch.nn.Module, list[torch.optim.Optimizer]], Watch | None]


class Awaited:
    """The optimizers that were made, and the modules that may be called before they step.

    A module is watched from its first call on, in training mode: of those that hold all parameters of an optimizer the
    one that is called first is the outermost that is called at all.
    """

    def __init__(self, watch: WatchIt) -> None:
        """Awaits nothing yet.

        Args:
          watch: Watches a module. What it raises is for whoever calls `add` or the module; it should raise nothing.
        """
        self._watch = watch
        self._optimizers: list[weakref.ref[torch.optim.Optimizer]] = []  # in the order in which they were made
        self._hear_no_more: list[Callable[[], None]] = []
        self._watched: list[weakref.ref[Watch]] = []
        self._held: list[Watch] = []  # whose last step is logged at the end, though the script may have let go of them

    def add(self, optimizer: torch.optim.Optimizer) -> bool:
        """Awaits that a module is called which has all parameters of an optimizer; returns whether there is any.

        An optimizer of the same parameters that was made before is awaited no more.
        """
        # Those before it live as long as the script has their optimizers: a search trains one model after the other.
        self._held = []
        wanted = _parameters(optimizer)
        for one in self._alive():
            if wanted & _parameters(one):
                self._optimizers = [ref for ref in self._optimizers if ref() is not one]
        found = [module for module in _modules() if wanted <= _within(module)]
        if not wanted or not found:
            return False
        self._optimizers.append(weakref.ref(optimizer))
        hook = FirstCall(self)
        self._hear_no_more += [have_hear(module, hook) for module in found]
        return True

    def hear(self, module: torch.nn.Module, x: Any) -> None:
        """A module is called in training mode: it is what is trained by the optimizers that have parameters of it."""
        own = _within(module)
        optimizers = [one for one in self._alive() if _parameters(one) <= own]
        self._optimizers = [ref for ref in self._optimizers if ref() not in optimizers]
        if not self._optimizers:
            for undo in self._hear_no_more:
                undo()
            self._hear_no_more = []
        if not optimizers:
            return
        before = [one for ref in self._watched if (one := ref()) is not None]
        for one in before:  # a training of the same by other optimizers is another one
            if one.backend.network in module.modules():
                one.close()
        watching = self._watch(module, optimizers)
        now = before if watching is None else [*before, watching]
        self._watched = [weakref.ref(one) for one in now if not one.is_closed]
        if watching is not None:
            self._held.append(watching)
            watching.hear(module, x)

    def _alive(self) -> list[torch.optim.Optimizer]:
        return [optimizer for ref in self._optimizers if (optimizer := ref()) is not None]


def _parameters(optimizer: torch.optim.Optimizer) -> set[int]:
    return {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}


def _within(module: torch.nn.Module) -> set[int]:
    """The parameters of a module. Its class may have a `parameters` of its own, which is for others to call."""
    return {id(parameter) for parameter in torch.nn.Module.parameters(module)}


def _modules() -> Iterator[torch.nn.Module]:
    """All modules that there are. Of things their type is looked at: what stands for another one may make that."""
    for thing in gc.get_objects():
        with contextlib.suppress(ReferenceError):  # of a proxy whose thing is gone
            if issubclass(type(thing), torch.nn.Module) and "_parameters" in vars(thing):
                yield thing
