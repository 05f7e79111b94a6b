"""What a log says of its model, as messages and as values."""

from __future__ import annotations

import dataclasses

import pytest

from tb_layerview.format import layerview_pb2 as pb
from tb_layerview.format import model
from tb_layerview.format.logged import LoggedTensor
from tb_layerview.format.messages import FORMAT, model_from_proto, model_to_proto, read_model, with_checksum

TARGET = model.Target("a", "int16", (2, 1), bytes(4))
WINDOW = {"size": [3], "strides": [1], "dilation": [1], "padding_before": [0], "padding_after": [0]}


@pytest.mark.parametrize("name", ["Layer", "Source", "Window", "Tensor", "Probe", "Target"])
def test_a_message_and_its_value_have_the_same_fields(name: str) -> None:
    fields = {field.name for field in dataclasses.fields(getattr(model, name))}
    assert fields == {field.name for field in getattr(pb, name).DESCRIPTOR.fields}


def test_what_a_run_logs_of_a_tensor_is_what_the_log_says_of_it() -> None:
    names = [field.name for field in dataclasses.fields(LoggedTensor)]
    assert set(names) == {"index", "source", *model.TENSOR_FIELDS}
    tensor = model.Tensor(1, "activation", "output", (-1, 3), "bfloat16", 2, ("example", "unit"), "relu")
    described = model.Model((model.Layer("in"), model.Layer("out", "Dense", (0,))), (tensor,))
    assert LoggedTensor.of(described, 0, 7) == LoggedTensor(
        7, "out", 2, "activation", "output", (-1, 3), "bfloat16", ("example", "unit"), "relu"
    )


def test_a_tensor_has_the_place_of_its_call() -> None:
    sources = (model.Source("net.py", 8), model.Source("net.py", 9, is_class=True))
    tensors = tuple(model.Tensor(0, "activation", "output", (), "float32", call) for call in range(3))
    described = model.Model((model.Layer("relu", sources=sources),), tensors)
    assert [LoggedTensor.of(described, i, i).source for i in range(3)] == [*sources, None]


def test_of_more_places_than_any_writer_tells_the_first_are_read() -> None:
    described = model.Model((model.Layer("relu", sources=(model.Source("net.py", 8),) * 100),), ())
    assert len(model_from_proto(model_to_proto(described)).layers[0].sources) == model.MOST_SOURCES


def test_a_model_comes_back_as_it_was() -> None:
    described = model.Model(
        (
            model.Layer("in"),
            model.Layer("out", "Dense", (0,), (model.Source("net.py", 8), model.Source("a/b.py", 9, True))),
            model.Layer("conv", window=model.Window((3, 5), (1, 2), (2, 1), (-1, 0), (4, 2), True, "circular")),
            model.Layer("pool", window=model.Window((2,), (2,), (1,)), direct=True),
            model.Layer("add", inputs=(0, 1), in_place=True),
        ),
        (model.Tensor(1, "weight", "kernel", (4, 3), "float32"), model.Tensor(0, "update", "x", (), "int8", 1)),
        model.Probe("ab", 8, True, "the first batch", (TARGET, model.Target("b", "bool", (), b"\1"))),
        ("a note", "another"),
        "every step",
        "tb_layerview",
    )
    message = model_to_proto(described)
    assert model_from_proto(message) == described
    assert read_model(with_checksum(message)) == described


@pytest.mark.parametrize("kind", model.KINDS)
def test_a_log_says_the_least_format_that_has_its_kinds(kind: model.Kind) -> None:
    described = model.Model((model.Layer("out"),), (model.Tensor(0, kind, "kernel", (3,), "float32"),))
    message = model_to_proto(described)
    # What format 1 has is read by what was made for it.
    assert message.format == (1 if kind in ("activation", "weight", "gradient", "update") else 2)
    assert model_from_proto(message) == described
    message.format = FORMAT + 1
    with pytest.raises(ValueError, match=f"has format {FORMAT + 1} and this tb_layerview reads up to {FORMAT}"):
        model_from_proto(message)


def test_a_file_whose_name_a_terminal_would_obey_is_spelled_out() -> None:
    assert str(model.Source("\x1b[2Jnet.py", 3)) == r"\x1b[2Jnet.py:3"
    assert str(model.Source("größe.py", 3, is_class=True)) == "defined in größe.py:3"


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ({"size": []}, "with a window of 0 axes"),
        ({"strides": [1, 1]}, "with a window of 1 axes, with 2 strides"),
        ({"padding_after": []}, "1 and 0 paddings"),
        ({"size": [0]}, r"with a window of \(0,\)"),
        ({"dilation": [0]}, r"dilation \(0,\)"),
        ({"strides": [2**32 - 1]}, r"strides \(4294967295,\)"),
        ({"padding_before": [-(2**63)]}, r"padding \(-9223372036854775808, 0\)"),
        ({name: [1] * 100_000 for name in WINDOW}, "with a window of 100000 axes"),
    ],
)
def test_a_window_that_does_not_fit_together_is_refused(window: dict[str, list[int]], words: str) -> None:
    good = pb.Model(layers=[pb.Layer(path="conv", window=pb.Window(**WINDOW))])
    assert model_from_proto(good).layers[0].window == model.Window((3,), (1,), (1,), (0,), (0,))
    with pytest.raises(ValueError, match=f"the log's model has a layer 'conv' .*{words}"):
        model_from_proto(pb.Model(layers=[pb.Layer(path="conv", window=pb.Window(**{**WINDOW, **window}))]))


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ([{"dtype": "object"}], "a target 'a' of the type 'object'"),
        ([{"shape": [-2, -1]}], r"a target 'a' of the shape \(-2, -1\)"),
        ([{"shape": [1] * 1000}], "a target 'a' of the shape 1,000 axes"),
        ([{"shape": [2**62, 2**62]}], "a target 'a' of 4 bytes and the shape"),
        ([{"values": bytes(3)}], "a target 'a' of 3 bytes and the shape"),
        ([{"shape": [2**14 + 1, 2], "values": bytes(2**16 + 4)}], "1 targets of 65,540 bytes"),
        ([{"shape": [0], "values": b""}] * 1025, "1,025 targets of 0 bytes"),
    ],
)
def test_a_target_that_is_not_what_it_says_is_refused(targets: list[dict[str, object]], words: str) -> None:
    def described(*given: dict[str, object]) -> pb.Model:
        return pb.Model(probe=pb.Probe(targets=[pb.Target(**{**vars(TARGET), **target}) for target in given]))

    assert model_from_proto(described({})).probe == model.Probe("", 0, False, "", (TARGET,))
    with pytest.raises(ValueError, match=f"the log's probe has .*{words}"):
        model_from_proto(described(*targets))


def test_a_probe_of_very_many_empty_targets_is_refused_before_it_is_parsed() -> None:
    data = with_checksum(pb.Model(probe=pb.Probe(targets=[pb.Target()] * 100_000)))
    with pytest.raises(ValueError, match="the probe of the log's model: it has more than 16,384 parts"):
        read_model(data)
