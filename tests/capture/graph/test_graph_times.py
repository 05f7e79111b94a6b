"""What is counted as set-up and as logging, of the times that a session's runs take."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tb_layerview.capture.graph.run_times import RunTimes
from tb_layerview.options import Keep, Schedule
from tb_layerview.writing.training_log import TrainingLog


class _Clock:
    """Tells the time that it is told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def _log(folder: Path) -> TrainingLog:
    """A log whose own work, which is real, is none of what is counted."""
    return TrainingLog(folder, Schedule(), Keep(), clock=lambda: 0.0, thread_clock=lambda: 0.0)


def _counted(folder: Path, runs: Iterable[tuple[str, bool, float]]) -> tuple[float, float]:
    """Seconds of set-up and of logging, after runs (kind, whether it is logged, seconds)."""
    log, clock = _log(folder), _Clock()
    times = RunTimes(log.budget, clock)
    for kind, is_logged, seconds in runs:
        with times.asking():
            pass
        clock.now += seconds
        with times.following():
            pass
        times.add(kind, is_logged)
    times.charge_logged()
    log.close()
    return log.budget.set_up, log.budget.logging


PLAIN, LOGGED = ("plain", False, 0.02), ("digests", True, 0.1)
BEGUN = [("digests", True, 3.0), *[LOGGED] * 4, ("plain", False, 0.42), *[PLAIN] * 4]


def test_logged_runs_cost_what_they_take_longer_than_others(tmp_path: Path) -> None:
    set_up, logging = _counted(tmp_path, BEGUN)
    # The session would optimise the graph once without us: that is the very first run. The second time is ours.
    assert set_up == pytest.approx(0.4)
    assert logging == pytest.approx(5 * (0.1 - 0.02))


def test_the_first_run_of_a_kind_is_set_up_before_there_is_a_second(tmp_path: Path) -> None:
    set_up, logging = _counted(tmp_path, [*BEGUN, ("digests of another kind", True, 0.7)])
    assert set_up == pytest.approx(0.4 + 0.6)
    assert logging == pytest.approx(6 * (0.1 - 0.02))


def test_where_there_is_nothing_to_compare_with_the_second_run_tells(tmp_path: Path) -> None:
    set_up, _ = _counted(tmp_path, [*BEGUN[:2], ("values", True, 0.9), ("values", True, 0.3)])
    assert set_up == pytest.approx(0.6)


def test_what_is_done_around_a_run_is_counted_once(tmp_path: Path) -> None:
    log, clock = _log(tmp_path), _Clock()
    times = RunTimes(log.budget, clock)
    with times.asking():
        clock.now += 0.25
        with times.keeping():
            clock.now += 2.0
    clock.now += 64.0
    with times.following():
        assert times.seconds == 64.0
        clock.now += 0.5
        log.budget.set_up += 8.0  # as what is done once in a training counts itself
        clock.now += 8.0
    times.add("plain", is_logged=False)
    times.charge_other()
    assert (log.budget.logging, log.budget.set_up) == (0.25 + 0.5, 8.0)
    with times.asking():  # of a run that is not heard of again
        clock.now += 16.0
    with times.asking():
        clock.now += 0.125
    with times.following():
        pass
    times.add("digests", is_logged=True)
    times.charge_logged()
    times.charge_logged()
    assert log.budget.logging == 0.25 + 0.5 + 2.0
    times.charge_other()
    assert log.budget.logging == 0.25 + 0.5 + 2.0 + 0.125
    log.close()
