"""Event files: the messages that a folder holds, read without TensorFlow.

TensorBoard's own reader imports TensorFlow wherever it is installed, so this module reads the files itself.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorboard.compat.proto import event_pb2

from tb_layerview.format import wire
from tb_layerview.format.framing import HEAD_SIZE, TAIL_SIZE, is_whole, length_of
from tb_layerview.format.names import PLUGIN_NAME
from tb_layerview.format.places import Place, Range, RemotePath
from tb_layerview.format.storage import store_of
from tb_layerview.reading.step_record import Message

# A step of 65,536 tensors takes 8 MB.
_MOST_BYTES = 32 << 20
_MOST_VALUES = 1 << 16
_SUMMARY = 5  # the field of an Event


def is_event_file(name: str) -> bool:
    """Whether a file of this name is an event file, by TensorBoard's own rule."""
    return "tfevents" in name


def read(path: str | os.PathLike[str] | RemotePath) -> tuple[dict[str, list[Message]], list[str]]:
    """Reads all whole messages of an event file that is perhaps still being written.

    Returns:
      By tag the messages in the order in which they were logged, and a sentence about each place that cannot be read.
    """
    place = path if isinstance(path, RemotePath) else Path(path)
    messages: dict[str, list[Message]] = {}
    problems: list[str] = []
    try:
        _read(place, store_of(place).open(place), messages, problems)
    except OSError as error:
        problems.append(_unreadable(place, error))
    return messages, problems


def _read(
    path: Place, opened: tuple[io.BufferedReader[Any], int], messages: dict[str, list[Message]], problems: list[str]
) -> None:
    """Adds what `read` gives.

    Raises:
      OSError: It cannot be read on.
    """
    for _, record in _records(path, opened, 0, problems):
        try:
            event = _parse(record)
        except (DecodeError, ValueError) as error:
            problems.append(f"{path} holds a record of {len(record)} bytes that is not an event: {error}")
            continue
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == PLUGIN_NAME and len(value.tensor.string_val) == 1:
                message = Message(event.step, event.wall_time, value.tensor.string_val[0])
                messages.setdefault(value.tag, []).append(message)


def read_folder(folder: Place, all_of_it: bool = False) -> tuple[dict[str, list[Message]], list[str]]:
    """What `read` gives, of all event files in a folder, those of earlier writers first.

    Args:
      folder: Where they lie.
      all_of_it: Whether what cannot be read, now, is no problem of the log's but an error.

    Raises:
      OSError: Something cannot be read, where all of it is asked for.
    """
    messages: dict[str, list[Message]] = {}
    problems: list[str] = []

    def fail(place: Place, error: OSError) -> None:
        if all_of_it:
            raise error
        problems.append(_unreadable(place, error))

    try:
        store, found = store_of(folder), _listed(folder)
    except OSError as error:
        fail(folder, error)
        return messages, problems
    files = [Range(folder / name, 0, size) for name, size in found.items()]
    for one, opened in zip(files, store.open_all(files)):
        try:
            if isinstance(opened, OSError):
                raise opened
            _read(one.file, opened, messages, problems)
        except OSError as error:
            fail(one.file, error)
    return messages, problems


class DamageCheck:
    """Checks the checksums of all event files in a folder, and again what was added to them.

    TensorBoard does not say what it could not read: its Python loader stops at a damaged record, and its Rust loader
    does not look at the checksums of records at all (TensorBoard 2.21).
    """

    def __init__(self, folder: Place) -> None:
        """Names the folder; checks nothing yet."""
        self._folder = folder
        self._ends: dict[str, int] = {}

    def finds_damage(self) -> bool:
        """Whether there is any damage in what was added since it was last asked.

        What cannot be read on this machine is damage, too.

        Raises:
          OSError: A store cannot be read, now.
        """
        problems: list[str] = []
        is_local = isinstance(self._folder, Path)
        found = _event_files(self._folder) if is_local else _listed(self._folder)
        starts = {name: self._ends.get(name, 0) for name in found}
        files = {name: Range(self._folder / name, starts[name], size - starts[name]) for name, size in found.items()}
        added = {name: one for name, one in files.items() if not one.offset == found[name] > 0 and one.length >= 0}
        for (name, one), opened in zip(added.items(), store_of(self._folder).open_all([*added.values()])):
            try:
                if isinstance(opened, OSError):
                    raise opened
                for end, _ in _records(one.file, opened, one.offset, problems):
                    self._ends[name] = end
            except OSError as error:
                if not is_local:
                    raise
                problems.append(_unreadable(one.file, error))
        return bool(problems)


def sizes(folder: Place) -> dict[str, int]:
    """How long the event files in a folder are, by their names."""
    return _event_files(folder)


def _event_files(folder: Place) -> dict[str, int]:
    """What `_listed` gives, or none if they cannot be listed."""
    try:
        return _listed(folder)
    except OSError:
        return {}


def _listed(folder: Place) -> dict[str, int]:
    """How long the event files in a folder are, by their names, in order; none if it was removed.

    Raises:
      OSError: They cannot be listed.
    """
    try:
        return dict(sorted(store_of(folder).files(folder, is_event_file).items()))
    except FileNotFoundError:
        return {}


def _unreadable(path: Place, error: OSError) -> str:
    return f"{path} cannot be read: {error.strerror or error}"


def _parse(record: bytes) -> event_pb2.Event:
    for number, content in wire.fields(record, _MOST_VALUES):
        if number == _SUMMARY:
            wire.count(content, _MOST_VALUES)
    event = event_pb2.Event()
    event.ParseFromString(record)
    return event


def _records(
    path: Place, opened: tuple[io.BufferedReader[Any], int], start: int, problems: list[str]
) -> Iterator[tuple[int, bytes]]:
    """Yields for each record the offset after it and its bytes; not a last one that is not wholly written yet.

    Raises:
      OSError: It cannot be read on.
    """
    file, size = opened
    with file:
        yield from _whole_records(file, size, path, start, problems)


def _whole_records(
    file: io.BufferedReader[Any], size: int, path: Place, start: int, problems: list[str]
) -> Iterator[tuple[int, bytes]]:
    at = start
    file.seek(start)
    while True:
        head = file.read(HEAD_SIZE)
        if len(head) < HEAD_SIZE:
            return
        length, is_undamaged = length_of(head)
        if not is_undamaged:
            problems.append(f"{path} is damaged at byte {at}; the {size - at} bytes from there on are not read")
            return
        at += HEAD_SIZE
        if at + length + TAIL_SIZE > size:
            return
        if length > _MOST_BYTES:
            problems.append(
                f"{path} has a record of {length} bytes at byte {at}, too long to be a step; it is left out"
            )
            at = file.seek(at + length + TAIL_SIZE)
            continue
        data, tail = file.read(length), file.read(TAIL_SIZE)
        if len(tail) < TAIL_SIZE:
            return  # it was cut off while it was read
        if is_whole(data, tail):
            yield at + length + TAIL_SIZE, data
        else:
            problems.append(f"{path} is damaged in the {length} bytes from byte {at} on; they are left out")
        at += length + TAIL_SIZE
