"""What a log's things are called on disk and in event files, and how a name is read back."""

from __future__ import annotations

import re

PLUGIN_NAME = "layerview"
#: The folder below a log folder that holds what is logged.
FOLDER = "layers"
#: How the names of the event files end that are written here.
EVENT_SUFFIX = ".layerview"


def payload_name(writer: str, start: int = 0) -> str:
    """The name of the file that holds a writer's payloads; in a store, of those from a byte on, up to the next such."""
    return f"layerview.{writer}.{start:015d}.payload" if start else f"layerview.{writer}.payload"


def payload_start(name: str, writer: str) -> int | None:
    """Where among a writer's payloads those of a file begin; None if it holds none of them."""
    found = re.fullmatch(rf"layerview\.{re.escape(writer)}(?:\.([0-9]{{15}}))?\.payload", name)
    return None if found is None else int(found[1] or 0)


def event_name(now: int, host: str, writer: str, part: int | None = None) -> str:
    """The name of a writer's event file, or of one of its parts, which sort in their order.

    Args:
      now: When the writer began, in nanoseconds since 1970.
      host: The name of the machine.
      writer: The writer's id.
      part: Which part, from 0 on; None where there is one file.
    """
    number = "" if part is None else f".{part:06d}"
    return f"events.out.tfevents.{now // 10**9}.{host}.{writer}{number}{EVENT_SUFFIX}"


def end_name(writer: str) -> str:
    """The name of the empty file that says that a writer is done: the last step that it logged is the last."""
    return f"layerview.{writer}.end"


def model_tag(writer: str) -> str:
    """The tag of a writer's Model."""
    return f"layers/{writer}/model"


def shard_tag(writer: str, shard: int) -> str:
    """The tag of a writer's StepRecords of one shard."""
    return f"layers/{writer}/{shard:05d}"


#: The folder below a run's that holds its replays, and the end of their run's name.
REPLAY_FOLDER = "replay"


def replay_name(run: str) -> str:
    """The name of the run that holds a run's replays."""
    return REPLAY_FOLDER if run == "." else f"{run}/{REPLAY_FOLDER}"


#: The tags of a layer log: the writer's id, then what the message is. An id is part of a file's name, so nothing in it
#: may lead out of a folder.
TAG = re.compile(r"layers/([A-Za-z0-9][A-Za-z0-9._-]{0,127})/(model|[0-9]{5,9})")
