"""What JAX tells of the tensors that are made while a model is traced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.experimental import sparse
from jax.extend import core

from tb_layerview.capture.passes.calls import leaves
from tb_layerview.capture.passes.scores import Scores


class JaxTracing:
    """Tracing into a jaxpr; the methods are those of `calls.Tracing`."""

    def level(self) -> object:
        """The jaxpr that is being made: within a loop, a branch or a checkpoint another one."""
        state: object = core.get_opaque_trace_state()
        return state

    def tensors(self, structure: Any, level: object) -> Sequence[Any]:
        """The tensors of a nested structure that are traced; of sparse ones the values."""
        found = [leaf for _, one in leaves(structure) for leaf in _flat(one)]
        return [leaf for leaf in found if isinstance(leaf, jax.core.Tracer)]

    def given(self, outputs: Any, seen: Sequence[Any]) -> Any:
        """What a layer's call gives on: what it gave."""
        return outputs

    def converted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """A method as a layer would call it: as it is."""
        return method

    def scores(
        self, layer: Any, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any
    ) -> Scores | str:
        """There are none to be had of a method that nobody knows."""
        return f"{type(layer).__name__} computes its attention in a way of its own: its scores are left out"


def _flat(leaf: Any) -> list[Any]:
    """The arrays of whatever else JAX can flatten."""
    found = jax.tree.leaves(leaf, is_leaf=lambda one: isinstance(one, sparse.JAXSparse))
    return [one.data if isinstance(one, sparse.JAXSparse) else one for one in found]
