"""Run: what several writers logged into one folder is one history, and each payload is checked before it is shown."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tb_layerview import LayerReader, LayerWriter
from tb_layerview.format import layerview_pb2 as pb
from tb_layerview.format import messages as record
from tb_layerview.format import names
from tb_layerview.format.logged import NotLoggedError
from tb_layerview.format.model import Layer, Model, Tensor
from tb_layerview.format.statistics import STATISTICS
from tb_layerview.reading import event_file
from tb_layerview.reading.folder_log import FolderLog
from tb_layerview.reading.payload_file import PayloadError, Piece
from tb_layerview.reading.run import Run
from tb_layerview.reading.step_record import Message


def write(folder: Path, steps: Sequence[int], value: float, layers: Sequence[str] = ("a",)) -> None:
    """Logs arrays full of `value` through a writer of its own."""
    time.sleep(0.002)  # the id of a writer begins with the millisecond in which it starts
    with LayerWriter(folder) as writer:
        for step in steps:
            writer.write(step, {layer: np.full((2, 3), value) for layer in layers})


def read(folder: Path) -> Run:
    return LayerReader(folder).run()


def means(run: Run, layer: str = "a") -> dict[int, float]:
    """The mean of a layer's output by step."""
    return dict(zip(run.steps.tolist(), run.statistics("mean")[run.tensor(layer)].tolist()))


def payload_file_of(folder: Path) -> Path:
    (path,) = (folder / "layers").glob("layerview.*.payload")
    return path


# --- Several writers -------------------------------------------------------------------------


def test_a_later_writer_hides_earlier_steps_from_its_own_first_step_on(tmp_path: Path) -> None:
    write(tmp_path, range(6), 1.0)
    write(tmp_path, [3, 4], 2.0)
    run = read(tmp_path)
    assert means(run) == {0: 1.0, 1: 1.0, 2: 1.0, 3: 2.0, 4: 2.0}
    assert run.hidden == "3 steps from 3 on, of a writer that a later one replaced"
    assert run.values(run.tensor("a"), 2).array[0, 0] == 1.0
    assert run.values(run.tensor("a"), 3).array[0, 0] == 2.0


def test_writers_that_only_go_on_hide_nothing(tmp_path: Path) -> None:
    write(tmp_path, range(3), 1.0)
    write(tmp_path, range(3, 5), 2.0)
    run = read(tmp_path)
    assert means(run) == {0: 1.0, 1: 1.0, 2: 1.0, 3: 2.0, 4: 2.0}
    assert run.hidden == ""


def test_what_was_hidden_stays_hidden_where_the_last_writer_starts_later(tmp_path: Path) -> None:
    write(tmp_path, range(10), 1.0)
    write(tmp_path, range(4, 8), 2.0)
    write(tmp_path, [6], 3.0)
    run = read(tmp_path)
    assert means(run) == {0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0, 4: 2.0, 5: 2.0, 6: 3.0}
    assert run.hidden == "8 steps from 4 on, of 2 writers that later ones replaced"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=8, unique=True).map(sorted), min_size=1, max_size=4))
def test_any_order_of_restarts_gives_what_replaying_them_would(histories: list[list[int]]) -> None:
    expected: dict[int, float] = {}
    for writer, steps in enumerate(histories):
        # A writer that starts at a step forgets what was there from that step on.
        expected = {step: value for step, value in expected.items() if step < steps[0]}
        expected.update((step, float(writer)) for step in steps)
    messages = {}
    for writer, steps in enumerate(histories):
        messages[names.model_tag(f"{writer}-w")] = [Message(0, 0.0, model_message("a"))]
        messages[names.shard_tag(f"{writer}-w", 0)] = [Message(s, s + 0.5, step_message(s, [writer])) for s in steps]
    # Tags come in any order.
    run = FolderLog("r", folder=None, payload_folder=None).update(messages, list(messages)[::-1])
    assert run is not None
    assert means(run) == expected


def test_tensors_of_all_writers_are_one_list_in_the_newest_models_order(tmp_path: Path) -> None:
    write(tmp_path, range(3), 1.0, ["old", "both"])
    write(tmp_path, range(2, 4), 2.0, ["new", "both"])
    run = read(tmp_path)
    assert [tensor.layer for tensor in run.tensors] == ["new", "both", "old"]
    assert [layer.path for layer in run.layers] == ["new", "both", "old"]
    nan = np.nan
    np.testing.assert_array_equal(run.statistics("mean"), [[nan, nan, 2, 2], [1, 1, 2, 2], [1, 1, nan, nan]])
    assert run.values(run.tensor("old"), 1).array[0, 0] == 1.0
    with pytest.raises(NotLoggedError, match="keeps no values at step 3; the nearest step that does is 1"):
        run.values(run.tensor("old"), 3)


def test_a_writer_that_is_wholly_hidden_adds_no_tensors(tmp_path: Path) -> None:
    write(tmp_path, range(3), 1.0, ["old"])
    write(tmp_path, range(3), 2.0, ["new"])
    assert [tensor.layer for tensor in read(tmp_path).tensors] == ["new"]


# --- Messages ------------------------------------------------------------------------------


def model_message(*paths: str) -> bytes:
    layers = tuple(Layer(path, inputs=(i - 1,) if i else ()) for i, path in enumerate(paths))
    tensors = tuple(Tensor(i, "activation", "output", (2,), "float32") for i in range(len(paths)))
    return record.model_to_proto(Model(layers, tensors)).SerializeToString()


def step_message(step: int, values: Sequence[float], **more: object) -> bytes:
    """A step at which tensor i has the mean values[i]."""
    n = len(values)
    counts = {name: [0] * n for name in ("nan", "pos_inf", "neg_inf", "zero", "negative")}
    moments = dict.fromkeys(("min", "max", "mean", "std", "rms"), values)
    columns = pb.Columns(tensor=range(n), size=[2] * n, **counts, **moments)
    return pb.StepRecord(step=step, mode=pb.TRAIN, columns=[columns], **more).SerializeToString()


MODEL, SHARD = names.model_tag("1-w"), names.shard_tag("1-w", 0)


def messages_of(*steps: int, writer: str = "1-w") -> dict[str, list[Message]]:
    return {
        names.model_tag(writer): [Message(0, 0.0, model_message("a", "b"))],
        names.shard_tag(writer, 0): [Message(s, s + 0.5, step_message(s, [s, -s])) for s in steps],
    }


@pytest.fixture
def log() -> FolderLog:
    return FolderLog("run", folder=None, payload_folder=None)


def update(log: FolderLog, messages: dict[str, list[Message]], *tags: str) -> Run:
    run = log.update(messages, [*messages, *tags])
    assert run is not None
    return run


def test_inputs_follow_their_layers_into_the_unified_list(log: FolderLog) -> None:
    old, new = messages_of(0, 1), messages_of(1, writer="2-w")
    new[names.model_tag("2-w")] = [Message(0, 0.0, model_message("new", "a"))]
    run = update(log, {**old, **new})
    assert [(layer.path, [run.layers[i].path for i in layer.inputs]) for layer in run.layers] == [
        ("new", []),
        ("a", ["new"]),
        ("b", ["a"]),
    ]


def test_of_one_writer_the_later_record_of_a_step_counts(log: FolderLog) -> None:
    messages = messages_of(0, 1, 2)
    messages[SHARD].append(Message(1, 9.0, step_message(1, [7, 8])))
    messages[SHARD].append(Message(1, 9.5, step_message(1, [5, 6])))
    run = update(log, messages)
    assert means(run) == {0: 0, 1: 5, 2: 2}
    assert run.wall_times.tolist() == [0.5, 9.5, 2.5]
    assert run.hidden == ""


def test_a_step_that_was_added_to_is_kept_once(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        for step in range(4):
            for layer in "abc":
                writer.write(step, {layer: np.full(2, step)})
    run = read(tmp_path)
    assert [part.shard.steps.tolist() for part in run.parts] == [[0, 1, 2, 3]]
    np.testing.assert_array_equal(run.statistics("mean"), [[0, 1, 2, 3]] * 3)


def test_within_a_record_a_later_write_of_a_tensor_counts(log: FolderLog) -> None:
    messages = messages_of()
    twice = pb.StepRecord.FromString(step_message(0, [1, 2]))
    twice.columns.append(pb.StepRecord.FromString(step_message(0, [3])).columns[0])
    messages[SHARD] = [Message(0, 0.0, twice.SerializeToString())]
    assert update(log, messages).statistics("mean").tolist() == [[3], [2]]


def test_the_generation_stays_while_steps_are_only_added(log: FolderLog) -> None:
    first = update(log, messages_of(0, 1))
    assert update(log, {}, MODEL, SHARD).generation == first.generation
    assert update(log, messages_of(0, 1, 2)).generation == first.generation
    later = {names.shard_tag("1-w", 1): [Message(3, 3.5, step_message(3, [3, 3]))]}
    grown = update(log, later, MODEL, SHARD)
    assert grown.steps.tolist() == [0, 1, 2, 3]
    assert grown.generation == first.generation


@pytest.mark.parametrize("change", ["restart", "rewritten step", "step in between", "tensors", "gone"])
def test_the_generation_changes_with_anything_that_was_there(log: FolderLog, change: str) -> None:
    first = update(log, messages_of(0, 2))
    messages = messages_of(0, 2)
    if change == "restart":
        messages.update(messages_of(2, writer="2-w"))
    elif change == "rewritten step":
        messages[SHARD][1] = Message(2, 9.0, step_message(2, [9, 9]))
    elif change == "step in between":
        messages[SHARD].insert(1, Message(1, 1.5, step_message(1, [1, 1])))
    elif change == "tensors":
        messages[MODEL] = [Message(0, 1.0, model_message("a", "b", "c"))]
    else:
        messages = messages_of(0, writer="0-w")
    assert update(log, messages).generation != first.generation


def test_what_is_known_is_not_decoded_again(log: FolderLog) -> None:
    update(log, messages_of(0, 1))
    messages = messages_of(0, 1, 2)
    # Were they decoded again, these would be left out.
    messages[SHARD][:2] = [message._replace(data=b"\xff") for message in messages[SHARD][:2]]
    run = update(log, messages)
    assert means(run) == {0: 0, 1: 1, 2: 2}
    assert run.problems == ()


def test_a_finished_shard_need_not_be_given_again(log: FolderLog) -> None:
    update(log, messages_of(0, 1))
    run = update(log, {names.shard_tag("1-w", 1): [Message(2, 2.5, step_message(2, [2, 2]))]}, MODEL, SHARD)
    assert means(run) == {0: 0, 1: 1, 2: 2}


def test_a_model_that_grows_keeps_the_steps_before(log: FolderLog) -> None:
    update(log, messages_of(0, 1))
    messages = messages_of(0, 1)
    messages[MODEL].append(Message(1, 1.0, model_message("a", "b", "c")))
    messages[SHARD].append(Message(2, 2.5, step_message(2, [2, 2, 2])))
    run = update(log, messages)
    np.testing.assert_array_equal(run.statistics("max"), [[0, 1, 2], [0, -1, 2], [np.nan, np.nan, 2]])


def test_a_writer_without_a_model_is_left_out_and_said(log: FolderLog) -> None:
    assert log.update({SHARD: messages_of(0)[SHARD]}, [SHARD]) is None
    run = update(log, {SHARD: messages_of(0)[SHARD], **messages_of(5, writer="0-w")})
    assert run.steps.tolist() == [5]
    assert run.problems == ("writer 1-w has not said what it logs, so its steps are left out",)


def test_steps_wait_for_their_writers_model(log: FolderLog) -> None:
    assert log.update({SHARD: messages_of(0)[SHARD]}, [SHARD]) is None
    assert log.waiting == {SHARD}
    assert update(log, messages_of(0)).steps.tolist() == [0]
    assert log.waiting == frozenset()


def test_a_newer_format_is_refused_by_name(log: FolderLog) -> None:
    newer = pb.Model(format=99, software="tb_layerview 9.0").SerializeToString()
    run = update(log, {**messages_of(0, writer="0-w"), MODEL: [Message(0, 0.0, newer)], SHARD: []})
    (problem,) = run.problems
    assert problem.startswith(
        "what writer 1-w logged is left out: the log has format 99 and this tb_layerview reads up"
    )


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"\xff\xff", "step 1 cannot be read and is left out: "),
        (step_message(1, [1, 2, 3]), "step 1 cannot be read and is left out: it names tensor 2, but the model has 2"),
        (
            pb.StepRecord(step=1, mode=pb.TRAIN, columns=[pb.Columns(tensor=[0, 1], size=[2])]).SerializeToString(),
            "step 1 cannot be read and is left out: it has 1 entries of size for 2 tensors",
        ),
        (
            pb.StepRecord(
                step=1,
                mode=pb.TRAIN,
                columns=[pb.Columns(tensor=[0], **{name: [1] for name in STATISTICS}, p50=[0, 1])],
            ).SerializeToString(),
            "step 1 cannot be read and is left out: it has 2 entries of p50 for 1 tensors",
        ),
        (pb.StepRecord(step=1).SerializeToString(), "step 1 cannot be read and is left out: it has the unknown mode 0"),
    ],
)
def test_a_step_that_does_not_fit_is_left_out_and_said(log: FolderLog, data: bytes, sentence: str) -> None:
    messages = messages_of(0, 1, 2)
    messages[SHARD][1] = Message(1, 1.5, data)
    run = update(log, messages)
    assert means(run) == {0: 0, 2: 2}
    assert len(run.problems) == 1
    assert run.problems[0].startswith(sentence)


@pytest.mark.parametrize("writer", ["..", "../up", "a/../../b", "", "a\\b", "a b", ".hidden", "x" * 200])
def test_a_writer_whose_name_leads_out_of_the_folder_is_refused(log: FolderLog, writer: str) -> None:
    messages = messages_of(0, writer=writer)
    assert log.update(messages, messages.keys()) is None
    run = update(log, {**messages, **messages_of(1)})
    assert run.steps.tolist() == [1]
    assert f"the tag {names.model_tag(writer)!r} does not belong to a layer log" in run.problems


# --- Payloads ------------------------------------------------------------------------------


def test_a_missing_payload_file_is_an_error_that_says_so(tmp_path: Path) -> None:
    write(tmp_path, range(2), 1.0)
    payload_file_of(tmp_path).unlink()
    run = read(tmp_path)
    assert means(run) == {0: 1.0, 1: 1.0}
    with pytest.raises(PayloadError, match=r"payload is missing: it lies beside the event file and must be copied"):
        run.values(0, 0)


def test_a_payload_file_that_is_cut_off_is_an_error_only_where_it_is(tmp_path: Path) -> None:
    write(tmp_path, range(2), 1.0)
    path = payload_file_of(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    run = read(tmp_path)
    assert run.values(0, 0).array[0, 0] == 1.0
    with pytest.raises(
        PayloadError, match=r"is cut off: \d+ bytes from byte \d+ on were logged, \d+ of them are there"
    ):
        run.values(0, 1)


def test_a_damaged_payload_is_an_error_and_never_shown(tmp_path: Path) -> None:
    write(tmp_path, range(1), 1.0)
    path = payload_file_of(tmp_path)
    content = bytearray(path.read_bytes())
    run = read(tmp_path)
    (piece,) = run.pieces("values", 0)
    assert isinstance(piece, Piece)
    for offset in (piece.offset, piece.offset + piece.length - 1):
        damaged = content.copy()
        damaged[offset] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(PayloadError, match="is damaged: the .* do not have the checksum that was logged"):
            run.values(0, 0)
        assert run.histogram(0, 0).counts.sum() == 6


def test_a_payload_with_a_good_checksum_that_is_none_is_an_error(tmp_path: Path) -> None:
    run = read_with_section(tmp_path, b"nonsense", offset=0)
    with pytest.raises(PayloadError, match="what the payload file holds cannot be decoded: a histogram"):
        run.histogram(0, 0)


def test_an_offset_beyond_any_file_is_an_error(tmp_path: Path) -> None:
    run = read_with_section(tmp_path, b"x", offset=2**64 - 8)
    with pytest.raises(PayloadError, match="is cut off: 1 bytes from byte 18446744073709551608 on were logged, 0 of"):
        run.histogram(0, 0)


def test_without_a_folder_statistics_are_shown_and_payloads_say_why_not(log: FolderLog) -> None:
    messages = messages_of(0)
    sections = pb.StepRecord.FromString(messages[SHARD][0].data)
    sections.columns[0].histograms.MergeFrom(pb.Section(length=[8, 8], crc32=[1, 2]))
    messages[SHARD] = [Message(0, 0.0, sections.SerializeToString())]
    run = update(log, messages)
    assert means(run) == {0: 0}
    with pytest.raises(PayloadError, match="this run's folder is not on this machine"):
        run.histogram(0, 0)


def read_with_section(folder: Path, data: bytes, offset: int) -> Run:
    """A run whose histogram is `data`, said to lie at `offset`."""
    import zlib

    (folder / names.payload_name("1-w")).write_bytes(data)
    step = pb.StepRecord.FromString(step_message(0, [0]))
    step.columns[0].histograms.MergeFrom(pb.Section(offset=offset, length=[len(data)], crc32=[zlib.crc32(data)]))
    messages = messages_of()
    messages[SHARD] = [Message(0, 0.0, step.SerializeToString())]
    return update(FolderLog("run", folder=folder, payload_folder=folder), messages)


def test_pieces_of_several_tensors_and_writes_are_told_apart(tmp_path: Path) -> None:
    with LayerWriter(tmp_path) as writer:
        for step in range(3):
            writer.write(step, {f"layer{i}": np.full((2, 3), 10 * step + i) for i in range(4)})
            writer.write(step, {f"layer{i}": np.full((3, 2), -10 * step - i) for i in range(4)}, kind="weight")
    run = read(tmp_path)
    for step in range(3):
        for i in range(4):
            activation = run.tensor(f"layer{i}", kind="activation")
            assert np.all(run.values(activation, step).array == 10 * step + i)
            assert np.all(run.values(run.tensor(f"layer{i}", kind="weight"), step).array == -10 * step - i)
            assert run.quantiles(activation, step, [0.5])[0] == pytest.approx(10 * step + i, rel=0.07)


def test_an_event_file_with_other_events_gives_ours_alone(tmp_path: Path) -> None:
    from tensorboard.compat.proto import event_pb2, summary_pb2

    from tb_layerview.format.framing import masked_crc32c

    write(tmp_path, range(2), 1.0)
    (path,) = (path for path in (tmp_path / "layers").iterdir() if event_file.is_event_file(path.name))
    scalar = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag="loss", simple_value=1.0)])
    data = event_pb2.Event(step=1, summary=scalar).SerializeToString()
    length = struct.pack("<Q", len(data))
    with path.open("ab") as file:
        file.write(length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data)))
    run = read(tmp_path)
    assert run.steps.tolist() == [0, 1]
    assert run.problems == ()
