"""One writer's files: an event file whose records TensorBoard reads, and the payloads beside it."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import secrets
import socket
import time
import weakref
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2

from tb_layerview.about import logger
from tb_layerview.format import framing, messages, names, statistics, values
from tb_layerview.format import layerview_pb2 as pb
from tb_layerview.format.addresses import local_folder
from tb_layerview.format.arrays import Precision
from tb_layerview.format.model import Mode, Model
from tb_layerview.format.statistics import STATISTICS
from tb_layerview.measure import payloads
from tb_layerview.measure.measurement import Measurement
from tb_layerview.measure.summary import summarise
from tb_layerview.writing.earlier import EarlierSteps, earlier_steps

# A shard is what the plugin reads again while a run grows.
_SHARD_STEPS = 512
_SHARD_BYTES = 64 << 20
# A step's payloads without values go out at once: in pieces of Python's 8 KB they take a tenth longer to write.
_PAYLOAD_BUFFER = 1 << 18

#: What it is that a mode logs.
NOUNS: dict[Mode, str] = {"train": "training", "evaluate": "evaluation", "predict": "prediction", "replay": "replay"}


class LogFiles:
    """What one writer appends to: records of steps, whole or not at all.

    Payload bytes are flushed before the event that refers to them, so what an event refers to is there, and each call
    returns after the operating system has the bytes: they outlive the process.

    Attributes:
      folder: The folder `layers` below the one that was given.
      writer: This writer's id: ids of later writers sort after it.
      bytes_written: To both files together.
    """

    def __init__(self, logdir: str | os.PathLike[str]) -> None:
        """Opens both files.

        Args:
          logdir: The run's folder; the files go into its folder `layers`.

        Raises:
          ValueError: The folder cannot be made or written to, or is not on this machine.
        """
        self.folder = Path(os.path.expanduser(local_folder(logdir))) / names.FOLDER
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._earlier = _earlier(self.folder)
            # Clocks are put back. Readers order writers, and TensorBoard event files, by their names.
            now = max(time.time_ns(), _newest(self.folder) + 1)
            self.writer = f"{now:019d}-{secrets.token_hex(4)}"
            event_name = f"events.out.tfevents.{now // 10**9}.{socket.gethostname()}.{self.writer}{names.EVENT_SUFFIX}"
            with contextlib.ExitStack() as opened:
                payload = self.folder / names.payload_name(self.writer)
                self._payload = opened.enter_context(open(payload, "xb", _PAYLOAD_BUFFER))
                self._events = opened.enter_context(open(self.folder / event_name, "xb"))
                self._opened = _open_folder(self.folder, opened)
                self._files = opened.pop_all()
        except OSError as error:
            raise ValueError(
                f"cannot log to {os.fspath(logdir)!r}: {error.strerror or error}. "
                "Give a folder that this user can write to."
            ) from error
        weakref.finalize(self, self._files.close).atexit = False  # as files are that nobody closes
        self._logdir = os.fspath(logdir)
        self.bytes_written = 0
        self._last: pb.StepRecord | None = None
        self._kept: list[weakref.ref[Any] | None] = []  # the values that the last write kept
        self._shard, self._shard_steps, self._shard_bytes = 0, 0, 0
        self._is_linked = os.fstat(self._events.fileno()).st_nlink > 0  # not every file system counts
        self._stamp = 0.0  # when the last event was appended
        self._append(event_pb2.Event(wall_time=self._now(), file_version="brain.Event:2"))

    def warn_of_hidden(self, step: int, mode: Mode) -> None:
        """Says which steps of earlier writers are hidden once this one has logged its first step.

        One that goes on where they have ended, or after it, hides nothing; and replays belong to their training, of
        which it is said.
        """
        earlier = self._earlier
        if earlier is None or earlier.last <= step or mode == "replay":
            return
        logger.warning(
            "tb_layerview: %s holds steps %s to %s%s of another %s: they are hidden from step %s on. "
            "Give another folder to keep both.",
            self._logdir,
            f"{earlier.first:,}",
            f"{earlier.last:,}",
            "" if earlier.is_all else " and more",
            NOUNS[mode],
            f"{max(step, earlier.first):,}",
        )

    def describe(self, model: Model, most: int | None = None) -> None:
        """Says what the records that follow refer to. A later model must begin with the tensors of the one before.

        Args:
          model: What is logged.
          most: So many bytes the log may have then; it stays as it is, if it had more.
        """
        step = self._last.step if self._last else 0
        event = self._event(names.model_tag(self.writer), step, messages.with_checksum(messages.model_to_proto(model)))
        if most is None or self.bytes_written + len(framing.framed(event.SerializeToString())) <= most:
            self._append(event)

    def write(
        self,
        step: int,
        measurements: Mapping[int, Measurement],
        *,
        mode: Mode = "train",
        scalars: Mapping[str, float] | None = None,
        cost: pb.Cost | None = None,
        precision: Precision = "float16",
        summaries: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Appends a step, or adds to the one that was appended last.

        What is written of the same tensors again replaces what was; values that are the very same array are not stored
        a second time.

        Args:
          step: Not smaller than any before.
          measurements: By index of the tensor in the model that was described.
          mode: What the model was doing.
          scalars: Loss, metrics, learning rate by name.
          cost: What logging has cost so far; how many bytes, is filled in.
          precision: How kept values are stored.
          summaries: What `summarise` made of the measurements before parts were left out of them; if not given, it is
            made of what is there.

        Raises:
          ValueError: `step` is smaller than the one before.
          OSError: The bytes cannot be written.
        """
        if self._last is not None and step < self._last.step:
            raise ValueError(
                f"step {step} comes after step {self._last.step}: within one writer steps must not go back. "
                "Open a new writer to log them again; it hides the steps that it replaces."
            )
        if self._last is None or step > self._last.step:
            self._next_shard_if_full()
            self._last = pb.StepRecord(step=step)
            self._shard_steps += 1
        self._last.mode = messages.MODES[mode]
        columns = self._columns(measurements, precision)
        summaries = summarise(measurements) if summaries is None else summaries
        for name, column in zip(statistics.SUMMARIES, summaries):
            if name in statistics.DENSE:
                getattr(columns, name).extend(column.tolist())
                continue
            has = np.flatnonzero(~np.isnan(column))
            if len(has):
                columns.sparse.add(name=name, tensor=[columns.tensor[i] for i in has], value=column[has].tolist())
        if self._last.columns and self._last.columns[-1].tensor == columns.tensor:
            del self._last.columns[-1]
        self._last.columns.append(columns)
        self._last.scalars.update(scalars or {})
        if cost is not None:
            self._last.cost.CopyFrom(cost)
            self._last.cost.bytes = self.bytes_written
        data = messages.with_checksum(self._last)
        self._shard_bytes += len(data)
        self._append(self._event(names.shard_tag(self.writer, self._shard), step, data))

    def write_earlier(self, write: Callable[[], None]) -> None:
        """Appends steps before the last one: `write` appends them, in ascending order.

        They get a shard of their own: within one tag, TensorBoard's loaders drop steps that go back.
        """
        last, kept = self._last, self._kept
        self._last = None
        self._next_shard()
        try:
            write()
        finally:
            self._last, self._kept = last, kept
            self._next_shard()

    def end(self) -> None:
        """Says that nothing more comes: the step that was written last is the run's last.

        Nobody could tell from the files: those of a training that was killed look the same.

        Raises:
          OSError: It cannot be written down.
        """
        name = names.end_name(self.writer)
        if self._opened is None:
            (self.folder / name).touch()
        else:  # which may have another name by now
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o666, dir_fd=self._opened))

    def close(self) -> None:
        """Closes both files and the folder, each whatever becomes of the others."""
        self._files.close()

    def _now(self) -> float:
        """Seconds since 1970, and later than the last event's: by that readers see that a step was added to."""
        self._stamp = max(time.time(), math.nextafter(self._stamp, math.inf))
        return self._stamp

    def _next_shard_if_full(self) -> None:
        if self._shard_steps >= _SHARD_STEPS or self._shard_bytes >= _SHARD_BYTES:
            self._next_shard()

    def _next_shard(self) -> None:
        self._shard, self._shard_steps, self._shard_bytes = self._shard + 1, 0, 0

    def _columns(self, measurements: Mapping[int, Measurement], precision: Precision) -> pb.Columns:
        columns = pb.Columns(tensor=sorted(measurements))
        ordered = [measurements[index] for index in columns.tensor]
        for name in STATISTICS:
            getattr(columns, name).extend(getattr(m.digest, name) for m in ordered)
        sections = [
            (columns.histograms, payloads.histograms(ordered)),
            (columns.units, payloads.statistics_per_unit(ordered)),
        ]
        if self._is_stored(columns, ordered):
            assert self._last is not None
            columns.values.CopyFrom(self._last.columns[-1].values)
        else:
            encoded = [b"" if m.kept is None else values.encode(m.kept, m.kept_axes, precision) for m in ordered]
            sections.append((columns.values, encoded))
            self._kept = [None if m.kept is None else weakref.ref(m.kept) for m in ordered]
        for section, pieces in sections:
            if not any(pieces):
                continue
            section.offset = self._payload.tell()
            section.length.extend(len(piece) for piece in pieces)
            section.crc32.extend(zlib.crc32(piece) for piece in pieces)
            for piece in pieces:
                self.bytes_written += self._payload.write(piece)
        self._payload.flush()
        return columns

    def _is_stored(self, columns: pb.Columns, measurements: list[Measurement]) -> bool:
        """Whether the last write, of the same step and tensors, stored the values of these measurements."""
        if self._last is None or not self._last.columns or self._last.columns[-1].tensor != columns.tensor:
            return False
        return all(m.kept is (kept and kept()) for m, kept in zip(measurements, self._kept))

    def _event(self, tag: str, step: int, data: bytes) -> event_pb2.Event:
        value = summary_pb2.Summary.Value(
            tag=tag,
            metadata=summary_pb2.SummaryMetadata(
                plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=names.PLUGIN_NAME),
                data_class=summary_pb2.DATA_CLASS_TENSOR,
            ),
            tensor=tensor_pb2.TensorProto(
                dtype=types_pb2.DT_STRING, tensor_shape=tensor_shape_pb2.TensorShapeProto(), string_val=[data]
            ),
        )
        return event_pb2.Event(wall_time=self._now(), step=step, summary=summary_pb2.Summary(value=[value]))

    def _append(self, event: event_pb2.Event) -> None:
        self.bytes_written += self._events.write(framing.framed(event.SerializeToString()))
        self._events.flush()
        if self._is_linked and not os.fstat(self._events.fileno()).st_nlink:
            raise FileNotFoundError(errno.ENOENT, "the log's files were removed while it was written", str(self.folder))


def _open_folder(folder: Path, opened: contextlib.ExitStack) -> int | None:
    """The folder as it is found whatever it is called later, until `opened` is closed; None where there is no such."""
    if os.open not in os.supports_dir_fd:  # Windows, where it cannot be renamed meanwhile
        return None
    found = os.open(folder, os.O_RDONLY)
    opened.callback(os.close, found)
    return found


def _earlier(folder: Path) -> EarlierSteps | None:
    """The steps that a folder shows; what cannot be looked at is no reason not to log."""
    try:
        return earlier_steps(folder)
    except OSError as error:
        logger.warning("tb_layerview: what %s holds cannot be looked at: %s.", folder, error.strerror or error)
        return None


def _newest(folder: Path) -> int:
    """When the newest of the writers in a folder began, as its id says: nanoseconds since 1970."""
    ids = (re.fullmatch(names.payload_name(r"([0-9]{19})-[0-9a-f]{8}"), path.name) for path in folder.iterdir())
    return max((int(found[1]) for found in ids if found), default=0)
