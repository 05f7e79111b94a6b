"""What is said of a training: a rule, the tensor that it holds of, since when, and what it led to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from tb_layerview.format.logged import LoggedTensor
from tb_layerview.health.rules.catalogue import Severity


@dataclasses.dataclass(frozen=True)
class Replay:
    """Where a step lies that was run again.

    Attributes:
      run: The name of the run that holds it.
      step: The training step that the batch made.
    """

    run: str
    step: int


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a rule found.

    Attributes:
      rule: The rule's name.
      severity: The rule's severity.
      tensor: Where, or None where no tensor can be named.
      first: The first logged step at which it held.
      before: The last step before at which the tensor was logged and it did not hold; None if it held from the first
        on. It began after `before` and not later than `first`.
      last: The last logged step at which it held.
      measured: The numbers behind it at `first`, by name.
      words: What was found, in a sentence.
      short: What was found, in at most nine words.
      follows: The index of the finding that explains this one, or None.
      replay: The replay that shows it (at step `replay.step`), or None where the training's own log alone does.
    """

    rule: str
    severity: Severity
    tensor: LoggedTensor | None
    first: int
    before: int | None
    last: int
    measured: Mapping[str, float]
    words: str
    short: str
    follows: int | None = None
    replay: Replay | None = None


def with_place(finding: Finding) -> str:
    """What was found, and behind the name of the layer where in somebody's code that is called, if it is known."""
    tensor, words = finding.tensor, finding.words
    if tensor is None or tensor.source is None:
        return words
    name = f"layer {tensor.layer!r}"
    # What a step broke is seen at a tensor, and its layer is not named.
    return words.replace(name, f"{name} ({tensor.source})", 1)


def since(finding: Finding) -> str:
    """Since when, in words: between which logged steps it began."""
    if finding.before is None:
        return f"at step {finding.first:,}, the first that is logged"
    if finding.first - finding.before == 1:
        return f"since step {finding.first:,}"
    return f"between steps {finding.before + 1:,} and {finding.first:,}"


def headline(finding: Finding) -> str:
    """What was found and since when, in at most twelve words. `since` says it to the step."""
    what = finding.short[:1].upper() + finding.short[1:]
    if finding.before is None:
        return f"{what} from step {finding.first:,}"
    is_sure = finding.first - finding.before == 1
    return f"{what} {'since' if is_sure else 'by'} step {finding.first:,}"


def led_to(findings: Sequence[Finding]) -> dict[int, int]:
    """For each warning that errors follow from, by its index, that of the first of these; of a tensor, if any is."""
    found: dict[int, int] = {}
    for i, finding in enumerate(findings):
        cause = finding.follows
        if finding.severity != "error" or cause is None or findings[cause].severity == "error":
            continue
        known = found.setdefault(cause, i)
        if findings[known].tensor is None and finding.tensor is not None:
            found[cause] = i
    return found


def counted(findings: Sequence[Finding]) -> str:
    """How many there are, in words."""
    counts = [(severity, sum(f.severity == severity for f in findings)) for severity in ("error", "warning")]
    return ", ".join(f"{count:,} {severity}{'s' * (count > 1)}" for severity, count in counts if count)
