"""Keras models that JAX computes: the engine of what logs them on the host."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.experimental import sparse

from tb_layerview.capture.keras.batch import Batch
from tb_layerview.capture.keras.engine import KerasEngine
from tb_layerview.capture.keras.jax.live import Live
from tb_layerview.capture.keras.jax.traced import JaxTraced


class JaxEngine(KerasEngine):
    """Models that JAX computes; the methods are those of `host.engine.Engine`.

    Attributes:
      live: What the variables hold, also while Keras has taken their values away.
      framework: The version of JAX.
    """

    framework: Mapping[str, str] = types.MappingProxyType({"JAX": jax.__version__})

    def __init__(self) -> None:
        """Has seen no step yet."""
        self.live = Live()

    def as_tensor(self, leaf: Any) -> Any:
        """A leaf of a batch in memory of JAX's own: a generator may write to its buffer again."""
        return leaf if isinstance(leaf, (jax.Array, sparse.JAXSparse)) else jnp.array(leaf)

    def to_host(self, tensor: Any) -> npt.NDArray[np.generic]:
        """A leaf of a batch as an array of numpy; of a sparse one all of it."""
        return np.asarray(tensor.todense() if isinstance(tensor, sparse.JAXSparse) else tensor)

    def trace(self, model: Any, batch: Batch, training: bool, gradients: bool) -> JaxTraced:
        """Traces a pass."""
        return JaxTraced(model, batch, training, gradients, self.live)

    def read(self, variables: Sequence[Any]) -> list[npt.NDArray[np.generic]]:
        """Values of Keras variables as they are now, each in memory of its own.

        Raises:
          LookupError: A variable is empty, and no state is known of it.
        """
        return [np.array(self.live.array(variable)) for variable in variables]

    def write(self, variables: Sequence[Any], values: Sequence[npt.NDArray[np.generic]]) -> None:
        """Sets values of Keras variables; of those that are empty in the state that Keras goes on with."""
        self.live.assign(variables, values)

    def wait(self, model: Any) -> None:
        """Returns when the device has done what it was given before."""
        arrays = [self.live.array(variable) for variable in model.variables]
        if arrays:  # of one computation all are there when one is
            min(arrays, key=lambda array: array.size).block_until_ready()
