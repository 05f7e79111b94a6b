"""What a person says of the rules: which of them look, and what is done about what they find."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tb_layerview.health.finding import Finding
    from tb_layerview.health.rules.catalogue import Rule, Severity


@dataclasses.dataclass(frozen=True)
class Check:
    """What to look for while a training goes on, and what to do about it. Findings are said in any case.

    The statistics are looked at on a thread of its own while the training goes on, so that what was found at one step
    is acted on a little later, at the end of the training at the latest.

    Attributes:
      thresholds: Other thresholds than the rules' own, by `rule.threshold`: `{"silent_units.share": 0.99}`.
      on_finding: Is called with each `Finding` that does not follow from another, on the thread that trains, between
        two steps. An error in it is reported once, and the training goes on.
      stop_on: `error` stops the training when an error was found, `warning` when anything was; None never does.
      replay: Whether the last batches, and the weights before them, are kept, so that a batch that breaks the training
        can be run again on the weights right before it. The hook, whose batches are gone, keeps what the run that
        breaks the training has computed. None: where that costs nothing to speak of.
      memory: The most bytes that what is kept for a replay may take.

    Raises:
      TypeError: `on_finding` cannot be called, or `thresholds` has no names.
      ValueError: There is no such threshold or severity, or a number is out of its range.
    """

    thresholds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    on_finding: Callable[[Finding], object] | None = None
    stop_on: Severity | None = None
    replay: bool | None = None
    memory: int = 1_000_000_000

    def __post_init__(self) -> None:
        if self.on_finding is not None and not callable(self.on_finding):
            raise TypeError(f"Check(on_finding=...) must be a function of a finding, not {self.on_finding!r}")
        if self.stop_on not in (None, "error", "warning"):
            raise ValueError(f"Check(stop_on=...) must be 'error', 'warning' or None, not {self.stop_on!r}")
        if self.replay not in (None, True, False):
            raise ValueError(f"Check(replay=...) must be True, False or None, not {self.replay!r}")
        if isinstance(self.memory, bool) or not isinstance(self.memory, int) or self.memory < 1:
            raise ValueError(f"Check(memory=...) must be a whole number of bytes of at least 1, not {self.memory!r}")
        if not isinstance(self.thresholds, Mapping):
            raise TypeError(f"Check(thresholds=...) must map names to numbers, not {self.thresholds!r}")
        self.rules()

    def rules(self) -> tuple[Rule, ...]:
        """The rules with these thresholds."""
        from tb_layerview.health.rules.catalogue import with_thresholds  # numpy is not imported before someone needs it

        return with_thresholds(self.thresholds)

    def stops(self, finding: Finding) -> bool:
        """Whether the training is to stop because of this."""
        return self.stop_on == "warning" or self.stop_on == finding.severity
