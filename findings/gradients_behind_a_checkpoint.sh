#!/usr/bin/env bash
# PyTorch 2.13.0, CPU: behind a reentrant checkpoint `torch.autograd.grad` finds no weights, and says nothing.
#
# Guess: `torch.autograd.grad` gives what `backward` adds to `.grad`, or raises an error where it cannot.
# Seen:
#   grad(allow_unused=True), weights within, use_reentrant=True     None, as if the loss did not depend on them
#   the same, weights outside of it                                 their gradients
#   the same, within, use_reentrant=False                           their gradients
#   loss.backward(), within, use_reentrant=True                     `.grad` is there
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0' 'numpy==2.4.6'
cat >"$folder/show.py" <<'PYTHON'
import sys

import torch
from torch.utils.checkpoint import checkpoint

torch.manual_seed(0)
x, seen = torch.randn(8, 4), {}
inner, outer = torch.nn.Linear(4, 4), torch.nn.Linear(4, 1)
for reentrant in (True, False):
    hidden = checkpoint(inner, x.clone().requires_grad_(), use_reentrant=reentrant)
    found = torch.autograd.grad(outer(hidden).sum(), [inner.weight, outer.weight], allow_unused=True)
    seen[f"grad, within, use_reentrant={reentrant}"] = found[0] is not None, not reentrant
    seen[f"grad, outside, use_reentrant={reentrant}"] = found[1] is not None, True
outer(checkpoint(inner, x.clone().requires_grad_(), use_reentrant=True)).sum().backward()
seen["backward, within, use_reentrant=True"] = inner.weight.grad is not None, True
for name, (found, expected) in seen.items():
    print(f"{name:40}{found!s:16}{'' if found == expected else 'CHANGED'}")
sys.exit(any(found != expected for found, expected in seen.values()))
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
