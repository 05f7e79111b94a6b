"""Where one writer's bytes go: the two files that it has on this machine, and what else can stand for them."""

from __future__ import annotations

import contextlib
import errno
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

# A step's payloads without values go out at once: in pieces of Python's 8 KB they take a tenth longer to write.
_PAYLOAD_BUFFER = 1 << 18

#: What is called when the process ends, after whatever closes logs then.
AT_THE_END: list[Callable[[], None]] = []


def _end() -> None:
    for each in AT_THE_END:
        each()


# The first is called last, and who closes a log then has come later: see `weakref.finalize`.
weakref.finalize(_end, _end)


class Files(Protocol):
    """What one writer appends to, on one thread at a time.

    Attributes:
      payload_size: Bytes of payloads so far.
    """

    payload_size: int

    @property
    def seconds_beside(self) -> float:
        """Seconds of processors that other threads of its own have taken."""

    def add_payload(self, data: bytes) -> None:
        """Appends to the payloads; what is there may be known only once an event is."""

    def add_event(self, record: bytes) -> None:
        """Appends a whole record to the events, after all payloads so far.

        Raises:
          OSError: It cannot be kept anywhere.
        """

    def end(self, name: str) -> None:
        """Makes an empty file of that name, after all that was added."""

    def close(self, waits: bool = True) -> None:
        """Closes all; may be called twice.

        Args:
          waits: Whether to return only when what was added has arrived.
        """


class LocalFiles:
    """Two files of a folder on this machine.

    Payload bytes are flushed before the event that refers to them, so what an event refers to is there, and each event
    returns after the operating system has the bytes: they outlive the process.
    """

    seconds_beside = 0.0

    def __init__(self, folder: Path, payload_name: str, event_name: str) -> None:
        """Makes both files.

        Raises:
          OSError: They cannot be made, or are there.
        """
        self.payload_size = 0
        self._folder = folder
        with contextlib.ExitStack() as opened:
            self._payload = opened.enter_context(open(folder / payload_name, "xb", _PAYLOAD_BUFFER))
            self._events = opened.enter_context(open(folder / event_name, "xb"))
            self._opened = _open_folder(folder, opened)
            self._files = opened.pop_all()
        weakref.finalize(self, self._files.close).atexit = False  # as files are that nobody closes
        self._is_linked = os.fstat(self._events.fileno()).st_nlink > 0  # not every file system counts

    def add_payload(self, data: bytes) -> None:
        """See `Files`."""
        self.payload_size += self._payload.write(data)

    def add_event(self, record: bytes) -> None:
        """See `Files`."""
        self._payload.flush()
        self._events.write(record)
        self._events.flush()
        if self._is_linked and not os.fstat(self._events.fileno()).st_nlink:
            raise FileNotFoundError(
                errno.ENOENT, "the log's files were removed while it was written", str(self._folder)
            )

    def end(self, name: str) -> None:
        """See `Files`."""
        if self._opened is None:
            (self._folder / name).touch()
        else:  # which may have another name by now
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o666, dir_fd=self._opened))

    def close(self, waits: bool = True) -> None:
        """See `Files`. Closes both files and the folder, each whatever becomes of the others."""
        del waits
        self._files.close()


def _open_folder(folder: Path, opened: contextlib.ExitStack) -> int | None:
    """The folder as it is found whatever it is called later, until `opened` is closed; None where there is no such."""
    if os.open not in os.supports_dir_fd:  # Windows, where it cannot be renamed meanwhile
        return None
    found = os.open(folder, os.O_RDONLY)
    opened.callback(os.close, found)
    return found
