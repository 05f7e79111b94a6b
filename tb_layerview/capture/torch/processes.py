"""Which of several processes that train one model this one is, and where it logs what."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tb_layerview.about import logger
from tb_layerview.capture.given import Given
from tb_layerview.format.addresses import scheme_of
from tb_layerview.format.places import within


@dataclasses.dataclass(frozen=True)
class Process:
    """One of the processes that train a model together.

    Attributes:
      rank: Which one, from 0 on.
      size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def of_this(cls) -> Process:
        """What `torch.distributed` says of this one; before it is asked to join them, what `torchrun` has told it."""
        distributed = torch.distributed
        if distributed.is_available() and distributed.is_initialized():
            return cls(distributed.get_rank(), distributed.get_world_size())
        told = [os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE")]
        if not distributed.is_torchelastic_launched() or not all(number.isdecimal() for number in told):
            return cls()
        return cls(*map(int, told))

    @property
    def logs(self) -> bool:
        """Whether it logs where the first one alone does. That another one does is said."""
        if self.rank:
            logger.info("tb_layerview: the process of rank 0 logs, not that of rank %d.", self.rank)
        return not self.rank

    def place(self, logdir: str, given: Given) -> tuple[str, Given]:
        """The folder that it logs into, and what: where all log, each has its own folder and its share of the budget.

        The steps of the schedule's core are the same for all, and logged at the same time: they cost what one costs.
        Which others a process has time for it finds out by itself, and while it logs the others wait.
        """
        if given.ranks != "all":
            return logdir, given
        if not self.rank:
            self._tell_of_others(logdir)
        schedule = given.schedule
        if schedule.is_ladder:
            schedule = dataclasses.replace(schedule, budget=schedule.budget / self.size)
        return within(logdir, f"rank-{self.rank}"), dataclasses.replace(given, schedule=schedule)

    def _tell_of_others(self, logdir: str) -> None:
        """Says which folders of a logdir no process writes to: those of a training by more of them."""
        if scheme_of(logdir) or not os.path.isdir(logdir):
            return
        numbers = sorted(int(path.name[5:]) for path in Path(logdir).glob("rank-*") if path.name[5:].isdecimal())
        old = [f"rank-{number}" for number in numbers if number >= self.size]
        if old:
            logger.warning(
                "tb_layerview: %s in %s are of a training by more than the %d processes of this one, and stand beside "
                "its ranks in the tab: remove them.",
                ", ".join(old),
                logdir,
                self.size,
            )


def tell(message: str) -> None:
    """Prints what a log holds, once it is closed, in the first of several processes; the others log it."""
    if Process.of_this().rank:
        logger.info("%s", message)
    else:
        print(message)


@contextlib.contextmanager
def asking_nobody() -> Iterator[None]:
    """Has a pass fail that asks other processes for something: they do not run it, and it would wait for ever.

    What it sends would be taken for a part of the training, too.
    """
    if Process.of_this().size == 1:
        yield
        return
    with _Alone():
        yield


class _Alone(TorchDispatchMode):
    """Sees all operations, those of backward passes and those that C++ calls as well."""

    #: Those that take functions as well, as `torch.cond` and attention that is written by its scores: each mode is
    #: asked whether it lets them through.
    supports_higher_order_operators = True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func.namespace in _COLLECTIVE:
            raise RuntimeError(
                f"it asks the training's other processes for something ({func.name()}), and only this one runs it"
            )
        return func(*args, **(kwargs or {}))


_COLLECTIVE = ("c10d", "_c10d_functional", "_c10d_functional_autograd", "c10d_functional")
