#!/usr/bin/env bash
# Lightning 2.6.6 with PyTorch 2.13.0: where a model has a BatchNorm, `StochasticWeightAveraging` averages its weights,
# and then takes one more step of the optimizer on them, with the gradient of an earlier batch.
#
# Guess: what `fit` leaves is the mean of the weights that were averaged. Of a model with BatchNorm the callback makes one
# more pass over the data for the statistics, without `backward` and without steps.
# Seen, of three epochs of which two are averaged; how far the weights are from that mean after `fit`, in lengths of the
# last step of the training:
#   SGD with momentum, LayerNorm    0     9 steps, `global_step` 9
#   SGD with momentum, BatchNorm    1.4   10 steps: with the last batch of the pass for the statistics. The gradient is
#   AdamW, BatchNorm                1.1   that of the last batch before, never made zero, and the moments come on top
# The step's hooks are called as for any other. The moving statistics are of the weights before that step.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
	'torch==2.13.0' 'numpy==2.4.6' 'lightning==2.6.6' 'torchmetrics==1.9.0'
cat >"$folder/show.py" <<'PYTHON'
import logging
import sys
import warnings

import torch

warnings.filterwarnings("ignore")
import lightning.pytorch as pl  # noqa: E402
from lightning.pytorch.callbacks import StochasticWeightAveraging  # noqa: E402

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

EPOCHS, BATCHES = 3, 3


class Module(pl.LightningModule):
    def __init__(self, norm, make):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(4, 8), norm(8), torch.nn.Linear(8, 1))
        self.make = make
        self.averaged, self.backwards, self.steps = [], 0, []

    def weights(self):
        return torch.cat([p.detach().flatten() for p in self.parameters()])

    def configure_optimizers(self):
        optimizer = self.make(self.parameters())
        optimizer.register_step_post_hook(lambda *_: self.steps.append(self.weights()))
        return optimizer

    def training_step(self, batch, _):
        x, y = batch
        return (self.net(x) - y).square().mean()

    def on_train_epoch_start(self):
        # The second and the third epoch's first weights are what the callback averages.
        if self.current_epoch in (1, 2):
            self.averaged.append(self.weights())

    def on_after_backward(self):
        self.backwards += 1


def distance(norm, make):
    pl.seed_everything(0, verbose=False)
    x = torch.randn(2 * BATCHES, 4)
    data = torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True))
    module = Module(norm, make)
    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        callbacks=[StochasticWeightAveraging(0.05, swa_epoch_start=2)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=2))
    last = (module.steps[EPOCHS * BATCHES - 1] - module.steps[EPOCHS * BATCHES - 2]).norm()
    away = (module.weights() - torch.stack(module.averaged).mean(0)).norm() / last
    return float(away), len(module.steps), module.backwards, trainer.global_step


def sgd(parameters):
    return torch.optim.SGD(parameters, 0.05, momentum=0.9)


def adamw(parameters):
    return torch.optim.AdamW(parameters, 0.05)


has_changed = False
for name, norm, make, is_mean, steps in (
    ("SGD with momentum, LayerNorm", torch.nn.LayerNorm, sgd, True, 9),
    ("SGD with momentum, BatchNorm", torch.nn.BatchNorm1d, sgd, False, 10),
    ("AdamW, BatchNorm", torch.nn.BatchNorm1d, adamw, False, 10),
):
    away, stepped, backwards, global_step = distance(norm, make)
    as_said = (away < 1e-5) == is_mean and (is_mean or away > 0.5)
    as_said &= (stepped, backwards, global_step) == (steps, 9, steps)
    has_changed |= not as_said
    print(
        f"{name:30}{away:.3f} steps from the mean  {stepped} steps, {backwards} backwards, global_step {global_step}  "
        f"{'' if as_said else 'CHANGED'}"
    )
sys.exit(has_changed)
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
