"""A Keras model's forward pass as JAX has it, with the loss that the model is compiled with, as one pure function."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import keras

from tb_layerview.capture.jax.traced import Forward
from tb_layerview.capture.keras.anatomy import KERAS
from tb_layerview.capture.keras.batch import Batch
from tb_layerview.capture.keras.jax.tracing import KerasTracing, without_checkpoints
from tb_layerview.capture.keras.loss import WITHOUT_LOSS, Loss
from tb_layerview.capture.keras.python_state import is_kerass
from tb_layerview.capture.passes.calls import noting_calls, patched, recorded

_WHY = "on JAX it is run in the training's own function alone"
_OF_COMPILED = f"gradients of the compiled loss, not of this model's train_step: {_WHY}"
_NOT_OF_STEP = f"the gradients of this model's train_step cannot be had: {_WHY}"


@dataclasses.dataclass(frozen=True)
class Variables:
    """The variables of a model, as Keras' loops group them; or something for each of them.

    Attributes:
      trainable: Those that the training changes.
      others: Its other ones.
      optimizer: Those of the optimizer, if it has one.
      metrics: Those of the metrics.
    """

    trainable: Sequence[Any]
    others: Sequence[Any]
    optimizer: Sequence[Any]
    metrics: Sequence[Any]

    @classmethod
    def of(cls, model: Any) -> Variables:
        """Those of a model that is built."""
        optimizer = getattr(model, "optimizer", None)
        return cls(
            list(model.trainable_variables),
            list(model.non_trainable_variables),
            [] if optimizer is None else list(optimizer.variables),
            list(getattr(model, "metrics_variables", ())),
        )

    @property
    def all(self) -> list[Any]:
        """All of them, one after the other."""
        return [*self.trainable, *self.others, *self.optimizer, *self.metrics]

    def with_all(self, values: Sequence[Any]) -> Variables:
        """The same groups of other things."""
        rest = iter(values)
        groups = (self.trainable, self.others, self.optimizer, self.metrics)
        return Variables(*([next(rest) for _ in group] for group in groups))


def forward(model: Any, values: Variables, batch: Batch, training: bool, with_loss: bool) -> Forward:
    """Calls a model as Keras' `train_step` does, while it is traced.

    Args:
      model: The Keras model, which is built.
      values: What its variables hold, as tracers.
      batch: What it is called with, as tracers.
      training: Whether in training mode.
      with_loss: Whether the loss is wanted.

    Raises:
      Exception: Whatever the model raises.
    """
    wants_loss = with_loss and getattr(model, "optimizer", None) is not None and hasattr(model, "compute_loss")
    notes = [WITHOUT_LOSS] if with_loss and not wants_loss else []
    if with_loss and _has_own_step(model):
        notes.insert(0, _OF_COMPILED if wants_loss else _NOT_OF_STEP)
    loss, is_scaled, words = None, False, ""
    with _kept(model), without_checkpoints(model), noting_calls(model, KERAS, KerasTracing()) as calls, _root(model):
        if wants_loss:
            try:
                loss, is_scaled = _loss(model, values, batch, training)
            except Exception as error:
                if not calls or calls[0].finished < 0:  # the model itself has failed
                    raise
                failed = Loss.failed(error)
                words = failed.error
                notes.append(failed.note)
        else:
            extra = {"training": training} if getattr(model, "_call_has_training_arg", True) else {}
            model.stateless_call(values.trainable, values.others, batch.x, **extra)
    return Forward(calls, loss, is_scaled, tuple(notes), words)


def _has_own_step(model: Any) -> bool:
    """Whether what trains a model has a loss other than that which `_stateless` computes."""
    names = [name for name in ("train_step", "compute_loss_and_updates") if hasattr(model, name)]
    own = [name for name in names if not is_kerass(next(cls for cls in type(model).__mro__ if name in vars(cls)))]
    return "train_step" in own or ("compute_loss_and_updates" in own and not _takes_the_same(model))


def _loss(model: Any, values: Variables, batch: Batch, training: bool) -> tuple[Any, bool]:
    """The loss, and whether the optimizer scales it."""
    state = values.trainable, values.others, values.metrics
    given = batch.x, batch.y, batch.sample_weight
    scaled, aux = _stateless(model)(*state, *given, training=training, optimizer_variables=values.optimizer)
    loss = aux[0]
    return jnp.sum(loss) if jnp.ndim(loss) else loss, scaled is not loss


def _keras_own(model: Any) -> Any:
    return next(
        vars(cls)["compute_loss_and_updates"]
        for cls in type(model).__mro__
        if "compute_loss_and_updates" in vars(cls) and cls.__module__.partition(".")[0] == "keras"
    )


def _takes_the_same(model: Any) -> bool:
    """Whether a model's `compute_loss_and_updates` takes what Keras' own does, and so is given to it by Keras' step."""
    both = (type(model).compute_loss_and_updates, _keras_own(model))
    one, other = (list(inspect.signature(function).parameters) for function in both)
    return one == other


def _stateless(model: Any) -> Any:
    """Keras' own `compute_loss_and_updates`, or a model's that takes and gives the same."""
    return model.compute_loss_and_updates if _takes_the_same(model) else _keras_own(model).__get__(model)


@contextlib.contextmanager
def _root(model: Any) -> Iterator[None]:
    """Has the model's own call recorded, which Keras makes without `__call__`."""
    base = next(cls for cls in type(model).__mro__ if "stateless_call" in vars(cls))
    is_within = False

    def wrap(original: Any) -> Any:
        def stateless_call(self: Any, trainable: Any, others: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal is_within
            if self is not model or is_within:
                return original(self, trainable, others, *args, **kwargs)
            found: list[Any] = []

            def call(self: Any, *args: Any, **kwargs: Any) -> Any:
                found[:] = original(self, trainable, others, *args, **kwargs)
                return found[0]

            is_within = True
            try:
                recorded(call)(self, *args, **kwargs)
            finally:
                is_within = False
            return tuple(found)

        return stateless_call

    with patched(base, "stateless_call", wrap):
        yield


@contextlib.contextmanager
def _kept(model: Any) -> Iterator[None]:
    """Leaves the losses that Keras keeps of a call as they were: an error would leave traced ones."""
    layers = [model, *model._flatten_layers(include_self=False)]
    names = ("_losses", "_losses_override", "_loss_ids")
    found = [(layer, name, vars(layer)[name]) for layer in layers for name in names if name in vars(layer)]
    before = [(layer, name, one, list(one)) for layer, name, one in found]
    try:
        yield
    finally:
        for layer, name, one, content in before:
            one.clear()
            one.update(content) if isinstance(one, set) else one.extend(content)
            vars(layer)[name] = one


def loss_scale(optimizer: Any, values: Sequence[Any]) -> float:
    """What an optimizer multiplies the loss by, so that float16 gradients do not vanish.

    Args:
      optimizer: Of Keras.
      values: What its variables hold.
    """
    mapping = list(zip(optimizer.variables, values))
    with keras.StatelessScope(state_mapping=mapping):
        return float(optimizer.scale_loss(jnp.float32(1.0)))
