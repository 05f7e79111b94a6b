"""`/thumbnails`: small pictures of many tensors at one step, of one example or of all."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tb_layerview.format import arrays, values
from tb_layerview.format.logged import LoggedTensor, NotLoggedError
from tb_layerview.format.model import Layer
from tb_layerview.format.values import Axis
from tb_layerview.reading import payload_file
from tb_layerview.reading.payload_file import PayloadError, Piece
from tb_layerview.reading.run import Run
from tb_layerview.serving import cuts, past
from tb_layerview.serving.cuts import Cut, Plan
from tb_layerview.serving.lru import Lru
from tb_layerview.serving.past import Past, Scale

#: The most tensors that are answered at a time, and the most bytes of levels in an answer.
MOST_TENSORS, MOST_LEVELS = 512, 1_000_000

_CACHED = 64 << 20
_WORKERS = 2  # zlib and numpy let go of Python while they work
_AT_ONCE = 16  # so many payloads are in memory while they are decoded


@dataclasses.dataclass(frozen=True)
class Answer:
    """What is answered.

    Attributes:
      head: As `docs/http_api.md` describes it.
      levels: What the lanes' offsets point into.
      is_damaged: Whether a payload could not be read: perhaps the run was logged anew.
    """

    head: dict[str, Any]
    levels: bytes
    is_damaged: bool


class _Kept(NamedTuple):
    """What is known of a tensor's kept values, whatever example is shown.

    Attributes:
      axes: What is kept of each axis.
      example: The axis of examples, or None.
      bad: int64: the examples, as the whole tensor counts them, that hold what is not finite.
    """

    axes: tuple[Axis, ...]
    example: int | None
    bad: npt.NDArray[np.int64]

    @property
    def examples(self) -> Axis | None:
        """Which examples are kept."""
        return None if self.example is None else self.axes[self.example]

    @property
    def is_empty(self) -> bool:
        """Whether there is no element."""
        return any(axis.count == 0 for axis in self.axes)


@dataclasses.dataclass(eq=False)
class _Lane:
    """A tensor whose picture is made.

    Attributes:
      tensor: The tensor.
      step: The step whose values are shown, or None if none are kept.
      rgb: Whether three channels are colours.
      example: The example that is shown, as the whole tensor counts them; None for all of them.
      kept: What is kept of it, once it is known.
      cut: Its picture, once it is made.
      problem: Why there is no picture.
      is_damaged: Whether that is because its payload cannot be read.
    """

    tensor: LoggedTensor
    step: int | None
    rgb: bool
    example: int | None
    kept: _Kept | None = None
    cut: Cut | None = None
    problem: str = ""
    is_damaged: bool = False

    def plan(self, rank: int) -> Plan:
        """Where the axes lie."""
        return cuts.plan(cuts.names_of(self.tensor.kind, self.tensor.axes, rank))

    def why_not(self) -> str:
        """Why what is kept has no picture to show, or nothing."""
        assert self.kept is not None
        examples = self.kept.examples
        if self.kept.is_empty:
            return f"{self.tensor} has no element at step {self.step}."
        if examples is None:
            return f"{self.tensor} has no axis of examples." if self.example is None else ""
        if self.example is None or self.place() is not None:
            return ""
        known = examples.indices()
        return (
            f"example {self.example} of {self.tensor} is not kept at step {self.step}: "
            f"{len(known)} of {examples.size} are, {known[0]} to {known[-1]}."
        )

    def place(self) -> int | None:
        """The place of the example among the kept ones; None for all of them, and for one that is not kept."""
        assert self.kept is not None
        examples = self.kept.examples
        if examples is None or self.example is None:
            return None
        place, rest = divmod(self.example - examples.start, examples.step)
        return place if not rest and 0 <= place < examples.count else None


class Thumbnails:
    """Makes small pictures, and keeps those that it made lately. May be used from many threads."""

    def __init__(self, past_of_runs: Past, most: int = _CACHED) -> None:
        """Holds so many bytes of pictures at most."""
        self._past = past_of_runs
        self._made: Lru[Any] = Lru(most)
        self._workers = ThreadPoolExecutor(_WORKERS, "layerview-thumbnails")

    def answer(self, run: Run, step: int, example: int | None, tensors: Sequence[int]) -> Answer:
        """`/thumbnails`.

        Args:
          run: The run.
          step: The step.
          example: Which example; None for all.
          tensors: Indices of the run's tensors.

        Raises:
          NotLoggedError: There is no such tensor.
        """
        lanes = _lanes(run, step, example, tensors)
        self._fill(run, [lane for lane in lanes if lane.step is not None])
        factor = _factor([lane.cut for lane in lanes if lane.cut is not None])
        scales = self._scales(run, lanes)
        described, levels, offset = [], [], 0
        for lane, scale in zip(lanes, scales):
            one = None if lane.cut is None else cuts.smaller(lane.cut, factor)
            described.append({**_described(lane, one, scale), "offset": offset})
            if one is not None:
                levels.append(cuts.levels(one, scale).tobytes())
                offset += len(levels[-1])
        kept = [lane.kept for lane in lanes if lane.kept is not None]
        bad = np.unique(np.concatenate([np.zeros(0, np.int64), *(one.bad for one in kept)]))
        head = {
            "step": step,
            "example": "all" if example is None else example,
            "examples": max((one.examples.count for one in kept if one.examples is not None), default=0),
            "non_finite_examples": bad.tolist(),
            "lanes": described,
        }
        return Answer(head, b"".join(levels), any(lane.is_damaged for lane in lanes))

    def _fill(self, run: Run, lanes: Sequence[_Lane]) -> None:
        """Makes the lanes' pictures, or takes them from those that were made."""
        missing: list[tuple[_Lane, Piece, bool]] = []
        for lane in lanes:
            lane.kept = self._made.get(_key(run, lane))
            if lane.kept is not None and not (problem := lane.why_not()):
                lane.cut = self._made.get(_key_of_cut(run, lane))
            elif lane.kept is not None:
                lane.problem = problem
                continue
            if lane.cut is None:
                try:
                    missing.append((lane, *_piece(run, lane.tensor, lane.step or 0)))
                except NotLoggedError as error:
                    lane.problem = f"{error}"
        read = payload_file.read_all(run.payload_folder, (piece for _, piece, _ in missing))
        looking = ((lane, data, is_finite) for (lane, _, is_finite), data in zip(missing, read))
        while group := list(itertools.islice(looking, _AT_ONCE)):
            list(self._workers.map(_look, *zip(*group)))
            for lane, *_ in group:
                self._keep(run, lane)

    def _keep(self, run: Run, lane: _Lane) -> None:
        if lane.kept is not None:
            self._made.put(_key(run, lane), lane.kept, lane.kept.bad.nbytes + 64 * len(lane.kept.axes))
        if lane.cut is not None:
            self._made.put(_key_of_cut(run, lane), lane.cut, lane.cut.array.nbytes)

    def _scales(self, run: Run, lanes: Sequence[_Lane]) -> list[Scale]:
        """What each lane's levels reach over."""
        inputs = inputs_of(run)
        is_input = [
            lane.cut is not None and (lane.cut.layout == "rgb" or lane.tensor.layer in inputs) for lane in lanes
        ]
        wanted = [lane.tensor.index for lane in lanes]
        reaches = {
            whole: self._past.reaches(run, [t for t, own in zip(wanted, is_input) if own == whole], not whole)
            for whole in (False, True)
        }
        in_turn = {whole: iter(found) for whole, found in reaches.items()}
        return [_scale(lane, next(in_turn[whole])) for lane, whole in zip(lanes, is_input)]


def _key(run: Run, lane: _Lane) -> Hashable:
    return run.generation, lane.tensor.index, lane.step


def _key_of_cut(run: Run, lane: _Lane) -> Hashable:
    assert lane.kept is not None
    example = "none" if lane.kept.examples is None else lane.example
    return run.generation, lane.tensor.index, lane.step, example


def _lanes(run: Run, step: int, example: int | None, tensors: Sequence[int]) -> list[_Lane]:
    """The lanes of tensors, in their order.

    Raises:
      NotLoggedError: There is no such tensor.
    """
    layers = {layer.path: layer for layer in run.layers}
    lanes = []
    for index in tensors:
        at = run.kept_near("values", index, step)
        tensor = run.tensors[index]
        lane = _Lane(tensor, at, tensor.kind == "activation" and _takes_nothing(layers[tensor.layer]), example)
        if at is None:
            lane.problem = f"{tensor} keeps no values at any step."
        lanes.append(lane)
    return lanes


def _piece(run: Run, tensor: LoggedTensor, step: int) -> tuple[Piece, bool]:
    """Where a tensor's values lie, and whether it was finite as a whole."""
    digest = run.digest(tensor, step)
    return run.piece("values", tensor, step), not (digest.nan or digest.pos_inf or digest.neg_inf)


def _takes_nothing(layer: Layer) -> bool:
    return layer.class_name in ("Input", "InputLayer") or not layer.inputs


def inputs_of(run: Run) -> set[str]:
    """The layers that are inputs. Where it is not known what any layer takes, only those that are called so."""
    is_known = any(layer.inputs for layer in run.layers)
    return {
        layer.path
        for layer in run.layers
        if layer.class_name in ("Input", "InputLayer") or (is_known and not layer.inputs)
    }


def _look(lane: _Lane, data: bytes | PayloadError, is_finite: bool) -> None:
    """Learns what is kept in a payload, and cuts the lane's picture out of it.

    Args:
      lane: The lane, which is filled.
      data: The payload.
      is_finite: Whether it is known that all elements are finite; then the examples after the shown one need not be
        inflated, which takes most of the time.
    """
    try:
        if isinstance(data, PayloadError):
            raise data
        axes, offset = payload_file.decoded(values.read_axes, data)
        how = lane.plan(len(axes))
        lane.kept = _Kept(axes, how.example, np.zeros(0, np.int64))
        place = lane.place()
        first = None if place is None or how.example != 0 or not is_finite else place + 1
        block = payload_file.decoded(lambda data: arrays.read(data, offset, first=first), data)
    except PayloadError as error:
        lane.problem, lane.is_damaged, lane.kept = str(error), True, None
        return
    bad = None if is_finite else cuts.non_finite(block.stored)
    if bad is not None and how.example is not None:
        lane.kept = lane.kept._replace(bad=axes[how.example].indices()[cuts.bad_examples(bad, how.example)])
    lane.problem = lane.why_not()
    if not lane.problem:
        lane.cut = cuts.cut(block, axes, how, bad, place, lane.rgb)


def _factor(made: Sequence[Cut]) -> int:
    """By how many times each side of all pictures is made smaller, so that an answer is no larger than it may be."""

    def total(factor: int) -> int:
        return sum(count * height * width for count, height, width in (one.shape(factor) for one in made))

    return next(factor for factor in itertools.count(1) if total(factor) <= MOST_LEVELS)


def _scale(lane: _Lane, reach: past.Reach | None) -> Scale:
    """What the levels of a lane reach over."""
    if lane.kept is None or lane.cut is None:
        return past.picture_scale(reach)
    names = cuts.names_of(lane.tensor.kind, lane.tensor.axes, len(lane.kept.axes))
    if past.is_scores(lane.tensor, names):
        keys = lane.kept.axes[names.index("key") if "key" in names else -1].size
        return past.attention_scale(reach, keys)
    return past.colour_scale(reach) if lane.cut.layout == "rgb" else past.picture_scale(reach)


def _described(lane: _Lane, one: Cut | None, scale: Scale) -> dict[str, Any]:
    count, height, width = (0, 0, 0) if one is None else one.shape()
    return {
        "tensor": lane.tensor.index,
        "step": None if one is None else lane.step,
        "problem": lane.problem,
        "layout": "strip" if one is None else one.layout,
        "count": count,
        "of": 0 if one is None else one.of,
        "width": width,
        "height": height,
        **scale._asdict(),
        "non_finite": 0 if one is None else one.non_finite,
    }


def needs_newer(run: Run, step: int, tensors: Iterable[int]) -> bool:
    """Whether a run as it was read before may lack what is asked for: a step after its last, or a new tensor."""
    return not len(run.steps) or step > run.steps[-1] or any(tensor >= len(run.tensors) for tensor in tensors)
