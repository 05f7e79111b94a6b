"""The thread that writes, so that a training need not wait for it."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable

_MOST_PENDING = 4  # actions that may wait


class WritingThread:
    """Does one thing after the other; whoever hands over too much at a time waits. It starts with the first of them.

    Attributes:
      busy: Seconds of all processors together that it has taken: its own processor time by how many there are. A
        training that uses all of them takes so much longer.
    """

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        """Has nothing to do yet.

        Args:
          clock: Seconds of processors that the thread which asks has taken.
        """
        self.busy = self._asked = 0.0
        self._clock = clock
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(_MOST_PENDING)
        self._thread: threading.Thread | None = None

    def put(self, action: Callable[[], None]) -> None:
        """Hands over what must raise no error."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="tb_layerview", daemon=True)
            self._thread.start()
        self._queue.put(action)

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
            action = self._queue.get()
            began = self._clock()
            try:
                if action is None:
                    return
                action()
            finally:
                self.busy += (self._clock() - began) / processors
                self._queue.task_done()


def _processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
