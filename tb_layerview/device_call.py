"""Functions of TensorFlow that are traced once and called in any graph."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2


def call(function: Any, args: list[tf.Tensor]) -> list[tf.Tensor]:
    """Calls a traced function, in the graph that is being built if there is one, without Grappler's optimising it.

    It would do so anew for each call in a graph, in 45 ms: that is 3 s for 60 tensors; without, it is 0.3 s, and the
    calls run no slower.

    Args:
      function: A concrete function.
      args: Its arguments.

    Returns:
      All that it returns.
    """
    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    if not tf.executing_eagerly():
        function.add_to_graph(tf.compat.v1.get_default_graph())
    outputs = tf.raw_ops.PartitionedCall(
        args=args,
        Tout=[tensor.dtype for tensor in function.outputs],
        f=function,
        config_proto=config.SerializeToString(),
    )
    for output, traced in zip(outputs, function.outputs):
        output.set_shape(traced.shape)
    return list(outputs)
