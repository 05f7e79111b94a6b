#!/usr/bin/env bash
# PyTorch 2.13.0, CPU: where a GradScaler skips a step, a fused optimizer's step hooks are called all the same.
#
# Guess: `GradScaler.step` does not call the optimizer where a gradient has overflowed, so that its step hooks count the
# steps that were taken.
# Seen, for one step whose gradient is infinite:
#   AdamW(fused=False)   weights as they were; hooks before and after it are not called
#   AdamW(fused=True)    weights as they were; both hooks are called, and in the first one `found_inf` is 1. The
#                        gradient is there with its scale: the kernel itself divides by `grad_scale`
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0' 'numpy==2.4.6'
cat >"$folder/show.py" <<'PYTHON'
import sys

import torch

EXPECTED = {
    False: {"changed": False, "called": [], "overflow": [], "scaled": []},
    True: {"changed": False, "called": ["before", "after"], "overflow": [1.0], "scaled": [True]},
}
is_other = False
for fused, expected in EXPECTED.items():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([weight], fused=fused)
    seen = {"changed": False, "called": [], "overflow": [], "scaled": []}

    def before(optimizer, args, kwargs):
        seen["called"].append("before")
        seen["overflow"].append(float(getattr(optimizer, "found_inf", -1)))
        seen["scaled"].append(getattr(optimizer, "grad_scale", None) is not None)

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(lambda *_: seen["called"].append("after"))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    scaler.scale((weight * 1e3).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    seen["changed"] = not torch.equal(weight.detach(), torch.ones(2))
    print(f"fused={fused!s:6} {seen} {'' if seen == expected else 'CHANGED'}")
    is_other |= seen != expected
sys.exit(is_other)
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
