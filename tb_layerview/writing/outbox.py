"""What is on its way to a store: sent in order, on a thread of its own, and kept here while the store takes nothing."""

from __future__ import annotations

import collections
import dataclasses
import errno
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from tb_layerview.about import logger
from tb_layerview.format.places import RemotePath
from tb_layerview.format.remote_storage import WRITING, RemoteStore, may_pass
from tb_layerview.writing.spool import Spool, left_behind

#: Bytes that wait in memory; more of them wait on disk.
_MOST_HELD = 64 << 20
#: Seconds between two attempts: at first, and at most.
_SOON, _LATE = 1.0, 30.0
#: Seconds that 8 MB may take at last, where a store has given no answer within fewer.
_LONGEST = 480.0
#: Seconds for the first object, for which a training waits.
_FIRST = 10.0


@dataclasses.dataclass
class _Parcel:
    """An object that is to be put: in memory, or in a file."""

    name: str
    data: bytes | None
    file: Path | None = None
    since: float = dataclasses.field(default_factory=time.monotonic)

    def read(self) -> bytes:
        data = self.data  # another thread may write it to disk meanwhile
        if data is not None:
            return data
        assert self.file is not None
        return self.file.read_bytes()


class _Others:
    """What others have left for the same store.

    Attributes:
      again: When it is tried again, by `time.monotonic`; None if it is not to be.
    """

    def __init__(self, store: RemoteStore, folder: RemotePath) -> None:
        self.again: float | None = None
        self._store, self._folder = store, folder
        self._left: Iterator[RemotePath | None] | None = None
        self._has_failed = False

    def send_one(self) -> bool:
        """Sends one object, if it is time; whether there was one."""
        if self.again is not None and time.monotonic() < self.again:
            return False
        if self._left is None:
            self._left = left_behind(self._store.put, self._folder.root)
        try:
            sent = next(self._left, self) is not self
            self.again = None
        except OSError as error:
            sent, self._left = False, iter(())
            if not self._has_failed:
                why = error.strerror or error
                logger.warning("tb_layerview: what is kept of an earlier log cannot be sent: %s.", why)
            self._has_failed = True
            if may_pass(error):
                self._left, self.again = None, time.monotonic() + _LATE
        return sent

    def close(self) -> None:
        """Lets others send what is still there."""
        if isinstance(self._left, Generator):
            self._left.close()


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
        self._level = logging.WARNING  # at which that is said
        self._is_woken = self._is_closing = False
        self._is_over = True  # there is no thread yet
        self._others = _Others(store, folder)
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
            self._waiting.append(_Parcel(name, data))
            has_no_room = sum(len(parcel.data or b"") for parcel in self._waiting) > _MOST_HELD
            if self._failed or has_no_room or time.monotonic() - self._waiting[0].since > WRITING:
                error = self._keep_here()
                if error and has_no_room:
                    self._waiting.pop()
                    self.full = error
                    raise error
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
                try:
                    self._changed.wait_for(lambda: self._is_over, seconds)
                finally:  # also when a person does not want to wait
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
        error = self._keep_here()
        lost = sum(parcel.data is not None for parcel in self._waiting)
        why = f": {self._failed.strerror}" if self._failed else " in time"
        kept = f"They are kept in {self._spool.folder}, and sent when something is logged there again, or by  "
        logger.warning(
            "tb_layerview: %d of the log's objects could not be put into %s%s. %s.",
            len(self._waiting),
            self._folder,
            why,
            f"{kept}tb-layerview send" if not error else f"{lost} of them are lost: {error.strerror}",
        )
        self._waiting.clear()

    def _keep_here(self) -> OSError | None:
        """Writes all that waits to disk, the first first: what a process leaves that is killed has no gaps.

        Returns:
          Why some of it cannot be kept there, if so.
        """
        for parcel in self._waiting:
            if parcel.data is not None:
                try:
                    parcel.file = self._spool.keep(parcel.name, parcel.data)
                except OSError as error:
                    return error
                parcel.data = None
        return None

    def _send(self, name: str, data: bytes, seconds: float | None = None) -> None:
        self._in_loop += self._store.put(self._folder / name, data, seconds)

    def _fail(self, error: OSError) -> None:
        with self._changed:
            is_first, self._failed = self._failed is None, error
            if not is_first or (self._is_over and self._is_closing):  # nobody waits any more: what is kept was said
                return
            full = self._keep_here()
            here = f"What is logged is kept in {self._spool.folder} until it does"
            if full:
                here = f"What is logged is kept in memory until it does, {_MOST_HELD >> 20} MB of it: {full.strerror}"
            # Once: a store that fails now and then would fill the screen.
            level, self._level = self._level, logging.INFO
            said = "tb_layerview: %s takes nothing: %s. %s; nothing waits for it."
            logger.log(level, said, self._folder, error.strerror, here)

    # On the thread that sends.

    def _work(self) -> None:
        try:
            self._send_all()
        except BaseException as error:
            with self._changed:
                self.full = OSError(errno.EIO, f"the thread that sends has failed: {type(error).__name__}")
            raise
        finally:
            self._others.close()
            self._end()

    def _send_all(self) -> None:
        pause, patience = _SOON, WRITING
        while True:
            due = self._look_for_more()
            with self._changed:
                parcel = self._waiting[0] if self._waiting else None
                if self._is_over or (parcel is None and self._is_closing):
                    return
            try:
                if parcel is not None:
                    self._send_parcel(parcel, patience)
                    patience = WRITING
                elif not self._others.send_one():
                    due = min((at for at in (due, self._others.again) if at is not None), default=None)
                    self._wait(None if due is None else due - time.monotonic())
                pause = _SOON
            except OSError as error:
                self._fail(error)
                if error.errno == errno.ETIMEDOUT:  # the way to it may be slow
                    patience = min(2 * patience, _LONGEST)
                with self._changed:
                    if self._is_closing and not may_pass(error):
                        return
                    pause = _SOON if self._is_closing else min(2 * pause, _LATE)
                self._wait(pause, for_more=False)
            self.seconds = time.thread_time() + self._in_loop

    def _send_parcel(self, parcel: _Parcel, patience: float) -> None:
        """Puts what is first, and lets go of it; what is kept here no more is let go of with a warning."""
        try:
            data = parcel.read()
        except FileNotFoundError:
            data = None
            logger.warning("tb_layerview: %s is gone before it was sent to %s.", parcel.file, self._folder)
        if data is not None:
            self._send(parcel.name, data, patience)
        with self._changed:
            if self._is_over:  # it was given up, and is kept: it is sent twice
                return
            self._waiting.popleft()
            if parcel.file is not None:
                self._spool.drop(parcel.file)
            if self._failed and data is not None:
                self._failed = None
                logger.info("tb_layerview: %s takes again what is logged.", self._folder)

    def _look_for_more(self) -> float | None:
        try:
            return self._look()
        except OSError:  # that nothing more can be kept: the next `put` raises it, where it is said
            return None

    def _wait(self, seconds: float | None, for_more: bool = True) -> None:
        """Waits so long, until it is closed, or until there is more to do if that is waited for."""
        with self._changed:
            is_closing = self._is_closing and not for_more

            def is_time() -> bool:
                has_more = for_more and (bool(self._waiting) or self._is_woken)
                return self._is_over or self._is_closing != is_closing or has_more

            self._changed.wait_for(is_time, seconds)
            self._is_woken = False
