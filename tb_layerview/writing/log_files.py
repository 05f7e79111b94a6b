"""One writer's files: an event file whose records TensorBoard reads, and the payloads beside it."""

from __future__ import annotations

import functools
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
from tb_layerview.format.addresses import checked
from tb_layerview.format.arrays import Precision
from tb_layerview.format.model import Mode, Model
from tb_layerview.format.places import Place, place_of
from tb_layerview.format.statistics import STATISTICS
from tb_layerview.format.storage import store_of
from tb_layerview.measure import payloads
from tb_layerview.measure.measurement import Measurement
from tb_layerview.measure.summary import summarise
from tb_layerview.writing.earlier import EarlierSteps, earlier_steps
from tb_layerview.writing.files import Files, LocalFiles

# A shard is what the plugin reads again while a run grows.
_SHARD_STEPS = 512
_SHARD_BYTES = 64 << 20

# Seconds for which a training waits until a store has said what it holds.
_LOOKING = 10.0

#: What it is that a mode logs.
NOUNS: dict[Mode, str] = {"train": "training", "evaluate": "evaluation", "predict": "prediction", "replay": "replay"}


class LogFiles:
    """What one writer appends to: records of steps, whole or not at all.

    Payload bytes are there before the event that refers to them. On this machine each call returns after the operating
    system has the bytes: they outlive the process. To a store they are on their way.

    Attributes:
      folder: The folder `layers` below the one that was given.
      writer: This writer's id: ids of later writers sort after it.
      bytes_written: To both files together.
    """

    def __init__(self, logdir: str | os.PathLike[str]) -> None:
        """Opens both files.

        Args:
          logdir: The run's folder, of this machine or in a store; the files go into its folder `layers`.

        Raises:
          ValueError: The folder cannot be made or written to, or nothing that is installed opens it.
        """
        self.folder = place_of(checked(logdir)) / names.FOLDER
        self.bytes_written = 0
        self._stamp = 0.0  # when the last event was appended
        try:
            if isinstance(self.folder, Path):
                self.folder.mkdir(parents=True, exist_ok=True)
            self._earlier, newest = _earlier(self.folder)
            # Clocks are put back. Readers order writers, and TensorBoard event files, by their names.
            now = max(time.time_ns(), newest + 1)
            self.writer = f"{now:019d}-{secrets.token_hex(4)}"
            self._files = _open(self.folder, now, self.writer)
            self._append(event_pb2.Event(wall_time=self._now(), file_version="brain.Event:2"))
        except OSError as error:
            raise ValueError(
                f"cannot log to {os.fspath(logdir)!r}: {str(error.strerror or error).rstrip('.')}. "
                "Give a folder that this user can write to."
            ) from (error if isinstance(self.folder, Path) else None)  # what a store says may hold secrets
        self._logdir = os.fspath(logdir)
        self._last: pb.StepRecord | None = None
        self._kept: list[weakref.ref[Any] | None] = []  # the values that the last write kept
        self._shard, self._shard_steps, self._shard_bytes = 0, 0, 0

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
        self._files.end(names.end_name(self.writer))

    def close(self, waits: bool = True) -> None:
        """Closes all that is open.

        Args:
          waits: Whether to return only when what was written has arrived.
        """
        self._files.close(waits)

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
            section.offset = self._files.payload_size
            section.length.extend(len(piece) for piece in pieces)
            section.crc32.extend(zlib.crc32(piece) for piece in pieces)
            for piece in pieces:
                self._files.add_payload(piece)
                self.bytes_written += len(piece)
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
        record = framing.framed(event.SerializeToString())
        self._files.add_event(record)
        self.bytes_written += len(record)

    @property
    def seconds_beside(self) -> float:
        """Seconds of processors that threads have taken which send what was written."""
        return self._files.seconds_beside


def _open(folder: Place, now: int, writer: str) -> Files:
    """What a new writer appends to.

    Raises:
      OSError: It cannot be made.
    """
    host = socket.gethostname()
    if isinstance(folder, Path):
        return LocalFiles(folder, names.payload_name(writer), names.event_name(now, host, writer))
    from tb_layerview.format.remote_storage import store_of
    from tb_layerview.writing.objects import Objects

    return Objects(folder, store_of(folder), writer, functools.partial(names.event_name, now, host, writer))


def _earlier(folder: Place) -> tuple[EarlierSteps | None, int]:
    """The steps that a folder shows, and when the newest of its writers began, in nanoseconds since 1970, or 0.

    What cannot be looked at is no reason not to log: a store may take what it does not show.
    """
    try:
        files = store_of(folder).files(folder, age=0.0, limit=_LOOKING)
        return earlier_steps(folder, files), max(map(_began, files), default=0)
    except FileNotFoundError:  # a store has no empty folders
        return None, 0
    except OSError as error:
        logger.warning("tb_layerview: what %s holds cannot be looked at: %s.", folder, error.strerror or error)
        return None, 0


def _began(name: str) -> int:
    found = re.fullmatch(names.payload_name(r"([0-9]{19})-[0-9a-f]{8}"), name)
    return int(found[1]) if found else 0
