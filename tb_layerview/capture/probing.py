"""On what a model is run to be logged, and what is logged of it where it cannot be run."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from tb_layerview.capture.choice import Choice, Examples
from tb_layerview.capture.given import Given
from tb_layerview.capture.probe import Backend, Probe, Updates
from tb_layerview.writing.guard import NotSupported, Refused, in_words
from tb_layerview.writing.step import Step
from tb_layerview.writing.training_log import TrainingLog

_WORDS = 300  # letters of an error that a note quotes


class Probing:
    """Finds the first examples that a model can be run on, and runs it on them, or reads its weights alone.

    Attributes:
      probe: What is run.
      updates: What follows its weights from one step to the next.
    """

    probe: Probe
    updates: Updates

    def __init__(
        self, model: Any, backend: Backend, given: Given, log: TrainingLog, choice: Choice, notes: Sequence[str]
    ) -> None:
        """Nothing is tried yet: see `trace`.

        Args:
          model: The model, which is built.
          backend: What computes it.
          given: What to log.
          log: Where what is found is described.
          choice: What to run the model on: the first that it can be run on.
          notes: What else is not logged and why, a sentence each.
        """
        self._model, self._backend, self._given, self._log = model, backend, given, log
        self._untried, self._obstacles = list(choice.examples), list(choice.obstacles)
        self._otherwise, self._notes = choice.otherwise, tuple(notes)
        self._has_failed = self._is_unchecked = False

    def trace(self, is_fatal: bool = False) -> None:
        """Traces the pass on the first examples that it can be run on; if there are none, finds the weights alone.

        Args:
          is_fatal: Whether a model that cannot be run on them is an error; else that is said, and its weights are
            logged.

        Raises:
          Refused: The model cannot be run on the probe, or a pattern matches no layer.
        """
        found = self._pass(is_fatal)
        if found is None:
            found, note = self._weights_alone()
        elif self._obstacles and found.examples is not None:
            note = f"the probe is {found.examples.source}: {' and '.join(self._obstacles)}"
        else:
            note = ""
        updates = found.updates()
        if not found.layers:  # which no pattern is to blame for
            raise RuntimeError("no layer of the model was found")
        try:
            self._given.select.check(found.layers)
        except ValueError as error:
            raise Refused(str(error)) from error
        model, notes = found.model, (*((note,) if note else ()), *found.model.notes, *self._notes)
        self._log.describe(dataclasses.replace(model, schedule=self._given.schedule.in_words(), notes=notes))
        self.probe, self.updates = found, updates

    def _pass(self, is_fatal: bool) -> Probe | None:
        """The pass on what is left to try; None if it cannot be had."""
        without_loss: Probe | None = None
        while self._untried:
            examples = self._untried.pop(0)
            try:
                found = self._backend.probe(self._model, examples, self._given, training=self._log.mode == "train")
            except NotImplementedError as error:  # as Keras' own `call` does
                self._untried, self._otherwise = [], ""
                self._obstacles = [f"the model has no `call` of its own ({in_words(error)[:_WORDS]})"]
                continue
            except NotSupported:
                raise
            except Exception as error:
                if is_fatal:
                    raise Refused(_not_on(examples, error)) from error
                self._obstacles.append(f"the model cannot be run on {examples.source} ({in_words(error)[:_WORDS]})")
                continue
            if not found.loss_error:
                return found
            without_loss = without_loss or found
            if self._untried:
                self._obstacles.append(
                    f"the loss cannot be computed on {examples.source} ({found.loss_error[:_WORDS]})"
                )
        return without_loss

    def _weights_alone(self) -> tuple[Probe, str]:
        """What there is without a pass, and a sentence on what there is not."""
        found = self._backend.weights_alone(self._model, self._given, training=self._log.mode == "train")
        wanted = [kind for kind in ("activation", "gradient") if kind in self._given.select.kinds]
        if not wanted:
            return found, ""
        left_out = f"{' and '.join(self._obstacles)}: {' and '.join(f'{kind}s' for kind in wanted)} are left out"
        self._log.report("the probe", ". ".join(part for part in (left_out, self._otherwise) if part))
        return found, left_out

    def checks(self) -> AbstractContextManager[None]:
        """Leaves the framework's checks on, unless the pass has failed on them before."""
        return self._backend.unchecked() if self._is_unchecked else contextlib.nullcontext()

    def run(self, step: int, with_values: bool, without: frozenset[int], may_retrace: bool) -> Step:
        """Runs the pass; where it fails, reads the weights alone, and tries again at the next step that is logged.

        Args:
          step: How many training steps are complete.
          with_values: Whether values are wanted too.
          without: Which of the probe's `wholes` are left out.
          may_retrace: Whether other examples are tried where it fails.
        """
        probe = self.probe
        try:
            found = probe.run(step, with_values, without)
            self._untried.clear()  # whole batches
            return found
        except Exception as error:
            if probe.examples is None:
                raise
            words = in_words(error)[:_WORDS]
            if self._backend.is_checking():
                # What the model traces within functions of its own is traced by now, and keeps what looks at it.
                self._untried.insert(0, probe.examples)
                return self._run_unchecked(step, with_values, without, may_retrace)
            if may_retrace and self._untried:
                self._obstacles.append(f"the model cannot be run on {probe.examples.source} ({words})")
                self.trace()
                return self.run(step, with_values, without, may_retrace)
            left_out = "activations and gradients are left out wherever the pass fails; weights and updates are logged"
            self._log.report("the probe's pass", f"{words}: {left_out}. The training goes on", error)
            if not self._has_failed:
                self._has_failed = True
                self._log.note(f"the probe's pass has failed ({words}): {left_out}")
            return Step(step, (probe.run_weights(with_values),))

    def _run_unchecked(self, step: int, with_values: bool, without: frozenset[int], may_retrace: bool) -> Step:
        """Runs the pass without the framework's checks: values that are not finite are what a log is for."""
        self._is_unchecked = True
        with self._backend.unchecked():
            self.trace()
            return self.run(step, with_values, without, may_retrace)


def _not_on(examples: Examples, error: Exception) -> str:
    return (
        f"the model cannot be run on the given probe, whose inputs are {examples.batch.shapes}: {in_words(error)}. "
        "Give a probe as the training takes its batches."
    )
