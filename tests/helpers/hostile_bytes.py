"""Bytes that nobody should trust: real ones of every parser, ways to damage them, and what each parser may answer.

Shared by the quick tests (`test_hostile_bytes.py`) and by `make fuzz` (`fuzz.py`).
"""

from __future__ import annotations

import functools
import random
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tb_layerview import LayerReader, LayerWriter
from tb_layerview.format import histogram, names, statistics, units, values
from tb_layerview.format import layerview_pb2 as pb
from tb_layerview.format import messages as record
from tb_layerview.format.framing import masked_crc32c
from tb_layerview.format.model import Layer, Model, Probe, Target, Tensor, Window
from tb_layerview.health.rules.catalogue import RULES
from tb_layerview.reading import event_file
from tb_layerview.reading.folder_log import FolderLog
from tb_layerview.reading.run import Run
from tb_layerview.reading.step_record import Message
from tb_layerview.serving.answers import findings, steps
from tb_layerview.serving.answers import run as answer_run

LAYERS = ("conv", "head/dense")
#: Parsers that refuse what they cannot read with a ValueError; the others say it among a run's problems.
DECODERS = ("values", "histogram", "units")
Parser = Callable[[bytes], object]


def framed(data: bytes) -> bytes:
    """A record of an event file, with good checksums."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data))


def model_bytes(tensors: int = 2) -> bytes:
    window = Window((3, 2), (2, 1), (1, 3), (-1, 0), (1, 2), padding_mode="reflect")
    # A cycle.
    layers = tuple(Layer(path, "Dense", ((i + 1) % 2,), window=window, direct=True) for i, path in enumerate(LAYERS))
    logged = tuple(Tensor(i % 2, "activation", f"output{i}", (2, 3), "float32") for i in range(tensors))
    targets = (Target("", "int64", (2, 1), bytes(16)), Target("b", "float16", (2,), b"\0\x7c\0\x7e"))  # inf, NaN
    probe = Probe("ab", 2, True, "given: 2 examples", targets)
    return record.with_checksum(record.model_to_proto(Model(layers, logged, probe)))


def step_bytes(step: int = 1) -> bytes:
    columns = pb.Columns(tensor=[0, 1], size=[6, 6], **{name: [1, 0] for name in statistics.STATISTICS[1:]})
    for section in (columns.histograms, columns.units, columns.values):
        section.MergeFrom(pb.Section(offset=10, length=[5, 7], crc32=[1, 2]))
    message = pb.StepRecord(step=step, mode=pb.TRAIN, columns=[columns], scalars={"loss": 0.5})
    message.cost.bytes = 7
    return message.SerializeToString()


def read_model(data: bytes) -> None:
    """A writer's model, and all that is made of it."""
    _ask(_run({names.model_tag("1-w"): [Message(0, 0.0, data)], names.shard_tag("1-w", 0): _steps(step_bytes())}))


def read_step(data: bytes) -> None:
    """One step between two good ones, which must stay."""
    run = _run(
        {
            names.model_tag("1-w"): [Message(0, 0.0, model_bytes())],
            names.shard_tag("1-w", 0): [
                Message(-1, 0.5, step_bytes(-1)),
                Message(1, 1.5, data),
                Message(2, 2.5, step_bytes(2)),
            ],
        }
    )
    assert run is not None
    assert {-1, 2} <= set(run.steps.tolist())
    _ask(run)


def read_event_file(data: bytes) -> None:
    """A file `events.out.tfevents` of a folder that the reader is given."""
    with tempfile.TemporaryDirectory(dir=_SHARED_MEMORY) as folder:
        path = Path(folder, "layers", "events.out.tfevents.1.layerview")
        path.parent.mkdir()
        path.write_bytes(data)
        for run in LayerReader(folder).runs():
            _ask(run)


def read_event(data: bytes) -> None:
    """One record with good checksums, behind those that say what is logged."""
    read_event_file(_split_event_file()[0] + framed(data))


_SHARED_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


def _steps(*data: bytes) -> list[Message]:
    return [Message(i, i + 0.5, one) for i, one in enumerate(data)]


def _run(messages: dict[str, list[Message]]) -> Run | None:
    return FolderLog("run", folder=None, payload_folder=None).update(messages, messages.keys())


def _ask(run: Run | None) -> None:
    """All that a server makes of a run without its payloads."""
    if run is None:
        return
    answer_run(run), steps(run), findings(run, None, RULES)
    run.targets()
    for tensor in run.tensors:
        run.pieces("values", tensor)


def read_values(data: bytes) -> None:
    decoded = values.decode(data)
    for axis, size in zip(decoded.axes, decoded.array.shape):
        indices = axis.indices() if axis.count < 1 << 16 else np.array([axis.start])
        assert axis.count == size and (not size or 0 <= indices[0] <= indices[-1] < axis.size)


def read_histogram(data: bytes) -> None:
    decoded = histogram.decode(data)
    assert (decoded.counts > 0).all() and (decoded.lower <= decoded.upper).all()
    assert np.isnan(decoded.quantiles([0.5])).all() == (not len(decoded.counts))


def read_units(data: bytes) -> None:
    decoded = units.decode(data)
    assert units.decode_one(data, "peak").shape == decoded.peak.shape == decoded.mean.shape


def _event_file_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        with LayerWriter(folder) as writer:
            for step in range(3):
                writer.write(step, {layer: np.arange(6.0).reshape(2, 3) * step for layer in LAYERS}, scalars={"a": 1})
        (path,) = (p for p in Path(folder, "layers").iterdir() if event_file.is_event_file(p.name))
        return path.read_bytes()


@functools.cache
def _split_event_file() -> tuple[bytes, bytes]:
    """The first two records, which are the version and the model, and the content of the third, which is a step."""
    data = _event_file_bytes()
    at = 0
    for _ in range(2):
        at += 16 + struct.unpack_from("<Q", data, at)[0]
    return data[:at], data[at + 12 : at + 12 + struct.unpack_from("<Q", data, at)[0]]


def _arrays() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.normal(size=(4, 5)), histogram.Cells.of(
        np.bincount(generator.integers(0, 8192, 3000), minlength=8192)
    )


def parsers() -> dict[str, tuple[Parser, list[bytes]]]:
    """Every parser of bytes from disk, and real bytes of what it reads."""
    array, cells = _arrays()
    axes = (values.Axis(0, 1, 4, 4), values.Axis(0, 2, 5, 10))
    return {
        "event file": (read_event_file, [_event_file_bytes()]),
        "event": (read_event, [_split_event_file()[1]]),
        "Model": (read_model, [model_bytes()[:-5], model_bytes(1)[:-5]]),
        "StepRecord": (read_step, [step_bytes(), step_bytes() + b"\x1a\x00"]),
        "values": (read_values, [values.encode(array, axes, p) for p in ("float16", "float32", "float64")]),
        "histogram": (read_histogram, [histogram.encode(cells), histogram.encode(cells, 3.5, -4)]),
        "units": (read_units, [units.encode(units.Units(*[abs(array[0])] * 4))]),
    }


def block(shape: tuple[int, ...], body: bytes, code: int = 0, length: int | None = None) -> bytes:
    """An array block that says this shape and length."""
    head = struct.pack(f"<BBh{len(shape)}I", code, len(shape), 0, *shape)
    return head + struct.pack("<I", len(body) if length is None else length) + body


def bomb(size: int) -> bytes:
    """Zeros, deflated 1,000 to 1."""
    squeeze = zlib.compressobj(9)
    return b"".join(squeeze.compress(bytes(1 << 20)) for _ in range(size >> 20)) + squeeze.flush()


_EDGES = (0, 1, 2**7, 2**15, 2**16 - 1, 2**31, 2**32 - 1, 2**60, 2**63 - 1, 2**64 - 1)


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Some damage: bits flipped, bytes cut out, put in, doubled, swapped, or numbers that lie."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        at = chance.randrange(len(found) + 1)
        kind = chance.randrange(7)
        if kind == 0 and at < len(found):
            found[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            found[at : at + chance.randrange(1, 9)] = chance.randbytes(chance.randrange(9))
        elif kind == 2:
            del found[at:]
        elif kind == 3:
            number = struct.pack("<Q", chance.choice(_EDGES))[: chance.choice((2, 4, 8))]
            found[at : at + len(number)] = number
        elif kind == 4:
            found[at:at] = _varint(chance.choice(_EDGES))
        elif kind == 5:
            end = min(len(found), at + chance.randrange(64))
            found[at:at] = found[at:end] * chance.randrange(1, 4)
        else:
            other = chance.randrange(len(found) + 1)
            low, high = sorted((at, other))
            found[:] = found[low:high] + found[:low] + found[high:]
    return bytes(found)


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes((*digits, number))
