"""Watches what a script trains: which module an optimizer belongs to shows when one with its parameters is called."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from tb_layerview.capture.torch.anatomy import unwrapped
from tb_layerview.capture.torch.hearing import FirstCall, Hearing, all_modules
from tb_layerview.capture.torch.watch import Watch

#: Watches a module that these optimizers train, which share no parameters; None if it is not to be. Then, whether it is
#: to hear the module being called.
WatchIt = Callable[[torch.nn.Module, list[torch.optim.Optimizer], bool], Watch | None]


class Awaited:
    """The optimizers that were made, and the modules that may be called before they step.

    A module is watched from its first call on, in training mode: of those that hold all parameters of an optimizer the
    one that is called first is the outermost that is called at all. One that nobody is heard calling until an optimizer
    steps on gradients, as where a function that calls it is compiled, is watched from there on: it is the innermost.
    """

    def __init__(self, watch: WatchIt) -> None:
        """Awaits nothing yet.

        Args:
          watch: Watches a module. What it raises is for whoever calls `add` or the module; it should raise nothing.
        """
        self._watch = watch
        self._optimizers: list[weakref.ref[torch.optim.Optimizer]] = []  # in the order in which they were made
        self._hearing: list[Hearing] = []
        self._steps: Any = None  # what takes off the hook on all optimizers' steps, while any is awaited
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
        found = [module for module in all_modules() if wanted <= _within(module)]
        if not wanted or not found:
            return False
        self._optimizers.append(weakref.ref(optimizer))
        self._hearing.append(Hearing(found, FirstCall(self)))
        if self._steps is None:
            self._steps = register_optimizer_step_pre_hook(torch.compiler.disable(self._step))
        return True

    def hear(self, module: torch.nn.Module, x: Any) -> None:
        """A module is called in training mode: it is what is trained by the optimizers that have parameters of it."""
        optimizers = self._found(module)
        if not self._optimizers:
            self._await_no_more()
        watching = self._train(module, optimizers, hears=True) if optimizers else None
        if watching is not None:
            watching.hear(module, x)

    def _step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """An optimizer is about to step: any other hook than this one may be put on it, and none taken off it, now."""
        if not any(one is optimizer for one in self._alive()):
            return
        if all(parameter.grad is None for group in optimizer.param_groups for parameter in group["params"]):
            return  # it makes what it keeps, or calls the model itself
        wanted = _parameters(optimizer)
        found = [module for module in all_modules() if wanted <= _within(module)]
        if found:
            innermost = unwrapped(min(found, key=lambda module: sum(1 for _ in module.modules())))
            self._train(innermost, self._found(innermost), hears=False)

    def _found(self, module: torch.nn.Module) -> list[torch.optim.Optimizer]:
        """The optimizers that train a module, which are awaited no more."""
        own = _within(module)
        optimizers = [one for one in self._alive() if _parameters(one) <= own]
        self._optimizers = [ref for ref in self._optimizers if ref() not in optimizers]
        return optimizers

    def _await_no_more(self) -> None:
        for hearing in self._hearing:
            hearing.close()
        self._hearing = []
        if self._steps is not None:
            self._steps.remove()
            self._steps = None

    def _train(self, module: torch.nn.Module, optimizers: list[torch.optim.Optimizer], hears: bool) -> Watch | None:
        """Watches what these optimizers train from here on."""
        before = [one for ref in self._watched if (one := ref()) is not None]
        for one in before:  # a training of the same by other optimizers is another one
            if not one.is_closed and one.backend.network in module.modules():
                one.close()
        watching = self._watch(module, optimizers, hears)
        now = before if watching is None else [*before, watching]
        self._watched = [weakref.ref(one) for one in now if not one.is_closed]
        if watching is not None:
            self._held.append(watching)
        return watching

    def _alive(self) -> list[torch.optim.Optimizer]:
        return [optimizer for ref in self._optimizers if (optimizer := ref()) is not None]


def _parameters(optimizer: torch.optim.Optimizer) -> set[int]:
    return {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}


def _within(module: torch.nn.Module) -> set[int]:
    """The parameters of a module. Its class may have a `parameters` of its own, which is for others to call."""
    return {id(parameter) for parameter in torch.nn.Module.parameters(module)}
