"""Runs: everything that was logged into one folder, as one history."""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import SupportsIndex, TypeVar

import numpy as np
import numpy.typing as npt

from tb_layerview.format import histogram, units, values
from tb_layerview.format.histogram import Histogram
from tb_layerview.format.logged import LoggedTensor, NotLoggedError, list_tensors, nearest
from tb_layerview.format.model import Cost, Kind, Layer, Mode, Model, Target
from tb_layerview.format.names import end_name
from tb_layerview.format.places import Place
from tb_layerview.format.statistics import (
    COUNTS,
    NAMES,
    QUANTILES,
    UPDATE_RATIO,
    Digest,
    Section,
)
from tb_layerview.format.storage import store_of
from tb_layerview.format.units import Units
from tb_layerview.format.values import Values
from tb_layerview.reading import payload_file
from tb_layerview.reading.part import Part, span
from tb_layerview.reading.payload_file import PayloadError, Piece

#: How many scalars a run has: each has a place at every step, logged or not.
MOST_SCALARS = 1024

_T = TypeVar("_T")


def target_array(target: Target) -> npt.NDArray[np.generic]:
    """The values of a target, which cannot be written to."""
    return np.frombuffer(target.values, np.dtype(target.dtype).newbyteorder("<")).reshape(target.shape)


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """Everything that was logged into one folder, as it was when it was read.

    Attributes:
      name: TensorBoard's name of the run without the folder `layers`; `.` for the log folder itself.
      folder: The folder that was given to whoever logged: a path, or in a store what has its address as text. None if
        nobody knows.
      layers: In the order in which they run; `inputs` are indices in here.
      tensors: What is logged; statistics have a row for each.
      steps: int64 [steps], ascending.
      wall_times: float64 [steps]: when each was logged, in seconds since 1970.
      modes: What the model was doing at each step.
      writers: Id of the writer that logged each step.
      model: What the newest writer says of itself: probe, notes, schedule, software.
      hidden: In words, what is in the files and not in here because a later writer replaced it; else empty.
      problems: A sentence about each thing in the files that could not be read.
      generation: The same for two readings of a run as long as the later one only has more steps at its end.
      payload_folder: Where the payload files lie, or None.
      parts: Where the steps come from.
    """

    name: str
    folder: Place | None
    layers: tuple[Layer, ...]
    tensors: tuple[LoggedTensor, ...]
    steps: npt.NDArray[np.int64]
    wall_times: npt.NDArray[np.float64]
    modes: tuple[Mode, ...]
    writers: tuple[str, ...]
    model: Model
    hidden: str
    problems: tuple[str, ...]
    generation: str
    payload_folder: Place | None = dataclasses.field(repr=False)
    parts: tuple[Part, ...] = dataclasses.field(repr=False)

    @property
    def ended(self) -> bool:
        """Whether it is known, now, that no step comes after the last: whoever logged it has closed the log.

        Of a training that was killed, and of a run that does not lie on this machine, nobody knows.
        """
        if self.payload_folder is None or not self.writers:
            return False
        try:
            store = store_of(self.payload_folder)
        except OSError:  # the package that opens it is not installed
            return False
        return store.exists(self.payload_folder / end_name(self.writers[-1]))

    def targets(self) -> dict[str, npt.NDArray[np.generic]]:
        """What the model was trained to give for the first of the probe's examples, by the name of its output.

        Returns:
          Arrays that cannot be written to, [examples, ...]: as many examples as are kept of the activation of which
          most are. One by the name "" where there is one output. None where the probe has no targets, or they are left
          out, of which the notes tell.
        """
        probe = self.model.probe
        return {target.name: target_array(target) for target in (probe.targets if probe is not None else ())}

    def tensor(self, layer: str, *, kind: Kind | None = None, name: str | None = None, call: int = 0) -> LoggedTensor:
        """Finds a tensor.

        Args:
          layer: The path of its layer.
          kind: Its kind; may be left out where only one tensor fits, like `name`.
          name: Its name.
          call: Which call of the layer made it.

        Raises:
          NotLoggedError: There is none, or there are several.
        """
        of_layer = [t for t in self.tensors if t.layer == layer]
        if not of_layer:
            raise NotLoggedError(f"run {self.name!r} logs no layer {layer!r}; {nearest(layer, self.layers_logged)}.")
        fitting = [t for t in of_layer if t.call == call and kind in (None, t.kind) and name in (None, t.name)]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise NotLoggedError(
                f"layer {layer!r} has {len(fitting)} tensors that fit: {list_tensors(fitting)}. "
                "Say which one with kind= and name=."
            )
        asked = ", ".join(f"{k}={v!r}" for k, v in (("kind", kind), ("name", name), ("call", call)) if v is not None)
        raise NotLoggedError(f"layer {layer!r} has no tensor with {asked}; it has: {list_tensors(of_layer)}.")

    @functools.cached_property
    def layers_logged(self) -> tuple[str, ...]:
        """The paths of the layers that have tensors, in the order of `tensors`."""
        return tuple(dict.fromkeys(t.layer for t in self.tensors))

    def statistics(self, statistic: str) -> npt.NDArray[np.float64]:
        """A statistic of all tensors at all steps.

        Args:
          statistic: `size`, `nan`, `pos_inf`, `neg_inf`, `zero` or `negative`, counts of elements; `min`, `max`,
            `mean`, `std` or `rms` of the finite elements, in the tensor's own unit; their quantiles `p1`, `p5`, `p25`,
            `p50`, `p75`, `p95` or `p99`, which are off by no more than `Histogram.quantiles` says; `silent`, the share
            (0 to 1) of units whose finite elements are all zero; `update_ratio`, the rms of an update by the rms of
            the weight that it changes, which is infinite where that is all zero; or what only some tensors have:
            `spread` and `rank` of activations over their examples, `saturated` of bounded activation functions,
            `positions`, `evenness` and `heads_alike` of attention scores, `shift` of layers that do something else
            when they train, `alike` of what has units, `taken_non_finite` of what takes something that no layer
            has put out, as `sparse_statistics` defines them.

        Returns:
          float64 [tensors, steps]; NaN where a tensor was not logged, or has nothing to take it of: no finite element,
          no units, no weight; or where an older writer did not store it.

        Raises:
          NotLoggedError: There is no such statistic.
        """
        return self.columns(statistic, range(len(self.tensors)))

    def columns(self, statistic: str, tensors: Sequence[SupportsIndex], since: int = 0) -> npt.NDArray[np.float64]:
        """The part of `statistics` for some tensors and the steps from index `since` on."""
        wanted = np.array([operator.index(tensor) for tensor in tensors], np.int64)
        found = np.full((len(wanted), max(0, len(self.steps) - since)), np.nan)
        for part in self.parts:
            positions = part.positions[part.positions >= since]
            if len(positions):
                column = self.part_column(part, statistic, wanted, since).T
                if part.is_rest:
                    before = found[:, positions - since]
                    column = np.where(np.isnan(before), column, before)
                found[:, span(positions - since)] = column
        return found

    def part_column(
        self, part: Part, statistic: str, tensors: npt.NDArray[np.int64], since: int = 0
    ) -> npt.NDArray[np.float64]:
        """What `columns` gives for the rows of one of the run's parts: float64 [rows, tensors]."""
        if statistic not in NAMES:
            raise NotLoggedError(f"there is no statistic {statistic!r}; there are {', '.join(NAMES)}.")
        if statistic != UPDATE_RATIO:
            return part.column(statistic, tensors, since)
        weights = self._weights[tensors]
        if part.is_rest:  # one step, at which another part has the weights
            at = int(part.positions[0])
            others = (p for p in self.parts if not p.is_rest and at in p.positions)
            of_weights = next(others).column("rms", weights, at)[:1]
        else:
            of_weights = part.column("rms", weights, since)
        with np.errstate(invalid="ignore", divide="ignore"):  # a weight that is all zero
            return part.column("rms", tensors, since) / of_weights

    @functools.cached_property
    def _weights(self) -> npt.NDArray[np.int64]:
        """int64 [tensors]: for each update the weight that it changes; -1 where there is none."""
        weights = {(t.layer, t.call, t.name): t.index for t in self.tensors if t.kind == "weight"}
        found = [weights.get((t.layer, t.call, t.name), -1) if t.kind == "update" else -1 for t in self.tensors]
        return np.array(found, np.int64)

    @functools.cached_property
    def scalars(self) -> dict[str, npt.NDArray[np.float64]]:
        """Loss, metrics and learning rate by name, float64 [steps]; NaN where a step has none."""
        found: dict[str, npt.NDArray[np.float64]] = {}
        for position, scalars in enumerate(self.scalars_by_step):
            for name, value in scalars.items():
                found.setdefault(name, np.full(len(self.steps), np.nan))[position] = value
        return found

    @functools.cached_property
    def scalars_by_step(self) -> tuple[Mapping[str, float], ...]:
        """For each step what was logged beside the layers; unlike in `scalars`, what is missing is not there.

        If there are more than `MOST_SCALARS` names, those that came first.
        """
        found: list[Mapping[str, float]] = [{}] * len(self.steps)
        for part in self.parts:
            for position, row in zip(part.positions, part.rows):
                found[position] = {**part.shard.scalars[row], **found[position]}
        names = dict.fromkeys(name for scalars in found for name in scalars)
        if len(names) > MOST_SCALARS:
            first = dict.fromkeys(islice(names, MOST_SCALARS))
            found = [{name: scalars[name] for name in scalars if name in first} for scalars in found]
        return tuple(found)

    @functools.cached_property
    def cost(self) -> Cost | None:
        """What logging had cost at the last step, or None if the writer does not measure it."""
        last = len(self.steps) - 1
        return None if last < 0 else self._at(last)[0].shard.costs[self._at(last)[1]]

    def digest(self, tensor: SupportsIndex, step: int) -> Digest:
        """All statistics of one tensor at one step, exactly.

        Raises:
          NotLoggedError: The tensor was not logged at that step.
        """
        index = self._index(tensor)
        part, row = self._at(self._position(step), index)
        if not part.has(row, index):
            raise NotLoggedError(f"{self.tensors[index]} was not logged at step {step}.")
        own = int(part.own_index[index])
        entries = [float(column[row, own]) for column in part.shard.table]
        return Digest(*(int(count) for count in entries[:COUNTS]), *entries[COUNTS:])

    def stored_quantiles(self, tensor: SupportsIndex, step: int) -> dict[str, float] | None:
        """The quantiles of `QUANTILES` of a tensor at a step, NaN without finite elements.

        They come from the columns; of logs of older writers, and of tensors that float32 does not hold, from the
        histogram. None where none is kept there.

        Raises:
          NotLoggedError: The tensor was not logged at that step.
          PayloadError: There is only the histogram, and its file is missing, cut off or damaged.
        """
        digest = self.digest(tensor, step)
        part, row = self._at(self._position(step), self._index(tensor))
        own = int(part.own_index[self._index(tensor)])
        summaries = np.array([column[row, own] for column in part.shard.dense], np.float64)
        # The quantiles come first. Rounded to float32 they may lie beyond the outermost element.
        stored = dict(zip(QUANTILES, np.clip(summaries, digest.min, digest.max).tolist()))
        largest, single = max(abs(digest.min), abs(digest.max)), np.finfo(np.float32)
        is_held = not largest or float(single.tiny) <= largest <= float(single.max)
        if math.isnan(largest) or (is_held and not math.isnan(stored["p50"])):
            return stored
        if step not in self.kept_steps("histogram", tensor):
            return None
        return dict(zip(QUANTILES, self.quantiles(tensor, step, list(QUANTILES.values())).tolist()))

    def histogram(self, tensor: SupportsIndex, step: int) -> Histogram:
        """The distribution of a tensor at a step.

        Raises:
          NotLoggedError: None is kept at that step.
          PayloadError: The payload file is missing, cut off or damaged.
        """
        return payload_file.decoded(histogram.decode, self.payload("histogram", tensor, step))

    def quantiles(self, tensor: SupportsIndex, step: int, q: Sequence[float]) -> npt.NDArray[np.float64]:
        """Values below which the fractions `q` (0 to 1) of a tensor's elements lie, from its histogram.

        Raises:
          NotLoggedError: No histogram is kept at that step.
          PayloadError: The payload file is missing, cut off or damaged.
        """
        digest = self.digest(tensor, step)
        found = self.histogram(tensor, step).quantiles(q)
        # A bin may reach beyond the outermost element in it.
        return np.asarray(np.clip(found, digest.min, digest.max))

    def units(self, tensor: SupportsIndex, step: int) -> Units:
        """Statistics per unit of a tensor at a step.

        Raises:
          NotLoggedError: None are kept at that step.
          PayloadError: The payload file is missing, cut off or damaged.
        """
        return payload_file.decoded(units.decode, self.payload("units", tensor, step))

    def values(self, tensor: SupportsIndex, step: int) -> Values:
        """The elements of a tensor that are kept at a step, with their place in the whole tensor.

        Raises:
          NotLoggedError: None are kept at that step.
          PayloadError: The payload file is missing, cut off or damaged.
        """
        return payload_file.decoded(values.decode, self.payload("values", tensor, step))

    def kept_steps(self, section: Section, tensor: SupportsIndex) -> npt.NDArray[np.int64]:
        """int64, ascending: the steps at which that section of a tensor is kept."""
        index = self._index(tensor)
        kept = np.zeros(len(self.steps), bool)
        for part in self.parts:
            kept[part.positions] |= part.kept(section, index)
        return self.steps[kept]

    def pieces(self, section: Section, tensor: SupportsIndex, since: int = 0) -> list[Piece | None]:
        """Where that section of a tensor lies, for each step from index `since` on; None where it is not kept."""
        index = self._index(tensor)
        found: list[Piece | None] = [None] * len(self.steps)
        for part in self.parts:
            for i in np.flatnonzero(part.kept(section, index) & (part.positions >= since)):
                found[part.positions[i]] = part.piece(section, int(part.rows[i]), index)
        return found[since:]

    def kept_near(self, section: Section, tensor: SupportsIndex, step: int) -> int | None:
        """The latest step up to this one, else the first later one, at which a section is kept; None if at none."""
        kept = self.kept_steps(section, tensor)
        at = int(np.searchsorted(kept, step, side="right"))
        return int(kept[max(0, at - 1)]) if len(kept) else None

    def piece(self, section: Section, tensor: SupportsIndex, step: int) -> Piece:
        """Where that section of a tensor lies.

        Raises:
          NotLoggedError: It is not kept at that step.
        """
        index, position = self._index(tensor), self._position(step)
        part, row = self._at(position, index)
        if not part.keeps(section, row, index):
            kept = self.kept_steps(section, index)
            where = f"the nearest step that does is {_nearest_step(kept, step)}" if len(kept) else "no step does"
            raise NotLoggedError(f"{self.tensors[index]} keeps no {section} at step {step}; {where}.")
        return part.piece(section, row, index)

    def payload(self, section: Section, tensor: SupportsIndex, step: int) -> bytes:
        """The stored bytes of a section, as `docs/http_api.md` describes them.

        Raises:
          NotLoggedError: It is not kept at that step.
          PayloadError: The payload file is missing, cut off or damaged.
        """
        return payload_file.read(self.payload_folder, self.piece(section, tensor, step))

    def each(
        self, section: Section, tensor: SupportsIndex, since: int, decode: Callable[[bytes], _T]
    ) -> list[_T | PayloadError | None]:
        """What `decode` makes of a section of a tensor at each step from index `since` on.

        None where it is not kept, and where it cannot be read or decoded (a `ValueError`) the error.
        """
        found: list[_T | PayloadError | None] = []
        pieces = self.pieces(section, tensor, since)
        read = payload_file.read_all(self.payload_folder, filter(None, pieces))
        for piece in pieces:
            data = None if piece is None else next(read)
            if isinstance(data, bytes):
                try:
                    found.append(payload_file.decoded(decode, data))
                except PayloadError as error:
                    found.append(error)
            else:
                found.append(data)
        return found

    def _index(self, tensor: SupportsIndex) -> int:
        index = operator.index(tensor)
        if not 0 <= index < len(self.tensors):
            raise NotLoggedError(f"run {self.name!r} has no tensor {index}; it has {len(self.tensors)}, from 0 on.")
        return index

    def _position(self, step: int) -> int:
        position = int(np.searchsorted(self.steps, step))
        if position == len(self.steps) or self.steps[position] != step:
            near = f"the nearest one is {_nearest_step(self.steps, step)}" if len(self.steps) else "it has none"
            raise NotLoggedError(f"run {self.name!r} did not log step {step}; {near}.")
        return position

    def _at(self, position: int, tensor: int | None = None) -> tuple[Part, int]:
        """The part that holds a step, and its row there: of several the one that has the tensor, else the first."""
        found: list[tuple[Part, int]] = []
        for part in self.parts:
            i = int(np.searchsorted(part.positions, position))
            if i < len(part.positions) and part.positions[i] == position:
                found.append((part, int(part.rows[i])))
                if tensor is None or part.has(found[-1][1], tensor):
                    return found[-1]
        if not found:
            raise AssertionError(f"no part of run {self.name!r} holds its step at {position}")
        return found[0]


def _nearest_step(steps: npt.NDArray[np.int64], step: int) -> int:
    return int(steps[np.argmin(np.abs(steps - step))])
