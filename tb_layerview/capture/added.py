"""What is added to a script's trainings: the callback or the hook, where Keras or the Estimator is imported."""

from __future__ import annotations

import functools
import importlib.machinery
import inspect
import os
import sys
import types
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from tb_layerview.about import logger
from tb_layerview.capture.keras.versions import BACKENDS
from tb_layerview.format.addresses import scheme_of
from tb_layerview.format.places import within
from tb_layerview.options import Schedule

#: Where each Keras has its `Model`.
_KERAS_MODELS = ("keras.src.models.model", "keras.src.engine.training", "tf_keras.src.engine.training")
_ESTIMATOR = "tensorflow_estimator.python.estimator.estimator"
#: Where PyTorch has its optimizers, and where those are who train with them.
_OPTIMIZER = "torch.optim.optimizer"
_LIGHTNING = ("lightning.pytorch.trainer.trainer", "pytorch_lightning.trainer.trainer")
_TRANSFORMERS = "transformers.trainer"
_After = Callable[[], None]


def _nothing() -> None:
    """What is to be done after a training to which nothing was added."""


class Added:
    """What is added to the script's trainings.

    Attributes:
      has_trained: Whether the script has trained anything, logged or not.
    """

    def __init__(self, logdir: str | None, name: str, schedule: Schedule) -> None:
        """Notes the options.

        Args:
          logdir: The run's folder, or None for `logs/<name>` and an Estimator's own `model_dir`.
          name: The script's, without its extension.
          schedule: When to log.
        """
        self.has_trained = False
        self._logdir, self._schedule = logdir, schedule
        # The script may change its working directory; where to log was said before it did.
        self._folder = logdir if logdir and scheme_of(logdir) else os.path.abspath(logdir or within("logs", name))
        self._models = 0
        self._callbacks: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        self._folders_of_estimators: dict[str, str] = {}
        self._said: set[str] = set()
        self._awaited: Any = None  # once there is an optimizer of PyTorch's
        self._trainers = 0  # how many have what logs added to them, and train

    def wrap(self) -> None:
        """Wraps what trains, now or as soon as it is imported."""
        names = (*_KERAS_MODELS, _ESTIMATOR, _OPTIMIZER, *_LIGHTNING, _TRANSFORMERS)
        sys.meta_path.insert(0, _Finder(names, self._wrap_module))
        for name in names:
            if name in sys.modules:
                self._wrap_module(sys.modules[name])

    def _wrap_module(self, module: Any) -> None:
        name = module.__name__
        keras = name.partition(".")[0]
        owners: dict[str, tuple[str, dict[str, Any]]] = {
            **{one: ("Model", {"fit": functools.partial(self._add_callback, keras)}) for one in _KERAS_MODELS},
            **{one: ("Trainer", {"fit": self._add_to_lightning}) for one in _LIGHTNING},
            _ESTIMATOR: (
                "Estimator",
                {n: functools.partial(self._add_hook, n == "evaluate") for n in ("train", "evaluate")},
            ),
            _OPTIMIZER: ("Optimizer", {"__init__": self._await}),
            _TRANSFORMERS: ("Trainer", {"train": self._add_to_trainer}),
        }
        class_name, methods = owners[name]
        owner = getattr(module, class_name, None)
        for name, add in methods.items():
            if not hasattr(owner, name):
                self._say(f"this version of {module.__name__} has no {name} where others have it")
                continue
            _wrap(owner, name, functools.partial(self._before, add))

    def _before(self, add: Callable[[Any, dict[str, Any]], _After], trained: Any, arguments: dict[str, Any]) -> _After:
        """Adds what logs, if that can be; else the training goes on without."""
        self.has_trained = True
        try:
            return add(trained, arguments)
        except Exception as error:  # noqa: BLE001  # logging never stops a training
            self._say(f"{type(error).__name__}: {error}")
            return _nothing

    def _add_callback(self, keras: str, model: Any, arguments: dict[str, Any]) -> _After:
        """Adds the callback to the arguments of a `fit`, unless there is one."""
        given = arguments.get("callbacks")
        if _has(given, "tb_layerview.capture.keras.callback", "LayerViewCallback"):
            return _nothing
        if given is not None and not isinstance(given, (list, tuple)) and hasattr(given, "callbacks"):
            self._say("its fit is given a CallbackList, which is final. Add tb_layerview.LayerViewCallback to it")
            return _nothing
        callback = self._callbacks.get(model) or self._new_callback(keras)
        if callback is None:
            return _nothing
        # Kept for the model's next `fit`, whose steps go on from here.
        self._callbacks[model] = callback
        several = list(given) if isinstance(given, (list, tuple)) else [] if given is None else [given]
        arguments["callbacks"] = [*several, callback]
        return lambda: callback.set_model(None)  # so that it does not keep the model alive

    def _new_callback(self, keras: str) -> Any | None:
        """A callback for a model of this Keras; None where it cannot be logged."""
        backend = importlib.import_module(keras).backend.backend()
        if backend not in BACKENDS:
            self._say(f"its Keras runs on {backend}; layers are logged where Keras runs on {', '.join(BACKENDS)}")
            return None
        from tb_layerview.capture.keras.callback import LayerViewCallback

        return LayerViewCallback(self._next_run("fit"), schedule=self._schedule)

    def _add_hook(self, is_evaluation: bool, estimator: Any, arguments: dict[str, Any]) -> _After:
        """Adds the hook to the arguments of an Estimator's `train` or `evaluate`, unless there is one."""
        given = list(arguments.get("hooks") or ())
        if _has(given, "tb_layerview.capture.graph.hook", "LayerViewHook"):
            return _nothing
        from tb_layerview.capture.graph.hook import LayerViewHook

        folder = estimator.model_dir
        if self._logdir is not None:
            if folder not in self._folders_of_estimators:
                self._folders_of_estimators[folder] = self._next_run("train")
            folder = self._folders_of_estimators[folder]
        if is_evaluation:
            # `eval`, or `eval_<name>`, as the Estimator itself calls it.
            folder = within(folder, os.path.basename(estimator.eval_dir(arguments.get("name"))))
        # An evaluation has one record, at whatever step. First, as hooks that come later may raise an error to stop.
        schedule = Schedule() if is_evaluation else self._schedule
        arguments["hooks"] = [LayerViewHook(folder, schedule=schedule), *given]
        return _nothing

    def _add_to_lightning(self, trainer: Any, arguments: dict[str, Any]) -> _After:
        """Adds the callback to a trainer of Lightning's while it fits, unless there is one."""
        from tb_layerview.capture.torch.lightning import LightningCallback

        callbacks = trainer.callbacks
        if any(isinstance(one, LightningCallback) for one in callbacks):
            return self._training()
        callback = LightningCallback(self._next_run("train"), schedule=self._schedule)
        # Before the one that saves checkpoints, which is to stay the last.
        callbacks.insert(0, callback)
        return self._training(lambda: callbacks.remove(callback))

    def _add_to_trainer(self, trainer: Any, arguments: dict[str, Any]) -> _After:
        """Adds the callback to Hugging Face's trainer while it trains, unless there is one."""
        from tb_layerview.capture.torch.trainer import TrainerCallback

        if any(isinstance(one, TrainerCallback) for one in trainer.callback_handler.callbacks):
            return self._training()
        callback = TrainerCallback(self._next_run("train"), schedule=self._schedule)
        trainer.add_callback(callback)
        return self._training(lambda: trainer.remove_callback(callback))

    def _training(self, after: _After = _nothing) -> _After:
        """A trainer trains, until what this returns is called: the optimizers that step are its own."""
        self._trainers += 1

        def end() -> None:
            self._trainers -= 1
            after()

        return end

    def _await(self, optimizer: Any, arguments: dict[str, Any]) -> _After:
        """Has the module watched that an optimizer of PyTorch's belongs to, once it is called."""
        if self._trainers:
            return _nothing
        return functools.partial(self._made, optimizer)

    def _made(self, optimizer: Any) -> None:
        from tb_layerview.capture.torch.awaited import Awaited

        if not getattr(optimizer, "param_groups", None):
            return  # its constructor has raised an error
        try:
            if self._awaited is None:
                self._awaited = Awaited(self._watch)
            if not self._awaited.add(optimizer):
                self._say("no one module has all parameters of its optimizer, so nobody knows which is trained")
        except Exception as error:  # noqa: BLE001  # logging never stops a training
            self._say(f"{type(error).__name__}: {error}")

    def _watch(self, module: Any, optimizers: list[Any], hears: bool) -> Any:
        """Watches a module that is called, or trained, for the first time; None if it cannot be, or somebody does."""
        from tb_layerview.capture.given import Given
        from tb_layerview.capture.torch.backend import logged_by_hand
        from tb_layerview.capture.torch.watch import Watch

        if self._trainers or logged_by_hand(module):
            return None
        try:
            return Watch(module, self._next_run("train"), optimizers, Given(schedule=self._schedule), hears=hears)
        except Exception as error:  # noqa: BLE001  # logging never stops a training
            self._say(f"{type(error).__name__}: {error}")
            return None

    def _next_run(self, word: str) -> str:
        """The folder of the next model's run: the one that was asked for, then `fit-2` below it, ..."""
        self._models += 1
        return self._folder if self._models == 1 else within(self._folder, f"{word}-{self._models}")

    def _say(self, what: str) -> None:
        """Says once why a training is not logged."""
        if what not in self._said:
            self._said.add(what)
            logger.warning("tb_layerview: a training of this script is not logged: %s. The training goes on.", what)


def _has(given: Any, module: str, name: str) -> bool:
    """Whether one of ours is among callbacks or hooks, in lists within lists."""
    # Only if its module is loaded can there be one.
    loaded = sys.modules.get(module)
    if loaded is None or given is None:
        return False
    if isinstance(given, (list, tuple)):
        return any(_has(one, module, name) for one in given)
    inner = getattr(given, "callbacks", None)
    return isinstance(given, getattr(loaded, name)) or (isinstance(inner, list) and _has(inner, module, name))


def _wrap(owner: Any, name: str, before: Callable[[Any, dict[str, Any]], _After]) -> None:
    """Wraps a method: `before(self, arguments)` may change the arguments, by name; what it returns is called after."""
    original = getattr(owner, name)
    signature = inspect.signature(original)
    first = next(iter(signature.parameters))

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            return original(*args, **kwargs)  # which says it better
        after = before(bound.arguments[first], bound.arguments)
        try:
            return original(*bound.args, **bound.kwargs)
        finally:
            after()

    setattr(owner, name, wrapped)


class _Finder(importlib.abc.MetaPathFinder):
    """Calls a function on each of some modules right after it is imported; finding them is left to the others."""

    def __init__(self, names: Sequence[str], after: Callable[[Any], None]) -> None:
        self._names, self._after = names, after

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in self._names:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is None:
                continue
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: Any, loader: Any = loader, execute: Any = execute) -> None:
                del loader.exec_module
                execute(module)
                self._after(module)

            # The loader itself stays what it is: `inspect` and others ask it for the source.
            loader.exec_module = exec_module
            return spec
        return None
