"""Logs a training of Hugging Face's `Trainer`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback as _TrainerCallback

from tb_layerview.capture.given import Given, Ranks
from tb_layerview.capture.torch.watch import Watch
from tb_layerview.format.addresses import checked
from tb_layerview.health.check import Check
from tb_layerview.options import Keep, Schedule, Select


class TrainerCallback(_TrainerCallback):
    """Logs the layers of a model while Hugging Face's `Trainer` trains it.

    ```python
    trainer = Trainer(model, arguments, train_dataset=data, callbacks=[lv.TrainerCallback("logs/run1")])
    ```

    The probe is what the model is first called with, its first examples, and the loss the one in its output. Gradients
    of weights are those that the optimizer is given, after clipping. A step is one of the optimizer's, as the Trainer
    counts them.
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
        self._given = Given.of(select, schedule, keep, check, ranks)
        select.refuse_tensors()
        self._logdir = checked(logdir)
        self._watch: Watch | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Opens the log."""
        step = int(state.global_step)
        self._watch = Watch(given["model"], self._logdir, given["optimizer"], self._given, _loss, step=step)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Stops the training if it is to stop."""
        if self._watch is not None and self._watch.should_stop:
            control.should_training_stop = True

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Closes the log."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()


def _loss(output: Any) -> Any:
    """The loss in a model's output."""
    return output["loss"] if isinstance(output, Mapping) else output[0]
