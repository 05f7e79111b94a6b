"""Small trainings of PyTorch modules, logged in both ways, and what the rules find in them."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

import tb_layerview as lv
from tb_layerview.format.model import USUAL_KINDS, Kind
from tb_layerview.health.finding import Finding, since
from tb_layerview.health.of_run import diagnose_runs

BATCH = 32
WAYS = ("recorder", "watch")


def problem(steps: int, features: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """As many examples as the steps take: normal features, and a smooth function of two of them."""
    x = torch.randn(steps * BATCH, features, generator=torch.Generator().manual_seed(0))
    return x, torch.tanh(x[:, :1] * x[:, 1:2])


def batch_number(k: int) -> slice:
    """The examples of the k-th batch, from 0; the step that it makes is k + 1."""
    return slice(k * BATCH, (k + 1) * BATCH)


def stack(**parts: Callable[[], nn.Module] | nn.Module) -> Any:
    """A sequential module of named parts; what is to be made is made once the random numbers have begun anew."""
    torch.manual_seed(3)
    made = [(name, part if isinstance(part, nn.Module) else part()) for name, part in parts.items()]
    return nn.Sequential(OrderedDict(made))


def linear(inputs: int, units: int) -> Callable[[], nn.Module]:
    """A linear layer, to be made once the random numbers have begun anew."""
    return lambda: nn.Linear(inputs, units)


@dataclasses.dataclass
class Case:
    """What is trained.

    Attributes:
      model: The network.
      x: Of all steps, by batches of `BATCH`.
      y: Of all steps.
      loss: Of what the network gives.
      optimizer: Is given the network's parameters; or the optimizer itself.
      before: Is called before each step with the number of steps made, and the optimizer.
      kinds: What is logged.
    """

    model: Any
    x: torch.Tensor
    y: torch.Tensor
    loss: Callable[..., torch.Tensor] = functional.mse_loss
    optimizer: Callable[[Any], torch.optim.Optimizer] | torch.optim.Optimizer = torch.optim.Adam
    before: Callable[[int, torch.optim.Optimizer], Any] = lambda *_: None
    kinds: tuple[Kind, ...] = USUAL_KINDS


def trained(case: Case, folder: Path) -> dict[str, tuple[Finding, ...]]:
    """Trains once, logged by a recorder and watched at once.

    Returns:
      By way, what the rules find in that log, the replay included.
    """
    made, model = case.optimizer, case.model
    optimizer = made if isinstance(made, torch.optim.Optimizer) else made(model.parameters())
    options: dict[str, Any] = {"optimizer": optimizer, "schedule": 1, "select": lv.Select(kinds=case.kinds)}
    probe, check = (case.x[:BATCH], case.y[:BATCH]), lv.Check(replay=True)
    recorder = lv.LayerRecorder(model, folder / "recorder", probe, loss=case.loss, check=check, **options)
    with recorder, lv.watch(model, folder / "watch", **options):
        recorder.record(0)
        for step in range(len(case.x) // BATCH):
            batch = case.x[batch_number(step)], case.y[batch_number(step)]
            case.before(step, optimizer)
            optimizer.zero_grad()
            loss = case.loss(model(batch[0]), batch[1])
            loss.backward()
            optimizer.step()
            recorder.record(step + 1, {"loss": loss}, batch=batch)
    found = {run.name: findings for run, findings in diagnose_runs(lv.LayerReader(folder).runs())}
    return {way: found[way] for way in WAYS}


def in_words(found: tuple[Finding, ...]) -> str:
    """The first findings, a line each."""
    lines = (f"{f.rule} {f.tensor and (f.tensor.kind, f.tensor.layer, f.tensor.name)} {since(f)}: {f.words} "
             f"[follows {f.follows}]" for f in found[:12])  # fmt: skip
    return "\n".join(lines) or "nothing"
