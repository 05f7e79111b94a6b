"""Trainings with nothing wrong learn, and the rules have nothing to say of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import calibration
import healthy_trainings  # noqa: F401
from bed import HEALTHY, Healthy, dense, findings, fit, keras, problem, stack

from tb_layerview import LayerReader
from tb_layerview.health.connections import Connections
from tb_layerview.health.diagnosis import diagnose
from tb_layerview.health.evidence import Evidence
from tb_layerview.health.finding import Finding, since
from tb_layerview.health.of_run import evidence_of
from tb_layerview.health.rules.catalogue import RULES
from tb_layerview.reading.run import Run

# At most so many warnings in all healthy trainings together; errors none.
WARNINGS = 1


@dataclasses.dataclass(frozen=True)
class Trained:
    """What became of a training.

    Attributes:
      losses: Before and after.
      findings: What the rules found.
      evidence: What they looked at.
      run: What was logged.
    """

    losses: tuple[float, float]
    findings: tuple[Finding, ...]
    evidence: Evidence
    run: Run


@pytest.fixture(scope="module")
def trained() -> dict[str, Trained]:
    """All that were trained so far, by name; the tests below add to it in their order."""
    return {}


@pytest.fixture
def in_words(trained: dict[str, Trained]) -> list[str]:
    return [
        f"{name}: {since(finding)}: {finding.rule}: {finding.words}"
        for name, one in trained.items()
        for finding in one.findings
    ]


@pytest.mark.parametrize("training", [pytest.param(training, id=name) for name, training in HEALTHY.items()])
def test_a_healthy_training_learns_and_has_no_error(
    training: Healthy, tmp_path: Path, trained: dict[str, Trained], record_property: Any
) -> None:
    before, after = training.train(tmp_path)
    run = LayerReader(tmp_path).run()
    evidence = evidence_of(run)
    found = findings(tmp_path)
    trained[training.name] = Trained((before, after), found, evidence, run)
    record_property(
        "healthy",
        {
            "name": training.name,
            "what": training.what,
            "findings": [f"{finding.rule}: {finding.words}" for finding in found],
        },
    )
    assert after < 0.7 * before, f"it does not learn: the loss was {before:.4g} and is {after:.4g}"
    assert not [f"{since(f)}: {f.rule}: {f.words}" for f in found if f.severity == "error"]


def test_there_is_at_most_one_warning_in_all_healthy_trainings(
    trained: dict[str, Trained], in_words: list[str]
) -> None:
    if len(trained) < len(HEALTHY):
        pytest.skip("not all healthy trainings were trained in this run")
    assert len(HEALTHY) >= 15
    assert len(in_words) <= WARNINGS, "\n".join(in_words)


def thinned(run: Run, every: int) -> Evidence:
    """What a log would hold of the same training if only one step in so many, and the last, had been logged.

    A step's statistics do not depend on which others are logged: `test_a_sparse_schedule_logs_the_same_of_its_steps`.
    """
    marks = np.searchsorted(run.steps, np.arange(0, int(run.steps[-1]) + 1, every))
    kept = np.unique([*marks.tolist(), len(run.steps) - 1])
    scalars = [run.scalars_by_step[i] for i in kept]
    return Evidence.whole(
        Connections(run.layers, run.tensors),
        run.steps[kept],
        lambda name: run.statistics(name)[:, kept],
        scalars,
        run.model.probe,
        run.model.logs_batches,
        run.ended,
    )


def test_a_sparse_schedule_logs_the_same_of_its_steps(tmp_path: Path) -> None:
    every, sparse = 1, 5
    runs = []
    for schedule in (every, sparse):
        x, y = problem(8, 16)
        model = stack(8, dense(16, "hidden"), dense(1, "score", None))
        fit(tmp_path / str(schedule), model, x, y, keras.optimizers.Adam(0.01), schedule=schedule)
        runs.append(LayerReader(tmp_path / str(schedule)).run())
    evidence, kept = thinned(runs[0], sparse), evidence_of(runs[1])
    assert evidence.steps.tolist() == kept.steps.tolist() == [0, 5, 10, 15, 16]
    for name in ("rms", "mean", "std", "zero", "silent", "spread", "update_ratio"):
        np.testing.assert_array_equal(evidence.statistic(name), kept.statistic(name))


@pytest.mark.parametrize("every", [2, 5, 10, 20, 50, 100])
def test_nothing_is_found_at_sparse_schedules_either(every: int, trained: dict[str, Trained]) -> None:
    if not trained:
        pytest.skip("no healthy training was trained in this run")
    found = {name: [f.words for f in diagnose(thinned(one.run, every))] for name, one in trained.items()}
    assert sum(map(len, found.values())) <= WARNINGS, found
    assert all(one.evidence.ended for one in trained.values())


def test_thresholds_keep_clear_of_healthy_trainings(trained: dict[str, Trained], record_property: Any) -> None:
    if len(trained) < len(HEALTHY):
        pytest.skip("not all healthy trainings were trained in this run")
    evidence = [one.evidence for one in trained.values() if not one.findings]
    edges = {rule.name: calibration.edges(rule, evidence) for rule in RULES}
    record_property("edges", edges)
    # The default is on the quiet side of each edge: what is found in `evidence` is nothing.
    for rule in RULES:
        for threshold, edge in edges[rule.name].items():
            assert edge is None or edge != getattr(rule, threshold), (rule.name, threshold, edge)
