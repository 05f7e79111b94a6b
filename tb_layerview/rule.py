"""What a rule of health is: something that holds, or does not, of a tensor at a logged step.

A finding is where a rule has held at `patience` logged steps in a row. Rules look at statistics alone, of whole
tensors; they need neither TensorFlow nor payloads.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import ClassVar, Literal

from tb_layerview.evidence import Evidence, Mask

Severity = Literal["error", "warning"]


@dataclasses.dataclass(frozen=True)
class Rule(abc.ABC):
    """What is looked for.

    Attributes:
      name: As in `tb-layerview check`.
      severity: `error` where the training cannot be what is wanted, `warning` where it may be.
      advice: What it usually means, and what people usually do about it.
      leads_to: The names of rules that hold further on because this one does. An error leads to whatever does.
      patience: At how many logged steps in a row it has to hold.
    """

    name: ClassVar[str]
    severity: ClassVar[Severity]
    advice: ClassVar[str]
    leads_to: ClassVar[tuple[str, ...]] = ()
    patience: int = 1

    @property
    def lookback(self) -> int:
        """How many logged steps it takes to tell that it holds, and that it did not at the one before."""
        return self.patience + 1

    @abc.abstractmethod
    def holds(self, evidence: Evidence) -> Mask:
        """Where it holds, bool [tensors, steps]."""

    @abc.abstractmethod
    def measure(self, evidence: Evidence, tensor: int, position: int) -> dict[str, float]:
        """The numbers behind it at one tensor and step, by name."""

    @abc.abstractmethod
    def in_words(self, evidence: Evidence, tensor: int, measured: dict[str, float]) -> str:
        """What is wrong, as the end of a sentence that begins with the tensor's name."""
