"""The probe of a model whose tensors are handed over to the host: one pass that the training does not notice."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from tb_layerview.capture.choice import Examples
from tb_layerview.capture.given import Given
from tb_layerview.capture.host.batch import Batch
from tb_layerview.capture.host.engine import Engine, Traced
from tb_layerview.capture.host.once import ReadOnce
from tb_layerview.capture.host.updates import Updates
from tb_layerview.capture.host.weights import WeightReader
from tb_layerview.capture.passes.calls import leaves
from tb_layerview.capture.passes.candidates import Pass
from tb_layerview.capture.passes.chosen import Chosen, Pick, choose
from tb_layerview.capture.passes.modes import Output, Shifted, differing
from tb_layerview.capture.passes.nodes import Node
from tb_layerview.capture.passes.targets import kept_examples, targets_of
from tb_layerview.format.model import Model, Probe
from tb_layerview.measure.handed import Handed
from tb_layerview.measure.tap import HostTap
from tb_layerview.writing.guard import in_words
from tb_layerview.writing.step import Measured, Part, Step


class HostProbe:
    """A model's probe: activations, weights and gradients on one fixed batch; the properties are `probe.Probe`'s.

    Attributes:
      model: What it logs.
      layers: Path and class name of all layers that the model calls, logged or not.
      examples: The probe.
      loss_error: What kept the loss from being computed on the probe, in words; empty if nothing did.
      wholes: None: all weights are measured at each logged step.
      looked_up: None either.
    """

    model: Model
    layers: Sequence[tuple[str, str]]
    examples: Examples
    loss_error: str
    wholes: frozenset[int] = frozenset()
    looked_up: frozenset[int] = frozenset()

    def __init__(
        self,
        model: Any,
        batch: Batch,
        source: str,
        given: Given,
        engine: Engine,
        training: bool = True,
        both_modes: bool = True,
    ) -> None:
        """Traces the pass.

        Args:
          model: A model that is built.
          batch: The probe, as tensors that nobody writes to.
          source: Where the probe came from, in words.
          given: What to log, and how much of it to keep.
          engine: What computes the model.
          training: Whether the model runs in training mode; without, there are no gradients and no updates.
          both_modes: Whether to run it in inference mode too, where its layers differ.

        Raises:
          Exception: Whatever the model raises when it cannot be called with this batch.
        """
        self._model, self._engine = model, engine
        self.examples = Examples(batch, source)
        traced = engine.trace(model, batch, training, training and "gradient" in given.select.kinds)
        trained = {id(v): v for v in engine.trained(model)} if training else {}
        inputs = [(path, leaf) for path, leaf in leaves(traced.x) if isinstance(leaf, Node)]
        of_pass = Pass(
            model,
            engine.anatomy,
            inputs,
            traced.calls,
            _itself,
            traced.gradients,
            trained,
            applied=engine.applied() if training else {},
            output_gradients=traced.output_gradients,
        )
        chosen = choose(of_pass, given)
        self.layers, self.loss_error = chosen.layers, traced.loss_error
        self._reading = ReadOnce(engine)
        self._weights, self._updates = WeightReader(chosen, self._reading), Updates(chosen, self._reading)
        self._pass = _Pass(traced, chosen)
        notes = [*traced.notes, *chosen.model.notes]
        outputs = {i: output for i, output in chosen.outputs.items() if chosen.picks[i].units}
        self._inference: _Inference | None = None
        if training and both_modes and outputs and traced.takes_batch:
            try:
                inference = _Inference(engine.trace(model, batch, False, False), outputs)
                self._inference = inference if inference.is_needed else None
            except Exception as error:  # noqa: BLE001  # whatever a user's model raises; the rest is logged all the same
                notes.append(f"the model cannot be run in inference mode ({in_words(error)}): shift is left out")
        kept = kept_examples(chosen.model, {i: pick.keep for i, pick in chosen.picks.items()})
        kept = kept if given.keep.targets else 0
        targets, left_out = targets_of(batch.targets, model, batch.examples, kept, batch.target_array)
        notes += left_out
        self.model = dataclasses.replace(
            chosen.model,
            probe=Probe(batch.hash(), batch.examples, training, source, targets),
            notes=tuple(dict.fromkeys(notes)),
            software=engine.software_of(model),
        )

    def reading_once(self) -> AbstractContextManager[None]:
        """Within it the weights do not change."""
        return self._reading.at_one_moment()

    def updates(self) -> Updates:
        """What follows the weights from one step to the next."""
        return self._updates

    def wait(self) -> None:
        """Returns when the device has done what it was given before."""
        self._engine.wait(self._model)

    def run(self, step: int, with_values: bool, without: Collection[int] = ()) -> Step:
        """Runs the pass; everything is afterwards as it was. See `probe.Probe`."""
        weights = self._weights.run(with_values)
        found, loss = self._pass.run(with_values)
        if with_values and self._inference is not None:
            found = self._inference.run(found)
        return Step(step, (found, weights), {} if loss is None else {"probe_loss": loss})

    def run_wholes(self, with_values: bool) -> Part:
        """Measures nothing: there are no `wholes`."""
        return Measured({})

    def run_weights(self, with_values: bool) -> Part:
        """Measures the weights without the pass, for where that fails."""
        return self._weights.run(with_values)


class _Pass:
    """The pass, of which activations and gradients are measured."""

    def __init__(self, traced: Traced, chosen: Chosen) -> None:
        picks = {i: pick for i, pick in chosen.passed.items() if i not in chosen.weights}
        self._taps = {i: _tap(pick) for i, pick in picks.items()}
        self._layouts = [(i, pick.candidate.layout) for i, pick in picks.items()]
        shares = {i: pick.taken for i, pick in picks.items() if pick.taken}
        self._shares = tuple(shares)
        self._has_loss = traced.loss is not None and bool(picks)
        self._traced: Traced | None = traced if picks else None  # weights alone are only read
        if picks:
            loss = [traced.loss] if traced.loss is not None else []
            traced.choose([*loss, *(pick.candidate.tensor for pick in picks.values())], list(shares.values()))

    def run(self, with_values: bool) -> tuple[Part, float | None]:
        """What was found, and the loss if there is one."""
        if self._traced is None:
            return Measured({}), None
        arrays, shares = self._traced.run()
        loss = float(arrays[0]) if self._has_loss else None
        found = {i: layout.view(array) for (i, layout), array in zip(self._layouts, arrays[self._has_loss :])}
        return Handed(self._taps, found, dict(zip(self._shares, shares)), with_values), loss


class _Inference:
    """The pass in inference mode: of the outputs that are made in another way than in training.

    Attributes:
      is_needed: Whether there are any.
    """

    def __init__(self, traced: Traced, outputs: Mapping[int, Output]) -> None:
        found = differing(traced.calls, outputs)
        self.is_needed = bool(found)
        self._layouts = [(i, outputs[i].layout) for i in found]
        self._taps = {i: HostTap(units=True) for i in found}
        self._is_random = {i: outputs[i].is_random for i in found}
        self._traced = traced
        if found:
            traced.choose(list(found.values()), [])

    def run(self, training: Part) -> Part:
        """What was found in training mode, and how far it is from what is found in inference mode."""
        arrays, _ = self._traced.run()
        found = {i: layout.view(array) for (i, layout), array in zip(self._layouts, arrays)}
        return Shifted(training, Handed(self._taps, found, {}, with_values=False), self._is_random)


def _itself(variable: Any) -> Any:
    return variable


def _tap(pick: Pick) -> HostTap:
    return HostTap(pick.units, pick.keep, pick.extra)
