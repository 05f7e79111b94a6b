"""Logs as a writer puts them into a store: what grows is cut into objects, each of which is put once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
from tensorboard.compat.proto import event_pb2

from tb_layerview.format.framing import HEAD_SIZE, TAIL_SIZE, framed, length_of
from tb_layerview.format.names import payload_name


def put(folder: Path, address: str) -> None:
    """Copies a folder, as people do it with their own tools."""
    filesystem, path = fsspec.core.url_to_fs(address, skip_instance_cache=True, use_listings_cache=False)
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            filesystem.pipe_file(f"{path}/{file.relative_to(folder).as_posix()}", file.read_bytes())


class Parts:
    """Puts what one writer has added to a folder `layers` since, as a part of its payloads and one of its events."""

    def __init__(self, folder: Path, address: str) -> None:
        """Both are the folders `layers`."""
        self._filesystem, self._path = fsspec.core.url_to_fs(address, skip_instance_cache=True, use_listings_cache=False)
        (self._events,) = folder.glob("events.*.layerview")
        self._writer = self._events.name.removesuffix(".layerview").rpartition(".")[2]
        self._payloads = folder / payload_name(self._writer)
        self._sent, self._read = 0, 0
        #: The names of all that was put.
        self.names: list[str] = []

    def send(self) -> None:
        """Payloads first."""
        payloads = self._payloads.read_bytes()[self._sent :]
        if payloads:
            self._put(payload_name(self._writer, self._sent), payloads)
            self._sent += len(payloads)
        head, rest = self._added()
        number = sum("tfevents" in name for name in self.names)
        name = re.sub(r"\.layerview$", f".{number:06d}.layerview", self._events.name)
        self._put(name, (b"" if number == 0 else head) + rest)

    def _added(self) -> tuple[bytes, bytes]:
        data = self._events.read_bytes()
        length, _ = length_of(data[:HEAD_SIZE])
        added, self._read = data[self._read :], len(data)
        return data[: HEAD_SIZE + length + TAIL_SIZE], added

    def _put(self, name: str, data: bytes) -> None:
        self._filesystem.pipe_file(f"{self._path}/{name}", data)
        self.names.append(name)
