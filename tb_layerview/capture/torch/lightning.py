"""Logs a training of Lightning's."""

from __future__ import annotations

import contextlib
import importlib
import os
from typing import Any

from tb_layerview.capture.given import Given, Ranks
from tb_layerview.capture.passes.calls import recorded
from tb_layerview.capture.torch.batch import Batch
from tb_layerview.capture.torch.watch import Watch
from tb_layerview.format.addresses import checked
from tb_layerview.health.check import Check
from tb_layerview.options import Keep, Schedule, Select


def _callback_class() -> Any:
    """Lightning's class of callbacks: it is installed under one of two names."""
    for name in ("lightning.pytorch", "pytorch_lightning"):
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module(name).Callback
    raise ModuleNotFoundError("LightningCallback needs Lightning: pip install lightning")


class _Whole(Batch):
    """A batch as `training_step` takes it: of a pair the second part is what the first is to lead to."""

    @property
    def targets(self) -> Any:
        """The second part of a pair, or what is called `labels`."""
        is_pair = isinstance(self.x, (tuple, list)) and len(self.x) == 2
        return self.x[1] if is_pair else super().targets


class LightningCallback(_callback_class()):  # type: ignore[misc]
    """Logs the layers of a `LightningModule` while a `Trainer` fits it.

    ```python
    trainer = Trainer(callbacks=[lv.LightningCallback("logs/run1")])
    ```

    The probe is the first training batch, its first examples: at a logged step `training_step` is run on it, which
    nobody else notices, and what it returns is the loss. Gradients of weights are those that the optimizer is given. A
    module that optimizes by hand has its weights, updates and gradients logged, without a pass.
    """

    def __init__(
        self,
        logdir: str | os.PathLike[str],
        select: Select = Select(),
        schedule: Schedule | int = Schedule(),
        keep: Keep | None = None,
        check: Check = Check(),
        ranks: Ranks = "first",
    ) -> None:
        """Checks the options; nothing is opened before a training begins.

        Args:
          logdir: The run's folder, or its address: `s3://bucket/run`; the log goes into its folder `layers`.
          select: Which layers and kinds to log.
          schedule: When to log: a `Schedule`, or N for every N steps.
          keep: How much to keep of each tensor; by default `Keep()`, and statistics alone where all ranks log.
          check: What to look for, and what to do about it.
          ranks: Of several processes the first one logs, or "all", each into its `<logdir>/rank-N`.

        Raises:
          TypeError: An option is not of its type.
          ValueError: An option is out of its range, or nothing that is installed opens the folder.
        """
        super().__init__()
        self._given = Given.of(select, schedule, keep, check, ranks)
        select.refuse_tensors()
        self._logdir = checked(logdir)
        self._watch: Watch | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Opens the log."""
        optimizers, step = list(trainer.optimizers), int(trainer.global_step)
        self._watch = Watch(pl_module, self._logdir, optimizers, self._given, _loss, _training_step, step)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Takes the first batch."""
        if self._watch is not None and pl_module.automatic_optimization:
            self._watch.take(batch, _Whole)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stops the training if it is to stop."""
        if self._watch is not None and self._watch.should_stop:
            trainer.should_stop = True

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Closes the log."""
        self._close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Closes the log."""
        self._close()

    def _close(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()


def _training_step(module: Any, batch: Any) -> Any:
    """What a module's `training_step` makes of a batch, without a word to the trainer."""

    def call(module: Any, batch: Any) -> Any:
        return module.training_step(batch, 0)

    names = ("log", "log_dict")
    for name in names:
        setattr(module, name, _say_nothing)
    try:
        return recorded(call)(module, batch)
    finally:
        for name in names:
            delattr(module, name)


def _say_nothing(*_: Any, **__: Any) -> None:
    """In place of `log`: the trainer does not know of this step."""


def _loss(returned: Any) -> Any:
    """The loss in what a `training_step` returns: itself, or by that name."""
    return returned["loss"] if isinstance(returned, dict) else returned
