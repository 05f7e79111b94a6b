"""Two trainings in two processes that take turns of some seconds, so that both meet the same moods of the machine.

Minutes apart, one and the same training differs by more than what is to be measured. So does one process from another
that does the same, by some hundredths: what is to be told more precisely takes many pairs of processes, or a measure
that such a difference is not in. Each process' steps are held against its own median step, which is not a logged one;
what remains is what logging adds to some steps, and to those beside them (`Turns.over_median`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import Row
from tb_layerview.writing.budget import Budget

_FIRST = 5  # steps of which the first are set-up, of TensorFlow's and of ours
_TURN = 5.0  # seconds
_MEDIAN_OF = 12  # turns
_STEPS, _SET_UP, _GO, _WAITS = range(4)
_END = -1.0


class Pace:
    """A training's end of what two processes share: how many steps it took, and whose turn it is.

    In the end each step's seconds, without waiting and without set-up, stand in a file beside it.
    """

    def __init__(self, path: str) -> None:
        self._path, self._shared = path, np.memmap(path, np.float64, "r+", shape=4)
        self._began, self._steps = (0.0, 0.0), list[float]()

    def step(self, budget: Budget | None, finish: Callable[[], Any] = lambda: None) -> bool:
        """Says that a step begins, and waits for its turn; returns whether the training goes on.

        Args:
          budget: That of the logging, whose clock stands still meanwhile, if there is any.
          finish: Waits for the steps that were begun: what is computed in the other's turn is not paid for.
        """
        shared = self._shared
        if shared[_GO] == 0:
            finish()
        began, set_up = time.perf_counter(), budget.set_up if budget else 0.0
        self._steps.append(began - set_up - sum(self._began))
        shared[_SET_UP] = set_up
        while shared[_GO] == 0:
            shared[_WAITS] = 1
            time.sleep(0.001)
        shared[_WAITS] = 0
        if budget:
            budget._began += time.perf_counter() - began
        shared[_STEPS] += 1
        self._began = time.perf_counter(), -set_up
        if shared[_GO] == _END:
            np.save(f"{self._path}.npy", self._steps[_FIRST + 2 :])  # without the first one's wait
        return bool(shared[_GO] != _END)


@dataclasses.dataclass
class Turns:
    """What a training did in its turns.

    Attributes:
      steps: How many steps it took, turn by turn.
      seconds: How long, without our set-up.
      each: How long each of them took, in seconds, once the training has ended.
    """

    steps: list[float] = dataclasses.field(default_factory=list)
    seconds: list[float] = dataclasses.field(default_factory=list)
    each: np.ndarray[Any, Any] = dataclasses.field(default_factory=lambda: np.zeros(0))

    def per_step(self, part: slice = slice(None)) -> float:
        """Seconds of a step in some turns."""
        return sum(self.seconds[part]) / sum(self.steps[part])

    def over_median(self) -> float:
        """Seconds of all steps over those that as many median steps take, the median of some turns each.

        Of so many turns that steps that are not logged are most of them, and so few that the machine is the same.
        """
        ends = np.cumsum(self.steps).astype(int)[_MEDIAN_OF - 1 :: _MEDIAN_OF][:-1]
        parts = [part for part in np.split(self.each, ends) if len(part)]
        return float(self.each.sum() / sum(len(part) * np.median(part) for part in parts))


class _Training:
    def __init__(self, command: Sequence[str], folder: str) -> None:
        path = self._path = Path(folder) / "pace"
        self.turns, self._shared = Turns(), np.memmap(path, np.float64, "w+", shape=4)
        self._said = open(f"{folder}/said", "w+", encoding="utf-8")
        self._process = subprocess.Popen([*command, str(path)], stdout=self._said, stderr=self._said)
        self._turn(lambda: self._shared[_STEPS] > _FIRST)

    def turn(self) -> None:
        steps, set_up, began = self._shared[_STEPS], self._shared[_SET_UP], time.perf_counter()
        self._turn(lambda: time.perf_counter() - began > _TURN)
        self.turns.steps.append(float(self._shared[_STEPS] - steps))
        self.turns.seconds.append(time.perf_counter() - began - float(self._shared[_SET_UP] - set_up))

    def end(self) -> None:
        self._shared[_GO] = _END
        try:
            self._process.wait(timeout=120)
        finally:
            self._process.kill()  # of one that has ended, nothing
            self._said.close()
        if self._process.returncode == 0:
            self.turns.each = np.load(f"{self._path}.npy")

    def _turn(self, is_over: Callable[[], Any]) -> None:
        self._shared[_WAITS], self._shared[_GO] = 0, 1
        while not is_over():
            self._sleep()
        self._shared[_GO] = 0
        while not self._shared[_WAITS]:
            self._sleep()

    def _sleep(self) -> None:
        if self._process.poll() is not None:
            self._said.seek(0)
            raise RuntimeError(f"a training ended by itself: {self._said.read()[-2000:]}")
        time.sleep(0.001)


def in_turn(one: Sequence[str], other: Sequence[str], seconds: float) -> list[tuple[Turns, Turns]]:
    """Has two trainings take turns, in some pairs of processes.

    The one that is begun first is slower by half a hundredth, so that is one's in one pair and the other's in the next.

    Args:
      one: The command of one training, to which the path of its `Pace` is added.
      other: The other's.
      seconds: How long each trains.

    Returns:
      For each pair what one did, and what the other.
    """
    pairs = []
    for order in ((one, other), (other, one)):
        first, second = _in_turn(order, seconds)
        pairs.append((first, second) if order[0] is one else (second, first))
    return pairs


def _in_turn(commands: Sequence[Sequence[str]], seconds: float) -> list[Turns]:
    with contextlib.ExitStack() as stack:
        trainings = []
        for command in commands:
            trainings.append(_Training(command, stack.enter_context(tempfile.TemporaryDirectory())))
            stack.callback(trainings[-1].end)  # if the next one fails, too
        for _ in range(max(1, round(seconds / _TURN))):
            for training in trainings:
                training.turn()
    return [training.turns for training in trainings]


def turns_row(what: str, against: str, pairs: Sequence[tuple[Turns, Turns]], most: float | None = None) -> Row:
    """The ratio of a step's time as a row: the geometric mean of all pairs, with each pair's, and minute by minute."""
    minute = round(60 / _TURN)
    parts = [slice(i, i + minute) for i in range(0, len(pairs[0][0].steps), minute)]
    ratio, *minutes = (_mean_ratio(pairs, part) for part in (slice(None), *parts))
    by_pair = ", ".join(f"{_mean_ratio([pair]):.4g}" for pair in pairs)
    times = (1e3 * float(np.mean([turns.per_step() for turns in side])) for side in zip(*pairs))
    measured = f"{ratio:.4g} (pairs of processes {by_pair}; minute by minute "
    measured += ", ".join(f"{each:.3g}" for each in minutes) + "); " + " to ".join(f"{each:.3g} ms" for each in times)
    # What the core of the ladder takes is a larger share of fewer steps.
    measured += f"; {np.mean([sum(one.steps) for one, _ in pairs]):,.0f} steps"
    if all(len(turns.each) for pair in pairs for turns in pair):
        added = [one.over_median() / other.over_median() for one, other in pairs]
        measured += f"; of each process against its own median step {', '.join(f'{each:.4g}' for each in added)}"
    goal = "" if most is None else f"at most {most:g}"
    return Row(what, against, measured, goal, None if most is None else bool(ratio <= most))


def _mean_ratio(pairs: Sequence[tuple[Turns, Turns]], part: slice = slice(None)) -> float:
    return float(np.exp(np.mean([np.log(one.per_step(part) / other.per_step(part)) for one, other in pairs])))
