"""What a folder holds already: the steps that a new writer would hide, found without reading the log.

Only the head of each record is looked at: its step, and whether it is a step at all. That takes some microseconds a
record, so it is done before the first step is logged.
"""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

from tb_layerview.format import wire
from tb_layerview.format.framing import HEAD_SIZE, TAIL_SIZE, length_of
from tb_layerview.format.names import EVENT_SUFFIX
from tb_layerview.format.storage import open_regular

# Looking at more of them takes more than half a second.
_MOST_RECORDS = 50_000
# The start of an Event, by the numbers of its fields: the wall time, the step where it is not 0, and the summary, in
# which the tag comes first.
_START = re.compile(
    rb"(?:\x09.{8})?(?:\x10([\x80-\xff]{0,9}[\x00-\x7f]))?\x2a.{1,24}?layers/[A-Za-z0-9._-]{1,128}/[0-9]{5,9}",
    re.DOTALL,
)
_LONGEST_START = 256


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


def earlier_steps(folder: Path) -> EarlierSteps | None:
    """The steps that the writers have logged into a folder `layers`; None if there is none.

    Raises:
      OSError: A file cannot be read.
    """
    found: EarlierSteps | None = None
    left = _MOST_RECORDS
    if not folder.is_dir():
        return None
    # A writer hides what was logged before it from its own first step on, so the newest one has the last step.
    for path in sorted(folder.glob(f"*tfevents*{EVENT_SUFFIX}")):
        steps, seen, is_whole = _steps_in(path, left)
        left -= seen
        if steps is not None:
            first = steps[0] if found is None else min(found.first, steps[0])
            found = EarlierSteps(first, steps[1], is_whole)
        if not is_whole:
            break
    return found


def _steps_in(path: Path, most: int) -> tuple[tuple[int, int] | None, int, bool]:
    """The smallest and the largest step in an event file, how many records were looked at, and whether at all."""
    low, high, seen, at = -1, -1, 0, 0
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        while at + HEAD_SIZE <= size and seen < most:
            file.seek(at)
            head = file.read(HEAD_SIZE + _LONGEST_START)
            if len(head) < HEAD_SIZE:
                break
            start = _START.match(head, HEAD_SIZE)
            if start is not None:
                step = wire.read_varint(start[1] or b"\0", 0)[0]
                low, high = step if low < 0 else min(low, step), max(high, step)
            seen += 1
            at += HEAD_SIZE + length_of(head)[0] + TAIL_SIZE
    return (None if low < 0 else (low, high)), seen, at + HEAD_SIZE > size
