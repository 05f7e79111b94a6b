"""Trainings with nothing wrong learn, and the rules have nothing to say of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow")

import calibration
import healthy_trainings  # noqa: F401
from bed import HEALTHY, Healthy, findings

from tb_layerview import LayerReader
from tb_layerview.diagnosis import Finding, since
from tb_layerview.evidence import Evidence
from tb_layerview.rules import RULES

# At most so many warnings in all healthy trainings together; errors none.
WARNINGS = 1


@dataclasses.dataclass(frozen=True)
class Trained:
    """What became of a training.

    Attributes:
      losses: Before and after.
      findings: What the rules found.
      evidence: What they looked at.
    """

    losses: tuple[float, float]
    findings: tuple[Finding, ...]
    evidence: Evidence


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
    evidence = Evidence.of(LayerReader(tmp_path).run())
    found = findings(tmp_path)
    trained[training.name] = Trained((before, after), found, evidence)
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
