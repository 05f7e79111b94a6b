"""A recording of a model that numpy computes: what it asks of a framework is what `capture.probe` says, and no more."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import environment

from tb_layerview import LayerReader, Schedule
from tb_layerview.capture.choice import Choice, Examples
from tb_layerview.capture.given import Given
from tb_layerview.capture.probe import Backend, Changed, Probe, Replayer, State, Updates
from tb_layerview.capture.recording import Recording
from tb_layerview.format.logged import NotLoggedError
from tb_layerview.format.model import Layer, Model, Tensor
from tb_layerview.measure.host import measure
from tb_layerview.writing.guard import Refused
from tb_layerview.writing.step import Measured, Part, Step

pytestmark = pytest.mark.once

LAYER = Layer("line", "Line")
WEIGHT = Tensor(0, "weight", "slope", (3,), "float64", axes=("unit",))
OUTPUT = Tensor(0, "activation", "output", (-1, 3), "float64", axes=("example", "unit"))
UPDATE = Tensor(0, "update", "slope", (3,), "float64", axes=("unit",))


class Line:
    """A model of one layer: what it takes times its slope."""

    def __init__(self) -> None:
        self.slope = np.array([1.0, 2.0, -4.0])

    def train(self) -> None:
        """A training step."""
        self.slope = self.slope * 1.5


@dataclasses.dataclass(frozen=True)
class Rows:
    """A batch."""

    x: np.ndarray

    @property
    def examples(self) -> int:
        return len(self.x)

    @property
    def bytes(self) -> int:
        return int(self.x.nbytes)

    @property
    def shapes(self) -> str:
        return str(self.x.shape)

    def first(self, examples: int) -> Rows:
        return Rows(self.x[:examples])


class LineUpdates:
    """How the slope changes."""

    is_wanted = True

    def __init__(self, model: Line) -> None:
        self._model = model
        self._kept: tuple[int, np.ndarray] | None = None

    def keep(self, step: int, steps: int = 1) -> None:
        self._kept = step, self._model.slope

    def forget(self) -> None:
        self._kept = None

    def run(self, step: int, with_values: bool) -> Changed:
        kept, self._kept = self._kept, None
        if kept is None or kept[0] != step - 1:
            return Changed()
        return Changed((Measured({2: measure(self._model.slope - kept[1])}),))


class LineProbe:
    """Runs the model on a batch, or reads its slope alone."""

    model = Model((LAYER,), (WEIGHT, OUTPUT, UPDATE))
    layers = ((LAYER.path, LAYER.class_name),)
    loss_error = ""
    wholes: frozenset[int] = frozenset()
    looked_up: frozenset[int] = frozenset()

    def __init__(self, model: Line, examples: Examples | None, fails_at: Collection[int]) -> None:
        self.examples: Examples | None = examples
        self._line, self._fails_at = model, fails_at

    def updates(self) -> Updates:
        return LineUpdates(self._line)

    def reading_once(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def wait(self) -> None:
        pass

    def run(self, step: int, with_values: bool, without: Collection[int] = ()) -> Step:
        if step in self._fails_at:
            raise RuntimeError("out of memory")
        parts = [self.run_weights(with_values)]
        if self.examples is not None:
            batch: Any = self.examples.batch
            parts.append(Measured({1: measure(batch.x * self._line.slope)}))
        return Step(step, tuple(parts), {"probe_loss": 0.5})

    def run_wholes(self, with_values: bool) -> Part:
        return Measured({})

    def run_weights(self, with_values: bool) -> Part:
        return Measured({0: measure(self._line.slope.copy())})


class Slope:
    """The state of the model."""

    def __init__(self, model: Line) -> None:
        self._model = model

    def read(self) -> np.ndarray:
        return self._model.slope.copy()

    def assign(self, values: Any) -> None:
        self._model.slope = values

    def differ(self, one: Any, other: Any) -> bool:
        return bool((one != other).any())


@dataclasses.dataclass(frozen=True)
class Numpy:
    """What computes it; what it refuses is given by the sources of examples, and by steps."""

    refuses: tuple[str, ...] = ()
    fails_at: tuple[int, ...] = ()

    def probe(self, model: Any, examples: Examples, given: Given, training: bool) -> Probe:
        if any(word in examples.source for word in self.refuses):
            raise ValueError("it takes no such batch")
        return LineProbe(model, examples, self.fails_at)

    def weights_alone(self, model: Any, given: Given, training: bool) -> Probe:
        return LineProbe(model, None, ())

    def state(self, model: Any) -> State:
        return Slope(model)

    def can_replay(self, model: Any) -> bool:
        return False

    def replayer(self, model: Any, log: Any, probe: Probe, given: Given) -> Replayer:
        raise AssertionError("nobody can replay")

    def is_checking(self) -> bool:
        return False

    def unchecked(self) -> contextlib.AbstractContextManager[None]:
        raise AssertionError("nothing is checked")


def _train(folder: Path, backend: Backend, steps: int = 4) -> tuple[Line, list[np.ndarray]]:
    """A training of so many steps; returns the model, and its slope after each."""
    model, slopes = Line(), []
    given = Given(schedule=Schedule(every=1))
    recording = Recording(model, str(folder), given, backend)
    recording.log.begin(0)
    recording.set_up(Choice.of(Rows(np.ones((40, 3))), "the batch"), is_fatal=False)
    recording.step(0, dict)
    slopes.append(model.slope)
    for step in range(1, steps + 1):
        model.train()
        slopes.append(model.slope)
        recording.step(step, lambda: {"loss": 1.0})
    recording.close()
    return model, slopes


def test_a_model_that_numpy_computes_is_logged_step_by_step(tmp_path: Path) -> None:
    _, slopes = _train(tmp_path, Numpy())
    run = LayerReader(tmp_path).run()
    assert list(run.steps) == [0, 1, 2, 3, 4]
    weight, output, update = run.tensors
    for step, slope in enumerate(slopes):
        assert run.digest(weight, step).min == slope.min()
        assert run.digest(output, step).size == 32 * 3
        assert run.digest(output, step).mean == pytest.approx(slope.mean())
    for step in range(1, 5):
        assert run.digest(update, step).max == (slopes[step] - slopes[step - 1]).max()
    with pytest.raises(NotLoggedError):
        run.digest(update, 0)
    assert run.scalars["probe_loss"].tolist() == [0.5] * 5


def test_where_a_part_of_the_batch_will_not_do_all_of_it_is_taken(tmp_path: Path) -> None:
    _train(tmp_path, Numpy(refuses=("first",)))
    run = LayerReader(tmp_path).run()
    assert run.digest(run.tensors[1], 4).size == 40 * 3
    (note,) = (note for note in run.model.notes if "the probe is" in note)
    assert note.startswith("the probe is the whole of the batch, 40 rows: the model cannot be run on the first 32")
    assert "ValueError: it takes no such batch" in note


def test_where_no_batch_will_do_the_weights_are_logged_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, slopes = _train(tmp_path, Numpy(refuses=("first", "whole")))
    run = LayerReader(tmp_path).run()
    weight, output, update = run.tensors
    assert run.digest(weight, 4).min == slopes[4].min()
    assert run.digest(update, 4).max == (slopes[4] - slopes[3]).max()
    with pytest.raises(NotLoggedError):
        run.digest(output, 4)
    (said,) = (message for message in caplog.messages if "the probe" in message)
    assert said.endswith("activations and gradients are left out.")


def test_where_the_pass_fails_at_a_step_the_weights_are_logged_there(tmp_path: Path) -> None:
    _train(tmp_path, Numpy(fails_at=(2,)))
    run = LayerReader(tmp_path).run()
    weight, output, update = run.tensors
    assert all(run.digest(tensor, step).size for tensor in (weight, update) for step in (1, 2, 3, 4))
    assert run.digest(output, 3).size == 32 * 3
    with pytest.raises(NotLoggedError):
        run.digest(output, 2)
    assert any("out of memory" in note for note in run.model.notes)


def test_a_probe_that_somebody_gave_and_that_will_not_do_is_refused(tmp_path: Path) -> None:
    recording = Recording(Line(), str(tmp_path), Given(), Numpy(refuses=("given",)))
    with pytest.raises(Refused, match=r"cannot be run on the given probe, whose inputs are \(8, 3\): ValueError: it"):
        recording.set_up(Choice.given(Rows(np.ones((8, 3)))), is_fatal=True)


def test_the_last_step_is_logged_with_the_weights_that_it_left_though_others_were_put_back(tmp_path: Path) -> None:
    model, given = Line(), Given(schedule=Schedule(steps=(0,)))
    recording = Recording(model, str(tmp_path), given, Numpy())
    recording.log.begin(0)
    recording.set_up(Choice.of(Rows(np.ones((4, 3))), "the batch"), is_fatal=False)
    recording.step(0, dict)
    model.train()
    left = model.slope
    recording.hold(1)
    model.slope = best = np.array([1.0, 2.0, -4.0])  # as `restore_best_weights` does
    recording.last_step(1, dict)
    recording.hand_over()
    recording.close()
    run = LayerReader(tmp_path).run()
    assert run.digest(run.tensors[0], 1).min == left.min()
    assert (model.slope == best).all()
    assert any("are not those of step 1: they were changed after it" in note for note in run.model.notes)


def test_what_records_loads_no_tensorflow(tmp_path: Path) -> None:
    """The second half shows that the first can fail, by what stands in for TensorFlow and says that it was loaded."""
    (tmp_path / "tensorflow.py").write_text("print('loaded')\nraise SystemExit\n")
    for module, said in (("recording", ""), ("keras.tf.backend", "loaded\n")):
        command = [sys.executable, "-c", f"import tb_layerview.capture.{module}"]
        done = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, check=True)
        assert done.stdout == said, module
