"""Logs in Google's storage are read as those in S3 are, through gcsfs."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import fsspec
import numpy as np
import pytest
from serving import TensorBoardServer, get
from store_logs import KERNELS, Parts, awaited, log, payload_of, put, read_by_a_fork, same, steps_of
from viewing import viewing

from tb_layerview import Keep, LayerReader, LayerWriter
from tb_layerview.commands import cli
from tb_layerview.format import addresses, remote_storage, values
from tb_layerview.reading.payload_file import PayloadError


def ranges(gcs: Any) -> list[tuple[str, str]]:
    """The names and ranges of the objects that were read."""
    return [(unquote(path), part) for _, path, part in gcs.requests if "/o/" in path]


def test_what_was_copied_there_is_read_as_from_the_folder(
    tmp_path: Path, gcs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    log(tmp_path / "a")
    log(tmp_path / "deep" / "b #1 %25 ü", 3)
    put(tmp_path, f"{gcs.address}/logs")
    reader, local = LayerReader(f"{gcs.address}/logs"), LayerReader(tmp_path)
    assert reader.names() == local.names() == ["a", "deep/b #1 %25 ü"]
    for one, other in zip(reader.runs(), local.runs(), strict=True):
        same(one, other)
    assert cli.main(["check", f"gcs://{gcs.address[5:]}/logs"]) == 0
    assert capsys.readouterr().out.startswith("a: ")


def test_one_tensor_is_one_request_of_its_size_and_neighbours_come_by_one(tmp_path: Path, gcs: Any) -> None:
    log(tmp_path / "a")
    put(tmp_path, f"{gcs.address}/logs")
    run = LayerReader(f"{gcs.address}/logs").run("a")
    piece = run.piece("values", run.tensors[2], 4)
    gcs.requests.clear()
    np.testing.assert_array_equal(run.values(run.tensors[2], 4).array, KERNELS[(4 + 2) % 6])
    ((_, part),) = ranges(gcs)
    assert part == f"bytes={piece.offset}-{piece.offset + piece.length - 1}"
    gcs.requests.clear()
    found = run.each("values", run.tensors[1], 0, values.decode)
    assert [one.array.tobytes() for one in found] == [KERNELS[(step + 1) % 6].tobytes() for step in range(6)]
    assert len(ranges(gcs)) == 1


def test_what_is_not_there_and_damage_are_said(tmp_path: Path, gcs: Any) -> None:
    for address in ("gs://no-such-bucket/run", f"{gcs.address}/nothing"):
        with pytest.raises(NotADirectoryError, match=f"^'{address}' cannot be read: it is not there"):
            LayerReader(address)
    log(tmp_path / "a")
    put(tmp_path, f"{gcs.address}/logs")
    (file,) = (tmp_path / "a" / "layers").glob("*.payload")
    key, data = f"bucket/logs/a/layers/{file.name}", file.read_bytes()
    files = fsspec.filesystem("gs", skip_instance_cache=True, use_listings_cache=False)
    run = LayerReader(f"{gcs.address}/logs").run("a")
    piece = run.piece("values", run.tensors[0], 5)
    files.pipe_file(key, data[: piece.offset + 9])
    with pytest.raises(PayloadError, match="is cut off: .* 9 of them are there"):
        LayerReader(f"{gcs.address}/logs").run("a").values(run.tensors[0], 5)
    files.pipe_file(key, b"\1" + bytes(len(data)))
    with pytest.raises(PayloadError, match="is damaged: the .* bytes from byte"):
        run.values(run.tensors[0], 5)
    files.pipe_file(key, data)  # what was read of it is not kept
    np.testing.assert_array_equal(run.values(run.tensors[0], 5).array, KERNELS[5])
    files.rm(key)
    remote_storage._store.cache_clear()
    with pytest.raises(PayloadError, match=f"gs://{key} is missing"):
        run.values(run.tensors[0], 5)


def test_the_tab_follows_a_run_that_grows_by_parts(
    tmp_path: Path, gcs: Any, tensorboard_server: Callable[..., TensorBoardServer]
) -> None:
    """By TensorBoard's Python loader: the other one asks Google, whatever the environment says."""
    with LayerWriter(tmp_path / "run", keep=Keep(precision="float32")) as writer:
        writer.write(0, {f"layer{i}": KERNELS[i] for i in range(3)}, "weight")
        parts = Parts(tmp_path / "run" / "layers", f"{gcs.address}/logs/run/layers")
        parts.send()
        server = tensorboard_server(f"{gcs.address}/logs", "--reload_interval=1", "--load_fast=false")
        assert awaited(lambda: steps_of(server, "run") == [0])
        for step in range(1, 4):
            writer.write(step, {f"layer{i}": KERNELS[(step + i) % 6] for i in range(3)}, "weight")
            parts.send()
        assert awaited(lambda: steps_of(server, "run") == [0, 1, 2, 3])
        run = LayerReader(tmp_path).run("run")
        for step in range(4):
            assert payload_of(server, "run", step).body == run.payload("values", run.tensors[1], step)
        same(LayerReader(f"{gcs.address}/logs").run("run"), run)


def test_the_command_shows_a_log_by_the_loader_that_opens_it(tmp_path: Path, gcs: Any) -> None:
    log(tmp_path / "a")
    put(tmp_path, f"{gcs.address}/logs")
    with viewing(f"{gcs.address}/logs", "--port=0", "--no-browser") as (_, url):
        asked = url.partition("#")[0] + "data/plugin/layerview/runs"
        runs = awaited(lambda: json.loads(get(asked).body)["runs"])
    assert [(run["run"], run["steps"]) for run in runs] == [("a", 6)]


def test_of_two_that_open_it_fsspec_does_and_a_note_says_so(
    tmp_path: Path, gcs: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log(tmp_path / "a", 1)
    put(tmp_path, f"{gcs.address}/logs")
    gfile = types.SimpleNamespace(get_registered_schemes=lambda: ["", "file", "gs", "ram"])
    monkeypatch.setitem(sys.modules, "tensorflow", types.SimpleNamespace(io=types.SimpleNamespace(gfile=gfile)))
    assert addresses.is_twice("gs") and not addresses.is_gfiles("gs") and not addresses.is_twice("s3")
    remote_storage._say_who_opens.cache_clear()
    with caplog.at_level("INFO", "tb_layerview"):
        for _ in range(2):
            remote_storage._store.cache_clear()
            assert LayerReader(f"{gcs.address}/logs").names() == ["a"]
    said = [record.getMessage() for record in caplog.records if record.name.startswith("tb_layerview")]
    assert said == ["gs:// is known to both fsspec and TensorFlow: fsspec opens it"]


def test_a_forked_process_opens_a_client_of_its_own(tmp_path: Path, gcs: Any) -> None:
    log(tmp_path / "a")
    put(tmp_path, f"{gcs.address}/logs")
    run = LayerReader(f"{gcs.address}/logs").run("a")
    assert run.values(run.tensors[0], 0).array.size
    assert read_by_a_fork(lambda: run.values(run.tensors[1], 2).array) == KERNELS[3].tobytes()
    assert run.values(run.tensors[1], 3).array.size


def test_what_may_not_be_read_and_what_hangs_is_said_in_time(
    tmp_path: Path, gcs: Any, later: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    log(tmp_path / "a")
    put(tmp_path, f"{gcs.address}/logs")
    run = LayerReader(f"{gcs.address}/logs").run("a")
    gcs.refuse = 403
    with pytest.raises(NotADirectoryError, match="there is no permission to use it .Forbidden"):
        LayerReader(f"{gcs.address}/logs")
    with pytest.raises(PayloadError, match="cannot be read: there is no permission"):
        run.values(run.tensors[0], 3)
    gcs.refuse = 0
    with monkeypatch.context() as patch:
        patch.setattr(remote_storage, "READING", 1.0)
        gcs.hangs = True
        gcs.requests.clear()
        with pytest.raises(NotADirectoryError, match="the store gives no answer within 1 s"):
            LayerReader(f"{gcs.address}/logs")
        for step in range(6):
            with pytest.raises(PayloadError, match="cannot be read: the store gives no answer within 1 s"):
                run.values(run.tensors[0], step)
        assert not any(part for _, part in ranges(gcs)), "no more than one time is waited for"
    gcs.hangs = False
    later()
    np.testing.assert_array_equal(run.values(run.tensors[0], 3).array, KERNELS[3])
