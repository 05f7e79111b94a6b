"""What a rule of health is: something that holds, or does not, of a tensor at a logged step.

A finding is where a rule has held over `patience` training steps in a row. Rules look at statistics alone, of whole
tensors; they need neither TensorFlow nor payloads.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np

from tb_layerview.health.evidence import Evidence
from tb_layerview.health.history import Mask

Severity = Literal["error", "warning"]
Panel = Literal["picture", "distribution", "units"]


@dataclasses.dataclass(frozen=True)
class Rule(abc.ABC):
    """What is looked for.

    Attributes:
      name: As in `tb-layerview check`.
      severity: `error` where the training cannot be what is wanted, `warning` where it may be.
      panel: Which panel of the tab shows what it finds: `units` where some of them are its matter, `distribution` where
        all elements are.
      advice: What it usually means, and what people usually do about it.
      leads_to: The names of rules that hold further on because this one does. An error leads to whatever does.
      is_common: Whether what it finds of several tensors from the same step on has one cause, wherever they lie.
      is_of_way: Whether what it finds is as much the matter of the layers on the way to the tensor.
      makes_weights: Whether it finds what made the weights of its step. A probe is run with these: whatever else it
        shows at that step comes after. The activations and gradients of a batch come before its update.
      more_than: The names of rules that say less of the same tensor: theirs is not told beside this one's.
      patience: Over how many training steps in a row it has to hold: at all of them that are logged, and at two of them
        at least. Counted in logged steps, a sparse schedule would see a layer die and have no time left to say it.

    Every field is a threshold. Its `label`, in the field's metadata, says what is held against it, and how; a subclass
    that only has another default keeps the label.
    """

    name: ClassVar[str]
    severity: ClassVar[Severity]
    panel: ClassVar[Panel]
    advice: ClassVar[str]
    leads_to: ClassVar[tuple[str, ...]] = ()
    is_common: ClassVar[bool] = False
    is_of_way: ClassVar[bool] = False
    makes_weights: ClassVar[bool] = False
    more_than: ClassVar[tuple[str, ...]] = ()
    patience: int = dataclasses.field(default=1, metadata={"label": "training steps in a row"})

    @property
    def lookback(self) -> int:
        """How many logged steps it takes at most to tell that it holds, and that it did not at the one before."""
        return self.patience + 1

    @abc.abstractmethod
    def holds(self, evidence: Evidence) -> Mask:
        """Where it holds, bool [tensors, steps]."""

    def lasts(self, evidence: Evidence) -> Mask:
        """Of which tensors it is known to last where it holds at the last step of a run, bool [tensors].

        There it needs no patience, which no later step could reward.
        """
        return np.zeros(len(evidence.tensors), bool)

    def is_too_small(self, measured: Mapping[str, float]) -> bool:
        """Whether what it found, with these numbers, leaves activations and gradients far too small."""
        return False

    def is_against_start(self, measured: Mapping[str, float]) -> bool:
        """Whether what it found, with these numbers, is too large beside the first steps' gradients."""
        return False

    @abc.abstractmethod
    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        """The numbers behind it at one tensor and step, by name.

        The first is what is judged. A threshold of the rule may be among the others under its own name.
        """

    @abc.abstractmethod
    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        """What is wrong, as the end of a sentence that begins with the tensor's name."""

    @abc.abstractmethod
    def in_short(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        """What is wrong, as a headline of at most nine words that names the layer (`LoggedTensor.short`)."""

    def compared(self, measured: Mapping[str, float]) -> dict[str, float]:
        """What the first of the measured numbers is compared with, by name and in its unit.

        `threshold` is where the rule begins to hold. By default that is the threshold that is among the measured
        numbers, and 0 for a rule that has none to choose; a rule that computes it from several numbers says how.
        """
        own = {f.name: float(getattr(self, f.name)) for f in dataclasses.fields(self) if f.name != "patience"}
        named = [value for name, value in own.items() if name in measured]
        if named:
            return {"threshold": named[0]}
        return {} if own else {"threshold": 0.0}

    def course(self, evidence: Evidence, tensor: int, positions: Sequence[int]) -> Course:
        """How what it measures went at one tensor, over these of the evidence's steps."""
        measured = []
        with np.errstate(all="ignore"):  # Where the tensor was not logged there is nothing to divide.
            for window in evidence.windows(self.lookback, positions):
                measured.append(self.measure(window, tensor, len(window.steps) - 1))
        compared = [self.compared(numbers) for numbers in measured]
        return Course(
            next(iter(measured[0]), "") if measured else "",
            [next(iter(numbers.values()), math.nan) for numbers in measured],
            {name: [of.get(name, math.nan) for of in compared] for name in (compared[0] if compared else ())},
        )


@dataclasses.dataclass(frozen=True)
class Course:
    """What a rule measured at one tensor, step by step.

    Attributes:
      name: Of what is judged, as in the rule's `measure`.
      values: It, by step; NaN where the tensor was not logged or has no such number.
      compared: What it is compared with, by name and step, in its unit; `threshold` is where the rule begins to hold.
    """

    name: str
    values: Sequence[float]
    compared: Mapping[str, Sequence[float]]
