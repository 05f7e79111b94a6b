"""How long the rules of health take: at a logged step while training, and over a whole log."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.measuring import Options, Row
from tb_layerview.format.logged import LoggedTensor
from tb_layerview.format.model import Kind, Layer, Model, Tensor
from tb_layerview.format.statistics import SUMMARIES, UPDATE_RATIO
from tb_layerview.health.connections import Connections
from tb_layerview.health.diagnosis import diagnose
from tb_layerview.health.evidence import Evidence
from tb_layerview.health.watch import Watch
from tb_layerview.measure.extra import Extra
from tb_layerview.measure.host import measure
from tb_layerview.measure.measurement import Measurement
from tb_layerview.measure.summary import summarise

LAYERS, STEPS, SHAPE = 25, 1000, (32, 64)
ROUNDS = 7
NAMES: dict[Kind, str] = {"activation": "output", "weight": "kernel", "gradient": "kernel", "update": "kernel"}
SCALES = {"activation": 1.0, "weight": 0.3, "gradient": 1e-2, "update": 3e-4}
MODEL = Model(
    tuple(Layer(f"dense_{i}", "Dense", (i - 1,) if i else ()) for i in range(LAYERS)),
    tuple(
        Tensor(i, kind, name, SHAPE, "float32", 0, ("example", "unit"), "tanh" if kind == "activation" else "")
        for i in range(LAYERS)
        for kind, name in NAMES.items()
    ),
)


def rows(options: Options) -> list[Row]:
    """The rules at a step and over a log, in processor time."""
    random = np.random.default_rng(0)
    arrays = [(SCALES[tensor.kind] * random.normal(size=SHAPE)).astype(np.float32) for tensor in MODEL.tensors]
    wanted = [Extra.of(tensor) for tensor in MODEL.tensors]

    def digests() -> dict[int, Measurement]:
        return {i: measure(array, units=True, sparse=wanted[i]) for i, array in enumerate(arrays)}

    measured = digests()
    at_a_step = _step(measured)
    for _ in range(200):  # until the table is full
        at_a_step()
    whole = _log(measured, random)
    against = "making the digests of one step on the host"
    rounds = options.rounds(ROUNDS)
    return [
        _row(f"rules at a logged step, {len(arrays)} tensors", against, at_a_step, digests, rounds, 2),
        _row(f"the same, over {STEPS:,} × {len(arrays)}", against, whole, digests, rounds, 500),
    ]


def _step(measured: dict[int, Measurement]) -> Callable[[], object]:
    """The rules at one more step, in which nothing is found."""
    watch, step = Watch(MODEL), iter(range(10**9))
    summaries, of = summarise(measured), {i: m.digest for i, m in measured.items()}
    return lambda: _nothing(watch.see(next(step), of, {"loss": 1.0}, summaries))


def _log(measured: dict[int, Measurement], random: np.random.Generator) -> Callable[[], object]:
    """The rules over a log whose statistics go up and down a little."""
    noise = np.exp(0.1 * random.normal(size=(len(measured), STEPS)))
    of_step = dict(zip(SUMMARIES, summarise(measured)))

    def statistic(name: str) -> npt.NDArray[np.float64]:
        if name == UPDATE_RATIO:
            return 1e-3 * noise
        found = of_step[name] if name in of_step else [getattr(m.digest, name) for m in measured.values()]
        return np.asarray(found, np.float64)[:, None] * noise

    tensors = [LoggedTensor.of(MODEL, i, i) for i in range(len(MODEL.tensors))]
    return lambda: _nothing(
        diagnose(Evidence.whole(Connections(MODEL.layers, tensors), np.arange(STEPS), statistic, [{}] * STEPS))
    )


def _nothing(found: Sequence[object]) -> None:
    if found:
        raise AssertionError(f"the log is healthy, and yet there is {found[0]}")


def _row(
    what: str, against: str, action: Callable[[], object], other: Callable[[], object], rounds: int, most: float
) -> Row:
    pairs = [(_seconds(action), _seconds(other)) for _ in range(rounds)]
    one, two = (statistics.median(times) for times in zip(*pairs))
    return Row(what, against, f"{1e3 * one:.2g} ms, {one / two:.2g} of it", f"{most:g} ms", 1e3 * one <= most)


def _seconds(action: Callable[[], object]) -> float:
    began = time.process_time()
    action()
    return time.process_time() - began
