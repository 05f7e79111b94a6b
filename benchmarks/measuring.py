"""What every benchmark shares: rows of the table, alternating runs, and the clock that leaves set-up out."""

from __future__ import annotations

import dataclasses
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Action = Callable[[], Any]


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
      what: What was measured.
      against: What it was compared with.
      measured: The figure, with its spread.
      goal: What it is to reach; empty if nothing was asked.
      is_reached: Whether it does; None where there is no goal.
    """

    what: str
    against: str
    measured: str
    goal: str = ""
    is_reached: bool | None = None


@dataclasses.dataclass(frozen=True)
class Options:
    """How much is measured.

    Attributes:
      quick: One round of each, to see that everything works; the figures say nothing.
      minutes: How long the trainings on the default schedule last; 0 leaves them out.
      estimator_python: The Python that has tf.estimator.
    """

    quick: bool = False
    minutes: float = 0.0
    estimator_python: str = ""

    def rounds(self, most: int) -> int:
        """How many alternating rounds to measure."""
        return 1 if self.quick else most


def line(row: Row) -> str:
    """A row of a table in Markdown."""
    reached = "" if row.is_reached is None else ", reached" if row.is_reached else ", **not reached**"
    return f"| {row.what} | {row.against} | {row.measured} | {row.goal}{reached} |"


def seconds(action: Action) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def spread(values: Sequence[float]) -> tuple[float, float]:
    """The smallest and the largest without the outermost, where there are enough."""
    ordered = sorted(values)
    return (ordered[1], ordered[-2]) if len(ordered) >= 5 else (ordered[0], ordered[-1])


def in_words(median: float, values: Sequence[float], unit: str = "") -> str:
    """A median with its spread."""
    low, high = spread(values)
    return f"{median:.3g}{unit} ({low:.3g} to {high:.3g})"


def ratios(actions: Sequence[Action], rounds: int, clock: Callable[[Action], float] = seconds) -> list[list[float]]:
    """Seconds of each action in each round, [actions][rounds]; they take turns, after one uncounted each."""
    for action in actions:
        clock(action)
    timed = [[clock(action) for action in actions] for _ in range(rounds)]
    return [list(column) for column in zip(*timed)]


def ratio_row(
    what: str, against: str, ones: Sequence[float], others: Sequence[float], most: float | None = None
) -> Row:
    """The ratio of two medians as a row, with the spread of the single rounds' ratios, and the medians themselves."""
    one, other = statistics.median(ones), statistics.median(others)
    words = in_words(one / other, [a / b for a, b in zip(ones, others)])
    measured = f"{words}; {_duration(one)} to {_duration(other)}"
    return Row(what, against, measured, "" if most is None else f"at most {most:g}", _within(one / other, most))


def duration_row(what: str, against: str, values: Sequence[float], most: float | None = None) -> Row:
    """Seconds as a row, in milliseconds."""
    median = statistics.median(values)
    words = in_words(1e3 * median, [1e3 * value for value in values], " ms")
    goal = "" if most is None else f"at most {1e3 * most:g} ms"
    return Row(what, against, words, goal, _within(median, most))


def bytes_row(what: str, against: str, size: float, most: float | None = None) -> Row:
    """A size as a row."""
    goal = "" if most is None else f"under {_size(most)}"
    return Row(what, against, _size(size), goal, _within(size, most))


def folder_bytes(folder: str | os.PathLike[str]) -> int:
    """What all files below a folder take."""
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def _within(value: float, most: float | None) -> bool | None:
    return None if most is None else bool(value <= most)


def _duration(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{1e3 * value:.3g} ms"


def _size(value: float) -> str:
    return f"{value / 1e6:,.1f} MB" if value >= 1e5 else f"{value:,.0f} B"
