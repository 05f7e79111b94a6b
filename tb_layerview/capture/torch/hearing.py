"""Hears with what a PyTorch module is called first, and leaves it and what is compiled of it as they are."""

from __future__ import annotations

import contextlib
import functools
import gc
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import torch

from tb_layerview.capture.passes.calls import patched
from tb_layerview.capture.torch.anatomy import unwrapped
from tb_layerview.capture.torch.batch import Arguments


class Hears(Protocol):
    """Whoever wants to know with what a module is called first."""

    def hear(self, module: torch.nn.Module, x: Any) -> None:
        """Is told of a call in training mode, with gradients.

        Args:
          module: What is called.
          x: On what: its only argument, a tuple of several, a dict by name, or `Arguments` of both.
        """
        ...


class FirstCall:
    """Hears with what a model is called, once. In a copy of the model it hears nothing."""

    def __init__(self, listener: Hears) -> None:
        """Notes who wants to know, without keeping it alive."""
        self._listener = weakref.ref(listener)

    def __call__(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A module is called; see `torch.nn.Module.register_forward_pre_hook`."""
        # First: whatever is looked at before that, what is compiled depends on.
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return
        listener = self._listener()
        if listener is None or not module.training or not torch.is_grad_enabled():
            return
        several = Arguments(args, kwargs) if args and kwargs else kwargs or args
        listener.hear(module, args[0] if len(args) == 1 and not kwargs else several)

    def __deepcopy__(self, memo: Any) -> Any:
        return _nothing()

    def __reduce__(self) -> Any:
        # What is loaded where this package is not must not ask for it.
        return getattr, (contextlib.nullcontext(), "__exit__")


def _nothing() -> Callable[..., None]:
    """A function that takes anything and gives None, which can be pickled."""
    return contextlib.nullcontext().__exit__


class Hearing:
    """Has a hook hear with what models are called, and what others compile of them meanwhile, until it is closed.

    What is compiled would compile the hook with it, which then hears nothing: a module that compiles itself, and what
    `torch.compile` makes of one, are heard from outside. TorchScript would compile it, too: it does not see the hook.
    """

    def __init__(self, models: Iterable[torch.nn.Module], hook: FirstCall) -> None:
        """Begins to hear.

        Args:
          models: The models. They are not kept alive.
          hook: What hears.
        """
        self._hook = hook
        self._handles: weakref.WeakKeyDictionary[torch.nn.Module, Callable[[], None]] = weakref.WeakKeyDictionary()
        self._patches = contextlib.ExitStack()
        for owner, name, wrap in (
            (torch.jit._recursive, "create_script_module", _without_ours),
            (torch.nn.Module, "compile", _compiling),
            (torch._dynamo.OptimizedModule, "__init__", _wrapping),
        ):
            self._patches.enter_context(patched(owner, name, wrap))
        for model in models:
            self.add(model)
        _HEARING.add(self)

    def add(self, model: torch.nn.Module) -> None:
        """Hears a model, too; one that it hears already it hears from outside, if that compiles itself by now."""
        self._take_off(model)
        if model._compiled_call_impl is None:
            hook = self._hear_compiled if isinstance(model, torch._dynamo.OptimizedModule) else self._hook
            self._handles[model] = model.register_forward_pre_hook(hook, with_kwargs=True).remove
        else:
            self._handles[model] = _hear_from_outside(model, self._hook)

    def _hear_compiled(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """What is compiled of a model is called, in any mode: within, no hook may be compiled, or come off later."""
        for model in [*self._handles]:
            if model is not module and unwrapped(model) is unwrapped(module):
                self._take_off(model)
        self._hook(module, args, kwargs)

    def _take_off(self, model: torch.nn.Module) -> None:
        take_off = self._handles.pop(model, None)
        if take_off is not None:
            take_off()

    def hears(self, model: torch.nn.Module) -> bool:
        """Whether it hears a model."""
        return model in self._handles

    def hears_within(self, model: torch.nn.Module) -> bool:
        """Whether it hears what a model stands around."""
        network = unwrapped(model)
        return any(unwrapped(one) is network for one in self._handles)

    def close(self) -> None:
        """Hears no more."""
        _HEARING.discard(self)
        for model in [*self._handles]:
            self._take_off(model)
        self._patches.close()


# Those that hear, of whichever threads.
_HEARING: weakref.WeakSet[Hearing] = weakref.WeakSet()


class _Outside:
    """What a module that compiles itself calls, after the hooks that hear it."""

    def __init__(self, model: torch.nn.Module) -> None:
        """Takes the place of what it calls."""
        self.compiled: Any = model._compiled_call_impl
        self.hooks: list[FirstCall] = []
        self._model = weakref.ref(model)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        model = self._model()
        assert model is not None
        for hook in [*self.hooks]:
            hook(model, args, kwargs)
        return self.compiled(*args, **kwargs)


def _hear_from_outside(model: torch.nn.Module, hook: FirstCall) -> Callable[[], None]:
    """Has a hook hear a module that compiles itself; returns what takes it off."""
    outside = model._compiled_call_impl
    if not isinstance(outside, _Outside):
        outside = _Outside(model)
        model._compiled_call_impl = outside
    outside.hooks.append(hook)
    heard = weakref.ref(model)

    def undo() -> None:
        outside.hooks.remove(hook)
        model = heard()
        if not outside.hooks and model is not None and model._compiled_call_impl is outside:
            model._compiled_call_impl = outside.compiled

    return undo


def _compiling(compile_it: Callable[..., Any]) -> Callable[..., Any]:
    """What has a module compile itself, and be heard from outside."""

    @functools.wraps(compile_it)
    def compiling(self: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        result = compile_it(self, *args, **kwargs)
        for one in [*_HEARING]:
            if one.hears(self):
                one.add(self)
        return result

    return compiling


def _wrapping(make: Callable[..., Any]) -> Callable[..., Any]:
    """What makes another module of one, as `torch.compile` does, that is heard, too."""

    @functools.wraps(make)
    def wrapping(self: torch.nn.Module, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        for one in [*_HEARING]:
            if one.hears_within(self):
                one.add(self)

    return wrapping


def _without_ours(create: Callable[..., Any]) -> Callable[..., Any]:
    """What makes a script of a module, such that it sees the module as it is without our hooks."""

    @functools.wraps(create)
    def created(nn_module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        all_hooks = [module._forward_pre_hooks for module in nn_module.modules()]
        ours = [(hooks, key, one) for hooks in all_hooks for key, one in hooks.items() if isinstance(one, FirstCall)]
        for hooks, key, _ in ours:
            del hooks[key]
        try:
            return create(nn_module, *args, **kwargs)
        finally:
            for hooks, key, one in ours:
                hooks[key] = one

    return created


def all_modules() -> Iterator[torch.nn.Module]:
    """All modules that there are. Of things their type is looked at: what stands for another one may make that."""
    for thing in gc.get_objects():
        with contextlib.suppress(ReferenceError):  # of a proxy whose thing is gone
            if issubclass(type(thing), torch.nn.Module) and "_parameters" in vars(thing):
                yield thing


def compiled_around(model: torch.nn.Module) -> list[torch.nn.Module]:
    """What `torch.compile` has made of a model so far."""
    network = unwrapped(model)
    made = (one for one in all_modules() if isinstance(one, torch._dynamo.OptimizedModule) and one is not model)
    return [one for one in made if unwrapped(one) is network]
