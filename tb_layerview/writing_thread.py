"""The thread that writes, so that a training need not wait for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

_MOST_PENDING = 4  # actions that may wait


class WritingThread:
    """Does one thing after the other; whoever hands over too much at a time waits. It starts with the first of them."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(_MOST_PENDING)
        self._thread: threading.Thread | None = None

    def put(self, action: Callable[[], None]) -> None:
        """Hands over what must raise no error."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="tb_layerview", daemon=True)
            self._thread.start()
        self._queue.put(action)

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
        while True:
            action = self._queue.get()
            try:
                if action is None:
                    return
                action()
            finally:
                self._queue.task_done()
