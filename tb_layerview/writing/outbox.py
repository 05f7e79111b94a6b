"""What is on its way to a store: sent in order, on a thread of its own, and kept here while the store takes nothing."""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tb_layerview.about import logger
from tb_layerview.format.places import RemotePath
from tb_layerview.format.remote_storage import RemoteStore, may_pass
from tb_layerview.writing.spool import Spool, left_behind

#: Bytes that wait in memory; more of them wait on disk.
_MOST_HELD = 64 << 20
#: Seconds between two attempts: at first, and at most.
_SOON, _LATE = 1.0, 30.0
#: Seconds for the first object, for which a training waits.
_FIRST = 10.0


@dataclasses.dataclass
class _Parcel:
    """An object that is to be put: in memory, or in a file."""

    name: str
    data: bytes | None
    file: Path | None = None

    def read(self) -> bytes:
        if self.data is not None:
            return self.data
        assert self.file is not None
        return self.file.read_bytes()


class Outbox:
    """Puts one writer's objects, each until the store has it, in the order in which they are given.

    What fails is written to disk, with all that waits and comes, until the store takes it: it outlives the process.

    Attributes:
      seconds: Seconds of processors that sending has taken.
      full: Why no more can be kept, once that is so.
    """

    def __init__(self, folder: RemotePath, store: RemoteStore, writer: str, look: Callable[[], float | None]) -> None:
        """Sends nothing yet.

        Args:
          folder: Where the objects go.
          store: What puts them there.
          writer: Whose they are.
          look: Called on the thread that sends, between two objects: it hands over what is old enough, and says, by
            `time.monotonic`, when something else is.
        """
        self.seconds = 0.0
        self.full: OSError | None = None
        self._folder, self._store, self._look = folder, store, look
        self._spool = Spool(folder, writer)
        self._changed = threading.Condition(threading.RLock())
        self._waiting: collections.deque[_Parcel] = collections.deque()
        self._failed: OSError | None = None  # why the last attempt has failed
        self._is_woken = self._is_closing = False
        self._is_over = True  # there is no thread yet
        self._in_loop = 0.0

    def begin(self, name: str, data: bytes) -> None:
        """Puts the first object before it returns, so that what can never be put there is known.

        Raises:
          OSError: The store says that it does not take it. One that gives no answer is tried again later.
        """
        try:
            self._send(name, data, _FIRST)
        except OSError as error:
            if not may_pass(error):
                raise
            self._fail(error)
            self.put(name, data)
        self._is_over = False
        threading.Thread(target=self._work, name="tb_layerview_store", daemon=True).start()

    def put(self, name: str, data: bytes) -> None:
        """Hands over an object.

        Raises:
          OSError: The store takes nothing, and there is no more room for it here.
        """
        with self._changed:
            if self.full:
                raise self.full
            if self._is_closing:
                raise ValueError("write to a closed log")
            parcel = _Parcel(name, data)
            held = sum(len(other.data or b"") for other in self._waiting)
            if self._failed or held + len(data) > _MOST_HELD:
                self._to_disk(parcel)
            self._waiting.append(parcel)
            self._changed.notify_all()

    def wake(self) -> None:
        """Has it ask anew when something is to be handed over."""
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def close(self, seconds: float) -> None:
        """Waits until all is sent, but not for ever; what is not by then is kept here.

        Args:
          seconds: How long at most; after 0 seconds it is still being sent.
        """
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
            if seconds:
                self._changed.wait_for(lambda: self._is_over, seconds)
                self._end()

    def _end(self) -> None:
        """Keeps here, and says, what is not sent."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
            if self._waiting:
                self._leave()
            self._spool.leave()

    def _leave(self) -> None:
        lost = 0
        for parcel in self._waiting:
            try:
                self._to_disk(parcel)
            except OSError:
                lost += 1
        why = f": {self._failed.strerror}" if self._failed else " in time"
        kept = f"They are kept in {self._spool.folder}, and sent when something is logged there again, or by  "
        logger.warning(
            "tb_layerview: %d of the log's objects could not be put into %s%s. %s.",
            len(self._waiting),
            self._folder,
            why,
            f"{kept}tb-layerview send" if not lost else f"{lost} of them are lost: {self.full and self.full.strerror}",
        )
        self._waiting.clear()

    def _to_disk(self, parcel: _Parcel) -> None:
        """Raises an OSError if there is no room."""
        if parcel.data is None:
            return
        try:
            parcel.file, parcel.data = self._spool.keep(parcel.name, parcel.data), None
        except OSError as error:
            self.full = error
            raise

    def _send(self, name: str, data: bytes, seconds: float | None = None) -> None:
        self._in_loop += self._store.put(self._folder / name, data, seconds)

    def _fail(self, error: OSError) -> None:
        with self._changed:
            is_first, self._failed = self._failed is None, error
            if not is_first or (self._is_over and self._is_closing):  # nobody waits any more: what is kept was said
                return
            logger.warning(
                "tb_layerview: %s takes nothing: %s. What is logged is kept in %s until it does; nothing waits for it.",
                self._folder,
                error.strerror,
                self._spool.folder,
            )
            for parcel in self._waiting:
                try:
                    self._to_disk(parcel)
                except OSError:  # which the next `put` raises; what is in memory is still sent
                    break

    # On the thread that sends.

    def _work(self) -> None:
        others = left_behind(self._store.put, self._folder.root)
        pause = _SOON
        while True:
            due = self._look_for_more()
            with self._changed:
                parcel = self._waiting[0] if self._waiting else None
                if self._is_over or (parcel is None and self._is_closing):
                    break
            try:
                if parcel is not None:
                    self._send(parcel.name, parcel.read())
                    self._has_sent(parcel)
                elif not self._sent_another(others):
                    self._wait(None if due is None else due - time.monotonic())
                pause = _SOON
            except OSError as error:
                self._fail(error)
                with self._changed:
                    if self._is_closing and not may_pass(error):
                        break
                    pause = _SOON if self._is_closing else min(2 * pause, _LATE)
                self._wait(pause, for_more=False)
            self.seconds = time.thread_time() + self._in_loop
        self._end()

    def _look_for_more(self) -> float | None:
        try:
            return self._look()
        except OSError:  # that nothing more can be kept: the next `put` raises it, where it is said
            return None

    def _has_sent(self, parcel: _Parcel) -> None:
        with self._changed:
            if self._is_over:  # it was given up, and is kept: it is sent twice
                return
            self._waiting.popleft()
            if parcel.file is not None:
                self._spool.drop(parcel.file)
            if self._failed:
                self._failed = None
                logger.info("tb_layerview: %s takes again what is logged.", self._folder)

    def _sent_another(self, others: Iterator[RemotePath]) -> bool:
        """Sends one object of those that others have left; whether there was one."""
        try:
            return next(others, None) is not None
        except OSError as error:
            logger.warning("tb_layerview: what is kept of an earlier log cannot be sent: %s.", error.strerror or error)
            return False

    def _wait(self, seconds: float | None, for_more: bool = True) -> None:
        """Waits so long, until it is closed, or until there is more to do if that is waited for."""
        with self._changed:
            is_closing = self._is_closing and not for_more

            def is_time() -> bool:
                has_more = for_more and (bool(self._waiting) or self._is_woken)
                return self._is_over or self._is_closing != is_closing or has_more

            self._changed.wait_for(is_time, seconds)
            self._is_woken = False
