#!/usr/bin/env bash
# PyTorch 2.13.0, CPU: batch_norm writes its running statistics without moving their version.
#
# Guess: whatever is written to in place has another `_version` afterwards: autograd stands on that, and a tool that
# puts a model back as it was can tell by it what to put back.
# Seen:
#   tensor.add_(1)                                changed, and the version says so
#   F.batch_norm(training=True), running_mean     changed, the version is what it was
#   the same, running_var                         changed, the version is what it was
#   F.batch_norm(training=True) by nn.BatchNorm1d num_batches_tracked alone tells
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0' 'numpy==2.4.6'
cat >"$folder/show.py" <<'PYTHON'
import sys

import torch

torch.manual_seed(0)
x, seen = torch.randn(8, 4), {}


def tells(tensor, write):
    """Whether a tensor is changed, and whether its version tells."""
    version, before = tensor._version, tensor.clone()
    write()
    return not torch.equal(before, tensor), tensor._version != version


count, mean, var = torch.zeros(4), torch.zeros(4), torch.ones(4)
layer = torch.nn.BatchNorm1d(4)
seen["add_"] = tells(count, lambda: count.add_(1)), (True, True)
for name, tensor in (("running_mean", mean), ("running_var", var)):
    found = tells(tensor, lambda: torch.nn.functional.batch_norm(x, mean, var, training=True))
    seen[f"F.batch_norm, {name}"] = found, (True, False)
for name, expected in (("running_mean", False), ("running_var", False), ("num_batches_tracked", True)):
    seen[f"nn.BatchNorm1d, {name}"] = tells(getattr(layer, name), lambda: layer(x)), (True, expected)
for name, (found, expected) in seen.items():
    print(f"{name:40}{found!s:16}{'' if found == expected else 'CHANGED'}")
sys.exit(any(found != expected for found, expected in seen.values()))
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
