#!/usr/bin/env bash
# Lightning 2.6.6 with PyTorch 2.13.0: an optimizer's own step pre-hook sees the gradients of the step before.
#
# Guess: `register_step_pre_hook`, of the optimizer that `configure_optimizers` returns, is called right before the step
# with the gradients that this step applies, as in a loop of one's own.
# Seen, in three steps of plain automatic optimization:
#   step pre-hook     the first time no gradient at all, then that of the step before: Lightning hands
#                     `zero_grad`, `training_step` and `backward` to the optimizer as a closure
#   step post-hook    the gradient of this step, after clipping
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
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
import lightning.pytorch as pl  # noqa: E402

seen = {"pre": [], "post": [], "applied": []}


class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch, _):
        # The gradient is the batch's number, 1 to 3.
        return (self.weight * batch[0]).sum()

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), 1.0)
        optimizer.register_step_pre_hook(lambda *_: seen["pre"].append(self._now()))
        optimizer.register_step_post_hook(lambda *_: seen["post"].append(self._now()))
        return optimizer

    def _now(self):
        return None if self.weight.grad is None else float(self.weight.grad)


data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor([1.0, 2.0, 3.0])), 1)
trainer = pl.Trainer(
    max_epochs=1,
    accelerator="cpu",
    gradient_clip_val=2.5,
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(Module(), data)
expected = {"pre": [None, 1.0, 2.0], "post": [1.0, 2.0, 2.5]}
found = {name: [None if value is None else round(value, 4) for value in seen[name]] for name in expected}
for name, values in found.items():
    print(f"{name:6}{values} {'' if values == expected[name] else 'CHANGED'}")
sys.exit(found != expected)
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
