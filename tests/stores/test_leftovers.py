"""What waits for a store outlives whoever logs, in order and once: ends of all kinds, other processes, full disks."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import environment
from store_logs import awaited

from tb_layerview import Keep, LayerReader, LayerWriter
from tb_layerview.commands import cli
from tb_layerview.format import remote_storage
from tb_layerview.format.places import RemotePath
from tb_layerview.writing import earlier, objects, outbox, spool
from tb_layerview.writing.outbox import Outbox
from tb_layerview.writing.spool import Spool, left_behind

ADDRESS = RemotePath("s3://bucket/run/layers")


class Put:
    """Notes what is put, in order."""

    def __init__(self) -> None:
        self.objects: list[tuple[str, bytes]] = []

    def __call__(self, place: RemotePath, data: bytes) -> None:
        self.objects.append((str(place), data))


def kept(cache: Path) -> list[Path]:
    """The objects that are kept, in order."""
    return sorted(path for path in cache.rglob("0*") if path.is_file())


def leave(writer: str, *data: bytes, address: RemotePath = ADDRESS) -> Path:
    """A writer's spool after its process has ended."""
    one = Spool(address, writer)
    for i, each in enumerate(data):
        one.keep(f"object{i}", each)
    one.leave()
    return one.folder


def test_a_part_is_kept_with_all_that_waits_before_it(cache: Path, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed would leave an event whose payload was in memory."""
    monkeypatch.setattr(outbox, "_MOST_HELD", 1000)
    box = Outbox(ADDRESS, remote_storage.store_of(ADDRESS), "w", lambda: None)
    for name in ("a", "b", "c"):
        box.put(name, b"x" * 400)
    assert [path.name for path in kept(cache)] == ["00000001.a", "00000002.b", "00000003.c"]
    box.put("d", b"x" * 400)
    assert len(kept(cache)) == 3, "there is room in memory again"
    monkeypatch.setattr(outbox, "WRITING", 0.01)
    time.sleep(0.02)
    box.put("e", b"x")
    assert [path.name[9:] for path in kept(cache)] == ["a", "b", "c", "d", "e"], "a slow store loses no more"


def test_a_disk_without_room_ends_nothing_while_there_is_memory(
    cache: Path, s3: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox, "_SOON", 0.05)
    monkeypatch.setattr(spool, "MOST_KEPT", 10)
    with LayerWriter(f"{s3.address}/run") as writer:
        monkeypatch.setattr(objects, "OLDEST", 0.01)
        s3.refuses("PUT", 503)
        for step in range(80):
            writer.write(step, {"a": np.full(8, step)})
            time.sleep(0.05)
        awaited(lambda: "takes nothing" in caplog.text)
        s3.accepts()
    assert LayerReader(f"{s3.address}/run").run().steps.tolist() == list(range(80))
    (told,) = (one.getMessage() for one in caplog.records if one.levelname == "WARNING" and one.name == "tb_layerview")
    assert "is kept in memory until it does, 64 MB of it: s3://bucket/run/layers takes nothing, and of" in told


FULL = """
import resource, signal, sys
from tb_layerview.format.places import RemotePath
from tb_layerview.writing.spool import Spool
one = Spool(RemotePath("s3://bucket/run"), "w")
one.keep("a", b"x" * 1000)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    one.keep("b", b"x" * 10000)
except OSError as error:
    print(error.strerror)
"""


def test_what_does_not_fit_on_a_disk_leaves_nothing_of_itself(cache: Path) -> None:
    found = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, env=environment())
    assert found.stdout.strip() == "File too large", found.stderr
    assert [path.name for path in cache.rglob("*") if path.is_file() and path.stat().st_size] == [
        "00000001.a",
        "address",
    ]


def test_what_cannot_be_sent_of_one_writer_keeps_no_other(cache: Path) -> None:
    leave("1", b"a", b"b")
    leave("2", b"c")
    put = Put()

    def first_fails(place: RemotePath, data: bytes) -> None:
        if data == b"b":
            raise OSError(5, "it does not go")
        put(place, data)

    with pytest.raises(OSError, match="it does not go"):
        list(left_behind(first_fails))
    assert [data for _, data in put.objects] == [b"a", b"c"]
    assert [path.name for path in kept(cache)] == ["00000002.object1"]
    list(left_behind(put))
    assert [data for _, data in put.objects] == [b"a", b"c", b"b"]
    assert not list(spool._root().iterdir())


def test_only_what_is_for_the_same_store_is_sent_with_it(cache: Path) -> None:
    leave("1", b"a", address=RemotePath("s3://bucket-of-another/run"))
    leave("2", b"b", address=RemotePath("gs://bucket/run"))
    leave("3", b"c")
    (cache / "tb_layerview/unsent/4").mkdir()  # of a process that was killed before it wrote an address
    put = Put()
    list(left_behind(put, ADDRESS.root))
    assert put.objects == [("s3://bucket/run/layers/object0", b"c")]


def test_what_another_process_sends_meanwhile_is_nobodys_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = leave("1", b"a"), leave("2", b"b")
    address = spool._address

    def removed_meanwhile(folder: Path) -> str | None:
        found = address(folder)
        if folder == one:
            spool._remove(folder)
        return found

    monkeypatch.setattr(spool, "_address", removed_meanwhile)
    put = Put()
    list(left_behind(put))
    assert [data for _, data in put.objects] == [b"b"] and not two.exists()


def _send_all(sent: Any) -> None:
    list(left_behind(lambda place, _: (sent.put(str(place)), time.sleep(0.002))))


def test_processes_that_send_the_same_send_each_object_once(cache: Path) -> None:
    for writer in range(20):
        leave(f"{writer:02d}", *(b"x" for _ in range(5)), address=RemotePath(f"s3://bucket/{writer:02d}"))
    forked = multiprocessing.get_context("fork")
    sent = forked.Queue()
    processes = [forked.Process(target=_send_all, args=(sent,)) for _ in range(4)]
    for process in processes:
        process.start()
    found = [sent.get(timeout=120) for _ in range(100)]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(set(found)) == 100 and sent.empty() and not kept(cache)


def test_a_folder_of_somebody_else_is_neither_sent_nor_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave("1", b"a")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    put = Put()
    assert not list(left_behind(put))
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        Spool(ADDRESS, "2").keep("b", b"b")


def test_leftovers_that_fail_once_are_sent_later_by_the_same_process(
    cache: Path, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_LATE", 0.3)
    leave("1", b"a")
    with LayerWriter(f"{s3.address}/run"):
        s3.refuses("PUT", 503)
        end = time.monotonic() + 120
        while kept(cache) and time.monotonic() < end:
            if len(s3.requests) > 8:
                s3.accepts()
            time.sleep(0.05)
        assert not kept(cache)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl+C interrupts, also where the tests run in a shell's background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def given_up(s3: Any) -> Iterator[None]:
    """What was on its way when a log was given up has come, or been refused, before the next test begins."""
    before = set(threading.enumerate())
    yield
    s3.accepts()
    awaited(lambda: "tb_layerview_store" not in {one.name for one in {*threading.enumerate()} - before})


def test_who_does_not_want_to_wait_for_the_end_loses_nothing(
    cache: Path, s3: Any, interruptible: None, given_up: None
) -> None:
    writer = LayerWriter(f"{s3.address}/run")
    s3.refuses("PUT", 503)
    writer.write(0, {"a": np.ones(8)})
    timer = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        writer.close()
    assert [path.name.rpartition(".")[2] for path in kept(cache)] == ["payload", "layerview", "end"]
    s3.accepts()
    list(left_behind(remote_storage.store_of(ADDRESS).put))
    run = LayerReader(f"{s3.address}/run").run()
    assert run.steps.tolist() == [0] and run.ended


def test_what_nobody_has_closed_waits_for_the_store_at_the_same_time(
    cache: Path, s3: Any, given_up: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the process ends, 10 seconds are 10 seconds however many logs there are, and nothing is lost."""
    waited: list[float] = []
    close = Outbox.close

    def noted(box: Outbox, seconds: float) -> None:
        waited.append(seconds)
        close(box, seconds)

    monkeypatch.setattr(Outbox, "close", noted)
    monkeypatch.setattr(objects, "_EXITING", 3.0)
    monkeypatch.setattr(objects, "_open", set())
    writers = [LayerWriter(f"{s3.address}/{name}") for name in "abc"]
    s3.refuses("PUT", 503)
    for writer in writers:
        writer.write(0, {"a": np.ones(8)})
    objects._finish_all()
    # All are told first; what the first has waited the others do not wait, too.
    assert waited[:3] == [0.0] * 3 and len(waited) == 6 and sum(waited) < 3.1
    found = sorted(path.name.rpartition(".")[2] for path in kept(cache))
    assert found == ["layerview"] * 3 + ["payload"] * 3
    s3.accepts()
    list(left_behind(remote_storage.store_of(ADDRESS).put))
    for name in "abc":
        assert LayerReader(f"{s3.address}/{name}").run().steps.tolist() == [0]


def test_who_interrupts_the_end_of_a_process_waits_for_no_log(
    cache: Path, s3: Any, monkeypatch: pytest.MonkeyPatch, interruptible: None, given_up: None
) -> None:
    """One Ctrl+C is enough, however many logs nobody has closed, and all of them are kept."""
    interrupted: list[float] = []
    close = Outbox.close

    def noted(box: Outbox, seconds: float) -> None:
        if interrupted:
            interrupted.append(seconds)
        if seconds and not interrupted:
            interrupted.append(seconds)
            threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        close(box, seconds)

    monkeypatch.setattr(Outbox, "close", noted)
    monkeypatch.setattr(objects, "_open", set())
    writers = [LayerWriter(f"{s3.address}/{name}") for name in "abc"]
    s3.refuses("PUT", 503)
    for writer in writers:
        writer.write(0, {"a": np.ones(8)})
    with pytest.raises(KeyboardInterrupt):
        objects._finish_all()
    assert len(interrupted) == 3 and sum(interrupted[1:]) < 0.1
    assert sorted(path.name.rpartition(".")[2] for path in kept(cache)) == ["layerview"] * 3 + ["payload"] * 3


def test_a_closed_log_takes_nothing(s3: Any) -> None:
    writer = LayerWriter(f"{s3.address}/run")
    writer.write(0, {"a": np.ones(8)})
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="write to a closed log"):
        writer.write(1, {"a": np.ones(8)})


def test_a_forked_process_leaves_a_log_to_its_parent(cache: Path, s3: Any) -> None:
    with LayerWriter(f"{s3.address}/run") as writer:
        writer.write(0, {"a": np.ones(8)})
        child = os.fork()
        if not child:
            status, began = 1, time.monotonic()
            try:
                with pytest.raises(ValueError, match="write to the log of another process"):
                    writer.write(1, {"a": np.ones(8)})
                writer.close()
                status = 0 if time.monotonic() - began < 20 else 2
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        writer.write(1, {"a": np.ones(8)})
    run = LayerReader(f"{s3.address}/run").run()
    assert run.steps.tolist() == [0, 1] and run.ended and not run.problems


ENDS = """
import asyncio, atexit
from concurrent.futures import ThreadPoolExecutor
from tb_layerview.format import remote_storage
import os
ThreadPoolExecutor().submit(int).result()
def at_exit():
    loop = remote_storage._loop(os.getpid())
    found = asyncio.run_coroutine_threadsafe(loop.getaddrinfo("localhost", 80), loop).result(10)
    try:
        asyncio.run_coroutine_threadsafe(loop.getaddrinfo("localhost", "no such service"), loop).result(10)
    except OSError as error:
        print(len(found) > 0, type(error).__name__)
atexit.register(at_exit)
"""


def test_a_host_is_found_while_the_process_ends() -> None:
    """What was not closed is sent then, and no pool of threads takes anything any more."""
    found = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, env=environment(), timeout=300)
    assert found.stdout.strip() == "True gaierror", found.stderr


def test_the_lock_is_that_of_the_process_that_logs(cache: Path) -> None:
    one = Spool(ADDRESS, "1")
    one.keep("a", b"a")
    put = Put()
    assert not list(left_behind(put)) and not put.objects
    with open(one.folder / "lock", "ab") as lock, pytest.raises(OSError, match="unavailable"):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    one.leave()
    assert len(list(left_behind(put))) == 1


def test_a_part_that_takes_long_has_more_time_each_time(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []

    def put(self: Any, file: Any, data: bytes, limit: float | None = None) -> float:
        limits.append(limit)
        if len(limits) in (2, 3):
            raise TimeoutError(errno.ETIMEDOUT, "the store gives no answer", str(file))
        return 0.0

    monkeypatch.setattr(remote_storage.RemoteStore, "put", put)
    monkeypatch.setattr(outbox, "_SOON", 0.05)
    with LayerWriter(f"{s3.address}/run") as writer:
        writer.write(0, {"a": np.ones(8)})
    assert limits[1:5] == [30.0, 60.0, 120.0, 30.0]


def test_a_step_larger_than_a_part_is_put_in_several(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "MOST_BYTES", 10_000)
    arrays = {f"layer{i}": np.random.default_rng(i).normal(size=(40, 30)).astype(np.float32) for i in range(6)}
    with LayerWriter(f"{s3.address}/run", keep=Keep(precision="float32")) as writer:
        writer.write(0, arrays, "weight")
    payloads = [path for method, path, _ in s3.requests if method == "PUT" and path.endswith(".payload")]
    assert len(payloads) >= 2
    run = LayerReader(f"{s3.address}/run").run()
    for tensor, array in zip(run.tensors, arrays.values(), strict=True):
        np.testing.assert_array_equal(run.values(tensor, 0).array, array)


def test_a_cache_that_is_emptied_meanwhile_loses_what_was_there_and_no_more(
    cache: Path, s3: Any, hasty: None, caplog: pytest.LogCaptureFixture
) -> None:
    with LayerWriter(f"{s3.address}/run") as writer:
        s3.refuses("PUT", 500)
        writer.write(0, {"a": np.ones(8)})
        awaited(lambda: [path.suffix for path in kept(cache)] == [".payload", ".layerview"])  # all of it
        shutil.rmtree(cache / "tb_layerview")
        writer.write(1, {"a": np.ones(8)})
        time.sleep(0.3)
        s3.accepts()
    assert "is gone before it was sent" in caplog.text and not kept(cache)
    names = [path for method, path, _ in s3.requests if method == "PUT"]
    assert names[-1].endswith(".end")


def test_send_says_what_a_process_that_runs_still_keeps(
    cache: Path, s3: Any, hasty: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with LayerWriter(f"{s3.address}/run") as writer:
        s3.refuses("PUT", 500)
        writer.write(0, {"a": np.ones(8)})
        awaited(lambda: kept(cache))
        assert cli.main(["send"]) == 0
        assert "objects are kept by processes that still run" in capsys.readouterr().out
        s3.accepts()


def test_of_many_parts_few_are_looked_at_before_the_training(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "MOST_BYTES", 100)
    with LayerWriter(f"{s3.address}/run") as writer:
        for step in range(60):
            writer.write(step, {"a": np.ones(8)})
    s3.requests.clear()
    remote_storage._store.cache_clear()
    found = earlier.earlier_steps(ADDRESS)
    assert found is not None and (found.first, found.last) == (0, 59)
    assert len(s3.requests) < 25
