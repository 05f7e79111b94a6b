"""`LayerWriter.write_tree` of trees that need no framework, read back through `LayerReader`."""

from __future__ import annotations

import collections
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tb_layerview import Keep, LayerReader, LayerWriter
from tb_layerview.reading.run import Run

rng = np.random.default_rng(7)
EXACT = Keep(precision="float64", gradients=64)


def params() -> dict[str, Any]:
    return {"params": {"Dense_0": {"kernel": rng.normal(size=(3, 4)), "bias": rng.normal(size=4)}}}


def logged(run: Run) -> set[tuple[str, str, str]]:
    """Kind, layer and name of all tensors."""
    return {(tensor.kind, run.model.layers[tensor.layer].path, tensor.name) for tensor in run.model.tensors}


def test_layers_and_names_come_from_the_tree_and_are_the_same_for_each_kind(tmp_path: Path) -> None:
    weights, gradients = params(), params()
    kernel = weights["params"]["Dense_0"]["kernel"]
    before = kernel.copy()
    with LayerWriter(tmp_path, keep=EXACT) as writer:
        for step in range(3):
            writer.write_tree(step, weights, scalars={"loss": 1.0 / (step + 1)})
            writer.write_tree(step, gradients, kind="gradient")
            kernel += 1.0  # as a training changes it
    (run,) = LayerReader(tmp_path).runs()
    names = {("params/Dense_0", "kernel"), ("params/Dense_0", "bias")}
    assert logged(run) == {(kind, *name) for kind in ("weight", "gradient") for name in names}
    assert [layer.path for layer in run.model.layers] == ["params/Dense_0"]
    assert run.scalars["loss"].tolist() == [1.0, 1 / 2, 1 / 3]
    weight = run.tensor("params/Dense_0", kind="weight", name="kernel")
    gradient = run.tensor("params/Dense_0", kind="gradient", name="kernel")
    for step in range(3):
        assert np.array_equal(run.values(weight, step).array, before + step)
        assert np.array_equal(run.values(gradient, step).array, gradients["params"]["Dense_0"]["kernel"])


@dataclasses.dataclass
class Block:
    kernel: Any
    norm: Any = None


Moments = collections.namedtuple("Moments", ["count", "mu", "nu"])


@pytest.mark.parametrize(
    ("tree", "kind", "expected"),
    [
        ([(np.ones((2, 2)), np.ones(2)), (np.ones((2, 1)), None)], "weight", {("0", "0"), ("0", "1"), ("1", "0")}),
        ({"w": np.ones(2), "b": 3.5}, "update", {("model", "w"), ("model", "b")}),
        (np.ones(3), "weight", {("model", "kernel")}),
        ({"block": Block(np.ones(2), Block(np.ones(3)))}, "weight", {("block", "kernel"), ("block/norm", "kernel")}),
        ({1: {"a": np.ones(2)}, 0: {"a": True}}, "gradient", {("1", "a"), ("0", "a")}),
        ({"encoder": {"attention": np.ones((2, 3))}}, "activation", {("encoder/attention", "output")}),
        ({"dense": {"__call__": (np.ones((2, 3)),)}}, "activation", {("dense", "output")}),
    ],
    ids=["lists", "flat", "an array", "dataclasses", "numbers", "activations", "intermediates"],
)
def test_every_kind_of_tree_has_its_names(tmp_path: Path, tree: Any, kind: Any, expected: set[Any]) -> None:
    with LayerWriter(tmp_path) as writer:
        writer.write_tree(0, tree, kind)
    assert logged(LayerReader(tmp_path).run()) == {(kind, *name) for name in expected}


def test_what_an_optimizer_keeps_of_a_weight_is_in_the_weights_layer(tmp_path: Path) -> None:
    weights = params()
    state = (Moments(np.array(3), weights, params()), (Moments(np.array(3), None, params()),))
    with LayerWriter(tmp_path) as writer:
        writer.write_tree(3, weights)
        writer.write_tree(3, state, kind="optimizer")
    found = {name[1:] for name in logged(LayerReader(tmp_path).run()) if name[0] == "optimizer"}
    # Two of them keep a `nu`: where they stand in the chain tells them apart.
    names = {f"{weight}/{slot}" for weight in ("kernel", "bias") for slot in ("mu", "0/nu", "1/0/nu")}
    assert found == {("0", "count"), ("1/0", "count"), *(("params/Dense_0", name) for name in names)}


def test_blocks_stand_in_the_order_of_their_numbers_where_keys_are_sorted(tmp_path: Path) -> None:
    names = [f"block_{i}" for i in range(12)]
    with LayerWriter(tmp_path / "sorted") as writer:
        writer.write_tree(0, {name: {"kernel": np.ones(2)} for name in sorted(names)})
    with LayerWriter(tmp_path / "own") as writer:
        writer.write_tree(0, {name: {"kernel": np.ones(2)} for name in ("late", "early")})
    reader = LayerReader(tmp_path)
    assert [layer.path for layer in reader.run("sorted").model.layers] == names
    assert [layer.path for layer in reader.run("own").model.layers] == ["late", "early"]


def test_numbers_of_fewer_than_16_bits_are_logged_as_they_are(tmp_path: Path) -> None:
    import ml_dtypes

    truth = {
        "bfloat16": np.array([-1.5, 0.0, 256.0]),
        "float8_e4m3fn": np.array([-1.5, 0.0, 448.0]),
        "float8_e5m2": np.array([-1.5, np.inf, 57344.0]),
        "int4": np.array([-8, 0, 7]),
        "uint4": np.array([0, 1, 15]),
    }
    with LayerWriter(tmp_path, keep=EXACT) as writer:
        writer.write_tree(0, {name: array.astype(getattr(ml_dtypes, name)) for name, array in truth.items()})
    run = LayerReader(tmp_path).run()
    for name, array in truth.items():
        assert np.array_equal(run.values(run.tensor("model", name=name), 0).array, array), name


@pytest.mark.parametrize(
    ("tree", "error", "message"),
    [
        ({"a": {"activation": max}}, TypeError, r"'a/activation' of the tree is <built-in function max>, no array"),
        ({"a": {"name": "dense"}}, TypeError, r"'a/name' of the tree is 'dense', no array of real numbers\. Leave it"),
        ({"a": np.ones(2, complex)}, TypeError, r"'a' of the tree is an array of type complex128, no array of real"),
        ({"a": np.array(["x"])}, TypeError, r"'a' of the tree is an array of type str\d+, no array of real"),
        ({"a": {1: np.ones(2), "1": np.ones(2)}}, ValueError, r"two arrays of the tree are called 'a/1'"),
    ],
)
def test_bad_input_is_refused_with_its_path_and_value(
    tmp_path: Path, tree: Any, error: type[Exception], message: str
) -> None:
    with LayerWriter(tmp_path) as writer:
        with pytest.raises(error, match=message):
            writer.write_tree(0, tree)
        with pytest.raises(ValueError, match="no kind 'weights'"):
            writer.write_tree(0, {}, kind="weights")  # type: ignore[arg-type]
        writer.write_tree(0, {"a": np.ones(2)})  # and the log goes on
    assert LayerReader(tmp_path).run().steps.tolist() == [0]
