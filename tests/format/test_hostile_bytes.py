"""Bytes from disk that are damaged or made to harm: an error in words or what is whole, soon, and in little memory.

`make fuzz` does the same with 100,000 inputs a parser.
"""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
import textwrap
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import hostile_bytes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tb_layerview import LayerReader, LayerWriter
from tb_layerview.format import arrays, histogram, names, units, values, wire
from tb_layerview.format import layerview_pb2 as pb
from tb_layerview.format import messages as record
from tb_layerview.reading import event_file, shard, step_record
from tb_layerview.reading.folder_log import FolderLog
from tb_layerview.reading.payload_file import PayloadError
from tb_layerview.reading.run import MOST_SCALARS, Run
from tb_layerview.reading.step_record import Message

PARSERS = hostile_bytes.parsers()
DECODERS = hostile_bytes.DECODERS
MOST_SECONDS = 1.0
MB = 1 << 20


def survive(name: str, data: bytes) -> bool:
    """Parses, and returns whether the bytes were taken; anything but a refusal in words fails the test."""
    parse, _ = PARSERS[name]
    began = time.thread_time()  # what threads of other tests still do in this process is not the parser's
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            parse(data)
        taken = True
    except ValueError:
        if name not in DECODERS:
            raise  # what is wrong with a message is said among the run's problems
        taken = False
    assert time.thread_time() - began < MOST_SECONDS
    return taken


def peak(action: Callable[[], object]) -> int:
    """The most bytes that were allocated at once while it ran."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", PARSERS)
def test_every_parser_takes_the_real_bytes(name: str) -> None:
    assert all(survive(name, data) for data in PARSERS[name][1])


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
@pytest.mark.core("StepRecord", "values", "event file")
@pytest.mark.once
def test_any_bytes_are_read_or_refused_in_words(name: str, data: st.DataObject) -> None:
    survive(name, data.draw(st.binary(max_size=400)))
    good = data.draw(st.sampled_from(PARSERS[name][1]))
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, min(len(good), start + 16)))
    survive(name, good[:start] + data.draw(st.binary(max_size=24)) + good[end:])


@pytest.mark.parametrize("name", PARSERS)
@pytest.mark.core("Model", "histogram", "event file", "values")
@pytest.mark.once
def test_damaged_bytes_are_read_or_refused_in_words(name: str) -> None:
    chance = random.Random(name)
    taken = sum(survive(name, hostile_bytes.mutate(chance.choice(PARSERS[name][1]), chance)) for _ in range(400))
    assert taken, "mutations that only ever break the first byte test nothing"


def test_a_nan_that_signals_is_read_without_a_warning() -> None:
    good = hostile_bytes.step_bytes()
    one, signalling = struct.pack("<d", 1.0), struct.pack("<Q", 0xFFF0_2000_0000_0000)
    assert good.count(one) > 3
    for column in range(good.count(one)):
        parts = good.split(one)
        survive("StepRecord", one.join(parts[: column + 1]) + signalling + one.join(parts[column + 1 :]))


# --- Payloads that lie about their size -------------------------------------------------------


def test_a_deflated_bomb_is_inflated_no_further_than_its_shape_says() -> None:
    body = hostile_bytes.bomb(64 * MB)
    assert len(body) < MB
    few = hostile_bytes.block((10,), body)

    def decode() -> None:
        with pytest.raises(ValueError, match="holds 21 bytes or more, not 20"):
            arrays.decode(few)

    assert peak(decode) < 2 * MB
    assert arrays.decode(hostile_bytes.block((10,), zlib.compress(bytes(20))))[1] == "float16"


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ((2**32 - 1,), "67,108,864 elements are the most that is written"),
        ((2**31, 2**31, 4), "67,108,864 elements are the most"),
        ((2**32 - 1,) * 4, "67,108,864 elements are the most"),
        ((0, 2**32 - 1, 2**32 - 1), "67,108,864 elements are the most"),
        ((1,) * 255, "says it has 255 axes; 32 are the most"),
    ],
)
def test_a_shape_that_no_array_has_is_refused_before_anything_is_allocated(
    shape: tuple[int, ...], sentence: str
) -> None:
    data = hostile_bytes.block(shape, zlib.compress(b""))

    def decode() -> None:
        with pytest.raises(ValueError, match=sentence):
            arrays.decode(data)

    assert peak(decode) < MB


def test_a_block_that_says_it_is_longer_than_its_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"says it takes 4294967295 bytes where \d+ are left"):
        arrays.decode(hostile_bytes.block((10,), zlib.compress(bytes(20)), length=2**32 - 1))


def test_units_of_more_units_than_are_kept_are_refused_and_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="4,194,304 elements are the most"):
        units.decode_one(hostile_bytes.block((units.MOST + 1,), hostile_bytes.bomb(16 * MB)), "mean")
    monkeypatch.setattr(units, "MOST", 3)
    with LayerWriter(tmp_path) as writer:
        writer.write(0, {"a": np.ones((2, 4)), "b": np.ones((2, 3))})
    run = LayerReader(tmp_path).run()
    assert [len(run.kept_steps("units", tensor)) for tensor in run.tensors] == [0, 1]


@pytest.mark.parametrize(
    ("start", "step", "count", "size"), [(0, 0, 3, 5), (3, 1, 3, 5), (0, 2, 3, 5 - 1), (2**32 - 1, 1, 1, 9)]
)
def test_values_at_indices_that_the_tensor_does_not_have_are_refused(
    start: int, step: int, count: int, size: int
) -> None:
    with pytest.raises(ValueError, match=f"{count} indices from {start} on, every {step}th, are kept of {size}"):
        values.decode(values.encode(np.ones(count), [values.Axis(start, step, count, size)], "float32"))


def _histogram(*numbers: int, bins: int, center: float = 0.0) -> bytes:
    varints = b"".join(hostile_bytes._varint(number) for number in numbers)
    return struct.pack("<dhH", center, 0, bins) + varints


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (_histogram(2 * 2**61, 5, 2 * 2**61, 5, 2 * 2**61, 5, bins=3), "lie beyond the largest float"),
        (_histogram(2 * 4080, 2**60, bins=1), "hold 1152921504606846976 elements"),
        (_histogram(2 * 4080, 0, bins=1), "or one of them none"),
        (_histogram(2 * 4080 + 1, 0, 7, bins=1), "are empty"),
        (_histogram(bins=65535), "says 65535 bins ends after 0"),
        (_histogram(2 * 4080, 5, bins=1, center=float("nan")), "is centred on nan"),
        (bytes(12) + b"\x80" * 900_000 + b"\x01", "longer than the longest, 1000"),
    ],
)
def test_a_histogram_that_cannot_be_is_refused(data: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        histogram.decode(data)


# --- Messages that lie about their size --------------------------------------------------------


def run_of(messages: dict[str, list[Message]]) -> Run:
    run = FolderLog("run", folder=None, payload_folder=None).update(messages, messages.keys())
    assert run is not None
    return run


def wide_model(tensors: int) -> bytes:
    return pb.Model(
        format=1, layers=[pb.Layer(path="a")], tensors=[pb.Tensor(kind="weight", name=str(i)) for i in range(tensors)]
    ).SerializeToString()


@pytest.mark.once
def test_many_steps_that_log_nothing_of_many_tensors_get_no_table() -> None:
    def empty(step: int) -> Message:
        return Message(step, step + 0.5, pb.StepRecord(step=step, mode=pb.TRAIN).SerializeToString())

    messages = {names.model_tag("1-w"): [Message(0, 0.0, wide_model(20_000))]}
    messages |= {names.shard_tag("1-w", i): [empty(s) for s in range(300 * i, 300 * i + 300)] for i in range(3)}
    runs: list[Run] = []
    # As dense tables the 900 steps would be 3 GB.
    assert peak(lambda: runs.append(run_of(messages))) < 600 * MB
    assert len(runs[0].steps) == shard.ROOM // 20_000
    assert any("too few of the 20,000 tensors are logged at this step" in problem for problem in runs[0].problems)
    assert "more things cannot be read" in runs[0].problems[-1] and len(runs[0].problems) == 101


def test_a_log_that_logs_one_of_many_tensors_at_a_step_is_read_whole(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        for step in range(600):
            writer.write(step, {f"layer{step % 300}": np.ones(2)})
    run = LayerReader(tmp_path).run()
    assert (len(run.steps), len(run.tensors), run.problems) == (600, 300, ())


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (pb.Model(layers=[pb.Layer()] * 65_537), "65,537 layers"),
        (pb.Model(layers=[pb.Layer(inputs=[0] * (1 << 21))]), "2,097,152 connections"),
        (pb.Model(layers=[pb.Layer()], tensors=[pb.Tensor(kind="weight", shape=[1] * 33)]), "33 axes with 0 names"),
        (
            pb.Model(layers=[pb.Layer()], tensors=[pb.Tensor(kind="weight", shape=[1], axes=["a", "b"])]),
            "1 axes with 2",
        ),
        (pb.Model(layers=[pb.Layer()], tensors=[pb.Tensor(kind="weight", shape=[-(2**60)])]), "an axis of -1152"),
    ],
)
def test_a_model_that_is_larger_than_any_is_left_out_and_said(model: pb.Model, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        record.read_model(model.SerializeToString())


@pytest.mark.parametrize("field", [b"\x1a\x00", b"\x22\x00"])
def test_a_message_of_millions_of_empty_parts_is_refused_before_it_is_parsed(field: bytes) -> None:
    def read() -> None:
        with pytest.raises(ValueError, match="has more than 65,536 parts"):
            step_record.read_record(field * (4 * MB), 2)

    assert peak(read) < 16 * MB
    with pytest.raises(ValueError, match="has more than 262,144 parts"):
        record.read_model(field * (4 * MB))


def test_a_layer_of_millions_of_empty_places_is_refused_before_it_is_parsed() -> None:
    """Each takes two bytes of a log, and some 50 when it is parsed."""
    places = b"\x22\x00" * (4 * MB)
    length = bytes([len(places) >> 7 * i & 127 | 128 for i in range(3)]) + bytes([len(places) >> 21])

    def read() -> None:
        with pytest.raises(ValueError, match="a layer of the log's model: it has more than 524,288 parts"):
            record.read_model(b"\x1a" + length + places)

    assert peak(read) < 32 * MB


def test_the_walk_over_parts_counts_what_protobuf_has() -> None:
    message = pb.Model.FromString(hostile_bytes.model_bytes())
    assert wire.count(message.SerializeToString(), 100) == len(message.ListFields()) + 2  # two layers, two tensors
    with pytest.raises(ValueError, match="more than 3 parts"):
        wire.count(message.SerializeToString(), 3)


def test_as_many_scalars_as_a_run_has_room_for_are_kept(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        for step in range(20):
            writer.write(step, {"a": np.ones(2)}, scalars={f"s{step}_{i}": i for i in range(100)})
    run = LayerReader(tmp_path).run()
    assert len(run.scalars) == MOST_SCALARS < 2000
    assert run.scalars["s3_7"].tolist()[:5] == pytest.approx([np.nan] * 3 + [7, np.nan], nan_ok=True)
    assert f"the log has 2,000 scalars beside the layers; the first {MOST_SCALARS:,} are shown" in run.problems


def test_a_step_whose_bytes_changed_after_they_were_logged_is_left_out() -> None:
    good = record.with_checksum(pb.StepRecord.FromString(hostile_bytes.step_bytes()))
    record.check(good)
    for at in range(0, len(good), 3):
        damaged = bytearray(good)
        damaged[at] ^= 0x20
        if at == len(good) - 5:
            continue  # the mark of the checksum itself: then there is none
        with pytest.raises(ValueError, match="do not have the checksum that was logged"):
            record.check(bytes(damaged))


@pytest.mark.once
def test_a_run_of_five_times_as_many_writers_takes_no_more_than_twice_as_long_for_each() -> None:
    """A time for each pair of writers would be 25 times as long; thousands of them are read in a moment."""

    def seconds(writers: int) -> float:
        messages: dict[str, list[Message]] = {}
        for i in range(writers):
            messages[names.model_tag(f"{i:05d}-w")] = [Message(0, 0.0, hostile_bytes.model_bytes())]
            messages[names.shard_tag(f"{i:05d}-w", 0)] = [Message(i, i + 0.5, hostile_bytes.step_bytes(i))]
        began = time.thread_time()
        assert len(run_of(messages).steps) == writers
        return time.thread_time() - began

    assert seconds(3000) < 2 * 5 * seconds(600)


# --- Files that are no files --------------------------------------------------------------------


@pytest.fixture
def logged(tmp_path: Path) -> Path:
    with LayerWriter(tmp_path) as writer:
        writer.write(0, {"a": np.ones((2, 3))})
    return tmp_path


def test_a_pipe_and_a_folder_that_are_called_event_files_are_said_and_not_waited_for(logged: Path) -> None:
    os.mkfifo(logged / "layers" / "events.out.tfevents.1.pipe")
    (logged / "layers" / "events.out.tfevents.2.folder").mkdir()
    (logged / "layers" / "events.out.tfevents.3.gone").symlink_to(logged / "nowhere")
    run = LayerReader(logged).run()
    assert run.steps.tolist() == [0]
    said = [problem.partition("tfevents.")[2] for problem in run.problems]
    assert said[0] == "1.pipe cannot be read: it is not a regular file"
    assert said[1].startswith("2.folder cannot be read: ")
    assert said[2] == "3.gone cannot be read: No such file or directory"


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_payload_file_that_is_no_file_is_said_and_not_waited_for(logged: Path, kind: str) -> None:
    (path,) = (logged / "layers").glob("*.payload")
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(PayloadError, match=r"\.payload cannot be read: (it is not a regular file|Is a directory)"):
        LayerReader(logged).run().values(0, 0)


def test_a_record_that_is_longer_than_any_step_is_passed_over(logged: Path) -> None:
    (path,) = (p for p in (logged / "layers").iterdir() if event_file.is_event_file(p.name))
    head = hostile_bytes.framed(b"")[:0]
    length = struct.pack("<Q", 3 << 30)
    head = length + hostile_bytes.framed(length)[12 + 8 :]  # the masked checksum of those eight bytes
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(head)
        file.seek(3 << 30, os.SEEK_CUR)  # a hole: 3 GB that take no space
        file.write(bytes(4))
        file.write(content)
    runs: list[Run] = []
    assert peak(lambda: runs.append(LayerReader(logged).run())) < 64 * MB
    assert runs[0].steps.tolist() == [0]
    assert "has a record of 3221225472 bytes" in runs[0].problems[0]


def test_what_a_reference_names_is_never_outside_the_runs_folder(logged: Path) -> None:
    secret = logged / "secret"
    secret.write_bytes(b"0123456789")
    for writer in ("../secret", "..", "/etc/passwd", "a/../../secret"):
        step = pb.StepRecord.FromString(hostile_bytes.step_bytes())
        messages = {
            names.model_tag(writer): [Message(0, 0.0, hostile_bytes.model_bytes())],
            names.shard_tag(writer, 0): [Message(0, 0.0, step.SerializeToString())],
        }
        assert FolderLog("run", folder=logged, payload_folder=logged).update(messages, messages.keys()) is None


def test_within_a_limit_of_the_process_hostile_files_are_still_read(tmp_path: Path) -> None:
    """All the bombs at once, in a process that may have 700 MB more than it starts with."""
    with LayerWriter(tmp_path) as writer:
        for step in range(3):
            writer.write(step, {"a": np.ones((2, 3))})
    (path,) = (p for p in (tmp_path / "layers").iterdir() if event_file.is_event_file(p.name))
    with path.open("ab") as file:
        for data in (b"\x2a\x80\x80\x80\x08" + b"\x0a\x00" * (8 * MB), b"\x0a\x00" * (8 * MB), bytes(24 * MB)):
            file.write(hostile_bytes.framed(data))
    (payload,) = (tmp_path / "layers").glob("*.payload")
    with payload.open("ab") as file:
        file.truncate(5 << 30)  # a hole
    program = """
        import resource, sys
        from tb_layerview import LayerReader
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (700 << 20),) * 2)
        run = LayerReader(sys.argv[1]).run()
        assert run.values(0, 2).array.tolist() == [[1.0] * 3] * 2
        print(*run.problems, sep="\\n")
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("that is not an event: it ") == 3
