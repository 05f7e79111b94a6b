"""Rules on made-up statistics: how long something has to hold, what is inherited, and what is one matter."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from tb_layerview import LayerReader, LayerWriter
from tb_layerview.commands import cli
from tb_layerview.format.logged import LoggedTensor
from tb_layerview.format.model import Kind, Layer, Model, Tensor
from tb_layerview.format.statistics import SUMMARIES, Digest
from tb_layerview.health.connections import Connections
from tb_layerview.health.diagnosis import diagnose
from tb_layerview.health.evidence import Evidence
from tb_layerview.health.finding import Finding
from tb_layerview.health.of_run import evidence_of
from tb_layerview.health.watch import Watch

DIGEST = tuple(field.name for field in dataclasses.fields(Digest))
UNITS = 16
#: What a healthy tensor's statistics are; a bias and its update are smaller.
HEALTHY = {"size": 512.0, "min": -2.0, "max": 2.0, "mean": 0.01, "std": 0.5, "rms": 0.5, "silent": 0.1, "zero": 100.0}


class MadeUp:
    """Statistics of layers one after another, healthy until `set` says something else.

    Attributes:
      steps: int64 [steps].
    """

    def __init__(self, layers: Sequence[tuple[str, str, int]], steps: Sequence[int]) -> None:
        """Of layers with path, class name and units; a `Dense` and a `Conv2D` have a kernel."""
        self.layers = [Layer("input", "Input")]
        self.tensors: list[Tensor] = []
        for i, (path, class_name, units) in enumerate(layers):
            self.layers.append(Layer(path, class_name, (i,)))
            function = "relu" if class_name in ("Dense", "Conv2D", "ReLU") else ""
            self._add("activation", "output", (32, units), function)
            if class_name in ("Dense", "Conv2D"):
                for kind in ("weight", "gradient", "update"):
                    self._add(kind, "kernel", (8, units), "")
        self.steps = np.array(steps, np.int64)
        shape = (len(self.tensors), len(steps))
        self.columns = {name: np.full(shape, HEALTHY.get(name, 0.0)) for name in (*DIGEST, *SUMMARIES)}
        for name in SUMMARIES:
            if name != "silent":
                self.columns[name][:] = np.nan
        for i, tensor in enumerate(self.tensors):
            if tensor.kind == "update":
                for name in ("mean", "std", "rms"):
                    self.columns[name][i] *= 1e-3

    def _add(self, kind: Kind, name: str, shape: tuple[int, ...], function: str) -> None:
        self.tensors.append(Tensor(len(self.layers) - 1, kind, name, shape, "float32", function=function))

    def set(self, path: str, kind: Kind, since: int, until: int = 1 << 60, **statistics: float) -> None:
        """Has statistics of a layer's tensor be others from one step on, and before another."""
        at = (self.steps >= since) & (self.steps < until)
        for i, tensor in enumerate(self.tensors):
            if self.layers[tensor.layer].path == path and tensor.kind == kind:
                for name, value in statistics.items():
                    self.columns[name][i, at] = value

    def silence(self, path: str, since: int, share: float, until: int = 1 << 60) -> None:
        """Has this share of an activation's units be zero for all examples."""
        whole = {"rms": 0.0, "mean": 0.0, "std": 0.0, "min": 0.0, "max": 0.0} if share == 1 else {}
        zero = HEALTHY["size"] * (share + 0.1 * (1 - share))
        self.set(path, "activation", since, until, silent=share, zero=zero, **whole)

    def found(self, ended: bool = True) -> tuple[Finding, ...]:
        """What is found in all of it."""
        model = Model(tuple(self.layers), tuple(self.tensors))
        tensors = [LoggedTensor.of(model, i, i) for i in range(len(self.tensors))]

        def statistic(name: str) -> np.ndarray:
            if name == "update_ratio":
                weights = {t.layer: i for i, t in enumerate(self.tensors) if t.kind == "weight"}
                of = [weights[t.layer] if t.kind == "update" else i for i, t in enumerate(self.tensors)]
                is_update = np.array([t.kind == "update" for t in self.tensors])
                return np.where(is_update[:, None], self.columns["rms"] / self.columns["rms"][of], np.nan)
            return self.columns[name]

        connections = Connections(self.layers, tensors)
        return diagnose(Evidence.whole(connections, self.steps, statistic, [{}] * len(self.steps), ended=ended))

    def seen(self, ended: bool = True) -> list[Finding]:
        """What is found step by step, in the order in which it is."""
        watch = Watch(Model(tuple(self.layers), tuple(self.tensors)))
        found: list[Finding] = []
        for column, step in enumerate(self.steps.tolist()):
            digests = {
                i: Digest(*(self.columns[name][i, column] for name in DIGEST))  # type: ignore[arg-type]
                for i in range(len(self.tensors))
            }
            summaries = np.array([self.columns[name][:, column] for name in SUMMARIES], np.float32)
            found += watch.see(step, digests, {}, summaries)
        return found + (watch.end() if ended else [])


def told(findings: Sequence[Finding]) -> set[tuple[str, str, int]]:
    """Rule, layer and first step of each."""
    return {(f.rule, f.tensor.layer if f.tensor else "", f.first) for f in findings}


def roots(findings: Sequence[Finding]) -> list[tuple[str, str, int, int]]:
    """Rule, layer, first and last step of those that follow from nothing."""
    return [(f.rule, f.tensor.layer if f.tensor else "", f.first, f.last) for f in findings if f.follows is None]


CHAIN = [("conv_1", "Conv2D", UNITS), ("conv_2", "Conv2D", UNITS), ("classes", "Dense", 10)]


def test_a_made_up_log_of_healthy_layers_has_nothing_in_it() -> None:
    for every in (1, 5, 50):
        made = MadeUp(CHAIN, range(0, 60 * every, every))
        assert made.found() == () and made.seen() == []


def test_a_layer_that_dies_by_and_by_is_one_matter_that_lasts_to_the_end() -> None:
    made = MadeUp(CHAIN, range(61))
    made.silence("conv_2", 15, 0.95)
    made.silence("conv_2", 40, 1.0)
    found = made.found()
    assert roots(found) == [("silent_units", "conv_2", 15, 60)]
    (dead,) = [f for f in found if f.rule == "silent_layer"]
    assert (dead.first, dead.last, dead.severity, dead.follows) == (40, 60, "error", 0)
    # While it trains: the one after ten steps, the other after three, and nothing at the end that was not known.
    seen = made.seen()
    assert [(f.rule, f.first) for f in seen] == [("silent_units", 15), ("silent_layer", 40)]
    assert seen[1].follows == 0 and made.seen(ended=False) == seen


def test_what_dies_as_a_whole_is_told_as_that_alone() -> None:
    made = MadeUp(CHAIN, range(61))
    made.silence("conv_2", 15, 1.0)
    made.set("conv_2", "update", 15, silent=1.0)
    assert told(made.found()) == {("silent_layer", "conv_2", 15)} == told(made.seen())


def test_what_comes_back_in_part_is_still_mostly_silent() -> None:
    made = MadeUp(CHAIN, range(61))
    made.silence("conv_2", 15, 1.0, until=30)
    made.silence("conv_2", 30, 0.95)
    found = made.found()
    assert {(f.rule, f.first, f.last) for f in found} == {("silent_layer", 15, 29), ("silent_units", 15, 60)}


def test_dead_units_last_while_the_whole_layer_is_dead() -> None:
    made = MadeUp(CHAIN, range(61))
    made.silence("conv_2", 15, 0.7)
    made.set("conv_2", "update", 15, silent=0.7)
    made.silence("conv_2", 40, 1.0)
    made.set("conv_2", "update", 40, silent=1.0)
    found = made.found()
    assert roots(found) == [("dead_units", "conv_2", 15, 60)]
    assert told(found) >= {("silent_layer", "conv_2", 40)}


@pytest.mark.parametrize("silent_steps", [1, 2])
def test_a_layer_that_dies_at_the_end_is_told_once_it_is_known_to_be_the_end(silent_steps: int) -> None:
    made = MadeUp(CHAIN, range(31))
    made.silence("conv_2", 31 - silent_steps, 1.0)
    assert made.found(ended=False) == () and made.seen(ended=False) == []
    (found,) = made.found()
    assert (found.rule, found.first, found.last) == ("silent_layer", 31 - silent_steps, 30)
    assert made.seen() == [found]


def test_only_zeros_need_no_patience_at_the_end() -> None:
    made = MadeUp(CHAIN, range(31))
    made.silence("conv_2", 29, 0.95)
    made.set("conv_1", "gradient", 29, rms=1e-20)
    assert made.found() == () and made.seen() == []


def test_a_dropout_that_drops_all_of_a_layer_at_the_last_step_is_no_dead_layer() -> None:
    made = MadeUp([*CHAIN[:2], ("dropout", "Dropout", UNITS), CHAIN[2]], range(31))
    made.silence("dropout", 30, 1.0)
    assert made.found() == ()
    relu = MadeUp([*CHAIN[:2], ("relu", "ReLU", UNITS), CHAIN[2]], range(31))
    relu.silence("relu", 30, 1.0)
    assert told(relu.found()) == {("silent_layer", "relu", 30)}


@pytest.mark.parametrize(
    ("every", "silent_from", "is_found"),
    [
        (1, 51, True),  # steps 51 to 60 are ten
        (1, 52, False),
        (3, 51, True),  # 51, 54, 57, 60
        (3, 54, False),  # 54, 57, 60: seven training steps
        (50, 2950, True),  # two logged steps with 50 between them
        (50, 3000, False),  # one is never enough
    ],
)
def test_patience_is_in_training_steps_with_two_logged_ones_among_them(
    every: int, silent_from: int, is_found: bool
) -> None:
    made = MadeUp(CHAIN, range(0, (60 if every < 50 else 3000) + 1, every))
    made.silence("conv_2", silent_from, 0.95)
    assert told(made.found()) == told(made.seen()) == ({("silent_units", "conv_2", silent_from)} if is_found else set())


#: Layers that only pass on: class, units, and the share of units and of elements that are zero where the convolution
#: before has 95 % of its channels silent, as numpy has it below.
PASSING: dict[str, tuple[int, Callable[[np.ndarray], np.ndarray]]] = {
    "Flatten": (8 * 8 * UNITS, lambda a: a.reshape(32, -1)),
    "Reshape": (8, lambda a: a.reshape(32, -1, 8)),
    "Permute": (8, lambda a: a.transpose(0, 3, 1, 2)),
    "MaxPooling2D": (UNITS, lambda a: a.reshape(32, 4, 2, 4, 2, UNITS).max(axis=(2, 4))),
    "AveragePooling2D": (UNITS, lambda a: a.reshape(32, 4, 2, 4, 2, UNITS).mean(axis=(2, 4))),
    "GlobalAveragePooling2D": (UNITS, lambda a: a.mean(axis=(1, 2))),
    "ZeroPadding2D": (UNITS, lambda a: np.pad(a, ((0, 0), (2, 2), (2, 2), (0, 0)))),
    "Cropping2D": (UNITS, lambda a: a[:, 3:-3, 3:-3]),
    "UpSampling2D": (UNITS, lambda a: a.repeat(2, axis=1).repeat(2, axis=2)),
    "Dropout": (UNITS, lambda a: a * (np.random.default_rng(1).random(a.shape) > 0.5)),
    "SpatialDropout2D": (UNITS, lambda a: a * (np.random.default_rng(1).random((32, 1, 1, UNITS)) > 0.5)),
    "Activation": (UNITS, lambda a: np.maximum(a, 0)),
}


@pytest.mark.parametrize("name", PASSING)
def test_a_layer_that_passes_on_what_a_silent_one_gives_has_no_part_in_it(name: str) -> None:
    units, function = PASSING[name]
    given = np.maximum(np.random.default_rng(0).normal(size=(32, 8, 8, UNITS)), 0)
    given[..., 1:] = 0  # 15 of 16
    passed = function(given)
    silent = float((passed.reshape(-1, passed.shape[-1]) == 0).all(axis=0).mean())
    made = MadeUp([*CHAIN[:2], ("passes", name, units), CHAIN[2]], range(40))
    made.set("conv_2", "activation", 10, silent=15 / 16, size=given.size, zero=np.count_nonzero(given == 0))
    made.set("conv_2", "update", 10, silent=15 / 16)
    made.set("passes", "activation", 10, silent=silent, size=passed.size, zero=np.count_nonzero(passed == 0))
    assert {f.tensor.layer for f in made.found() if f.tensor} == {"conv_2"}
    assert roots(made.found()) == [("silent_units", "conv_2", 10, 39)]
    assert told(made.seen()) == told(made.found())


def test_a_flatten_of_a_layer_that_is_not_silent_enough_is_not_told_instead() -> None:
    """Of 88 % silent channels and borders that are black a Flatten makes 95 % silent units."""
    made = MadeUp([*CHAIN[:2], ("flatten", "Flatten", 1024), CHAIN[2]], range(40))
    made.set("conv_2", "activation", 10, silent=0.88, zero=490.0)
    made.set("flatten", "activation", 10, silent=0.951, zero=490.0)
    assert made.found() == ()


def test_a_layer_without_weights_that_silences_what_it_takes_alive_is_told() -> None:
    for name in ("Dropout", "ReLU", "Lambda"):
        made = MadeUp([*CHAIN[:2], ("silences", name, UNITS), CHAIN[2]], range(40))
        made.silence("silences", 10, 0.95)
        assert ("silent_units", "silences", 10) in told(made.found())


def spiked(made: MadeUp, at: int, size: float) -> MadeUp:
    """With an update of one step of that size."""
    made.set("conv_2", "update", at, at + 1, rms=size)
    return made


@pytest.mark.parametrize(
    ("at", "size", "is_found"), [(40, 30e-3 * 0.5, True), (40, 9e-3 * 0.5, False), (9, 30e-3 * 0.5, False)]
)
def test_an_update_that_is_ten_times_the_largest_before_is_a_spike_once_ten_steps_are_known(
    at: int, size: float, is_found: bool
) -> None:
    made = spiked(MadeUp(CHAIN, range(61)), at, size)
    expected = {("update_spike", "conv_2", at)} if is_found else set()
    assert told(made.found()) == expected == told(made.seen())


@pytest.mark.parametrize("every", [1, 50])
def test_a_weight_that_is_written_between_two_steps_is_found_although_no_update_shows_it(every: int) -> None:
    """The weight's mean and std are others, the updates as small as ever."""
    made = MadeUp(CHAIN, range(0, 61 * every, every))
    at = 40 * every
    made.set("conv_2", "weight", at, std=1.4, rms=1.4)
    (found,) = made.found()
    assert (found.rule, found.first, found.last) == ("update_spike", at, at)
    assert found.measured["change"] == pytest.approx(0.9 / every)
    assert "is not all that changed the weight" in found.words
    assert "changes by more than its update" in found.short
    assert [f.words for f in made.seen()] == [found.words]


def test_where_all_layers_spike_at_once_there_is_one_cause() -> None:
    made = MadeUp(CHAIN, range(61))
    for path, *_ in CHAIN:
        made.set(path, "update", 40, 41, rms=1.0)
        made.set(path, "gradient", 40, 41, rms=60.0)
    found = made.found()
    assert len(found) >= 4 and len(roots(found)) == 1


def test_a_rate_of_zero_is_one_matter_and_a_layer_that_stops_later_another() -> None:
    made = MadeUp(CHAIN, range(61))
    made.set("conv_1", "update", 0, rms=0.0, mean=0.0, std=0.0, silent=1.0)
    made.set("conv_2", "update", 0, rms=0.0, mean=0.0, std=0.0, silent=1.0)
    made.set("classes", "update", 20, rms=0.0, mean=0.0, std=0.0, silent=1.0)
    assert [root[:3] for root in roots(made.found())] == [
        ("unmoved_weight", "conv_1", 0),
        ("unmoved_weight", "classes", 20),
    ]


WAY = [*((f"dense_{i}", "Dense", UNITS) for i in range(8)), ("score", "Dense", 1)]


def too_small(until: int) -> MadeUp:
    """Layers that each make what they take a hundredth, for so many steps: then biases hide it."""
    made = MadeUp(WAY, range(101))
    made.set("input", "activation", 0, spread=1.0)
    for i, (path, *_) in enumerate(WAY[:-1]):
        made.set(path, "activation", 0, until, rms=0.5 * 0.01 ** (i + 1), spread=0.5)
        made.set(path, "activation", until, spread=0.5)
    made.set("score", "activation", 0, until, rms=0.5 * 0.01**8)
    return made


def collapse(made: MadeUp, first: int, since: int, until: int) -> None:
    """Has what this layer and all behind it give be the same for all examples."""
    for path, *_ in WAY[first:]:
        made.set(path, "activation", since, until, spread=1e-9)


@pytest.mark.parametrize("moves", [(4, 3, 2), (6, 2), (2, 5), (1,)])
def test_layers_that_start_too_small_are_one_cause_wherever_they_collapse_later(moves: tuple[int, ...]) -> None:
    made = too_small(until=2)
    # While anything lasts that it led to there, here a gradient that is too small, it is not over.
    made.set("dense_1", "gradient", 1, 95, rms=1e-9)
    for i, first in enumerate(moves):
        collapse(made, first, 20 + 20 * i, 40 + 20 * i)
    found = made.found()
    assert [f.tensor.layer for f in found if f.rule == "collapsed_representation" and f.tensor] == [
        f"dense_{first}" for first in moves
    ]
    assert roots(found) == [("depth_scale", "dense_3", 0, 1)]


def test_what_collapses_long_after_all_that_was_too_small_is_another_matter() -> None:
    made = too_small(until=2)
    made.set("dense_1", "gradient", 1, 30, rms=1e-9)
    collapse(made, 2, 60, 101)
    assert [root[:3] for root in roots(made.found())] == [
        ("depth_scale", "dense_3", 0),
        ("collapsed_representation", "dense_2", 60),
    ]


def test_a_collapse_that_moves_to_the_front_is_one_matter() -> None:
    made = MadeUp(WAY, range(101))
    made.set("input", "activation", 0, spread=1.0)
    for path, *_ in WAY:
        made.set(path, "activation", 0, spread=0.5)
    for first, since in ((5, 20), (4, 40), (1, 60)):
        collapse(made, first, since, 101)
    assert [root[:3] for root in roots(made.found())] == [("collapsed_representation", "dense_5", 20)]


@pytest.mark.parametrize("factor", [0.01, 10.0])
def test_gradients_grow_beside_a_start_that_was_too_small_as_part_of_that(factor: float) -> None:
    made = MadeUp(WAY, range(101))
    for i, (path, *_) in enumerate(WAY):
        made.set(path, "activation", 0, 5, rms=0.5 * factor ** (i + 1))
        made.set(path, "gradient", 0, 20, rms=1e-5)
    made.set("score", "gradient", 60, rms=0.5)
    for path, *_ in WAY[:-1]:
        made.set(path, "gradient", 20, rms=5e-4)
        made.set(path, "gradient", 60, rms=0.5)
    for i in range(20, 60):  # little by little, so that nothing jumps
        for path, *_ in WAY:
            made.set(path, "gradient", i, i + 1, rms=1e-5 * 3e4 ** ((i - 20) / 40))
    found = made.found()
    assert any(f.rule == "exploding_gradient" for f in found)
    # Too large at the start does not make that too small to be compared with.
    assert [root[0] for root in roots(found)] == ["depth_scale"] + ["exploding_gradient"] * (factor > 1)


def write_dying(folder: Path, steps: int, dies: int, close: bool) -> LayerWriter:
    writer = LayerWriter(folder)
    for step in range(steps):
        for path in ("one", "two"):
            alive = not (path == "two" and step >= dies)
            writer.write(step, {path: alive * np.random.default_rng(step).normal(size=(16, 8))})
    if close:
        writer.close()
    return writer


def test_the_log_says_where_a_run_ends_and_a_run_that_goes_on_has_no_last_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = write_dying(tmp_path, 12, dies=11, close=False)
    run = LayerReader(tmp_path).run()
    assert not run.ended and diagnose(evidence_of(run)) == ()
    assert cli.main(["check", str(tmp_path)]) == 0
    writer.close()
    run = LayerReader(tmp_path).run()
    assert run.ended
    (found,) = diagnose(evidence_of(run))
    assert (found.rule, found.tensor and found.tensor.layer, found.first, found.last) == ("silent_layer", "two", 11, 11)
    capsys.readouterr()
    assert cli.main(["check", str(tmp_path)]) == 1
    assert "error, since step 11: activation 'output' of layer 'two' is zero" in capsys.readouterr().out
    # Who goes on in the same folder takes the end back, also before the first step.
    again = LayerWriter(tmp_path)
    again.write(12, {"one": np.ones((16, 8))})
    assert not LayerReader(tmp_path).run().ended
    again.close()


def test_closing_twice_says_it_once(tmp_path: Path) -> None:
    writer = write_dying(tmp_path, 3, dies=99, close=True)
    size = sum(path.stat().st_size for path in (tmp_path / "layers").iterdir())
    writer.close()
    assert sum(path.stat().st_size for path in (tmp_path / "layers").iterdir()) == size
