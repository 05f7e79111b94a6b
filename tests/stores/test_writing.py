"""What is logged to a store is what is logged to a folder; what it does not take is kept, and nobody waits."""

from __future__ import annotations

import json
import os
import random
import signal
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
from places import environment
from s3_server import SECRET
from serving import TensorBoardServer
from store_logs import KERNELS, awaited, log, same_content

from tb_layerview import Keep, LayerReader, LayerWriter, Schedule
from tb_layerview.commands import cli
from tb_layerview.format import remote_storage, values
from tb_layerview.format.logged import NotLoggedError
from tb_layerview.writing import log_files, objects, outbox, spool
from tb_layerview.writing.training_log import TrainingLog

KEEP = Keep(precision="float32")


def same(one: Any, other: Any) -> None:
    """Two whole logs of the same hold the same, whatever lies where."""
    assert (one.problems, one.ended) == ((), True)
    same_content(one, other)


def unsent() -> list[Path]:
    """The objects that are kept on this machine."""
    return [
        path for path in Path(os.environ["XDG_CACHE_HOME"]).rglob("*") if path.is_file() and "layerview" in path.name
    ]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said."""
    ours = (record for record in caplog.records if record.name == "tb_layerview" and record.levelname == "WARNING")
    return [record.getMessage() for record in ours]


def test_a_log_in_s3_holds_what_one_in_a_folder_holds(tmp_path: Path, s3: Any) -> None:
    log(tmp_path / "run")
    log(f"{s3.address}/run")
    same(LayerReader(tmp_path / "run").run(), LayerReader(f"{s3.address}/run").run())
    # And after it was copied to a folder.
    fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False).get(
        "bucket/run", str(tmp_path / "copy"), recursive=True
    )
    same(LayerReader(tmp_path / "run").run(), LayerReader(tmp_path / "copy").run())
    assert not unsent()


@pytest.mark.parametrize("store", ["gcs", "ftp"])
def test_a_log_in_another_store_holds_what_one_in_a_folder_holds(
    tmp_path: Path, cache: Path, store: str, request: pytest.FixtureRequest
) -> None:
    found = request.getfixturevalue(store)
    address = f"{found if isinstance(found, str) else found.address}/logs/run"
    log(tmp_path / "run")
    log(address)
    same(LayerReader(tmp_path / "run").run(), LayerReader(address).run())
    assert not list(cache.rglob("*layerview.*"))


def test_a_log_in_memory_is_read_by_its_process(tmp_path: Path, cache: Path) -> None:
    log(tmp_path / "run")
    log("memory://run")
    same(LayerReader(tmp_path / "run").run(), LayerReader("memory://run").run())
    fsspec.filesystem("memory").rm("/run", recursive=True)
    assert not list(cache.rglob("*layerview.*"))


def test_objects_are_put_in_order_payloads_first_and_none_twice(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "MOST_BYTES", 40_000)  # a step has 19,200 bytes of values
    log(f"{s3.address}/run", 12)
    put = [path.rpartition("/")[2] for method, path, _ in s3.requests if method == "PUT"]
    assert len(set(put)) == len(put)
    events = [name for name in put if "tfevents" in name]
    assert events == sorted(events) and len(events) >= 1 + 6
    kinds = [name.rpartition(".")[2] for name in put]
    assert (kinds[0], kinds[1], kinds[-2:]) == ("layerview", "payload", ["layerview", "end"])
    payloads = [name for name in put if name.endswith("payload")]
    assert payloads[1:] == sorted(payloads[1:]) and len(payloads) >= 6
    run = LayerReader(f"{s3.address}/run").run()
    assert run.steps.tolist() == list(range(12))
    np.testing.assert_array_equal(run.values(run.tensors[1], 10).array, KERNELS[(10 + 1) % 6])


def has_steps(address: str) -> bool:
    try:
        return len(LayerReader(address).run().steps) > 0
    except NotLoggedError:
        return False


def test_a_step_is_there_soon_though_little_is_logged(s3: Any) -> None:
    with LayerWriter(f"{s3.address}/run", keep=KEEP) as writer:
        began = time.monotonic()
        writer.write(0, {"a": KERNELS[0]}, "weight")
        awaited(lambda: has_steps(f"{s3.address}/run"))
        assert time.monotonic() - began > 1, "several steps share an object"
        writer.write(1, {"a": KERNELS[1]}, "weight")
    assert LayerReader(f"{s3.address}/run").run().steps.tolist() == [0, 1]


def test_parts_are_as_old_as_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    due = []
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    monkeypatch.setattr(objects.Outbox, "wake", lambda _: None)
    one = objects.Objects(object(), object(), "w", str)  # type: ignore[arg-type]  # nothing is put
    for part in (1, 2, 3, 4, 5, 6, 5000):
        one._part, one._due = part, None
        one._hold(1)
        due.append(one._due - 100.0)
    assert due == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_second_writer_hides_what_it_repeats_and_says_so(s3: Any, caplog: pytest.LogCaptureFixture) -> None:
    address = f"{s3.address}/run"
    log(address, 6)
    log(address, 3)
    assert LayerReader(address).run().steps.tolist() == [0, 1, 2]
    (told,) = warnings(caplog)
    assert f"{address} holds steps 0 to 5 of another training: they are hidden from step 0 on" in told


@pytest.mark.parametrize(
    ("bucket", "status", "words"), [("nowhere", None, "is not there"), ("bucket", 403, "no permission")]
)
def test_what_can_never_be_put_is_said_before_the_training(
    s3: Any, bucket: str, status: int | None, words: str
) -> None:
    if status is not None:
        s3.refuses("PUT", status)
    with pytest.raises(ValueError, match=f"^cannot log to 's3://{bucket}/run': .*{words}") as raised:
        LayerWriter(f"s3://{bucket}/run")
    assert SECRET not in str(raised.value) and not unsent()


def test_who_may_write_but_not_list_logs_all_the_same(s3: Any, caplog: pytest.LogCaptureFixture) -> None:
    s3.refuses("GET", 403)
    log(f"{s3.address}/run")
    (told,) = warnings(caplog)
    assert "cannot be looked at" in told and SECRET not in told
    s3.accepts()
    assert LayerReader(f"{s3.address}/run").run().steps.tolist() == list(range(6))


def test_of_requests_that_fail_at_random_nothing_is_lost(
    tmp_path: Path, s3: Any, hasty: None, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(7)
    failed = []

    def refuse(method: str) -> int | None:
        if method == "PUT" and chance.random() < 0.2:
            failed.append(method)
            return 500
        return None

    with LayerWriter(f"{s3.address}/run", keep=KEEP) as writer:
        s3.refuse = refuse
        for step in range(60):
            writer.write(step, {f"layer{i}": KERNELS[(step + i) % 6] for i in range(4)}, "weight")
            time.sleep(0.03)
    s3.accepts()
    assert len(failed) > 5
    log(tmp_path / "run", 60)
    same(LayerReader(tmp_path / "run").run(), LayerReader(f"{s3.address}/run").run())
    assert not unsent()


def test_while_a_store_is_gone_nobody_waits_and_all_is_sent_later(
    tmp_path: Path, s3: Any, hasty: None, caplog: pytest.LogCaptureFixture
) -> None:
    with LayerWriter(f"{s3.address}/run", keep=KEEP) as writer:
        took = []
        for step in range(40):
            if step == 5:
                s3.refuses("PUT", 500)  # which s3fs does not try again for seconds
            elif step == 30:
                s3.accepts()
            began = time.monotonic()
            writer.write(step, {f"layer{i}": KERNELS[(step + i) % 6] for i in range(4)}, "weight")
            took.append(time.monotonic() - began)
            if step == 29:
                awaited(unsent)  # what waits outlives the process
            time.sleep(0.1)
    # All 25 of them would wait while it is gone; a machine that is busy or stands still makes a few slow.
    assert sorted(took)[-5] < 2
    log(tmp_path / "run", 40)
    same(LayerReader(tmp_path / "run").run(), LayerReader(f"{s3.address}/run").run())
    told = [
        record.getMessage()
        for record in caplog.records
        if record.name == "tb_layerview" and record.levelname == "WARNING"
    ]
    assert len(told) == 1 and "takes nothing" in told[0] and "is kept in" in told[0] and SECRET not in caplog.text
    assert not unsent()


def test_what_was_not_sent_when_it_ended_is_kept_said_and_sent_by_the_next(
    tmp_path: Path, s3: Any, hasty: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "CLOSING", 1.0)
    with LayerWriter(f"{s3.address}/run", keep=KEEP) as writer:
        s3.refuses("PUT", 503)
        for step in range(6):
            writer.write(step, {f"layer{i}": KERNELS[(step + i) % 6] for i in range(4)}, "weight")
        began = time.monotonic()
    assert time.monotonic() - began < 30, "closing waits so long and no longer"
    kept = unsent()
    told = [record.getMessage() for record in caplog.records][-1]
    assert f"{len(kept)} of the log's objects could not be put into s3://bucket/run/layers" in told
    assert f"They are kept in {kept[0].parent}" in told and "tb-layerview send" in told
    s3.accepts()
    with LayerWriter(f"{s3.address}/other"):
        awaited(lambda: not unsent())
    log(tmp_path / "run")
    here, there = LayerReader(tmp_path / "run").run(), LayerReader(f"{s3.address}/run").run()
    assert there.steps.tolist() == here.steps.tolist()
    for step in range(6):
        assert here.payload("values", here.tensors[0], step) == there.payload("values", there.tensors[0], step)


def test_the_command_sends_what_is_left(
    s3: Any, hasty: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(objects, "CLOSING", 0.5)
    with LayerWriter(f"{s3.address}/run", keep=KEEP) as writer:
        s3.refuses("PUT", 503)
        writer.write(0, {"a": KERNELS[0]}, "weight")
    s3.refuses("PUT", 403)
    assert cli.main(["send"]) == 1
    assert "no permission" in capsys.readouterr().err and unsent()
    s3.accepts()
    assert cli.main(["send"]) == 0
    assert "objects sent to s3://bucket/run/layers" in capsys.readouterr().out
    assert LayerReader(f"{s3.address}/run").run().steps.tolist() == [0]
    assert cli.main(["send"]) == 0 and capsys.readouterr().out == "nothing is left to be sent\n" and not unsent()


def test_when_no_more_can_be_kept_logging_ends_and_says_so(
    s3: Any, hasty: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from tb_layerview.format.model import Layer, Model, Tensor
    from tb_layerview.measure.host import measure
    from tb_layerview.writing.step import Measured, Step

    monkeypatch.setattr(spool, "MOST_KEPT", 5_000)
    monkeypatch.setattr(outbox, "_MOST_HELD", 20_000)
    monkeypatch.setattr(objects, "CLOSING", 0.5)
    training = TrainingLog(f"{s3.address}/run", Schedule(every=1), KEEP)
    training.begin(0)
    training.describe(Model((Layer("a"),), (Tensor(0, "weight", "kernel", (40, 30), "float32"),)))
    s3.refuses("PUT", 500)
    for step in range(40):
        if training.due(step):
            with training.logging("a step"):
                training.write(Step(step, (Measured({0: measure(KERNELS[step % 6])}),)))
        time.sleep(0.05)
    assert not training.is_open
    training.close()
    told = warnings(caplog)
    assert any("s3://bucket/run/layers takes nothing, and" in one and "Nothing more is logged" in one for one in told)


def test_a_store_that_does_not_answer_delays_the_beginning_by_so_much_and_no_step(
    s3: Any, hasty: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    silent = socket.create_server(("127.0.0.1", 0))  # it accepts, and says nothing
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
    monkeypatch.setattr(outbox, "_FIRST", 1.0)
    monkeypatch.setattr(log_files, "_LOOKING", 1.0)
    monkeypatch.setattr(remote_storage, "WRITING", 1.0)
    monkeypatch.setattr(objects, "CLOSING", 1.0)
    remote_storage._store.cache_clear()
    began = time.monotonic()
    writer = LayerWriter(f"{s3.address}/run", keep=KEEP)
    assert time.monotonic() - began < 18  # of the usual times it would be 20
    took = []
    for step in range(20):
        began = time.monotonic()
        writer.write(step, {"a": KERNELS[0]}, "weight")
        took.append(time.monotonic() - began)
    assert np.median(took) < 0.5
    began = time.monotonic()
    writer.close()
    assert time.monotonic() - began < 30
    assert "gives no answer within" in caplog.text and unsent()
    silent.close()


def test_a_forked_process_logs_with_a_client_of_its_own(s3: Any) -> None:
    with LayerWriter(f"{s3.address}/parent", keep=KEEP) as writer:
        writer.write(0, {"a": KERNELS[0]}, "weight")
        child = os.fork()
        if not child:
            status = 1
            try:
                log(f"{s3.address}/child")
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        writer.write(1, {"a": KERNELS[0]}, "weight")
    reader = LayerReader(s3.address)
    assert reader.names() == ["child", "parent"]
    assert [len(run.steps) for run in reader.runs()] == [6, 2]


KILLED = """
import sys, time
import numpy as np
from tb_layerview import Keep, LayerWriter
from tb_layerview.writing import objects
objects._FIRST = objects.OLDEST = 0.2
writer = LayerWriter(sys.argv[1], keep=Keep(precision="float32"))
for step in range(10**6):
    writer.write(step, {"a": np.full((40, 30), step, np.float32)}, "weight")
    print(step, time.time(), flush=True)
    time.sleep(0.005)
"""


@pytest.mark.parametrize("seconds", [0.3, 0.55, 0.8])
def test_a_killed_process_loses_what_is_stated_and_what_is_there_is_whole(s3: Any, seconds: float) -> None:
    address = f"{s3.address}/run"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, address], stdout=subprocess.PIPE, text=True, env=environment()
    )
    assert process.stdout is not None
    process.stdout.readline()
    awaited(lambda: has_steps(address))
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    lines = [line.split() for line in process.communicate()[0].splitlines()]
    last, ended = int(lines[-1][0]), float(lines[-1][1])
    run = LayerReader(address).run()
    assert not run.problems and not run.ended
    steps = run.steps.tolist()
    assert steps == list(range(len(steps)))
    for step in steps[:: max(1, len(steps) // 5)]:
        assert run.values(run.tensors[0], step).array.min() == step
    lost = [float(at) for step, at in lines if int(step) > (steps[-1] if steps else -1)]
    assert not lost or ended - lost[0] < 0.2 + 5.0, (last, steps[-1:])


def test_a_process_that_ends_without_closing_sends_what_it_has(s3: Any) -> None:
    program = KILLED.replace("range(10**6)", "range(5)").replace("OLDEST = 0.2", "OLDEST = 100.0")
    subprocess.run([sys.executable, "-c", program, f"{s3.address}/run"], check=True, timeout=300, env=environment())
    run = LayerReader(f"{s3.address}/run").run()
    assert run.steps.tolist() == [0, 1, 2, 3, 4] and not run.ended


def test_sending_is_charged(s3: Any) -> None:
    with LayerWriter(f"{s3.address}/run", keep=KEEP) as writer:
        for step in range(200):
            writer.write(step, {"a": KERNELS[0]}, "weight")
        files = writer._log
    assert files.seconds_beside > 0


def test_tensorboard_follows_a_log_while_it_is_written(
    s3: Any, tensorboard_server: Callable[..., TensorBoardServer]
) -> None:
    with LayerWriter(f"{s3.address}/logs/run", keep=KEEP) as writer:
        server = tensorboard_server(f"{s3.address}/logs", "--reload_interval=1")
        for step in range(3):
            writer.write(step, {"a": KERNELS[step]}, "weight")
            steps, end = list[int](), time.monotonic() + 120
            while steps != list(range(step + 1)):
                assert time.monotonic() < end, "it did not come in time"
                time.sleep(0.5)
                reply = server.get("/data/plugin/layerview/steps?run=run")
                steps = json.loads(reply.body)["steps"] if reply.status == 200 else []
            reply = server.get(f"/data/plugin/layerview/payload?run=run&tensor=0&step={step}&section=values")
            np.testing.assert_array_equal(values.decode(reply.body).array, KERNELS[step])
    events = [path for method, path, _ in s3.requests if method == "PUT" and "tfevents" in path]
    assert len(events) >= 4, "each step came in an object of its own"
