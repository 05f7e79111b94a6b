"""What a framework has to do for a model's pass to be logged, where its tensors are handed over to the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tb_layerview.capture.passes.anatomy import Anatomy
from tb_layerview.capture.passes.calls import Call
from tb_layerview.capture.passes.nodes import Node

Array = npt.NDArray[np.generic]


class Traced(Protocol):
    """One pass of a model, that was traced, and can be run again."""

    @property
    def calls(self) -> list[Call]:
        """The calls of its layers, as they began, the model's own first; their tensors are `Node`s."""
        ...

    @property
    def x(self) -> Any:
        """The model's inputs, a nested structure of nodes."""
        ...

    @property
    def gradients(self) -> Mapping[int, Node | None] | None:
        """By the id of a variable that is trained, None where the loss does not depend on it; None if no loss."""
        ...

    @property
    def output_gradients(self) -> Mapping[int, Node]:
        """Of what layers put out, by the id of its node; nothing where only those of variables can be had."""
        ...

    @property
    def loss(self) -> Node | None:
        """The loss on the batch, one number, if there is one."""
        ...

    @property
    def loss_error(self) -> str:
        """What kept the loss from being computed, in words; empty if nothing did."""
        ...

    @property
    def takes_batch(self) -> bool:
        """Whether the model is called on the batch's inputs: a `train_step` of its own may do otherwise."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What cannot be had of the pass and why, a sentence each."""
        ...

    def choose(self, wanted: Sequence[Node], shares: Sequence[Sequence[Node]]) -> None:
        """Says once what `run` is to give; what the trace held, and is not needed for that, is let go of.

        Args:
          wanted: Tensors of the pass: outputs and inputs of calls, the model's inputs, scores, gradients, the loss.
          shares: Of each group of tensors the largest share of elements that are not finite is wanted.
        """
        ...

    def run(self) -> tuple[list[Array], list[float]]:
        """Runs the pass with the model's weights as they are now; everything is afterwards as it was.

        Returns:
          What was chosen: arrays that nobody else writes to, and shares. They may be computed later: an array is what
          `numpy.asarray` takes at no cost.

        Raises:
          Exception: Whatever the model raises.
        """
        ...


class Engine(Protocol):
    """A framework that computes models, and what kind of models these are."""

    @property
    def anatomy(self) -> Anatomy:
        """What is known of the layers."""
        ...

    @property
    def batch(self) -> type[Any]:
        """What its batches are, a class of `Batch`."""
        ...

    def software_of(self, model: Any) -> str:
        """What a log of a model is made with, in words."""
        ...

    def trained(self, model: Any) -> Sequence[Any]:
        """The variables that the training changes."""
        ...

    def applied(self) -> Mapping[int, Any]:
        """What holds the gradients that optimizers are given, by the id of the variable, where a pass makes none.

        It is read as a variable is, at steps where it says `is_there`. `want` tells each that is logged.
        """
        ...

    def variables(self, model: Any) -> tuple[Sequence[Any], Sequence[Any]]:
        """All that a model has but its optimizers': what is trained, moving statistics, states of random generators.

        Returns:
          The variables, of which some may be there twice, and those among them that count for no difference.
        """
        ...

    def as_tensor(self, leaf: Any) -> Any:
        """A leaf of a batch as a tensor in memory of its own: an array that it came from may be written to."""
        ...

    def to_host(self, tensor: Any) -> Array:
        """A tensor's values as an array."""
        ...

    def trace(self, model: Any, batch: Any, training: bool, gradients: bool) -> Traced:
        """Traces a pass.

        Args:
          model: A model that is built.
          batch: What it is run on, of the class `batch`.
          training: In training mode, with the loss that the model is compiled with if there is one.
          gradients: Whether gradients of the loss are wanted, too.

        Raises:
          Exception: Whatever the model raises when it cannot be called with this batch.
        """
        ...

    def read(self, variables: Sequence[Any]) -> list[Array]:
        """Values of variables as they are now, in memory that the training does not write to."""
        ...

    def write(self, variables: Sequence[Any], values: Sequence[Array]) -> None:
        """Sets values of variables, to the last bit."""
        ...

    def wait(self, model: Any) -> None:
        """Returns when the device has done what it was given before."""
        ...
