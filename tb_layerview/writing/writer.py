"""Logging without a framework: anything that has arrays."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from tb_layerview.about import logger, software
from tb_layerview.format import values
from tb_layerview.format.model import Kind, Layer, Mode, Model, Tensor, as_kind, default_axes
from tb_layerview.measure.extra import Extra
from tb_layerview.measure.host import measure
from tb_layerview.options import Keep
from tb_layerview.writing.log_files import LogFiles

_WAY_OUT = (
    "Copy it to the host's memory as a dense array first: tensor.cpu() in PyTorch, jax.device_get(array), "
    "array.get() in CuPy."
)


class LayerWriter:
    """Logs arrays as layers, for what neither the Keras callback nor the hook reaches.

    ```python
    with LayerWriter("logs/run1") as writer:
        for step in range(steps):
            ...
            writer.write(step, {"encoder/attention": array}, kind="activation", scalars={"loss": loss})
    ```

    A step is on disk when `write` returns. Several calls with the same step add to it.
    """

    def __init__(self, logdir: str | os.PathLike[str], *, keep: Keep = Keep(), mode: Mode = "train") -> None:
        """Opens a log.

        Args:
          logdir: The run's folder.
          keep: How much to keep of each array.
          mode: What the model is doing.

        Raises:
          ValueError: The folder cannot be written to, or is not on this machine.
        """
        self._keep = keep
        self._mode: Mode = mode
        self._layers: dict[str, int] = {}
        self._tensors: dict[tuple[int, int, str, str], int] = {}
        self._model = Model(layers=(), tensors=(), software=software())
        self._log = LogFiles(logdir)
        self._is_first = True

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
        measurements = {}
        known = len(self._tensors)
        for path, array in logged.items():
            names = axes or default_axes(kind, array.ndim)
            budget = self._keep.budget(kind)
            kept = values.choose(array.shape, names, budget, self._keep.examples) if budget and array.ndim else None
            which = name or ("output" if kind == "activation" else "kernel")
            index = self._index(path, Tensor(0, kind, which, array.shape, array.dtype.name, call, names, function))
            sparse = Extra.of(dataclasses.replace(self._model.tensors[index], shape=array.shape, axes=names))
            measurements[index] = measure(array, units=self._keep.units, keep=kept, sparse=sparse)
        if self._is_first:
            self._log.warn_of_hidden(step, self._mode)
            self._is_first = False
        if len(self._tensors) > known:
            self._log.describe(self._model)
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
            self._model = Model(tuple(layers), tuple(tensors), software=self._model.software)
        return index


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
    return array
