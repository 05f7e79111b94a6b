"""A training of Lightning's is the same with the callback, and what it logs is what its optimizer is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import tb_layerview as lv

L = pytest.importorskip("lightning.pytorch")
metrics = pytest.importorskip("torchmetrics")

ALL = lv.Keep(activations=1 << 20, weights=1 << 20, gradients=1 << 20, examples=16, precision="float32")
EXAMPLES, BATCH = 96, 16


class Network(L.LightningModule):  # type: ignore[misc]
    """Logs a loss and a metric, and keeps a list, as people do in their steps."""

    def __init__(self, by_hand: bool = False) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(inplace=True), nn.Dropout(0.3))
        self.head = nn.Linear(16, 3)
        self.accuracy = metrics.Accuracy("multiclass", num_classes=3)
        self.losses: list[float] = []
        self.given: list[dict[str, torch.Tensor]] = []
        self.automatic_optimization = not by_hand

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        x, y = batch
        logits = self.head(self.encoder(x))
        loss = functional.cross_entropy(logits, y)
        self.accuracy(logits, y)
        self.log("loss", loss, on_epoch=True)
        self.log_dict({"accuracy": self.accuracy}, on_epoch=True)
        self.losses.append(float(loss.detach()))
        if not self.automatic_optimization:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        return loss

    def on_before_zero_grad(self, optimizer: Any) -> None:
        self.given.append({n: p.grad.clone() for n, p in self.named_parameters() if p.grad is not None})

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), 1e-2)


def trained(callbacks: list[Any], by_hand: bool = False, **options: Any) -> tuple[Network, Any]:
    L.seed_everything(3, verbose=False)
    model, x, y = Network(by_hand), torch.randn(EXAMPLES, 6), torch.randint(0, 3, (EXAMPLES,))
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), BATCH, shuffle=True)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(
        max_epochs=2, callbacks=callbacks, accelerator="cpu", enable_model_summary=False, **quiet, **options
    )
    trainer.fit(model, data)
    return model, trainer


def left_by(model: Network, trainer: Any) -> dict[str, Any]:
    found = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    (optimizer,) = trainer.optimizers
    for i, state in enumerate(optimizer.state.values()):
        found |= {f"optimizer {i} {name}": value.clone() for name, value in state.items()}
    metric = {f"metric {name}": value.clone() for name, value in model.accuracy.metric_state.items()}
    told = {f"told {name}": torch.as_tensor(value) for name, value in trainer.callback_metrics.items()}
    return {**found, **metric, **told, "losses": torch.tensor(model.losses), "random": torch.get_rng_state()}


@pytest.mark.parametrize(
    ("by_hand", "options"),
    [
        pytest.param(False, {}, id="plain"),
        pytest.param(False, {"gradient_clip_val": 0.05}, id="clipped"),
        pytest.param(False, {"accumulate_grad_batches": 2}, id="accumulated"),
        pytest.param(False, {"precision": "bf16-mixed"}, id="casts"),
        pytest.param(True, {}, id="optimized by hand"),
    ],
)
def test_a_training_is_the_same_and_counts_the_optimizers_steps(
    by_hand: bool, options: dict[str, Any], tmp_path: Path
) -> None:
    bare = left_by(*trained([], by_hand, **options))
    model, trainer = trained([lv.LightningCallback(tmp_path, schedule=1)], by_hand, **options)
    found = left_by(model, trainer)
    assert found.keys() == bare.keys()
    assert [name for name in bare if not torch.equal(bare[name], found[name])] == []
    assert not model._forward_pre_hooks
    assert not any(one._optimizer_step_pre_hooks or one._optimizer_step_post_hooks for one in trainer.optimizers)
    run = lv.LayerReader(tmp_path).run()
    assert [*run.steps][-1] == trainer.global_step
    kinds = {tensor.kind for tensor in run.tensors}
    assert kinds == {"weight", "gradient", "update"} | (set() if by_hand else {"activation"})


@pytest.mark.covers(
    "Keras: custom train_step",
)
def test_gradients_are_those_that_the_optimizer_is_given_after_clipping(tmp_path: Path) -> None:
    model, trainer = trained([lv.LightningCallback(tmp_path, schedule=1, keep=ALL)], gradient_clip_val=0.05)
    run = lv.LayerReader(tmp_path).run()
    assert [*run.steps] == [*range(trainer.global_step + 1)]
    # Of the pairs that it is trained on, the second one are labels.
    labels = run.targets()[""]
    x, y = trainer.train_dataloader.dataset.tensors
    (inputs,) = [t for t in run.tensors if t.kind == "activation" and t.shape == (BATCH, 6)]
    probe = [int((x.numpy() == row).all(1).argmax()) for row in run.values(inputs, 0).array.astype(np.float32)]
    assert labels.shape == (BATCH,) and labels.tolist() == y[probe].tolist()
    kernel = run.tensor("head", kind="gradient", name="weight")
    # Before gradients are set to zero they are those of the step before.
    for step, given in enumerate(model.given[1:], start=1):
        np.testing.assert_array_equal(run.values(kernel, step).array.T, given["head.weight"].numpy())
    norms = [float(torch.cat([g.ravel() for g in given.values()]).norm()) for given in model.given[1:]]
    assert max(norms) <= 0.05 * 1.0001
    relu = run.tensor("encoder/2", kind="activation")
    assert run.values(relu, 0).array.min() == 0
    assert run.tensor("encoder/1", kind="gradient", name="output").shape == (BATCH, 16)


def test_a_finding_stops_the_training(tmp_path: Path) -> None:
    class Breaks(Network):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            loss = super().training_step(batch, batch_idx)
            return loss / 0.0 if len(self.losses) > 4 else loss

    L.seed_everything(3, verbose=False)
    data = torch.utils.data.TensorDataset(torch.randn(EXAMPLES, 6), torch.randint(0, 3, (EXAMPLES,)))
    callback = lv.LightningCallback(tmp_path, schedule=1, check=lv.Check(stop_on="error"))
    trainer = L.Trainer(
        max_epochs=20,
        callbacks=[callback],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Breaks(), torch.utils.data.DataLoader(data, BATCH))
    assert 4 <= trainer.global_step < 20 * EXAMPLES // BATCH
    logged = lv.LayerReader(tmp_path).run()
    gradients = logged.tensor("head", kind="gradient", name="weight")
    assert logged.statistics("nan")[gradients, -1] + logged.statistics("pos_inf")[gradients, -1] > 0
