#!/usr/bin/env bash
# TensorFlow 2.21.0, PyTorch 2.13.0: what one NaN, one infinity or one large number makes of a TensorBoard histogram.
#
# Guess: the finite values are counted where they are, and what is not finite is left out or raises, as it does in
# `tf.compat.v1.summary.histogram`.
# Seen, of 1000 numbers of which one is replaced; how many the histogram counts:
#                                       NaN      inf                         1e30
#   tf.summary.histogram                0        999, all in one bucket      1000, 999 of them in one bucket
#   torch SummaryWriter.add_histogram   999      999                         999
# So with TensorFlow 2 one NaN among a million weights leaves a histogram that counts nothing, and one infinity a bucket
# from the minimum to infinity; with PyTorch 1e30 is dropped, a number like others: its buckets end at 1e20.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/with-tensorflow"
"$folder/with-tensorflow/bin/pip" install --quiet --disable-pip-version-check 'tensorflow-cpu==2.21.0' 'tensorboard==2.21.0'
python3.11 -m venv "$folder/with-torch"
"$folder/with-torch/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0' 'numpy==2.4.6' 'tensorboard==2.21.0'
cat >"$folder/show.py" <<'PYTHON'
import glob
import sys
import tempfile

import numpy as np
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util.tensor_util import make_ndarray


def read(folder):
    """Counts of the one histogram in a folder, and how many buckets have any."""
    events = EventFileLoader(glob.glob(f"{folder}/*")[0]).Load()
    [counts] = [make_ndarray(value.tensor)[:, 2] for event in events for value in event.summary.value]
    return int(counts.sum()), int((counts > 0).sum())


def by_tensorflow(values, folder):
    import tensorflow as tf

    writer = tf.summary.create_file_writer(folder)
    with writer.as_default():
        tf.summary.histogram("name", tf.constant(values), step=0)
    writer.close()


def by_torch(values, folder):
    import torch
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(folder) as writer:
        writer.add_histogram("name", torch.tensor(values))


expected = {
    "torch": {by_torch: {"none": 1000, "nan": 999, "inf": 999, "1e30": 999}},
    "tensorflow": {by_tensorflow: {"none": 1000, "nan": (0, 0), "inf": (999, 1), "1e30": (1000, 2)}},
}[sys.argv[1]]
has_changed = False
for write, outcomes in expected.items():
    for name, outcome in outcomes.items():
        values = np.random.RandomState(0).randn(1000).astype("float32")
        if name != "none":
            values[500] = float(name)
        folder = tempfile.mkdtemp(dir=sys.argv[2])
        write(values, folder)
        found = read(folder)
        said = f"{found[0]} counted, in {found[1]} buckets"
        as_said = outcome == (found[0] if isinstance(outcome, int) else found)
        has_changed |= not as_said
        print(f"{write.__name__:18}one {name:6}{said:32}{'' if as_said else 'CHANGED'}")
sys.exit(has_changed)
PYTHON
status=0
for name in tensorflow torch; do
  TF_CPP_MIN_LOG_LEVEL=3 "$folder/with-$name/bin/python" "$folder/show.py" $name "$folder" 2>"$folder/stderr" ||
    { status=1; cat "$folder/stderr" >&2; }
done
exit $status
