"""One writer's objects in a store: an object is put whole and never again, so what grows is cut into parts."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable

from tb_layerview.format import names
from tb_layerview.format.places import RemotePath
from tb_layerview.format.remote_storage import RemoteStore
from tb_layerview.writing.files import AT_THE_END
from tb_layerview.writing.outbox import Outbox

#: A part is put once it has so many bytes, or is so many seconds old: each costs a request or two, whatever its size.
MOST_BYTES, OLDEST = 16 << 20, 30.0
#: The first parts are younger, twice as old each: when a training begins somebody looks.
_FIRST = 2.0
#: Seconds for which closing waits, and the end of a process for all that nobody has closed.
CLOSING, _EXITING = 60.0, 10.0


class Objects:
    """What one writer appends to, in a store; see `Files`.

    Payloads go into objects that are named by the byte at which they begin, events into numbered ones, each of which is
    a whole event file. Payloads are put first, and all in order: what an event refers to is there, and a reader that
    has gone on to the next object misses nothing.
    """

    def __init__(self, folder: RemotePath, store: RemoteStore, writer: str, event_name: Callable[[int], str]) -> None:
        """Puts nothing yet.

        Args:
          folder: Where the objects go.
          store: What puts them there.
          writer: The writer's id.
          event_name: The name of the part of that number.
        """
        self.payload_size = 0
        self._writer, self._event_name = writer, event_name
        self._lock = threading.RLock()  # a signal's handler may close what it has interrupted
        self._payloads: list[bytes] = []
        self._begins = 0  # the byte at which the payloads that are held begin
        self._events: list[bytes] = []
        self._head = b""
        self._part = self._held = 0
        self._due: float | None = None  # when what is held is old enough to be put
        self._outbox = Outbox(folder, store, writer, self._put_if_due)
        self._process = os.getpid()
        self._is_closed = False

    @property
    def seconds_beside(self) -> float:
        """See `Files`."""
        return self._outbox.seconds

    def add_payload(self, data: bytes) -> None:
        """See `Files`.

        Raises:
          OSError: It cannot be kept anywhere.
          ValueError: The log is closed, or that of the process from which this one was forked.
        """
        self._refuse_if_not_open()
        with self._lock:
            self._payloads.append(data)
            self.payload_size += len(data)
            self._hold(len(data))

    def add_event(self, record: bytes) -> None:
        """See `Files`. The first one, with which each part begins, is put at once, which says whether it may be.

        Raises:
          OSError: It cannot be kept anywhere.
          ValueError: The log is closed, or that of the process from which this one was forked.
        """
        self._refuse_if_not_open()
        if not self._part:
            self._outbox.begin(self._event_name(0), record)
            self._head, self._part = record, 1
            _open.add(self)
            return
        with self._lock:
            self._events.append(record)
            self._hold(len(record))
        self._put_if_due()
        if self._outbox.full:  # perhaps the thread that sends has found it out
            raise self._outbox.full

    def end(self, name: str) -> None:
        """See `Files`."""
        if self._is_ours and not self._is_closed:
            self._put()
            self._outbox.put(name, b"")

    def close(self, waits: bool = True) -> None:
        """See `Files`. Waits for the store, `CLOSING` seconds at most; what it has not taken by then is kept here.

        A forked process has no thread that sends, and leaves all to its parent.
        """
        if self._is_ours:
            try:
                self._finish(CLOSING if waits else 0.0)
            finally:
                if waits:
                    _open.discard(self)

    @property
    def _is_ours(self) -> bool:
        return os.getpid() == self._process

    def _refuse_if_not_open(self) -> None:
        if not self._is_ours:  # and its locks may be held for ever
            raise ValueError("write to the log of another process")
        if self._is_closed:
            raise ValueError("write to a closed log")

    def _finish(self, seconds: float) -> None:
        self._is_closed = True
        try:
            self._put()
        finally:
            self._outbox.close(seconds)

    def _finish_by(self, until: float) -> None:
        """Waits no longer than until then, by `time.monotonic`, and keeps here what is not sent."""
        self._finish(max(0.01, until - time.monotonic()))

    def _hold(self, nbytes: int) -> None:
        """Counts what was added, and puts it if that is enough for a part: a step may be larger than one."""
        self._held += nbytes
        if self._due is None:
            self._due = time.monotonic() + min(OLDEST, _FIRST * 2 ** min(self._part - 1, 16))
            self._outbox.wake()
        if self._held >= MOST_BYTES:
            self._put()

    def _put_if_due(self) -> float | None:
        """Puts what is held if it is old enough; when what is held then is, by `time.monotonic`."""
        with self._lock:
            due = self._due
        if due is not None and time.monotonic() >= due:
            self._put()
            return None
        return due

    def _put(self) -> None:
        """Hands over what is held; what an interrupt keeps from being handed over is still held.

        Raises:
          OSError: It cannot be kept anywhere, and is held no more.
        """
        with self._lock:  # also while it is handed over, as the order matters
            try:
                if self._payloads:
                    self._outbox.put(names.payload_name(self._writer, self._begins), b"".join(self._payloads))
                    self._payloads, self._begins = [], self.payload_size
                if self._events:
                    self._outbox.put(self._event_name(self._part), b"".join([self._head, *self._events]))
                    self._events, self._part = [], self._part + 1
            except OSError:
                self._payloads, self._events, self._begins = [], [], self.payload_size
                raise
            finally:
                if not self._payloads and not self._events:
                    self._held, self._due = 0, None


#: Those that nobody has closed.
_open: set[Objects] = set()


def _finish_all() -> None:
    """Closes all that nobody has closed when the process ends; they wait for the store at the same time."""
    until = time.monotonic() + _EXITING
    ours = [one for one in tuple(_open) if one._is_ours]  # a forked process has its parent's, too

    def wait_for(one: Objects) -> None:
        nonlocal until
        try:
            one._finish_by(until)
        except KeyboardInterrupt:  # who does not want to wait for one does not want to wait for the others either
            until = time.monotonic()
            raise

    with contextlib.ExitStack() as each:  # whatever becomes of the others; the last first
        for one in ours:
            each.callback(wait_for, one)
        for one in ours:
            each.callback(one._finish, 0.0)


AT_THE_END.append(_finish_all)
