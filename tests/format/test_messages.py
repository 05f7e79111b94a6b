"""What a log says of its model, as messages and as values."""

from __future__ import annotations

import dataclasses

import pytest

from tb_layerview.format import layerview_pb2 as pb
from tb_layerview.format import model
from tb_layerview.format.logged import LoggedTensor
from tb_layerview.format.messages import FORMAT, model_from_proto, model_to_proto, read_model, with_checksum


@pytest.mark.parametrize("name", ["Layer", "Source", "Tensor", "Probe"])
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
        ),
        (model.Tensor(1, "weight", "kernel", (4, 3), "float32"), model.Tensor(0, "update", "x", (), "int8", 1)),
        model.Probe("ab", 8, True, "the first batch"),
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
