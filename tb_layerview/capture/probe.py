"""The seam between the loops that train a model and what computes it: all that a recording asks of a framework."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from tb_layerview.capture.choice import Examples
from tb_layerview.capture.given import Given
from tb_layerview.format.model import Model
from tb_layerview.health.finding import Finding
from tb_layerview.writing.step import Part, Step
from tb_layerview.writing.training_log import TrainingLog


@dataclasses.dataclass(frozen=True)
class Changed:
    """What one step has changed.

    Attributes:
      parts: By index of the tensor in the log's model.
      few: Of which large weights it has changed few rows, by the index of the whole one: see `Probe.wholes`.
    """

    parts: tuple[Part, ...] = ()
    few: frozenset[int] = frozenset()


class Updates(Protocol):
    """Keeps the weights of one step, and digests how the next one has changed them."""

    @property
    def is_wanted(self) -> bool:
        """Whether there is anything to keep."""
        ...

    def keep(self, step: int, steps: int = 1) -> None:
        """Keeps the weights as they are, at this step; so many are taken at once, at most, from here on."""
        ...

    def forget(self) -> None:
        """Lets go of the weights that are kept."""
        ...

    def run(self, step: int, with_values: bool) -> Changed:
        """Digests the changes of the step that is complete now, and lets go of the weights that were kept.

        Args:
          step: Its number.
          with_values: Whether values are wanted too.

        Returns:
          Nothing of weights that were not kept at the step before.
        """
        ...


class Probe(Protocol):
    """A model's pass of one fixed batch, which the training does not notice; or its weights alone, without a pass."""

    @property
    def model(self) -> Model:
        """What it logs."""
        ...

    @property
    def layers(self) -> Sequence[tuple[str, str]]:
        """Path and class name of all layers of the model, logged or not."""
        ...

    @property
    def examples(self) -> Examples | None:
        """What the model is run on; None if it is not run, and its weights alone are read."""
        ...

    @property
    def loss_error(self) -> str:
        """What kept the loss from being computed, in words; empty if nothing did."""
        ...

    @property
    def wholes(self) -> frozenset[int]:
        """Indices, in `model.tensors`, of large weights of which a step changes few rows."""
        ...

    @property
    def looked_up(self) -> frozenset[int]:
        """The same weights, by the id of the framework's variable: a look at each step leaves them out."""
        ...

    def updates(self) -> Updates:
        """What follows the weights from one step to the next."""
        ...

    def reading_once(self) -> AbstractContextManager[None]:
        """Within it the weights do not change: what is wanted of them several times is read once."""
        ...

    def wait(self) -> None:
        """Returns when the device has done what it was given before."""
        ...

    def run(self, step: int, with_values: bool, without: Collection[int] = ()) -> Step:
        """Measures the model as it is now, which is afterwards as it was before.

        Args:
          step: How many training steps are complete.
          with_values: Whether values are wanted too, and what differs in inference mode.
          without: Which of `wholes` are left out.

        Raises:
          Exception: Whatever the model raises.
        """
        ...

    def run_wholes(self, with_values: bool) -> Part:
        """Measures `wholes` alone."""
        ...

    def run_weights(self, with_values: bool) -> Part:
        """Measures the weights without a pass of the model, for where that fails."""
        ...


class State(Protocol):
    """The weights of a model as values that can be kept and put back; what a value is, the framework alone knows."""

    def read(self) -> Any:
        """The values as they are now."""
        ...

    def assign(self, values: Any) -> None:
        """Sets all values, to the last bit."""
        ...

    def differ(self, one: Any, other: Any) -> bool:
        """Whether two sets of values differ by a bit."""
        ...


class Replayer(Protocol):
    """Keeps the last batches and the weights before them, and runs the batch that broke a training once more."""

    @property
    def state(self) -> State:
        """The model's weights."""
        ...

    @property
    def is_keeping(self) -> bool:
        """Whether batches are kept at all, or it was given up."""
        ...

    def before_step(self, step: int) -> None:
        """Keeps the weights: the next training step begins, at so many complete ones."""
        ...

    def after_step(self, batch: Any, is_finite: Any) -> None:
        """Keeps the batch: the step is complete. Whether its loss is finite may be known to the device alone."""
        ...

    def look(self, step: int, found: Sequence[Finding], at_once: bool = False) -> None:
        """Replays what has to be replayed.

        Args:
          step: How many training steps are complete.
          found: What the rules have found since the last call.
          at_once: Whether to wait for the device rather than to look at the last steps later.
        """
        ...


class Backend(Protocol):
    """What computes a model: makes all of the above."""

    def probe(self, model: Any, examples: Examples, given: Given, training: bool) -> Probe:
        """The pass of a model on examples, in training mode or in inference mode.

        Raises:
          NotSupported: The pass cannot be had, whatever the examples.
          Exception: Whatever the model raises when it cannot be called with them.
        """
        ...

    def weights_alone(self, model: Any, given: Given, training: bool) -> Probe:
        """What there is without a pass."""
        ...

    def state(self, model: Any) -> State:
        """The weights of a model."""
        ...

    def can_replay(self, model: Any) -> bool:
        """Whether a batch can be run again in this process alone."""
        ...

    def replayer(self, model: Any, log: TrainingLog, probe: Probe, given: Given) -> Replayer:
        """What keeps the last batches of a model; `probe` is run on the weights of the steps before."""
        ...

    def is_checking(self) -> bool:
        """Whether the framework is told to raise an error where a value is not finite."""
        ...

    def unchecked(self) -> AbstractContextManager[None]:
        """Has it raise none: values that are not finite are what a log is for."""
        ...
