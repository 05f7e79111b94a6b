"""A function of TensorFlow for one item, traced once, that goes through some items at a call, in any graph or in none.

TensorFlow copies a function, and each that it holds, a few times for every call in a graph: 7 ms for a digest, and
2.5 ms more to add the call. So there is one call for many items.

A session makes operations of its own graph of the calls. As functions, they would be instantiated by the threads that
run the training, whose memory is then scattered by what is left of that: a hundredth of each step from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

#: So many items a call takes at most.
WIDTH = 16
# So many may be under way at once: operations on a small tensor keep one processor busy.
_AT_ONCE = 4
_LENGTHS = "/lengths"


class Loop:
    """A traced function that is called for one item after the other."""

    def __init__(
        self,
        function: Callable[..., Sequence[tf.Tensor]],
        inputs: Sequence[tf.TensorSpec],
        outputs: Mapping[str, tf.TensorSpec],
    ) -> None:
        """Traces the function.

        Args:
          function: Makes outputs of inputs, of one item.
          inputs: What they look like.
          outputs: What they look like, by name. The length of the first axis may be unknown, and another for each item.
        """
        self._inputs, self._outputs = tuple(inputs), dict(outputs)
        self._is_ready: Future[dict[str, tf.Tensor]] | None = None
        given = [[spec] * WIDTH if spec.shape.rank else tf.TensorSpec([None], spec.dtype) for spec in inputs]
        traced = tf.function(
            lambda count, columns: self._through(function, count, columns),
            input_signature=[tf.TensorSpec([], tf.int32), given],
            autograph=False,
        )
        with tf.init_scope():
            self._function = traced.get_concrete_function()

    def make_ready(self) -> None:
        """Has a thread call it in no graph, of no items: TensorFlow instantiates it then, while others do other things.

        That takes as long as tracing it, most of it on one processor and not in Python.
        """
        if self._is_ready is None:
            thread = ThreadPoolExecutor(1, "tb_layerview-ready")
            self._is_ready = thread.submit(self._call, [()] * len(self._inputs))
            thread.shutdown(wait=False)

    def __call__(self, *columns: Sequence[Any]) -> dict[str, tf.Tensor]:
        """Goes through items, as an operation of the graph that is being built if there is one.

        As a function, Grappler leaves it alone: it would take 45 ms for each call, and make none faster.

        Args:
          columns: For each input a sequence, tensors or, for one of rank 0, numbers: one for each of `WIDTH` items at
            most.

        Returns:
          What to give to `items` as numpy arrays.
        """
        if self._is_ready is not None:
            self._is_ready.result()
        return self._call(columns)

    def _call(self, columns: Sequence[Sequence[Any]]) -> dict[str, tf.Tensor]:
        count = len(columns[0])
        args = [tf.constant(count)]
        for spec, column in zip(self._inputs, columns):
            if spec.shape.rank:
                rest = column[0] if column else tf.zeros([size or 0 for size in spec.shape], spec.dtype)
                args += [*column, *[rest] * (WIDTH - count)]  # those after the last are not looked at
            else:
                args.append(tf.constant(column, spec.dtype))
        config = config_pb2.ConfigProto()
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        if not tf.executing_eagerly():
            self._function.add_to_graph(tf.compat.v1.get_default_graph())
        found = tf.raw_ops.PartitionedCall(
            args=args,
            Tout=[tensor.dtype for tensor in self._function.outputs],
            f=self._function,
            config_proto=config.SerializeToString(),
        )
        return dict(zip(sorted(self._function.structured_outputs), found))  # dictionaries are flattened so

    def _through(
        self, function: Callable[..., Sequence[tf.Tensor]], count: tf.Tensor, columns: Sequence[Any]
    ) -> dict[str, tf.Tensor]:
        lists = [_as_list(spec, column) if spec.shape.rank else column for spec, column in zip(self._inputs, columns)]

        def add(index: tf.Tensor, *so_far: tf.Tensor) -> tuple[tf.Tensor, ...]:
            item = [
                tf.raw_ops.TensorListGetItem(
                    input_handle=column, index=index, element_shape=_shape(spec), element_dtype=spec.dtype
                )
                if spec.shape.rank
                else tf.gather(column, index)
                for spec, column in zip(self._inputs, lists)
            ]
            for tensor, spec in zip(item, self._inputs):
                tensor.set_shape(spec.shape)
            found = zip(so_far, function(*item))
            return (
                index + 1,
                *(tf.raw_ops.TensorListSetItem(input_handle=old, index=index, item=new) for old, new in found),
            )

        empty = [
            tf.raw_ops.TensorListReserve(element_shape=_shape(spec), num_elements=count, element_dtype=spec.dtype)
            for spec in self._outputs.values()
        ]
        found = tf.while_loop(
            lambda index, *_: index < count, add, (tf.constant(0), *empty), parallel_iterations=_AT_ONCE
        )[1:]
        results: dict[str, tf.Tensor] = {}
        for (name, spec), made in zip(self._outputs.items(), found):
            if spec.shape.is_fully_defined():
                results[name] = tf.raw_ops.TensorListStack(
                    input_handle=made, element_shape=_shape(spec), element_dtype=spec.dtype
                )
            else:
                results[name], results[name + _LENGTHS] = tf.raw_ops.TensorListConcatV2(
                    input_handle=made,
                    element_shape=_shape(spec),
                    leading_dims=tf.zeros([0], tf.int64),
                    element_dtype=spec.dtype,
                )
        return results


def items(arrays: Mapping[str, npt.NDArray[Any]]) -> list[dict[str, npt.NDArray[Any]]]:
    """The outputs of each item, by name, of what a `Loop`'s call evaluated to."""
    of_all = {}
    for name, array in arrays.items():
        if not name.endswith(_LENGTHS):
            lengths = arrays.get(name + _LENGTHS)
            of_all[name] = array if lengths is None else np.split(array, np.cumsum(lengths)[:-1])
    return [dict(zip(of_all, outputs)) for outputs in zip(*of_all.values())]


def _as_list(spec: tf.TensorSpec, tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """A list of tensors as one, without copies."""
    made = tf.raw_ops.EmptyTensorList(element_shape=_shape(spec), max_num_elements=-1, element_dtype=spec.dtype)
    for tensor in tensors:
        made = tf.raw_ops.TensorListPushBack(input_handle=made, tensor=tensor)
    return made


def _shape(spec: tf.TensorSpec) -> tf.Tensor:
    return tf.constant([-1 if size is None else size for size in spec.shape], tf.int32)
