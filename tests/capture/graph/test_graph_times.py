"""What is counted as set-up and as logging, of the times that a session's runs take."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tb_layerview.capture.graph.run_times import RunTimes
from tb_layerview.options import Keep, Schedule
from tb_layerview.writing.training_log import TrainingLog


def _counted(folder: Path, runs: Iterable[tuple[str, bool, float]]) -> tuple[float, float]:
    """Seconds of set-up and of logging, after runs (kind, whether it is logged, seconds)."""
    # Its own work is real, and none of what the runs take.
    session = TrainingLog(folder, Schedule(), Keep(), clock=lambda: 0.0, thread_clock=lambda: 0.0)
    times = RunTimes()
    for run in runs:
        times.add(*run)
    times.charge(session)
    session.close()
    return session.budget.set_up, session.budget.logging


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
