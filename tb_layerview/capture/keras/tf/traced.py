"""A traced function that is called in no graph, for which Grappler chooses kernels and does nothing else.

All its optimizations together take most of what a deep model's first pass takes: 5.5 of 7 s for 400 layers, for a
function that is called at the few steps that are logged. Those that choose kernels stay: what a ReLU makes of NaN, or
which order of axes a convolution takes, is then what it is in the training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2

_CHOOSING_KERNELS = ("implementation_selector", "layout", "remap")


class Traced:
    """A function of nested structures of tensors, traced once.

    Attributes:
      graph: What was traced.
    """

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        """Traces the function.

        Args:
          function: Takes and returns nested structures of tensors, and None.
          *args: What it is traced with; it is called with the like.
        """
        leaves = tf.nest.flatten(args, expand_composites=True)

        def of_tensors(*tensors: Any) -> Any:
            given = iter(tensors)
            filled = [next(given) if tf.is_tensor(leaf) else leaf for leaf in leaves]
            return function(*tf.nest.pack_sequence_as(args, filled, expand_composites=True))

        of_tensors.autograph_info__ = {}  # type: ignore[attr-defined]  # by which autograph knows what not to convert
        # What the function calls is converted all the same: a model's own `call`.
        self._function = tf.function(lambda *tensors: of_tensors(*tensors)).get_concrete_function(*_tensors(args))
        self.graph: Any = self._function.graph

    def __call__(self, *args: Any) -> Any:
        """Calls it."""
        function = self._function
        returned = tf.raw_ops.StatefulPartitionedCall(
            args=[*_tensors(args), *function.captured_inputs],
            Tout=[tensor.dtype for tensor in function.outputs],
            f=function,
            config_proto=_config(),
        )
        # What returns nothing is an operation.
        found = iter(returned if function.outputs else ())
        structure = function.structured_outputs
        return tf.nest.pack_sequence_as(
            structure,
            [None if leaf is None else next(found) for leaf in tf.nest.flatten(structure, expand_composites=True)],
            expand_composites=True,
        )


def _tensors(structure: Any) -> list[Any]:
    return [leaf for leaf in tf.nest.flatten(structure, expand_composites=True) if tf.is_tensor(leaf)]


def _config() -> bytes:
    config = config_pb2.ConfigProto()
    options = config.graph_options.rewrite_options
    options.optimizers.extend(_CHOOSING_KERNELS)
    options.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    options.disable_tfg_optimizer = True
    return bytes(config.SerializeToString())
