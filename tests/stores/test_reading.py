"""Logs that lie in a store are read as they are read from a folder, by few requests, and what fails is said."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from places import environment
from store_logs import KERNELS, Parts, log, put, read_by_a_fork, same, same_content

from tb_layerview import Keep, LayerReader, LayerWriter
from tb_layerview.commands import cli, loopback
from tb_layerview.format import remote_storage, values
from tb_layerview.format.places import Range, RemotePath
from tb_layerview.reading import event_file, payload_file
from tb_layerview.reading.payload_file import PayloadError

RANDOM = np.random.default_rng(5)


@pytest.fixture
def memory() -> Any:
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    remote_storage._store.cache_clear()
    yield filesystem
    filesystem.store.clear()


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
def test_the_requests_for_a_hundred_runs_do_not_grow_with_their_steps(
    tmp_path: Path, s3: Any, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_storage, "FRESH", 1000.0)  # however long a busy machine takes to read them
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
        assert time.monotonic() - began < 25


def test_a_forked_process_opens_a_client_of_its_own(tmp_path: Path, s3: Any) -> None:
    log(tmp_path / "a")
    put(tmp_path, f"{s3.address}/logs")
    run = LayerReader(f"{s3.address}/logs").run("a")
    assert run.values(run.tensors[0], 0).array.size
    assert read_by_a_fork(lambda: run.values(run.tensors[1], 2).array) == KERNELS[3].tobytes()
    assert run.values(run.tensors[1], 3).array.size


def test_the_words_of_a_package_keep_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET_ACCESS_KEY", "in-the-environment")
    for said in (
        "GET https://x.blob.core.windows.net/c/k?sv=1&sig=hidden failed",
        "Authorization: Bearer hidden",
        "https://me:hidden@store/x is gone",
        "aws_secret_access_key = hidden",
        "{'token': 'hidden'}",
        '{"private_key": "-----BEGIN PRIVATE KEY-----\\nhid den", "x": 1}',
        "Authorization: Basic hidden",
        "authorization: SharedKey account:hidden",
        "Authorization: AWS4-HMAC-SHA256 Credential=hidden/us-east-1, SignedHeaders=host, Signature=hidden",
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=hidden==;EndpointSuffix=x",
        "<StringToSign>a</StringToSign><SecretAccessKey>hidden</SecretAccessKey>",
        "of the environment: in-the-environment",
    ):
        told = remote_storage._without_secrets(said)
        assert not any(secret in told for secret in ("hid", "in-the-environment")), told
    assert remote_storage._without_secrets("An error occurred (SlowDown): reduce your rate") == (
        "An error occurred (SlowDown): reduce your rate"
    )


@pytest.mark.parametrize("said", ["the bucket orange is busy", "RequestId 41688416", "no range of a kind"])
def test_what_only_looks_like_the_end_of_an_object_is_an_error(said: str) -> None:
    """Else what is there would be taken for cut off, and an event file for shorter than it is."""
    found = remote_storage._in_words(OSError(said), RemotePath("s3://orange/x"))
    assert found.errno != remote_storage._PAST_THE_END and said in str(found.strerror)


def test_past_the_end_of_an_object_there_is_nothing(s3: Any) -> None:
    fsspec.filesystem("s3").pipe_file("bucket/x", b"0123456789")
    store, file = remote_storage._store("s3"), RemotePath("s3://bucket/x")
    assert [store.read(file, at, 5) for at in (8, 10, 400)] == [b"89", b"", b""]
    assert store.read_all([Range(file, at, 5) for at in (8, 10 + (1 << 20), 4 << 20)]) == [b"89", b"", b""]


def test_what_is_missing_and_what_may_not_be_listed_is_asked_for_once(
    tmp_path: Path, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_storage, "FRESH", 1000.0)  # however long a busy machine takes to say it
    log(tmp_path / "a", 60)
    put(tmp_path, f"{s3.address}/logs")
    run = LayerReader(f"{s3.address}/logs").run("a")
    (file,) = (tmp_path / "a" / "layers").glob("*.payload")
    fsspec.filesystem("s3").rm(f"bucket/logs/a/layers/{file.name}")
    pieces = [run.piece("values", tensor, step) for step in range(60) for tensor in run.tensors]
    remote_storage._store.cache_clear()
    s3.forget()
    found = list(payload_file.read_all(run.payload_folder, pieces))
    assert len(found) == 240 and all("is missing" in str(one) for one in found) and len(s3.requests) <= 2
    remote_storage._store.cache_clear()
    s3.refuse = lambda _: 403
    s3.forget()
    found = list(payload_file.read_all(run.payload_folder, pieces))
    assert len(found) == 240 and all("no permission" in str(one) for one in found) and len(s3.requests) <= 3


def test_the_last_part_that_is_missing_is_named(tmp_path: Path, s3: Any) -> None:
    with LayerWriter(tmp_path / "a", keep=Keep(precision="float32")) as writer:
        writer.write(0, {"a": KERNELS[0]}, "weight")
        parts = Parts(tmp_path / "a" / "layers", f"{s3.address}/a/layers")
        parts.send()
        writer.write(1, {"a": KERNELS[1]}, "weight")
        parts.send()
    fsspec.filesystem("s3").rm(f"bucket/a/layers/{parts.names[2]}")
    run = LayerReader(f"{s3.address}/a").run()
    assert run.steps.tolist() == [0, 1]
    np.testing.assert_array_equal(run.values(run.tensors[0], 0).array, KERNELS[0])
    with pytest.raises(PayloadError, match=f"{parts.names[2]} is missing, or .*{parts.names[0]} is cut off"):
        run.values(run.tensors[0], 1)


class Until:
    """Answers nothing that is read until so many requests for it wait at a time: one after the other they never do.

    Attributes:
      most: How many have waited at a time.
    """

    def __init__(self, s3: Any, wanted: int) -> None:
        self._s3, self._wanted, self.most = s3, wanted, 0

    def __call__(self, path: str) -> bool:
        if path.count("/") < 2:  # a list
            return False
        self.most = max(self.most, self._s3.waiting)
        return self.most < self._wanted


def test_many_parts_are_read_several_at_a_time_and_in_their_order(tmp_path: Path, s3: Any) -> None:
    with LayerWriter(tmp_path / "a", keep=Keep(precision="float32")) as writer:
        for step in range(40):
            writer.write(step, {"a": KERNELS[step % 6]}, "weight")
            if step == 0:
                parts = Parts(tmp_path / "a" / "layers", f"{s3.address}/a/layers")
            parts.send()
        s3.forget()
        s3.hangs = Until(s3, 4)
        run = LayerReader(f"{s3.address}/a").run()
        assert len(s3.gets()) == 40 and s3.hangs.most >= 4
        same(run, LayerReader(tmp_path / "a").run())
        assert run.steps.tolist() == [*range(40)]


def test_an_event_file_that_was_put_again_is_read_on(tmp_path: Path, s3: Any) -> None:
    with LayerWriter(tmp_path / "a") as writer:
        writer.write(0, {"a": KERNELS[0]}, "weight")
        put(tmp_path, f"{s3.address}/logs")
        check = event_file.DamageCheck(RemotePath(f"{s3.address}/logs/a/layers"))
        assert not check.finds_damage()
        (events,) = (tmp_path / "a" / "layers").glob("events*")
        size = events.stat().st_size
        writer.write(1, {"a": KERNELS[1]}, "weight")
        put(tmp_path, f"{s3.address}/logs")
        remote_storage._store.cache_clear()
        s3.forget()
        assert not check.finds_damage()
        assert [part for _, part in s3.gets()] == [f"bytes={size}-{events.stat().st_size - 1}"]
        assert LayerReader(f"{s3.address}/logs").run("a").steps.tolist() == [0, 1]
        s3.refuse = lambda _: 403
        remote_storage._store.cache_clear()
        with pytest.raises(PermissionError):  # it is no damage
            check.finds_damage()


def test_what_is_no_folder_is_none(tmp_path: Path, s3: Any) -> None:
    log(tmp_path / "a", 1)
    put(tmp_path, f"{s3.address}/logs")
    (file,) = (tmp_path / "a" / "layers").glob("*.payload")
    with pytest.raises(NotADirectoryError, match="is not a folder. Give the folder that"):
        LayerReader(f"{s3.address}/logs/a/layers/{file.name}")
    fsspec.filesystem("s3").pipe_file("bucket/logs/of-a-console/", b"")
    assert LayerReader(f"{s3.address}/logs").names() == ["a"] == LayerReader(f"{s3.address}/logs/").names()
    assert LayerReader(s3.address).names() == ["logs/a"]
    store = remote_storage._store("s3")
    assert all("" not in files for _, files in store.walk(RemotePath(f"{s3.address}/logs")))


def test_an_object_that_hangs_holds_up_no_other(
    s3: Any, later: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_storage, "READING", 5.0)  # within which a busy machine answers for the others
    data = RANDOM.bytes(9 << 20)
    for name in ("x", "y"):
        fsspec.filesystem("s3").pipe_file(f"bucket/{name}", data[: 8 << 20])
    store = remote_storage._store("s3")
    x, y = (RemotePath(f"s3://bucket/{name}") for name in ("x", "y"))
    s3.hangs = lambda path: path.endswith("/y")
    wanted = [*(Range(x, i << 20, 1000) for i in range(6)), Range(y, 0, 1000)]
    *found, hung = store.read_all(wanted)
    assert found == [data[one.offset :][:1000] for one in wanted[:6]]
    assert isinstance(hung, TimeoutError) and "no answer within 5 s" in str(hung.strerror)
    assert store.read(x, 7 << 20, 10) == data[7 << 20 :][:10]
    # Where nothing is answered, no more than one time is waited for, however much is asked for.
    s3.hangs = lambda _: True
    monkeypatch.setattr(remote_storage, "READING", 1.0)
    s3.forget()
    assert isinstance(store.read_all([Range(y, 5, 10)])[0], TimeoutError)
    for one in range(100):
        assert isinstance(store.read_all([Range(y, 20 + one, 10)])[0], TimeoutError)
        assert all(isinstance(one, TimeoutError) for one in store.read_all([Range(y, i << 20, 9) for i in range(40)]))
    assert {part for _, part in s3.gets()} <= {"bytes=5-14"}
    s3.hangs = lambda _: False
    monkeypatch.setattr(remote_storage, "READING", 30.0)
    later()
    assert store.read_all([Range(y, 5, 10)]) == [data[5:15]]


def test_a_run_in_a_store_that_went_away_is_said_in_one_time(
    tmp_path: Path, s3: Any, later: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(10):
        log(tmp_path / f"run{i}", 1)
    put(tmp_path, f"{s3.address}/logs")
    reader = LayerReader(f"{s3.address}/logs")
    names = reader.names()
    folders = reader._folders()
    monkeypatch.setattr(remote_storage, "READING", 1.0)
    s3.hangs = lambda _: True
    s3.forget()
    for name in names:
        _, problems = event_file.read_folder(folders[name])
        assert "the store gives no answer within 1 s" in problems[0]
    assert len(s3.requests) <= 1, "the others are not asked for"


def test_the_memory_for_listings_has_an_end(tmp_path: Path, memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_storage, "_MOST_FILES", 50)
    for folder in range(8):
        for i in range(20):
            memory.pipe_file(f"/logs/{folder}/{i}", b"x")
    store = remote_storage._store("memory")
    for folder in range(8):
        assert len(store.files(RemotePath(f"memory://logs/{folder}"))) == 20
    assert sum(len(files) for _, files in store._listings.values()) <= 50


def test_whatever_else_fsspec_opens_is_read(tmp_path: Path, ftp: str) -> None:
    """A server of FTP, whose one connection is for one thread, and whose name is part of the address."""
    log(tmp_path / "logs" / "a")
    reader = LayerReader(f"{ftp}/logs")
    assert reader.names() == ["a"]
    run, local = reader.run("a"), LayerReader(tmp_path / "logs").run("a")
    same(run, local)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        read = [threads.submit(run.payload, "values", tensor, step) for step in range(6) for tensor in run.tensors]
        expected = [local.payload("values", tensor, step) for step in range(6) for tensor in local.tensors]
        assert [one.result() for one in read] == expected
    with pytest.raises(NotADirectoryError, match="cannot be read: "):
        LayerReader(f"{ftp}/nothing")
    with pytest.raises(NotADirectoryError, match="smb:// is opened by fsspec, which says: SMB requires"):
        LayerReader("smb://host/logs")
    with pytest.raises(NotADirectoryError, match="hdfs://host:9000/logs. cannot be read: pyarrow says: "):
        LayerReader("hdfs://host:9000/logs")
    with pytest.raises(NotADirectoryError, match="filecache:// is not opened here"):
        LayerReader("filecache://logs")


def test_a_connection_that_ended_is_made_anew(tmp_path: Path, ftp: str) -> None:
    """As a server ends one that was idle for long."""
    log(tmp_path / "logs" / "a")
    run, local = LayerReader(f"{ftp}/logs").run("a"), LayerReader(tmp_path / "logs").run("a")
    first, second = run.tensors[:2]
    assert run.payload("values", first, 0) == local.payload("values", first, 0)
    remote_storage.store_of(RemotePath(f"{ftp}/logs"))._fs().ftp.sock.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(PayloadError):  # what is asked when it is found out
        run.payload("values", second, 0)
    assert run.payload("values", second, 0) == local.payload("values", second, 0)


class Registered(MemoryFileSystem):
    """What a program has of its own."""

    protocol = "registered"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("registered://", "memory://")))


def test_what_a_program_has_registered_with_fsspec_is_opened(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match="registered:// is not opened here"):
        LayerReader("registered://logs")
    fsspec.register_implementation("registered", Registered)
    log(tmp_path / "run")
    log("registered://logs/run")
    same_content(LayerReader("registered://logs/run").run(), LayerReader(tmp_path / "run").run())


def test_a_client_that_waits_by_itself_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_storage, "READING", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        began = time.monotonic()
        with pytest.raises(NotADirectoryError, match="the store gives no answer within 1 s"):
            LayerReader(f"webhdfs://127.0.0.1:{deaf.getsockname()[1]}/logs")
        assert time.monotonic() - began < 25


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
    s3.sent, s3.hangs = 0, Until(s3, 4)
    found = remote_storage._store("s3").read_all(ranges)
    assert s3.hangs.most >= 4
    assert found == [data[one.offset :][:1000] for one in ranges] and len(s3.gets()) == 8
    assert s3.sent == 8 * 1000


def test_what_pyarrow_opens_is_written_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As hdfs:// is, whose file system inherits all of it; there is none here."""
    arrow = pytest.importorskip("pyarrow.fs")
    from fsspec.implementations.arrow import ArrowFSWrapper

    store = remote_storage.RemoteStore("hdfs")
    store._filesystem = ArrowFSWrapper(arrow.LocalFileSystem())
    monkeypatch.setattr(store, "_fs", lambda: store._filesystem)
    monkeypatch.setattr(remote_storage, "_plain", lambda _, place: str(place).removeprefix("hdfs:/"))
    folder = RemotePath(f"hdfs:/{tmp_path}/run/layers")
    store.put(folder / "a", b"0123456789")
    assert [store.read(folder / "a", start, 4) for start in (0, 3, 8, 10)] == [b"0123", b"3456", b"89", b""]
    found = store.read_all([Range(folder / "a", 0, 2), Range(folder / "a", 6, 2)])
    assert found == [b"01", b"67"]
    assert store.files(folder, age=0.0) == {"a": 10}


def test_a_package_that_cannot_be_imported_is_said_to_be_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a gcsfs whose protobuf is another package's: it is there, and fsspec says to install it."""
    (tmp_path / "gcsfs.py").write_text("raise ImportError('it wants another protobuf')")
    program = """
from tb_layerview import LayerReader
try:
    LayerReader("gs://bucket/logs")
except NotADirectoryError as error:
    print(error)
"""
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, check=True, timeout=300)
    assert "the package gcsfs is installed, and cannot be imported: it wants another protobuf" in said.stdout


def test_an_address_that_is_signed_is_refused() -> None:
    for address in ("s3://b/run?X-Amz-Signature=abc", "memory://b/run;AccountKey=abc", "gs://b/r?x=1&token=abc"):
        with pytest.raises(NotADirectoryError, match="is signed or holds a key") as raised:
            LayerReader(address)
        assert "abc" not in str(raised.value)
