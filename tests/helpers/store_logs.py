"""Logs in stores, as people copy them there and as a writer puts them there, and what a server says of them."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import fsspec
import numpy as np
from serving import Reply, TensorBoardServer

from tb_layerview import Keep, LayerWriter
from tb_layerview.format.framing import HEAD_SIZE, TAIL_SIZE, length_of
from tb_layerview.format.names import payload_name


def put(folder: Path, address: str) -> None:
    """Copies a folder, as people do it with their own tools."""
    filesystem, path = fsspec.core.url_to_fs(address, skip_instance_cache=True, use_listings_cache=False)
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            filesystem.pipe_file(f"{path}/{file.relative_to(folder).as_posix()}", file.read_bytes())


KERNELS = np.random.default_rng(5).normal(size=(6, 40, 30)).astype(np.float32)


def log(logdir: Path | str, steps: int = 6) -> None:
    with LayerWriter(logdir, keep=Keep(precision="float32")) as writer:
        for step in range(steps):
            writer.write(step, {f"layer{i}": KERNELS[(step + i) % 6] for i in range(4)}, "weight")


def same(one: Any, other: Any) -> None:
    """Two runs are the same, whatever they were read from."""
    assert (one.name, one.writers) == (other.name, other.writers)
    same_content(one, other)


def same_content(one: Any, other: Any) -> None:
    """Two logs hold the same, whoever wrote them."""
    assert (one.problems, one.ended) == (other.problems, other.ended)
    np.testing.assert_array_equal(one.steps, other.steps)
    for statistic in ("rms", "max", "zero", "p95"):
        np.testing.assert_array_equal(one.statistics(statistic), other.statistics(statistic))
    for tensor in one.tensors:
        for step in one.steps:
            for section in ("values", "histogram", "units"):
                assert one.payload(section, tensor, int(step)) == other.payload(section, tensor, int(step))


def read_by_a_fork(read: Callable[[], np.ndarray]) -> bytes:
    """The bytes of what a forked process has read; empty where it waited for its parent's thread."""
    ours, its = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(120)
        try:
            os.write(its, read().tobytes())
        finally:
            os._exit(0)
    os.close(its)
    with open(ours, "rb") as answer:
        found = answer.read()
    os.waitpid(child, 0)
    return found


class Parts:
    """Puts what one writer has added to a folder `layers` since, as a part of its payloads and one of its events."""

    def __init__(self, folder: Path, address: str) -> None:
        """Both are the folders `layers`."""
        self._filesystem, self._path = fsspec.core.url_to_fs(
            address, skip_instance_cache=True, use_listings_cache=False
        )
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


def asked(server: TensorBoardServer, route: str, **arguments: Any) -> Any:
    reply = server.get(f"/data/plugin/layerview/{route}?{urlencode(arguments)}")
    assert reply.status == 200, reply.body
    return json.loads(reply.body) if reply.content_type == "application/json" else reply.body


def awaited(what: Callable[[], Any], seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.3)
    return found


def steps_of(server: TensorBoardServer, run: str) -> list[int]:
    runs = {one["run"] for one in asked(server, "runs")["runs"]}
    return asked(server, "steps", run=run)["steps"] if run in runs else []


def payload_of(server: TensorBoardServer, run: str, step: int, tensor: int = 1) -> Reply:
    """What the server answers for the values of a tensor, the second one if not given."""
    query = urlencode({"run": run, "tensor": tensor, "step": step, "section": "values"})
    return server.get(f"/data/plugin/layerview/payload?{query}")
