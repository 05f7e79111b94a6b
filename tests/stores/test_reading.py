"""Logs that lie in a store are read as they are read from a folder, by few requests, and what fails is said."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from tb_layerview import Keep, LayerReader, LayerWriter
from tb_layerview.commands import cli, loopback
from tb_layerview.format import remote_storage, values
from tb_layerview.format.places import Range, RemotePath
from tb_layerview.reading.payload_file import PayloadError

RANDOM = np.random.default_rng(5)
KERNELS = RANDOM.normal(size=(6, 40, 30)).astype(np.float32)


def log(folder: Path, steps: int = 6) -> None:
    with LayerWriter(folder, keep=Keep(precision="float32")) as writer:
        for step in range(steps):
            writer.write(step, {f"layer{i}": KERNELS[(step + i) % 6] for i in range(4)}, "weight")


def put(folder: Path, address: str) -> None:
    """Copies a folder, as people do it with their own tools."""
    filesystem, path = fsspec.core.url_to_fs(address, skip_instance_cache=True, use_listings_cache=False)
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            filesystem.pipe_file(f"{path}/{file.relative_to(folder).as_posix()}", file.read_bytes())


@pytest.fixture
def memory() -> Any:
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    remote_storage._store.cache_clear()
    yield filesystem
    filesystem.store.clear()


def same(one: Any, other: Any) -> None:
    """Two runs are the same, whatever they were read from."""
    assert (one.name, one.problems, one.ended, one.writers) == (other.name, other.problems, other.ended, other.writers)
    np.testing.assert_array_equal(one.steps, other.steps)
    for statistic in ("rms", "max", "zero", "p95"):
        np.testing.assert_array_equal(one.statistics(statistic), other.statistics(statistic))
    for tensor in one.tensors:
        for step in one.steps:
            assert one.payload("values", tensor, int(step)) == other.payload("values", tensor, int(step))


def test_what_was_copied_into_memory_is_read_as_from_the_folder(tmp_path: Path, memory: Any) -> None:
    log(tmp_path / "a")
    log(tmp_path / "deep" / "b", 3)
    put(tmp_path, "memory://logs")
    local, remote = LayerReader(tmp_path), LayerReader("memory://logs")
    assert local.names() == remote.names() == ["a", "deep/b"]
    for one, other in zip(local.runs(), remote.runs()):
        same(one, other)
    assert str(remote.run("deep/b").folder) == "memory://logs/deep/b"
    assert LayerReader("memory://logs/a/").names() == ["."] == LayerReader("memory://logs/a/layers").names()
    assert int(remote.run("a").histogram(remote.run("a").tensors[0], 2).counts.sum()) == 1200


def test_what_was_copied_to_s3_is_read_as_from_the_folder(
    tmp_path: Path, s3: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    log(tmp_path / "a")
    put(tmp_path, f"{s3.address}/logs")
    same(LayerReader(tmp_path).run("a"), LayerReader(f"{s3.address}/logs").run("a"))
    capsys.readouterr()
    assert cli.main(["check", f"{s3.address}/logs"]) == cli.main(["check", str(tmp_path)])
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[: len(lines) // 2] == lines[len(lines) // 2 :] and lines[0].startswith("a: ") and not said.err
    assert loopback.folder_with_runs(f"{s3.address}/logs/") == ("s3://bucket/logs", ["a"])
    page = tmp_path / "page.html"
    assert cli.main(["export", f"{s3.address}/logs", "--html", str(page)]) == 0 and page.stat().st_size > 10_000


def test_one_tensor_at_one_step_is_one_request_of_its_size(
    tmp_path: Path, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(tmp_path / "a")
    put(tmp_path, f"{s3.address}/logs")
    run = LayerReader(f"{s3.address}/logs").run("a")
    piece = run.piece("values", run.tensors[2], 4)
    s3.requests.clear()
    s3.sent = 0
    np.testing.assert_array_equal(run.values(run.tensors[2], 4).array, KERNELS[(4 + 2) % 6])
    ((path, part),) = s3.gets()
    assert path.endswith(".payload") and part == f"bytes={piece.offset}-{piece.offset + piece.length - 1}"
    assert s3.sent == piece.length and len(s3.requests) == 1
    run.values(run.tensors[2], 4)  # it is kept
    assert len(s3.requests) == 1
    monkeypatch.setattr(remote_storage, "FRESH", 0.0)  # also when a while has passed
    time.sleep(0.01)
    run.values(run.tensors[1], 3)
    assert len(s3.requests) == 2


def test_neighbours_come_by_one_request(tmp_path: Path, s3: Any) -> None:
    log(tmp_path / "a")
    put(tmp_path, f"{s3.address}/logs")
    run = LayerReader(f"{s3.address}/logs").run("a")
    s3.requests.clear()
    found = run.each("values", run.tensors[1], 0, values.decode)
    assert [one.array.tobytes() for one in found] == [KERNELS[(step + 1) % 6].tobytes() for step in range(6)]
    assert len(s3.gets()) == 1


@pytest.mark.parametrize("steps", [1, 40])
def test_the_requests_for_a_hundred_runs_do_not_grow_with_their_steps(tmp_path: Path, s3: Any, steps: int) -> None:
    with LayerWriter(tmp_path / "run") as writer:
        for step in range(steps):
            writer.write(step, {"a": KERNELS[0]}, "weight")
    for i in range(100):
        shutil.copytree(tmp_path / "run", tmp_path / "logs" / f"run{i:02d}")
    put(tmp_path / "logs", f"{s3.address}/logs")
    s3.requests.clear()
    reader = LayerReader(f"{s3.address}/logs")
    assert len(reader.names()) == 100
    assert len(s3.requests) <= 2  # and 1,000 objects are listed by each
    s3.requests.clear()
    assert sum(len(run.steps) for run in reader.runs()) == 100 * steps
    assert len(s3.requests) <= 101  # the list, and each event file in one piece


def test_a_segment_that_was_not_copied_is_named_and_the_others_are_read(tmp_path: Path, memory: Any) -> None:
    log(tmp_path / "a")
    (file,) = (tmp_path / "a" / "layers").glob("*.payload")
    run = LayerReader(tmp_path).run("a")
    ends = [run.piece("values", run.tensors[-1], step) for step in (1, 3)]
    first, second = (piece.offset + piece.length for piece in ends)
    data, writer = file.read_bytes(), run.writers[0]
    file.write_bytes(data[:first])
    (file.parent / f"layerview.{writer}.{first:015d}.payload").write_bytes(data[first:second])
    (file.parent / f"layerview.{writer}.{second:015d}.payload").write_bytes(data[second:])
    put(tmp_path, "memory://logs")
    whole = LayerReader("memory://logs").run("a")
    np.testing.assert_array_equal(whole.values(whole.tensors[0], 5).array, KERNELS[5])
    for gone in (first, second):
        memory.store.pop(f"/logs/a/layers/layerview.{writer}.{gone:015d}.payload")
        run = LayerReader("memory://logs").run("a")
        with pytest.raises(PayloadError, match=f"lie in no file: .*{gone:015d}.payload is missing"):
            run.values(run.tensors[0], {first: 2, second: 5}[gone])
        np.testing.assert_array_equal(run.values(run.tensors[0], 1).array, KERNELS[1])
        put(tmp_path, "memory://logs")
    # As it is read from a folder that it is copied back to.
    shutil.rmtree(tmp_path / "a")
    memory.get("/logs", str(tmp_path / "back"), recursive=True)
    same(LayerReader(tmp_path / "back").run("a"), whole)


def test_damage_in_a_store_is_said(tmp_path: Path, s3: Any) -> None:
    log(tmp_path / "a")
    (file,) = (tmp_path / "a" / "layers").glob("*.payload")
    data = file.read_bytes()
    put(tmp_path, f"{s3.address}/logs")
    run = LayerReader(f"{s3.address}/logs").run("a")
    piece = run.piece("values", run.tensors[0], 5)
    fsspec.filesystem("s3").pipe_file(f"bucket/logs/a/layers/{file.name}", data[: piece.offset + 9])
    with pytest.raises(PayloadError, match=f"is cut off: {piece.length} bytes .* were logged, 9 of them are there"):
        LayerReader(f"{s3.address}/logs").run("a").values(run.tensors[0], 5)
    fsspec.filesystem("s3").pipe_file(f"bucket/logs/a/layers/{file.name}", b"\1" + bytes(len(data)))
    with pytest.raises(PayloadError, match="is damaged: the .* bytes from byte"):
        LayerReader(f"{s3.address}/logs").run("a").values(run.tensors[0], 5)
    fsspec.filesystem("s3").rm(f"bucket/logs/a/layers/{file.name}")
    with pytest.raises(PayloadError, match="s3://bucket/logs/a/layers/layerview.*payload is missing"):
        LayerReader(f"{s3.address}/logs").run("a").values(run.tensors[0], 5)


def test_what_is_not_there_and_what_may_not_be_read_is_said(tmp_path: Path, s3: Any) -> None:
    for address, words in (
        ("s3://no-such-bucket/run", "The specified bucket does not exist"),
        (f"{s3.address}/nothing", "it is not there"),
        ("s3://Not_A Bucket/run", "s3fs says: ParamValidationError: .*Invalid bucket name"),
    ):
        with pytest.raises(NotADirectoryError, match=f"^'{address}' cannot be read: .*{words}.*"):
            LayerReader(address)
    log(tmp_path / "a")
    put(tmp_path, f"{s3.address}/logs")
    run = LayerReader(f"{s3.address}/logs").run("a")
    s3.refuse = lambda _: 403
    with pytest.raises(NotADirectoryError, match="there is no permission to use it .AccessDenied it is.") as raised:
        LayerReader(f"{s3.address}/logs")
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in str(raised.value)
    with pytest.raises(PayloadError, match="cannot be read: there is no permission"):
        run.values(run.tensors[0], 3)
    s3.refuse = lambda _: None
    np.testing.assert_array_equal(run.values(run.tensors[0], 3).array, KERNELS[3])


def test_a_network_that_hangs_is_said_in_time(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_storage, "READING", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(NotADirectoryError, match="the store gives no answer within 1 s"):
            LayerReader(f"{s3.address}/logs")
        assert time.monotonic() - began < 4


def test_a_forked_process_opens_a_client_of_its_own(tmp_path: Path, s3: Any) -> None:
    log(tmp_path / "a")
    put(tmp_path, f"{s3.address}/logs")
    run = LayerReader(f"{s3.address}/logs").run("a")
    assert run.values(run.tensors[0], 0).array.size
    read, write = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(20)  # where it waits for its parent's thread
        try:
            os.write(write, str(run.values(run.tensors[1], 2).array.sum() == KERNELS[3].sum()).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 10) == b"True"
    assert run.values(run.tensors[1], 3).array.size


def test_the_words_of_a_package_keep_its_secrets() -> None:
    for said in (
        "GET https://x.blob.core.windows.net/c/k?sv=1&sig=hidden failed",
        "Authorization: Bearer hidden",
        "https://me:hidden@store/x is gone",
        "aws_secret_access_key = hidden",
        "{'token': 'hidden'}",
    ):
        assert "hidden" not in remote_storage._without_secrets(said)


def test_the_memory_for_what_is_kept_has_an_end() -> None:
    kept = remote_storage._Ranges()
    for i in range(100):
        one = Range(RemotePath("s3://bucket/x"), i << 20, 1 << 20)
        kept.put(one, bytes(1 << 20))
        assert kept.get(one) is not None
    assert kept._held == sum(map(len, kept._kept.values())) == 32 << 20


def test_ranges_that_lie_far_apart_are_asked_for_at_the_same_time(s3: Any) -> None:
    data = RANDOM.bytes(4 << 20)
    fsspec.filesystem("s3").pipe_file("bucket/x", data)
    ranges = [Range(RemotePath("s3://bucket/x"), i << 19, 1000) for i in range(8)]
    s3.requests.clear()
    s3.sent, s3.delay = 0, 0.3
    began = time.monotonic()
    found = remote_storage._store("s3").read_all(ranges)
    assert time.monotonic() - began < 1.2  # one after the other they take 2.4 s
    assert found == [data[one.offset :][:1000] for one in ranges] and len(s3.gets()) == 8
    assert s3.sent == 8 * 1000
