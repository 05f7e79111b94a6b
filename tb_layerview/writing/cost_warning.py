"""Says what logging costs beyond what is expected of it, as soon as that is known."""

from __future__ import annotations

import collections
import math
from collections.abc import Callable

from tb_layerview.format.model import Cost, Model
from tb_layerview.options import CORE
from tb_layerview.writing.budget import Budget

_DEAR = 100  # training steps that a logged one may take before that is said
_NOTICED = 0.1  # seconds below which nobody minds
_PATIENCE = 180.0  # seconds of training after which the first steps should be paid back


class CostWarning:
    """Compares what a logged step takes with the fastest of the training's own."""

    def __init__(self, budget: Budget, report: Callable[[str, str], None]) -> None:
        """Has compared nothing yet.

        Args:
          budget: What logging has cost.
          report: Says once, of a thing, a sentence.
        """
        self._budget, self._report = budget, report
        self._trained: tuple[int, float] | None = None  # the last logged step, and seconds of training until then
        self._fastest = math.inf  # seconds of a training step

    def look(self, step: int | None, model: Model | None) -> None:
        """Compares again, after a step was logged.

        Args:
          step: The last one that was logged, if there is one.
          model: What is logged, once that is known.
        """
        training = self._budget.training
        before, self._trained = self._trained, None if step is None else (step, training)
        if step is None or before is None or step <= before[0]:
            return
        took = (training - before[1]) / (step - before[0])
        self._fastest = min(self._fastest, took) if took > 0 else self._fastest
        cost = self._budget.per_step
        if cost >= _NOTICED and cost > _DEAR * self._fastest:
            self._report(
                "what logging costs",
                f"a logged step takes {two_digits(cost)} s, as long as {cost / self._fastest:,.0f} training steps. "
                f"{_largest_layer(model)}schedule=... logs fewer steps",
            )


class OverdraftNote:
    """Finds out, once, that the ladder's core takes more than the budget: each training begins with an overdraft."""

    def __init__(self, budget: Budget, share: float) -> None:
        """Has found nothing yet.

        Args:
          budget: What logging has cost.
          share: The share of the training time, 0 to 1, that logging may take.
        """
        self._budget, self._share, self._is_known = budget, share, False

    def look(self, step: int | None, is_over: bool = False) -> str | None:
        """What to note, if it is known now and was not before.

        Args:
          step: The last one that was logged, if there is one.
          is_over: Whether nothing more is trained; else the account has three minutes to be even.
        """
        budget = self._budget
        cost = Cost(budget.set_up, budget.logging, budget.elapsed)
        is_early = not is_over and budget.training < _PATIENCE
        if step is None or self._is_known or is_early or budget.overdraft < _NOTICED or not cost.own_seconds:
            return None
        self._is_known = True
        return (
            f"up to step {step:,} logging has taken {100 * cost.share:.3g} % of the training time, more than the "
            f"{100 * self._share:g} % that Schedule(budget=...) allows: the ladder's {CORE} steps an octave are logged "
            f"whatever they cost. {'A longer training' if is_over else 'The training'} pays it back"
        )


def two_digits(number: float) -> str:
    """A number with two digits, as people write it: 0.031, 290, 1,200."""
    return f"{float(f'{number:.2g}'):,.15g}"


def _largest_layer(model: Model | None) -> str:
    """The way out, as a part of a sentence: how to leave out the layer with the most elements."""
    if model is None or len(model.layers) < 2:
        return ""
    elements = collections.Counter[int]()
    for tensor in model.tensors:
        elements[tensor.layer] += math.prod(max(size, 1) for size in tensor.shape)
    ((layer, _),) = elements.most_common(1)
    path = model.layers[layer].path
    return f"Select(exclude=({path!r},)) leaves out {path}, which has the most elements; "
