"""The log format's messages, made from and into values. The only module that both sides of the format share."""

from __future__ import annotations

from tb_layerview import layerview_pb2 as pb
from tb_layerview import model

#: Version of the format; a reader refuses a newer one by name.
FORMAT = 1
PLUGIN_NAME = "layerview"
#: The folder below a log folder that holds what is logged.
FOLDER = "layers"
#: The quantiles that are stored as columns, and the fraction of the elements that lies below each.
QUANTILES = {"p1": 0.01, "p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}
#: Statistics that only some tensors have: of examples, of what an activation function bounds, of attention.
SPARSE = ("spread", "rank", "saturated", "positions", "evenness", "heads_alike")
#: The columns that all tensors have but older writers do not write: quantiles, and the share of units that are silent.
DENSE = (*QUANTILES, "silent")
#: All that is not in the digest.
SUMMARIES = (*DENSE, *SPARSE)


def payload_name(writer: str) -> str:
    """The name of the file that holds a writer's payloads."""
    return f"layerview.{writer}.payload"


def model_tag(writer: str) -> str:
    """The tag of a writer's Model."""
    return f"layers/{writer}/model"


def shard_tag(writer: str, shard: int) -> str:
    """The tag of a writer's StepRecords of one shard."""
    return f"layers/{writer}/{shard:05d}"


def model_to_proto(value: model.Model) -> pb.Model:
    """The message that says what a writer logs."""
    return pb.Model(
        format=FORMAT,
        software=value.software,
        schedule=value.schedule,
        notes=value.notes,
        layers=[pb.Layer(path=x.path, class_name=x.class_name, inputs=x.inputs) for x in value.layers],
        tensors=[
            pb.Tensor(
                layer=t.layer,
                call=t.call,
                kind=t.kind,
                name=t.name,
                shape=t.shape,
                dtype=t.dtype,
                axes=t.axes,
                function=t.function,
            )
            for t in value.tensors
        ],
        probe=None
        if value.probe is None
        else pb.Probe(
            hash=value.probe.hash,
            examples=value.probe.examples,
            training=value.probe.training,
            source=value.probe.source,
        ),
    )


def model_from_proto(message: pb.Model) -> model.Model:
    """What a writer logs.

    Raises:
      ValueError: The message is of a newer format, or its indices and kinds do not fit together.
    """
    if message.format > FORMAT:
        raise ValueError(
            f"the log has format {message.format} and this tb_layerview reads up to {FORMAT}: "
            f"it was written by {message.software or 'a newer version'}. Upgrade tb_layerview to see it."
        )
    layers = len(message.layers)
    if any(i >= layers for layer in message.layers for i in layer.inputs):
        raise ValueError("the log's model names a layer that it does not have")
    for tensor in message.tensors:
        if tensor.layer >= layers or tensor.kind not in model.KINDS:
            raise ValueError(
                f"the log's model has a tensor {tensor.name!r} of the kind {tensor.kind!r} "
                f"in layer {tensor.layer} of {layers}"
            )
    return model.Model(
        layers=tuple(model.Layer(x.path, x.class_name, tuple(x.inputs)) for x in message.layers),
        tensors=tuple(
            model.Tensor(
                layer=t.layer,
                call=t.call,
                kind=model.as_kind(t.kind),
                name=t.name,
                shape=tuple(t.shape),
                dtype=t.dtype,
                axes=tuple(t.axes),
                function=t.function,
            )
            for t in message.tensors
        ),
        probe=model.Probe(message.probe.hash, message.probe.examples, message.probe.training, message.probe.source)
        if message.HasField("probe")
        else None,
        notes=tuple(message.notes),
        schedule=message.schedule,
        software=message.software,
    )
