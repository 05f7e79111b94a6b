"""What a folder holds already: the steps that a new writer would hide, and of what, found without reading the log.

Only the head of each record is looked at: its step, and whether it is a step at all. That takes some microseconds a
record, so it is done before the first step is logged.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple, cast

from google.protobuf.message import DecodeError

from tb_layerview.format import layerview_pb2 as pb
from tb_layerview.format import messages, wire
from tb_layerview.format.framing import HEAD_SIZE, TAIL_SIZE, is_whole, length_of
from tb_layerview.format.local_storage import open_regular
from tb_layerview.format.model import Mode
from tb_layerview.format.names import EVENT_SUFFIX
from tb_layerview.format.places import Place
from tb_layerview.format.storage import store_of

# Bytes of events that are fetched from a store: that takes a second or two.
_MOST_FETCHED = 8 << 20
# Objects of events that are looked at there.
_MOST_OBJECTS = 16
# Looking at more of them takes more than half a second.
_MOST_RECORDS = 50_000
# The start of an Event, by the numbers of its fields: the wall time, the step where it is not 0, and the summary, in
# which the tag comes first.
_START = re.compile(
    rb"(?:\x09.{8})?(?:\x10([\x80-\xff]{0,9}[\x00-\x7f]))?\x2a.{1,24}?layers/[A-Za-z0-9._-]{1,128}/[0-9]{5,9}",
    re.DOTALL,
)
_LONGEST_START = 256

# The first step of a file is read whole. Only the version and what is logged, perhaps anew, stand before it; a step of
# 65,536 tensors takes 8 MB and has far fewer parts.
_MOST_BEFORE = 8
_MOST_BYTES = 32 << 20
_MOST_PARTS = 1 << 16
# Where a step lies in its Event, by the numbers of the fields: summary, value, tensor, string_val.
_WAY_TO_STEP = (5, 1, 8, 8)
_MODES: dict[int, Mode] = {int(number): mode for mode, number in messages.MODES.items()}


@dataclasses.dataclass(frozen=True)
class EarlierSteps:
    """The steps that a folder shows.

    Attributes:
      first: The smallest.
      last: That of the newest writer which is the largest.
      is_all: Whether all records were looked at; else there may be later ones.
    """

    first: int
    last: int
    is_all: bool


def earlier_steps(folder: Place, files: Mapping[str, int] | None = None) -> EarlierSteps | None:
    """The steps that the writers have logged into a folder `layers`; None if there is none.

    Args:
      folder: Where their files lie.
      files: How long they are, by their names, if that is known already.

    Raises:
      OSError: A file cannot be read.
    """
    found: EarlierSteps | None = None
    if files is None:
        try:
            files = store_of(folder).files(folder)
        except FileNotFoundError:
            return None
    records, left = _MOST_RECORDS, _MOST_FETCHED
    names = _event_files(files)
    if not isinstance(folder, Path):  # each is a request: of many, the first and the last say what is asked
        names = names if len(names) <= _MOST_OBJECTS else [*names[:4], *names[4 - _MOST_OBJECTS :]]
    # A writer hides what was logged before it from its own first step on, so the newest one has the last step.
    for name in names:
        left -= 0 if isinstance(folder, Path) else files[name]
        if left < 0:
            return found and dataclasses.replace(found, is_all=False)
        steps, seen, is_whole = _steps_in(folder / name, records)
        records -= seen
        if steps is not None:
            first = steps[0] if found is None else min(found.first, steps[0])
            found = EarlierSteps(first, steps[1], is_whole)
        if not is_whole:
            break
    return found


def first_modes(folder: Place) -> Iterator[Mode]:
    """The mode of the first step in each event file of a folder `layers`; files without a readable step give none."""
    try:
        files = store_of(folder).files(folder)
    except OSError:
        return
    names = _event_files(files)
    for name in names if isinstance(folder, Path) else names[:_MOST_OBJECTS]:
        mode = _first_mode(folder / name)
        if mode is not None:
            yield mode


def _event_files(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if "tfevents" in name and name.endswith(EVENT_SUFFIX))


class _Head(NamedTuple):  # of which there are many: a dataclass takes three times as long to make
    """What stands before a record, and how the record begins.

    Attributes:
      at: Where the record begins.
      length: How many bytes it says to have.
      is_undamaged: Whether the checksum of that is right.
      step: The record's step, if it is one of a layer log; else None.
    """

    at: int
    length: int
    is_undamaged: bool
    step: int | None


@contextlib.contextmanager
def _opened(file: Place) -> Iterator[tuple[IO[bytes], int]]:
    """An event file and how long it is. One of this machine is not read ahead: only the heads of records are wanted."""
    if isinstance(file, Path):
        with open_regular(file) as raw:
            yield cast("IO[bytes]", raw), os.fstat(raw.fileno()).st_size
    else:
        buffered, size = store_of(file).open(file)
        with buffered:
            yield buffered, size


def _heads(file: IO[bytes], size: int) -> Iterator[_Head]:
    """The heads of an event file's records, up to the last one that is wholly there."""
    at = 0
    while at + HEAD_SIZE <= size:
        file.seek(at)
        head = file.read(HEAD_SIZE + _LONGEST_START)
        if len(head) < HEAD_SIZE:
            return
        length, is_undamaged = length_of(head)
        start = _START.match(head, HEAD_SIZE)
        step = None if start is None else wire.read_varint(start[1] or b"\0", 0)[0]
        yield _Head(at + HEAD_SIZE, length, is_undamaged, step)
        at += HEAD_SIZE + length + TAIL_SIZE


def _steps_in(path: Place, most: int) -> tuple[tuple[int, int] | None, int, bool]:
    """The smallest and the largest step in an event file, how many records were looked at, and whether at all."""
    low, high, seen = -1, -1, 0
    with _opened(path) as (file, size):
        for head in _heads(file, size):
            if seen == most:
                return (None if low < 0 else (low, high)), seen, False
            seen += 1
            step = head.step
            if step is not None:
                low, high = step if low < 0 else min(low, step), max(high, step)
    return (None if low < 0 else (low, high)), seen, True


def _first_mode(path: Place) -> Mode | None:
    """The mode of the first undamaged step in an event file; None if there is none or the file cannot be read."""
    seen = 0
    try:
        with _opened(path) as (file, size):
            for head in _heads(file, size):
                if not head.is_undamaged:
                    return None  # nobody knows where the next record begins
                mode = _mode_at(file, head) if head.step is not None else None
                seen += 1
                if mode is not None or seen == _MOST_BEFORE:
                    return mode
    except OSError:
        return None
    return None


def _mode_at(file: IO[bytes], head: _Head) -> Mode | None:
    """The mode of a step; None if the record is damaged or is no step."""
    if head.length > _MOST_BYTES:
        return None
    file.seek(head.at)
    record, tail = file.read(head.length), file.read(TAIL_SIZE)
    if len(tail) < TAIL_SIZE or not is_whole(record, tail):
        return None
    try:
        for number in _WAY_TO_STEP:
            record = next((content for found, content in wire.fields(record, _MOST_PARTS) if found == number), b"")
        messages.check(record)
        wire.count(record, _MOST_PARTS)
        return _MODES.get(pb.StepRecord.FromString(record).mode)
    except (DecodeError, ValueError):
        return None
