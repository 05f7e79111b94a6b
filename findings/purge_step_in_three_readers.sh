#!/usr/bin/env bash
# TensorBoard 2.21.0, its data server 0.7.2: `SummaryWriter(purge_step=5)` hides nothing, or part, or all, by who reads.
#
# Guess: where a training is resumed with `SummaryWriter(folder, purge_step=5)`, what was logged of steps from 5 on is not
# shown any more, as the writers of PyTorch 2.13.0 and tensorboardX 2.6.5 document it.
# Seen, of a training that logged "loss" and "val" at steps 0 to 9, was resumed at 5 and has logged the loss of 5 and 6, and
# then was resumed at 3 and has logged the loss of 3; which steps of each are there, in the order in which they are drawn:
#                                    resumed once                              resumed again
#   tensorboard, as it starts        loss 0 to 6, val 0 to 9                   loss 0 to 3, val 0 to 9
#   tensorboard --load_fast=false    loss 0 to 9 and then 5, 6, val 0 to 9     loss 0 to 3, val 0 to 2
#   EventAccumulator                 loss 0 to 6, val 0 to 4                   loss 0 to 3, val 0 to 2
# The data server, which TensorBoard starts by itself, does not look at it: it drops what a step of the same tag goes back
# behind. TensorBoard's own loader takes the first such mark in a run for the run's beginning, and a writer without
# `purge_step` writes none there. So a tag that is not logged again keeps steps that the training has never had.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
	'torch==2.13.0' 'numpy==2.4.6' 'tensorboardX==2.6.5' 'tensorboard==2.21.0' 'tensorboard-data-server==0.7.2' \
	'setuptools==80.9.0' 'protobuf==6.33.6'
cat >"$folder/show.py" <<'PYTHON'
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.request

import tensorboardX
import torch.utils.tensorboard
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

folder = pathlib.Path(sys.argv[1])
directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def write(run, writer, loss, val, **keywords):
    """One process's part of a training; each has a file of its own, whose name has the second in which it began."""
    with writer(str(folder / run), **keywords) as summaries:
        for step in loss:
            summaries.add_scalar("loss", 0.0, step)
        for step in val:
            summaries.add_scalar("val", 0.0, step)


@contextlib.contextmanager
def tensorboard(*flags):
    """TensorBoard as it is run in a shell, on a port that it chooses; its address."""
    command = [pathlib.Path(sys.executable).with_name("tensorboard"), "--logdir", folder, "--port=0", *flags]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        address = next(word for line in process.stderr for word in line.split() if word.startswith("http://localhost"))
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def shown(address, runs):
    """The steps of each run's tags, once every run is there and the loading has come to its end."""
    def ask(what):
        return json.load(directly.open(f"{address}data/plugin/scalars/{what}"))

    def look():
        tags = {run: ask("tags").get(run, {}) for run in runs}
        return {run: {tag: [s[1] for s in ask(f"scalars?run={run}&tag={tag}")] for tag in tags[run]} for run in runs}

    seen, until = None, time.monotonic() + 120
    while time.monotonic() < until:
        before, seen = seen, look()
        if seen == before and all(set(tags) == {"loss", "val"} for tags in seen.values()):
            break
        time.sleep(3)
    return seen


def accumulated(run):
    accumulator = EventAccumulator(str(folder / run))
    accumulator.Reload()
    return {tag: [scalar.step for scalar in accumulator.Scalars(tag)] for tag in ("loss", "val")}


runs = {}
for name, writer in (("torch", torch.utils.tensorboard.SummaryWriter), ("tensorboardX", tensorboardX.SummaryWriter)):
    for times in ("once", "again"):
        runs[f"{name}_{times}"] = times, writer
for run, (_, writer) in runs.items():
    write(run, writer, range(10), range(10))
time.sleep(1.1)
for run, (_, writer) in runs.items():
    write(run, writer, (5, 6), (), purge_step=5)
time.sleep(1.1)
for run, (times, writer) in runs.items():
    if times == "again":
        write(run, writer, (3,), (), purge_step=3)

ten, three = list(range(10)), list(range(3))
expected = {
    "tensorboard": {"once": {"loss": list(range(7)), "val": ten}, "again": {"loss": [*three, 3], "val": ten}},
    "--load_fast=false": {"once": {"loss": [*ten, 5, 6], "val": ten}, "again": {"loss": [*three, 3], "val": three}},
    "EventAccumulator": {
        "once": {"loss": list(range(7)), "val": list(range(5))},
        "again": {"loss": [*three, 3], "val": three},
    },
}
found = {}
for reader, flags in (("tensorboard", ()), ("--load_fast=false", ("--load_fast=false",))):
    with tensorboard(*flags) as address:
        found[reader] = shown(address, runs)
found["EventAccumulator"] = {run: accumulated(run) for run in runs}
has_changed = False
for reader, by_run in found.items():
    for run, (times, _) in runs.items():
        as_said = by_run[run] == expected[reader][times]
        has_changed |= not as_said
        print(f"{reader:18}{run:19}{by_run[run]}  {'' if as_said else 'CHANGED'}")
sys.exit(has_changed)
PYTHON
"$folder/venv/bin/python" "$folder/show.py" "$folder/logs"
