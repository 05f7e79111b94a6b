"""Of each rule a fault that is planted in a PyTorch module: its finding leads, by layer and first step, and alone.

By `make test-long` each is trained a second time without the fault, and then nothing is found. All are logged by a
`LayerRecorder`, whose gradients are those of the probe, and by `watch`, whose gradients are those that the optimizer is
given. All rules can find something in a module, but `watch` is not told the loss and replays nothing: what a batch
breaks that is not the probe has no layer there. What a function does between two modules, as `F.relu`, is no layer, so
that units which it silences are not counted; what follows from it is found.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch_faults import (
    ALL,
    MORE,
    NON_FINITE,
    OF_EACH,
    PASSING,
    Makes,
    passed_on,
    sigmoids_one_behind_another,
)
from torch_trainings import BATCH, WAYS, in_words, trained

import tb_layerview as lv
from tb_layerview.health.rules.catalogue import RULES


def _as_parameter(make: Makes, is_long: bool) -> Any:
    return pytest.param(make, id=make.__name__, marks=[pytest.mark.long] if is_long else [])


@pytest.mark.parametrize("make", [_as_parameter(make, make in MORE) for make in ALL])
def test_a_planted_fault_leads_by_layer_and_step_and_all_else_follows(make: Makes, tmp_path: Path) -> None:
    for way, found in trained(make(True), tmp_path).items():
        ALL[make].assert_leads(found, way)


@pytest.mark.long
@pytest.mark.parametrize("make", [_as_parameter(make, True) for make in ALL])
def test_without_the_fault_nothing_is_found(make: Makes, tmp_path: Path) -> None:
    for way, found in trained(make(False), tmp_path).items():
        assert not found, f"{way}:\n{in_words(found)}"


def test_there_is_a_fault_of_each_rule() -> None:
    assert sorted(planted.rule for planted in OF_EACH.values()) == sorted(rule.name for rule in RULES)


def test_a_gradient_that_vanishes_follows_from_what_has_collapsed(tmp_path: Path) -> None:
    for found in trained(sigmoids_one_behind_another(True), tmp_path).values():
        vanishing = [finding for finding in found if finding.rule == "vanishing_gradient"]
        assert len(vanishing) > 3
        assert {finding.follows for finding in vanishing} == {0}


# A NaN that others only pass on.


HOW = [pytest.param(True, id="in place"), pytest.param(False, id="anew", marks=pytest.mark.long)]


@pytest.mark.parametrize("is_in_place", HOW)
@pytest.mark.covers(
    "What and when: modes told apart",
)
def test_the_module_that_made_a_nan_is_named_by_the_batch_that_is_run_again(is_in_place: bool, tmp_path: Path) -> None:
    example = 4
    found = trained(passed_on(is_in_place, bad=9 * BATCH + example), tmp_path)
    planted = NON_FINITE("root", "activation", 10, ())
    for way in WAYS:
        planted.assert_leads(found[way], way)
    lead = found["recorder"][0]
    assert lead.replay is not None and (lead.replay.run, lead.replay.step) == ("recorder/replay", 10)
    run = lv.LayerReader(tmp_path).run("recorder/replay")
    assert (set(run.modes), set(lv.LayerReader(tmp_path).run("recorder").modes)) == ({"replay"}, {"train"})
    broken = {}
    for tensor in run.tensors:
        if tensor.kind == "activation":
            values = run.values(tensor, 10).array
            broken[tensor.layer] = np.flatnonzero(~np.isfinite(values).all(-1)).tolist()
    inner = {"block": [example]} if "block" in broken else {}  # what the residual sum gives
    assert broken == {"input": [], "root": [example], **{name: [example] for name in PASSING}, **inner}
    assert run.digest(run.tensor("root", kind="activation"), 10).nan == 1
    assert run.digest(run.tensor("input", kind="activation"), 10).min == -1


@pytest.mark.parametrize("is_in_place", HOW)
def test_the_module_that_made_a_nan_is_named_where_the_probe_shows_it(is_in_place: bool, tmp_path: Path) -> None:
    found = trained(passed_on(is_in_place, since=9), tmp_path)
    for way in WAYS:
        NON_FINITE("root", "activation", 10).assert_leads(found[way], way)
        assert {f.rule for f in found[way]} == {"non_finite"}


@pytest.mark.long
@pytest.mark.parametrize("is_in_place", [True, False])
def test_in_what_passes_on_no_nan_nothing_is_found(is_in_place: bool, tmp_path: Path) -> None:
    found = trained(passed_on(is_in_place), tmp_path)
    assert not any(found.values()), "\n".join(map(in_words, found.values()))
