"""What was made lately, within a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

_T = TypeVar("_T")
_ENTRY = 300  # bytes that an entry takes besides what it holds


class Lru(Generic[_T]):
    """Keeps what is put into it, and forgets what was not asked for longest. May be used from many threads."""

    def __init__(self, most: int) -> None:
        """Holds so many bytes at most."""
        self._most, self._total = most, 0
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, tuple[_T, int]] = OrderedDict()

    def get(self, key: Hashable) -> _T | None:
        """What was put in under a key, or None if it is not there any more."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key][0]

    def put(self, key: Hashable, value: _T, size: int) -> None:
        """Keeps a value of so many bytes."""
        with self._lock:
            self._total -= self._entries.pop(key, (value, 0))[1]
            self._entries[key] = value, size + _ENTRY
            self._total += size + _ENTRY
            while self._total > self._most and self._entries:
                self._total -= self._entries.popitem(last=False)[1][1]

    @property
    def total(self) -> int:
        """Bytes that are held."""
        return self._total
