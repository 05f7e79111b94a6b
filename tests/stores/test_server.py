"""TensorBoard on a log in S3: statistics, pictures and what is logged later, by few requests."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import fsspec
import numpy as np
from serving import TensorBoardServer

from tb_layerview import Keep, LayerWriter
from tb_layerview.reading.reader import LayerReader

KERNELS = np.random.default_rng(5).normal(size=(8, 40, 30)).astype(np.float32)


def put(folder: Path, address: str) -> None:
    filesystem, path = fsspec.core.url_to_fs(address, skip_instance_cache=True, use_listings_cache=False)
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            filesystem.pipe_file(f"{path}/{file.relative_to(folder).as_posix()}", file.read_bytes())


def asked(server: TensorBoardServer, route: str, **arguments: Any) -> Any:
    reply = server.get(f"/data/plugin/layerview/{route}?{urlencode(arguments)}")
    assert reply.status == 200, reply.body
    return json.loads(reply.body) if reply.content_type == "application/json" else reply.body


def awaited(what: Callable[[], Any], seconds: float = 40) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.3)
    return found


def steps_of(server: TensorBoardServer, run: str) -> list[int]:
    runs = {one["run"] for one in asked(server, "runs")["runs"]}
    return asked(server, "steps", run=run)["steps"] if run in runs else []


def test_tensorboard_shows_a_log_in_s3_and_what_is_added_to_it(
    tmp_path: Path, s3: Any, tensorboard_server: Callable[..., TensorBoardServer]
) -> None:
    with LayerWriter(tmp_path / "run", keep=Keep(precision="float32")) as writer:
        for step in range(4):
            writer.write(step, {f"layer{i}": KERNELS[step + i] for i in range(3)}, "weight")
        put(tmp_path, f"{s3.address}/logs")
        server = tensorboard_server(f"{s3.address}/logs", "--reload_interval=1")
        assert awaited(lambda: len(steps_of(server, "run")) == 4)
        assert asked(server, "run", run="run")["folder"] == "s3://bucket/logs/run"
        s3.requests.clear()
        payload = asked(server, "payload", run="run", tensor=1, step=2, section="values")
        run = LayerReader(tmp_path).run("run")
        assert payload == run.payload("values", run.tensors[1], 2)
        piece = run.piece("values", run.tensors[1], 2)
        assert [part for path, part in s3.gets() if path.endswith(".payload")] == [
            f"bytes={piece.offset}-{piece.offset + piece.length - 1}"
        ]
        # What an event file that was put again has more of is read, and its payload too.
        writer.write(9, {"layer0": KERNELS[7]}, "weight")
        put(tmp_path, f"{s3.address}/logs")
        assert awaited(lambda: steps_of(server, "run")[-1:] == [9])
        later = asked(server, "payload", run="run", tensor=0, step=9, section="values")
        run = LayerReader(tmp_path).run("run")
        assert later == run.payload("values", run.tensors[0], 9)


def test_what_may_not_be_read_is_said_and_all_else_is_shown(
    tmp_path: Path, s3: Any, tensorboard_server: Callable[..., TensorBoardServer]
) -> None:
    with LayerWriter(tmp_path / "run") as writer:
        writer.write(0, {"a": KERNELS[0]}, "weight")
    put(tmp_path, f"{s3.address}/logs")
    (file,) = (tmp_path / "run" / "layers").glob("*.payload")
    fsspec.filesystem("s3").rm(f"bucket/logs/run/layers/{file.name}")
    server = tensorboard_server(f"{s3.address}/logs", "--reload_interval=1")
    assert awaited(lambda: steps_of(server, "run") == [0])
    reply = server.get("/data/plugin/layerview/payload?run=run&tensor=0&step=0&section=values")
    assert reply.status >= 400 and f"s3://bucket/logs/run/layers/{file.name} is missing" in reply.body.decode()
    assert "not-to-be-told" not in reply.body.decode() + server.log.read_text()
