"""Passes of modules of Flax NNX."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from tb_layerview.capture.jax.nnx.anatomy import ModuleAnatomy, trains
from tb_layerview.capture.jax.nnx.batch import Batch, called
from tb_layerview.capture.jax.nnx.held import Place, Source
from tb_layerview.capture.jax.traced import Forward, TracedPass
from tb_layerview.capture.jax.tracing import JaxTracing
from tb_layerview.capture.jax.unchanged import generators_unchanged
from tb_layerview.capture.passes.calls import Call, noting_calls
from tb_layerview.writing.guard import in_words

#: What a loss is computed by: of what the model gives and what else there is of a batch, a number.
LossFunction = Callable[..., Any]
WITHOUT_LOSS = "no loss is given, loss=...: gradients are left out"
_NO_WEIGHT = "the loss depends on none of the model's weights: gradients are left out"


class Network:
    """A model, as a pure function sees it.

    Attributes:
      model: The model.
      source: Its variables.
      places: Where they are, by their ids.
    """

    def __init__(self, model: nnx.Module) -> None:
        """Takes it apart."""
        self.model = model
        self.source = Source(lambda: nnx.split(model)[1])
        by_path = {place.path: place for place in self.source.places}
        graph = ((tuple(map(str, path)), value) for path, value in nnx.iter_graph(model))
        held = ((path, value) for path, value in graph if isinstance(value, (nnx.Variable, jax.Array)))
        self.places = {id(value): by_path[path] for path, value in held if path in by_path}

    def merged(self, graph: Any, leaves: list[Any]) -> Any:
        """The model anew, with these in the places of its variables."""
        return nnx.merge(graph, jax.tree.unflatten(self.source.structure, leaves), copy=True)


class ModulePass(TracedPass):
    """A pass of a module, with the loss that is given for it: of a copy, whose variables nobody else has."""

    def __init__(
        self,
        network: Network,
        anatomy: ModuleAnatomy,
        batch: Batch,
        training: bool,
        gradients: bool,
        trained: list[Place],
        loss: LossFunction | None,
    ) -> None:
        """Traces the pass.

        Args:
          network: The model.
          anatomy: What is known of its modules.
          batch: What it is run on.
          training: In training mode.
          gradients: Whether the loss and its gradients are wanted.
          trained: The variables that the training changes.
          loss: What computes the loss.

        Raises:
          Exception: Whatever the model raises.
        """
        self._network, self._anatomy, self._of_loss = network, anatomy, loss
        indices = [place.index for place in trained]
        self._order = [*indices, *(i for i in range(len(network.source.places)) if i not in set(indices))]
        self._graph = nnx.split(network.model)[0]  # the modes that modules are in, among others
        super().__init__(batch, training, gradients, trained, _NO_WEIGHT, 1.0)

    def _values(self) -> list[Any]:
        leaves = self._network.source.leaves()
        return [leaves[i] for i in self._order]

    def _loss_scale(self, values: list[Any]) -> float:
        return 1.0

    def _unchanged(self) -> AbstractContextManager[None]:
        return generators_unchanged()

    def _forward(self, values: list[Any], batch: Batch, training: bool, with_loss: bool) -> Forward:
        leaves = [value for _, value in sorted(zip(self._order, values), key=lambda pair: pair[0])]
        copy = self._network.merged(self._graph, leaves)
        _set_mode(copy, training)
        both = zip(nnx.iter_modules(copy), nnx.iter_modules(self._network.model))
        originals = {id(of_copy): original for (_, of_copy), (_, original) in both}
        with noting_calls(copy, ModuleAnatomy(copy), JaxTracing()) as calls:
            outputs = called(copy, batch.x, training)
        # Those who hold a call hold no copy, but what stands for it in the model.
        calls = [dataclasses.replace(call, layer=originals.get(id(call.layer), call.layer)) for call in calls]
        uncalled = self._uncalled(calls)
        notes = _not_called(uncalled)
        loss, error = None, ""
        if training and self._of_loss is not None:
            rest = (batch.y, batch.sample_weight)[: max(0, batch.parts - 1)]
            try:
                loss = _as_number(self._of_loss(outputs, *rest))
            except Exception as failed:  # noqa: BLE001  # whatever a user's loss raises; the rest is logged all the same
                error = in_words(failed)
                notes = (*notes, f"the loss could not be computed on the probe ({error}): gradients are left out")
        elif with_loss:
            notes = (*notes, WITHOUT_LOSS)
        return Forward([*calls, *uncalled], loss, notes=notes, error=error)

    def _uncalled(self, calls: list[Call]) -> list[Call]:
        """The modules that have weights and were not seen being called, as if they were, with nothing put out."""
        seen = {id(call.layer) for call in calls}
        within = {id(one) for call in calls if self._anatomy.is_opaque(call.layer) for one in _modules_in(call.layer)}
        model = self._network.model
        return [
            Call(module, self._anatomy.name(module), 0)
            for module in self._anatomy.all_within(model)
            if id(module) not in seen | within and self._anatomy.own_weights(module)
        ]


def _modules_in(layer: Any) -> list[Any]:
    return [module for _, module in nnx.iter_modules(layer)]


def _not_called(uncalled: list[Call]) -> tuple[str, ...]:
    if not uncalled:
        return ()
    return (
        "these layers were not seen being called, as within nnx.scan, nnx.vmap, nnx.jit or nnx.remat: their weights "
        f"are logged, their activations are left out: {', '.join(call.path for call in uncalled)}",
    )


def _set_mode(model: nnx.Module, training: bool) -> None:
    """Has a model do what it does in training, in the modes that its modules are in if they are in any, or not."""
    if not training:
        model.eval()
    elif not trains(model):
        model.train()


def _as_number(loss: Any) -> jax.Array:
    if not hasattr(loss, "shape"):
        raise TypeError(f"it is a {type(loss).__name__}, not an array of one number")
    if loss.size != 1:
        raise ValueError(f"it is an array of shape {tuple(loss.shape)}, not of one number: reduce it, as by mean()")
    return jnp.reshape(loss, ())
