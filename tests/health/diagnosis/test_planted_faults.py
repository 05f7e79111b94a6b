"""Each planted fault is found: by the right rule, in the right layer, from the right step on; and it leads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faults_of_attention  # noqa: F401
import faults_of_layers  # noqa: F401
import faults_of_numbers  # noqa: F401
import faults_of_training  # noqa: F401
import pytest
from any_keras import FRAMEWORK, IS_TENSORFLOW, only_tensorflow
from bed import FAULTS, Fault, Planted, findings

from tb_layerview.format.logged import LoggedTensor
from tb_layerview.health.finding import Finding, since
from tb_layerview.health.rules.catalogue import RULES

if IS_TENSORFLOW:
    import faults_of_graphs  # noqa: F401
    import faults_of_train_steps  # noqa: F401

#: One of each rule that leads a report, found in each way to train; the others are `long`.
CORE = {
    "a_bad_label_outside_the_probe",
    "all_units_alike",
    "attention_by_hand_on_one_position",
    "attention_whose_heads_are_alike",
    "batch_normalisation_of_one_example",
    "biases_far_below_zero",
    "eight_layers_start_at_a_hundredth",
    "estimator_with_a_rate_far_too_high",
    "examples_averaged_away",
    "graph_bad_example_in_one_batch",
    "graph_gradient_spike_from_one_batch",
    "graph_layer_that_its_optimizer_leaves_out",
    "inputs_not_scaled",
    "labels_shuffled",
    "learning_rate_far_too_low",
    "most_units_dead",
    "moving_averages_that_do_not_move",
    "one_bad_example_outside_the_probe",
    "recurrence_that_overflows",
    "sigmoid_saturated_by_its_bias",
    "stopped_gradient",
    "weight_decay_far_too_large",
    "weights_replaced_in_a_train_step",
}

#: Of each rule a fault in whose report it comes first, with whatever computes Keras.
BY_RULE = {
    "alike_heads": "attention_whose_heads_are_alike",
    "alike_units": "all_units_alike",
    "collapsed_attention": "attention_on_one_position",
    "collapsed_representation": "examples_averaged_away",
    "constant_output": "sigmoid_saturated_by_its_bias",
    "dead_units": "six_in_ten_units_dead",
    "depth_scale": "weights_start_too_small",
    "exploding_gradient": "gradient_that_doubles_and_is_clipped",
    "fading_gradient": "gradient_that_a_gate_closes_on",
    "gradient_spike": "gradient_spike_that_is_clipped",
    "non_finite": "one_bad_example_outside_the_probe",
    "saturated_activation": "inputs_not_scaled",
    "silent_layer": "biases_far_below_zero",
    "silent_units": "most_units_dead",
    "small_update": "learning_rate_far_too_low",
    "train_inference_shift": "moving_averages_that_do_not_move",
    "uniform_attention": "attention_that_stays_even",
    "unmoved_weight": "stopped_gradient",
    "update_ratio": "weight_decay_far_too_large",
    "update_spike": "learning_rate_that_jumps",
    "vanishing_gradient": "gradient_lost_between_two_layers",
    "zero_gradient": "batch_normalisation_of_one_example",
}
RULE_OF = {fault: rule for rule, fault in BY_RULE.items()}
#: Without TensorFlow those are planted, six that take little of them by `make test`...
CORE_OF_BACKENDS = {
    "batch_normalisation_of_one_example",
    "gradient_spike_that_is_clipped",
    "inputs_not_scaled",
    "one_bad_example_outside_the_probe",
    "sigmoid_saturated_by_its_bias",
    "stopped_gradient",
}
#: ... and, beside them, those that are trained there within a second.
QUICK = {
    "jax": {"silenced_where_every_fifth_step_is_logged"},
    "torch": {
        "a_bad_label_in_the_probe",
        "branch_whose_result_is_not_used",
        "dies_at_the_last_step",
        "dies_where_every_tenth_step_is_logged",
        "gradient_spike_from_one_batch",
        "inputs_not_scaled_before_relus",
        "killed_by_one_batch",
        "learning_rate_of_zero",
        "silenced_where_every_fifth_step_is_logged",
        "tanh_saturated_by_large_weights",
    },
}


def _planted_here() -> list[Fault]:
    names = FAULTS if IS_TENSORFLOW else {*BY_RULE.values(), *QUICK[FRAMEWORK]}
    return [fault for fault in FAULTS.values() if fault.name in names]


def _as_parameter(fault: Fault) -> Any:
    marks = [] if fault.name in (CORE if IS_TENSORFLOW else CORE_OF_BACKENDS) else [pytest.mark.long]
    if fault.missed:
        marks.append(pytest.mark.xfail(strict=True, reason=fault.missed))
    if fault.needs_estimator:
        marks.append(pytest.mark.estimator)
    return pytest.param(fault, id=fault.name, marks=marks)


@pytest.mark.parametrize("fault", [_as_parameter(fault) for fault in _planted_here()])
def test_a_planted_fault_is_found(fault: Fault, tmp_path: Path, record_property: Any) -> None:
    planted = fault.train(tmp_path)
    found = findings(tmp_path)
    right = [finding for finding in found if finding.follows is None and planted.is_found_by(finding)]
    record_property("fault", _as_data(fault, planted, found, right))
    report = "\n".join(f"{since(f)}: {f.rule}: {f.words} [follows {f.follows}]" for f in found[:12])
    if not planted.rules:
        assert not found, f"nothing is wrong in the layers, but:\n{report}"
        return
    assert right, f"expected {planted}, found {len(found)}:\n{report}"
    if not fault.behind:
        assert right[0] is found[0], f"expected {planted} to lead:\n{report}"
        assert right[0].rule == RULE_OF.get(fault.name, right[0].rule), report
    causes = sum(finding.follows is None for finding in found)
    assert causes <= planted.causes, f"{causes} causes instead of {planted.causes}:\n{report}"


def _as_data(fault: Fault, planted: Planted, found: tuple[Finding, ...], right: list[Finding]) -> dict[str, Any]:
    """What the document's row is made of."""
    return {
        "name": fault.name,
        "what": fault.what,
        "missed": fault.missed,
        "behind": fault.behind,
        "own": fault.own,
        "layers": planted.layers,
        "first": planted.first,
        "is_fault": bool(planted.rules),
        "leads": bool(right) and right[0] is found[0],
        "count": len(found),
        "rules": sorted({finding.rule for finding in found}),
        "right": [
            {
                "rule": f.rule,
                "kind": f.tensor and f.tensor.kind,
                "layer": f.tensor and f.tensor.layer,
                "since": since(f),
            }
            for f in right[:1]
        ],
    }


@only_tensorflow("it has all of them")
def test_there_are_thirty_faults_and_at_least_28_have_to_be_found() -> None:
    with_layers = [fault for fault in FAULTS.values() if not fault.needs_estimator]
    assert len(with_layers) >= 30
    assert sum(not fault.missed for fault in with_layers) >= 28
    assert FAULTS.keys() >= CORE


def test_each_backend_of_keras_has_a_fault_of_each_rule() -> None:
    names = {fault.name for fault in _planted_here() if not fault.missed and not fault.behind}
    assert names >= set(BY_RULE.values()) >= CORE_OF_BACKENDS
    assert len(names) == len(_planted_here()) or IS_TENSORFLOW
    assert BY_RULE.keys() == {rule.name for rule in RULES}


def _finding(rule: str, layer: str, kind: str, before: int | None, first: int) -> Finding:
    tensor = LoggedTensor(0, layer, 0, kind, "output", (2, 2), "float32", ("example", "unit"))  # type: ignore[arg-type]
    return Finding(rule, "error", tensor, first, before, first, {}, "", "")


@pytest.mark.parametrize(
    ("rule", "layer", "kind", "before", "first", "is_right"),
    [
        ("non_finite", "log", "activation", 8, 9, True),
        ("non_finite", "log", "activation", 5, 10, True),  # every fifth step is logged
        ("non_finite", "log", "activation", 9, 10, False),
        ("non_finite", "log", "activation", 7, 8, False),
        ("non_finite", "log", "activation", None, 0, False),
        ("non_finite", "log", "gradient", 8, 9, False),
        ("non_finite", "logits", "activation", 8, 9, False),
        ("silent_layer", "log", "activation", 8, 9, False),
    ],
)
def test_what_counts_as_found(rule: str, layer: str, kind: str, before: Any, first: int, is_right: bool) -> None:
    planted = Planted(("non_finite",), ("log",), ("activation",), first=9)
    assert planted.is_found_by(_finding(rule, layer, kind, before, first)) == is_right


def test_a_fault_of_no_layer_is_not_found_in_one() -> None:
    planted = Planted(("non_finite",), first=9)
    assert not planted.is_found_by(_finding("non_finite", "log", "activation", 8, 9))
    assert planted.is_found_by(Finding("non_finite", "error", None, 9, 8, 9, {}, "", ""))
