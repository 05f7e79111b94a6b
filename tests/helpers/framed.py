"""Answers that are JSON in front of bytes, taken apart."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from board import Client


def framed(client: Client, path: str) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """The JSON and the bytes of a route's answer."""
    data = client.bytes(path)
    (length,) = struct.unpack_from("<I", data)
    return json.loads(data[4 : 4 + length].decode()), np.frombuffer(data, np.uint8, offset=4 + length)


def pictures(head: dict[str, Any], levels: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
    """The pictures of each lane of `/thumbnails`, [count, height, width]."""
    sizes = [(lane["count"], lane["height"], lane["width"]) for lane in head["lanes"]]
    assert len(levels) == sum(int(np.prod(size)) for size in sizes)
    return [
        levels[lane["offset"] : lane["offset"] + int(np.prod(size))].reshape(size)
        for lane, size in zip(head["lanes"], sizes)
    ]
