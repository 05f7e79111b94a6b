"""Ports of the loopback device for servers that are started later, by other processes."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path

_OF_THE_SYSTEM = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST = 10_000


def free_ports(count: int) -> list[int]:
    """So many ports at which nobody listens, and which nobody is given meanwhile who asks the system for any (Linux).

    Processes that load TensorFlow first listen many seconds later.
    """
    end = int(_OF_THE_SYSTEM.read_text().split()[0]) if _OF_THE_SYSTEM.exists() else 0
    below = random.SystemRandom().sample(range(_FIRST, end), end - _FIRST) if end > _FIRST else []
    found = list[int]()
    with contextlib.ExitStack() as held:
        for port in [*below, *[0] * count]:  # where there are none below, as the system gives them
            one = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):  # somebody listens there
                one.bind(("127.0.0.1", port))
                found.append(one.getsockname()[1])
            if len(found) == count:
                return found
    raise OSError(f"there are no {count} free ports")
