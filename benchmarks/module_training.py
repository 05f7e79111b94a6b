"""Trains the CNN of 3.3 million parameters as a plain module of PyTorch, bare or with something that looks at it.

`python -m benchmarks.module_training HOW STEPS` prints the seconds of so many steps and of closing, as JSON: on the
clock, and of the processor. `python -m benchmarks.module_training HOW --pace PACE` trains in turn with another process:
see `in_turn`. HOW is a name of `HOW`. What is not ours is looked for in build/monitors.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil
import torch
from torch.nn import functional

import tb_layerview as lv
from benchmarks.images import BATCH, IMAGES, LABELS
from benchmarks.in_turn import Pace

_MONITORS = Path(__file__).resolve().parent.parent / "build" / "monitors"
_FIRST = 3  # steps that are not measured: in these, all of them set themselves up
_PROBE = 32  # examples: what the callback for Keras takes of a batch
_KINDS = ("activation", "weight", "gradient", "update")


class CNN(torch.nn.Module):
    """Two 5 x 5 convolutions, linear 1024, linear 10: the shapes and the layers of `models.cnn`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(1, 32, 5, padding="same")
        self.conv2 = torch.nn.Conv2d(32, 64, 5, padding="same")
        self.pool1, self.pool2 = torch.nn.MaxPool2d(2), torch.nn.MaxPool2d(2)
        self.hidden = torch.nn.Linear(64 * 7 * 7, 1024)
        self.classes = torch.nn.Linear(1024, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [batch, 10] of images [batch, 1, 28, 28]."""
        x = self.pool1(functional.relu(self.conv1(x)))
        x = self.pool2(functional.relu(self.conv2(x)))
        logits: torch.Tensor = self.classes(functional.relu(self.hidden(x.flatten(1))))
        return logits


class Training:
    """A loop of one's own.

    Attributes:
      model: What is trained.
      optimizer: Adam, as Keras' CNN has it.
      x: Images [640, 1, 28, 28].
      y: Labels [640].
    """

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = CNN()
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.x, self.y = torch.from_numpy(IMAGES).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(LABELS)

    def step(self, number: int) -> None:
        """Trains on the batch that is next."""
        at = number * BATCH % len(self.x)
        self.optimizer.zero_grad()
        functional.cross_entropy(self.model(self.x[at : at + BATCH]), self.y[at : at + BATCH]).backward()
        self.optimizer.step()


def _hears_nothing(_step: int) -> None:
    """Is told of a step for nothing."""


@dataclasses.dataclass
class Looking:
    """What looks at a training.

    Attributes:
      after: Is told how many steps are complete.
      log: What it writes, if it is ours.
    """

    after: Callable[[int], Any] = _hears_nothing
    log: Any = None


@contextlib.contextmanager
def bare(_training: Training, _folder: str) -> Iterator[Looking]:
    """Nothing looks at it."""
    yield Looking()


def recorded(schedule: lv.Schedule | int, *kinds: str) -> Any:
    """A `LayerRecorder` that logs some kinds, called after each step."""

    @contextlib.contextmanager
    def how(training: Training, folder: str) -> Iterator[Looking]:
        probe = training.x[:_PROBE], training.y[:_PROBE]
        options: dict[str, Any] = {"loss": functional.cross_entropy, "optimizer": training.optimizer}
        options |= {"select": lv.Select(kinds=kinds), "schedule": schedule}
        with lv.LayerRecorder(training.model, folder, probe=probe, **options) as recorder:
            yield Looking(recorder.record, recorder._recording.log)  # no public name for it

    return how


def watched(schedule: lv.Schedule | int, *kinds: str) -> Any:
    """`watch`, which hears of the steps by itself."""

    @contextlib.contextmanager
    def how(training: Training, folder: str) -> Iterator[Looking]:
        select = lv.Select(kinds=kinds)
        options: dict[str, Any] = {"optimizer": training.optimizer, "select": select, "schedule": schedule}
        with lv.watch(training.model, folder, **options) as watching:
            assert watching._recording is not None
            yield Looking(log=watching._recording.log)

    return how


@contextlib.contextmanager
def ms_probe(training: Training, folder: str) -> Iterator[Looking]:
    """msProbe's monitor of weights, gradients, activations and what Adam keeps; five numbers of each."""
    os.environ["MONITOR_OUTPUT_DIR"] = folder
    from msprobe.pytorch import TrainerMon

    asked = ("xy_distribution", "wg_distribution", "mv_distribution", "param_distribution", "all_xy")
    config = {"targets": {"": {}}, "ops": ["norm", "min", "max", "mean", "nans"], **dict.fromkeys(asked, True)}
    path = Path(folder) / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    monitor = TrainerMon(str(path), params_have_main_grad=False)
    monitor.set_monitor(training.model, optimizer=training.optimizer, grad_acc_steps=1)
    yield Looking()


@contextlib.contextmanager
def wandb_watch(training: Training, folder: str) -> Iterator[Looking]:
    """The histograms that `wandb.watch` makes of weights and gradients; nothing is sent anywhere.

    It drops NaN and infinities first, and hears each backward pass, where ours count them and log the optimizer's.
    """
    os.environ |= {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
    import wandb

    settings = wandb.Settings(x_disable_stats=True, x_disable_machine_info=True, console="off")
    with wandb.init(project="benchmark", dir=folder, settings=settings) as run:
        run.watch(training.model, log="all", log_freq=1)
        yield Looking(lambda step: run.log({"step": step}))  # which says that a step is complete


_DEFAULT = lv.Schedule()
HOW: dict[str, Callable[[Training, str], AbstractContextManager[Looking]]] = {
    "bare": bare,
    "recorder": recorded(1, *_KINDS),
    "recorder-optimizer": recorded(1, *_KINDS, "optimizer"),
    "watch": watched(1, *_KINDS),
    "watch-optimizer": watched(1, *_KINDS, "optimizer"),
    "watch-weights": watched(1, "weight", "gradient"),
    "ms-probe": ms_probe,
    "wandb": wandb_watch,
    "recorder-default": recorded(_DEFAULT, *_KINDS),
    "watch-default": watched(_DEFAULT, *_KINDS),
}


def _processor_seconds() -> float:
    """Of all threads of this process and of those that it has begun, as wandb's service."""
    own = psutil.Process()
    times = [own.cpu_times(), *(one.cpu_times() for one in own.children(recursive=True))]
    return sum(each.user + each.system for each in times) + times[0].children_user + times[0].children_system


def measure(how: str, steps: int) -> tuple[float, float]:
    """Seconds of so many steps and of closing, after some that are not measured: on the clock, and of the processor."""
    training = Training()
    with tempfile.TemporaryDirectory() as folder:
        with HOW[how](training, folder) as looking:
            for number in range(_FIRST + steps):
                if number == _FIRST:
                    began, processor = time.perf_counter(), _processor_seconds()
                training.step(number)
                looking.after(number + 1)
        return time.perf_counter() - began, _processor_seconds() - processor


def train_in_turn(how: str, path: str) -> None:
    """Trains when it is this process' turn, until it is told to end."""
    training, pace, number = Training(), Pace(path), 0
    with tempfile.TemporaryDirectory() as folder, HOW[how](training, folder) as looking:
        while pace.step(looking.log and looking.log.budget):
            training.step(number)
            looking.after(number := number + 1)


def main() -> None:
    sys.path.append(str(_MONITORS))
    how, *arguments = sys.argv[1:]
    if arguments[0] == "--pace":
        train_in_turn(how, arguments[1])
    else:
        print(json.dumps(measure(how, int(arguments[0]))))


if __name__ == "__main__":
    main()
