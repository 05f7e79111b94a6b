"""Where a hook logs: an evaluation or a prediction beside a training, not in its place."""

from __future__ import annotations

import os
from pathlib import Path

import tensorflow as tf

from tb_layerview.format import names
from tb_layerview.format.model import Mode
from tb_layerview.writing.earlier import first_modes


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
    return "train" in first_modes(Path(os.path.expanduser(logdir)) / names.FOLDER)
