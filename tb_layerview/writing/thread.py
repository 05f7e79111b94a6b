"""The thread that writes, so that a training need not wait for it."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable

from tb_layerview.about import logger
from tb_layerview.measure.native import library

_MOST_PENDING = 4  # actions that may wait
#: Bytes that what waits may hold. A training that has handed over more waits until it is less.
MOST_HELD = 256 << 20


def seconds_of_processors() -> float:
    """Seconds of processors that this thread has taken, and those that have helped it."""
    return time.thread_time() + library.seconds_of_helpers()


class WritingThread:
    """Does one thing after the other; whoever hands over too much at a time waits. It starts with the first of them.

    Attributes:
      busy: Seconds of all processors together that it has taken: its own processor time by how many there are. A
        training that uses all of them takes so much longer.
    """

    def __init__(self, clock: Callable[[], float] = seconds_of_processors) -> None:
        """Has nothing to do yet.

        Args:
          clock: Seconds of processors that the thread which asks has taken.
        """
        self.busy = self._asked = 0.0
        self._clock = clock
        self._queue: queue.Queue[tuple[Callable[[], None], int] | None] = queue.Queue(_MOST_PENDING)
        self._thread: threading.Thread | None = None
        self._held, self._has_let_go = 0, threading.Condition()

    def put(self, action: Callable[[], None], nbytes: int = 0) -> None:
        """Hands over what must raise no error; returns once what waits holds no more than `MOST_HELD`.

        Args:
          action: It is let go of as soon as it is done.
          nbytes: Bytes of memory that it holds until then.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="tb_layerview", daemon=True)
            self._thread.start()
        self._queue.put((action, nbytes))
        with self._has_let_go:
            # Once it is in the queue: what an interrupt keeps out of it is never let go of.
            self._held += nbytes
            self._has_let_go.wait_for(lambda: self._held <= MOST_HELD)

    def busy_since_asked(self) -> float:
        """What of `busy` has come since this was last asked."""
        busy = self.busy
        since, self._asked = busy - self._asked, busy
        return since

    def flush(self) -> None:
        """Returns when all that was handed over is done."""
        self._queue.join()

    def stop(self) -> None:
        """Returns when all that was handed over is done and the thread has ended."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        processors = _processors()
        while True:
            began = self._clock()
            try:
                if not self._do_next():
                    return
            finally:
                self.busy += (self._clock() - began) / processors
                self._queue.task_done()

    def _do_next(self) -> bool:
        """Does what is next, and lets go of it; whether that was something to do."""
        handed = self._queue.get()
        if handed is None:
            return False
        action, nbytes = handed
        try:
            action()
        except Exception:  # noqa: BLE001  # whoever waits for the thread would wait for ever
            logger.exception("tb_layerview: an error that nobody was to see on the thread that writes; it goes on.")
        del action, handed
        with self._has_let_go:
            self._held -= nbytes
            self._has_let_go.notify_all()
        return True


def _processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
