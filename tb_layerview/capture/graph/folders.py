"""Where a hook logs: an evaluation or a prediction beside a training, not in its place."""

from __future__ import annotations

import os
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError

from tb_layerview.format import layerview_pb2 as pb
from tb_layerview.format import messages, names
from tb_layerview.format.model import Mode
from tb_layerview.reading import event_file


def folder_for(logdir: str, mode: Mode, has_trained: bool) -> str:
    """The run's folder.

    Args:
      logdir: The one that a hook was given.
      mode: What the model is doing.
      has_trained: Whether this hook has logged a training.
    """
    if mode == "train" or not (has_trained or _is_trainings(logdir)):
        return logdir
    return os.path.join(logdir, mode)


def _is_trainings(logdir: str) -> bool:
    """Whether a training has saved or logged into a folder."""
    if tf.io.gfile.exists(os.path.join(logdir, "checkpoint")):
        return True
    return any(map(_is_of_training, event_file.first_steps(Path(os.path.expanduser(logdir)) / names.FOLDER)))


def _is_of_training(step: bytes) -> bool:
    try:
        messages.check(step)
        return bool(pb.StepRecord.FromString(step).mode == pb.TRAIN)
    except (DecodeError, ValueError):
        return False  # damaged, which whoever reads the log is told
