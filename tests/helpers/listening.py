"""Where a process and those that it has started listen (Linux)."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

_LISTEN = "0A"


def processes(pid: int) -> list[int]:
    """A process and all that come from it."""
    parents: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = status.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents.setdefault(int(after_name[1]), []).append(int(status.parent.name))
    found = [pid]
    for one in found:
        found.extend(parents.get(one, ()))
    return found


def addresses(pid: int) -> set[str]:
    """The addresses at which a process or one of those that it has started listens by TCP."""
    inodes = set()
    for one in processes(pid):
        for file in Path(f"/proc/{one}/fd").iterdir():
            try:
                inodes.update(re.findall(r"socket:\[(\d+)\]", os.readlink(file)))
            except OSError:  # it was closed
                continue
    found = set()
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN and fields[9] in inodes:
                words = bytes.fromhex(fields[1].partition(":")[0])
                in_order = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
                found.add(socket.inet_ntop(family, in_order))
    return found
