"""Logging without a framework: anything that has arrays."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from tb_layerview.about import logger, software
from tb_layerview.format import values
from tb_layerview.format.model import Kind, Layer, Mode, Model, Tensor, as_kind, default_axes
from tb_layerview.measure.extra import Extra
from tb_layerview.measure.host import measure
from tb_layerview.measure.measurement import can_measure
from tb_layerview.options import Keep
from tb_layerview.writing import trees
from tb_layerview.writing.log_files import LogFiles

_WAY_OUT = (
    "Copy it to the host's memory as a dense array first: tensor.cpu() in PyTorch, jax.device_get(array), "
    "array.get() in CuPy."
)
# Types of less than 8 bits and of float8, which these hold exactly.
_WIDE: dict[tuple[str, ...], type[np.generic]] = {
    ("float4_", "float6_", "float8_"): np.float32,
    ("int1_", "int2_", "int4_"): np.int8,
    ("uint1_", "uint2_", "uint4_"): np.uint8,
}
_OF_NO_NUMBERS = "Leave it out, or put None in its place"


@dataclasses.dataclass(frozen=True)
class _Logged:
    """One array of a step.

    Attributes:
      layer: The path of its layer.
      tensor: What it is; its layer is still to be given a number.
      array: Its values.
    """

    layer: str
    tensor: Tensor
    array: npt.NDArray[np.generic]


class LayerWriter:
    """Logs arrays as layers, for what neither the Keras callback nor the hook reaches.

    ```python
    with LayerWriter("logs/run1") as writer:
        for step in range(steps):
            ...
            writer.write(step, {"encoder/attention": array}, kind="activation", scalars={"loss": loss})
            writer.write_tree(step, params, kind="weight")
    ```

    A step is on disk when `write` or `write_tree` returns, or on its way to a store; they hold nothing of what they
    were given. Several calls with the same step add to it.
    """

    def __init__(self, logdir: str | os.PathLike[str], *, keep: Keep = Keep(), mode: Mode = "train") -> None:
        """Opens a log.

        Args:
          logdir: The run's folder, or its address in a store, as `s3://bucket/run`.
          keep: How much to keep of each array.
          mode: What the model is doing.

        Raises:
          ValueError: The folder cannot be written to, or nothing that is installed opens it.
        """
        self._keep = keep
        self._mode: Mode = mode
        self._layers: dict[str, int] = {}
        self._tensors: dict[tuple[int, int, str, str], int] = {}
        self._model = Model(layers=(), tensors=(), software=software())
        self._log = LogFiles(logdir)
        self._is_first = True
        self._is_described = True  # whether the log has the model as it is
        self._weights: dict[trees.Path, trees.Name] = {}  # of trees, what the weights are called

    def write(
        self,
        step: int,
        arrays: Mapping[str, Any],
        kind: Kind = "activation",
        *,
        name: str | None = None,
        call: int = 0,
        axes: tuple[str, ...] | None = None,
        function: str = "",
        scalars: Mapping[str, float] | None = None,
    ) -> None:
        """Logs arrays at a step.

        Args:
          step: Not smaller than any before.
          arrays: By the path of their layer, `encoder/attention`: arrays of numpy, TensorFlow (eager tensors and
            variables), PyTorch (in the host's memory; with gradients or without) and JAX, lists, and whatever else
            numpy makes an array of.
          kind: What they are.
          name: Which one of its kind; `output` for activations and `kernel` for the others if not given.
          call: Which call of the layer made them.
          axes: One name an axis; those of Keras for this kind and rank if not given.
          function: The activation function that made them, by Keras' name: `tanh`.
          scalars: Loss, metrics and learning rate by name, to show beside the layers.

        Raises:
          ValueError: The step is smaller than the one before, the kind is unknown, or `axes` do not fit an array.
          TypeError: An array holds no real numbers, or numpy cannot make an array of it, as on another device.
        """
        kind = as_kind(kind)
        logged = {path: _as_array(path, array) for path, array in arrays.items()}
        for path, array in logged.items():
            if axes is not None and len(axes) != array.ndim:
                raise ValueError(f"axes={axes!r} names {len(axes)} axes, but the array of {path!r} has {array.ndim}")
        which = name or ("output" if kind == "activation" else "kernel")
        found = [
            _Logged(path, _described(kind, which, array, call, axes, function), array) for path, array in logged.items()
        ]
        self._log_step(step, found, scalars)

    def write_tree(
        self, step: int, tree: Any, kind: Kind = "weight", *, scalars: Mapping[str, float] | None = None
    ) -> None:
        """Logs a tree of arrays at a step: parameters, their gradients or updates, what an optimizer keeps of them.

        ```python
        writer.write_tree(step, params)
        writer.write_tree(step, gradients, kind="gradient", scalars={"loss": loss})
        writer.write_tree(step, opt_state, kind="optimizer")
        ```

        The last key of an array's path is its name, and those before it are its layer's: of
        `{"params": {"Dense_0": {"kernel": ..., "bias": ...}}}` the layer is `params/Dense_0`. Trees of the same keys
        are logged in the same layers, whatever their kind. Of an activation all keys are its layer's. What an
        optimizer keeps of a weight that was logged before is in the weight's layer, `kernel/mu`.

        Args:
          step: Not smaller than any before.
          tree: Mappings, lists, tuples, dataclasses and what is registered with JAX, of arrays as `write` takes them.
            None holds nothing; keys of random generators are left out, and a note says so. An array of JAX may lie on
            several devices, and be donated once this returns.
          kind: What the arrays are.
          scalars: Loss, metrics and learning rate by name, to show beside the layers.

        Raises:
          ValueError: The step is smaller than the one before, the kind is unknown, an array was deleted as by a
            function that it was donated to, or lies in parts with other processes, or two have the same name.
          TypeError: A leaf is no array of real numbers.
        """
        kind = as_kind(kind)
        leaves = [leaf for leaf in trees.leaves(tree) if not self._is_key(leaf)]
        arrays = [_of_leaf(leaf) for leaf in leaves]
        names = trees.names([leaf.path for leaf in leaves], kind, self._weights)
        if kind == "weight":
            self._weights |= {leaf.path: name for leaf, name in zip(leaves, names)}
        found = [
            _Logged(name.layer, _described(kind, name.tensor, array, name.call), array)
            for name, array in zip(names, arrays)
        ]
        self._log_step(step, found, scalars)

    def _is_key(self, leaf: trees.Leaf) -> bool:
        """Whether a leaf is a key of a random generator, which holds no numbers; that is noted."""
        dtype = str(getattr(leaf.value, "dtype", ""))
        if not dtype.startswith("key<"):
            return False
        note = f"{trees.joined(leaf.path)}: a key of a random generator ({dtype}) is left out"
        if note not in self._model.notes:
            self._model = dataclasses.replace(self._model, notes=(*self._model.notes, note))
            self._is_described = False
        return True

    def _log_step(self, step: int, logged: Sequence[_Logged], scalars: Mapping[str, float] | None) -> None:
        """Measures arrays and writes them."""
        measurements = {}
        for one in logged:
            shape, axes = one.tensor.shape, one.tensor.axes
            budget = self._keep.budget(one.tensor.kind)
            kept = values.choose(shape, axes, budget, self._keep.examples) if budget and shape else None
            index = self._index(one.layer, one.tensor)
            sparse = Extra.of(dataclasses.replace(self._model.tensors[index], shape=shape, axes=axes))
            measurements[index] = measure(one.array, units=self._keep.units, keep=kept, sparse=sparse)
        if self._is_first:
            self._log.warn_of_hidden(step, self._mode)
            self._is_first = False
        if not self._is_described:
            self._log.describe(self._model)
            self._is_described = True
        self._log.write(step, measurements, mode=self._mode, scalars=scalars, precision=self._keep.precision)

    def close(self) -> None:
        """Closes the log: the last step that was written is the run's last."""
        try:
            self._log.end()
        except OSError as error:  # then the last step is one like any other
            logger.debug("tb_layerview: the log's end cannot be written down: %s", error)
        finally:
            self._log.close()

    def __enter__(self) -> LayerWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _index(self, path: str, tensor: Tensor) -> int:
        """The tensor's index in the model, which grows as tensors appear; its layer is still to be given a number."""
        layer = self._layers.setdefault(path, len(self._layers))
        index = self._tensors.setdefault((layer, tensor.call, tensor.kind, tensor.name), len(self._tensors))
        layers, tensors = list(self._model.layers), list(self._model.tensors)
        if layer == len(layers):
            layers.append(Layer(path))
        if index == len(tensors):
            tensors.append(dataclasses.replace(tensor, layer=layer))
            self._model = dataclasses.replace(self._model, layers=tuple(layers), tensors=tuple(tensors))
            self._is_described = False
        return index


def _described(
    kind: Kind,
    name: str,
    array: npt.NDArray[np.generic],
    call: int,
    axes: tuple[str, ...] | None = None,
    function: str = "",
) -> Tensor:
    """What an array is, in a layer that is still to be given a number."""
    return Tensor(0, kind, name, array.shape, array.dtype.name, call, axes or default_axes(kind, array.ndim), function)


def _of_leaf(leaf: trees.Leaf) -> npt.NDArray[np.generic]:
    """The array of a leaf.

    Raises:
      ValueError: It was deleted, or lies in parts with several processes.
      TypeError: It is no array of real numbers.
    """
    path, value = trees.joined(leaf.path), leaf.value
    if hasattr(type(value), "__jax_array__"):  # a variable of Flax
        value = value.__jax_array__()
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(value, jax.Array):
        value = _held(path, value)
    kind = type(value)
    try:
        array = _as_array(path, value)
    except TypeError as error:
        # What is no array at all is said as it is, an activation function or a name: numpy's words are of no help.
        if hasattr(kind, "__array__"):
            raise
        raise TypeError(f"{path!r} of the tree is {value!r}, no array of numbers. {_OF_NO_NUMBERS}") from error
    if not can_measure(array.dtype.name):
        said = f"an array of type {array.dtype.name}" if hasattr(kind, "__array__") else repr(value)
        raise TypeError(f"{path!r} of the tree is {said}, no array of real numbers. {_OF_NO_NUMBERS}")
    return array


def _held(path: str, array: Any) -> Any:
    """An array of JAX that this process holds all of.

    Raises:
      ValueError: It was deleted, or lies in parts with several processes.
    """
    if array.is_deleted():
        raise ValueError(
            f"{path!r} of the tree was deleted, an array of shape {array.shape}: a function that it was donated to has "
            "used it up. Log what the function returned, or log before it is called"
        )
    if array.is_fully_addressable:
        return array
    if not array.is_fully_replicated:
        raise ValueError(
            f"{path!r} of the tree, an array of shape {array.shape}, is spread over several processes. Gather it "
            "first, as by jax.experimental.multihost_utils.process_allgather(tree, tiled=True)"
        )
    return array.addressable_data(0)


def _as_array(path: str, value: Any) -> npt.NDArray[np.generic]:
    """A numpy array of anything that has an array interface.

    Raises:
      TypeError: It has none, or lies where numpy cannot read it.
    """
    kind = type(value)
    if any(base.__module__.partition(".")[0] == "torch" for base in kind.__mro__):
        value = value.detach()
        if str(value.dtype) == "torch.bfloat16":  # which numpy does not know; float32 holds it exactly
            value = value.float()
    try:
        array: npt.NDArray[np.generic] = np.asarray(value)
    except Exception as error:
        raise TypeError(
            f"numpy can make no array of what is logged as {path!r}, a {kind.__module__}.{kind.__qualname__}: {error} "
            f"{_WAY_OUT}"
        ) from error
    if array.dtype == object:
        raise TypeError(
            f"what is logged as {path!r}, a {kind.__module__}.{kind.__qualname__}, is no array of numbers: it has no "
            f"array interface, or parts of unequal length. {_WAY_OUT}"
        )
    wide = next((wide for names, wide in _WIDE.items() if f"{array.dtype.name}_".startswith(names)), None)
    return array if wide is None else array.astype(wide)
