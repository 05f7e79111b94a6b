"""Trainings with nothing wrong learn, and the rules have nothing to say of them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import calibration
import healthy_trainings  # noqa: F401
import numpy as np
import pytest
from any_keras import IS_TENSORFLOW, keras
from bed import HEALTHY, Healthy, dense, findings, fit, problem, stack

from tb_layerview import LayerReader
from tb_layerview.health.connections import Connections
from tb_layerview.health.diagnosis import diagnose
from tb_layerview.health.evidence import Evidence
from tb_layerview.health.finding import Finding, since
from tb_layerview.health.of_run import evidence_of
from tb_layerview.health.rules.catalogue import RULES
from tb_layerview.reading.run import Run

if IS_TENSORFLOW:
    import healthy_graphs  # noqa: F401

# At most so many warnings in all healthy trainings together; errors none. Without TensorFlow there are fewer of them.
WARNINGS = 1 if IS_TENSORFLOW else 0


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


#: One of each way to build a network; the others are `long`, as is what looks at all of them.
_CORE = {"convolutional_with_batch_normalisation", "dense_relu_sgd", "graph_in_a_monitored_session", "transformer"}
#: Without TensorFlow two of them, and of the others one of each kind.
CORE_OF_BACKENDS = {"dense_relu_sgd", "embedding_classifier"}
LONG_OF_BACKENDS = {
    "autoencoder",
    "convolutional_with_batch_normalisation",
    "dense_tanh_momentum",
    "mixed_float16",
    "recurrent_gru",
    "residual_without_normalisation",
    "transformer",
}
TRAINED = HEALTHY if IS_TENSORFLOW else {name: HEALTHY[name] for name in sorted(CORE_OF_BACKENDS | LONG_OF_BACKENDS)}
CORE = _CORE if IS_TENSORFLOW else CORE_OF_BACKENDS


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Healthy], Trained]:
    """Trains each of them once, whichever test asks first."""

    @functools.cache
    def train(training: Healthy) -> Trained:
        folder = tmp_path_factory.mktemp(training.name)
        losses = training.train(folder)
        run = LayerReader(folder).run()
        return Trained(losses, findings(folder), evidence_of(run), run)

    return train


def in_words(found: Iterable[Finding]) -> list[str]:
    return [f"{since(finding)}: {finding.rule}: {finding.words}" for finding in found]


@pytest.mark.parametrize(
    "training",
    [
        pytest.param(training, id=name, marks=[] if name in CORE else pytest.mark.long)
        for name, training in TRAINED.items()
    ],
)
def test_a_healthy_training_learns_and_has_no_error(
    training: Healthy, trained: Callable[[Healthy], Trained], record_property: Any
) -> None:
    one = trained(training)
    before, after = one.losses
    record_property(
        "healthy",
        {
            "name": training.name,
            "what": training.what,
            "findings": [f"{finding.rule}: {finding.words}" for finding in one.findings],
        },
    )
    assert after < 0.7 * before, f"it does not learn: the loss was {before:.4g} and is {after:.4g}"
    assert not in_words(finding for finding in one.findings if finding.severity == "error")


def test_healthy_trainings_of_each_way_to_build_a_network_have_no_warning(
    trained: Callable[[Healthy], Trained],
) -> None:
    found = {name: in_words(trained(HEALTHY[name]).findings) for name in sorted(CORE)}
    assert found == {name: [] for name in CORE}


@pytest.mark.long
def test_there_is_at_most_one_warning_in_all_healthy_trainings(trained: Callable[[Healthy], Trained]) -> None:
    found = [f"{name}: {words}" for name, one in TRAINED.items() for words in in_words(trained(one).findings)]
    assert len(TRAINED) >= (15 if IS_TENSORFLOW else 6)
    assert len(found) <= WARNINGS, "\n".join(found)


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
def test_nothing_is_found_at_sparse_schedules_either(every: int, trained: Callable[[Healthy], Trained]) -> None:
    of_all(every, {name: trained(HEALTHY[name]) for name in CORE}, warnings=0)


@pytest.mark.long
@pytest.mark.parametrize("every", [2, 5, 10, 20, 50, 100])
def test_in_none_of_them_is_anything_found_at_sparse_schedules(
    every: int, trained: Callable[[Healthy], Trained]
) -> None:
    of_all(every, {name: trained(one) for name, one in TRAINED.items()}, warnings=WARNINGS)


def of_all(every: int, those: Mapping[str, Trained], warnings: int) -> None:
    """Holds what the rules find in the logs of these if only every so manieth step had been logged."""
    found = {name: [f.words for f in diagnose(thinned(one.run, every))] for name, one in those.items()}
    assert sum(map(len, found.values())) <= warnings, found
    assert all(one.evidence.ended for one in those.values())


@pytest.mark.long
def test_thresholds_keep_clear_of_healthy_trainings(
    trained: Callable[[Healthy], Trained], record_property: Any
) -> None:
    those = [trained(one) for one in TRAINED.values()]
    evidence = [one.evidence for one in those if not one.findings]
    edges = {rule.name: calibration.edges(rule, evidence) for rule in RULES}
    record_property("edges", edges)
    # The default is on the quiet side of each edge: what is found in `evidence` is nothing.
    for rule in RULES:
        for threshold, edge in edges[rule.name].items():
            assert edge is None or edge != getattr(rule, threshold), (rule.name, threshold, edge)
