"""Keeps what goes wrong in logging away from the training: it is said once, and the training goes on."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator

from tb_layerview.about import logger
from tb_layerview.writing.budget import Budget

_KERAS_LIST, _BOLD = "arguments received by", re.compile(r"\x1b\[\d*m")


class NotSupported(Exception):  # noqa: N818  # it is nobody's error
    """What cannot be logged, whatever is given: it is said, and the training goes on."""


class Refused(ValueError):  # noqa: N818  # no fault, but an answer
    """What somebody asked for and cannot have, said before the first step: no training begins with it."""


class Guard:
    """Catches the errors of logging, reports each once, and charges what is done under it to the budget.

    Its context managers are the only places where an error in logging is caught for the training's sake.

    Attributes:
      is_open: Whether logging still works.
    """

    def __init__(
        self, goes_on: str, budget: Budget, clock: Callable[[], float], beside: Callable[[], float] = float
    ) -> None:
        """Has caught nothing yet.

        Args:
          goes_on: What goes on whatever happens, as the end of a sentence: `the training goes on`.
          budget: Where the time is counted.
          clock: Seconds, from anywhere.
          beside: What was done beside the training, in seconds, since this was last asked.
        """
        self.is_open = True
        self._goes_on, self._budget, self._clock, self._beside = goes_on, budget, clock, beside
        self._failures: dict[str, str] = {}  # what was said of each thing that is not logged

    @contextlib.contextmanager
    def set_up(self, what: str, is_fatal: bool = False) -> Iterator[None]:
        """Counts the time within as set-up; an error in it is raised if it is fatal, else it ends the logging."""
        began = self._clock()
        try:
            yield
        except Exception as error:  # logging never stops a training
            if isinstance(error, Refused) or (is_fatal and not isinstance(error, NotSupported)):
                raise
            self._end(what, error, "Nothing is logged")
        finally:
            self._budget.set_up += self._clock() - began

    @contextlib.contextmanager
    def before_step_0(self, what: str) -> Iterator[None]:
        """For what logging needs and is done before the first step: an error within ends it, if it is not `Refused`."""
        try:
            yield
        except Refused:
            raise
        except Exception as error:  # noqa: BLE001  # logging never stops a training
            self._end(what, error, "Nothing is logged")

    @contextlib.contextmanager
    def logging(self, what: str) -> Iterator[None]:
        """Counts the time within as logging; an error in it is reported once."""
        began = self._clock()
        try:
            with self.guard(what):
                yield
        finally:
            self._budget.charge(self._clock() - began, self._beside())

    @contextlib.contextmanager
    def ahead(self, what: str) -> Iterator[None]:
        """Counts the time within as logging: what the next logged step needs before it; an error in it is reported."""
        began = self._clock()
        with self.guard(what):
            yield
        self._budget.charge_ahead(self._clock() - began)

    @contextlib.contextmanager
    def finishing(self, what: str) -> Iterator[None]:
        """Counts the time within with the step that was logged last; an error in it is reported once."""
        began = self._clock()
        with self.guard(what):
            yield
        self._budget.charge_late(self._clock() - began, 1)

    @contextlib.contextmanager
    def apart(self, what: str) -> Iterator[None]:
        """Counts the time within as set-up, for what is done once in a training; an error in it is reported."""
        began = self._clock()
        with self.guard(what):
            yield
        self._budget.set_up += self._clock() - began

    @contextlib.contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """For what costs next to nothing: an error within is reported once."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # logging never stops a training
            self.report(what, f"{in_words(error)}. {self._goes_on.capitalize()}", error)

    @contextlib.contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """For what is done on the writing thread: an error within ends the logging, as the log may lack a part."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # logging never stops a training
            self._end(what, error, "Nothing more is logged")

    def _end(self, what: str, error: Exception, therefore: str) -> None:
        self.is_open = False
        self.report(what, f"{in_words(error)}. {therefore}; {self._goes_on}", error)

    def report(self, what: str, message: str, error: BaseException | None = None) -> None:
        """Warns of something that is not logged, once."""
        if what not in self._failures:
            self._failures[what] = message.rstrip(".")
            logger.warning("tb_layerview: %s: %s.", what, message.rstrip("."))
            logger.debug("tb_layerview: %s", what, exc_info=error)

    def refused(self, what: str, error: Refused) -> None:
        """Notes why nothing is logged, for the log: the person is told by the error."""
        self._failures.setdefault(what, str(error).rstrip("."))

    @property
    def reported(self) -> str:
        """All that was reported, in one line; empty if nothing was."""
        return "; ".join(f"{what}: {message}" for what, message in self._failures.items())


def in_words(error: BaseException) -> str:
    """An error in one line: its type, and what it says without autograph's trace before it and Keras' list behind."""
    lines = [" ".join(line.split()) for line in _BOLD.sub("", str(error)).splitlines() if line.strip()]
    ends = (i for i, line in enumerate(lines) if i and line.lower().removeprefix("call ").startswith(_KERAS_LIST))
    lines = lines[: next(ends, len(lines))]
    text = lines[-1] if lines and lines[0] == "in user code:" else " ".join(lines)
    if isinstance(error, (NotSupported, Refused)):  # which are sentences of ours
        return text[:600].rstrip(".")
    name = type(error).__name__
    return (text if text.startswith(name) else f"{name}: {text}" if text else name)[:600].rstrip(".")


def in_this_process(close: Callable[..., object]) -> Callable[..., None]:
    """What closes a log, such that nothing happens in a process that is forked: it has no thread that writes."""
    process = os.getpid()

    def closing(*given: object) -> None:
        if os.getpid() == process:
            close(*given)

    return closing
