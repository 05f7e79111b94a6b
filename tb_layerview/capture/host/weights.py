"""The weights of a model, handed over to the host; and what there is to log where no pass can be had."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any

from tb_layerview.capture.choice import Examples
from tb_layerview.capture.given import Given
from tb_layerview.capture.host.engine import Engine
from tb_layerview.capture.host.once import ReadOnce
from tb_layerview.capture.host.updates import Updates
from tb_layerview.capture.passes.as_if_called import as_if_called
from tb_layerview.capture.passes.candidates import Pass
from tb_layerview.capture.passes.chosen import Chosen, choose
from tb_layerview.format.model import Model
from tb_layerview.measure.handed import Handed
from tb_layerview.measure.tap import HostTap
from tb_layerview.writing.step import Measured, Part, Step


class WeightReader:
    """Reads the weights that are logged."""

    def __init__(self, chosen: Chosen, reading: ReadOnce) -> None:
        """Looks up which ones they are."""
        self._reading = reading
        self._weights = {**chosen.weights, **chosen.wholes, **chosen.still}
        picks = {i: chosen.picks[i] for i in self._weights}
        self._taps = {i: HostTap(pick.units, pick.keep, pick.extra) for i, pick in picks.items()}
        for weight in self._weights.values():
            if hasattr(weight.variable, "want"):
                weight.variable.want()

    def run(self, with_values: bool) -> Handed:
        """Hands over the weights as they are."""
        # Of what an optimizer is given, there may be nothing at a step.
        there = {i: weight for i, weight in self._weights.items() if getattr(weight.variable, "is_there", True)}
        values = self._reading.read([weight.variable for weight in there.values()])
        found = {i: weight.layout.view(value) for (i, weight), value in zip(there.items(), values)}
        return Handed(self._taps, found, {}, with_values)


class WeightsAlone:
    """Weights and updates of a model that cannot be run on a probe; the properties are `probe.Probe`'s.

    Attributes:
      model: What it logs.
      layers: Path and class name of all layers of the model, logged or not.
      examples: None: the model is not run.
      loss_error: Empty: there is no loss.
      wholes: None: all weights are measured at each logged step.
      looked_up: None either.
    """

    model: Model
    layers: Sequence[tuple[str, str]]
    examples: Examples | None = None
    loss_error = ""
    wholes: frozenset[int] = frozenset()
    looked_up: frozenset[int] = frozenset()

    def __init__(self, model: Any, given: Given, engine: Engine, training: bool) -> None:
        """Finds the weights.

        Args:
          model: A model whose weights are made.
          given: What to log, and how much of it to keep.
          engine: What computes the model.
          training: Whether the model is trained; without, there are no updates.
        """
        trained = {id(v): v for v in engine.trained(model)} if training else {}
        calls = as_if_called(model, engine.anatomy)
        applied = engine.applied() if training else {}
        of_pass = Pass(model, engine.anatomy, (), calls, lambda variable: variable, None, trained, applied=applied)
        chosen = choose(of_pass, given)
        self.model = dataclasses.replace(chosen.model, software=engine.software_of(model))
        self.layers = chosen.layers
        self._reading = ReadOnce(engine)
        self._weights, self._updates = WeightReader(chosen, self._reading), Updates(chosen, self._reading)

    def reading_once(self) -> AbstractContextManager[None]:
        """Within it the weights do not change."""
        return self._reading.at_one_moment()

    def updates(self) -> Updates:
        """What follows the weights from one step to the next."""
        return self._updates

    def wait(self) -> None:
        """Nothing is run: what is read waits for the training by itself."""

    def run(self, step: int, with_values: bool, without: Collection[int] = ()) -> Step:
        """Reads the weights; the arguments are those of `HostProbe.run`."""
        return Step(step, (self.run_weights(with_values),))

    def run_wholes(self, with_values: bool) -> Part:
        """Measures nothing: there are no `wholes`."""
        return Measured({})

    def run_weights(self, with_values: bool) -> Part:
        """Reads the weights."""
        return self._weights.run(with_values)
