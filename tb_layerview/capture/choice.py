"""What a model may be run on: examples of a batch that was given, or of the first one that trains it."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from tb_layerview.writing.guard import in_words

PROBE_EXAMPLES = 32
#: Of how many bytes a whole batch may be the probe. It is held as long as the training lasts, beside what a pass of it
#: takes, which is what a training step takes: a few hundred megabytes are what prefetched batches take anyway.
WHOLE_BYTES = 256 << 20


class Batch(Protocol):
    """What a model is trained on, as the framework that computes it has it."""

    @property
    def examples(self) -> int:
        """How many examples it has."""
        ...

    @property
    def bytes(self) -> int:
        """What it takes in memory."""
        ...

    @property
    def shapes(self) -> str:
        """The shapes of its inputs, in words."""
        ...

    def first(self, examples: int) -> Batch:
        """Its first examples.

        Raises:
          Exception: It cannot be cut into examples.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Examples:
    """Examples that a model may be run on.

    Attributes:
      batch: As the framework has them.
      source: Which ones they are, in words.
    """

    batch: Batch
    source: str


@dataclasses.dataclass(frozen=True)
class Choice:
    """What a model may be run on.

    Attributes:
      examples: The best first.
      obstacles: Why better ones cannot be had, in words each.
      otherwise: Why there are no others, and what to do where the model cannot be run on any; in words, or empty.
    """

    examples: tuple[Examples, ...]
    obstacles: tuple[str, ...] = ()
    otherwise: str = ""

    @classmethod
    def given(cls, batch: Batch) -> Choice:
        """The probe that somebody gave."""
        return cls((Examples(batch, f"given: {batch.examples} examples"),))

    @classmethod
    def of(cls, first: Batch, name: str, advice: str = "") -> Choice:
        """The first examples of a batch; all of it, where a model does not take a part of it.

        Args:
          first: The first batch.
          name: What it is, in words.
          advice: What to do where the model cannot be run on it, in words.
        """
        found, obstacles, rows = [], [], first.examples
        try:
            cut = first.first(PROBE_EXAMPLES)
            found.append(Examples(cut, f"the first {cut.examples} examples of {name}"))
            if cut.examples == rows:
                return cls(tuple(found), otherwise=advice)
        except Exception as error:  # noqa: BLE001  # batches are made of whatever data sets are made of
            obstacles.append(f"{name} cannot be cut into examples ({in_words(error)})")
        if first.bytes <= WHOLE_BYTES:
            found.append(Examples(first, f"the whole of {name}, {rows} {'row' if rows == 1 else 'rows'}"))
        else:
            advice = f"the whole of {name} takes {first.bytes / 1e6:,.0f} MB, too much to be kept. {advice}"
        return cls(tuple(found), tuple(obstacles), advice)
