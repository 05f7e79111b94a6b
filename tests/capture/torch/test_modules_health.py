"""Planted faults are found in PyTorch's modules: the right module, from the right step on; healthy ones have none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import tb_layerview as lv
from tb_layerview.health.finding import Finding
from tb_layerview.health.of_run import diagnose_runs

STEPS, BATCH = 40, 32


def problem(features: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """As many examples as the steps take: normal features, and a smooth function of two of them."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(STEPS * BATCH, features, generator=generator)
    return x, torch.tanh(x[:, :1] * x[:, 1:2])


@dataclasses.dataclass
class Case:
    """What is trained.

    Attributes:
      model: The network.
      x: Of all steps.
      y: Of all steps.
      loss: Of what the network gives.
      rate: Adam's, or SGD's.
      sgd: Whether it is SGD.
      before: Is called before each step with its number.
    """

    model: nn.Module
    x: torch.Tensor
    y: torch.Tensor
    loss: Callable[..., torch.Tensor] = functional.mse_loss
    rate: float = 1e-3
    sgd: bool = False
    before: Callable[[int, torch.optim.Optimizer], Any] | None = None


def trained(case: Case, folder: Path) -> tuple[Finding, ...]:
    """Trains, and gives what the rules find in all that was logged, the replay included."""
    kind = torch.optim.SGD if case.sgd else torch.optim.Adam
    optimizer = kind(case.model.parameters(), case.rate)
    probe = case.x[:BATCH], case.y[:BATCH]
    check = lv.Check(replay=True)
    options: dict[str, Any] = {"loss": case.loss, "optimizer": optimizer, "schedule": 1, "check": check}
    with lv.LayerRecorder(case.model, folder, probe, **options) as recorder:
        recorder.record(0)
        for step in range(STEPS):
            rows = slice(step * BATCH, (step + 1) * BATCH)
            if case.before is not None:
                case.before(step, optimizer)
            optimizer.zero_grad()
            loss = case.loss(case.model(case.x[rows]), case.y[rows])
            loss.backward()
            optimizer.step()
            recorder.record(step + 1, {"loss": loss}, batch=(case.x[rows], case.y[rows]))
    return {run.name: found for run, found in diagnose_runs(lv.LayerReader(folder).runs())}["."]


def seeded() -> None:
    torch.manual_seed(3)


class Divides(nn.Module):
    """Divides by what it takes: by zero where an example is all zero."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / x.abs().amax(1, keepdim=True)


def one_bad_example_outside_the_probe() -> Case:
    """An example of the 21st batch is zero, and a module divides by it."""
    x, y = problem()
    x[20 * BATCH + 5] = 0
    seeded()
    model = nn.Sequential(Divides(), nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    return Case(model, x, y)


def biases_far_below_zero() -> Case:
    """All biases before a ReLU start at -50."""
    seeded()
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    nn.init.constant_(model[0].bias, -50.0)
    return Case(model, *problem())


def inputs_not_scaled() -> Case:
    """The features are of thousands, and go into a tanh."""
    x, y = problem()
    seeded()
    return Case(nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1)), 1000 * x, y)


def all_units_alike() -> Case:
    """All weights of a layer start at the same number, and those of the next one; biases at 0."""
    seeded()
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
    for layer in (model[0], model[2]):
        nn.init.constant_(layer.weight, 0.1)
        nn.init.zeros_(layer.bias)
    return Case(model, *problem())


class Detached(nn.Module):
    """Stops the gradient on the way to its first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.second(torch.tanh(0 * self.first(x) + self.first(x).detach()))
        return result


def stopped_gradient() -> Case:
    """No gradient but zero reaches a layer."""
    seeded()
    return Case(Detached(), *problem(), sgd=True, rate=0.1)


def sigmoids_one_behind_another() -> Case:
    """Fourteen layers of sigmoids lose what tells examples apart, and then the gradient."""
    seeded()
    hidden = [part for _ in range(14) for part in (nn.Linear(16, 16), nn.Sigmoid())]
    return Case(nn.Sequential(nn.Linear(8, 16), *hidden, nn.Linear(16, 1)), *problem(), sgd=True, rate=0.1)


def one_bad_batch_of_targets() -> Case:
    """The targets of the 21st batch are 10,000 times what they were."""
    x, y = problem()
    y[20 * BATCH : 21 * BATCH] *= 1e4
    seeded()
    return Case(nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1)), x, y, sgd=True, rate=1e-2)


def a_rate_that_jumps() -> Case:
    """From step 20 on the learning rate is 300 times what it was."""
    seeded()

    def before(step: int, optimizer: torch.optim.Optimizer) -> None:
        if step == 20:
            optimizer.param_groups[0]["lr"] *= 300

    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
    return Case(model, *problem(), rate=1e-4, before=before)


def a_rate_far_too_low() -> Case:
    """The learning rate is a billionth."""
    seeded()
    return Case(nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1)), *problem(), rate=1e-9)


class Attends(nn.Module):
    """Self-attention over eight positions, with scores of a scale."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.embed, self.qkv, self.out = nn.Linear(1, 16), nn.Linear(16, 48), nn.Linear(16, 1)
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            part.unflatten(-1, (2, 8)).transpose(1, 2) for part in self.qkv(self.embed(x[..., None])).chunk(3, -1)
        )
        attended = functional.scaled_dot_product_attention(q, k, v, scale=self.scale)
        result: torch.Tensor = self.out(attended.transpose(1, 2).flatten(2)).mean(1)
        return result


def attention_on_one_position() -> Case:
    """Scores are of hundreds before the softmax."""
    seeded()
    return Case(Attends(2e3), *problem())


FAULTS: dict[Callable[[], Case], tuple[tuple[str, ...], tuple[str, ...], tuple[int, int]]] = {
    one_bad_example_outside_the_probe: (("non_finite",), ("0",), (21, 21)),
    biases_far_below_zero: (("silent_layer",), ("0", "1"), (0, 0)),
    inputs_not_scaled: (("saturated_activation",), ("1",), (0, 0)),
    all_units_alike: (("alike_units",), ("0", "1"), (0, 0)),
    stopped_gradient: (("zero_gradient", "unmoved_weight"), ("first",), (0, 1)),
    sigmoids_one_behind_another: (("collapsed_representation",), ("4", "6", "8"), (0, 0)),
    one_bad_batch_of_targets: (("update_spike", "gradient_spike"), ("0", "2"), (21, 22)),
    a_rate_that_jumps: (("update_spike", "update_ratio"), ("0", "2"), (21, 22)),
    a_rate_far_too_low: (("small_update",), ("0", "2"), (1, 1)),
    attention_on_one_position: (("collapsed_attention",), ("Attends",), (0, 0)),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_found_where_it_is_and_leads(fault: Callable[[], Case], tmp_path: Path) -> None:
    rules, layers, (first, last) = FAULTS[fault]
    found = trained(fault(), tmp_path)
    report = "\n".join(f"{f.rule} {f.tensor} at {f.first}: {f.words} [follows {f.follows}]" for f in found[:8])
    assert found, "nothing"
    leading = found[0]
    assert leading.rule in rules and leading.tensor is not None, report
    assert leading.tensor.layer in layers, report
    assert first <= leading.first <= last, report


def test_a_gradient_that_vanishes_follows_from_what_has_collapsed(tmp_path: Path) -> None:
    found = trained(sigmoids_one_behind_another(), tmp_path)
    vanishing = [finding for finding in found if finding.rule == "vanishing_gradient"]
    assert len(vanishing) > 3
    assert {finding.follows for finding in vanishing} == {0}


def test_the_batch_that_broke_it_is_run_again(tmp_path: Path) -> None:
    trained(one_bad_example_outside_the_probe(), tmp_path)
    run = lv.LayerReader(tmp_path).run("replay")
    assert [*run.steps] == [21]
    divided = run.tensor("0", kind="activation")
    assert run.digest(divided, 21).nan == 8
    assert run.digest(run.tensor("input", kind="activation"), 21).nan == 0


def dense() -> Case:
    seeded()
    return Case(nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1)), *problem())


def convolutional() -> Case:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.tensor(digits.images[: STEPS * BATCH] / 16, dtype=torch.float32)[:, None]
    seeded()
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(512, 10)
    )
    return Case(model, images, torch.tensor(digits.target[: STEPS * BATCH]), functional.cross_entropy)


class Sequences(nn.Module):
    """A recurrent network over the features, one by one."""

    def __init__(self, cells: nn.Module) -> None:
        super().__init__()
        self.cells, self.out = cells, nn.Linear(16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.out(self.cells(x[..., None])[0][:, -1])
        return result


def recurrent_lstm() -> Case:
    seeded()
    return Case(Sequences(nn.LSTM(1, 16, batch_first=True)), *problem())


def recurrent_gru() -> Case:
    seeded()
    return Case(Sequences(nn.GRU(1, 16, batch_first=True)), *problem())


class Encoder(nn.Module):
    """A transformer's encoder over the features."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(1, 16)
        self.place = nn.Parameter(0.1 * torch.randn(8, 16))
        layer = nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True)
        self.encoder, self.out = nn.TransformerEncoder(layer, 1), nn.Linear(16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.out(self.encoder(self.embed(x[..., None]) + self.place).mean(1))
        return result


def encoder() -> Case:
    seeded()
    return Case(Encoder(), *problem())


def autoencoder() -> Case:
    x, _ = problem()
    seeded()
    return Case(nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 8)), x, x)


@pytest.mark.parametrize(
    "healthy",
    [dense, convolutional, recurrent_lstm, recurrent_gru, encoder, autoencoder],
    ids=lambda healthy: healthy.__name__,
)
def test_nothing_is_found_in_a_healthy_training(healthy: Callable[[], Case], tmp_path: Path) -> None:
    case = healthy()
    with torch.no_grad():
        before = float(case.loss(case.model(case.x), case.y))
    found = trained(case, tmp_path)
    assert [(f.rule, str(f.tensor), f.first, f.words) for f in found] == []
    with torch.no_grad():
        assert float(case.loss(case.model(case.x), case.y)) < before
