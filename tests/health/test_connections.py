"""How tensors belong together: which layer feeds which, what is before what, and that it is worked out once."""

from __future__ import annotations

import dataclasses

import numpy as np

from tb_layerview.format.logged import LoggedTensor
from tb_layerview.format.model import Layer, Model, Tensor
from tb_layerview.health.connections import Connections
from tb_layerview.health.evidence import Evidence

# images -> first -> relu -> left  -> add -> score
#                         -> right ->
LAYERS = (
    Layer("images", "Input"),
    Layer("first", "Dense", (0,)),
    Layer("relu", "ReLU", (1,)),
    Layer("left", "Dense", (2,)),
    Layer("right", "Dense", (2,)),
    Layer("add", "Add", (3, 4)),
    Layer("score", "Dense", (5,)),
)
WITH_KERNEL = (1, 3, 4, 6)
TENSORS = (
    *(Tensor(i, "activation", "output", (8, 5), "float32") for i in range(len(LAYERS))),
    *(Tensor(i, "weight", "kernel", (5, 5), "float32") for i in WITH_KERNEL),
    *(Tensor(i, "weight", "bias", (5, 1), "float32") for i in WITH_KERNEL),
    *(Tensor(i, "gradient", "kernel", (5, 5), "float32") for i in WITH_KERNEL),
    *(Tensor(i, "update", "kernel", (5, 5), "float32") for i in WITH_KERNEL),
    *(Tensor(i, "optimizer", "kernel/momentum", (5, 5), "float32") for i in WITH_KERNEL),
)


def connections() -> Connections:
    model = Model(LAYERS, TENSORS)
    return Connections(LAYERS, [LoggedTensor.of(model, i, i) for i in range(len(TENSORS))])


def names(found: Connections, tensors: np.ndarray) -> list[str]:
    return [found.tensors[i].layer for i in tensors]


def test_a_layer_is_computed_from_all_on_the_ways_to_it() -> None:
    found = connections()
    assert names(found, found.fed_by(5)) == ["left", "right"]
    assert names(found, found.taken_by(2)) == ["left", "right"]
    assert names(found, found.computed_from(5)) == ["images", "first", "relu", "left", "right"]
    assert names(found, found.computed_from(0)) == names(found, found.taken_by(6)) == []
    assert found.is_fed_by(5, {"first"}) and not found.is_fed_by(3, {"right"})


def test_layers_with_kernels_are_linked_past_those_without() -> None:
    found = connections()
    before = {found.tensors[i].layer: names(found, [j])[0] for i, j in enumerate(found.kernel_before) if j >= 0}
    assert before == {"left": "first", "right": "first", "score": "right"}
    forward = [tuple(names(found, link)) for link in found.forward_links]
    assert forward == [("first", "left"), ("first", "right"), ("right", "score")]
    backward = [tuple(names(found, link)) for link in found.backward_links]
    assert backward == [("score", "right"), ("right", "first"), ("left", "first")]
    assert {found.tensors[i].kind for link in found.backward_links for i in link} == {"gradient"}


def test_a_bias_is_not_a_kernel_and_a_relu_has_the_units_of_the_layer_before_it() -> None:
    found = connections()
    assert found.of_kernels("weight").sum() == len(WITH_KERNEL)
    assert found.of_kind("weight").sum() == 2 * len(WITH_KERNEL)
    assert found.of_kind("weight", "update").sum() == 3 * len(WITH_KERNEL)
    updates = {found.tensors[i].layer: int(j) for i, j in enumerate(found.incoming_updates) if j >= 0}
    assert {layer: found.tensors[j].layer for layer, j in updates.items()} == {
        "first": "first",
        "relu": "first",
        "left": "left",
        "right": "right",
        "score": "score",
    }
    assert names(found, np.flatnonzero(found.without_weights)) == ["relu", "add"]
    assert names(found, np.flatnonzero(found.is_output & found.of_kind("activation"))) == ["score"]


def test_what_an_optimizer_keeps_is_taken_for_no_weight() -> None:
    found = connections()
    kept = np.flatnonzero(found.of_kind("optimizer"))
    assert len(kept) == len(WITH_KERNEL)
    assert (found.weights[kept] == -1).all()
    assert not set(kept.tolist()) & set(np.concatenate(found.updated).tolist())
    for kind in ("weight", "gradient", "update"):
        assert not found.of_kernels(kind)[kept].any()


def test_weights_come_first_and_gradients_go_back() -> None:
    found = connections()
    order = sorted(range(len(TENSORS)), key=lambda i: int(found.depth[i]))
    kinds = [found.tensors[i].kind for i in order]
    assert list(dict.fromkeys(kinds)) == ["weight", "activation", "gradient", "optimizer", "update"]
    assert [found.tensors[i].layer for i in order if found.tensors[i].kind == "gradient"] == [
        "score",
        "right",
        "left",
        "first",
    ]


def test_windows_of_an_evidence_share_its_connections_and_nothing_of_its_steps() -> None:
    steps = np.arange(30)
    rms = np.tile(np.arange(1.0, 31.0), (len(TENSORS), 1))
    evidence = Evidence.whole(connections(), steps, lambda _: rms, [{}] * len(steps), ended=True)
    assert evidence.largest_before("rms")[0, 20] == 20
    (window,) = evidence.windows(3, [20])
    assert window.connections is evidence.connections
    assert window.connections.depth is evidence.connections.depth, "worked out once"
    assert window.steps.tolist() == [18, 19, 20] and window.steps_before == 18 and not window.ended
    assert window.statistic("rms")[0].tolist() == [19, 20, 21]
    assert window.largest_before("rms")[0].tolist() == [18, 19, 20]
    assert window.largest_at_start[0] == 10
    assert dataclasses.replace(evidence, steps=steps[:1], measured=lambda _: rms[:, :1]).statistic("rms").shape[1] == 1
