"""TensorBoard on a log in S3: statistics, pictures and what is logged later, by few requests."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
from serving import TensorBoardServer
from store_logs import Parts, asked, awaited, payload_of, put, steps_of

from tb_layerview import Keep, LayerWriter
from tb_layerview.reading.reader import LayerReader

KERNELS = np.random.default_rng(5).normal(size=(8, 40, 30)).astype(np.float32)


def kernels(step: int) -> dict[str, np.ndarray]:
    return {f"layer{i}": KERNELS[(step + i) % 8] for i in range(3)}


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


def test_a_run_that_grows_by_parts_is_followed_by_few_requests(
    tmp_path: Path, s3: Any, tensorboard_server: Callable[..., TensorBoardServer]
) -> None:
    folder = tmp_path / "run" / "layers"
    with LayerWriter(tmp_path / "run", keep=Keep(precision="float32")) as writer:
        writer.write(0, kernels(0), "weight")
        parts = Parts(folder, f"{s3.address}/logs/run/layers")
        parts.send()
        server = tensorboard_server(f"{s3.address}/logs", "--reload_interval=1")
        assert awaited(lambda: steps_of(server, "run") == [0])
        for step in range(1, 6):
            writer.write(step, kernels(step), "weight")
            parts.send()
        assert awaited(lambda: steps_of(server, "run") == [0, 1, 2, 3, 4, 5])
        run = LayerReader(tmp_path).run("run")
        for step in range(6):
            assert payload_of(server, "run", step).body == run.payload("values", run.tensors[1], step)
        events = {name for name in parts.names if "tfevents" in name}
        awaited(lambda: asked(server, "runs") and events <= {*read_of(s3)})  # all of them are checked
        # What was read once is not asked for again, and a list of the folder is all that there is each 5 seconds.
        s3.forget()
        began = time.monotonic()
        while time.monotonic() - began < 11:
            assert asked(server, "runs")["runs"][0]["last_step"] == 5 and asked(server, "run", run="run")
            time.sleep(0.5)
        assert set(s3.ours) == {("GET", "/bucket", "")} and len(s3.ours) <= 1 + (time.monotonic() - began) // 5
        s3.forget()
        writer.write(6, kernels(6), "weight")
        parts.send()
        assert awaited(lambda: steps_of(server, "run")[-1:] == [6])
        awaited(lambda: asked(server, "runs") and read_of(s3))
        for _ in range(4):
            asked(server, "runs")
            time.sleep(0.5)
        assert read_of(s3) == [parts.names[-1]]  # for its checksums
        # A part that is missing is named, once it is asked for; what lies in others is shown.
        fsspec.filesystem("s3").rm(f"bucket/logs/run/layers/{parts.names[4]}")
        reply = payload_of(server, "run", 2, tensor=0)
        assert f"s3://bucket/logs/run/layers/{parts.names[4]} is missing" in reply.body.decode()
        assert payload_of(server, "run", 3, tensor=0).status == 200 and steps_of(server, "run") == [*range(7)]


def read_of(s3: Any) -> list[str]:
    """The names of the objects that were read, but not by TensorBoard itself."""
    return [path.rpartition("/")[2] for method, path, _ in s3.ours if method == "GET" and path.count("/") > 1]


def test_a_part_that_comes_late_is_shown(
    tmp_path: Path, s3: Any, tensorboard_server: Callable[..., TensorBoardServer]
) -> None:
    """A writer that could not send it is followed by another, whose names sort behind; TensorBoard does not go back."""
    address = f"{s3.address}/logs/run/layers"
    with LayerWriter(tmp_path / "a", keep=Keep(precision="float32")) as first:
        first.write(0, kernels(0), "weight")
        early = Parts(tmp_path / "a" / "layers", address)
        early.send()
        first.write(1, kernels(1), "weight")
    time.sleep(1.1)  # the names say the second
    with LayerWriter(tmp_path / "b", keep=Keep(precision="float32")) as second:
        second.write(2, kernels(2), "weight")
        later = Parts(tmp_path / "b" / "layers", address)
        later.send()
        server = tensorboard_server(f"{s3.address}/logs", "--reload_interval=1")
        assert awaited(lambda: steps_of(server, "run") == [0, 2])
        # The folder was looked at, and what was found there is known once it is looked at again.
        awaited(lambda: asked(server, "runs") and s3.ours.count(("GET", "/bucket", "")) >= 2)
        early.send()
        assert awaited(lambda: steps_of(server, "run") == [0, 1, 2])
        assert payload_of(server, "run", 1).status == 200
        second.write(3, kernels(3), "weight")
        later.send()
        assert awaited(lambda: steps_of(server, "run") == [0, 1, 2, 3])
        assert LayerReader(f"{s3.address}/logs").run("run").steps.tolist() == [0, 1, 2, 3]


def test_damage_in_a_part_hides_no_other_part(
    tmp_path: Path, s3: Any, tensorboard_server: Callable[..., TensorBoardServer]
) -> None:
    with LayerWriter(tmp_path / "run", keep=Keep(precision="float32")) as writer:
        for step in range(4):
            writer.write(step, kernels(step), "weight")
            if step == 0:
                parts = Parts(tmp_path / "run" / "layers", f"{s3.address}/logs/run/layers")
            parts.send()
    name = next(name for name in parts.names if name.endswith(".000001.layerview"))
    key = f"bucket/logs/run/layers/{name}"
    filesystem = fsspec.filesystem("s3", skip_instance_cache=True)
    data = bytearray(filesystem.cat_file(key))
    data[-40] ^= 0xFF
    filesystem.pipe_file(key, bytes(data))
    server = tensorboard_server(f"{s3.address}/logs", "--reload_interval=1")
    assert awaited(lambda: steps_of(server, "run") == [0, 2, 3])
    (problem,) = awaited(lambda: asked(server, "run", run="run")["notes"])
    assert re.search(rf"s3://{re.escape(key)} is damaged in the .* bytes from byte", problem)


def test_several_logs_by_name_and_odd_names_are_read_where_they_lie(
    tmp_path: Path, s3: Any, tensorboard_server: Callable[..., TensorBoardServer]
) -> None:
    with LayerWriter(tmp_path / "run", keep=Keep(precision="float32")) as writer:
        writer.write(3, kernels(3), "weight")
    for name in ("logs/one", "more/a b [x] lr=0.1 #1 %25 ü", "more/a?b=2", "more/../secret"):
        put(tmp_path / "run", f"{s3.address}/{name}")
    fsspec.filesystem("s3").pipe_file("bucket/more/of-a-console/", b"")
    spec = f"x:{s3.address}/logs,y:{s3.address}/more/,z:{tmp_path}/run"
    s3.forget()
    server = tensorboard_server("", f"--logdir_spec={spec}", "--reload_interval=1")
    names = {"x/one", "y/a b [x] lr=0.1 #1 %25 ü", "y/a?b=2", "y/../secret", "z"}
    assert awaited(lambda: {one["run"] for one in asked(server, "runs")["runs"]} == names)
    run = LayerReader(tmp_path).run("run")
    for name in sorted(names - {"y/../secret"}):
        assert payload_of(server, name, 3).body == run.payload("values", run.tensors[1], 3)
    assert asked(server, "run", run="x/one")["folder"] == "s3://bucket/logs/one"
    assert asked(server, "run", run="y/a?b=2")["folder"] == "s3://bucket/more/a?b=2"
    # An object of that name is one in the log, but a way out of it to whatever takes its name for a path.
    assert asked(server, "run", run="y/../secret")["folder"] is None
    assert payload_of(server, "y/../secret", 3).status == 410
    assert not [path for _, path, _ in s3.ours if "secret" in path]
    assert {one.name for one in LayerReader(f"{s3.address}/more").runs()} >= {"a?b=2", "a b [x] lr=0.1 #1 %25 ü"}


def test_a_store_that_hangs_holds_up_nothing_that_does_not_lie_there(
    tmp_path: Path, s3: Any, tensorboard_server: Callable[..., TensorBoardServer]
) -> None:
    for name in ("far", "near"):
        with LayerWriter(tmp_path / name, keep=Keep(precision="float32")) as writer:
            writer.write(3, kernels(3), "weight")
    for i in range(20):
        put(tmp_path / "far", f"{s3.address}/logs/run{i}")
    server = tensorboard_server("", f"--logdir_spec=x:{s3.address}/logs,y:{tmp_path}/near", "--reload_interval=1")
    assert awaited(lambda: len(asked(server, "runs")["runs"]) == 21)
    s3.hangs = lambda _: True
    time.sleep(6)  # the folders will be looked at again
    replies: list[Any] = []
    began = time.monotonic()
    waits = threading.Thread(target=lambda: replies.append((payload_of(server, "x/run4", 3), time.monotonic() - began)))
    waits.start()
    for _ in range(3):
        asked(server, "runs")
        for name in ("x/run4", "x/run5", "y"):
            asked(server, "run", run=name)
            asked(server, "steps", run=name)
        assert payload_of(server, "y", 3).status == 200
    assert asked(server, "findings", run="x/run5")
    assert not replies, "all of it was answered while one answer of the store was waited for"
    waits.join()
    ((reply, took),) = replies
    assert reply.status == 410 and "the store gives no answer within 30 s" in reply.body.decode() and took < 55
    s3.hangs = lambda _: False
    assert awaited(lambda: payload_of(server, "x/run4", 3).status == 200)
