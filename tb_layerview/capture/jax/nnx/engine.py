"""Modules of Flax NNX: the engine of what logs them on the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flax
import jax
import numpy as np
import numpy.typing as npt
from flax import nnx

from tb_layerview.about import software
from tb_layerview.capture.jax.nnx import held
from tb_layerview.capture.jax.nnx.anatomy import ModuleAnatomy
from tb_layerview.capture.jax.nnx.batch import Batch, as_tensor
from tb_layerview.capture.jax.nnx.optimizers import Optimizers
from tb_layerview.capture.jax.nnx.traced import LossFunction, ModulePass, Network


class ModuleEngine:
    """One model; the methods are those of `host.engine.Engine`.

    Attributes:
      anatomy: What is known of its modules.
      batch: What its batches are.
    """

    batch: type[Batch] = Batch

    def __init__(self, model: nnx.Module, loss: LossFunction | None, optimizers: Optimizers) -> None:
        """Looks up the modules and what they hold."""
        self._network, self._loss, self._optimizers = Network(model), loss, optimizers
        self.anatomy = ModuleAnatomy(model, self._network.places, optimizers)
        weights = [place for _, place in self.anatomy.weights(model)]
        trained = optimizers.trained(model)
        self._trained = [place for place in weights if place.path in trained and "float" in place.dtype]

    def software_of(self, model: Any) -> str:
        """What a log is made with, in words."""
        return software(Flax=flax.__version__, JAX=jax.__version__)

    def trained(self, model: Any) -> Sequence[Any]:
        """The variables that the optimizers change."""
        return self._trained

    def applied(self) -> Mapping[int, Any]:
        """None: gradients are those of the pass."""
        return {}

    def variables(self, model: Any) -> tuple[Sequence[Any], Sequence[Any]]:
        """All that a model holds as arrays, keys and counts of random generators too; all of it counts."""
        return [place for place in self._network.source.places if place.is_array], ()

    def as_tensor(self, leaf: Any) -> Any:
        """A leaf of a batch in memory of its own."""
        return as_tensor(leaf)

    def to_host(self, tensor: Any) -> npt.NDArray[np.generic]:
        """A leaf of a batch as an array of numpy."""
        return np.asarray(tensor)

    def trace(self, model: Any, batch: Batch, training: bool, gradients: bool) -> ModulePass:
        """Traces a pass."""
        return ModulePass(self._network, self.anatomy, batch, training, gradients, self._trained, self._loss)

    def read(self, variables: Sequence[Any]) -> list[npt.NDArray[np.generic]]:
        """Values of variables as they are now, each in memory of its own."""
        return held.read(variables)

    def write(self, variables: Sequence[Any], values: Sequence[npt.NDArray[np.generic]]) -> None:
        """Sets values of variables of the model, to the last bit."""
        by_index = {place.index: value for place, value in zip(variables, values)}
        nnx.update(self._network.model, held.replaced(self._network.source, by_index))

    def wait(self, model: Any) -> None:
        """Returns when the device has done what it was given before."""
        self._network.source.wait()
