"""When a session logs, what it says of its cost, and that it never harms the training."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
import os
import queue
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tb_layerview import Keep, LayerReader, Schedule
from tb_layerview.format.model import Layer, Model, Tensor
from tb_layerview.format.values import Axis
from tb_layerview.health.rules.non_finite import NonFinite
from tb_layerview.measure.host import measure
from tb_layerview.measure.measurement import Measurement
from tb_layerview.options import as_schedule
from tb_layerview.serving import answers
from tb_layerview.writing.budget import Budget
from tb_layerview.writing.cost_warning import two_digits
from tb_layerview.writing.step import Measured, Step
from tb_layerview.writing.thread import MOST_HELD, WritingThread
from tb_layerview.writing.training_log import TrainingLog

pytestmark = pytest.mark.once

MODEL = Model((Layer("dense", "Dense"),), (Tensor(0, "weight", "kernel", (4, 3), "float32", axes=("input", "unit")),))
MEASURED = Measured({0: measure(np.ones((4, 3), np.float32))})


@dataclasses.dataclass(frozen=True)
class Made:
    """A part of a step whose measurements a test makes, on the writing thread."""

    make: Callable[[], dict[int, Measurement]]
    nbytes: int = 0

    def measurements(self) -> dict[int, Measurement]:
        """What the test makes."""
        return self.make()


@pytest.fixture(autouse=True)
def no_word_of_costs() -> None:
    """Here they are told, as the clock is the test's."""


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _train(
    folder: Path, schedule: Schedule, steps: int, step_seconds: float, log_seconds: float, any_seconds: float = 0.0
) -> tuple[list[int], TrainingLog]:
    """A training whose steps and whose logging take so long, and what every step pays; returns the logged steps.

    What the writing thread really takes depends on the machine and on what else it does: here it takes nothing.
    """
    clock = Clock()
    session = TrainingLog(folder, schedule, Keep(), clock=clock, thread_clock=lambda: 0.0)
    session.begin(0)
    session.describe(MODEL)
    logged = []
    for step in range(steps):
        if session.due(step):
            logged.append(step)
            with session.logging("a step"):
                clock.now += log_seconds
                session.write(Step(step, (MEASURED,), {"loss": 1.0}))
        clock.now += step_seconds + any_seconds
        session.budget.charge_any(any_seconds)
    return logged, session


def _core(steps: int) -> list[int]:
    """What a training of so many steps logs whatever it costs: every step up to 15, then eight an octave."""
    octaves = [range(first, 2 * first, first // 8) for first in (1 << octave for octave in range(4, 20))]
    return [step for step in itertools.chain(range(16), *octaves) if step < steps]


@functools.cache
def _afforded(log_seconds: float, steps: int = 100_000, step_seconds: float = 0.03) -> list[int]:
    """The rungs that the default budget allows, where a logged step takes so long: a shorter training has the first."""
    clock = Clock()
    budget, logged = Budget(Schedule().budget, clock), []
    budget.begin(0)
    for step in range(steps):
        if Schedule().wants(step) and budget.affords(step):
            logged.append(step)
            clock.now += log_seconds
            budget.charge(log_seconds)
        clock.now += step_seconds
    return logged


COSTS = (0.0, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 30.0)  # seconds a logged step; a training step: 0.03


@pytest.mark.parametrize(
    ("steps", "count"), [(100, 37), (136, 41), (286, 49), (1_000, 64), (10_000, 90), (100_000, 117)]
)
@pytest.mark.covers("What and when: Schedule, the overhead budget")
def test_the_ladder_is_thinned_and_not_cut_however_dear_logging_is(steps: int, count: int) -> None:
    for cost in COSTS:
        logged = [step for step in _afforded(cost) if step < steps]
        gaps = [(step, later - step) for step, later in itertools.pairwise([*logged, steps])]
        assert all(gap <= max(1, step / 7) for step, gap in gaps), cost
        assert set(_core(steps)) <= set(logged)
    assert logged == _core(steps) and len(logged) == count, "no more than that, where it is dearest"
    assert [step for step in _afforded(0.0) if step < steps] == [s for s in range(steps) if Schedule().wants(s)]


def test_the_steps_of_a_run_are_among_those_of_one_whose_logging_is_cheaper() -> None:
    for cheap, dear in itertools.pairwise(COSTS):
        assert set(_afforded(dear)) <= set(_afforded(cheap)), (cheap, dear)
    between = [cost for cost in COSTS if len(_core(100_000)) < len(_afforded(cost)) < len(_afforded(0.0))]
    assert len(between) > 3, "there are degrees"


@pytest.mark.parametrize("cost", COSTS[1:])
def test_while_the_account_is_overdrawn_the_core_alone_is_logged(cost: float) -> None:
    logged, core = _afforded(cost), set(_core(100_000))
    for i, step in enumerate(logged, start=1):
        assert step in core or i * cost <= 0.02 * step * 0.03 * (1 + 1e-9), step
    # What is left of the budget is used, as far as halves go.
    if cost <= 0.3:
        assert len(logged) * cost <= 0.02 * 100_000 * 0.03
        dense = [step for step in range(50_000, 100_000) if Schedule().wants(step)]
        late = [step for step in logged if step >= 50_000]
        assert late == dense or len(late) * cost >= 0.009 * 50_000 * 0.03 or set(late) <= core


def test_steps_after_a_finding_are_logged_closely_on_the_ladder_alone(tmp_path: Path) -> None:
    for schedule, wanted in ((Schedule(), range(5001, 5033)), (Schedule(every=20), (5020,))):
        session = TrainingLog(tmp_path, schedule, Keep())
        session.log_closely(5000)
        assert [step for step in range(5001, 5040) if session.due(step) and step % 64] == list(wanted)
        session.close()


@pytest.mark.parametrize("log_seconds", [0.002, 0.026, 0.2])
@pytest.mark.covers("What and when: Schedule, the overhead budget")
def test_the_ladder_stays_within_its_budget_and_uses_it(tmp_path: Path, log_seconds: float) -> None:
    steps, step_seconds = 20_000, 0.03
    logged, session = _train(tmp_path, Schedule(), steps, step_seconds, log_seconds)
    session.close()
    assert set(_core(steps)) <= set(logged)
    spent, training = log_seconds * len(logged), steps * step_seconds
    assert spent <= max(0.02 * training, log_seconds * len(_core(steps)))
    affordable = [step for step in range(1024, steps) if Schedule().wants(step)]
    assert set(affordable) <= set(logged) or spent > 0.009 * training


@pytest.mark.parametrize("share", [0.0, 0.01, 0.03])
@pytest.mark.covers("What and when: Schedule, the overhead budget")
def test_what_every_step_pays_is_paid_first(tmp_path: Path, share: float) -> None:
    steps, step_seconds, log_seconds = 20_000, 0.03, 0.05
    logged, session = _train(tmp_path, Schedule(), steps, step_seconds, log_seconds, share * step_seconds)
    session.close()
    spent = (log_seconds * len(logged) + steps * share * step_seconds) / (steps * step_seconds)
    assert session.budget.logging == pytest.approx(spent * steps * step_seconds, rel=1e-9)
    assert 0.009 <= spent <= max(0.02, share + 0.01)
    assert len(logged) > 40, "half of the budget is left at least"


def test_what_the_writing_thread_takes_is_charged_by_how_many_processors_there_are(tmp_path: Path) -> None:
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    takes = Clock()  # the writing thread's

    def measured() -> dict[int, Measurement]:
        takes.now += 0.5
        return {0: measure(np.ones((4, 3), np.float32))}

    session = TrainingLog(tmp_path, Schedule(every=1), Keep(), clock=Clock(), thread_clock=takes)
    session.begin(0)
    session.describe(MODEL)
    for step in range(10):
        with session.logging("a step"):
            session.write(Step(step, (Made(measured),), {"loss": 1.0}))
        session.flush()
    with session.logging("nothing more"):
        pass
    session.close()
    assert session.budget.logging == pytest.approx(10 * 0.5 / processors)


@pytest.mark.parametrize("log_seconds", [0.05, 0.1])
def test_what_the_core_overdraws_is_paid_back_and_the_log_says_it_once(tmp_path: Path, log_seconds: float) -> None:
    steps, step_seconds = 40_000, 0.03
    logged, session = _train(tmp_path, Schedule(), steps, step_seconds, log_seconds)
    spent, income = log_seconds * len(logged), 0.02 * steps * step_seconds
    assert 0.45 * income <= spent <= income, "it is paid back"
    session.flush()
    (note,) = LayerReader(tmp_path).run().model.notes
    said, taken = re.findall(r"up to step ([\d,]+) logging has taken ([\d.]+) %", note)[0]
    step = int(said.replace(",", ""))
    assert step == min(s for s in logged if s * step_seconds >= 180), "three minutes are enough to be even"
    assert float(taken) == pytest.approx(
        100 * log_seconds * len([s for s in logged if s <= step]) / (30 * step / 1e3), 0.01
    )
    assert "more than the 2 % that Schedule(budget=...) allows: the ladder's 8 steps an octave are logged" in note
    session.close()
    assert LayerReader(tmp_path).run().model.notes == (note,)


@pytest.mark.parametrize(("schedule", "mode"), [(Schedule(), "train"), (1, "train"), (Schedule(), "evaluate")])
def test_a_training_that_ends_overdrawn_says_so_at_its_end(tmp_path: Path, schedule: Any, mode: Any) -> None:
    clock = Clock()
    session = TrainingLog(tmp_path, as_schedule(schedule), Keep(), mode, clock=clock, thread_clock=lambda: 0.0)
    session.begin(0)
    session.describe(MODEL)
    for step in range(286):
        if session.due(step):
            with session.logging("a step"):
                clock.now += 0.02
                session.write(Step(step, (MEASURED,)))
        clock.now += 0.02
    session.flush()
    assert LayerReader(tmp_path).run().model.notes == ()
    message = session.close()
    notes = LayerReader(tmp_path).run().model.notes
    if mode == "evaluate" or schedule == 1:
        assert notes == ()
        return
    assert "49 steps logged, 151 left out" in message and "17.1 % of the training's 5.7 s" in message
    assert notes == (
        "up to step 256 logging has taken 17.1 % of the training time, more than the 2 % that Schedule(budget=...) "
        "allows: the ladder's 8 steps an octave are logged whatever they cost. A longer training pays it back",
    )


def test_the_last_step_is_not_left_out_though_the_budget_had_no_room_for_it(tmp_path: Path) -> None:
    clock = Clock()
    session = TrainingLog(tmp_path, Schedule(), Keep(), clock=clock, thread_clock=lambda: 0.0)
    session.begin(0)
    session.describe(MODEL)
    for step in range(18):
        if session.due(step) or step == 17:
            with session.logging("a step"):
                clock.now += 0.02
                session.write(Step(step, (MEASURED,)))
        clock.now += 0.02
    message = session.close()
    assert "18 steps logged; " in message and "left out" not in message
    assert LayerReader(tmp_path).run().steps.tolist() == list(range(18))


def test_a_training_that_stays_within_its_budget_has_nothing_to_note(tmp_path: Path) -> None:
    _train(tmp_path, Schedule(), 286, 0.03, 0.0001)[1].close()
    assert LayerReader(tmp_path).run().model.notes == ()


def test_a_note_that_would_not_fit_under_the_cap_is_left_out(tmp_path: Path) -> None:
    sentence = "a note" * 100
    for room, wanted in ((len(sentence), ()), (10 * len(sentence), (sentence,))):
        session = TrainingLog(folder := tmp_path / str(room), Schedule(every=1), Keep(max_bytes=10_000))
        session.describe(MODEL)
        session.write(Step(0, (MEASURED,)))
        session.flush()
        session._keep = Keep(max_bytes=session._files.bytes_written + room)
        session.note(sentence)
        session.close()
        assert LayerReader(folder).run().model.notes == wanted


def test_a_resumed_training_is_seen_as_a_new_one_on_steps_that_others_log_too(tmp_path: Path) -> None:
    since = 10_000
    logged: dict[int, list[int]] = {}
    for begins in (0, since):
        clock = Clock()
        session = TrainingLog(tmp_path / str(begins), Schedule(), Keep(), clock=clock, thread_clock=lambda: 0.0)
        session.begin(begins)
        session.describe(MODEL)
        logged[begins] = []
        for step in range(begins, since + 300):
            if session.due(step):
                logged[begins].append(step)
                with session.logging("a step"):
                    clock.now += 1.0
                    session.write(Step(step, (MEASURED,)))
            clock.now += 0.03
        session.close()
    assert logged[0] == _core(since + 300)
    assert [step - since for step in logged[since][:16]] == list(range(16))
    assert len(_core(300)) - 1 <= len(logged[since]) <= len(_core(300)) + 1
    assert all(later - step <= max(1, (step - since) / 7) for step, later in itertools.pairwise(logged[since]))
    assert {step for step in logged[0] if step >= since} <= set(logged[since])
    assert [step % 32 for step in logged[since] if step >= since + 256] == [0], "a power of two, from 0 on"
    run = LayerReader(tmp_path / str(since)).run()
    assert list(run.kept_steps("histogram", run.tensor("dense"))) == logged[since], "the byte plan keeps them whole"


@pytest.mark.parametrize("stride", [3, 10, 48])
def test_where_several_steps_are_one_execution_the_ladder_is_no_sparser(tmp_path: Path, stride: int) -> None:
    clock, steps = Clock(), 20_000
    session = TrainingLog(tmp_path, Schedule(), Keep(), clock=clock, thread_clock=lambda: 0.0)
    session.begin(0)
    session.describe(MODEL)
    logged, valued = [], []
    for step in range(0, steps, stride):
        if session.due(step):
            logged.append(step)
            valued += [step] * session.values_due(step)
            with session.logging("a step"):
                clock.now += 1.0
                session.write(Step(step, (MEASURED,)))
        assert session.due(step) == (step == logged[-1] and not session.is_last(step))
        clock.now += 0.03 * stride
    session.close()
    assert logged == sorted({-(-step // stride) * stride for step in _core(logged[-1] + 1)})
    assert valued == logged, "what is kept eight times an octave is kept of each"
    run = LayerReader(tmp_path).run()
    assert list(run.kept_steps("histogram", run.tensor("dense"))) == logged


def test_the_steps_of_two_runs_of_different_speed_nest(tmp_path: Path) -> None:
    fast, one = _train(tmp_path / "fast", Schedule(), 20_000, 0.03, 0.01)
    slow, two = _train(tmp_path / "slow", Schedule(), 20_000, 0.03, 0.1)
    one.close(), two.close()
    assert len(_core(20_000)) < len(slow) < len(fast)
    assert set(slow) <= set(fast)
    for step in slow:
        assert step % (2 ** max(0, step.bit_length() - 7)) == 0, "a step that is on no ladder"


def test_an_explicit_interval_is_followed_whatever_it_costs(tmp_path: Path) -> None:
    logged, session = _train(tmp_path, Schedule(every=10), 200, 0.001, 1.0)
    message = session.close()
    assert logged == list(range(0, 200, 10))
    assert "20 steps logged" in message and "logging took 20.0 s" in message


def test_the_closing_line_accounts_for_all_that_a_stopwatch_sees(tmp_path: Path) -> None:
    clock, is_closing = Clock(), threading.Event()

    def asked() -> float:
        now = clock.now
        if is_closed_next:
            is_closing.set()
        return now

    def last_to_be_written() -> dict[int, Measurement]:
        is_closing.wait(60)
        clock.now += 2.0  # while the training waits for the log to be closed
        return {0: measure(np.ones((4, 3), np.float32))}

    is_closed_next = False
    session = TrainingLog(tmp_path, Schedule(every=1), Keep(), clock=asked, thread_clock=lambda: 0.0)
    session.begin(0)
    with session.set_up("the probe"):
        clock.now += 3.0
    session.describe(MODEL)
    for step in range(4):
        with session.logging("a step"):
            clock.now += 1.5
            session.write(Step(step, (Made(last_to_be_written),) if step == 3 else ()))
        with session.ahead("keeping the weights"):
            clock.now += 0.5
        session.budget.charge_any(0.25)
        clock.now += 0.25 + 10.0
    is_closed_next = True
    message = session.close()
    logging_took, of_training, set_up = map(float, re.findall(r"(?:took|training's) ([\d.]+) s", message))
    assert set_up == 3.0
    assert logging_took == 4 * (1.5 + 0.5 + 0.25) + 2.0
    assert logging_took + of_training + set_up == clock.now
    assert clock.now == 3.0 + 4 * 12.25 + 2.0


def test_the_closing_line_and_the_tab_say_the_same_of_what_logging_costs(tmp_path: Path) -> None:
    clock = Clock()
    session = TrainingLog(tmp_path, Schedule(every=1), Keep(), clock=clock, thread_clock=lambda: 0.0)
    session.begin(0)
    with session.set_up("the probe"):
        clock.now += 3.0
    session.describe(MODEL)
    for seconds in (1.5, 1.5, 1.5, 1.5, 0.0):  # what the last step takes is known when it is written already
        clock.now += 1.0
        with session.logging("a step"):
            clock.now += seconds
            session.write(Step(len(session._steps), (MEASURED,)))
    message = session.close()
    assert "logging took 6.0 s, 120.0 % of the training's 5.0 s; set-up took 3.0 s" in message
    run = LayerReader(tmp_path).run()
    for sent in (answers.run(run)["cost"], answers.steps(run)["cost"]):
        assert (sent["logging_seconds"], sent["own_seconds"], sent["set_up_seconds"]) == (6.0, 5.0, 3.0)
        assert sent["share"] == pytest.approx(1.2)
        assert sent["training_seconds"] == 14.0


def test_what_trains_in_no_time_has_no_share(tmp_path: Path) -> None:
    _, session = _train(tmp_path, Schedule(every=1), 3, 0.0, 0.0)
    message = session.close()
    assert "logging took 0.0 s; set-up took 0.0 s" in message
    cost = answers.run(LayerReader(tmp_path).run())["cost"]
    assert (cost["own_seconds"], cost["share"]) == (0.0, None)


@pytest.mark.parametrize(("step_seconds", "log_seconds", "is_said"), [(0.002, 0.21, True), (0.002, 0.19, False)])
def test_a_logged_step_that_takes_more_than_a_hundred_others_is_said_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, step_seconds: float, log_seconds: float, is_said: bool
) -> None:
    large = Model((Layer("dense"), Layer("table")), (MODEL.tensors[0], Tensor(1, "weight", "table", (9, 9), "float32")))
    clock = Clock()
    session = TrainingLog(tmp_path, Schedule(every=1), Keep(), clock=clock, thread_clock=lambda: 0.0)
    session.begin(0)
    session.describe(large)
    said = []
    for step in range(5):
        with session.logging("a step"):
            clock.now += log_seconds
            session.write(Step(step, ()))
        clock.now += 30 * step_seconds if step == 0 else step_seconds  # the first one is traced
        said.append([record.getMessage() for record in caplog.records])
    session.close()
    assert said[1] == []
    sentence = (
        "tb_layerview: what logging costs: a logged step takes 0.21 s, as long as 105 training steps. "
        "Select(exclude=('table',)) leaves out table, which has the most elements; schedule=... logs fewer steps."
    )
    assert said[2] == said[4] == ([sentence] if is_said else [])


def test_steps_that_are_logged_in_a_moment_are_not_called_dear(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _train(tmp_path, Schedule(every=1), 5, 1e-5, 0.05)[1].close()
    assert caplog.records == []


def test_what_was_written_is_read_back_with_its_cost(tmp_path: Path) -> None:
    logged, session = _train(tmp_path, Schedule(every=1), 5, 0.5, 0.25)
    session.close()
    run = LayerReader(tmp_path).run()
    assert list(run.steps) == logged
    assert run.scalars["loss"].tolist() == [1.0] * 5


def test_a_failure_is_reported_once_by_name_and_the_training_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = TrainingLog(tmp_path, Schedule(every=1), Keep())
    session.begin(0)
    for _ in range(3):
        with caplog.at_level(logging.WARNING), session.logging("a step"):
            raise RuntimeError("the device is gone")
    assert [r.getMessage() for r in caplog.records] == [
        "tb_layerview: a step: RuntimeError: the device is gone. The training goes on."
    ]
    session.close()


def test_a_failure_to_write_ends_the_logging_and_not_the_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = TrainingLog(tmp_path, Schedule(every=1), Keep())
    session.begin(0)
    session.describe(MODEL)

    def broken() -> dict:
        raise OSError(28, "No space left on device")

    with caplog.at_level(logging.WARNING):
        session.write(Step(0, (Made(broken),)))
        session.flush()
        assert not session.due(1)
        session.write(Step(1, (MEASURED,)))
        message = session.close()
    assert len(caplog.records) == 1 and "No space left on device" in caplog.text
    assert "logging stopped early" in message


def test_a_training_without_a_logged_step_says_why_at_its_end_and_in_the_log(tmp_path: Path) -> None:
    session = TrainingLog(tmp_path, Schedule(every=1), Keep())
    session.begin(0)
    with session.set_up("the probe"):
        raise RuntimeError("the model takes 16 rows")
    message = session.close()
    assert "0 steps logged" in message and "the probe: RuntimeError: the model takes 16 rows" in message
    assert "look at them" not in message
    run = LayerReader(tmp_path).run()
    assert (len(run.steps), run.tensors) == (0, ())
    (note,) = run.model.notes
    assert note.startswith("0 steps logged: the probe: RuntimeError: the model takes 16 rows.")


def test_a_training_that_ends_before_its_first_step_says_so_and_keeps_what_it_said_before(tmp_path: Path) -> None:
    session = TrainingLog(tmp_path, Schedule(steps=(5,)), Keep())
    session.describe(dataclasses.replace(MODEL, notes=("conv: has dtype string and is left out",)))
    assert "0 steps logged in" in (message := session.close()) and "it ended before a step was logged" in message
    run = LayerReader(tmp_path).run()
    assert [t.name for t in run.tensors] == ["kernel"]
    assert run.model.notes == (
        "conv: has dtype string and is left out",
        "0 steps logged: it ended before a step was logged",
    )


def test_what_a_training_logged_keeps_its_own_words_where_a_later_one_logs_nothing(tmp_path: Path) -> None:
    _train(tmp_path, Schedule(every=1), 3, 0.1, 0.01)[1].close()
    session = TrainingLog(tmp_path, Schedule(every=7), Keep())
    session.report("the probe", "it cannot be had")
    session.close()
    run = LayerReader(tmp_path).run()
    assert run.steps.tolist() == [0, 1, 2]
    assert run.model.schedule == MODEL.schedule != "every 7 steps"
    assert run.model.notes == ("0 steps logged: the probe: it cannot be had",)
    assert run.hidden == ""


def test_a_log_whose_folder_is_gone_before_its_first_step_is_closed(tmp_path: Path, caplog: Any) -> None:
    session = TrainingLog(tmp_path / "log", Schedule(every=1), Keep())
    shutil.rmtree(tmp_path / "log")
    assert "0 steps logged" in session.close()
    assert [r.getMessage().partition(":")[0] for r in caplog.records] == ["tb_layerview"]
    assert "were removed while it was written" in caplog.text
    with pytest.raises(ValueError, match="closed file"):
        session._files._files._events.write(b"")


def test_a_rule_that_fails_is_reported_and_every_step_is_logged_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NonFinite, "holds", lambda *_: 1 / 0)
    with caplog.at_level(logging.WARNING):
        logged, session = _train(tmp_path, Schedule(every=1), 4, 1.0, 0.0)
        session.close()
    assert list(LayerReader(tmp_path).run().steps) == logged == [0, 1, 2, 3]
    assert [r.getMessage() for r in caplog.records] == [
        "tb_layerview: the rules of health: ZeroDivisionError: division by zero. The training goes on."
    ]


@pytest.mark.covers("What and when: Keep, the byte cap", "What and when: Keep, the order of thinning")
def test_as_the_byte_cap_nears_values_thin_out_first_and_steps_last(tmp_path: Path) -> None:
    keep = Keep(max_bytes=300_000)
    session = TrainingLog(tmp_path, Schedule(every=1), keep)
    session.begin(0)
    session.describe(MODEL)
    rng = np.random.default_rng(0)
    array = rng.normal(size=(64, 30)).astype(np.float32)
    axes = (Axis(0, 1, 64, 64), Axis(0, 1, 30, 30))
    logged = []
    for step in range(2000):
        if session.due(step):
            keep_values = axes if session.values_due(step) else None
            session.write(Step(step, (Measured({0: measure(array, units=True, keep=keep_values)}),)))
            session.flush()
            logged.append(step)
    session.close()
    written = sum(path.stat().st_size for path in (tmp_path / "layers").iterdir())
    assert written <= keep.max_bytes
    run = LayerReader(tmp_path).run()
    tensor = run.tensor("dense", kind="weight", name="kernel")
    values, units, histograms = (len(run.kept_steps(what, tensor)) for what in ("values", "units", "histogram"))
    assert 0 < values < units < histograms < len(run.steps) < 2000
    # The last that was due found the log full.
    assert list(run.steps) == logged[:-1] == list(range(len(run.steps)))


def test_a_folder_that_cannot_be_written_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ValueError, match="cannot log to .*Give a folder that this user can write to"):
        TrainingLog(tmp_path / "file" / "run", Schedule(), Keep())


def test_what_an_interrupt_keeps_from_the_writing_thread_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    thread, put = WritingThread(), queue.Queue.put

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(queue.Queue, "put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        thread.put(lambda: None, 2 * MOST_HELD)
    monkeypatch.setattr(queue.Queue, "put", put)
    done: list[int] = []
    thread.put(lambda: done.append(1), 10)  # would not return
    thread.stop()
    assert done == [1]


def test_an_error_that_nobody_guards_against_is_told_and_the_writing_thread_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails() -> None:
        raise ArithmeticError("nobody guards this")

    thread, done = WritingThread(), list[int]()
    thread.put(fails, 5)
    thread.put(lambda: done.append(1))
    thread.stop()
    assert done == [1]
    assert [record.exc_info[1].args for record in caplog.records if record.exc_info and record.exc_info[1]] == [
        ("nobody guards this",)
    ]


def test_what_logging_costs_is_said_in_two_digits_and_never_as_a_power_of_ten() -> None:
    numbers = (0.0312, 0.5, 2.04, 61.1, 99.7, 287.0, 1234.0, 2.5e6)
    said = ["0.031", "0.5", "2", "61", "100", "290", "1,200", "2,500,000"]
    assert [two_digits(number) for number in numbers] == said
